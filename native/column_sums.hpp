// Sums of one column by blocks of kBlockRows: sum x, max |x|, sum ((x - center) / unit)^2. Single precision is widened first, so that the
// same numbers give the same bits.
#pragma once
#include <algorithm>

#include "dense.hpp"
#include "threads.hpp"

namespace glimm {

// Sums in four parts, so that loads and additions overlap; largest: the largest absolute value so far.
inline double block_sum(const double* x, Index n, double* largest) {
  double s[4] = {}, most[4] = {*largest, 0.0, 0.0, 0.0};
  Index i = 0;
  for (; i + 4 <= n; i += 4)
    for (int k = 0; k < 4; ++k) {
      const double v = x[i + k], size = std::fabs(v);
      s[k] += v;
      most[k] = size > most[k] ? size : most[k];
    }
  for (; i < n; ++i) {
    s[0] += x[i];
    most[0] = std::max(most[0], std::fabs(x[i]));
  }
  *largest = std::max(std::max(most[0], most[1]), std::max(most[2], most[3]));
  return (s[0] + s[1]) + (s[2] + s[3]);
}

inline double block_squares(const double* x, Index n, double center, double unit) {
  double s[4] = {};
  const double inverse = 1.0 / unit;
  Index i = 0;
  for (; i + 4 <= n; i += 4)
    for (int k = 0; k < 4; ++k) {
      const double v = (x[i + k] - center) * inverse;
      s[k] += v * v;
    }
  for (; i < n; ++i) {
    const double v = (x[i] - center) * inverse;
    s[0] += v * v;
  }
  return (s[0] + s[1]) + (s[2] + s[3]);
}

// work(values, rows) over blocks of rows
template <class Work> void over_column(const double* x, Index n, Work work) {
  for (Index b = 0; b < n; b += kBlockRows) work(x + b, std::min(kBlockRows, n - b));
}

template <class Work> void over_column(const float* x, Index n, Work work) {
  Vec widened(std::min(kBlockRows, n));
  for (Index b = 0; b < n; b += kBlockRows) {
    const Index m = std::min(kBlockRows, n - b);
    std::copy(x + b, x + b + m, widened.begin());
    work(widened.data(), m);
  }
}

}  // namespace glimm
