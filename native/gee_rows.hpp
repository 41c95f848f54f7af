// Rows of estimating equations: e = (y - mu) sqrt(size / v), x~ = h'(eta) sqrt(size / v) x.
#pragma once
#include "families.hpp"
#include "rows.hpp"

namespace glimm {

struct WeightedRows {
  Vec x, e;                        // m x p, m
  Vec eta, y, size, mu, m1, v;     // m

  void read(const Rows& rows, const Stage& stage, const double* beta, Index r0, Index m) {
    const int p = rows.p;
    if (static_cast<Index>(eta.size()) < m) {
      for (Vec* a : {&eta, &y, &size, &mu, &m1, &v, &e}) a->resize(m);
      x.resize(static_cast<size_t>(m) * p);
    }
    rows.linear(r0, m, beta, eta.data());
    rows.gather(rows.y, r0, m, y.data());
    if (rows.size) rows.gather(rows.size, r0, m, size.data());
    link_mean(stage.link, stage.power, m, eta.data(), mu.data(), m1.data(), nullptr, nullptr);
    family_variance(stage, m, mu.data(), v.data());
    rows.fill(r0, m, x.data());
    for (Index i = 0; i < m; ++i) {
      // a fitted probability of exactly 0 or 1 has no weight; an impossible mean makes everything NaN
      const double root = v[i] == 0.0 ? 0.0 : std::sqrt((rows.size ? size[i] : 1.0) / v[i]);
      e[i] = (y[i] - mu[i]) * root;
      const double q = m1[i] * root;
      for (int c = 0; c < p; ++c) x[i * p + c] *= q;
    }
  }
};

}  // namespace glimm
