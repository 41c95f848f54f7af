// Rows of estimating equations: e = (y - mu) sqrt(size / v), x~ = h'(eta) sqrt(size / v) x.
#pragma once
#include "families.hpp"
#include "rows.hpp"

namespace glimm {

struct WeightedRows {
  Vec x, e, q;                  // m x p (or m x width), m, m: what a row of X is multiplied by
  Vec eta, y, size, mu, m1, v;  // m

  // x (m x p) and e apart
  void read(const Rows& rows, const Stage& stage, const double* beta, Index r0, Index m) {
    const int p = rows.p;
    weigh(rows, stage, beta, r0, m);
    if (static_cast<Index>(x.size()) < m * p) x.resize(static_cast<size_t>(m) * p);
    rows.fill(r0, m, x.data());
    for (Index i = 0; i < m; ++i)
      for (int c = 0; c < p; ++c) x[i * p + c] *= q[i];
  }

  // rows [x~ e 0 ..] of `width` numbers, so that one product has H, U and e'e
  void join(const Rows& rows, const Stage& stage, const double* beta, Index r0, Index m, int width) {
    weigh(rows, stage, beta, r0, m);
    if (static_cast<Index>(x.size()) < m * width) x.resize(static_cast<size_t>(m) * width);
    rows.fill_scaled(r0, m, width, q.data(), x.data());
    for (Index i = 0; i < m; ++i) x[i * width + rows.p] = e[i];
  }

 private:
  void weigh(const Rows& rows, const Stage& stage, const double* beta, Index r0, Index m) {
    if (static_cast<Index>(eta.size()) < m)
      for (Vec* a : {&eta, &y, &size, &mu, &m1, &v, &e, &q}) a->resize(m);
    rows.linear(r0, m, beta, eta.data());
    rows.gather(rows.y, r0, m, y.data());
    if (rows.size) rows.gather(rows.size, r0, m, size.data());
    link_mean(stage.link, stage.power, m, eta.data(), mu.data(), m1.data(), nullptr, nullptr);
    family_variance(stage, m, mu.data(), v.data());
    // a fitted probability of exactly 0 or 1 has no weight; an impossible mean makes everything NaN
    if (rows.size) for (Index i = 0; i < m; ++i) q[i] = v[i] == 0.0 ? 0.0 : std::sqrt(size[i] / v[i]);
    else for (Index i = 0; i < m; ++i) q[i] = v[i] == 0.0 ? 0.0 : std::sqrt(1.0 / v[i]);
    for (Index i = 0; i < m; ++i) {
      e[i] = (y[i] - mu[i]) * q[i];
      q[i] *= m1[i];
    }
  }
};

}  // namespace glimm
