// [X r]'V^-1 [X r] = [X r]'W[X r] - C'Lambda K, C = Z'W[X r], M K = Lambda'C; gradient and average information as in sparse_lmm.cpp.
//
// log|X'V^-1X| adds - sum_j F_j (X'V^-1X)^-1 F_j' Lambda to half the gradient in Lambda, F = Z'V^-1X.
#include "krylov_lmm.hpp"

namespace glimm {

KrylovLinear::KrylovLinear(const Rows& rows, const std::vector<RandomColumns>& terms, int groups, std::uint64_t seed, int threads)
    : rows_(rows), p_(rows.p), fixed_(rows, threads), krylov_(rows.n, terms, groups, seed, threads), weights_(rows.size ? rows.n : 0), c_(rows.p + 1) {
  rows_.order = krylov_.order().data();
  if (rows.size) rows_.gather(rows.size, 0, rows.n, weights_.data());
  krylov_.weigh(weights_.empty() ? nullptr : weights_.data());
  columns(true);
}

void KrylovLinear::respond(const double* y) {
  fixed_.respond(y);
  last_.clear();
  columns(false);
}

void KrylovLinear::columns(bool everything) {
  const int p = p_;
  Vec x(static_cast<size_t>(kRunRows) * p);
  for (int c = everything ? 0 : p; c <= p; ++c) c_[c].assign(krylov_.scalars(), 0.0);
  for (Index r0 = 0; r0 < rows_.n; r0 += kRunRows) {
    check_interrupt();
    const Index m = std::min(kRunRows, rows_.n - r0);
    if (everything) rows_.fill(r0, m, x.data());
    for (Index i = 0; i < m; ++i) {
      const double w = weights_.empty() ? 1.0 : weights_[r0 + i];
      const double residual = w * fixed_.residual()[rows_.order[r0 + i]];
      krylov_.row(r0 + i, [&](Index at, double z) {
        for (int c = 0; everything && c < p; ++c) c_[c][at] += w * z * x[i * p + c];
        c_[p][at] += z * residual;
      });
    }
  }
}

Vec KrylovLinear::moments() const { return krylov_.moments(krylov_.diagonal(), c_.back().data(), fixed_.residual_square()); }

SparseEvaluation KrylovLinear::evaluate(const double* lambda, bool reml, const Directions& directions, int order, const Krylovian& how) {
  SparseEvaluation out;
  Krylov& f = krylov_;
  const int p = p_, e = p + 1;
  const Index s = f.scalars();
  if (!f.prepare(lambda)) return out;
  std::vector<Vec> scaled(c_);
  for (Vec& c : scaled) f.times(lambda, true, c.data());
  std::vector<Vec> k(scaled);
  if (!f.solve(k, how.tol, last_.empty() ? nullptr : &last_)) return out;
  Vec cross(static_cast<size_t>(e) * e);
  for (int a = 0; a < e; ++a)
    for (int c = 0; c <= a; ++c)
      cross[a * e + c] = fixed_.cross()[a * e + c] - 0.5 * (wide_dot(scaled[a].data(), k[c].data(), s) + wide_dot(scaled[c].data(), k[a].data(), s));
  out.information.assign(static_cast<size_t>(p) * p, 0.0);
  for (int a = 0; a < p; ++a)
    for (int c = 0; c <= a; ++c) out.information[a * p + c] = out.information[c * p + a] = cross[a * e + c];
  if (!cholesky(cross.data(), e, e)) return out;
  last_ = k;
  const double ne = static_cast<double>(reml ? rows_.n - p : rows_.n), unit = fixed_.unit(), r2 = cross.back() * cross.back(), s2 = r2 / ne;
  double logdet_x = 0.0;
  for (int c = 0; c < p; ++c) logdet_x += 2.0 * std::log(cross[c * e + c]);
  if (how.factor && !f.factor()) return out;
  if (how.probed(order) && !f.probe(how.probes)) return out;
  out.deviance = fixed_.deviance((how.factor ? f.dense_logdet() : f.logdet_blocks()) + (reml ? logdet_x : 0.0), s2, ne);
  out.r2 = r2 * unit * unit;
  Vec beta(cross.begin() + static_cast<size_t>(p) * e, cross.begin() + static_cast<size_t>(p) * e + p);
  solve_lower_t(cross.data(), p, e, beta.data());
  out.beta = fixed_.whole(beta.data());
  out.ok = std::isfinite(out.deviance);
  Vec u = k[p];
  for (int c = 0; c < p; ++c)
    for (Index i = 0; i < s; ++i) u[i] -= beta[c] * k[c][i];
  out.u.resize(s);
  for (Index i = 0; i < s; ++i) out.u[i] = unit * u[i];
  if (order == 0 || !out.ok) return out;

  if (how.invert) f.invert();
  Vec pulled(f.lambda_size());
  f.inverse(how.invert, nullptr, pulled.data());
  const auto left = [&](const Vec& from, Vec solved) {  // Z'W (column - Z Lambda solved)
    f.times(lambda, false, solved.data());
    Vec product(s);
    f.multiply(solved.data(), product.data());
    for (Index i = 0; i < s; ++i) product[i] = from[i] - product[i];
    return product;
  };
  Vec residual = c_[p];
  for (int c = 0; c < p; ++c)
    for (Index i = 0; i < s; ++i) residual[i] -= beta[c] * c_[c][i];
  const Vec zr = left(residual, u);
  std::vector<Vec> fx(p);
  for (int c = 0; c < p; ++c) fx[c] = left(c_[c], k[c]);
  if (reml) {  // rows of fx by L^-1: sum over their columns g g' is F (X'V^-1X)^-1 F'
    for (int c = 0; c < p; ++c) {
      Vec g = fx[c];
      for (int d = 0; d < c; ++d)
        for (Index i = 0; i < s; ++i) g[i] -= cross[c * e + d] * fx[d][i];
      for (Index i = 0; i < s; ++i) g[i] /= cross[c * e + c];
      fx[c] = g;
      f.times(lambda, true, g.data());
      add_outer_by_lambda(f, -1.0, fx[c].data(), g.data(), pulled.data());
    }
  }
  Vec fall(f.lambda_size(), 0.0);
  add_outer_by_lambda(f, 1.0, zr.data(), u.data(), fall.data());
  const int count = directions.count();
  Vec dr2(count);
  for (int d = 0; d < count; ++d) dr2[d] = -2.0 * directions.along(d, fall.data());
  for (size_t i = 0; i < pulled.size(); ++i) pulled[i] -= fall[i] / s2;
  out.gradient.resize(count);
  for (int d = 0; d < count; ++d) out.gradient[d] = 2.0 * directions.along(d, pulled.data());
  out.pulled = std::move(pulled);
  if (order < 2) return out;

  if (!reml)  // the same rows of L^-1 F' for the information
    for (int c = 0; c < p; ++c) {
      for (int d = 0; d < c; ++d)
        for (Index i = 0; i < s; ++i) fx[c][i] -= cross[c * e + d] * fx[d][i];
      for (Index i = 0; i < s; ++i) fx[c][i] /= cross[c * e + c];
    }
  out.hessian.assign(static_cast<size_t>(count) * count, 0.0);
  std::vector<Vec> xs(count, Vec(s)), ys(count, Vec(s)), vs(count), ws(count);
  for (int d = 0; d < count; ++d) {
    moved_covariance(f, directions, d, lambda, zr.data(), xs[d].data());
    f.multiply(xs[d].data(), ys[d].data());
    ws[d] = ys[d];
    f.times(lambda, true, ws[d].data());
  }
  vs = ws;
  if (!f.solve(vs, how.tol)) {
    out.ok = false;
    return out;
  }
  for (int d = 0; d < count; ++d)
    for (int l = 0; l <= d; ++l) {
      double sum = wide_dot(xs[d].data(), ys[l].data(), s) - wide_dot(ws[d].data(), vs[l].data(), s);
      for (int c = 0; c < p; ++c) sum -= wide_dot(fx[c].data(), xs[d].data(), s) * wide_dot(fx[c].data(), xs[l].data(), s);
      out.hessian[d * count + l] = out.hessian[l * count + d] = sum / s2 - dr2[d] * dr2[l] / (ne * s2 * s2);
    }
  return out;
}

}  // namespace glimm
