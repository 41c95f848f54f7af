// Links: mu = h(eta) and, for probabilities, log h and log(1 - h), each with derivatives to third order; c is the link's own number.
//
// log h and log(1 - h) have their own derivatives, so that nothing is lost in the tails. Outside the link's range everything is NaN.
#pragma once
#include <limits>

#include "families.hpp"

namespace glimm {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInvPi = 0.31830988618379067154;

struct Jet { double l, d1, d2, d3; };
struct Mean { double mu, m1, m2, m3; };

struct Identity {
  GLIMM_INLINE Mean mean(double e, double) { return {e, 1.0, 0.0, 0.0}; }
  GLIMM_INLINE Jet success(double e, double) {
    const double i = 1.0 / e;
    return {e > 0.0 ? vlog(e) : kNaN, i, -i * i, 2.0 * i * i * i};
  }
  GLIMM_INLINE Jet failure(double e, double) {
    const Jet a = success(1.0 - e, 0.0);
    return {a.l, -a.d1, a.d2, -a.d3};
  }
};

struct Log {
  GLIMM_INLINE Mean mean(double e, double) {
    const double m = vexp(e);
    return {m, m, m, m};
  }
  GLIMM_INLINE Jet success(double e, double) { return {e, 1.0, 0.0, 0.0}; }
  GLIMM_INLINE Jet failure(double e, double) {
    const double p = vexp(e), o = -p / std::expm1(e), o1 = o * (1.0 + o);  // expm1: 1 - p without cancellation near p = 1
    return {e < 0.0 ? std::log(-std::expm1(e)) : kNaN, -o, -o1, -o1 * (1.0 + 2.0 * o)};
  }
};

struct Logit {
  GLIMM_INLINE Mean mean(double e, double) {
    const double x = vexp(-std::fabs(e)), d = 1.0 / (1.0 + x), p = e >= 0.0 ? d : x * d, v = x * d * d;
    return {p, v, v * (1.0 - 2.0 * p), v * (1.0 - 6.0 * v)};
  }
  GLIMM_INLINE Jet success(double e, double) {
    const double x = vexp(-std::fabs(e)), d = 1.0 / (1.0 + x), q = e >= 0.0 ? x * d : d, v = x * d * d;
    return {(e < 0.0 ? e : 0.0) - vlog1p(x), q, -v, -v * (2.0 * q - 1.0)};
  }
  GLIMM_INLINE Jet failure(double e, double) {
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

// log Phi at x < -8, z = -x, by Laplace's continued fraction z + 1 / (z + 2 / (z + 3 / ...)) for phi / Phi, whose parts give the
// derivatives without cancellation.
inline Jet normal_tail(double x) {
  const double z = -x;
  double f = z;
  for (int k = 60; k >= 5; --k) f = z + k / f;
  const double a = 4.0 / f, b = 3.0 / (z + a), c = 2.0 / (z + b), d = 1.0 / (z + c), r = z + d;
  const double apart = 3.0 / (z + a) - 2.0 / (z + b);  // b - c
  return {-0.5 * x * x + std::log(kInvSqrt2Pi / r), r, -r * d, 2.0 * r * d * apart / ((z + c) * (z + b))};
}

struct Probit {
  GLIMM_INLINE Mean mean(double e, double) {
    const double f = kInvSqrt2Pi * vexp(-0.5 * e * e);
    return {0.5 * std::erfc(-e * kSqrtHalf), f, -e * f, (e * e - 1.0) * f};
  }
  GLIMM_INLINE Jet success(double e, double) {
    if (e <= -8.0) return normal_tail(e);
    const double r = inverse_mills(e), r1 = -r * (e + r);
    return {log_normal_cdf(e), r, r1, -(r + r1 * (e + 2.0 * r))};
  }
  GLIMM_INLINE Jet failure(double e, double) {
    const Jet a = success(-e, 0.0);
    return {a.l, -a.d1, a.d2, -a.d3};
  }
};

struct Cloglog {
  GLIMM_INLINE Mean mean(double e, double) {
    const double t = vexp(e), m1 = vexp(e - t);
    return {-std::expm1(-t), m1, m1 * (1.0 - t), m1 * (1.0 - 3.0 * t + t * t)};
  }
  GLIMM_INLINE Jet success(double e, double) {
    const double t = vexp(e);
    if (t > 700.0) return {0.0, 0.0, 0.0, 0.0};
    const double s = t * t, small = -t * (0.5 + t * (1.0 / 12.0 - s * (1.0 / 720.0 - s / 30240.0)));
    const double g = t / std::expm1(t), h = t < 0.02 ? small : 1.0 - t - g, g1 = g * h;
    return {std::log(-std::expm1(-t)), g, g1, g1 * h - g * (t + g1)};
  }
  GLIMM_INLINE Jet failure(double e, double) {
    const double t = vexp(e);
    return {-t, -t, -t, -t};
  }
};

struct Loglog {  // the mirror image of cloglog
  GLIMM_INLINE Mean mean(double e, double) {
    const double t = vexp(-e), m1 = vexp(-e - t);
    return {vexp(-t), m1, m1 * (t - 1.0), m1 * (1.0 - 3.0 * t + t * t)};
  }
  GLIMM_INLINE Jet success(double e, double) {
    const Jet a = Cloglog::failure(-e, 0.0);
    return {a.l, -a.d1, a.d2, -a.d3};
  }
  GLIMM_INLINE Jet failure(double e, double) {
    const Jet a = Cloglog::success(-e, 0.0);
    return {a.l, -a.d1, a.d2, -a.d3};
  }
};

struct Cauchit {
  static double lower(double e) {  // 1/2 + atan(e) / pi without cancellation
    return e < -1.0 ? std::atan(-1.0 / e) * kInvPi : 0.5 + std::atan(e) * kInvPi;
  }
  GLIMM_INLINE Mean mean(double e, double) {
    const double r = 1.0 / (1.0 + e * e), f = kInvPi * r;
    return {lower(e), f, -2.0 * e * r * f, (6.0 * e * e - 2.0) * r * r * f};
  }
  GLIMM_INLINE Jet success(double e, double) {
    const double h = lower(e), r = 1.0 / (1.0 + e * e), a = kInvPi * r / h, s = -2.0 * e * r, s1 = 2.0 * (e * e - 1.0) * r * r;
    const double a1 = a * (s - a);  // s = (log h')'
    return {e > 1.0 ? std::log1p(-lower(-e)) : std::log(h), a, a1, a1 * (s - a) + a * (s1 - a1)};
  }
  GLIMM_INLINE Jet failure(double e, double) {
    const Jet a = success(-e, 0.0);
    return {a.l, -a.d1, a.d2, -a.d3};
  }
};

struct Logc {
  GLIMM_INLINE Mean mean(double e, double) {
    const double m = vexp(e);
    return {-std::expm1(e), -m, -m, -m};
  }
  GLIMM_INLINE Jet success(double e, double) { return Log::failure(e, 0.0); }
  GLIMM_INLINE Jet failure(double e, double) { return Log::success(e, 0.0); }
};

// f(t(e)) by the chain rule
GLIMM_INLINE Jet through(const Jet& f, double t1, double t2, double t3) {
  return {f.l, f.d1 * t1, f.d2 * t1 * t1 + f.d1 * t2, f.d3 * t1 * t1 * t1 + 3.0 * f.d2 * t1 * t2 + f.d1 * t3};
}

struct Power {  // mu^c = e: log mu = log(e) / c
  GLIMM_INLINE Mean mean(double e, double c) {
    if (!(e > 0.0)) return {kNaN, kNaN, kNaN, kNaN};
    const double k = 1.0 / c, i = 1.0 / e, m = std::pow(e, k), m1 = k * m * i, m2 = (k - 1.0) * m1 * i;
    return {m, m1, m2, (k - 2.0) * m2 * i};
  }
  GLIMM_INLINE Jet with(const Jet& f, double e, double c) {
    const double i = 1.0 / e, t1 = i / c;
    return through(f, t1, -t1 * i, 2.0 * t1 * i * i);
  }
  GLIMM_INLINE Jet success(double e, double c) { return with(Log::success(e > 0.0 ? std::log(e) / c : kNaN, 0.0), e, c); }
  GLIMM_INLINE Jet failure(double e, double c) { return with(Log::failure(e > 0.0 ? std::log(e) / c : kNaN, 0.0), e, c); }
};

struct OddsPower {  // ((mu / (1 - mu))^c - 1) / c = e: log odds = log(1 + c e) / c
  GLIMM_INLINE double odds(double e, double c) { return 1.0 + c * e > 0.0 ? std::log1p(c * e) / c : kNaN; }
  GLIMM_INLINE Jet with(const Jet& f, double e, double c) {
    const double t1 = 1.0 / (1.0 + c * e);
    return through(f, t1, -c * t1 * t1, 2.0 * c * c * t1 * t1 * t1);
  }
  GLIMM_INLINE Mean mean(double e, double c) {
    const Mean m = Logit::mean(odds(e, c), 0.0);
    const Jet j = with({m.mu, m.m1, m.m2, m.m3}, e, c);
    return {j.l, j.d1, j.d2, j.d3};
  }
  GLIMM_INLINE Jet success(double e, double c) { return with(Logit::success(odds(e, c), 0.0), e, c); }
  GLIMM_INLINE Jet failure(double e, double c) { return with(Logit::failure(odds(e, c), 0.0), e, c); }
};

// 1 - h(e) where that has digits which 1 - mu has not.
inline double complement(int link, double e, double mu, double c) {
  switch (link) {
    case kLogit: return Logit::mean(-e, 0.0).mu;
    case kProbit: return 0.5 * std::erfc(e * kSqrtHalf);
    case kCloglog: return vexp(-vexp(e));
    case kLoglog: return -std::expm1(-vexp(-e));
    case kCauchit: return Cauchit::lower(-e);
    case kLog: return -std::expm1(e);
    case kLogc: return vexp(e);
    case kOddsPower: return Logit::mean(-OddsPower::odds(e, c), 0.0).mu;
    default: return 1.0 - mu;
  }
}

template <class Visit> auto for_link(int link, Visit visit) {
  switch (link) {
    case kLog: return visit(Log{});
    case kLogit: return visit(Logit{});
    case kProbit: return visit(Probit{});
    case kCloglog: return visit(Cloglog{});
    case kLoglog: return visit(Loglog{});
    case kCauchit: return visit(Cauchit{});
    case kLogc: return visit(Logc{});
    case kPower: return visit(Power{});
    case kOddsPower: return visit(OddsPower{});
    default: return visit(Identity{});
  }
}

}  // namespace glimm
