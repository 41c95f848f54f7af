// Small dense matrices, row-major, lower triangles: A = L L'.
#pragma once
#include "vmath.hpp"
#include <algorithm>
#include <cmath>
#include <vector>

namespace glimm {

using Vec = std::vector<double>;

// Cholesky in place of the lower triangle; false if not positive definite.
inline bool cholesky(double* a, int n, int ld) {
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j <= i; ++j) {
      double t = a[i * ld + j];
      const double *ri = a + i * ld, *rj = a + j * ld;
      for (int k = 0; k < j; ++k) t -= ri[k] * rj[k];
      if (i == j) {
        if (!(t > 0.0)) return false;
        a[i * ld + i] = std::sqrt(t);
      } else {
        a[i * ld + j] = t / a[j * ld + j];
      }
    }
  }
  return true;
}

inline void solve_lower(const double* l, int n, int ld, double* x) {  // x <- L^-1 x
  for (int i = 0; i < n; ++i) {
    double t = x[i];
    for (int k = 0; k < i; ++k) t -= l[i * ld + k] * x[k];
    x[i] = t / l[i * ld + i];
  }
}

inline void solve_lower_t(const double* l, int n, int ld, double* x) {  // x <- L^-T x
  for (int i = n - 1; i >= 0; --i) {
    const double t = x[i] / l[i * ld + i];
    x[i] = t;
    for (int k = 0; k < i; ++k) x[k] -= l[i * ld + k] * t;
  }
}

// x <- A^-1 x by the Cholesky factor of A scaled to a unit diagonal; false where A is not finite, or a pivot is not above `smallest`.
inline bool positive_solve(const double* a, int n, int ld, double smallest, double* x) {
  Vec l(static_cast<size_t>(n) * n), scale(n);
  for (int i = 0; i < n; ++i) {
    const double d = a[static_cast<size_t>(i) * ld + i];
    if (!(d > 0.0 && std::isfinite(d))) return false;
    scale[i] = 1.0 / std::sqrt(d);
  }
  for (int i = 0; i < n; ++i)
    for (int j = 0; j <= i; ++j) l[static_cast<size_t>(i) * n + j] = i == j ? 1.0 : a[static_cast<size_t>(i) * ld + j] * scale[i] * scale[j];
  if (!cholesky(l.data(), n, n)) return false;
  for (int i = 0; i < n; ++i) {
    const double pivot = l[static_cast<size_t>(i) * n + i];
    if (!(pivot * pivot > smallest)) return false;
    x[i] *= scale[i];
  }
  solve_lower(l.data(), n, n, x);
  solve_lower_t(l.data(), n, n, x);
  for (int i = 0; i < n; ++i) x[i] *= scale[i];
  return true;
}

// inverse of A = L L' (full, row-major n x n)
inline Vec inverse_from_cholesky(const double* l, int n, int ld) {
  Vec out(static_cast<size_t>(n) * n, 0.0), x(n);
  for (int c = 0; c < n; ++c) {
    std::fill(x.begin(), x.end(), 0.0);
    x[c] = 1.0;
    solve_lower(l, n, ld, x.data());
    solve_lower_t(l, n, ld, x.data());
    for (int r = 0; r < n; ++r) out[static_cast<size_t>(r) * n + c] = x[r];
  }
  return out;
}

// h (k x k, rows ld long) <- 2 own, made symmetric; if that is not positive definite, 2 diag(|own|, at least `plain`)
inline void place_curvature(Vec own, int k, double plain, double* h, int ld) {
  for (int i = 0; i < k; ++i)
    for (int c = 0; c < i; ++c) own[i * k + c] = own[c * k + i] = 0.5 * (own[i * k + c] + own[c * k + i]);
  Vec root = own;
  const bool curved = cholesky(root.data(), k, k);
  for (int i = 0; i < k; ++i)
    for (int c = 0; c < k; ++c) {
      const double alone = i == c ? std::max(std::fabs(own[i * k + i]), plain) : 0.0;
      h[static_cast<size_t>(i) * ld + c] = 2.0 * (curved ? own[i * k + c] : alone);
    }
}

// H (lower, p x p) += sum_r w_r x_r x_r' over m rows of row-major x; eight rows at a time so that H is touched once for eight.
inline void add_outer(double* h, int p, const double* x, const double* w, Index m) {
  Index r = 0;
  for (; r + 8 <= m; r += 8) {
    const double* q = x + r * p;
    for (int c = 0; c < p; ++c) {
      double a[8];
      for (int k = 0; k < 8; ++k) a[k] = (w ? w[r + k] : 1.0) * q[k * p + c];
      double* hc = h + static_cast<size_t>(c) * p;
      for (int d = 0; d <= c; ++d)
        hc[d] += ((a[0] * q[d] + a[1] * q[p + d]) + (a[2] * q[2 * p + d] + a[3] * q[3 * p + d])) +
                 ((a[4] * q[4 * p + d] + a[5] * q[5 * p + d]) + (a[6] * q[6 * p + d] + a[7] * q[7 * p + d]));
    }
  }
  for (; r < m; ++r) {
    const double* q = x + r * p;
    for (int c = 0; c < p; ++c) {
      const double a = (w ? w[r] : 1.0) * q[c];
      double* hc = h + static_cast<size_t>(c) * p;
      for (int d = 0; d <= c; ++d) hc[d] += a * q[d];
    }
  }
}

inline void mirror(double* h, int p) {  // copy the lower triangle to the upper
  for (int c = 0; c < p; ++c)
    for (int d = 0; d < c; ++d) h[static_cast<size_t>(d) * p + c] = h[static_cast<size_t>(c) * p + d];
}

// A dot product in eight partial sums, for long vectors.
inline double wide_dot(const double* a, const double* b, Index n) {
  double s[8] = {0.0};
  Index i = 0;
  for (; i + 8 <= n; i += 8)
    for (int k = 0; k < 8; ++k) s[k] += a[i + k] * b[i + k];
  double t = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
  for (; i < n; ++i) t += a[i] * b[i];
  return t;
}

inline double dot(const double* a, const double* b, int n) {
  double t = 0.0;
  for (int i = 0; i < n; ++i) t += a[i] * b[i];
  return t;
}

}  // namespace glimm
