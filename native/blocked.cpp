// Cholesky and inverse by halves: L11 = chol(A11), L21 = A21 L11^-T, L22 = chol(A22 - L21 L21'); blocks of one base size are done directly.
#include "blocked.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "interrupt.hpp"
#include "lanes.hpp"
#include "product.hpp"
#include "threads.hpp"

namespace glimm {
namespace {

constexpr Index kBase = 64;
constexpr int kStripLanes = 8, kStrip = kStripLanes * kLane;  // columns done together in a block of the base size
constexpr Index kSharedSide = 1200;                          // below that a thread costs more than it saves
constexpr double kSharedWork = 4e6;

static_assert(kBase % kStrip == 0, "a base block is whole strips");

// The first half, whole base blocks: it depends on n only.
Index half(Index n) { return (n / 2 + kBase - 1) / kBase * kBase; }

enum class Triangle { solve, solve_transposed, multiply_transposed };

struct Strip {
  Lane x[kStripLanes];
  explicit Strip(const double* p) {
    for (int r = 0; r < kStripLanes; ++r) x[r] = lane_load(p + r * kLane);
  }
  void subtract(double by, const double* p) {
    const Lane b = lane_all(by);
    for (int r = 0; r < kStripLanes; ++r) x[r] = minus_fused(b, lane_load(p + r * kLane), x[r]);
  }
  void add(double by, const double* p) {
    const Lane b = lane_all(by);
    for (int r = 0; r < kStripLanes; ++r) x[r] = fused(b, lane_load(p + r * kLane), x[r]);
  }
  void scale(double by) {
    const Lane b = lane_all(by);
    for (int r = 0; r < kStripLanes; ++r) x[r] = times(b, x[r]);
  }
  void store(double* p) const {
    for (int r = 0; r < kStripLanes; ++r) lane_store(p + r * kLane, x[r]);
  }
};

// A lower triangle of the base size; row i holds what row i of the result needs, so it is transposed for L'.
struct BaseTriangle {
  Index n;
  bool transposed;
  double l[kBase * kBase], pivot[kBase];  // pivot: 1 / L_ii

  BaseTriangle(const double* a, Index n, Index ld, bool transposed) : n(n), transposed(transposed) {
    for (Index i = 0; i < n; ++i) {
      for (Index k = 0; k < i; ++k) l[transposed ? k * kBase + i : i * kBase + k] = a[i * ld + k];
      l[i * kBase + i] = a[i * ld + i];
      pivot[i] = 1.0 / a[i * ld + i];
    }
  }

  void solve(double* t) const {
    for (Index i = 0; i < n; ++i) {
      Strip s(t + i * kStrip);
      for (Index k = 0; k < i; ++k) s.subtract(l[i * kBase + k], t + k * kStrip);
      s.scale(pivot[i]);
      s.store(t + i * kStrip);
    }
  }

  void solve_transposed(double* t) const {
    for (Index i = n - 1; i >= 0; --i) {
      Strip s(t + i * kStrip);
      for (Index k = i + 1; k < n; ++k) s.subtract(l[i * kBase + k], t + k * kStrip);
      s.scale(pivot[i]);
      s.store(t + i * kStrip);
    }
  }

  void multiply_transposed(double* t) const {
    for (Index i = 0; i < n; ++i) {
      Strip s(t + i * kStrip);
      s.scale(l[i * kBase + i]);
      for (Index k = i + 1; k < n; ++k) s.add(l[i * kBase + k], t + k * kStrip);
      s.store(t + i * kStrip);
    }
  }

  void apply(Triangle op, double* t) const {
    if (op == Triangle::solve) solve(t);
    else if (op == Triangle::solve_transposed) solve_transposed(t);
    else multiply_transposed(t);
  }
};

// Columns of b (n x m, at most kStrip of them) in and out of a strip.
void gather(const View& b, Index n, Index m, double* GLIMM_RESTRICT t) {
  if (m < kStrip) std::fill(t, t + n * kStrip, 0.0);
  if (b.right == 1) {
    for (Index i = 0; i < n; ++i) std::copy(b.p + i * b.down, b.p + i * b.down + m, t + i * kStrip);
  } else {
    for (Index r = 0; r < m; ++r)
      for (Index i = 0; i < n; ++i) t[i * kStrip + r] = b.p[r * b.right + i * b.down];
  }
}

void scatter(const double* GLIMM_RESTRICT t, Index n, Index m, const View& b) {
  if (b.right == 1) {
    for (Index i = 0; i < n; ++i) std::copy(t + i * kStrip, t + i * kStrip + m, b.p + i * b.down);
  } else {
    for (Index r = 0; r < m; ++r)
      for (Index i = 0; i < n; ++i) b.p[r * b.right + i * b.down] = t[i * kStrip + r];
  }
}

// B (n x m) <- L^-1 B, L^-T B or L' B
void triangle(Triangle op, const View& l, Index n, const View& b, Index m, PackSpace& space) {
  if (n <= kBase) {
    check_interrupt();
    const BaseTriangle base(l.p, n, l.down, op != Triangle::solve);
    alignas(64) double t[kBase * kStrip];
    for (Index j = 0; j < m; j += kStrip) {
      const Index width = std::min<Index>(kStrip, m - j);
      gather(b.at(0, j), n, width, t);
      base.apply(op, t);
      scatter(t, n, width, b.at(0, j));
    }
    return;
  }
  const Index h = half(n);
  const View l21 = l.at(h, 0), l22 = l.at(h, h), b2 = b.at(h, 0);
  if (op == Triangle::solve) {
    triangle(op, l, h, b, m, space);
    add_product(b2, l21, b, n - h, m, h, -1.0, false, space, 1);
    triangle(op, l22, n - h, b2, m, space);
  } else if (op == Triangle::solve_transposed) {
    triangle(op, l22, n - h, b2, m, space);
    add_product(b, l21.t(), b2, h, m, n - h, -1.0, false, space, 1);
    triangle(op, l, h, b, m, space);
  } else {
    triangle(op, l, h, b, m, space);
    add_product(b, l21.t(), b2, h, m, n - h, 1.0, false, space, 1);
    triangle(op, l22, n - h, b2, m, space);
  }
}

void shared_triangle(Triangle op, const View& l, Index n, const View& b, Index m, PackSpace& space, int threads) {
  const bool alone = threads <= 1 || static_cast<double>(n) * n * m < kSharedWork;
  const Index step = alone ? m : std::clamp<Index>(m / (4 * threads) / kStrip * kStrip, kStrip, 4 * kBase);
  parallel_blocks((m + step - 1) / step, alone ? 1 : threads, [&](Index t) {
    triangle(op, l, n, b.at(0, t * step), std::min(step, m - t * step), space);
  });
}

// Column j of L from the columns before it; columns are kept as rows of t.
bool base_cholesky(double* a, Index n, Index ld) {
  alignas(64) double t[kBase * kBase];
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j <= i; ++j) t[j * kBase + i] = a[i * ld + j];
  for (Index j = 0; j < n; ++j) {
    double* column = t + j * kBase;
    const Index first = j / kStrip * kStrip;
    std::fill(column + first, column + j, 0.0);
    std::fill(column + n, column + (n + kStrip - 1) / kStrip * kStrip, 0.0);
    for (Index i = first; i < n; i += kStrip) {
      Strip s(column + i);
      for (Index k = 0; k < j; ++k) s.subtract(t[k * kBase + j], t + k * kBase + i);
      s.store(column + i);
    }
    const double square = column[j];
    if (!(square > 0.0 && square <= std::numeric_limits<double>::max())) return false;
    const double root = std::sqrt(square), inverse = 1.0 / root;
    column[j] = root;
    std::fill(column + first, column + j, 0.0);
    for (Index i = j + 1; i < n; ++i) column[i] *= inverse;
  }
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j <= i; ++j) a[i * ld + j] = t[j * kBase + i];
  return true;
}

bool factor(const View& a, Index n, PackSpace& space, int threads) {
  if (n <= kBase) return base_cholesky(a.p, n, a.down);
  const Index h = half(n);
  const View a21 = a.at(h, 0), a22 = a.at(h, h);
  if (!factor(a, h, space, threads)) return false;
  shared_triangle(Triangle::solve, a, h, a21.t(), n - h, space, threads);
  add_product(a22, a21, a21.t(), n - h, n - h, h, -1.0, true, space, threads);
  return factor(a22, n - h, space, threads);
}

// One column strip at a time of L^-1, then of W'W: rows above a strip are zero.
void base_triangle(Triangle op, const View& l, Index n) {
  const BaseTriangle base(l.p, n, l.down, op != Triangle::solve);
  alignas(64) double t[kBase * kStrip];
  for (Index j = 0; j < n; j += kStrip) {
    std::fill(t, t + n * kStrip, 0.0);
    for (Index i = j; i < n; ++i)
      for (Index c = j; c <= std::min(i, j + kStrip - 1); ++c) t[i * kStrip + c - j] = op == Triangle::solve ? (i == c ? 1.0 : 0.0) : l.p[i * l.down + c];
    base.apply(op, t);
    for (Index i = j; i < n; ++i) std::copy(t + i * kStrip, t + i * kStrip + std::min<Index>(i - j + 1, kStrip), l.p + i * l.down + j);
  }
}

// L -> W = L^-1: W21 = -L22^-1 L21 L11^-1
void invert(const View& l, Index n, PackSpace& space, int threads) {
  if (n <= kBase) return base_triangle(Triangle::solve, l, n);
  const Index h = half(n);
  const View l21 = l.at(h, 0), l22 = l.at(h, h);
  shared_triangle(Triangle::solve_transposed, l, h, l21.t(), n - h, space, threads);
  shared_triangle(Triangle::solve, l22, n - h, l21, h, space, threads);
  for (Index i = 0; i < n - h; ++i)
    for (Index j = 0; j < h; ++j) l21.p[i * l21.down + j] = -l21.p[i * l21.down + j];
  invert(l, h, space, threads);
  invert(l22, n - h, space, threads);
}

// W -> W'W (lower): [W11'W11 + W21'W21; W22'W21, W22'W22]
void square(const View& w, Index n, PackSpace& space, int threads) {
  if (n <= kBase) return base_triangle(Triangle::multiply_transposed, w, n);
  const Index h = half(n);
  const View w21 = w.at(h, 0), w22 = w.at(h, h);
  square(w, h, space, threads);
  add_product(w, w21.t(), w21, h, h, n - h, 1.0, true, space, threads);
  shared_triangle(Triangle::multiply_transposed, w22, n - h, w21, h, space, threads);
  square(w22, n - h, space, threads);
}

}  // namespace

bool blocked_cholesky(double* a, Index n, Index ld, int threads) {
  PackSpace space(n);
  return factor({a, ld, 1}, n, space, n < kSharedSide ? 1 : threads);
}

void blocked_inverse(double* l, Index n, Index ld, int threads) {
  PackSpace space(n);
  threads = n < kSharedSide ? 1 : threads;
  invert({l, ld, 1}, n, space, threads);
  square({l, ld, 1}, n, space, threads);
}

}  // namespace glimm
