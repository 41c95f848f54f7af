// b_j = Lambda_j u_j; d(Lambda Lambda') = dLambda Lambda' + Lambda dLambda'.
#include "nodes.hpp"

#include <algorithm>
#include <numeric>

namespace glimm {

Nodes::Nodes(Index n, const std::vector<RandomColumns>& terms) {
  const int count = static_cast<int>(terms.size());
  lambda_at_.push_back(0);
  for (int k = 0; k < count; ++k)
    for (int q : terms[k].sizes) {
      lambda_term_.push_back(k);
      lambda_q_.push_back(q);
      lambda_at_.push_back(lambda_at_.back() + static_cast<Index>(q) * q);
    }
  std::vector<int> by(count);  // terms, most levels first: an inner factor has no fewer than its outer one
  std::iota(by.begin(), by.end(), 0);
  std::stable_sort(by.begin(), by.end(), [&](int a, int b) { return terms[a].levels > terms[b].levels; });
  leading_ = by[0];
  order_levels(n, terms, by);
  number(terms);
}

// Levels of a term stand in the order of where their first row's level of the next term stands: neighbours in memory.
void Nodes::order_levels(Index n, const std::vector<RandomColumns>& terms, const std::vector<int>& by) {
  const int count = static_cast<int>(terms.size());
  node_.resize(count);
  Index above = 0;
  for (const auto& t : terms) above += t.levels;
  for (int at = count - 1; at >= 0; --at) {
    const auto& term = terms[by[at]];
    std::vector<std::int32_t> key(term.levels, 0), sorted(term.levels);
    if (at + 1 < count) {
      const auto& next = terms[by[at + 1]];
      const auto& places = node_[by[at + 1]];
      std::fill(key.begin(), key.end(), -1);
      for (Index r = 0; r < n; ++r)
        if (key[term.refs[r]] < 0) key[term.refs[r]] = places[next.refs[r]];
    }
    std::iota(sorted.begin(), sorted.end(), 0);
    std::stable_sort(sorted.begin(), sorted.end(), [&](std::int32_t a, std::int32_t b) { return key[a] < key[b]; });
    above -= term.levels;
    node_[by[at]].resize(term.levels);
    for (Index t = 0; t < term.levels; ++t) node_[by[at]][sorted[t]] = static_cast<std::int32_t>(above + t);
  }
}

void Nodes::number(const std::vector<RandomColumns>& terms) {
  const int count = static_cast<int>(terms.size());
  Index all = 0;
  for (const auto& t : terms) all += t.levels;
  first_.assign(all + 1, 0);
  lambda_of_.resize(all);
  int base = 0;
  for (int k = 0; k < count; ++k) {
    for (Index l = 0; l < terms[k].levels; ++l) {
      const int pattern = terms[k].pattern ? terms[k].pattern[l] : 0;
      lambda_of_[node_[k][l]] = base + pattern;
      first_[node_[k][l] + 1] = terms[k].sizes[pattern];
    }
    base += static_cast<int>(terms[k].sizes.size());
  }
  for (Index j = 0; j < all; ++j) first_[j + 1] += first_[j];
  s_ = first_[all];
}

Vec Nodes::moments(const Vec& d, const double* b, double s2) const {
  Vec out(lambda_size(), 0.0), squares(out), d1(out), d2(out);
  for (std::int32_t j = 0; j < static_cast<std::int32_t>(nodes()); ++j) {
    const int qj = q(j);
    for (int a = 0; a < qj; ++a) {
      const Index k = lambda_at_[lambda_of_[j]] + a * qj + a, i = first_[j] + a;
      squares[k] += b[i] * b[i];
      d1[k] += d[i];
      d2[k] += d[i] * d[i];
    }
  }
  for (size_t k = 0; k < out.size(); ++k)
    if (d2[k] > 0.0) out[k] = std::sqrt(std::max(0.0, squares[k] / s2 - d1[k]) / d2[k]);
  return out;
}

void Nodes::times(const double* lambda, bool transpose, double* x) const {
  Vec from;
  for (std::int32_t j = 0; j < static_cast<std::int32_t>(nodes()); ++j) {
    const int qj = q(j);
    const double* m = lambda + lambda_at_[lambda_of_[j]];
    double* xj = x + first_[j];
    if (qj == 1) {
      xj[0] *= m[0];
      continue;
    }
    from.assign(xj, xj + qj);
    for (int a = 0; a < qj; ++a) {
      double s = 0.0;
      for (int c = 0; c < qj; ++c) s += (transpose ? m[c * qj + a] : m[a * qj + c]) * from[c];
      xj[a] = s;
    }
  }
}

void moved_covariance(const Nodes& e, const Directions& d, int k, const double* lambda, const double* x, double* out) {
  const Index low = d.at[k], high = low + d.size[k];
  std::fill(out, out + e.scalars(), 0.0);
  Vec left, right;
  for (std::int32_t j = 0; j < static_cast<std::int32_t>(e.nodes()); ++j) {
    const Index at = e.lambda_at(e.lambda_of(j));
    if (at < low || at >= high) continue;
    const int q = e.q(j);
    const double *m = lambda + at, *dm = d.values[k] + (at - low), *xj = x + e.first(j);
    double* oj = out + e.first(j);
    if (q == 1) {
      oj[0] = 2.0 * dm[0] * m[0] * xj[0];
      continue;
    }
    left.assign(q, 0.0);
    right.assign(q, 0.0);
    for (int a = 0; a < q; ++a)
      for (int c = 0; c < q; ++c) {
        left[c] += m[a * q + c] * xj[a];
        right[c] += dm[a * q + c] * xj[a];
      }
    for (int a = 0; a < q; ++a)
      for (int c = 0; c < q; ++c) oj[a] += dm[a * q + c] * left[c] + m[a * q + c] * right[c];
  }
}

void add_outer_by_lambda(const Nodes& e, double scale, const double* x, const double* y, double* out) {
  for (std::int32_t j = 0; j < static_cast<std::int32_t>(e.nodes()); ++j) {
    const int q = e.q(j);
    double* to = out + e.lambda_at(e.lambda_of(j));
    const double *xj = x + e.first(j), *yj = y + e.first(j);
    for (int a = 0; a < q; ++a)
      for (int c = 0; c < q; ++c) to[a * q + c] += scale * xj[a] * yj[c];
  }
}

}  // namespace glimm
