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

double MixedRows::constant(const Stage& stage) {
  Vec at{static_cast<double>(stage.family)};
  at.insert(at.end(), stage.psi, stage.psi + stage.n_psi());
  if (at != constant_at_) {
    constant_ = stage_constant(stage, n, y.data(), trials.empty() ? nullptr : trials.data(), weights.empty() ? nullptr : weights.data());
    constant_at_ = at;
  }
  return constant_;
}

Vec MixedRows::constant_psi(const Stage& stage, Index r0, Index m) const {
  Vec d(static_cast<size_t>(m) * stage.n_psi(), 0.0);
  add_constant_psi(stage, m, &y[r0], size_at(r0), d.data());
  return d;
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
  const int k = stage.n_psi();
  if (k == 0) return;
  const Index m = last(b) - begin;
  Vec scores(static_cast<size_t>(k) * m), r(static_cast<size_t>(k) * q);
  const Vec own = psi_curvature(stage, m, &y[begin], size_at(begin), eta, scores.data());
  for (size_t c = 0; c < own.size(); ++c) sums.psi[c] += own[c];
  for (Index j = edges[b]; j < edges[b + 1]; ++j) {
    std::fill(r.begin(), r.end(), 0.0);
    for (int c = 0; c < k; ++c) {
      for (Index i = levels.starts[j] - begin; i < levels.starts[j + 1] - begin; ++i)
        for (int a = 0; a < q; ++a) r[c * q + a] += zt[i * q + a] * scores[c * m + i];
      solve_lower(factor.chol(j), q, q, &r[c * q]);
      for (int i = 0; i <= c; ++i) {
        const double shared = dot(&r[c * q], &r[i * q], q);
        sums.psi[c * k + i] -= shared;
        if (i < c) sums.psi[i * k + c] -= shared;
      }
    }
  }
}

Vec MixedRows::model_hessian(const Stage& stage, const double* t, const std::vector<HessianSums>& parts) const {
  const int k = stage.n_psi(), size_all = p + nt + k;
  Vec h(static_cast<size_t>(size_all) * size_all, 0.0);
  HessianSums total(p, q, k);
  for (const auto& s : parts) {
    for (size_t c = 0; c < total.xvx.size(); ++c) total.xvx[c] += s.xvx[c];
    total.moments.add(s.moments);
    for (size_t c = 0; c < total.psi.size(); ++c) total.psi[c] += s.psi[c];
  }
  for (int a = 0; a < p; ++a)
    for (int c = 0; c <= a; ++c) h[a * size_all + c] = h[c * size_all + a] = 2.0 * total.xvx[a * p + c];
  const Vec average = total.moments.average_information(t);
  for (int i = 0; i < nt; ++i)
    for (int l = 0; l < nt; ++l) h[(p + i) * size_all + p + l] = average[i * nt + l];
  place_curvature(total.psi, k, 1e-4 * static_cast<double>(n), &h[static_cast<size_t>(p + nt) * (size_all + 1)], size_all);
  return h;
}

}  // namespace glimm
