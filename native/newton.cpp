#include "newton.hpp"

#include <algorithm>

#include "interrupt.hpp"

namespace glimm {
namespace {

// Near the end changes of the gradient are gathered: a poor model of the Hessian converges linearly only.
constexpr double kNear = 1e-2;
// Far from it a fresh model knows more than the change of the gradient over a long step.
constexpr double kFar = 10.0;
constexpr double kTrusted = 5e-3, kSure = 1e-5;

bool usable(const Evaluation& e) {
  if (!e.ok || !std::isfinite(e.value)) return false;
  for (double v : e.gradient) if (!std::isfinite(v)) return false;
  for (double v : e.hessian) if (!std::isfinite(v)) return false;
  return true;
}

// Eigenvalues and vectors (columns of v) of a symmetric n x n matrix, by cyclic Jacobi rotations.
void jacobi(Vec a, int n, Vec& w, Vec& v) {
  v.assign(static_cast<size_t>(n) * n, 0.0);
  for (int i = 0; i < n; ++i) v[i * n + i] = 1.0;
  for (int sweep = 0; sweep < 60; ++sweep) {
    double off = 0.0, all = 0.0;
    for (int i = 0; i < n; ++i)
      for (int j = 0; j < n; ++j) {
        all += a[i * n + j] * a[i * n + j];
        if (i != j) off += a[i * n + j] * a[i * n + j];
      }
    if (off <= 1e-30 * all) break;
    for (int p = 0; p < n; ++p)
      for (int q = p + 1; q < n; ++q) {
        if (a[p * n + q] == 0.0) continue;
        const double tau = (a[q * n + q] - a[p * n + p]) / (2.0 * a[p * n + q]);
        const double t = (tau >= 0.0 ? 1.0 : -1.0) / (std::fabs(tau) + std::sqrt(1.0 + tau * tau));
        const double c = 1.0 / std::sqrt(1.0 + t * t), s = t * c;
        for (int k = 0; k < n; ++k) {
          const double x = a[k * n + p], y = a[k * n + q];
          a[k * n + p] = c * x - s * y;
          a[k * n + q] = s * x + c * y;
        }
        for (int k = 0; k < n; ++k) {
          const double x = a[p * n + k], y = a[q * n + k];
          a[p * n + k] = c * x - s * y;
          a[q * n + k] = s * x + c * y;
          const double vx = v[k * n + p], vy = v[k * n + q];
          v[k * n + p] = c * vx - s * vy;
          v[k * n + q] = s * vx + c * vy;
        }
      }
  }
  w.resize(n);
  for (int i = 0; i < n; ++i) w[i] = a[i * n + i];
}

// The step over the parameters in `moving`, and its decrement: Cholesky where the scaled Hessian is safely positive, else by eigenvectors.
double newton_step(const Vec& hessian, const Vec& gradient, const std::vector<int>& moving, double damping, Vec& step) {
  const int size = static_cast<int>(gradient.size()), n = static_cast<int>(moving.size());
  step.assign(size, 0.0);
  if (!n) return 0.0;
  Vec root(n), scaled(static_cast<size_t>(n) * n), g(n);
  for (int i = 0; i < n; ++i) {
    const double d = std::sqrt(std::fabs(hessian[static_cast<size_t>(moving[i]) * size + moving[i]]));
    root[i] = d > 0.0 ? d : 1.0;
    g[i] = gradient[moving[i]] / root[i];
  }
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j)
      scaled[i * n + j] = 0.5 * (hessian[static_cast<size_t>(moving[i]) * size + moving[j]] + hessian[static_cast<size_t>(moving[j]) * size + moving[i]]) /
                              (root[i] * root[j]) + (i == j ? damping : 0.0);
  Vec factor = scaled, s(g);
  bool safe = cholesky(factor.data(), n, n);
  for (int i = 0; safe && i < n; ++i) safe = factor[i * n + i] > 1e-4;
  if (safe) {
    solve_lower(factor.data(), n, n, s.data());
    solve_lower_t(factor.data(), n, n, s.data());
  } else {
    Vec w, v;
    jacobi(scaled, n, w, v);
    double top = 0.0;
    for (double x : w) top = std::max(top, std::fabs(x));
    std::fill(s.begin(), s.end(), 0.0);
    for (int k = 0; k < n; ++k) {
      double along = 0.0;
      for (int i = 0; i < n; ++i) along += v[i * n + k] * g[i];
      along /= std::max(std::fabs(w[k]), 1e-8 * top);
      for (int i = 0; i < n; ++i) s[i] += v[i * n + k] * along;
    }
  }
  double decrement = 0.0;
  for (int i = 0; i < n; ++i) {
    step[moving[i]] = -s[i] / root[i];
    decrement += gradient[moving[i]] * s[i] / root[i];
  }
  return decrement;
}

// The model, made to agree with the last change of the gradient (one BFGS update).
Vec secant(const Vec& model, const Vec& moved, const Vec& change) {
  const int n = static_cast<int>(moved.size());
  Vec ms(n, 0.0);
  for (int i = 0; i < n; ++i) ms[i] = dot(&model[static_cast<size_t>(i) * n], moved.data(), n);
  const double along = dot(moved.data(), change.data(), n), bend = dot(moved.data(), ms.data(), n);
  const double size = std::sqrt(dot(moved.data(), moved.data(), n) * dot(change.data(), change.data(), n));
  if (!(along > 1e-12 * size) || !(bend > 0.0) || !std::isfinite(bend)) return model;
  Vec out(model);
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) out[static_cast<size_t>(i) * n + j] += change[i] * change[j] / along - ms[i] * ms[j] / bend;
  return out;
}

// The largest length up to 1 at which no standard deviation grows or shrinks by more than the cap.
double shorten(const Vec& x, const Vec& step, const NewtonOptions& o) {
  double length = 1.0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double ratio = step[i] / x[i];
    if (!o.scales[i] || !std::isfinite(ratio)) continue;
    if (ratio > 0.0) length = std::min(length, (o.cap - 1.0) / ratio);
    if (ratio < 0.0) length = std::min(length, (1.0 - 1.0 / o.cap) / -ratio);
  }
  return length;
}

// A standard deviation grows as its variance does to first order: from a small one the quadratic model reaches far too far.
double moved_to(double x, double step, bool scale) { return scale && step > 0.0 && x > 0.0 ? std::sqrt(x * x + 2.0 * x * step) : x + step; }

}  // namespace

NewtonResult newton(const std::function<Evaluation(const Vec&)>& evaluate, Vec x, const NewtonOptions& o) {
  const size_t n = x.size();
  NewtonResult out;
  Evaluation now = evaluate(x);
  out.evaluations = 1;
  Vec moved, before, step, candidate(n), gathered;
  double damping = 0.0, last = HUGE_VAL;  // last: the decrement before the step that was accepted
  const auto low = [&](size_t i) { return o.scales[i] && x[i] <= o.lower[i] * (1.0 + 1e-9); };
  // The step over the parameters that are free to take it: one at its bound that would be pushed below leaves.
  const auto step_inside = [&](double damped) {
    std::vector<int> moving;
    for (size_t i = 0; i < n; ++i)
      if (o.free[i] && !(low(i) && now.gradient[i] > 0.0)) moving.push_back(static_cast<int>(i));
    for (;;) {
      const double decrement = newton_step(out.hessian, now.gradient, moving, damped, step);
      const auto pushed = std::remove_if(moving.begin(), moving.end(), [&](int i) { return low(i) && step[i] < 0.0; });
      if (pushed == moving.end()) return decrement;
      moving.erase(pushed, moving.end());
    }
  };
  out.hessian = now.hessian;
  bool ok = usable(now);
  for (; ok && out.iterations < o.max_iter; ++out.iterations) {
    check_interrupt();
    Vec change(n, 0.0);
    for (size_t i = 0; !moved.empty() && i < n; ++i) change[i] = now.gradient[i] - before[i];
    out.hessian = now.hessian;
    if (!moved.empty() && out.decrement < kFar) {
      double bend = 0.0;
      for (size_t i = 0; !gathered.empty() && i < n; ++i) bend += moved[i] * dot(&gathered[i * n], moved.data(), static_cast<int>(n));
      out.hessian = secant(out.decrement < kNear && bend > 0.0 ? gathered : now.hessian, moved, change);
    }
    bool accepted = false;
    Evaluation next;
    for (int attempt = 0; attempt < 40; ++attempt) {
      out.decrement = step_inside(damping);
      // After the step the decrement falls as it fell before it, but the model of the Hessian is not trusted further than kTrusted.
      const double expected = attempt == 0 && damping == 0.0 && shorten(x, step, o) == 1.0 && out.decrement < kSure ? out.decrement * std::max(out.decrement / last, kTrusted) : HUGE_VAL;
      if ((out.decrement < o.tol && (damping < 1e-2 || step_inside(0.0) < o.tol)) || expected < 0.1 * o.tol) {
        out.converged = true;
        if (damping == 0.0 && shorten(x, step, o) == 1.0)  // the last step is not worth an evaluation, but it is worth taking
          for (size_t i = 0; i < n; ++i) x[i] = std::max(x[i] + step[i], o.lower[i]);
        break;
      }
      const double length = shorten(x, step, o);
      for (size_t i = 0; i < n; ++i) candidate[i] = std::max(moved_to(x[i], length * step[i], o.scales[i]), o.lower[i]);
      next = evaluate(candidate);
      ++out.evaluations;
      accepted = usable(next) && next.value <= now.value + 1e-11 * std::fabs(now.value) + 1e-12;
      if (accepted) break;
      damping = damping > 0.0 ? damping * 8.0 : 1e-2;
    }
    if (out.converged || !accepted) {
      if (!out.converged) {  // the damped decrement is as small as the damping is large: it says nothing
        out.decrement = step_inside(0.0);
        out.converged = out.decrement < 1e-6;
      }
      break;
    }
    last = out.decrement;
    moved.resize(n);
    for (size_t i = 0; i < n; ++i) moved[i] = candidate[i] - x[i];
    before = now.gradient;
    gathered = out.hessian;
    x = candidate;
    now = std::move(next);
    damping = damping > 1e-6 ? damping * 0.1 : 0.0;
  }
  out.floor.assign(n, 0);
  if (!now.gradient.empty())
    for (size_t i = 0; i < n; ++i) out.floor[i] = low(i) && now.gradient[i] > 0.0;
  out.x = std::move(x);
  out.value = now.value;
  out.gradient = now.gradient;
  return out;
}

}  // namespace glimm
