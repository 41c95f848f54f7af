// log Gamma and its derivatives on x > 0: upward recurrence to x >= 10, then Stirling's series.
//
// Source: Abramowitz and Stegun (1964), 6.1.41, 6.3.18, 6.4.12. std::lgamma writes a global sign, so threads may not share it.
#pragma once
#include <cmath>

#include "vmath.hpp"

namespace glimm {

constexpr double kStirling = 10.0;

// What Stirling's series adds to (x - 1/2) log x - x + log(2 pi) / 2, and its derivatives; x >= kStirling.
struct StirlingTail { double s, s1, s2, s3; };

inline StirlingTail stirling_tail(double x) {
  constexpr double b[] = {1.0 / 6, -1.0 / 30, 1.0 / 42, -1.0 / 30, 5.0 / 66, -691.0 / 2730, 7.0 / 6, -3617.0 / 510, 43867.0 / 798};
  const double r = 1.0 / x, r2 = r * r;
  double power = r;
  StirlingTail t{0.0, 0.0, 0.0, 0.0};
  for (int k = 1; k <= 9; ++k, power *= r2) {  // B_2k x^(1-2k) / (2k (2k - 1))
    const double term = b[k - 1] * power / (2.0 * k);
    t.s += term / (2.0 * k - 1.0);
    t.s1 -= term * r;
    t.s2 += term * 2.0 * k * r2;
    t.s3 -= term * 2.0 * k * (2.0 * k + 1.0) * r2 * r;
  }
  return t;
}

inline double log_gamma(double x) {  // this and its derivatives are for positive numbers: NaN elsewhere
  if (!(x > 0.0)) return std::nan("");
  double shift = 1.0;
  for (; x < kStirling; x += 1.0) shift *= x;
  const double r = 1.0 / x, r2 = r * r;
  const double tail = r * (1.0 / 12 + r2 * (-1.0 / 360 + r2 * (1.0 / 1260 + r2 * (-1.0 / 1680 + r2 * (1.0 / 1188 + r2 * (-691.0 / 360360 + r2 / 156))))));
  return (x - 0.5) * std::log(x) - x + 0.91893853320467274178 + tail - std::log(shift);
}

// digamma, trigamma, tetragamma
struct Gammas { double d1, d2, d3; };

inline Gammas gammas(double x) {
  if (!(x > 0.0)) return {std::nan(""), std::nan(""), std::nan("")};
  Gammas g{0.0, 0.0, 0.0};
  for (; x < kStirling; x += 1.0) {
    const double r = 1.0 / x;
    g.d1 -= r;
    g.d2 += r * r;
    g.d3 -= 2.0 * r * r * r;
  }
  const StirlingTail t = stirling_tail(x);
  const double r = 1.0 / x;
  g.d1 += std::log(x) - 0.5 * r + t.s1;
  g.d2 += r + 0.5 * r * r + t.s2;
  g.d3 += -r * r - r * r * r + t.s3;
  return g;
}

inline double digamma(double x) {
  if (!(x > 0.0)) return std::nan("");
  double g = 0.0;
  for (; x < kStirling; x += 1.0) g -= 1.0 / x;
  const double r = 1.0 / x, r2 = r * r;
  return g + std::log(x) - 0.5 * r -
         r2 * (1.0 / 12 + r2 * (-1.0 / 120 + r2 * (1.0 / 252 + r2 * (-1.0 / 240 + r2 * (1.0 / 132 + r2 * (-691.0 / 32760 + r2 / 12))))));
}

// log Gamma(y + r) - log Gamma(r) - y log r with derivatives in r: small for large r, where its parts are not.
struct Rising { double v, d1, d2, d3; };

inline Rising rising(double y, double r) {
  Rising o{0.0, 0.0, 0.0, 0.0};
  if (y <= 32.0 && y == std::floor(y)) {
    const double r2 = r * r, r3 = r2 * r;
    for (double j = 1.0; j < y; j += 1.0) {
      const double s = r + j, s2 = s * s;
      o.v += std::log1p(j / r);
      o.d1 -= j / (r * s);
      o.d2 += j * (r + s) / (r2 * s2);
      o.d3 -= 2.0 * j * (3.0 * r2 + 3.0 * r * j + j * j) / (r3 * s2 * s);
    }
    return o;
  }
  const double i = 1.0 / r, s = y + r;
  if (r >= kStirling) {
    const StirlingTail a = stirling_tail(s), b = stirling_tail(r);
    const double is = 1.0 / s, up = std::log1p(y * i);
    o.v = (s - 0.5) * up - y + a.s - b.s;
    o.d1 = up - y * i - 0.5 * (is - i) + a.s1 - b.s1;
    o.d2 = is - i + y * i * i + 0.5 * (is * is - i * i) + a.s2 - b.s2;
    o.d3 = i * i - is * is - 2.0 * y * i * i * i + i * i * i - is * is * is + a.s3 - b.s3;
    return o;
  }
  const Gammas a = gammas(s), b = gammas(r);
  o.v = log_gamma(s) - log_gamma(r) - y * std::log(r);
  o.d1 = a.d1 - b.d1 - y * i;
  o.d2 = a.d2 - b.d2 + y * i * i;
  o.d3 = a.d3 - b.d3 - 2.0 * y * i * i * i;
  return o;
}

}  // namespace glimm
