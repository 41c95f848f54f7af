// exp and log that the compiler can vectorise: exp(x) = 2^n e^r, log(x) = e ln 2 + 2 atanh((m - 1) / (m + 1)).
//
// Needs IEEE arithmetic in the order written: never compile with -ffast-math or -fassociative-math.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(_MSC_VER)
#define GLIMM_RESTRICT __restrict
#define GLIMM_INLINE static __forceinline
#else
#define GLIMM_RESTRICT __restrict__
#define GLIMM_INLINE static inline __attribute__((always_inline))
#endif

namespace glimm {

using Index = std::ptrdiff_t;  // rows, levels and clusters

GLIMM_INLINE std::uint64_t bits_of(double x) { std::uint64_t b; std::memcpy(&b, &x, 8); return b; }
GLIMM_INLINE double from_bits(std::uint64_t b) { double x; std::memcpy(&x, &b, 8); return x; }

// Relative error below 3e-16 on [-708, 709]; arguments outside are clamped; NaN stays NaN.
GLIMM_INLINE double vexp(double x) {
  constexpr double round_shift = 6755399441055744.0;  // 1.5 * 2^52: adding it leaves round(x) in the low bits
  const double clamped = x < -708.0 ? -708.0 : (x > 709.0 ? 709.0 : x);
  const double shifted = clamped * 1.4426950408889634074 + round_shift;
  const double n = shifted - round_shift;
  const double r = (clamped - n * 6.93145751953125e-1) - n * 1.42860682030941723212e-6;
  double p = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  const double scaled = from_bits(bits_of(p) + (bits_of(shifted) << 52));
  return x == x ? scaled : x;
}

// For positive normal x; 0 gives about -708, negative or NaN gives NaN.
GLIMM_INLINE double vlog(double x) {
  constexpr std::uint64_t sqrt_half = 0x3fe6a09e667f3bcdULL;
  const double floored = x < 2.2250738585072014e-308 ? 2.2250738585072014e-308 : x;
  const std::uint64_t b = bits_of(floored) - sqrt_half;
  const std::uint64_t exponent = (b + (1023ULL << 52)) >> 52;  // unsigned so that it needs no arithmetic shift
  const double m = from_bits((b & 0x000fffffffffffffULL) + sqrt_half);
  const double e = from_bits(exponent | 0x4330000000000000ULL) - (4503599627370496.0 + 1023.0);
  const double s = (m - 1.0) / (m + 1.0);
  const double z = s * s;
  double p = 1.0 / 23.0;
  p = p * z + 1.0 / 21.0;
  p = p * z + 1.0 / 19.0;
  p = p * z + 1.0 / 17.0;
  p = p * z + 1.0 / 15.0;
  p = p * z + 1.0 / 13.0;
  p = p * z + 1.0 / 11.0;
  p = p * z + 1.0 / 9.0;
  p = p * z + 1.0 / 7.0;
  p = p * z + 1.0 / 5.0;
  p = p * z + 1.0 / 3.0;
  const double y = e * 6.93147180369123816490e-1 + (2.0 * s + (2.0 * s * z * p + e * 1.90821492927058770002e-10));
  return x >= 0.0 ? y : from_bits(0x7ff8000000000000ULL);
}

// log(1 + x) for x in [0, 1].
GLIMM_INLINE double vlog1p(double x) {
  const double u = 1.0 + x;
  return vlog(u) + (x - (u - 1.0)) / u;
}

}  // namespace glimm
