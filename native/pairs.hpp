// Pairs of a family and a link that are common, or need care far out, written in eta: l(y, eta) with derivatives to third order, and the
// expected information. Every other pair goes by the chain rule (families.cpp).
//
// Binomial: l = y a(eta) + (1 - y) b(eta) with a = log h, b = log(1 - h).
#pragma once
#include "responses.hpp"

namespace glimm {

constexpr double kEuler = 0.57721566490153286061, kZeta2 = 1.64493406684822643647, kZeta3 = 1.20205690315959428540;

template <class L> struct Binomial {
  GLIMM_INLINE Jet jet(double y, double e, const Own& o) {
    const Jet a = L::success(e, o.power), b = L::failure(e, o.power);
    const double z = 1.0 - y;
    return {y * a.l + z * b.l, y * a.d1 + z * b.d1, y * a.d2 + z * b.d2, y * a.d3 + z * b.d3};
  }
  GLIMM_INLINE double information(double e, const Own& o) { return L::mean(e, o.power).m1 * (L::success(e, o.power).d1 - L::failure(e, o.power).d1); }
};

template <> struct Binomial<Logit> {  // one exp and one log for both outcomes
  GLIMM_INLINE Jet jet(double y, double e, const Own&) {
    const double x = vexp(-std::fabs(e)), d = 1.0 / (1.0 + x), p = e >= 0.0 ? d : x * d, v = x * d * d;
    return {y * e - (e > 0.0 ? e : 0.0) - vlog1p(x), y * (e >= 0.0 ? x * d : d) - (1.0 - y) * p, -v, -v * (1.0 - 2.0 * p)};
  }
  GLIMM_INLINE double information(double e, const Own&) {
    const double x = vexp(-std::fabs(e)), d = 1.0 / (1.0 + x);
    return x * d * d;
  }
};

struct PoissonLog {
  GLIMM_INLINE Jet jet(double y, double e, const Own&) {
    const double m = vexp(e);
    return {y * e - m, y - m, -m, -m};
  }
  GLIMM_INLINE double information(double e, const Own&) { return vexp(e); }
};

template <class L> struct Gaussian {
  GLIMM_INLINE Jet jet(double y, double e, const Own& o) {
    const Mean m = L::mean(e, o.power);
    const double r = y - m.mu;
    return {-0.5 * o.precision * r * r, o.precision * r * m.m1, o.precision * (r * m.m2 - m.m1 * m.m1),
            o.precision * (r * m.m3 - 3.0 * m.m1 * m.m2)};
  }
  GLIMM_INLINE double information(double e, const Own& o) {
    const double m1 = L::mean(e, o.power).m1;
    return o.precision * m1 * m1;
  }
};

struct GammaLog {
  GLIMM_INLINE Jet jet(double y, double e, const Own& o) {
    const double t = o.precision * y * vexp(-e);
    return {-(o.precision * e + t), t - o.precision, -t, t};
  }
  GLIMM_INLINE double information(double, const Own& o) { return o.precision; }
};

struct NegativeBinomialLog {
  GLIMM_INLINE Jet jet(double y, double e, const Own& o) {
    const double m = vexp(e), s = m / o.a, d = 1.0 / (1.0 + s), c = (y + o.a) * (s * d);
    return {y * e - (y + o.a) * vlog1p(s), (y - m) * d, -c * d, -c * d * d * (1.0 - s)};
  }
  GLIMM_INLINE double information(double e, const Own& o) {
    const double m = vexp(e);
    return m / (1.0 + m / o.a);
  }
};

struct TweedieLog {
  GLIMM_INLINE Jet jet(double y, double e, const Own& o) {
    const double a = 1.0 - o.p, b = 2.0 - o.p, u = o.precision * y * vexp(a * e), v = o.precision * vexp(b * e);
    return {u / a - v / b, u - v, a * u - b * v, a * a * u - b * b * v};
  }
  GLIMM_INLINE double information(double e, const Own& o) { return o.precision * vexp((2.0 - o.p) * e); }
};

// q = mu / alpha: l = sum over 0 < j < y of log(1 + j / q) + y log mu - (y + q) log(1 + alpha); x d/dx of the sum is -(y - 1) + t with
// t = sum of q / (q + j), by its series where that is next to nothing.
struct NegativeBinomial1Log {
  GLIMM_INLINE Jet jet(double y, double e, const Own& o) {
    const double m = vexp(e), q = m / o.a, up = std::log1p(o.a), grown = q * up;
    if (y < 1.0) return {-grown, -grown, -grown, -grown};
    if (q < 1e-5) {
      const Gammas g = gammas(y);
      const double a = g.d1 + kEuler, b = kZeta2 - g.d2, c = kZeta3 + 0.5 * g.d3;  // sums of 1 / j, 1 / j^2, 1 / j^3
      const double l = log_gamma(y) + q * (a - 0.5 * q * b) - (y - 1.0) * (e - std::log(o.a)) + y * e - (y + q) * up;
      return {l, 1.0 + q * (a - q * (b - q * c)) - grown, q * (a - q * (2.0 * b - 3.0 * q * c)) - grown, q * (a - q * (4.0 * b - 9.0 * q * c)) - grown};
    }
    if (q > 1e60) return {y * e - (y + q) * up, y - grown, -grown, -grown};
    const Rising r = rising(y, q);
    const double r1 = q * r.d1, r2 = q * q * r.d2, r3 = q * q * q * r.d3;
    return {y * e + r.v - (y + q) * up, y + r1 - grown, r1 + r2 - grown, r1 + 3.0 * r2 + r3 - grown};
  }
  GLIMM_INLINE double information(double e, const Own& o) { return vexp(e) / (1.0 + o.a); }
};

// x^k times the k-th derivative of log Gamma at x > 0: bounded where x is next to nothing.
inline Gammas scaled_gammas(double x) {
  if (x < 1e-8) return {-1.0 - kEuler * x, 1.0 + kZeta2 * x * x, -2.0};
  const Gammas g = gammas(x);
  return {x * g.d1, x * x * g.d2, x * x * x * g.d3};
}

// x = mu a, z = nu a: with the scaled derivatives P of log Gamma, l' = nu (x log odds(y) - P_1(x)) + mu P_1(z).
struct BetaLogit {
  GLIMM_INLINE Jet jet(double y, double e, const Own& o) {
    const Mean h = Logit::mean(e, 0.0);
    const double nu = Logit::mean(-e, 0.0).mu, mu = h.mu, x = mu * o.a, z = nu * o.a;
    const Gammas g = scaled_gammas(x), k = scaled_gammas(z);
    const double l = x * std::log(y) + z * std::log1p(-y) - log_gamma(x) - log_gamma(z);
    const double d1 = nu * (x * (std::log(y) - std::log1p(-y)) - g.d1) + mu * k.d1, w = nu * nu * g.d2 + mu * mu * k.d2;
    return {l, d1, (nu - mu) * d1 - w, (1.0 - 6.0 * mu * nu) * d1 - 3.0 * (nu - mu) * w - nu * nu * nu * g.d3 + mu * mu * mu * k.d3};
  }
  GLIMM_INLINE double information(double e, const Own& o) {
    const double nu = Logit::mean(-e, 0.0).mu, mu = Logit::mean(e, 0.0).mu;
    return nu * nu * scaled_gammas(mu * o.a).d2 + mu * mu * scaled_gammas(nu * o.a).d2;
  }
};

}  // namespace glimm
