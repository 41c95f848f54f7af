// Large dense positive definite matrices, row-major lower triangles: A = L L', A^-1 = L^-T L^-1. The upper triangle is neither read nor written.
#pragma once
#include "vmath.hpp"

namespace glimm {

// A -> L in place for the first n rows and columns; false if a pivot is not positive and finite. Same bits for any number of threads.
bool blocked_cholesky(double* a, Index n, Index ld, int threads);

// L -> lower triangle of (L L')^-1 in place. Same bits for any number of threads.
void blocked_inverse(double* l, Index n, Index ld, int threads);

}  // namespace glimm
