// Blocks of columns that go through the rows together, row-major with K columns, and the scratch of one level of the leading term.
#pragma once
#include "krylov.hpp"

namespace glimm {

constexpr double kUnit = 1.0;

struct Krylov::Level {
  std::vector<Index> offset;  // of the cells, in effects
  std::vector<Index> place;   // of their effects among those of the other terms
  Index size = 0;             // effects of all cells
  Vec b, m, x;                // (size, q): A_ba; M_ba; M_ba M_aa^-1
  Vec p, y, aa;               // block of S^-1 over the cells (size, size); S^-1 x (size, q); block of M^-1 of the level
};

template <int K> inline void add_times(double* y, double a, const double* x) {
  for (int k = 0; k < K; ++k) y[k] += a * x[k];
}

inline void add_scaled(double* y, double a, const double* x, int count) {
  for (int k = 0; k < count; ++k) y[k] += a * x[k];
}

}  // namespace glimm
