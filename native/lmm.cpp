// LMM: everything of one evaluation comes from the Cholesky factor of the (random | X | y) cross-product matrix, y last.
//
// gradient: lower(2 T^-T K), K = J I - sum_j P_jj - sum_j u_j u_j' / s2, P = M^-1 (ML) or the random block of M_+^-1 (REML);
// model Hessian: average information (Gilmour, Thompson and Cullis 1995) plus the second-order term of Sigma = T T'.
#include "lmm.hpp"

#include "threads.hpp"

namespace glimm {

LinearMixed::LinearMixed(const Rows& rows, const Levels& levels, int threads)
    : n_(rows.n), levels_(levels.count), p_(rows.p), q_(levels.q), factor_(levels.count, levels.q, rows.p + 1) {
  const int e = p_ + 1, q = q_;
  const auto edges = cluster_blocks(levels.starts, levels.count);
  const Index blocks = static_cast<Index>(edges.size()) - 1;
  std::vector<Vec> part(blocks);
  Vec logs(blocks, 0.0);
  parallel_blocks(blocks, threads, [&](Index b) {
    part[b].assign(static_cast<size_t>(e) * e, 0.0);
    Vec x, xy, w;
    over_runs(levels.starts, edges[b], edges[b + 1], [&](Index from, Index to, Index r0, Index m) {
      x.resize(static_cast<size_t>(m) * p_);
      xy.resize(static_cast<size_t>(m) * e);
      w.resize(m);
      rows.fill(r0, m, x.data());
      for (Index i = 0; i < m; ++i) {
        std::copy(x.begin() + i * p_, x.begin() + (i + 1) * p_, xy.begin() + i * e);
        xy[i * e + p_] = rows.y[rows.at(r0 + i)];
        w[i] = rows.size ? rows.size[rows.at(r0 + i)] : 1.0;
        if (rows.size) logs[b] += std::log(w[i]);
      }
      add_outer(part[b].data(), e, xy.data(), rows.size ? w.data() : nullptr, m);
      for (Index j = from; j < to; ++j) {
        double* d = factor_.diagonal(j);
        double* panel = factor_.panel(j);
        for (Index r = levels.starts[j]; r < levels.starts[j + 1]; ++r)
          for (int a = 0; a < q; ++a) {
            const double wz = w[r - r0] * levels.z_at(rows, r, a);
            const double* row = &xy[(r - r0) * e];
            for (int c = 0; c <= a; ++c) d[a * q + c] += wz * levels.z_at(rows, r, c);
            for (int c = 0; c < e; ++c) panel[c * q + a] += wz * row[c];
          }
      }
    });
  });
  cross_.assign(static_cast<size_t>(e) * e, 0.0);
  for (Index b = 0; b < blocks; ++b) {
    log_weights_ += logs[b];
    for (size_t c = 0; c < cross_.size(); ++c) cross_[c] += part[b][c];
  }
}

LmmEvaluation LinearMixed::evaluate(const double* t, bool reml, bool derivatives, bool blocks) {
  LmmEvaluation out;
  const int p = p_, q = q_, e = p + 1;
  if (!factor_.factor(t)) return out;
  Vec s = cross_;
  factor_.subtract_panels(s.data());
  Vec lead(static_cast<size_t>(p) * p);
  for (int a = 0; a < p; ++a)
    for (int c = 0; c <= a; ++c) lead[a * p + c] = s[a * e + c];
  out.information = lead;
  mirror(out.information.data(), p);
  if (!cholesky(s.data(), e, e)) return out;
  const double ne = static_cast<double>(reml ? n_ - p : n_);
  out.r2 = s[p * e + p] * s[p * e + p];
  const double s2 = out.r2 / ne;
  double logdet_x = 0.0;
  for (int c = 0; c < p; ++c) logdet_x += 2.0 * std::log(s[c * e + c]);
  out.deviance = factor_.logdet() + (reml ? logdet_x : 0.0) + ne * (1.0 + std::log(2.0 * 3.14159265358979323846 * s2)) - log_weights_;
  out.beta.assign(s.begin() + static_cast<Index>(p) * e, s.begin() + static_cast<Index>(p) * e + p);
  solve_lower_t(s.data(), p, e, out.beta.data());
  out.u.resize(levels_ * q);
  for (Index j = 0; j < levels_; ++j) {
    const double* v = factor_.solved(j);
    double* u = &out.u[j * q];
    for (int a = 0; a < q; ++a) {
      u[a] = v[p * q + a];
      for (int c = 0; c < p; ++c) u[a] -= v[c * q + a] * out.beta[c];
    }
    solve_lower_t(factor_.chol(j), q, q, u);
  }
  out.ok = true;
  if (blocks) {
    out.inverse_blocks.resize(levels_ * q * q);
    for (Index j = 0; j < levels_; ++j) factor_.inverse_block(j, nullptr, 0, &out.inverse_blocks[j * q * q]);
  }
  if (!derivatives) return out;

  const ThetaDirections theta(t, q);
  const int nt = theta.size();
  const Vec w = reml ? inverse_from_cholesky(s.data(), p, e) : Vec();
  Vec kmat(q * q, 0.0), uu(q * q, 0.0), block(q * q);
  Vec d(nt * q), v(nt * q), rest(static_cast<size_t>(nt) * p, 0.0), h(nt * nt, 0.0);
  for (Index j = 0; j < levels_; ++j) {
    factor_.inverse_block(j, reml ? w.data() : nullptr, p, block.data());
    const double* u = &out.u[j * q];
    for (int a = 0; a < q; ++a)
      for (int c = 0; c < q; ++c) {
        kmat[a * q + c] -= block[a * q + c];
        uu[a * q + c] += u[a] * u[c];
      }
    theta.directions(u, d.data());
    const double* panel = factor_.solved(j);
    for (int k = 0; k < nt; ++k) {
      double* vk = v.data() + k * q;
      std::copy(d.begin() + k * q, d.begin() + (k + 1) * q, vk);
      solve_lower(factor_.chol(j), q, q, vk);
      for (int c = 0; c < p; ++c) rest[k * p + c] -= dot(panel + c * q, vk, q);
      for (int l = 0; l <= k; ++l) h[k * nt + l] += dot(d.data() + k * q, d.data() + l * q, q) - dot(vk, v.data() + l * q, q);
    }
  }
  Vec minus_uu(q * q);
  for (int a = 0; a < q; ++a)
    for (int c = 0; c < q; ++c) {
      kmat[a * q + c] += (a == c ? static_cast<double>(levels_) : 0.0) - uu[a * q + c] / s2;
      minus_uu[a * q + c] = -uu[a * q + c];
    }
  out.gradient.resize(nt);
  theta.chain(kmat.data(), out.gradient.data());
  Vec dr2(nt);
  theta.chain(minus_uu.data(), dr2.data());
  for (int k = 0; k < nt; ++k) solve_lower(s.data(), p, e, rest.data() + k * p);
  for (int k = 0; k < nt; ++k)
    for (int l = 0; l <= k; ++l)
      h[k * nt + l] = (h[k * nt + l] - dot(rest.data() + k * p, rest.data() + l * p, p)) / s2 - dr2[k] * dr2[l] / (ne * s2 * s2);
  mirror(h.data(), nt);
  theta.second_order(kmat.data(), h.data(), nt);
  out.hessian = h;
  return out;
}

}  // namespace glimm
