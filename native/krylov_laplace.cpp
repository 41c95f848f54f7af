// Modes by inexact Newton steps: M s = r to a relative residual that falls with the decrement (Dembo, Eisenstat and Steihaug 1982).
#include "krylov_laplace.hpp"

namespace glimm {
namespace {

constexpr double kCoarse = 0.1, kFine = 1e-9;
constexpr int kMost = 200;

}  // namespace

KrylovLaplace::KrylovLaplace(const Rows& rows, const std::vector<RandomColumns>& terms, Vec trials, Vec weights, int groups, std::uint64_t seed, int threads)
    : krylov_(rows.n, terms, groups, seed, threads), rows_(rows, terms, krylov_, krylov_.order(), std::move(trials), std::move(weights), threads),
      weights_(rows.n) {}

// W at the rows as they are; positive: without what is negative, where the log-density is not concave.
bool KrylovLaplace::weigh(const double* lambda, bool positive) {
  for (Index i = 0; i < rows_.n; ++i) weights_[i] = positive ? std::max(-rows_.d2[i], 0.0) : -rows_.d2[i];
  krylov_.weigh(weights_.data());
  return krylov_.prepare(lambda);
}

bool KrylovLaplace::find_modes(const Stage& stage, const double* lambda, double tol) {
  const Index s = krylov_.scalars();
  Vec rhs(s), step(s), &u = rows_.u, from(u);
  double value = -HUGE_VAL, length = 1.0;
  bool restarted = false;
  for (int it = 0; it < kMost; ++it) {
    const double now = rows_.at(stage, lambda, u);
    const bool first = value == -HUGE_VAL;
    if (!std::isfinite(now) && first) {  // the start lies outside the family's range: begin at zero, once
      if (restarted) return false;
      restarted = true;
      std::fill(u.begin(), u.end(), 0.0);
      continue;
    }
    if (!first && !(now >= value - 1e-11 * std::fabs(value) - 1e-12)) {
      length *= 0.25;
      if (length < 1e-10) return false;
      for (Index i = 0; i < s; ++i) u[i] = from[i] + length * step[i];
      continue;
    }
    value = now;
    length = 1.0;
    rows_.transpose_random(rows_.d1.data(), rhs.data());
    krylov_.times(lambda, true, rhs.data());
    for (Index i = 0; i < s; ++i) rhs[i] -= u[i];
    const bool exact = weigh(lambda, false);
    if (!exact && !weigh(lambda, true)) return false;
    const double near = krylov_.square(rhs.data());
    if (!std::isfinite(near)) return false;
    if (near < tol) {
      reached_ = near;
      return exact;
    }
    step = rhs;
    bool solved = krylov_.solve(step, std::max(kFine, std::min(kCoarse, kCoarse * std::sqrt(near))));
    if (!solved && exact) {  // M is not positive definite there
      step = rhs;
      solved = weigh(lambda, true) && krylov_.solve(step, kCoarse);
    }
    if (!solved) return false;
    from = u;
    for (Index i = 0; i < s; ++i) u[i] += step[i];
  }
  return false;
}

LaplaceEvaluation KrylovLaplace::evaluate(const Stage& stage, const double* beta, const double* lambda, const Directions& directions, int order,
                                          double tol, const Krylovian& how) {
  LaplaceEvaluation out;
  how_ = how;
  Vec at(beta, beta + rows_.p);
  at.insert(at.end(), lambda, lambda + krylov_.lambda_size());
  at.insert(at.end(), stage.psi, stage.psi + stage.n_psi());
  if (at != at_ || reached_ > tol) {
    at_.clear();
    reached_ = HUGE_VAL;
    rows_.linear(beta);
    bool found = false;
    try {
      found = find_modes(stage, lambda, tol);
    } catch (...) {
      std::fill(rows_.u.begin(), rows_.u.end(), 0.0);
      throw;
    }
    if (!found) {
      std::fill(rows_.u.begin(), rows_.u.end(), 0.0);
      return out;
    }
    at_ = std::move(at);
  }
  if (how.factor && !krylov_.factor()) return out;
  if (how.probed(order) && !krylov_.probe(how.probes)) return out;
  out.deviance = -2.0 * rows_.log_density(stage) + (how.factor ? krylov_.dense_logdet() : krylov_.logdet_blocks());
  out.ok = std::isfinite(out.deviance);
  out.u = rows_.u;
  if (order > 0 && out.ok) out.ok = laplace_derivatives(rows_, *this, stage, lambda, directions, order, out);
  return out;
}

bool KrylovLaplace::inverse(const double*, double* leverage, double* pulls) {
  if (how_.invert) krylov_.invert();
  krylov_.inverse(how_.invert, leverage, pulls);
  return true;
}

bool KrylovLaplace::gram(std::vector<Vec>& v, Vec& products) {
  const size_t m = v.size();
  const Index s = krylov_.scalars();
  const std::vector<Vec> from(v);
  products.assign(m * m, 0.0);
  if (!krylov_.solve(v, how_.tol)) return false;
  for (size_t k = 0; k < m; ++k)
    for (size_t l = 0; l <= k; ++l)
      products[k * m + l] = products[l * m + k] = 0.5 * (wide_dot(from[k].data(), v[l].data(), s) + wide_dot(from[l].data(), v[k].data(), s));
  return true;
}

Vec KrylovLaplace::moments(const Stage& stage, const double* beta) {
  at_.clear();
  rows_.linear(beta);
  rows_.jets(stage, rows_.xb.data(), false);
  for (Index i = 0; i < rows_.n; ++i) weights_[i] = std::max(-rows_.d2[i], 0.0);
  krylov_.weigh(weights_.data());
  Vec scores(krylov_.scalars());
  rows_.transpose_random(rows_.d1.data(), scores.data());
  return krylov_.moments(krylov_.diagonal(), scores.data(), 1.0);
}

}  // namespace glimm
