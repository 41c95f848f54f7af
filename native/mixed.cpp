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

void MixedRows::linear(const double* beta, const double* t, Vec& xb, Vec& zt) const {
  xb.resize(n);
  zt.resize(n * q);
  parallel_blocks(blocks(), threads, [&](Index b) {
    const Index r0 = first(b), r1 = last(b);
    rows.linear(r0, r1 - r0, beta, xb.data() + r0);
    for (Index i = r0; i < r1; ++i)
      for (int a = 0; a < q; ++a) {
        double s = 0.0;
        for (int k = a; k < q; ++k) s += t[k * q + a] * z[i * q + k];
        zt[i * q + a] = s;
      }
  });
}

void MixedRows::transpose_times(const Vec& v, double* g) const {
  std::vector<Vec> part(blocks(), Vec(p, 0.0));
  parallel_blocks(blocks(), threads, [&](Index b) { rows.transpose_times(first(b), last(b) - first(b), v.data() + first(b), part[b].data()); });
  for (const auto& s : part)
    for (int c = 0; c < p; ++c) g[c] += s[c];
}

Vec MixedRows::fill_panels(const Vec& w, BlockedFactor& factor) const {
  std::vector<Vec> part(blocks());
  parallel_blocks(blocks(), threads, [&](Index b) {
    part[b].assign(static_cast<size_t>(p) * p, 0.0);
    Vec x;
    over_runs(levels.starts, edges[b], edges[b + 1], [&](Index from, Index to, Index r0, Index m) {
      x.resize(static_cast<size_t>(m) * p);
      rows.fill(r0, m, x.data());
      add_outer(part[b].data(), p, x.data(), w.data() + r0, m);
      for (Index j = from; j < to; ++j) {
        double* panel = factor.panel(j);
        std::fill(panel, panel + p * q, 0.0);
        for (Index r = levels.starts[j]; r < levels.starts[j + 1]; ++r)
          for (int a = 0; a < q; ++a) {
            const double wz = w[r] * z[r * q + a];
            const double* row = &x[(r - r0) * p];
            for (int c = 0; c < p; ++c) panel[c * q + a] += wz * row[c];
          }
      }
    });
  });
  Vec total(static_cast<size_t>(p) * p, 0.0);
  for (const auto& s : part)
    for (size_t c = 0; c < total.size(); ++c) total[c] += s[c];
  return total;
}

Vec MixedRows::model_hessian(const Stage& stage, const double* t, const Vec& u, const Vec& w, const Vec& zt, const Vec& eta, BlockedFactor& factor) const {
  const bool has_psi = stage.has_psi();
  const int size_all = p + nt + (has_psi ? 1 : 0);
  Vec h(static_cast<size_t>(size_all) * size_all, 0.0);
  Vec xvx = fill_panels(w, factor);
  factor.factor(t);
  factor.subtract_panels(xvx.data());
  for (int a = 0; a < p; ++a)
    for (int c = 0; c <= a; ++c) h[a * size_all + c] = h[c * size_all + a] = 2.0 * xvx[a * p + c];
  const ThetaDirections theta(t, q);
  Vec d(nt * q), v(nt * q);
  for (Index j = 0; j < levels.count; ++j) {
    theta.directions(&u[j * q], d.data());
    v = d;
    for (int k = 0; k < nt; ++k) solve_lower(factor.chol(j), q, q, v.data() + k * q);
    for (int k = 0; k < nt; ++k)
      for (int l = 0; l < nt; ++l)
        h[(p + k) * size_all + p + l] += dot(d.data() + k * q, d.data() + l * q, q) - dot(v.data() + k * q, v.data() + l * q, q);
  }
  if (has_psi) {
    constexpr double step = 1e-4;
    Vec l0(n), l1(n), s(n), s1(n), unused(n);
    Stage moved = stage;
    moved.psi += step;
    stage_psi(stage, n, y.data(), size_at(0), eta.data(), l0.data(), s.data(), unused.data());
    stage_psi(moved, n, y.data(), size_at(0), eta.data(), l1.data(), s1.data(), unused.data());
    double curvature = 0.0, shared = 0.0;
    for (Index i = 0; i < n; ++i) curvature -= (l1[i] - l0[i]) / step;
    Vec r(q);
    for (Index j = 0; j < levels.count; ++j) {
      std::fill(r.begin(), r.end(), 0.0);
      for (Index i = levels.starts[j]; i < levels.starts[j + 1]; ++i)
        for (int a = 0; a < q; ++a) r[a] += zt[i * q + a] * s[i];
      solve_lower(factor.chol(j), q, q, r.data());
      shared += dot(r.data(), r.data(), q);
    }
    const double own = 2.0 * (curvature - shared);
    h[static_cast<size_t>(size_all) * size_all - 1] = own > 0.0 ? own : 2.0 * static_cast<double>(n);
  }
  return h;
}

}  // namespace glimm
