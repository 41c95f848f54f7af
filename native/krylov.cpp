// Set-up: rows by level of the leading term, its cells with the other levels, and at Lambda the blocks that S is made of.
#include "krylov.hpp"

#include <numeric>

#include "factor.hpp"
#include "krylov_block.hpp"

namespace glimm {
namespace {

constexpr Index kMostBorder = 32;  // effects
constexpr Index kChunks = 4;  // sums of the other terms' effects that are kept apart, whatever the number of threads

// Rows sorted by key, as they come where keys are equal.
std::vector<std::int64_t> by_key(const std::vector<std::int64_t>& rows, const std::vector<std::int32_t>& key, std::int32_t keys) {
  std::vector<Index> next(keys + 1, 0);
  for (std::int64_t r : rows) ++next[key[r] + 1];
  for (std::int32_t j = 0; j < keys; ++j) next[j + 1] += next[j];
  std::vector<std::int64_t> out(rows.size());
  for (std::int64_t r : rows) out[next[key[r]]++] = r;
  return out;
}

// Full inverse of a positive definite block (lower triangle given), its Cholesky factor in place; log of its determinant to logdet.
bool invert_block(double* a, int q, double* inverse, double& logdet) {
  if (!cholesky(a, q, q)) return false;
  for (int i = 0; i < q; ++i) logdet += 2.0 * std::log(a[i * q + i]);
  if (q == 1) {
    inverse[0] = 1.0 / (a[0] * a[0]);
  } else {
    const Vec full = inverse_from_cholesky(a, q, q);
    std::copy(full.begin(), full.end(), inverse);
  }
  return std::isfinite(logdet);
}

}  // namespace

Krylov::Krylov(Index n, const std::vector<RandomColumns>& terms, int groups, std::uint64_t seed, int threads)
    : Nodes(n, terms), n_(n), lead_(static_cast<std::int32_t>(terms[leading_].levels)), threads_(threads) {
  sa_ = first_[lead_];
  const int count = static_cast<int>(terms.size());
  std::vector<int> by;
  for (int k = 0; k < count; ++k)
    if (k != leading_) by.push_back(k);
  std::stable_sort(by.begin(), by.end(), [&](int a, int b) { return terms[a].levels > terms[b].levels; });
  others_ = by;
  border_node_ = static_cast<std::int32_t>(nodes());
  for (size_t k = by.size(); k-- > 1;) {  // small terms behind the first are solved exactly in the preconditioner
    const std::int32_t from = border_node_ - static_cast<std::int32_t>(terms[by[k]].levels);
    if (s_ - first_[from] > kMostBorder) break;
    border_node_ = from;
  }
  border_ = s_ - first_[border_node_];
  order_.resize(n);
  std::iota(order_.begin(), order_.end(), 0);
  std::vector<std::int32_t> key(n);
  const auto sort_by = [&](int k) {
    for (Index r = 0; r < n; ++r) key[r] = node_[k][terms[k].refs[r]];
    order_ = by_key(order_, key, static_cast<std::int32_t>(nodes()));
    check_interrupt();
  };
  sort_by(others_[0]);
  sort_by(leading_);
  starts_.assign(lead_ + 1, 0);
  for (Index r = 0; r < n; ++r) ++starts_[key[r] + 1];
  for (std::int32_t j = 0; j < lead_; ++j) starts_[j + 1] += starts_[j];
  terms_.resize(count);
  for (int k = 0; k < count; ++k) {
    auto& t = terms_[k];
    t.placed = terms[k].place != nullptr;
    t.count = t.placed ? 1 : terms[k].q();
    plain_ = plain_ && !t.placed && !terms[k].z && t.count == 1;
    t.at.resize(n);
    if (terms[k].z) t.z.resize(static_cast<size_t>(n) * t.count);
    for (Index i = 0; i < n; ++i) {
      const Index r = order_[i];
      t.at[i] = static_cast<std::int32_t>(first_[node_[k][terms[k].refs[r]]] + (t.placed ? terms[k].place[r] : 0));
      if (terms[k].z) std::copy(terms[k].z + r * t.count, terms[k].z + (r + 1) * t.count, &t.z[i * t.count]);
    }
    check_interrupt();
  }
  cells_of(terms);
  dp_.assign(nodes() + 1, 0);
  for (std::int32_t j = 0; j < static_cast<std::int32_t>(nodes()); ++j) dp_[j + 1] = dp_[j] + static_cast<Index>(q(j)) * q(j);
  const Index wanted = n >= kChunks * rest() ? kChunks : 1;
  chunks_.assign(1, 0);
  for (Index c = 1; c <= wanted; ++c) {
    const Index row = n * c / wanted;
    const Index j = std::lower_bound(starts_.begin(), starts_.end(), row) - starts_.begin();
    chunks_.push_back(c == wanted ? lead_ : std::max(chunks_.back(), std::min<Index>(j, lead_)));
  }
  redraw(groups, seed);
}

void Krylov::cells_of(const std::vector<RandomColumns>& terms) {
  std::vector<Index> seen(nodes(), -1);
  cell_starts_.assign(1, 0);
  for (int k : others_) terms_[k].slot.resize(n_);
  for (std::int32_t j = 0; j < lead_; ++j) {
    if (j % kNodeRun == 0) check_interrupt();
    const Index begin = cell_starts_.back();
    for (int k : others_)
      for (Index i = starts_[j]; i < starts_[j + 1]; ++i) {
        const std::int32_t node = node_[k][terms[k].refs[order_[i]]];
        if (seen[node] < begin) {
          seen[node] = static_cast<Index>(cell_node_.size());
          cell_node_.push_back(node);
        }
        terms_[k].slot[i] = static_cast<std::int32_t>(seen[node] - begin);
      }
    cell_starts_.push_back(static_cast<Index>(cell_node_.size()));
  }
}

void Krylov::redraw(int groups, std::uint64_t seed) {
  groups_ = groups;
  probed_ = HUGE_VAL;
  std::uint64_t state = seed;
  const auto next = [&] {  // splitmix64 (Steele, Lea and Flood 2014)
    std::uint64_t x = (state += 0x9e3779b97f4a7c15ULL);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
  };
  state = next();  // far apart for seeds that follow each other
  signs_.assign(groups, Vec(static_cast<size_t>(rest()) * kWide));
  for (Vec& group : signs_)
    for (size_t i = 0; i < group.size(); i += kWide) {
      const std::uint64_t bits = next() >> 32;
      for (int k = 0; k < kWide; ++k) group[i + k] = (bits >> k) & 1 ? 1.0 : -1.0;
    }
}

void Krylov::weigh(const double* w) {
  w_ = w;
  prepared_ = false;
  const Index chunks = this->chunks(), blocks = dp_.back() - dp_[lead_];
  const bool pair = plain_ && others_.size() == 1;
  d_.assign(dp_.back(), 0.0);
  if (pair) b_.assign(cell_node_.size(), 0.0);
  buffers_.assign(static_cast<size_t>(chunks) * blocks, 0.0);
  over_chunks([&](Index chunk, std::int32_t first, std::int32_t last) {
    double* own = buffers_.data() + chunk * blocks - dp_[lead_];
    for (std::int32_t j = first; j < last; ++j) {
      if (j % kNodeRun == 0) check_interrupt();
      if (pair) {
        const auto& slot = terms_[others_[0]].slot;
        double* b = &b_[cell_starts_[j]];
        double total = 0.0;
        for (Index i = starts_[j]; i < starts_[j + 1]; ++i) {
          total += row_weight(i);
          b[slot[i]] += row_weight(i);
        }
        d_[dp_[j]] = total;
        for (Index c = cell_starts_[j]; c < cell_starts_[j + 1]; ++c) own[dp_[cell_node_[c]]] += b_[c];
        continue;
      }
      for (size_t k = 0; k < terms_.size(); ++k) {
        const Term& t = terms_[k];
        for (Index i = starts_[j]; i < starts_[j + 1]; ++i) {
          const std::int32_t node = static_cast<int>(k) == leading_ ? j : cell_node_[cell_starts_[j] + t.slot[i]];
          const Index o = t.at[i] - first_[node];
          const int q = this->q(node);
          double* d = (static_cast<int>(k) == leading_ ? d_.data() : own) + dp_[node];
          const double* z = t.z.empty() ? &kUnit : &t.z[i * t.count];
          for (int a = 0; a < t.count; ++a)
            for (int c = 0; c <= a; ++c) d[(o + a) * q + o + c] += row_weight(i) * z[a] * z[c];
        }
      }
    }
  });
  for (Index chunk = 0; chunk < chunks; ++chunk)
    for (Index i = 0; i < blocks; ++i) d_[dp_[lead_] + i] += buffers_[chunk * blocks + i];
}

Vec Krylov::diagonal() const {
  Vec out(s_);
  for (std::int32_t j = 0; j < static_cast<std::int32_t>(nodes()); ++j)
    for (int a = 0; a < q(j); ++a) out[first_[j] + a] = d_[dp_[j] + a * q(j) + a];
  return out;
}

// What one level of the leading term has in common with the others: B = A_ba (raw), and X = M_aa^-1 M_ab if asked for.
void Krylov::read(std::int32_t j, Level& level, bool solved) const {
  const int qa = q(j);
  level.offset.clear();
  Index size = 0;
  for (Index c = cell_starts_[j]; c < cell_starts_[j + 1]; ++c) {
    level.offset.push_back(size);
    size += q(cell_node_[c]);
  }
  level.size = size;
  level.b.assign(static_cast<size_t>(size) * qa, 0.0);
  const Term& a = terms_[leading_];
  for (int k : others_) {
    const Term& t = terms_[k];
    for (Index i = starts_[j]; i < starts_[j + 1]; ++i) {
      const std::int32_t node = cell_node_[cell_starts_[j] + t.slot[i]];
      double* b = &level.b[(level.offset[t.slot[i]] + t.at[i] - first_[node]) * qa + (a.at[i] - first_[j])];
      const double *z = t.z.empty() ? &kUnit : &t.z[i * t.count], *za = a.z.empty() ? &kUnit : &a.z[i * a.count];
      for (int e = 0; e < t.count; ++e)
        for (int c = 0; c < a.count; ++c) b[e * qa + c] += row_weight(i) * z[e] * za[c];
    }
  }
  if (!solved) return;
  level.m.resize(level.b.size());
  level.x.resize(level.b.size());
  const double *la = lambda_.data() + lambda_at_[lambda_of_[j]], *inverse = &f_[dp_[j]];
  for (Index c = cell_starts_[j]; c < cell_starts_[j + 1]; ++c) {
    const std::int32_t node = cell_node_[c];
    const int qb = q(node);
    const Index o = level.offset[c - cell_starts_[j]];
    const double* lb = lambda_.data() + lambda_at_[lambda_of_[node]];
    for (int e = 0; e < qb; ++e)
      for (int f = 0; f < qa; ++f) {
        double s = 0.0;
        for (int g = 0; g < qb; ++g)
          for (int h = 0; h < qa; ++h) s += lb[g * qb + e] * level.b[(o + g) * qa + h] * la[h * qa + f];
        level.m[(o + e) * qa + f] = s;
      }
    for (int e = 0; e < qb; ++e)
      for (int f = 0; f < qa; ++f) level.x[(o + e) * qa + f] = dot(&level.m[(o + e) * qa], inverse + f * qa, qa);
  }
}

bool Krylov::prepare(const double* lambda) {
  if (prepared_ && std::equal(lambda_.begin(), lambda_.end(), lambda)) return true;
  lambda_.assign(lambda, lambda + lambda_size());
  prepared_ = false;
  probed_ = HUGE_VAL;
  release();
  h_.assign(dp_[lead_], 0.0);
  f_.assign(d_.begin(), d_.end());
  gi_.assign(dp_.back() - dp_[lead_], 0.0);
  logdet_ = 0.0;
  Vec work, block;
  const auto scaled = [&](std::int32_t j, const double* from, double* to) {  // lower to <- I + Lambda'from Lambda
    const int qj = q(j);
    const double* m = lambda_.data() + lambda_at_[lambda_of_[j]];
    work.assign(static_cast<size_t>(qj) * qj, 0.0);
    for (int a = 0; a < qj; ++a)
      for (int c = 0; c < qj; ++c)
        for (int h = 0; h < qj; ++h) work[a * qj + c] += (a >= h ? from[a * qj + h] : from[h * qj + a]) * m[h * qj + c];
    for (int a = 0; a < qj; ++a)
      for (int c = 0; c <= a; ++c) {
        double s = a == c ? 1.0 : 0.0;
        for (int h = 0; h < qj; ++h) s += m[h * qj + a] * work[h * qj + c];
        to[a * qj + c] = s;
      }
  };
  LogProduct pivots;
  for (std::int32_t j = 0; j < lead_; ++j) {
    if (j % kNodeRun == 0) check_interrupt();
    const int qj = q(j);
    const double* m = lambda_.data() + lambda_at_[lambda_of_[j]];
    double *f = &f_[dp_[j]], *h = &h_[dp_[j]];
    if (qj == 1) {
      const double pivot = 1.0 + m[0] * m[0] * d_[dp_[j]];
      if (!(pivot > 0.0)) return false;
      pivots.add(pivot);
      f[0] = 1.0 / pivot;
      h[0] = m[0] * m[0] / pivot;
      continue;
    }
    block.resize(static_cast<size_t>(qj) * qj);
    scaled(j, &d_[dp_[j]], block.data());
    if (!invert_block(block.data(), qj, f, logdet_)) return false;
    for (int a = 0; a < qj; ++a)
      for (int c = 0; c < qj; ++c) {
        double s = 0.0;
        for (int g = 0; g < qj; ++g)
          for (int e = 0; e < qj; ++e) s += m[a * qj + g] * f[g * qj + e] * m[c * qj + e];
        h[a * qj + c] = s;
      }
  }
  const Index chunks = this->chunks(), blocks = dp_.back() - dp_[lead_];
  buffers_.assign(static_cast<size_t>(chunks) * blocks, 0.0);
  over_chunks([&](Index chunk, std::int32_t first, std::int32_t last) {
    double* own = buffers_.data() + chunk * blocks - dp_[lead_];
    Level level;
    for (std::int32_t j = first; j < last; ++j) {
      if (j % kNodeRun == 0) check_interrupt();
      const int qa = q(j);
      const double* h = &h_[dp_[j]];
      if (!b_.empty()) {
        for (Index c = cell_starts_[j]; c < cell_starts_[j + 1]; ++c) own[dp_[cell_node_[c]]] += h[0] * b_[c] * b_[c];
        continue;
      }
      read(j, level, false);
      for (Index c = cell_starts_[j]; c < cell_starts_[j + 1]; ++c) {
        const std::int32_t node = cell_node_[c];
        const int qb = q(node);
        const double* b = &level.b[level.offset[c - cell_starts_[j]] * qa];
        double* to = own + dp_[node];
        for (int e = 0; e < qb; ++e)
          for (int f = 0; f <= e; ++f) {
            double s = 0.0;
            for (int g = 0; g < qa; ++g) s += b[e * qa + g] * dot(h + g * qa, b + f * qa, qa);
            to[e * qb + f] += s;
          }
      }
    }
  });
  for (Index chunk = 1; chunk < chunks; ++chunk)
    for (Index i = 0; i < blocks; ++i) buffers_[i] += buffers_[chunk * blocks + i];
  for (Index i = 0; i < blocks; ++i) buffers_[i] = d_[dp_[lead_] + i] - buffers_[i];
  double of_border = 0.0;
  LogProduct border_pivots;
  for (std::int32_t j = lead_; j < static_cast<std::int32_t>(nodes()); ++j) {
    if (j % kNodeRun == 0) check_interrupt();
    LogProduct& product = j < border_node_ ? pivots : border_pivots;
    double* g = &f_[dp_[j]];
    if (q(j) == 1) {
      const double m = lambda_[lambda_at_[lambda_of_[j]]], pivot = 1.0 + m * m * buffers_[dp_[j] - dp_[lead_]];
      if (!(pivot > 0.0)) return false;
      product.add(pivot);
      g[0] = std::sqrt(pivot);
      gi_[dp_[j] - dp_[lead_]] = 1.0 / pivot;
      continue;
    }
    scaled(j, &buffers_[dp_[j] - dp_[lead_]], g);
    if (!invert_block(g, q(j), &gi_[dp_[j] - dp_[lead_]], j < border_node_ ? logdet_ : of_border)) return false;
  }
  logdet_ += pivots.log();
  active_ = 0;
  if (border_ && !prepare_border()) logdet_ += of_border + border_pivots.log();  // S may be positive definite where G with its border is not
  prepared_ = std::isfinite(logdet_);
  return prepared_;
}

}  // namespace glimm
