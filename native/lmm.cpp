// LMM: everything of one evaluation comes from the Cholesky factor of the (random | X | y) cross-product matrix, y last.
//
// gradient: lower(2 G T), G = sum_j Z_j'P Z_j - sum_j r_j r_j' / s2, r = Z'V^-1 e, P = V^-1 (ML) or V^-1 - V^-1X(X'V^-1X)^-1X'V^-1 (REML);
// model Hessian: average information (Gilmour, Thompson and Cullis 1995) plus the second-order term of Sigma = T T'.
#include "lmm.hpp"

#include "threads.hpp"

namespace glimm {
namespace {

constexpr Index kLevelRun = 256;  // levels between two checks for Ctrl-C

}  // namespace

LinearMixed::LinearMixed(const Rows& rows, const std::int32_t* refs, Index levels, const double* z, int q, int threads)
    : rows_(rows), refs_(refs), z_(z), levels_(levels), p_(rows.p), q_(q), fixed_(rows, threads), factor_(levels, q, rows.p + 1) {
  with_effects(q, [&](auto size) { scatter<size()>(true); });
}

Vec LinearMixed::mean_square() const {
  Vec out(q_, 0.0);
  for (Index j = 0; j < levels_; ++j)
    for (int a = 0; a < q_; ++a) out[a] += factor_.diagonal(j)[a * q_ + a];
  for (double& v : out) v /= static_cast<double>(levels_);
  return out;
}

// Rows as they stand, each to its level: one place in memory to go to, where gathering by level would be one per column.
template <int Q> void LinearMixed::scatter(bool everything) {
  const int p = p_, q = Q ? Q : q_;
  const Vec& residual = fixed_.residual();
  Vec x(static_cast<size_t>(kRunRows) * p);
  for (Index r0 = 0; r0 < rows_.n; r0 += kRunRows) {
    check_interrupt();
    const Index m = std::min(kRunRows, rows_.n - r0);
    if (everything) rows_.fill(r0, m, x.data());
    for (Index i = 0; i < m; ++i) {
      const Index r = r0 + i, j = refs_[r];
      const double w = rows_.size ? rows_.size[r] : 1.0;
      double *d = factor_.diagonal(j), *panel = factor_.panel(j);
      for (int a = 0; a < q; ++a) {
        const double wz = w * (z_ ? z_[r * q + a] : 1.0);
        panel[p * q + a] += wz * residual[r];
        if (!everything) continue;
        for (int c = 0; c <= a; ++c) d[a * q + c] += wz * (z_ ? z_[r * q + c] : 1.0);
        for (int c = 0; c < p; ++c) panel[c * q + a] += wz * x[i * p + c];
      }
    }
  }
}

void LinearMixed::respond(const double* y) {
  fixed_.respond(y);
  for (Index j = 0; j < levels_; ++j) std::fill(factor_.panel(j) + p_ * q_, factor_.panel(j) + (p_ + 1) * q_, 0.0);
  with_effects(q_, [&](auto size) { scatter<size()>(false); });
}

LmmEvaluation LinearMixed::evaluate(const double* t, bool reml, bool derivatives, bool blocks) {
  return with_effects(q_, [&](auto size) { return evaluated<size()>(t, reml, derivatives, blocks); });
}

template <int Q> LmmEvaluation LinearMixed::evaluated(const double* t, bool reml, bool derivatives, bool blocks) {
  LmmEvaluation out;
  const int p = p_, q = Q ? Q : q_, e = p + 1;
  const Index levels = levels_, n = rows_.n;
  const double unit = fixed_.unit();
  if (!factor_.factor<Q>(t)) return out;
  Vec s = fixed_.cross();
  for (Index j = 0; j < levels; ++j) {
    if (j % kLevelRun == 0) check_interrupt();
    factor_.subtract_panels<Q>(j, s.data());
  }
  Vec lead(static_cast<size_t>(p) * p);
  for (int a = 0; a < p; ++a)
    for (int c = 0; c <= a; ++c) lead[a * p + c] = s[a * e + c];
  out.information = lead;
  mirror(out.information.data(), p);
  if (!cholesky(s.data(), e, e)) return out;
  const double ne = static_cast<double>(reml ? n - p : n);
  const double r2 = s[p * e + p] * s[p * e + p], s2 = r2 / ne;  // of the response / unit, like everything below but what is put out
  double logdet_x = 0.0;
  for (int c = 0; c < p; ++c) logdet_x += 2.0 * std::log(s[c * e + c]);
  out.deviance = fixed_.deviance(factor_.logdet() + (reml ? logdet_x : 0.0), s2, ne);
  out.r2 = r2 * unit * unit;
  Vec beta(s.begin() + static_cast<Index>(p) * e, s.begin() + static_cast<Index>(p) * e + p);
  solve_lower_t(s.data(), p, e, beta.data());
  out.beta = fixed_.whole(beta.data());
  out.ok = true;
  if (!derivatives || blocks) {
    out.u.resize(levels * q);
    for (Index j = 0; j < levels; ++j) {
      const double* v = factor_.solved(j);
      double* u = &out.u[j * q];
      for (int a = 0; a < q; ++a) {
        u[a] = v[p * q + a];
        for (int c = 0; c < p; ++c) u[a] -= v[c * q + a] * beta[c];
      }
      solve_lower_t(factor_.chol(j), q, q, u);
      for (int a = 0; a < q; ++a) u[a] *= unit;
    }
  }
  if (blocks) {
    out.inverse_blocks.resize(levels * q * q);
    for (Index j = 0; j < levels; ++j) factor_.inverse_block<Q>(j, &out.inverse_blocks[j * q * q]);
  }
  if (!derivatives) return out;

  const int nt = q * (q + 1) / 2;
  const Vec w = reml ? inverse_from_cholesky(s.data(), p, e) : Vec();
  SigmaMoments moments(q);
  Vec g(q * q, 0.0), b(q * q), f(q * q), c(q * p), r(q), rest(static_cast<size_t>(q) * q * p, 0.0);
  for (Index j = 0; j < levels; ++j) {
    if (j % kLevelRun == 0) check_interrupt();
    factor_.information<Q>(j, t, b.data(), f.data());
    const double *panel = factor_.panel(j), *solved = factor_.solved(j);
    for (int a = 0; a < q; ++a) r[a] = panel[p * q + a];
    for (int a = 0; a < q; ++a)
      for (int k = 0; k < q; ++k) r[a] -= b[k * q + a] * solved[p * q + k];
    for (int a = 0; a < q; ++a)  // C = Z'V^-1X of this level
      for (int x = 0; x < p; ++x) {
        double v = panel[x * q + a];
        for (int k = 0; k < q; ++k) v -= b[k * q + a] * solved[x * q + k];
        c[a * p + x] = v;
        r[a] -= v * beta[x];
      }
    moments.add<Q>(f.data(), r.data());
    for (int a = 0; a < q; ++a)
      for (int k = 0; k < q; ++k) {
        double* sum = &rest[static_cast<size_t>(a * q + k) * p];
        for (int x = 0; x < p; ++x) sum[x] += c[a * p + x] * r[k];
      }
    for (int a = 0; a < q; ++a)
      for (int k = 0; k <= a; ++k) {
        double v = f[a * q + k];
        if (reml)
          for (int x = 0; x < p; ++x) v -= c[a * p + x] * dot(&w[static_cast<size_t>(x) * p], &c[k * p], p);
        g[a * q + k] += v;
      }
  }
  moments.mirror_rr();
  for (int a = 0; a < q; ++a)
    for (int k = 0; k <= a; ++k) g[k * q + a] = g[a * q + k] -= moments.rr[a * q + k] / s2;
  out.gradient.resize(nt);
  chain_to_t(g.data(), t, q, out.gradient.data());
  Vec dr2(nt), projected(static_cast<size_t>(nt) * p, 0.0);
  chain_to_t(moments.rr.data(), t, q, dr2.data());
  int k = 0;
  for (int col = 0; col < q; ++col)
    for (int row = col; row < q; ++row, ++k) {
      double* out_k = &projected[static_cast<size_t>(k) * p];
      for (int d = col; d < q; ++d)
        for (int x = 0; x < p; ++x)
          out_k[x] += t[d * q + col] * (rest[static_cast<size_t>(row * q + d) * p + x] + rest[static_cast<size_t>(d * q + row) * p + x]);
      solve_lower(s.data(), p, e, out_k);
    }
  Vec h = moments.average_information(t);
  for (int i = 0; i < nt; ++i)
    for (int l = 0; l < nt; ++l)
      h[i * nt + l] = (h[i * nt + l] - dot(&projected[static_cast<size_t>(i) * p], &projected[static_cast<size_t>(l) * p], p)) / s2 -
                      dr2[i] * dr2[l] / (ne * s2 * s2);
  add_second_order(g.data(), q, h.data(), nt);
  out.hessian = std::move(h);
  return out;
}

std::vector<LmmAnswer> LinearMixed::search_many(const double* responses, Index count, const Vec& theta, const Entries& entries, bool reml,
                                                const NewtonOptions& options, int threads) const {
  constexpr Index kRun = 16;
  std::vector<LmmAnswer> out(count);
  parallel_blocks((count + kRun - 1) / kRun, threads, [&](Index block) {
    LinearMixed own = *this;
    for (Index i = block * kRun; i < std::min(count, (block + 1) * kRun); ++i) {
      own.respond(responses + i * rows_.n);
      const NewtonResult found = own.search(theta, entries, reml, options);
      Vec t(static_cast<size_t>(q_) * q_, 0.0);
      for (int k = 0; k < entries.count; ++k) t[entries.rows[k] * q_ + entries.columns[k]] = found.x[k];
      LmmEvaluation last = own.evaluate(t.data(), reml, false, false);
      bool held = false;
      for (char f : found.floor) held = held || f;
      out[i] = {found.x, std::move(last.beta), last.deviance, last.r2, found.converged && last.ok && !held};
    }
  });
  return out;
}

NewtonResult LinearMixed::search(const Vec& theta, const Entries& entries, bool reml, const NewtonOptions& options) {
  const int q = q_, nt = q * (q + 1) / 2, k = entries.count;
  std::vector<int> at(k), place(k);  // in T, and among the entries of the lower triangle column by column
  for (int i = 0; i < k; ++i) {
    const int r = static_cast<int>(entries.rows[i]), c = static_cast<int>(entries.columns[i]);
    at[i] = r * q + c;
    place[i] = c * q - c * (c - 1) / 2 + r - c;
  }
  const auto evaluate_theta = [&](const Vec& x) {
    Vec t(q * q, 0.0);
    for (int i = 0; i < k; ++i) t[at[i]] = x[i];
    const LmmEvaluation e = evaluate(t.data(), reml, true, false);
    Evaluation out;
    out.ok = e.ok;
    out.value = e.ok ? e.deviance : HUGE_VAL;
    out.gradient.assign(k, 0.0);
    out.hessian.assign(static_cast<size_t>(k) * k, 0.0);
    for (int i = 0; e.ok && i < k; ++i) {
      out.gradient[i] = e.gradient[place[i]];
      for (int l = 0; l < k; ++l) out.hessian[static_cast<size_t>(i) * k + l] = e.hessian[static_cast<size_t>(place[i]) * nt + place[l]];
    }
    return out;
  };
  return newton(evaluate_theta, theta, options);
}

}  // namespace glimm
