// log(H(a) - H(b)) for b < a, with first and second derivatives in a and b: no difference is taken of two numbers that are near.
//
// Logit: H(a)(1 - H(b))(1 - e^(b - a)). Cloglog: exp(-e^-a) (1 - exp(-e^-a (e^(a - b) - 1))); loglog mirrors it. Cauchit: an angle.
// Probit: the tail that both ends share; Gauss-Legendre quadrature where the interval is narrow.
#pragma once
#include "links.hpp"

namespace glimm {

struct Interval { double l, a, b, aa, ab, bb; };

inline Interval impossible() { return {-std::numeric_limits<double>::infinity(), 0.0, 0.0, 0.0, 0.0, 0.0}; }

// The interval of the mirror image, 1 - H(-e): ends change places and signs.
inline Interval mirrored(const Interval& i) { return {i.l, -i.b, -i.a, i.bb, i.ab, i.aa}; }

// log(1 - e^-d), d > 0
inline double log_one_minus_exp(double d) { return d > 0.6931471805599453 ? std::log1p(-std::exp(-d)) : std::log(-std::expm1(-d)); }

// d / (1 - e^-d) - 1
inline double past_one(double d) {
  if (d > 0.1) return d / -std::expm1(-d) - 1.0;
  const double s = d * d;
  return 0.5 * d + s * (1.0 / 12.0 - s * (1.0 / 720.0 - s * (1.0 / 30240.0 - s / 1209600.0)));
}

// log(1 - exp(-e^x)), with the digits of its second derivative that links.hpp does not need
inline Jet log_cloglog(double x) {
  const double t = std::exp(x), g = std::isinf(t) ? 0.0 : t / std::expm1(t);
  return {log_one_minus_exp(t), g, g > 0.0 ? -g * past_one(t) : 0.0, 0.0};
}

struct LogitInterval {
  static Interval jet(double a, double b) {
    const Jet up = Logit::success(a, 0.0), down = Logit::failure(b, 0.0);
    const double d = a - b, q = 1.0 / std::expm1(d), s = q * (1.0 + q);
    return {up.l + down.l + log_one_minus_exp(d), up.d1 + q, down.d1 - q, up.d2 - s, s, down.d2 - s};
  }
  static Jet above(double b) { return Logit::success(b, 0.0); }
  static Jet below(double a) { return Logit::failure(a, 0.0); }
};

struct CloglogInterval {  // H is the mean of loglog
  static Interval jet(double a, double b) {
    if (b > 40.0) {  // 1 - H is exp(-e) to the last digit
      const double q = 1.0 / std::expm1(a - b), s = q * (1.0 + q);
      return {log_one_minus_exp(a - b) - b, q, -1.0 - q, -s, s, -(1.0 + q) * (q - 0.5 * std::exp(-b) * std::expm1(b - a))};
    }
    const double ea = std::exp(-a), eb = std::exp(-b), d = -eb * std::expm1(b - a);
    if (std::isinf(ea)) return impossible();
    const double q = 1.0 / std::expm1(d), near = ea / -std::expm1(-d), far = q > 0.0 ? eb * q : 0.0;
    const double bend = far > 0.0 ? far * (near + past_one(d)) : 0.0;
    return {log_one_minus_exp(d) - ea, near, -far, -near * (1.0 + ea * q), near * far, -bend};
  }
  static Jet above(double b) { return Loglog::success(b, 0.0); }
  static Jet below(double a) {
    const Jet j = log_cloglog(-a);
    return {j.l, -j.d1, j.d2, 0.0};
  }
};

struct LoglogInterval {  // H is the mean of cloglog
  static Interval jet(double a, double b) { return mirrored(CloglogInterval::jet(-b, -a)); }
  static Jet above(double b) { return log_cloglog(b); }
  static Jet below(double a) { return Cloglog::failure(a, 0.0); }
};

struct CauchitInterval {
  static Interval jet(double a, double b) {
    const double p = std::atan2(a - b, 1.0 + a * b);
    const double ra = 1.0 / (p * (1.0 + a * a)), rb = 1.0 / (p * (1.0 + b * b));
    const double sa = -2.0 * a / (1.0 + a * a), sb = -2.0 * b / (1.0 + b * b);
    const double l = p > 1.0 ? std::log1p(-(Cauchit::lower(-a) + Cauchit::lower(b))) : std::log(p * kInvPi);
    return {l, ra, -rb, ra * (sa - ra), ra * rb, -rb * (sb + rb)};
  }
  static Jet above(double b) { return Cauchit::success(b, 0.0); }
  static Jet below(double a) { return Cauchit::failure(a, 0.0); }
};

// phi(x) / Phi(x) + x for x in the lower tail, where phi / Phi is near -x; `mills` is phi / Phi.
inline double mills_excess(double x, double mills) {
  if (x > -8.0) return mills + x;
  double f = -x;
  for (int k = 60; k >= 2; --k) f = -x + k / f;
  return 1.0 / f;
}

struct ProbitInterval {
  static Interval jet(double a, double b) {
    if (a + b > 0.0) return mirrored(lower(-b, -a));
    return lower(a, b);
  }
  static Interval lower(double a, double b) {  // a + b <= 0
    const double d = a - b, mid = 0.5 * (a + b);
    if (d * (mid < -1.0 ? -mid : 1.0) < 1.0) return narrow(a, b, d, mid);
    const double mills = inverse_mills(a), other = inverse_mills(b);
    const double delta = std::log(other / mills) - d * mid;  // log Phi(a) - log Phi(b)
    const double q = 1.0 / std::expm1(delta), ra = mills * (1.0 + q), rb = ra * std::exp(d * mid);
    return {log_normal_cdf(a) + log_one_minus_exp(delta), ra, -rb, -ra * (mills_excess(a, mills) + mills * q), ra * rb, rb * (b - rb)};
  }
  static Interval narrow(double a, double b, double d, double mid) {
    constexpr double node[] = {0.14887433898163121088, 0.43339539412924719080, 0.67940956829902440623, 0.86506336668898451073, 0.97390652851717172008};
    constexpr double weight[] = {0.29552422471475287017, 0.26926671930999635509, 0.21908636251598204400, 0.14945134915058059315, 0.06667134430868813759};
    const double half = 0.5 * d;
    double sum = 0.0;  // of exp(-(x^2 - mid^2) / 2) over the interval, by its half
    for (int k = 0; k < 5; ++k) {
      const double u = half * node[k];
      sum += 2.0 * weight[k] * std::exp(-0.5 * u * u) * std::cosh(mid * u);
    }
    const double ra = std::exp(-half * (mid + 0.5 * half)) / (half * sum), rb = std::exp(half * (mid - 0.5 * half)) / (half * sum);
    return {std::log(kInvSqrt2Pi * half * sum) - 0.5 * mid * mid, ra, -rb, -ra * (a + ra), ra * rb, rb * (b - rb)};
  }
  static Jet above(double b) { return Probit::success(b, 0.0); }
  static Jet below(double a) { return Probit::failure(a, 0.0); }
};

template <class Visit> auto for_interval(int link, Visit visit) {
  switch (link) {
    case kProbit: return visit(ProbitInterval{});
    case kCloglog: return visit(CloglogInterval{});
    case kLoglog: return visit(LoglogInterval{});
    case kCauchit: return visit(CauchitInterval{});
    default: return visit(LogitInterval{});
  }
}

// Level y of m + 1 whose predictors around it are a (of y - 1) and b (of y).
template <class Of> inline Interval level_interval(int y, int m, double a, double b) {
  if (y == 0) {
    const Jet j = Of::below(b);
    return j.l > -std::numeric_limits<double>::infinity() ? Interval{j.l, 0.0, j.d1, 0.0, 0.0, j.d2} : impossible();
  }
  if (y == m) {
    const Jet j = Of::above(a);
    return j.l > -std::numeric_limits<double>::infinity() ? Interval{j.l, j.d1, 0.0, j.d2, 0.0, 0.0} : impossible();
  }
  return a > b ? Of::jet(a, b) : impossible();
}

}  // namespace glimm
