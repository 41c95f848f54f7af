// Rows as estimating equations use them: x~ = mu' sqrt(size / v) x and e = (y - mu) sqrt(size / v), one block at a time.
#pragma once
#include "families.hpp"
#include "rows.hpp"

namespace glimm {

struct WeightedRows {
  Vec x, eta, y, size, mu, m1, v, root, e;
  void grow(Index m, int p) {
    if (static_cast<Index>(eta.size()) >= m) return;
    for (Vec* a : {&eta, &y, &size, &mu, &m1, &v, &root, &e}) a->resize(m);
    x.resize(static_cast<size_t>(m) * p);
  }
};

// x~ (m x p, in place of x) and e for m rows from r0; root is sqrt(size / v)
inline void weighted_rows(const Rows& rows, const Stage& stage, const double* beta, Index r0, Index m, WeightedRows& s) {
  const int p = rows.p;
  rows.linear(r0, m, beta, s.eta.data());
  rows.gather(rows.y, r0, m, s.y.data());
  if (rows.size) rows.gather(rows.size, r0, m, s.size.data());
  link_mean(stage.link, stage.power, m, s.eta.data(), s.mu.data(), s.m1.data(), nullptr, nullptr);
  family_variance(stage, m, s.mu.data(), s.v.data());
  rows.fill(r0, m, s.x.data());
  for (Index i = 0; i < m; ++i) {
    // a fitted probability of exactly 0 or 1 has no weight; an impossible mean makes everything NaN
    const double root = s.v[i] == 0.0 ? 0.0 : std::sqrt((rows.size ? s.size[i] : 1.0) / s.v[i]);
    s.root[i] = root;
    s.e[i] = (s.y[i] - s.mu[i]) * root;
    const double q = s.m1[i] * root;
    for (int c = 0; c < p; ++c) s.x[i * p + c] *= q;
  }
}

}  // namespace glimm
