// Rows in several linear predictors by the chain rule: with g the family's own density, p = log g, r = pi / f(0), q = 1 - r,
// at y = 0: f_a = q p_a, f_ab = q p_ab + r q p_a p_b, f_z = r - pi = r (1 - pi)(1 - g(0)), f_zz = f_z (q - pi), f_za = -r q p_a.
//
// Source: Lambert (1992), Technometrics 34, 1-14 (zero-inflated Poisson); Smyth (1989), J. R. Stat. Soc. B 51, 47-60 (dispersion models).
#include "parts.hpp"

#include <algorithm>
#include <type_traits>

#include "constants.hpp"
#include "threads.hpp"

namespace glimm {
namespace {

constexpr Index kPiece = 256;

// log g of a row with derivatives in eta (e) and psi (p).
struct Density { double l, e, p, ee, ep, pp; };

struct Where { double mu, m1, m2, nu; };

bool in_eta(const Stage& s) {  // pairs that families.cpp has in eta, with digits where mu leaves none
  if (s.link == kLog) return s.family == kGaussian || s.family == kPoisson || s.family == kGamma || s.family == kNegativeBinomial;
  return s.family == kGaussian && s.link == kIdentity;
}

template <class R> void by_eta(const Stage& s, const Own& o, double y, double eta, const Where& at, Density& d) {
  if (in_eta(s)) return stage_jets(s, 1, &y, nullptr, &eta, &d.l, &d.e, &d.ee, nullptr);
  const Jet j = R::jet(y, at.mu, at.nu, o);
  d.l = j.l;
  d.e = j.d1 * at.m1;
  d.ee = j.d2 * at.m1 * at.m1 + j.d1 * at.m2;
}

template <class R> void by_psi(const Own& o, double y, const Where& at, Density& d) {
  const PsiJet j = R::psi(y, at.mu, at.nu, o, 0);
  d.p = j.l;
  d.ep = j.d1 * at.m1;
  d.pp = R::psi2(y, at.mu, at.nu, o);
}

// At weight w: inside the density of a dispersion model; other families are asked for with w = 1.
template <class R> Density density(const Stage& s, double y, double w, double eta, const Where& at) {
  const Own o = own_of(s);
  Density d{};
  by_eta<R>(s, o, y, eta, at, d);
  if (s.family == kGaussian || s.family == kGamma) {  // everything scales with the precision
    const double times = s.family == kGaussian ? -2.0 : -1.0;
    d = {w * d.l, w * d.e, times * w * d.l, w * d.ee, times * w * d.e, times * times * w * d.l};
  } else if constexpr (!std::is_same_v<R, PoissonMean> && !std::is_same_v<R, GaussianMean> && !std::is_same_v<R, GammaMean>) {
    by_psi<R>(o, y, at, d);
  }
  if (y == 0.0 && s.family != kGaussian) return d;  // of counts: log Gamma(1), whose last digit would count beside a chance of no zero
  d.l += row_constant(s, o, y, w);
  d.p += row_constant_slope(s, o, y, w);
  d.pp += row_constant_curvature(s, o, y, w);
  return d;
}

// A row's log f and its derivatives in eta, zeta, psi: first, and second as a lower triangle.
struct Row { double l, d[3], dd[6]; };

enum { kE, kZ, kP, kEE = 0, kZE, kZZ, kPE, kPZ, kPP };

Row plain(const Density& d) { return {d.l, {d.e, 0.0, d.p}, {d.ee, 0.0, 0.0, d.ep, 0.0, d.pp}}; }

Row inflated(const Density& d, double y, double z) {
  const double tail = std::log1p(std::exp(-std::fabs(z)));
  const double log_pi = (z < 0.0 ? z : 0.0) - tail, log_rest = (z > 0.0 ? -z : 0.0) - tail;
  const double pi = std::exp(log_pi), rest = std::exp(log_rest);
  if (y > 0.0) {
    Row out = plain(d);
    out.l += log_rest;
    out.d[kZ] = -pi;
    out.dd[kZZ] = -pi * rest;
    return out;
  }
  const double zero = std::min(d.l, 0.0), other = std::expm1(zero), lost = rest * other;  // -other is the chance of no zero
  const double a = log_rest + zero, most = std::max(log_pi, a);
  const double l = lost > -0.5 ? std::log1p(lost) : most + std::log1p(std::exp(std::min(log_pi, a) - most));
  const double r = std::exp(log_pi - l), q = std::exp(a - l), slope = -r * lost;
  Row out{l, {0.0, slope, 0.0}, {0.0, 0.0, slope * (q - pi), 0.0, 0.0, 0.0}};
  if (!(q > 0.0)) return out;  // the family's own zero cannot have been: nothing is learnt of it
  const double e = q * d.e, p = q * d.p;
  out.d[kE] = e;
  out.d[kP] = p;
  out.dd[kEE] = q * d.ee + r * e * d.e;
  out.dd[kZE] = -r * e;
  out.dd[kPE] = q * d.ep + r * e * d.p;
  out.dd[kPZ] = -r * p;
  out.dd[kPP] = q * d.pp + r * p * d.p;
  return out;
}

template <class Visit> void for_parts(int family, Visit visit) {
  switch (family) {
    case kGaussian: return visit(GaussianMean{});
    case kGamma: return visit(GammaMean{});
    case kNegativeBinomial: return visit(NegativeBinomialMean{});
    case kNegativeBinomial1: return visit(NegativeBinomial1Mean{});
    case kBeta: return visit(BetaMean{});
    default: return visit(PoissonMean{});
  }
}

}  // namespace

void parts_jets(const Stage& stage, Index n, const double* y, const double* size, const double* eta, const double* zeta, const double* psi,
                double* l, double* d1, double* d2, int threads) {
  const bool inside = stage.family == kGaussian || stage.family == kGamma;
  int from[3] = {kE, 0, 0}, m = 1;
  if (zeta) from[m++] = kZ;
  if (psi) from[m++] = kP;
  const auto piece = [&](Index begin, Index count) {
    double mu[kPiece], m1[kPiece], m2[kPiece];
    link_mean(stage.link, stage.power, count, eta + begin, mu, m1, m2, nullptr);
    for_parts(stage.family, [&](auto r) {
      Stage s = stage;
      for (Index k = 0; k < count; ++k) {
        const Index i = begin + k;
        if (psi) s.psi[0] = psi[i];
        const double w = size ? size[i] : 1.0, outer = inside ? 1.0 : w;
        const Where at{mu[k], m1[k], m2[k], s.family == kBeta ? complement(s.link, eta[i], mu[k], s.power) : 0.0};
        const Density d = density<decltype(r)>(s, y[i], inside ? w : 1.0, eta[i], at);
        const Row row = zeta ? inflated(d, y[i], zeta[i]) : plain(d);
        l[i] = outer * row.l;
        for (int a = 0, t = 0; a < m; ++a) {
          d1[a * n + i] = outer * row.d[from[a]];
          for (int b = 0; b <= a; ++b, ++t) d2[t * n + i] = outer * row.dd[from[a] * (from[a] + 1) / 2 + from[b]];
        }
      }
    });
  };
  parallel_blocks((n + kBlockRows - 1) / kBlockRows, threads, [&](Index b) {
    const Index end = std::min(n, (b + 1) * kBlockRows);
    for (Index at = b * kBlockRows; at < end; at += kPiece) piece(at, std::min(kPiece, end - at));
  });
}

}  // namespace glimm
