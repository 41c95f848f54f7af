// Whether this processor, and the operating system on it, run what _native_avx2 was compiled for: AVX2, FMA and BMI2.
#pragma once
#if defined(_MSC_VER) && defined(_M_X64)
#include <immintrin.h>
#include <intrin.h>
#endif

namespace glimm {

inline bool supports_avx2() {
#if defined(_MSC_VER) && defined(_M_X64)
  int r[4];  // eax, ebx, ecx, edx
  __cpuid(r, 0);
  if (r[0] < 7) return false;
  __cpuid(r, 1);
  constexpr int fma = 1 << 12, osxsave = 1 << 27, avx = 1 << 28;
  if ((r[2] & (fma | osxsave | avx)) != (fma | osxsave | avx)) return false;
  if ((_xgetbv(0) & 6) != 6) return false;  // the system keeps xmm and ymm registers
  __cpuidex(r, 7, 0);
  constexpr int avx2 = 1 << 5, bmi2 = 1 << 8;
  return (r[1] & (avx2 | bmi2)) == (avx2 | bmi2);
#elif defined(__x86_64__) && defined(__GNUC__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
#else
  return false;
#endif
}

}  // namespace glimm
