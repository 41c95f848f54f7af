// A few doubles that one instruction works on: fused(a, b, c) = a b + c, minus_fused(a, b, c) = c - a b.
#pragma once
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "vmath.hpp"

namespace glimm {

#if defined(__AVX2__)
using Lane = __m256d;
constexpr int kLane = 4;
constexpr int kTileRows = 6, kTileLanes = 2;  // 12 sums in 16 registers
GLIMM_INLINE Lane lane_load(const double* p) { return _mm256_loadu_pd(p); }
GLIMM_INLINE void lane_store(double* p, Lane x) { _mm256_storeu_pd(p, x); }
GLIMM_INLINE Lane lane_all(double x) { return _mm256_set1_pd(x); }
GLIMM_INLINE Lane fused(Lane a, Lane b, Lane c) { return _mm256_fmadd_pd(a, b, c); }
GLIMM_INLINE Lane minus_fused(Lane a, Lane b, Lane c) { return _mm256_fnmadd_pd(a, b, c); }
GLIMM_INLINE Lane times(Lane a, Lane b) { return _mm256_mul_pd(a, b); }
#else
constexpr int kLane = 2;
#if defined(__aarch64__) || defined(_M_ARM64)
constexpr int kTileRows = 6, kTileLanes = 4;  // 24 sums in 32 registers
#else
constexpr int kTileRows = 4, kTileLanes = 2;
#endif
#if defined(__GNUC__)
typedef double Lane __attribute__((vector_size(16)));
GLIMM_INLINE Lane lane_all(double x) { return Lane{x, x}; }
GLIMM_INLINE Lane fused(Lane a, Lane b, Lane c) { return a * b + c; }
GLIMM_INLINE Lane minus_fused(Lane a, Lane b, Lane c) { return c - a * b; }
GLIMM_INLINE Lane times(Lane a, Lane b) { return a * b; }
#else
struct Lane {
  double x, y;
};
GLIMM_INLINE Lane lane_all(double x) { return Lane{x, x}; }
GLIMM_INLINE Lane fused(Lane a, Lane b, Lane c) { return Lane{a.x * b.x + c.x, a.y * b.y + c.y}; }
GLIMM_INLINE Lane minus_fused(Lane a, Lane b, Lane c) { return Lane{c.x - a.x * b.x, c.y - a.y * b.y}; }
GLIMM_INLINE Lane times(Lane a, Lane b) { return Lane{a.x * b.x, a.y * b.y}; }
#endif
GLIMM_INLINE Lane lane_load(const double* p) { Lane x; std::memcpy(&x, p, sizeof x); return x; }
GLIMM_INLINE void lane_store(double* p, Lane x) { std::memcpy(p, &x, sizeof x); }
#endif

}  // namespace glimm
