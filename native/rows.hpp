// Rows of a model, read in blocks: y_i, size_i, offset_i and x_i = (raw x_i - center) / scale, in any order of rows.
//
// Nothing here owns data: arrays belong to Python and are held while the object lives.
#pragma once
#include <cstdint>
#include <vector>

#include "dense.hpp"

namespace glimm {

struct Numeric { int position; const double* values; double center, inverse_scale; };  // values null: the constant

struct Indicator {  // entry in column positions[codes[r]] only; -1: none
  std::vector<int> positions;
  Vec inverse_scale;
  const std::int32_t* codes;
  const double* values;  // null: 1
};

struct Rows {
  Index n = 0;
  int p = 0;
  std::vector<Numeric> numeric;
  std::vector<Indicator> indicators;
  const double *y = nullptr, *size = nullptr, *offset = nullptr;
  const std::int64_t* order = nullptr;  // null: rows as they stand

  Index at(Index i) const { return order ? static_cast<Index>(order[i]) : i; }

  // m rows from position r0, row-major m x p
  void fill(Index r0, Index m, double* x) const {
    if (!indicators.empty()) std::fill(x, x + m * p, 0.0);
    for (const auto& c : numeric) {
      double* out = x + c.position;
      if (!c.values) for (Index i = 0; i < m; ++i) out[i * p] = 1.0;
      else if (!order) for (Index i = 0; i < m; ++i) out[i * p] = (c.values[r0 + i] - c.center) * c.inverse_scale;
      else for (Index i = 0; i < m; ++i) out[i * p] = (c.values[order[r0 + i]] - c.center) * c.inverse_scale;
    }
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
      if (!c.values) for (Index i = 0; i < m; ++i) out[i * width] = q[i];
      else if (!order) for (Index i = 0; i < m; ++i) out[i * width] = (c.values[r0 + i] - c.center) * c.inverse_scale * q[i];
      else for (Index i = 0; i < m; ++i) out[i * width] = (c.values[order[r0 + i]] - c.center) * c.inverse_scale * q[i];
    }
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
      if (!c.values) { for (Index i = 0; i < m; ++i) eta[i] += b; continue; }
      const double slope = b * c.inverse_scale;
      if (!order) for (Index i = 0; i < m; ++i) eta[i] += slope * (c.values[r0 + i] - c.center);
      else for (Index i = 0; i < m; ++i) eta[i] += slope * (c.values[order[r0 + i]] - c.center);
    }
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
      if (!c.values) for (Index i = 0; i < m; ++i) t += v[i];
      else for (Index i = 0; i < m; ++i) t += v[i] * (c.values[at(r0 + i)] - c.center);
      g[c.position] += t * (c.values ? c.inverse_scale : 1.0);
    }
    for (const auto& b : indicators)
      for (Index i = 0; i < m; ++i) {
        const Index r = at(r0 + i);
        const int k = b.codes[r];
        if (k >= 0) g[b.positions[k]] += v[i] * b.inverse_scale[k] * (b.values ? b.values[r] : 1.0);
      }
  }
};

// X'WX over rows: dense columns by blocks of eight rows, indicator columns by their codes.
class CrossProduct {
 public:
  explicit CrossProduct(const Rows& rows) : rows_(rows), sparse_(false) {
    int coded = 0;
    for (const auto& b : rows.indicators) coded += static_cast<int>(b.positions.size());
    sparse_ = coded > 8;
    for (const auto& c : rows.numeric) place_.push_back(c.position);
    dense_ = static_cast<int>(place_.size());
    for (const auto& b : rows.indicators) {
      first_.push_back(static_cast<int>(place_.size()));
      place_.insert(place_.end(), b.positions.begin(), b.positions.end());
    }
  }

  // h (p x p, lower triangle, in an order of its own until finish) += sum w x x'
  void add(Index r0, Index m, const double* w, double* h, Vec& x) const {
    const int p = rows_.p;
    if (!sparse_) {
      x.resize(static_cast<size_t>(m) * p);
      rows_.fill(r0, m, x.data());
      add_outer(h, p, x.data(), w, m);
      return;
    }
    x.resize(static_cast<size_t>(m) * dense_ + static_cast<size_t>(dense_) * dense_);
    double* block = x.data() + m * dense_;
    for (int c = 0; c < dense_; ++c) {
      const auto& q = rows_.numeric[c];
      for (Index i = 0; i < m; ++i)
        x[i * dense_ + c] = q.values ? (q.values[rows_.at(r0 + i)] - q.center) * q.inverse_scale : 1.0;
    }
    std::fill(block, block + static_cast<size_t>(dense_) * dense_, 0.0);
    add_outer(block, dense_, x.data(), w, m);
    for (int c = 0; c < dense_; ++c)
      for (int d = 0; d <= c; ++d) h[static_cast<size_t>(c) * p + d] += block[c * dense_ + d];
    const size_t blocks = rows_.indicators.size();
    std::vector<int> column(blocks);
    Vec entry(blocks);
    for (Index i = 0; i < m; ++i) {
      const Index r = rows_.at(r0 + i);
      const double* xi = x.data() + i * dense_;
      for (size_t b = 0; b < blocks; ++b) {
        const auto& q = rows_.indicators[b];
        const int k = q.codes[r];
        column[b] = -1;
        if (k < 0) continue;
        column[b] = first_[b] + k;
        entry[b] = q.inverse_scale[k] * (q.values ? q.values[r] : 1.0);
        double* hb = h + static_cast<size_t>(column[b]) * p;
        const double a = (w ? w[i] : 1.0) * entry[b];
        for (int d = 0; d < dense_; ++d) hb[d] += a * xi[d];
        for (size_t c = 0; c <= b; ++c)
          if (column[c] >= 0) hb[column[c]] += a * entry[c];
      }
    }
  }

  // full symmetric matrix in the order of the columns
  void finish(const double* h, double* out) const {
    const int p = rows_.p;
    for (int c = 0; c < p; ++c)
      for (int d = 0; d <= c; ++d) {
        const double v = h[static_cast<size_t>(c) * p + d];
        const int pc = sparse_ ? place_[c] : c, pd = sparse_ ? place_[d] : d;
        out[static_cast<size_t>(pc) * p + pd] = out[static_cast<size_t>(pd) * p + pc] = v;
      }
  }

  Index block_rows(Index smallest) const {  // partial matrices are summed by block: keep blocks larger than the matrix is wide
    return smallest * std::max<Index>(1, rows_.p / 256);
  }

 private:
  const Rows& rows_;
  bool sparse_;
  int dense_ = 0;
  std::vector<int> place_, first_;
};

}  // namespace glimm
