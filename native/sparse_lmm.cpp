// One factor of (random | X | y), y last, gives everything: r2 is its last pivot squared, [u; beta] its back-solve.
//
// gradient in Lambda: 2 (sum_j (A Lambda P)_jj - zr_j u_j' / s2), zr = Z'V^-1 e; model Hessian: average information
// AI_kl = [x_k'A x_l - v_k'v_l] / s2 - dr2_k dr2_l / (ne s2^2), x_k = d(Lambda Lambda')_k zr, v_k = L^-1 [Lambda'A x_k; X'WZ x_k]
// (Gilmour, Thompson and Cullis 1995).
#include "sparse_lmm.hpp"

namespace glimm {

SparseLinear::SparseLinear(const Rows& rows, std::vector<RandomColumns> terms, int threads)
    : rows_(rows), p_(rows.p), fixed_(rows, threads), elimination_(rows.n, terms, rows.p + 1, threads), random_(terms, elimination_),
      order_(random_.by_leading(rows.n)) {
  rows_.order = order_.data();
  scatter(true);
}

void SparseLinear::respond(const double* y) {
  fixed_.respond(y);
  elimination_.zero_last();
  scatter(false);
}

void SparseLinear::scatter(bool everything) {
  const int p = p_, terms = random_.count();
  const Vec& residual = fixed_.residual();
  Vec x(static_cast<size_t>(kRunRows) * p), extra(p + 1);
  std::vector<Entry> entries(terms);
  std::vector<Index> where(random_.pairs());
  Locator locator(elimination_);
  for (Index r0 = 0; r0 < rows_.n; r0 += kRunRows) {
    check_interrupt();
    const Index m = std::min(kRunRows, rows_.n - r0);
    if (everything) rows_.fill(r0, m, x.data());
    for (Index i = 0; i < m; ++i) {
      const Index r = order_[r0 + i];
      const double w = rows_.size ? rows_.size[r] : 1.0;
      random_.entries(r, entries.data());
      if (!everything) {
        elimination_.add_last(entries.data(), w * residual[r]);
        continue;
      }
      locator.find(entries.data(), terms, where.data());
      std::copy(&x[i * p], &x[i * p] + p, extra.begin());
      extra[p] = residual[r];
      elimination_.add(entries.data(), where.data(), w, extra.data());
    }
  }
  double* block = elimination_.extra_block();
  const int e = p + 1;
  for (int a = 0; a < e; ++a)
    for (int c = 0; c <= a; ++c) block[static_cast<size_t>(a) * elimination_.width() + c] = fixed_.cross()[a * e + c];
}

SparseEvaluation SparseLinear::evaluate(const double* lambda, bool reml, const Directions& directions, int order) {
  SparseEvaluation out;
  Elimination& f = elimination_;
  if (!f.factor(lambda)) return out;
  const int p = p_;
  const Index s = f.scalars(), tail = f.tail(), n = rows_.n;
  const double ne = static_cast<double>(reml ? n - p : n), unit = fixed_.unit();
  const double last = f.tail_row(tail + p)[tail + p], r2 = last * last, s2 = r2 / ne;
  double logdet_x = 0.0;
  for (int c = 0; c < p; ++c) logdet_x += 2.0 * std::log(f.tail_row(tail + c)[tail + c]);
  out.deviance = fixed_.deviance(f.logdet() + (reml ? logdet_x : 0.0), s2, ne);
  out.r2 = r2 * unit * unit;
  out.information.assign(static_cast<size_t>(p) * p, 0.0);
  for (int a = 0; a < p; ++a)
    for (int c = 0; c <= a; ++c)
      out.information[a * p + c] = out.information[c * p + a] = dot(f.tail_row(tail + a) + tail, f.tail_row(tail + c) + tail, c + 1);
  Vec x(s + p + 1);
  f.last_row(x.data());
  f.backward(x.data(), p);
  out.beta = fixed_.whole(&x[s]);
  out.ok = std::isfinite(out.deviance);
  Vec u(x.begin(), x.begin() + s);
  out.u.resize(s);
  for (Index i = 0; i < s; ++i) out.u[i] = unit * u[i];
  if (order == 0 || !out.ok) return out;

  f.invert(reml ? p : 0);
  Vec pulled(f.lambda_size());
  f.pulls(lambda, reml ? p : 0, pulled.data());
  f.times(lambda, false, x.data());  // [Lambda u; beta; -1]: A times it is -Z'We
  x[s + p] = -1.0;
  Vec zr(s + p + 1), moved(s);
  f.multiply(x.data(), zr.data());
  for (double& v : zr) v = -v;
  Vec fall(f.lambda_size(), 0.0);
  add_outer_by_lambda(f, 1.0, zr.data(), u.data(), fall.data());
  const int count = directions.count();
  out.gradient.resize(count);
  Vec dr2(count);
  for (int k = 0; k < count; ++k) dr2[k] = -2.0 * directions.along(k, fall.data());
  for (size_t i = 0; i < pulled.size(); ++i) pulled[i] -= fall[i] / s2;
  for (int k = 0; k < count; ++k) out.gradient[k] = 2.0 * directions.along(k, pulled.data());
  out.pulled = std::move(pulled);
  if (order < 2) return out;

  out.hessian.assign(static_cast<size_t>(count) * count, 0.0);
  std::vector<Vec> xs(count), ys(count), vs(count);
  for (int k = 0; k < count; ++k) {
    xs[k].assign(s + p + 1, 0.0);
    moved_covariance(f, directions, k, lambda, zr.data(), xs[k].data());
    ys[k].resize(s + p + 1);
    f.multiply(xs[k].data(), ys[k].data());
    vs[k] = ys[k];
    f.times(lambda, true, vs[k].data());
    f.forward(vs[k].data(), p);
    for (int l = 0; l <= k; ++l)
      out.hessian[k * count + l] = out.hessian[l * count + k] =
          (wide_dot(xs[k].data(), ys[l].data(), s) - wide_dot(vs[k].data(), vs[l].data(), s + p)) / s2 - dr2[k] * dr2[l] / (ne * s2 * s2);
  }
  return out;
}

}  // namespace glimm
