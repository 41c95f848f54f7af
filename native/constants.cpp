// What a log-density has besides l(y, eta): terms free of eta with their derivatives in psi; variance functions; unit deviances.
//
// A dispersion model has dispersion phi / size in a row, so that size stands inside its terms; elsewhere it multiplies them.
#include <algorithm>

#include "constants.hpp"
#include "interrupt.hpp"
#include "tweedie.hpp"

namespace glimm {
namespace {

constexpr double kHalfLog2Pi = 0.91893853320467274178;
constexpr double kFarthest = 4.6;  // logit(p - 1): beyond 1.01 and 1.99 the series has too many terms, and the family is another one

double binomial_terms(double y, double trials) {
  const double k = std::nearbyint(y * trials);
  return log_gamma(trials + 1.0) - log_gamma(k + 1.0) - log_gamma(trials - k + 1.0);
}

// The largest l(y, mu) over mu, where that is not at mu = y: Newton in the linear predictor of the link L.
template <class R, class L> double most_likely(double y, double start, const Own& o) {
  double e = start;
  Jet j{};
  for (int it = 0; it < 100; ++it) {
    const Mean m = L::mean(e, 0.0);
    j = R::jet(y, m.mu, L::mean(-e, 0.0).mu, o);
    const double slope = j.d1 * m.m1, curvature = j.d2 * m.m1 * m.m1 + j.d1 * m.m2;
    const double step = curvature < 0.0 ? -slope / curvature : slope;
    if (!(std::fabs(step) > 1e-9)) break;
    e += std::min(1.0, std::max(-1.0, step));
  }
  return j.l;
}

}  // namespace

double row_constant(const Stage& s, const Own& o, double y, double w) {
  switch (s.family) {
    case kGaussian: return 0.5 * std::log(w) - s.psi[0] - kHalfLog2Pi;
    case kPoisson: return -w * log_gamma(y + 1.0);
    case kGamma: {
      const double a = w * o.precision;
      return a * std::log(a) + (a - 1.0) * std::log(y) - log_gamma(a);
    }
    case kInverseGaussian: return 0.5 * (std::log(w) - s.psi[0] - 3.0 * std::log(y)) - kHalfLog2Pi;
    case kNegativeBinomial: return w * (rising(y, o.a).v - log_gamma(y + 1.0));
    case kNegativeBinomial1: return -w * log_gamma(y + 1.0);
    case kBeta: return w * (log_gamma(o.a) - std::log(y) - std::log1p(-y));
    case kTweedie: return std::fabs(s.psi[1]) > kFarthest ? kNaN : y > 0.0 ? tweedie_series(y, o.a / w, o.p, false).value : 0.0;
    default: return 0.0;
  }
}

double row_constant_slope(const Stage& s, const Own& o, double y, double w) {
  switch (s.family) {
    case kGaussian: return -1.0;
    case kGamma: {
      const double a = w * o.precision;
      return -a * (std::log(a) + 1.0 + std::log(y) - digamma(a));
    }
    case kInverseGaussian: return -0.5;
    case kNegativeBinomial: return w * o.a * rising(y, o.a).d1;
    case kBeta: return w * o.a * digamma(o.a);
    default: return 0.0;
  }
}

double row_constant_curvature(const Stage& s, const Own& o, double y, double w) {
  switch (s.family) {
    case kGamma: {
      const double a = w * o.precision;
      const Gammas g = gammas(a);
      return a * (std::log(a) + 2.0 + std::log(y) - g.d1 - a * g.d2);
    }
    case kNegativeBinomial: {
      const Rising r = rising(y, o.a);
      return w * o.a * (r.d1 + o.a * r.d2);
    }
    case kBeta: {
      const Gammas g = gammas(o.a);
      return w * o.a * (g.d1 + o.a * g.d2);
    }
    default: return 0.0;
  }
}

double stage_constant(const Stage& s, Index n, const double* y, const double* trials, const double* weights, bool counted) {
  if (s.own || (s.family == kBinomial && !trials)) return 0.0;
  const Own o = own_of(s);
  double total = 0.0;
  for (Index i = 0; i < n; ++i) {
    if (i % 1024 == 0 || s.family == kTweedie) check_interrupt();  // a series may have very many terms
    const double w = weights ? weights[i] : 1.0;
    total += s.family == kBinomial ? w * binomial_terms(y[i], trials[i]) : counted ? w * row_constant(s, o, y[i], 1.0) : row_constant(s, o, y[i], w);
  }
  return total;
}

void add_constant_psi(const Stage& s, Index n, const double* y, const double* size, double* d, bool counted) {
  if (s.own || s.n_psi() == 0) return;
  const Own o = own_of(s);
  for (Index i = 0; i < n; ++i) {
    if (i % 1024 == 0 || s.family == kTweedie) check_interrupt();
    const double w = size && !counted ? size[i] : 1.0, times = size && counted ? size[i] : 1.0;
    if (s.family != kTweedie) {
      d[i] += times * row_constant_slope(s, o, y[i], w);
    } else if (y[i] > 0.0 && std::fabs(s.psi[1]) <= kFarthest) {
      const TweedieSeries t = tweedie_series(y[i], o.a / w, o.p, true);
      d[i] += times * t.by_log_phi;
      d[n + i] += times * t.by_p * (o.p - 1.0) * (2.0 - o.p);
    }
  }
}

void family_variance(const Stage& s, Index n, const double* mu, double* v) {
  if (s.own) return s.own->variance(s.psi, n, mu, v);
  const Own o = own_of(s);
  if (s.family == kBinomial) {
    for (Index i = 0; i < n; ++i) v[i] = mu[i] * (1.0 - mu[i]);
    return;
  }
  for (Index i = 0; i < n; ++i) {
    const double m = mu[i];
    switch (s.family) {
      case kGaussian: v[i] = 1.0; break;
      case kPoisson: v[i] = m; break;
      case kGamma: v[i] = m > 0.0 ? m * m : kNaN; break;
      case kInverseGaussian: v[i] = m * m * m; break;
      case kNegativeBinomial: v[i] = m > 0.0 ? m + m * m / o.a : m; break;
      case kNegativeBinomial1: v[i] = m * (1.0 + o.a); break;
      case kBeta: v[i] = m * (1.0 - m) / (1.0 + o.a); break;
      default: v[i] = std::pow(m, o.p);
    }
  }
}

void family_deviance(const Stage& s, Index n, const double* y, const double* mu, double* d) {
  const Own o = own_of(s);
  const auto ylog = [](double a, double b) { return a > 0.0 ? a * std::log(a / b) : 0.0; };
  for (Index i = 0; i < n; ++i) {
    const double u = y[i], m = mu[i], r = u - m;
    switch (s.family) {
      case kGaussian: d[i] = r * r; break;
      case kBinomial: d[i] = 2.0 * (ylog(u, m) + ylog(1.0 - u, 1.0 - m)); break;
      case kPoisson: d[i] = 2.0 * (ylog(u, m) - r); break;
      case kGamma: d[i] = 2.0 * (r / m - std::log(u / m)); break;
      case kInverseGaussian: d[i] = r * r / (m * m * u); break;
      case kNegativeBinomial: d[i] = 2.0 * (ylog(u, m) - (u + o.a) * (r > -0.5 * m ? std::log1p(r / (m + o.a)) : std::log((u + o.a) / (m + o.a)))); break;
      case kNegativeBinomial1: {
        const double most = u > 0.0 ? most_likely<NegativeBinomial1Mean, Log>(u, std::log(u), o) : 0.0;
        d[i] = 2.0 * (most - NegativeBinomial1Mean::jet(u, m, 0.0, o).l);
        break;
      }
      case kBeta: d[i] = 2.0 * (most_likely<BetaMean, Logit>(u, std::log(u) - std::log1p(-u), o) - BetaMean::jet(u, m, 1.0 - m, o).l); break;
      case kTweedie: {
        const double a = 1.0 - o.p, b = 2.0 - o.p, most = u > 0.0 ? std::pow(u, b) / (a * b) : 0.0;
        d[i] = 2.0 * (most - u * std::pow(m, a) / a + std::pow(m, b) / b);
        break;
      }
      case kQuasi: {
        const double a = 1.0 - o.p, b = 2.0 - o.p;
        if (o.p == 0.0) d[i] = r * r;
        else if (a == 0.0) d[i] = 2.0 * (ylog(u, m) - r);
        else if (b == 0.0) d[i] = 2.0 * (r / m - std::log(u / m));
        else d[i] = 2.0 * ((u > 0.0 ? std::pow(u, b) / (a * b) : 0.0) - u * std::pow(m, a) / a + std::pow(m, b) / b);
        break;
      }
      default: d[i] = kNaN;
    }
  }
  if (!s.own) return;
  std::vector<double> most(n), at(n), unused(3 * n);
  s.own->jets(s.psi, n, y, y, most.data(), unused.data(), &unused[n], &unused[2 * n]);
  s.own->jets(s.psi, n, y, mu, at.data(), unused.data(), &unused[n], &unused[2 * n]);
  for (Index i = 0; i < n; ++i) d[i] = 2.0 * (most[i] - at[i]);
}

std::vector<double> psi_slopes(const Stage& s, Index n, const double* y, const double* size, const double* eta, double* d1_psi) {
  const int k = s.n_psi();
  std::vector<double> constants(static_cast<size_t>(n) * k, 0.0), l(n), total(k, 0.0);
  add_constant_psi(s, n, y, size, constants.data());
  for (int c = 0; c < k; ++c) {
    stage_psi(s, c, n, y, size, eta, l.data(), d1_psi ? d1_psi + c * n : nullptr, nullptr);
    for (Index i = 0; i < n; ++i) total[c] += l[i] + constants[c * n + i];
  }
  return total;
}

std::vector<double> psi_curvature(const Stage& s, Index n, const double* y, const double* size, const double* eta, double* d1_psi) {
  constexpr double step = 1e-4;
  const int k = s.n_psi();
  const std::vector<double> here = psi_slopes(s, n, y, size, eta, d1_psi);
  std::vector<double> out(static_cast<size_t>(k) * k);
  for (int c = 0; c < k; ++c) {
    Stage moved = s;
    moved.psi[c] += step;
    const std::vector<double> there = psi_slopes(moved, n, y, size, eta, nullptr);
    for (int i = 0; i < k; ++i) out[i * k + c] = -(there[i] - here[i]) / step;
  }
  return out;
}

}  // namespace glimm
