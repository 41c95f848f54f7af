// Rows of a model, read in blocks: y_i, size_i, offset_i and x_i = (raw x_i - center) / scale, in any order of rows.
//
// Nothing here owns data: arrays belong to Python and are held while the object lives.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "dense.hpp"

namespace glimm {

// values or narrow (the same in single precision, widened as it is read); both null: the constant
struct Numeric {
  int position;
  const double* values;
  const float* narrow;
  double center, inverse_scale;
  bool constant() const { return !values && !narrow; }
};

struct Indicator {  // entry in column positions[codes[r]] only; -1: none
  std::vector<int> positions;
  Vec inverse_scale;
  const std::int32_t* codes;
  const double* values;  // null: 1
};

struct Sparse {  // a numeric column of zeros but for `count` rows, ascending; not centred, and only where rows stand in their own order
  int position;
  const std::int32_t* rows;
  const double* values;
  Index count;
  double inverse_scale;
  Index from(Index row) const { return std::lower_bound(rows, rows + count, static_cast<std::int32_t>(row)) - rows; }
};

struct Rows {
  Index n = 0;
  int p = 0;
  std::vector<Numeric> numeric;
  std::vector<Indicator> indicators;
  std::vector<Sparse> sparse;
  const double *y = nullptr, *size = nullptr, *offset = nullptr;
  const std::int64_t* order = nullptr;  // null: rows as they stand

  Index at(Index i) const { return order ? static_cast<Index>(order[i]) : i; }

  // use(i, value - center) over m rows from position r0, for a column that is not the constant; one loop for all kinds, so that what a
  // compiler makes of it rounds alike
  template <class Use> void centered(const Numeric& c, Index r0, Index m, Use use) const {
    constexpr Index most = 256;
    const double center = c.center;
    double widened[most];
    for (Index a = 0; a < m; a += most) {
      const Index some = std::min(most, m - a), r = r0 + a;
      const double* x = widened;
      if (c.narrow) for (Index i = 0; i < some; ++i) widened[i] = c.narrow[at(r + i)];
      else if (order) for (Index i = 0; i < some; ++i) widened[i] = c.values[order[r + i]];
      else x = c.values + r;
      for (Index i = 0; i < some; ++i) use(a + i, x[i] - center);
    }
  }

  // use(i, entry) over what a sparse column has in m rows from r0
  template <class Use> void entries(const Sparse& c, Index r0, Index m, Use use) const {
    for (Index k = c.from(r0); k < c.count && c.rows[k] < r0 + m; ++k) use(c.rows[k] - r0, c.values[k] * c.inverse_scale);
  }

  // m rows from position r0, row-major m x p
  void fill(Index r0, Index m, double* x) const {
    if (!indicators.empty() || !sparse.empty()) std::fill(x, x + m * p, 0.0);
    for (const auto& c : numeric) {
      double* out = x + c.position;
      const double inverse_scale = c.inverse_scale;
      if (c.constant()) for (Index i = 0; i < m; ++i) out[i * p] = 1.0;
      else centered(c, r0, m, [&](Index i, double v) { out[i * p] = v * inverse_scale; });
    }
    for (const auto& c : sparse) entries(c, r0, m, [&](Index i, double v) { x[i * p + c.position] = v; });
    for (const auto& b : indicators)
      for (Index i = 0; i < m; ++i) {
        const Index r = at(r0 + i);
        const int k = b.codes[r];
        if (k >= 0) x[i * p + b.positions[k]] = (b.values ? b.values[r] : 1.0) * b.inverse_scale[k];
      }
  }

  // the same with rows `width` apart, row i times q_i and zeros behind
  void fill_scaled(Index r0, Index m, int width, const double* q, double* x) const {
    std::fill(x, x + m * width, 0.0);
    for (const auto& c : numeric) {
      double* out = x + c.position;
      const double inverse_scale = c.inverse_scale;
      if (c.constant()) for (Index i = 0; i < m; ++i) out[i * width] = q[i];
      else centered(c, r0, m, [&](Index i, double v) { out[i * width] = v * inverse_scale * q[i]; });
    }
    for (const auto& c : sparse) entries(c, r0, m, [&](Index i, double v) { x[i * width + c.position] = v * q[i]; });
    for (const auto& b : indicators)
      for (Index i = 0; i < m; ++i) {
        const Index r = at(r0 + i);
        const int k = b.codes[r];
        if (k >= 0) x[i * width + b.positions[k]] = (b.values ? b.values[r] : 1.0) * b.inverse_scale[k] * q[i];
      }
  }

  void gather(const double* from, Index r0, Index m, double* to) const {
    for (Index i = 0; i < m; ++i) to[i] = from[at(r0 + i)];
  }

  // eta = offset + X beta (offset left out if with_offset is false)
  void linear(Index r0, Index m, const double* beta, double* eta, bool with_offset = true) const {
    if (offset && with_offset) gather(offset, r0, m, eta);
    else std::fill(eta, eta + m, 0.0);
    for (const auto& c : numeric) {
      const double b = beta[c.position];
      if (c.constant()) { for (Index i = 0; i < m; ++i) eta[i] += b; continue; }
      const double slope = b * c.inverse_scale;
      centered(c, r0, m, [&](Index i, double v) { eta[i] += slope * v; });
    }
    for (const auto& c : sparse) entries(c, r0, m, [&](Index i, double v) { eta[i] += beta[c.position] * v; });
    for (const auto& b : indicators)
      for (Index i = 0; i < m; ++i) {
        const Index r = at(r0 + i);
        const int k = b.codes[r];
        if (k >= 0) eta[i] += beta[b.positions[k]] * b.inverse_scale[k] * (b.values ? b.values[r] : 1.0);
      }
  }

  // g += X' v
  void transpose_times(Index r0, Index m, const double* v, double* g) const {
    for (const auto& c : numeric) {
      double t = 0.0;
      if (c.constant()) for (Index i = 0; i < m; ++i) t += v[i];
      else centered(c, r0, m, [&](Index i, double x) { t += v[i] * x; });
      g[c.position] += t * (c.constant() ? 1.0 : c.inverse_scale);
    }
    for (const auto& c : sparse) entries(c, r0, m, [&](Index i, double x) { g[c.position] += v[i] * x; });
    for (const auto& b : indicators)
      for (Index i = 0; i < m; ++i) {
        const Index r = at(r0 + i);
        const int k = b.codes[r];
        if (k >= 0) g[b.positions[k]] += v[i] * b.inverse_scale[k] * (b.values ? b.values[r] : 1.0);
      }
  }
};

}  // namespace glimm
