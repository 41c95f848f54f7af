// Laplace: -2 log L = -2 [sum l(y, eta) - u'u / 2] at the mode of u + log|M|, M = T'Z'WZT + I, W = -d2l/deta2 (observed).
//
// Gradient with the mode's motion: lev = zt'M^-1 zt, c = W' lev, lam = M^-1 Zt'c, q = c - W zt'lam,
// d beta = X'(q - 2s), d T = lower(sum [(Z'q) - 2(Z's)] u' + (Z's) lam' + 2 D T P).
#include "laplace.hpp"

namespace glimm {

namespace {

struct BlockSums {
  double value = 0.0, logdet = 0.0;
  bool ok = false;
  Vec beta, t, psi;
};

}  // namespace

// Moves the modes to first order from where the last model Hessian was made.
void LaplaceMixed::foretell(const double* vector) {
  if (base_.vector.empty()) return;
  const int p = data_.p, q = data_.q;
  Vec db(p), dt = unpack_t(vector + p, q);
  double moved = 0.0;
  for (int c = 0; c < p; ++c) moved += std::fabs(db[c] = vector[c] - base_.vector[c]);
  for (int a = 0; a < q * q; ++a) moved += std::fabs(dt[a] -= base_.t[a]);
  if (moved == 0.0) return;
  parallel_blocks(data_.blocks(), data_.threads, [&](Index b) {
    Vec rhs(q), inner(q);
    for (Index j = data_.edges[b]; j < data_.edges[b + 1]; ++j) {
      const double *u = &base_.u[j * q], *zs = &base_.zs[j * q], *d = &base_.d[j * q * q], *panel = &base_.panels[j * p * q];
      for (int a = 0; a < q; ++a) {  // -(D dT u + Z'WX dbeta)
        double s = 0.0;
        for (int c = 0; c < p; ++c) s -= panel[c * q + a] * db[c];
        inner[a] = s;
      }
      for (int k = 0; k < q; ++k) {
        double tu = 0.0;
        for (int c = 0; c <= k; ++c) tu += dt[k * q + c] * u[c];
        for (int a = 0; a < q; ++a) inner[a] -= d[a >= k ? a * q + k : k * q + a] * tu;
      }
      for (int a = 0; a < q; ++a) {
        double s = 0.0;
        for (int k = a; k < q; ++k) s += dt[k * q + a] * zs[k] + base_.t[k * q + a] * inner[k];
        rhs[a] = s;
      }
      solve_lower(&base_.l[j * q * q], q, q, rhs.data());
      solve_lower_t(&base_.l[j * q * q], q, q, rhs.data());
      for (int a = 0; a < q; ++a) at_.u[j * q + a] = u[a] + rhs[a];
    }
  });
}

MixedEvaluation LaplaceMixed::evaluate(const Stage& stage, const double* vector, Ask ask) {
  return at_.unless_stopped([&] { return with_effects(data_.q, [&](auto size) { return evaluated<size()>(stage, vector, ask); }); });
}

template <int Q> MixedEvaluation LaplaceMixed::evaluated(const Stage& stage, const double* vector, Ask ask) {
  MixedEvaluation out;
  const int p = data_.p, q = Q ? Q : data_.q, nt = data_.nt, n_psi = stage.n_psi(), size_all = p + nt + n_psi;
  const Index levels = data_.levels.count;
  const Index* starts = data_.levels.starts;
  const Vec t = unpack_t(vector + p, q);
  foretell(vector);
  std::vector<BlockSums> parts(data_.blocks());
  std::vector<HessianSums> hessians(ask.order > 1 ? data_.blocks() : 0, HessianSums(p, q, n_psi));
  if (ask.blocks) out.inverse_blocks.resize(levels * q * q);
  parallel_blocks(data_.blocks(), data_.threads, [&](Index b) {
    static thread_local LaplaceRows k;
    BlockSums& sums = parts[b];
    sums.ok = at_.block<Q>(b, stage, vector, t, ask.order > 0, k);
    if (!sums.ok) return;
    const Index r0 = data_.first(b), m = data_.last(b) - r0;
    k.size(m);
    LogProduct pivots;
    for (Index i = 0; i < m; ++i) sums.value += k.l[i];
    for (Index j = data_.edges[b]; j < data_.edges[b + 1]; ++j)
      for (int a = 0; a < q; ++a) {
        pivots.add(at_.factor.chol(j)[a * q + a]);
        sums.value -= 0.5 * at_.u[j * q + a] * at_.u[j * q + a];
      }
    sums.logdet = 2.0 * pivots.log();
    if (ask.blocks)
      for (Index j = data_.edges[b]; j < data_.edges[b + 1]; ++j) at_.factor.inverse_block<Q>(j, &out.inverse_blocks[j * q * q]);
    if (ask.order == 0) return;
    sums.beta.assign(p, 0.0);
    sums.t.assign(q * q, 0.0);
    Vec inverse(q * q), lam(q), rhs(q), zq(q), tp(q * q);
    for (Index j = data_.edges[b]; j < data_.edges[b + 1]; ++j) {
      at_.factor.inverse_block<Q>(j, inverse.data());
      const double *u = &at_.u[j * q], *zs = &at_.zs[j * q], *d = at_.factor.diagonal(j);
      std::fill(rhs.begin(), rhs.end(), 0.0);
      std::fill(zq.begin(), zq.end(), 0.0);
      for (Index i = starts[j] - r0; i < starts[j + 1] - r0; ++i) {
        const double* z = &k.zt[i * q];
        double s = 0.0;
        for (int a = 0; a < q; ++a) s += z[a] * dot(&inverse[a * q], z, q);
        k.lev[i] = s;
        for (int a = 0; a < q; ++a) rhs[a] -= k.d3[i] * s * z[a];
      }
      for (int a = 0; a < q; ++a) lam[a] = dot(&inverse[a * q], rhs.data(), q);
      for (Index i = starts[j] - r0; i < starts[j + 1] - r0; ++i) {
        k.pulled[i] = dot(&k.zt[i * q], lam.data(), q);
        const double qi = -k.d3[i] * k.lev[i] + k.d2[i] * k.pulled[i];
        k.v[i] = qi - 2.0 * k.d1[i];
        for (int a = 0; a < q; ++a) zq[a] += data_.z[(i + r0) * q + a] * qi;
      }
      for (int a = 0; a < q; ++a)
        for (int c = 0; c < q; ++c) {
          double s = 0.0;
          for (int e = 0; e <= a; ++e) s += t[a * q + e] * inverse[e * q + c];
          tp[a * q + c] = s;
        }
      for (int a = 0; a < q; ++a)
        for (int c = 0; c <= a; ++c) {
          double s = 0.0;
          for (int e = 0; e < q; ++e) s += (e <= a ? d[a * q + e] : d[e * q + a]) * tp[e * q + c];
          sums.t[a * q + c] += (zq[a] - 2.0 * zs[a]) * u[c] + zs[a] * lam[c] + 2.0 * s;
        }
    }
    data_.rows.transpose_times(r0, m, k.v.data(), sums.beta.data());
    sums.psi.assign(n_psi, 0.0);
    if (n_psi) {
      const Vec constants = data_.constant_psi(stage, r0, m);
      Vec l_psi(m), s_psi(m), w_psi(m);
      for (int c = 0; c < n_psi; ++c) {
        stage_psi(stage, c, m, &data_.y[r0], data_.size_at(r0), k.eta.data(), l_psi.data(), s_psi.data(), w_psi.data());
        for (Index i = 0; i < m; ++i) sums.psi[c] += -2.0 * (l_psi[i] + constants[c * m + i]) + k.lev[i] * w_psi[i] + k.pulled[i] * s_psi[i];
      }
    }
    if (ask.order < 2) return;
    for (Index i = 0; i < m; ++i) k.w[i] = -k.d2[i];
    data_.add_model_hessian(b, stage, t.data(), k.w.data(), at_.zs.data(), k.zt, k.eta.data(), at_.factor, hessians[b]);
  });
  double value = data_.constant(stage), logdet = 0.0;
  for (const auto& s : parts) {
    if (!s.ok) {
      at_.forget();
      base_.vector.clear();
      return out;
    }
    value += s.value;
    logdet += s.logdet;
  }
  out.deviance = -2.0 * value + logdet;
  out.ok = std::isfinite(out.deviance);
  out.u = at_.u;
  if (ask.order == 0 || !out.ok) return out;
  out.gradient.assign(size_all, 0.0);
  for (const auto& s : parts) {
    for (int c = 0; c < p; ++c) out.gradient[c] += s.beta[c];
    int i = p;
    for (int c = 0; c < q; ++c)
      for (int r = c; r < q; ++r) out.gradient[i++] += s.t[r * q + c];
    for (int c = 0; c < n_psi; ++c) out.gradient[i + c] += s.psi[c];
  }
  if (ask.order > 1) {
    out.hessian = data_.model_hessian(stage, t.data(), hessians);
    base_.vector.clear();
    base_.t = t;
    base_.u = at_.u;
    base_.zs = at_.zs;
    base_.d.assign(at_.factor.diagonal(0), at_.factor.diagonal(0) + levels * q * q);
    base_.l.assign(at_.factor.chol(0), at_.factor.chol(0) + levels * q * q);
    base_.panels.assign(at_.factor.panel(0), at_.factor.panel(0) + levels * p * q);
    base_.vector.assign(vector, vector + size_all);
  }
  return out;
}

}  // namespace glimm
