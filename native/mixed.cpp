// Rows in the order of levels, and the model Hessian: blockdiag(2 X'V^-1X, average information of T, curvature of psi).
#include "mixed.hpp"

namespace glimm {

MixedRows::MixedRows(const Rows& r, const Levels& lv, const Vec& trials_, const Vec& weights_, int threads_)
    : rows(r), levels(lv), threads(threads_), p(r.p), q(lv.q), nt(lv.q * (lv.q + 1) / 2), n(r.n), y(r.n), size(r.size ? r.n : 0), z(r.n * lv.q),
      edges(cluster_blocks(lv.starts, lv.count)), trials(trials_), weights(weights_) {
  rows.gather(rows.y, 0, n, y.data());
  if (rows.size) rows.gather(rows.size, 0, n, size.data());
  for (Index i = 0; i < n; ++i)
    for (int a = 0; a < q; ++a) z[i * q + a] = levels.z_at(rows, i, a);
}

double MixedRows::constant(const Stage& stage) const {
  return stage_constant(stage, n, y.data(), trials.empty() ? nullptr : trials.data(), weights.empty() ? nullptr : weights.data());
}

void MixedRows::linear(Index b, const double* beta, const double* t, Vec& xb, Vec& zt) const {
  with_effects(q, [&](auto size) { linear_of<size()>(b, beta, t, xb, zt); });
}

template <int Q> void MixedRows::linear_of(Index b, const double* beta, const double* t, Vec& xb, Vec& zt) const {
  const int q = Q ? Q : this->q;
  const Index r0 = first(b), m = last(b) - r0;
  xb.resize(m);
  zt.resize(m * q);
  rows.linear(r0, m, beta, xb.data());
  const double* from = &z[r0 * q];
  for (Index i = 0; i < m; ++i)
    for (int a = 0; a < q; ++a) {
      double s = 0.0;
      for (int k = a; k < q; ++k) s += t[k * q + a] * from[i * q + k];
      zt[i * q + a] = s;
    }
}

void MixedRows::add_model_hessian(Index b, const Stage& stage, const double* t, const double* w, const double* zs, const Vec& zt, const double* eta,
                                  BlockedFactor& factor, HessianSums& sums) const {
  with_effects(q, [&](auto size) { add_model_hessian_of<size()>(b, stage, t, w, zs, zt, eta, factor, sums); });
}

template <int Q>
void MixedRows::add_model_hessian_of(Index b, const Stage& stage, const double* t, const double* w, const double* zs, const Vec& zt, const double* eta,
                                     BlockedFactor& factor, HessianSums& sums) const {
  const int q = Q ? Q : this->q;
  const Index begin = first(b);
  Vec x, left(q * q), f(q * q), sum(static_cast<size_t>(q) * p);
  over_runs(levels.starts, edges[b], edges[b + 1], [&](Index from, Index to, Index r0, Index m) {
    x.resize(static_cast<size_t>(m) * p);
    rows.fill(r0, m, x.data());
    const double* weight = w + (r0 - begin);
    add_outer(sums.xvx.data(), p, x.data(), weight, m);
    for (Index j = from; j < to; ++j) {
      std::fill(sum.begin(), sum.end(), 0.0);
      for (Index r = levels.starts[j]; r < levels.starts[j + 1]; ++r) {
        const double* row = &x[(r - r0) * p];
        for (int a = 0; a < q; ++a) {
          const double wz = weight[r - r0] * z[r * q + a];
          double* to = &sum[static_cast<size_t>(a) * p];
          for (int c = 0; c < p; ++c) to[c] += wz * row[c];
        }
      }
      double* panel = factor.panel(j);
      for (int a = 0; a < q; ++a)
        for (int c = 0; c < p; ++c) panel[c * q + a] = sum[static_cast<size_t>(a) * p + c];
      factor.factor_level<Q>(j, t, true);
      factor.subtract_panels<Q>(j, sums.xvx.data());
      factor.information<Q>(j, t, left.data(), f.data());
      sums.moments.add<Q>(f.data(), zs + j * q);
    }
  });
  if (!stage.has_psi()) return;
  const Index m = last(b) - begin;
  constexpr double step = 1e-4;
  Vec l0(m), l1(m), s(m), s1(m), unused(m), r(q);
  Stage moved = stage;
  moved.psi += step;
  stage_psi(stage, m, &y[begin], size_at(begin), eta, l0.data(), s.data(), unused.data());
  stage_psi(moved, m, &y[begin], size_at(begin), eta, l1.data(), s1.data(), unused.data());
  for (Index i = 0; i < m; ++i) sums.psi_curvature -= (l1[i] - l0[i]) / step;
  for (Index j = edges[b]; j < edges[b + 1]; ++j) {
    std::fill(r.begin(), r.end(), 0.0);
    for (Index i = levels.starts[j] - begin; i < levels.starts[j + 1] - begin; ++i)
      for (int a = 0; a < q; ++a) r[a] += zt[i * q + a] * s[i];
    solve_lower(factor.chol(j), q, q, r.data());
    sums.psi_shared += dot(r.data(), r.data(), q);
  }
}

Vec MixedRows::model_hessian(const Stage& stage, const double* t, const std::vector<HessianSums>& parts) const {
  const bool has_psi = stage.has_psi();
  const int size_all = p + nt + (has_psi ? 1 : 0);
  Vec h(static_cast<size_t>(size_all) * size_all, 0.0);
  HessianSums total(p, q);
  for (const auto& s : parts) {
    for (size_t c = 0; c < total.xvx.size(); ++c) total.xvx[c] += s.xvx[c];
    total.moments.add(s.moments);
    total.psi_curvature += s.psi_curvature;
    total.psi_shared += s.psi_shared;
  }
  for (int a = 0; a < p; ++a)
    for (int c = 0; c <= a; ++c) h[a * size_all + c] = h[c * size_all + a] = 2.0 * total.xvx[a * p + c];
  const Vec average = total.moments.average_information(t);
  for (int k = 0; k < nt; ++k)
    for (int l = 0; l < nt; ++l) h[(p + k) * size_all + p + l] = average[k * nt + l];
  if (has_psi) {
    const double own = 2.0 * (total.psi_curvature - total.psi_shared);
    h[static_cast<size_t>(size_all) * size_all - 1] = own > 0.0 ? own : 2.0 * static_cast<double>(n);
  }
  return h;
}

}  // namespace glimm
