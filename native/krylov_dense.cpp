// S as a dense matrix: S = I + Lambda_b'A_bb Lambda_b - M_ba M_aa^-1 M_ab, factored and inverted in place; and its squares, row by row.
#include <limits>

#include "blocked.hpp"
#include "factor.hpp"
#include "krylov_block.hpp"

namespace glimm {
namespace {

constexpr double kMostProducts = 1e10;

}  // namespace

// Dense S, lower triangle by rows: I + Lambda_b'A_bb Lambda_b - M_ba M_aa^-1 M_ab.
bool Krylov::factor() {
  if (factored_) return true;
  const Index side = rest();
  dense_.assign(static_cast<size_t>(side) * side, 0.0);
  const auto at = [&](Index r, Index c) -> double& { return dense_[static_cast<size_t>(std::max(r, c)) * side + std::min(r, c)]; };
  Vec block;
  for (std::int32_t j = lead_; j < static_cast<std::int32_t>(nodes()); ++j) {
    const int qj = q(j);
    const double *m = lambda_.data() + lambda_at_[lambda_of_[j]], *d = &d_[dp_[j]];
    for (int a = 0; a < qj; ++a)
      for (int c = 0; c <= a; ++c) {
        double s = a == c ? 1.0 : 0.0;
        for (int g = 0; g < qj; ++g)
          for (int h = 0; h < qj; ++h) s += m[g * qj + a] * (g >= h ? d[g * qj + h] : d[h * qj + g]) * m[h * qj + c];
        at(first_[j] - sa_ + a, first_[j] - sa_ + c) += s;
      }
  }
  Level level;
  std::vector<Index> place;
  Vec left, right;
  for (std::int32_t j = 0; j < lead_; ++j) {
    if (j % kNodeRun == 0) check_interrupt();
    if (!b_.empty()) {
      const double x = lambda_[lambda_at_[lambda_of_[lead_]]];
      for (Index e = cell_starts_[j]; e < cell_starts_[j + 1]; ++e) {
        double* row = &dense_[static_cast<size_t>(cell_node_[e] - lead_) * side];
        const double times = x * x * h_[j] * b_[e];
        for (Index f = cell_starts_[j]; f <= e; ++f) row[cell_node_[f] - lead_] -= times * b_[f];  // cells stand in the order of nodes
      }
      continue;
    }
    const int qa = q(j);
    read(j, level, true);
    place.clear();
    for (Index c = cell_starts_[j]; c < cell_starts_[j + 1]; ++c)
      for (int e = 0; e < q(cell_node_[c]); ++e) place.push_back(first_[cell_node_[c]] - sa_ + e);
    for (Index e = 0; e < level.size; ++e)
      for (Index f = 0; f <= e; ++f) at(place[e], place[f]) -= dot(&level.m[e * qa], &level.x[f * qa], qa);
    for (size_t k = 0; k < others_.size(); ++k)  // rows tie levels of different terms
      for (size_t l = k + 1; l < others_.size(); ++l) {
        const Term &s = terms_[others_[k]], &t = terms_[others_[l]];
        for (Index i = starts_[j]; i < starts_[j + 1]; ++i) {
          const std::int32_t a = cell_node_[cell_starts_[j] + s.slot[i]], b = cell_node_[cell_starts_[j] + t.slot[i]];
          row_effects(s, a, i, left);
          row_effects(t, b, i, right);
          for (int e = 0; e < q(a); ++e)
            for (int f = 0; f < q(b); ++f) at(first_[a] - sa_ + e, first_[b] - sa_ + f) += row_weight(i) * left[e] * right[f];
        }
      }
  }
  if (!blocked_cholesky(dense_.data(), side, side, threads_)) return false;
  LogProduct pivots;
  for (Index i = 0; i < side; ++i) pivots.add(dense_[static_cast<size_t>(i) * (side + 1)]);
  double leading = 0.0;
  LogProduct first;
  for (std::int32_t j = 0; j < lead_; ++j) {
    const int qj = q(j);
    if (qj == 1) {
      first.add(f_[dp_[j]]);
      continue;
    }
    block.assign(f_.begin() + dp_[j], f_.begin() + dp_[j + 1]);
    if (!cholesky(block.data(), qj, qj)) return false;
    for (int a = 0; a < qj; ++a) leading -= 2.0 * std::log(block[a * qj + a]);
  }
  dense_logdet_ = 2.0 * pivots.log() - first.log() + leading;
  factored_ = std::isfinite(dense_logdet_);
  return factored_;
}

void Krylov::invert() {
  if (inverted_) return;
  factored_ = false;
  blocked_inverse(dense_.data(), rest(), rest(), threads_);
  factored_ = inverted_ = true;
}

// Two intercepts: S_bc = -lambda_b^2 sum_j H_j B_jb B_jc off the diagonal, one row of S at a time.
double Krylov::square_norm() const {
  if (b_.empty()) return std::numeric_limits<double>::quiet_NaN();
  double products = 0.0;
  for (std::int32_t j = 0; j < lead_; ++j) {
    const double m = static_cast<double>(cell_starts_[j + 1] - cell_starts_[j]);
    products += m * m;
  }
  if (products > kMostProducts) return std::numeric_limits<double>::quiet_NaN();
  const Index side = rest();
  std::vector<Index> starts(side + 1, 0);
  for (std::int32_t node : cell_node_) ++starts[node - lead_ + 1];
  for (Index b = 0; b < side; ++b) starts[b + 1] += starts[b];
  std::vector<std::int32_t> level(cell_node_.size());
  Vec value(cell_node_.size());
  std::vector<Index> next(starts.begin(), starts.end() - 1);
  for (std::int32_t j = 0; j < lead_; ++j)
    for (Index c = cell_starts_[j]; c < cell_starts_[j + 1]; ++c) {
      const Index at = next[cell_node_[c] - lead_]++;
      level[at] = j;
      value[at] = b_[c];
    }
  const double squared = std::pow(lambda_[lambda_at_[lambda_of_[lead_]]], 4);
  const Index blocks = (side + kRunRows - 1) / kRunRows;
  Vec sums(blocks, 0.0);
  parallel_blocks(blocks, threads_, [&](Index block) {
    Vec row(side, 0.0);
    const double* g = gi_.data();
    for (Index b = block * kRunRows; b < std::min(side, (block + 1) * kRunRows); ++b) {
      if (b % kNodeRun == 0) check_interrupt();
      for (Index e = starts[b]; e < starts[b + 1]; ++e) {
        const double x = h_[level[e]] * value[e];
        for (Index c = cell_starts_[level[e]]; c < cell_starts_[level[e] + 1]; ++c) row[cell_node_[c] - lead_] += x * b_[c];
      }
      row[b] = 0.0;
      double total = 0.0;
      for (Index c = 0; c < side; ++c) {
        total += row[c] * row[c] * g[c];
        row[c] = 0.0;
      }
      sums[block] += total * g[b] * squared;
    }
  });
  double total = 0.0;
  for (double s : sums) total += s;
  return total;
}

}  // namespace glimm
