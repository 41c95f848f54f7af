// Gradient with the mode's motion: lev_i = zt_i'M^-1 zt_i, c = -d3 lev, lam = M^-1 Lambda'Z'c, q = c + d2 Z Lambda lam,
// d beta = X'(q - 2 d1), d Lambda = sum_j (Z'q - 2 Z'd1)_j u_j' + (Z'd1)_j lam_j' + 2 (A Lambda P)_jj.
#include "any_laplace.hpp"

namespace glimm {
namespace {

Index row_blocks(Index n) { return (n + kBlockRows - 1) / kBlockRows; }

// blockdiag(2 X'V^-1X, average information, curvature of psi)
bool add_hessian(EffectRows& k, LaplaceSystem& system, const Stage& stage, const double* lambda, const Directions& directions, const Vec& zs, Vec& h) {
  const Nodes& f = k.nodes;
  const Index s = f.scalars();
  const int p = k.p, m = directions.count(), size = p + m + stage.n_psi();
  Vec xwx(static_cast<size_t>(p) * p, 0.0), x(static_cast<size_t>(kRunRows) * p), w(kRunRows), products;
  std::vector<Vec> r(p, Vec(s, 0.0));
  for (Index r0 = 0; r0 < k.n; r0 += kRunRows) {
    check_interrupt();
    const Index rows = std::min(kRunRows, k.n - r0);
    k.rows.fill(r0, rows, x.data());
    for (Index i = 0; i < rows; ++i) w[i] = -k.d2[r0 + i];
    add_outer(xwx.data(), p, x.data(), w.data(), rows);
    for (const auto& t : k.terms)
      for (Index i = 0; i < rows; ++i)
        for (int a = 0; a < t.count; ++a) {
          const double wz = w[i] * (t.z.empty() ? 1.0 : t.z[(r0 + i) * t.count + a]);
          const Index at = t.at[r0 + i] + a;
          for (int c = 0; c < p; ++c) r[c][at] += wz * x[i * p + c];
        }
  }
  for (auto& v : r) f.times(lambda, true, v.data());
  if (!system.gram(r, products)) return false;
  r.clear();
  for (int a = 0; a < p; ++a)
    for (int c = 0; c <= a; ++c)
      h[static_cast<size_t>(a) * size + c] = h[static_cast<size_t>(c) * size + a] = 2.0 * (xwx[a * p + c] - products[a * p + c]);
  std::vector<Vec> xs(m, Vec(s)), ys(m, Vec(s)), vs(m);
  for (int d = 0; d < m; ++d) {
    moved_covariance(f, directions, d, lambda, zs.data(), xs[d].data());
    system.multiply(xs[d].data(), ys[d].data());
    vs[d] = ys[d];
    f.times(lambda, true, vs[d].data());
  }
  if (!system.gram(vs, products)) return false;
  for (int d = 0; d < m; ++d)
    for (int l = 0; l <= d; ++l)
      h[static_cast<size_t>(p + d) * size + p + l] = h[static_cast<size_t>(p + l) * size + p + d] =
          wide_dot(xs[d].data(), ys[l].data(), s) - products[d * m + l];
  const int n_psi = stage.n_psi();
  if (!n_psi) return true;
  Vec d(static_cast<size_t>(n_psi) * k.n);
  Vec own = psi_curvature(stage, k.n, k.y.data(), k.size.empty() ? nullptr : k.size.data(), k.eta.data(), d.data());
  std::vector<Vec> solved(n_psi, Vec(s));
  for (int c = 0; c < n_psi; ++c) {
    k.transpose_random(&d[static_cast<size_t>(c) * k.n], solved[c].data());
    f.times(lambda, true, solved[c].data());
  }
  if (!system.gram(solved, products)) return false;
  for (int c = 0; c < n_psi; ++c)
    for (int i = 0; i <= c; ++i) {
      own[c * n_psi + i] -= products[c * n_psi + i];
      if (i < c) own[i * n_psi + c] -= products[c * n_psi + i];
    }
  place_curvature(own, n_psi, 1e-4 * static_cast<double>(k.n), &h[static_cast<size_t>(p + m) * (size + 1)], size);
  return true;
}

}  // namespace

EffectRows::EffectRows(const Rows& given, const std::vector<RandomColumns>& columns, const Nodes& n_, const std::vector<std::int64_t>& order, Vec trials_,
                       Vec weights_, int threads_)
    : rows(given), nodes(n_), n(given.n), p(given.p), threads(threads_), terms(columns.size()), y(given.n), size(given.size ? given.n : 0),
      trials(std::move(trials_)), weights(std::move(weights_)) {
  rows.order = order.data();
  rows.gather(rows.y, 0, n, y.data());
  if (rows.size) rows.gather(rows.size, 0, n, size.data());
  for (Vec* v : {&trials, &weights}) {
    if (v->empty()) continue;
    Vec from = *v;
    for (Index i = 0; i < n; ++i) (*v)[i] = from[order[i]];
  }
  for (size_t k = 0; k < columns.size(); ++k) {
    auto& t = terms[k];
    const auto& c = columns[k];
    t.count = c.place ? 1 : c.q();
    t.at.resize(n);
    if (c.z) t.z.resize(static_cast<size_t>(n) * t.count);
    for (Index i = 0; i < n; ++i) {
      const Index r = order[i];
      t.at[i] = static_cast<std::int32_t>(nodes.first(nodes.node(static_cast<int>(k), c.refs[r])) + (c.place ? c.place[r] : 0));
      if (c.z) std::copy(c.z + r * t.count, c.z + (r + 1) * t.count, &t.z[i * t.count]);
    }
    check_interrupt();
  }
  u.assign(nodes.scalars(), 0.0);
  for (Vec* v : {&xb, &eta, &l, &d1, &d2, &d3}) v->resize(n);
}

void EffectRows::linear(const double* beta) {
  parallel_blocks(row_blocks(n), threads, [&](Index b) {
    const Index r0 = b * kBlockRows;
    rows.linear(r0, std::min(kBlockRows, n - r0), beta, &xb[r0]);
  });
}

void EffectRows::add_random(const double* b, double* to) const {
  parallel_blocks(row_blocks(n), threads, [&](Index block) {
    const Index r0 = block * kBlockRows, r1 = std::min(n, r0 + kBlockRows);
    for (const auto& t : terms) {
      if (t.z.empty())
        for (Index i = r0; i < r1; ++i) to[i] += b[t.at[i]];
      else
        for (Index i = r0; i < r1; ++i) to[i] += dot(&t.z[i * t.count], b + t.at[i], t.count);
    }
  });
}

void EffectRows::transpose_random(const double* v, double* out) const {
  std::fill(out, out + nodes.scalars(), 0.0);
  for (const auto& t : terms) {
    if (t.z.empty())
      for (Index i = 0; i < n; ++i) out[t.at[i]] += v[i];
    else
      for (Index i = 0; i < n; ++i)
        for (int a = 0; a < t.count; ++a) out[t.at[i] + a] += t.z[i * t.count + a] * v[i];
  }
}

double EffectRows::jets(const Stage& stage, const double* at, bool third) {
  Vec sums(row_blocks(n), 0.0);
  parallel_blocks(row_blocks(n), threads, [&](Index b) {
    const Index r0 = b * kBlockRows, m = std::min(kBlockRows, n - r0);
    stage_jets(stage, m, &y[r0], size.empty() ? nullptr : &size[r0], at + r0, &l[r0], &d1[r0], &d2[r0], third ? &d3[r0] : nullptr);
    for (Index i = r0; i < r0 + m; ++i) sums[b] += l[i];
  });
  double total = 0.0;
  for (double s : sums) total += s;
  return total;
}

double EffectRows::at(const Stage& stage, const double* lambda, const Vec& where) {
  Vec b = where;
  nodes.times(lambda, false, b.data());
  eta = xb;
  add_random(b.data(), eta.data());
  double value = jets(stage, eta.data(), false);
  for (double v : where) value -= 0.5 * v * v;
  return value;
}

double EffectRows::log_density(const Stage& stage) const {
  double value = stage_constant(stage, n, y.data(), trials.empty() ? nullptr : trials.data(), weights.empty() ? nullptr : weights.data());
  for (double v : l) value += v;
  return value - 0.5 * wide_dot(u.data(), u.data(), nodes.scalars());
}

bool laplace_derivatives(EffectRows& k, LaplaceSystem& system, const Stage& stage, const double* lambda, const Directions& directions, int order,
                         LaplaceEvaluation& out) {
  const Nodes& f = k.nodes;
  const Index s = f.scalars(), n = k.n;
  const int p = k.p, m = directions.count(), size = p + m + stage.n_psi();
  k.jets(stage, k.eta.data(), true);
  Vec lev(n), v(n), pulled(n, 0.0), lam(s), zs(s), zq(s), by_lambda(f.lambda_size());
  if (!system.inverse(lambda, lev.data(), by_lambda.data())) return false;
  for (Index i = 0; i < n; ++i) v[i] = -k.d3[i] * lev[i];
  k.transpose_random(v.data(), lam.data());
  f.times(lambda, true, lam.data());
  if (!system.solve(lam)) return false;
  Vec b = lam;
  f.times(lambda, false, b.data());
  k.add_random(b.data(), pulled.data());
  for (Index i = 0; i < n; ++i) v[i] += k.d2[i] * pulled[i];
  k.transpose_random(v.data(), zq.data());
  k.transpose_random(k.d1.data(), zs.data());
  for (Index i = 0; i < s; ++i) zq[i] -= 2.0 * zs[i];
  for (Index i = 0; i < n; ++i) v[i] -= 2.0 * k.d1[i];
  out.gradient.assign(size, 0.0);
  for (Index r0 = 0; r0 < n; r0 += kBlockRows) k.rows.transpose_times(r0, std::min(kBlockRows, n - r0), &v[r0], out.gradient.data());
  add_outer_by_lambda(f, 0.5, zq.data(), k.u.data(), by_lambda.data());
  add_outer_by_lambda(f, 0.5, zs.data(), lam.data(), by_lambda.data());
  for (int d = 0; d < m; ++d) out.gradient[p + d] = 2.0 * directions.along(d, by_lambda.data());
  if (const int n_psi = stage.n_psi()) {
    const double* sizes = k.size.empty() ? nullptr : k.size.data();
    Vec l_psi(static_cast<size_t>(n) * n_psi), s_psi(n), w_psi(n);
    for (int c = 0; c < n_psi; ++c) {
      stage_psi(stage, c, n, k.y.data(), sizes, k.eta.data(), &l_psi[c * n], s_psi.data(), w_psi.data());
      double g = 0.0;
      for (Index i = 0; i < n; ++i) g += lev[i] * w_psi[i] + pulled[i] * s_psi[i];
      out.gradient[p + m + c] = g;
    }
    add_constant_psi(stage, n, k.y.data(), sizes, l_psi.data());
    for (int c = 0; c < n_psi; ++c)
      for (Index i = 0; i < n; ++i) out.gradient[p + m + c] -= 2.0 * l_psi[c * n + i];
  }
  if (order < 2) return true;
  out.hessian.assign(static_cast<size_t>(size) * size, 0.0);
  return add_hessian(k, system, stage, lambda, directions, zs, out.hessian);
}

}  // namespace glimm
