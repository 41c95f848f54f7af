// Panels whose rows in the tail belong to nodes of one size: the inner loops of factor and inverse, with both sizes known to the compiler.
#pragma once
#include <type_traits>

#include "elimination.hpp"

namespace glimm {

// The part of a panel below its first tail row, nodes of R rows each: t -= V V', lower blocks.
template <int Q, int R> void subtract_nodes(double* t, Index width, Index s0, const std::int32_t* c, const double* v, Index rows) {
  for (Index f = 0; f < rows; f += R) {
    double* row = t + static_cast<size_t>(c[f] - s0) * width - s0;
    const double* vf = v + f * Q;
    for (Index e = 0; e <= f; e += R) {
      const double* ve = v + e * Q;
      double* to = row + c[e];
      for (int r = 0; r < R; ++r)
        for (int k = 0; k < R; ++k) {
          double s = 0.0;
          for (int a = 0; a < Q; ++a) s += vf[r * Q + a] * ve[k * Q + a];
          to[r * width + k] -= s;
        }
    }
  }
}

// x = P V over the same rows, P the lower triangle of w
template <int Q, int R> void multiply_nodes(const double* w, Index width, Index s0, const std::int32_t* c, const double* v, Index rows, double* x) {
  for (Index f = 0; f < rows; f += R) {
    const double* row = w + static_cast<size_t>(c[f] - s0) * width - s0;
    const double* vf = v + f * Q;
    double sum[R * Q] = {0.0};
    for (Index e = 0; e < f; e += R) {
      const double *ve = v + e * Q, *p = row + c[e];
      double* xe = x + e * Q;
      for (int r = 0; r < R; ++r)
        for (int k = 0; k < R; ++k) {
          const double own = p[r * width + k];
          for (int a = 0; a < Q; ++a) {
            sum[r * Q + a] += own * ve[k * Q + a];
            xe[k * Q + a] += own * vf[r * Q + a];
          }
        }
    }
    const double* p = row + c[f];
    for (int r = 0; r < R; ++r)
      for (int k = 0; k < R; ++k) {
        const double own = r >= k ? p[r * width + k] : p[k * width + r];
        for (int a = 0; a < Q; ++a) sum[r * Q + a] += own * vf[k * Q + a];
      }
    for (int i = 0; i < R * Q; ++i) x[f * Q + i] += sum[i];
  }
}

// Calls work(Q, R) as compile-time constants for 1 to 3 columns and rows; false for any other.
template <class Work> bool with_sizes(int q, int r, Work work) {
  const auto rows = [&](auto columns) {
    switch (r) {
      case 1: work(columns, std::integral_constant<int, 1>{}); return true;
      case 2: work(columns, std::integral_constant<int, 2>{}); return true;
      case 3: work(columns, std::integral_constant<int, 3>{}); return true;
      default: return false;
    }
  };
  switch (q) {
    case 1: return rows(std::integral_constant<int, 1>{});
    case 2: return rows(std::integral_constant<int, 2>{});
    case 3: return rows(std::integral_constant<int, 3>{});
    default: return false;
  }
}

}  // namespace glimm
