// Laplace: -2 log L = -2 [sum l(y, eta) - u'u / 2] at the mode of u + log|M|, M = T'Z'WZT + I, W = -d2l/deta2 (observed).
//
// Gradient with the mode's motion: lev = zt'M^-1 zt, c = W' lev, lam = M^-1 Zt'c, q = c - W zt'lam,
// d beta = X'(q - 2s), d T = lower(sum [(Z'q) - 2(Z's)] u' + (Z's) lam' + 2 D T P).
#include "mixed.hpp"

namespace glimm {

double LaplaceMixed::row_pass(const Stage& stage, const Vec& u, bool third) {
  const int q = data_.q;
  const Index n = data_.n;
  for (Vec* a : {&eta_, &l_, &d1_, &d2_}) a->resize(n);
  if (third) d3_.resize(n);
  zs_.resize(data_.levels.count * q);
  Vec part(data_.blocks(), 0.0);
  parallel_blocks(data_.blocks(), data_.threads, [&](Index b) {
    const Index r0 = data_.first(b), m = data_.last(b) - r0;
    for (Index j = data_.edges[b]; j < data_.edges[b + 1]; ++j)
      for (Index i = data_.levels.starts[j]; i < data_.levels.starts[j + 1]; ++i) eta_[i] = xb_[i] + dot(&zt_[i * q], &u[j * q], q);
    stage_jets(stage, m, &data_.y[r0], data_.size_at(r0), &eta_[r0], &l_[r0], &d1_[r0], &d2_[r0], third ? &d3_[r0] : nullptr);
    double h = 0.0;
    for (Index i = r0; i < r0 + m; ++i) h += l_[i];
    for (Index j = data_.edges[b]; j < data_.edges[b + 1]; ++j) {
      double* d = factor_.diagonal(j);
      double* g = &zs_[j * q];
      std::fill(d, d + q * q, 0.0);
      std::fill(g, g + q, 0.0);
      for (int a = 0; a < q; ++a) h -= 0.5 * u[j * q + a] * u[j * q + a];
      for (Index i = data_.levels.starts[j]; i < data_.levels.starts[j + 1]; ++i)
        for (int a = 0; a < q; ++a) {
          const double z = data_.z[i * q + a];
          g[a] += z * d1_[i];
          for (int c = 0; c <= a; ++c) d[a * q + c] -= d2_[i] * z * data_.z[i * q + c];
        }
    }
    part[b] = h;
  });
  double h = 0.0;
  for (double v : part) h += v;
  return h;
}

// At the end the row stage, third derivatives included, is that of the modes.
bool LaplaceMixed::find_modes(const Stage& stage, const double* t, double& h) {
  const int q = data_.q;
  const Index levels = data_.levels.count;
  Vec best = u_, step(u_.size());
  double length = 1.0, best_h = -HUGE_VAL;
  bool last = false;
  for (int it = 0; it < 200; ++it) {
    h = row_pass(stage, u_, last);
    if (!(h >= best_h - 1e-11 * std::fabs(best_h) - 1e-12)) {
      if (it == 0) {  // the warm start lies outside the family's range: begin at zero, once
        std::fill(u_.begin(), u_.end(), 0.0);
        best_h = -1e308;
        best = u_;
        continue;
      }
      if (best_h == -1e308 || length < 1e-10) return false;
      length *= 0.25;
      for (size_t i = 0; i < u_.size(); ++i) u_[i] = best[i] + length * step[i];
      continue;
    }
    best_h = h;
    length = 1.0;
    if (!factor_.factor(t, false)) {  // far from the mode observed weights may be negative: keep the step's curvature positive
      for (Index j = 0; j < levels; ++j)
        for (int a = 0; a < q; ++a)
          for (int c = 0; c <= a; ++c) factor_.diagonal(j)[a * q + c] = a == c ? std::max(0.0, factor_.diagonal(j)[a * q + a]) : 0.0;
      if (last || !factor_.factor(t, false)) return false;
    }
    if (last) return true;
    double decrement = 0.0;
    best = u_;
    for (Index j = 0; j < levels; ++j) {
      double* s = &step[j * q];
      for (int a = 0; a < q; ++a) {
        s[a] = -u_[j * q + a];
        for (int k = a; k < q; ++k) s[a] += t[k * q + a] * zs_[j * q + k];
      }
      solve_lower(factor_.chol(j), q, q, s);
      decrement += dot(s, s, q);
      solve_lower_t(factor_.chol(j), q, q, s);
      for (int a = 0; a < q; ++a) u_[j * q + a] += s[a];
    }
    last = decrement < 1e-9;  // quadratic convergence: one more step leaves about 1e-18
  }
  return false;
}

MixedEvaluation LaplaceMixed::evaluate(const Stage& stage, const double* vector, int order) {
  MixedEvaluation out;
  const int p = data_.p, q = data_.q, nt = data_.nt;
  const Index n = data_.n, levels = data_.levels.count;
  const Vec t = unpack_t(vector + p, q);
  data_.linear(vector, t.data(), xb_, zt_);
  double h = 0.0;
  if (!find_modes(stage, t.data(), h)) return out;
  out.deviance = -2.0 * (h + data_.constant(stage)) + factor_.logdet();
  out.ok = std::isfinite(out.deviance);
  out.u = u_;
  out.inverse_blocks.resize(levels * q * q);
  for (Index j = 0; j < levels; ++j) factor_.inverse_block(j, nullptr, 0, &out.inverse_blocks[j * q * q]);
  if (order == 0 || !out.ok) return out;

  lam_.resize(levels * q);
  for (Vec* a : {&lev_, &v_, &pulled_}) a->resize(n);  // pulled = zt'lam
  std::vector<Vec> part(data_.blocks(), Vec(q * q, 0.0));
  parallel_blocks(data_.blocks(), data_.threads, [&](Index b) {
    Vec tp(q * q), dtp(q * q), zq(q);
    for (Index j = data_.edges[b]; j < data_.edges[b + 1]; ++j) {
      const double* pj = &out.inverse_blocks[j * q * q];
      const double* u = &u_[j * q];
      const double* zs = &zs_[j * q];
      double* lj = &lam_[j * q];
      Vec rhs(q, 0.0);
      std::fill(zq.begin(), zq.end(), 0.0);
      const Index r0 = data_.levels.starts[j], r1 = data_.levels.starts[j + 1];
      for (Index i = r0; i < r1; ++i) {
        const double* z = &zt_[i * q];
        double s = 0.0;
        for (int a = 0; a < q; ++a) s += z[a] * dot(pj + a * q, z, q);
        lev_[i] = s;
        for (int a = 0; a < q; ++a) rhs[a] -= d3_[i] * s * z[a];
      }
      for (int a = 0; a < q; ++a) lj[a] = dot(pj + a * q, rhs.data(), q);
      for (Index i = r0; i < r1; ++i) {
        pulled_[i] = dot(&zt_[i * q], lj, q);
        const double qi = -d3_[i] * lev_[i] + d2_[i] * pulled_[i];
        v_[i] = qi - 2.0 * d1_[i];
        for (int a = 0; a < q; ++a) zq[a] += data_.z[i * q + a] * qi;
      }
      const double* d = factor_.diagonal(j);
      for (int a = 0; a < q; ++a)
        for (int c = 0; c < q; ++c) {
          double s = 0.0;
          for (int k = 0; k <= a; ++k) s += t[a * q + k] * pj[k * q + c];
          tp[a * q + c] = s;
        }
      for (int a = 0; a < q; ++a)
        for (int c = 0; c <= a; ++c) {
          double s = 0.0;
          for (int k = 0; k < q; ++k) s += (k <= a ? d[a * q + k] : d[k * q + a]) * tp[k * q + c];
          part[b][a * q + c] += (zq[a] - 2.0 * zs[a]) * u[c] + zs[a] * lj[c] + 2.0 * s;
        }
    }
  });
  out.gradient.assign(p + nt + (stage.has_psi() ? 1 : 0), 0.0);
  data_.transpose_times(v_, out.gradient.data());
  for (const auto& s : part) {
    int k = p;
    for (int c = 0; c < q; ++c)
      for (int r = c; r < q; ++r) out.gradient[k++] += s[r * q + c];
  }
  if (stage.has_psi()) {
    Vec l_psi(n), s_psi(n), w_psi(n);
    stage_psi(stage, n, data_.y.data(), data_.size_at(0), eta_.data(), l_psi.data(), s_psi.data(), w_psi.data());
    double g = 0.0;
    for (Index i = 0; i < n; ++i) g += -2.0 * l_psi[i] + lev_[i] * w_psi[i] + pulled_[i] * s_psi[i];
    out.gradient[p + nt] = g;
  }
  if (order > 1) {
    Vec w(n);
    for (Index i = 0; i < n; ++i) w[i] = -d2_[i];
    out.hessian = data_.model_hessian(stage, t.data(), u_, w, zt_, eta_, factor_);
  }
  return out;
}

}  // namespace glimm
