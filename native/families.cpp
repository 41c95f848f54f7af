// Families and links: l(y, eta) = y a(eta) + (1 - y) b(eta) (binomial), y log mu - mu (poisson), -(y - mu)^2 / 2 sigma^2 (gaussian).
//
// Binomial likelihoods are built from a = log h and b = log(1 - h) with their own derivatives, so that nothing is lost in the tails.
#include "families.hpp"

#include <algorithm>
#include <limits>

#include "vmath.hpp"

namespace glimm {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

struct Jet { double l, d1, d2, d3; };
struct Mean { double mu, m1, m2, m3; };

struct Identity {
  GLIMM_INLINE Mean mean(double e) { return {e, 1.0, 0.0, 0.0}; }
  GLIMM_INLINE Jet success(double e) {
    const double i = 1.0 / e;
    return {e > 0.0 ? vlog(e) : kNaN, i, -i * i, 2.0 * i * i * i};
  }
  GLIMM_INLINE Jet failure(double e) {
    const Jet a = success(1.0 - e);
    return {a.l, -a.d1, a.d2, -a.d3};
  }
};

struct Log {
  GLIMM_INLINE Mean mean(double e) {
    const double m = vexp(e);
    return {m, m, m, m};
  }
  GLIMM_INLINE Jet success(double e) { return {e, 1.0, 0.0, 0.0}; }
  GLIMM_INLINE Jet failure(double e) {
    const double p = vexp(e), o = -p / std::expm1(e), o1 = o * (1.0 + o);  // expm1: 1 - p without cancellation near p = 1
    return {e < 0.0 ? std::log(-std::expm1(e)) : kNaN, -o, -o1, -o1 * (1.0 + 2.0 * o)};
  }
};

struct Logit {
  GLIMM_INLINE Mean mean(double e) {
    const double x = vexp(-std::fabs(e)), d = 1.0 / (1.0 + x), p = e >= 0.0 ? d : x * d, v = x * d * d;
    return {p, v, v * (1.0 - 2.0 * p), v * (1.0 - 6.0 * v)};
  }
  GLIMM_INLINE Jet success(double e) {
    const double x = vexp(-std::fabs(e)), d = 1.0 / (1.0 + x), q = e >= 0.0 ? x * d : d, v = x * d * d;
    return {(e < 0.0 ? e : 0.0) - vlog1p(x), q, -v, -v * (2.0 * q - 1.0)};
  }
  GLIMM_INLINE Jet failure(double e) {
    const double x = vexp(-std::fabs(e)), d = 1.0 / (1.0 + x), p = e >= 0.0 ? d : x * d, v = x * d * d;
    return {-(e > 0.0 ? e : 0.0) - vlog1p(x), -p, -v, -v * (1.0 - 2.0 * p)};
  }
};

constexpr double kSqrtHalf = 0.70710678118654752440;
constexpr double kInvSqrt2Pi = 0.39894228040143267794;

// phi(x) / Phi(x), by erfc above -8 and by Laplace's continued fraction for the lower tail.
inline double inverse_mills(double x) {
  if (x > -8.0) return kInvSqrt2Pi * std::exp(-0.5 * x * x) / (0.5 * std::erfc(-x * kSqrtHalf));
  double f = -x;
  for (int k = 60; k >= 1; --k) f = -x + k / f;
  return f;
}

inline double log_normal_cdf(double x) {
  if (x > -8.0) return x > 5.0 ? std::log1p(-0.5 * std::erfc(x * kSqrtHalf)) : std::log(0.5 * std::erfc(-x * kSqrtHalf));
  return -0.5 * x * x + std::log(kInvSqrt2Pi / inverse_mills(x));
}

// Phi^-1(p) for p <= 1/2: Newton on log Phi, which is concave, so that after one step it rises to the root.
inline double normal_quantile(double p) {
  const double target = std::log(p);
  double x = 0.0;
  for (int it = 0; it < 100; ++it) {
    const double step = (target - log_normal_cdf(x)) / inverse_mills(x);
    x += step;
    if (!(std::fabs(step) > 1e-15 * std::fabs(x))) break;
  }
  return x;
}

struct Probit {
  GLIMM_INLINE Mean mean(double e) {
    const double f = kInvSqrt2Pi * vexp(-0.5 * e * e);
    return {0.5 * std::erfc(-e * kSqrtHalf), f, -e * f, (e * e - 1.0) * f};
  }
  GLIMM_INLINE Jet success(double e) {
    const double r = inverse_mills(e), r1 = -r * (e + r);
    return {log_normal_cdf(e), r, r1, -(r + r1 * (e + 2.0 * r))};
  }
  GLIMM_INLINE Jet failure(double e) {
    const Jet a = success(-e);
    return {a.l, -a.d1, a.d2, -a.d3};
  }
};

struct Cloglog {
  GLIMM_INLINE Mean mean(double e) {
    const double t = vexp(e), m1 = vexp(e - t);
    return {-std::expm1(-t), m1, m1 * (1.0 - t), m1 * (1.0 - 3.0 * t + t * t)};
  }
  GLIMM_INLINE Jet success(double e) {
    const double t = vexp(e);
    if (t > 700.0) return {0.0, 0.0, 0.0, 0.0};
    const double g = t / std::expm1(t), h = 1.0 - t - g, g1 = g * h;
    return {std::log(-std::expm1(-t)), g, g1, g1 * h - g * (t + g1)};
  }
  GLIMM_INLINE Jet failure(double e) {
    const double t = vexp(e);
    return {-t, -t, -t, -t};
  }
};

template <class L> struct Binomial {
  GLIMM_INLINE Jet jet(double y, double e, double) {
    const Jet a = L::success(e), b = L::failure(e);
    const double z = 1.0 - y;
    return {y * a.l + z * b.l, y * a.d1 + z * b.d1, y * a.d2 + z * b.d2, y * a.d3 + z * b.d3};
  }
  GLIMM_INLINE double information(double e, double) { return L::mean(e).m1 * (L::success(e).d1 - L::failure(e).d1); }
};

template <> struct Binomial<Logit> {  // one exp and one log for both outcomes
  GLIMM_INLINE Jet jet(double y, double e, double) {
    const double x = vexp(-std::fabs(e)), d = 1.0 / (1.0 + x), p = e >= 0.0 ? d : x * d, v = x * d * d;
    return {y * e - (e > 0.0 ? e : 0.0) - vlog1p(x), y - p, -v, -v * (1.0 - 2.0 * p)};
  }
  GLIMM_INLINE double information(double e, double) {
    const double x = vexp(-std::fabs(e)), d = 1.0 / (1.0 + x);
    return x * d * d;
  }
};

template <class L> struct Poisson {
  GLIMM_INLINE Jet jet(double y, double e, double) {
    const Mean m = L::mean(e);
    const double i = 1.0 / m.mu, r = y * i - 1.0, y2 = y * i * i;
    const double l = m.mu > 0.0 ? y * vlog(m.mu) - m.mu : kNaN;
    return {l, r * m.m1, r * m.m2 - y2 * m.m1 * m.m1, r * m.m3 - 3.0 * y2 * m.m1 * m.m2 + 2.0 * y2 * i * m.m1 * m.m1 * m.m1};
  }
  GLIMM_INLINE double information(double e, double) {
    const Mean m = L::mean(e);
    return m.m1 * m.m1 / m.mu;
  }
};

template <> struct Poisson<Log> {
  GLIMM_INLINE Jet jet(double y, double e, double) {
    const double m = vexp(e);
    return {y * e - m, y - m, -m, -m};
  }
  GLIMM_INLINE double information(double e, double) { return vexp(e); }
};

template <class L> struct Gaussian {
  GLIMM_INLINE Jet jet(double y, double e, double precision) {
    const Mean m = L::mean(e);
    const double r = y - m.mu;
    return {-0.5 * precision * r * r, precision * r * m.m1, precision * (r * m.m2 - m.m1 * m.m1),
            precision * (r * m.m3 - 3.0 * m.m1 * m.m2)};
  }
  GLIMM_INLINE double information(double e, double precision) {
    const double m1 = L::mean(e).m1;
    return precision * m1 * m1;
  }
};

// precision is the only thing psi enters by in this first set of families.
GLIMM_INLINE double precision_of(const Stage& s) { return s.has_psi() ? std::exp(-2.0 * s.psi) : 1.0; }

template <class F> struct Run {
  // Sized, Value and Third are template arguments, and pointers do not alias, so that the loops vectorise.
  template <bool Sized, bool Value, bool Third>
  static void jet_loop(double precision, Index n, const double* GLIMM_RESTRICT y, const double* GLIMM_RESTRICT size, const double* GLIMM_RESTRICT eta,
                       double* GLIMM_RESTRICT l, double* GLIMM_RESTRICT d1, double* GLIMM_RESTRICT d2, double* GLIMM_RESTRICT d3) {
    for (Index i = 0; i < n; ++i) {
      const Jet j = F::jet(y[i], eta[i], precision);
      const double w = Sized ? size[i] : 1.0;
      if (Value) l[i] = w * j.l;
      d1[i] = w * j.d1;
      d2[i] = w * j.d2;
      if (Third) d3[i] = w * j.d3;
    }
  }
  template <bool Sized>
  static void working_loop(double precision, Index n, const double* GLIMM_RESTRICT y, const double* GLIMM_RESTRICT size,
                           const double* GLIMM_RESTRICT eta, double* GLIMM_RESTRICT l, double* GLIMM_RESTRICT d1, double* GLIMM_RESTRICT w) {
    for (Index i = 0; i < n; ++i) {
      const Jet j = F::jet(y[i], eta[i], precision);
      const double k = Sized ? size[i] : 1.0;
      l[i] = k * j.l;
      d1[i] = k * j.d1;
      w[i] = k * F::information(eta[i], precision);
    }
  }
  template <bool Slopes>
  static void node_loop(double precision, int nodes, double y, double w, const double* GLIMM_RESTRICT eta, double* GLIMM_RESTRICT l_sum,
                        double* GLIMM_RESTRICT d1) {
    for (int k = 0; k < nodes; ++k) {
      const Jet j = F::jet(y, eta[k], precision);
      l_sum[k] += w * j.l;
      if (Slopes) d1[k] = w * j.d1;
    }
  }
  static void jets(const Stage& s, Index n, const double* y, const double* size, const double* eta, double* l, double* d1, double* d2, double* d3) {
    const double precision = precision_of(s);
    const auto loop = size ? (l ? (d3 ? jet_loop<true, true, true> : jet_loop<true, true, false>)
                                : (d3 ? jet_loop<true, false, true> : jet_loop<true, false, false>))
                           : (l ? (d3 ? jet_loop<false, true, true> : jet_loop<false, true, false>)
                                : (d3 ? jet_loop<false, false, true> : jet_loop<false, false, false>));
    loop(precision, n, y, size, eta, l, d1, d2, d3);
  }
  static void working(const Stage& s, Index n, const double* y, const double* size, const double* eta, double* l, double* d1, double* w) {
    const double precision = precision_of(s);
    return size ? working_loop<true>(precision, n, y, size, eta, l, d1, w) : working_loop<false>(precision, n, y, size, eta, l, d1, w);
  }
  static void nodes(const Stage& s, Index rows, int nodes, const double* y, const double* size, const double* eta, double* l_sum, double* d1) {
    const double precision = precision_of(s);
    std::fill(l_sum, l_sum + nodes, 0.0);
    for (Index i = 0; i < rows; ++i) {
      const double w = size ? size[i] : 1.0;
      if (d1) node_loop<true>(precision, nodes, y[i], w, eta + i * nodes, l_sum, d1 + i * nodes);
      else node_loop<false>(precision, nodes, y[i], w, eta + i * nodes, l_sum, nullptr);
    }
  }
};

// Logistic nodes without weights: one exp per row and node, the logs by running products.
template <bool Slopes>
void logit_nodes(Index rows, int nodes, const double* y, const double* eta, double* GLIMM_RESTRICT l_sum, double* d1,
                 double* GLIMM_RESTRICT product) {
  for (int k = 0; k < nodes; ++k) { l_sum[k] = 0.0; product[k] = 1.0; }
  for (Index i = 0; i < rows; ++i) {
    const double yi = y[i];
    const double* GLIMM_RESTRICT e = eta + i * nodes;
    double* GLIMM_RESTRICT d = Slopes ? d1 + i * nodes : nullptr;
    for (int k = 0; k < nodes; ++k) {
      const double x = vexp(-std::fabs(e[k]));
      if (Slopes) {
        const double q = 1.0 / (1.0 + x);
        d[k] = yi - (e[k] >= 0.0 ? q : x * q);
      }
      product[k] *= 1.0 + x;
      l_sum[k] += yi * e[k] - (e[k] > 0.0 ? e[k] : 0.0);
    }
    if ((i & 511) == 511 || i + 1 == rows)
      for (int k = 0; k < nodes; ++k) { l_sum[k] -= vlog(product[k]); product[k] = 1.0; }
  }
}

template <class Visit> void for_pair(const Stage& s, Visit visit) {
  switch (s.family * 8 + s.link) {
    case kGaussian * 8 + kIdentity: return visit(Run<Gaussian<Identity>>{});
    case kGaussian * 8 + kLog: return visit(Run<Gaussian<Log>>{});
    case kBinomial * 8 + kIdentity: return visit(Run<Binomial<Identity>>{});
    case kBinomial * 8 + kLog: return visit(Run<Binomial<Log>>{});
    case kBinomial * 8 + kLogit: return visit(Run<Binomial<Logit>>{});
    case kBinomial * 8 + kProbit: return visit(Run<Binomial<Probit>>{});
    case kBinomial * 8 + kCloglog: return visit(Run<Binomial<Cloglog>>{});
    case kPoisson * 8 + kIdentity: return visit(Run<Poisson<Identity>>{});
    case kPoisson * 8 + kLog: return visit(Run<Poisson<Log>>{});
    default: return;
  }
}

template <class L> void mean_loop(Index n, const double* eta, double* mu, double* m1, double* m2, double* m3) {
  for (Index i = 0; i < n; ++i) {
    const Mean m = L::mean(eta[i]);
    mu[i] = m.mu;
    if (m1) m1[i] = m.m1;
    if (m2) m2[i] = m.m2;
    if (m3) m3[i] = m.m3;
  }
}

}  // namespace

void stage_jets(const Stage& s, Index n, const double* y, const double* size, const double* eta, double* l, double* d1, double* d2, double* d3) {
  for_pair(s, [&](auto run) { run.jets(s, n, y, size, eta, l, d1, d2, d3); });
}

void stage_working(const Stage& s, Index n, const double* y, const double* size, const double* eta, double* l, double* d1, double* w) {
  for_pair(s, [&](auto run) { run.working(s, n, y, size, eta, l, d1, w); });
}

void stage_nodes(const Stage& s, Index rows, int nodes, const double* y, const double* size, const double* eta, double* l_sum, double* d1, double* scratch) {
  if (s.family == kBinomial && s.link == kLogit && !size)
    return d1 ? logit_nodes<true>(rows, nodes, y, eta, l_sum, d1, scratch) : logit_nodes<false>(rows, nodes, y, eta, l_sum, nullptr, scratch);
  for_pair(s, [&](auto run) { run.nodes(s, rows, nodes, y, size, eta, l_sum, d1); });
}

void stage_psi(const Stage& s, Index n, const double* y, const double* size, const double* eta, double* l_psi, double* d1_psi, double* w_psi) {
  stage_jets(s, n, y, size, eta, l_psi, d1_psi, w_psi, nullptr);
  for (Index i = 0; i < n; ++i) {  // gaussian, psi = log sigma: everything scales with sigma^-2
    l_psi[i] = -1.0 - 2.0 * l_psi[i];
    d1_psi[i] *= -2.0;
    w_psi[i] *= 2.0;
  }
}

double stage_constant(const Stage& s, Index n, const double* y, const double* trials, const double* weights) {
  double total = 0.0;
  if (s.family == kGaussian) {
    total = -static_cast<double>(n) * (s.psi + 0.91893853320467274178);
    if (weights) for (Index i = 0; i < n; ++i) total += 0.5 * std::log(weights[i]);
  } else if (s.family == kPoisson) {
    for (Index i = 0; i < n; ++i) total -= (weights ? weights[i] : 1.0) * std::lgamma(y[i] + 1.0);
  } else if (trials) {
    for (Index i = 0; i < n; ++i) {
      const double m = trials[i], k = std::nearbyint(y[i] * m);
      total += (weights ? weights[i] : 1.0) * (std::lgamma(m + 1.0) - std::lgamma(k + 1.0) - std::lgamma(m - k + 1.0));
    }
  }
  return total;
}

void link_mean(int link, Index n, const double* eta, double* mu, double* m1, double* m2, double* m3) {
  switch (link) {
    case kLog: return mean_loop<Log>(n, eta, mu, m1, m2, m3);
    case kLogit: return mean_loop<Logit>(n, eta, mu, m1, m2, m3);
    case kProbit: return mean_loop<Probit>(n, eta, mu, m1, m2, m3);
    case kCloglog: return mean_loop<Cloglog>(n, eta, mu, m1, m2, m3);
    default: return mean_loop<Identity>(n, eta, mu, m1, m2, m3);
  }
}

void link_eta(int link, Index n, const double* mu, double* eta) {
  for (Index i = 0; i < n; ++i)
    eta[i] = link == kLog      ? std::log(mu[i])
             : link == kLogit   ? std::log(mu[i]) - std::log1p(-mu[i])
             : link == kCloglog ? std::log(-std::log1p(-mu[i]))
             : link == kProbit  ? (mu[i] <= 0.5 ? normal_quantile(mu[i]) : -normal_quantile(1.0 - mu[i]))
                                : mu[i];
}

void family_variance(int family, Index n, const double* mu, double* v) {
  for (Index i = 0; i < n; ++i) v[i] = family == kGaussian ? 1.0 : family == kPoisson ? mu[i] : mu[i] * (1.0 - mu[i]);
}

void family_deviance(int family, Index n, const double* y, const double* mu, double* d) {
  const auto ylog = [](double a, double b) { return a > 0.0 ? a * std::log(a / b) : 0.0; };
  for (Index i = 0; i < n; ++i) {
    const double r = y[i] - mu[i];
    d[i] = family == kGaussian  ? r * r
           : family == kPoisson ? 2.0 * (ylog(y[i], mu[i]) - r)
                                : 2.0 * (ylog(y[i], mu[i]) + ylog(1.0 - y[i], 1.0 - mu[i]));
  }
}

}  // namespace glimm
