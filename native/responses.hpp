// Responses as functions of their mean: l(y, mu; psi) with derivatives in mu to third order, and in psi.
//
// Own holds what psi gives; nu is 1 - mu with the digits that mu has lost.
#pragma once
#include "links.hpp"
#include "special.hpp"

namespace glimm {

// precision: 1 / dispersion; a: k, alpha or precision; p: of tweedie; power: of the link
struct Own { double precision = 1.0, a = 1.0, p = 1.5, power = 1.0; };

inline double expit(double x) { return 1.0 / (1.0 + std::exp(-x)); }

inline Own own_of(const Stage& s) {
  Own o;
  o.power = s.power;
  if (s.own) return o;
  o.a = s.n_psi() ? std::exp(s.psi[0]) : 1.0;
  if (s.family == kGaussian) o.precision = std::exp(-2.0 * s.psi[0]);
  if (s.family == kGamma || s.family == kInverseGaussian || s.family == kTweedie || s.family == kQuasi) o.precision = 1.0 / o.a;
  if (s.family == kTweedie) o.p = 1.0 + expit(s.psi[1]);
  if (s.family == kQuasi) o.p = s.psi[1];
  return o;
}

// Derivatives in one psi of l and of its first two derivatives in mu; psi2 of a response is l's second derivative in psi[0].
struct PsiJet { double l, d1, d2; };

constexpr Jet kNoJet{kNaN, kNaN, kNaN, kNaN};

// A dispersion: everything scales with precision^`times`, l itself being the part that depends on mu.
inline PsiJet scaled(const Jet& j, double times) { return {times * j.l, times * j.d1, times * j.d2}; }

struct GaussianMean {
  static Jet jet(double y, double mu, double, const Own& o) {
    const double r = y - mu;
    return {-0.5 * o.precision * r * r, o.precision * r, -o.precision, 0.0};
  }
  static PsiJet psi(double y, double mu, double nu, const Own& o, int) { return scaled(jet(y, mu, nu, o), -2.0); }
  static double information(double, double, const Own& o) { return o.precision; }
};

struct PoissonMean {
  static Jet jet(double y, double mu, double, const Own&) {
    if (!(mu > 0.0)) return kNoJet;
    const double i = 1.0 / mu, t = y * i;
    return {y * std::log(mu) - mu, t - 1.0, -t * i, 2.0 * t * i * i};
  }
  static PsiJet psi(double, double, double, const Own&, int) { return {0.0, 0.0, 0.0}; }
  static double information(double mu, double, const Own&) { return 1.0 / mu; }
};

struct GammaMean {
  static Jet jet(double y, double mu, double, const Own& o) {
    if (!(mu > 0.0)) return kNoJet;
    const double i = 1.0 / mu, t = y * i, c = o.precision * i * i;
    return {-o.precision * (std::log(mu) + t), o.precision * i * (t - 1.0), c * (1.0 - 2.0 * t), c * i * (6.0 * t - 2.0)};
  }
  static PsiJet psi(double y, double mu, double nu, const Own& o, int) { return scaled(jet(y, mu, nu, o), -1.0); }
  static double information(double mu, double, const Own& o) { return o.precision / (mu * mu); }
};

struct InverseGaussianMean {
  static Jet jet(double y, double mu, double, const Own& o) {
    if (!(mu > 0.0)) return kNoJet;
    const double i = 1.0 / mu, r = (y - mu) * i, c = o.precision * i * i * i, t = y * i;
    return {-0.5 * o.precision * r * r / y, o.precision * i * i * r, c * (2.0 - 3.0 * t), c * i * (12.0 * t - 6.0)};
  }
  static PsiJet psi(double y, double mu, double nu, const Own& o, int) { return scaled(jet(y, mu, nu, o), -1.0); }
  static double information(double mu, double, const Own& o) { return o.precision / (mu * mu * mu); }
};

struct NegativeBinomialMean {  // a = k: y log mu - (y + k) log(1 + mu / k)
  static Jet jet(double y, double mu, double, const Own& o) {
    if (!(mu > 0.0)) return kNoJet;
    const double i = 1.0 / mu, t = y * i, s = 1.0 / (o.a + mu), c = (y + o.a) * s;
    return {y * std::log(mu) - (y + o.a) * std::log1p(mu / o.a), o.a * s * i * (y - mu), c * s - t * i, 2.0 * (t * i * i - c * s * s)};
  }
  static PsiJet psi(double y, double mu, double, const Own& o, int) {
    const double s = 1.0 / (o.a + mu), r = y - mu;
    return {(y + o.a) * mu * s - o.a * std::log1p(mu / o.a), o.a * r * s * s, -o.a * s * s * (1.0 + 2.0 * r * s)};
  }
  static double psi2(double y, double mu, double, const Own& o) {
    const double s = 1.0 / (o.a + mu);
    return o.a * (mu * s * (1.0 + (mu - y) * s) - std::log1p(mu / o.a));
  }
  static double information(double mu, double, const Own& o) { return o.a / (mu * (o.a + mu)); }
};

struct NegativeBinomial1Mean {  // a = alpha; y log mu + R(y, r) - (y + r) log(1 + alpha), r = mu / alpha
  static Jet jet(double y, double mu, double, const Own& o) {
    if (!(mu > 0.0)) return kNoJet;
    const double i = 1.0 / mu, t = y * i, b = 1.0 / o.a, up = std::log1p(o.a);
    const Rising r = rising(y, mu * b);
    return {y * std::log(mu) + r.v - (y + mu * b) * up, t + (r.d1 - up) * b, r.d2 * b * b - t * i, r.d3 * b * b * b + 2.0 * t * i * i};
  }
  static PsiJet psi(double y, double mu, double, const Own& o, int) {
    const double b = 1.0 / o.a, q = mu * b, up = std::log1p(o.a), down = 1.0 / (1.0 + o.a);
    const Rising r = rising(y, q);
    return {q * (up - r.d1) - (y + q) * o.a * down, b * (up - r.d1 - q * r.d2) - down, -b * b * (q * r.d3 + 2.0 * r.d2)};
  }
  static double psi2(double y, double mu, double, const Own& o) {
    const double q = mu / o.a, share = o.a / (1.0 + o.a);
    const Rising r = rising(y, q);
    return q * (r.d1 + q * r.d2 - std::log1p(o.a)) + share * (2.0 * q - (y + q) / (1.0 + o.a));
  }
  static double information(double mu, double, const Own& o) { return 1.0 / (mu * (1.0 + o.a)); }
};

struct BetaMean {  // a = precision
  static Jet jet(double y, double mu, double nu, const Own& o) {
    if (!(mu > 0.0 && nu > 0.0)) return kNoJet;
    const double a = o.a, odds = std::log(y) - std::log1p(-y);
    const Gammas g = gammas(mu * a), h = gammas(nu * a);
    return {mu * a * std::log(y) + nu * a * std::log1p(-y) - log_gamma(mu * a) - log_gamma(nu * a), a * (odds - g.d1 + h.d1),
            -a * a * (g.d2 + h.d2), -a * a * a * (g.d3 - h.d3)};
  }
  static PsiJet psi(double y, double mu, double nu, const Own& o, int) {
    const double a = o.a, odds = std::log(y) - std::log1p(-y);
    const Gammas g = gammas(mu * a), h = gammas(nu * a);
    return {a * (mu * (std::log(y) - g.d1) + nu * (std::log1p(-y) - h.d1)), a * (odds - g.d1 + h.d1 - a * (mu * g.d2 - nu * h.d2)),
            -a * a * (2.0 * (g.d2 + h.d2) + a * (mu * g.d3 + nu * h.d3))};
  }
  static double psi2(double y, double mu, double nu, const Own& o) {
    const double a = o.a;
    const Gammas g = gammas(mu * a), h = gammas(nu * a);
    return a * (mu * (std::log(y) - g.d1 - mu * a * g.d2) + nu * (std::log1p(-y) - h.d1 - nu * a * h.d2));
  }
  static double information(double mu, double nu, const Own& o) { return o.a * o.a * (gammas(mu * o.a).d2 + gammas(nu * o.a).d2); }
};

struct TweedieMean {
  static Jet jet(double y, double mu, double, const Own& o) {
    if (!(mu > 0.0)) return kNoJet;
    const double p = o.p, i = 1.0 / mu, e = o.precision * std::pow(mu, -p);
    return {e * mu * (y / (1.0 - p) - mu / (2.0 - p)), e * (y - mu), e * ((p - 1.0) - p * y * i), e * i * p * ((p + 1.0) * y * i - (p - 1.0))};
  }
  static PsiJet psi(double y, double mu, double nu, const Own& o, int which) {
    const Jet j = jet(y, mu, nu, o);
    if (which == 0) return scaled(j, -1.0);
    const double p = o.p, u = 1.0 - p, v = 2.0 - p, log_mu = std::log(mu), e = o.precision * std::pow(mu, -p), by = (p - 1.0) * v;
    return {by * e * mu * (y * (1.0 / (u * u) - log_mu / u) - mu * (1.0 / (v * v) - log_mu / v)), -by * log_mu * j.d1,
            by * (e * (1.0 - y / mu) - log_mu * j.d2)};
  }
  static double information(double mu, double, const Own& o) { return o.precision * std::pow(mu, -o.p); }
};

// Variance phi mu^p for any p >= 0: the quasi-likelihood, the integral of (y - t) / t^p from 1 to mu.
struct QuasiMean {
  static Jet jet(double y, double mu, double nu, const Own& o) {
    const double p = o.p;
    if (p == 0.0) return GaussianMean::jet(y, mu, nu, o);
    Jet j = TweedieMean::jet(y, mu, nu, o);
    if (p == 1.0) j.l = o.precision * (y * std::log(mu) - mu);
    if (p == 2.0) j.l = -o.precision * (std::log(mu) + y / mu);
    return j;
  }
  static PsiJet psi(double y, double mu, double nu, const Own& o, int) { return scaled(jet(y, mu, nu, o), -1.0); }
  static double information(double mu, double nu, const Own& o) { return TweedieMean::information(mu, nu, o); }
};

template <class Visit> void for_response(int family, Visit visit) {
  switch (family) {
    case kQuasi: return visit(QuasiMean{});
    case kGaussian: return visit(GaussianMean{});
    case kPoisson: return visit(PoissonMean{});
    case kGamma: return visit(GammaMean{});
    case kInverseGaussian: return visit(InverseGaussianMean{});
    case kNegativeBinomial: return visit(NegativeBinomialMean{});
    case kNegativeBinomial1: return visit(NegativeBinomial1Mean{});
    case kBeta: return visit(BetaMean{});
    default: return visit(TweedieMean{});
  }
}

}  // namespace glimm
