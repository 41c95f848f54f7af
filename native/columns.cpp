// Tiles of X'WX: four columns times three, the sums over a chunk's rows in lanes; what is not dense goes row by row.
#include "columns.hpp"

namespace glimm {
namespace {

constexpr int kFew = 8;                      // coded columns that are made dense
constexpr int kTall = 4, kBroad = 3;         // of a tile
constexpr int kGroup = 2 * kBroad;           // weighted columns that stay in the first cache
constexpr Index kUnit = 4;                   // rows and columns are filled up with zeros to whole units

constexpr Index whole(Index n, Index unit) { return (n + unit - 1) / unit * unit; }

GLIMM_INLINE double sum_of(Lane a) {
  double t[kLane], s = 0.0;
  lane_store(t, a);
  for (int k = 0; k < kLane; k += 2) s += t[k] + t[k + 1];
  return s;
}

// out[c * kBroad + d] = sum_i x_c[i] z_d[i]
GLIMM_INLINE void tile(const double* GLIMM_RESTRICT x, const double* GLIMM_RESTRICT z, Index stride, Index m, double* out) {
  Lane sum[kTall][kBroad];
  for (int c = 0; c < kTall; ++c)
    for (int d = 0; d < kBroad; ++d) sum[c][d] = lane_all(0.0);
  for (Index i = 0; i < m; i += kLane) {
    Lane b[kBroad];
    for (int d = 0; d < kBroad; ++d) b[d] = lane_load(z + d * stride + i);
    for (int c = 0; c < kTall; ++c) {
      const Lane a = lane_load(x + c * stride + i);
      for (int d = 0; d < kBroad; ++d) sum[c][d] = fused(a, b[d], sum[c][d]);
    }
  }
  for (int c = 0; c < kTall; ++c)
    for (int d = 0; d < kBroad; ++d) out[c * kBroad + d] = sum_of(sum[c][d]);
}

}  // namespace

Columns::Columns(const Rows& rows) : rows_(rows) {
  int levels = 0;
  for (const auto& b : rows.indicators) levels += static_cast<int>(b.positions.size());
  coded_ = levels > kFew || !rows.sparse.empty();
  for (const auto& c : rows.numeric) place_.push_back(c.position);
  if (!coded_)
    for (const auto& b : rows.indicators) place_.insert(place_.end(), b.positions.begin(), b.positions.end());
  dense_ = static_cast<int>(place_.size());
  width_ = static_cast<int>(whole(dense_, kUnit));
  place_.resize(width_, -1);
  if (!coded_) return;
  for (const auto& b : rows.indicators) {
    level_.push_back(static_cast<int>(place_.size()));
    place_.insert(place_.end(), b.positions.begin(), b.positions.end());
  }
  for (const auto& c : rows.sparse) {
    column_.push_back(static_cast<int>(place_.size()));
    place_.push_back(c.position);
  }
  others_ = static_cast<int>(place_.size()) - width_;
}

void Columns::open(Index r0, Index m, Space& s) const {
  const Index stride = whole(m, kUnit);
  if (s.stride != stride || m < stride) s.x.assign(static_cast<size_t>(width_) * stride, 0.0);
  s.r0 = r0;
  s.m = m;
  s.stride = stride;
  double* x = s.x.data();
  for (const auto& c : rows_.numeric) {
    const double inverse_scale = c.inverse_scale;
    if (c.constant()) std::fill(x, x + m, 1.0);
    else rows_.centered(c, r0, m, [x, inverse_scale](Index i, double v) { x[i] = v * inverse_scale; });
    x += stride;
  }
  if (coded_) return;
  for (const auto& b : rows_.indicators) {
    std::fill(x, x + static_cast<Index>(b.positions.size()) * stride, 0.0);
    for (Index i = 0; i < m; ++i) {
      const Index r = rows_.at(r0 + i);
      const int k = b.codes[r];
      if (k >= 0) x[k * stride + i] = (b.values ? b.values[r] : 1.0) * b.inverse_scale[k];
    }
    x += static_cast<Index>(b.positions.size()) * stride;
  }
}

void Columns::transpose_times(const Space& s, const double* v, double* g) const {
  const Index stride = s.stride;
  double padded[kMostChunk] = {};
  std::copy(v, v + s.m, padded);
  const double* x = s.x.data();
  for (int c = 0; c < width_; c += kTall, x += kTall * stride) {
    Lane t[kTall];
    for (int k = 0; k < kTall; ++k) t[k] = lane_all(0.0);
    for (Index i = 0; i < stride; i += kLane) {
      const Lane a = lane_load(padded + i);
      for (int k = 0; k < kTall; ++k) t[k] = fused(a, lane_load(x + k * stride + i), t[k]);
    }
    for (int k = 0; k < kTall; ++k)
      if (place_[c + k] >= 0) g[place_[c + k]] += sum_of(t[k]);
  }
  if (!coded_) return;
  for (const auto& b : rows_.indicators)
    for (Index i = 0; i < s.m; ++i) {
      const Index r = rows_.at(s.r0 + i);
      const int k = b.codes[r];
      if (k >= 0) g[b.positions[k]] += v[i] * b.inverse_scale[k] * (b.values ? b.values[r] : 1.0);
    }
  for (const auto& c : rows_.sparse) rows_.entries(c, s.r0, s.m, [&](Index i, double e) { g[c.position] += v[i] * e; });
}

// The entries of each row that are not dense, in the order of their own positions.
void Columns::open_others(Space& s) const {
  const Index m = s.m;
  const size_t blocks = rows_.indicators.size();
  s.first.assign(m + 1, 0);
  for (const auto& b : rows_.indicators)
    for (Index i = 0; i < m; ++i) s.first[i + 1] += b.codes[rows_.at(s.r0 + i)] >= 0;
  for (const auto& c : rows_.sparse) rows_.entries(c, s.r0, m, [&](Index i, double) { ++s.first[i + 1]; });
  for (Index i = 0; i < m; ++i) s.first[i + 1] += s.first[i];
  s.at.resize(s.first[m]);
  s.value.resize(s.first[m]);
  std::vector<int> next(s.first.begin(), s.first.end() - 1);
  for (size_t k = 0; k < blocks; ++k) {
    const auto& b = rows_.indicators[k];
    for (Index i = 0; i < m; ++i) {
      const Index r = rows_.at(s.r0 + i);
      const int code = b.codes[r];
      if (code < 0) continue;
      s.at[next[i]] = level_[k] + code;
      s.value[next[i]++] = b.inverse_scale[code] * (b.values ? b.values[r] : 1.0);
    }
  }
  for (size_t k = 0; k < rows_.sparse.size(); ++k)
    rows_.entries(rows_.sparse[k], s.r0, m, [&](Index i, double v) {
      s.at[next[i]] = column_[k];
      s.value[next[i]++] = v;
    });
}

void Columns::cross(Space& s, const double* w, double* h) const {
  const Index stride = s.stride, ld = side();
  const double* x = s.x.data();
  s.weighted.resize(kGroup * stride);
  double* z = s.weighted.data();
  for (int d0 = 0; d0 < dense_; d0 += kGroup) {
    for (int d = 0; d < kGroup; ++d) {
      double* GLIMM_RESTRICT to = z + d * stride;
      const double* GLIMM_RESTRICT from = x + (d0 + d) * stride;
      if (d0 + d >= dense_) std::fill(to, to + stride, 0.0);
      else if (!w) std::copy(from, from + stride, to);
      else {
        for (Index i = 0; i < s.m; ++i) to[i] = w[i] * from[i];
        std::fill(to + s.m, to + stride, 0.0);
      }
    }
    for (int c = d0 / kTall * kTall; c < width_; c += kTall)
      for (int d = 0; d < kGroup; d += kBroad) {
        if (d0 + d >= dense_ || d0 + d > c + kTall - 1) continue;
        double t[kTall * kBroad];
        tile(x + c * stride, z + d * stride, stride, stride, t);
        for (int a = 0; a < kTall; ++a)
          for (int b = 0; b < kBroad; ++b)
            if (d0 + d + b <= c + a) h[(c + a) * ld + d0 + d + b] += t[a * kBroad + b];
      }
  }
  if (!others_) return;
  open_others(s);
  s.across.resize(static_cast<size_t>(s.m) * width_);
  double* across = s.across.data();
  for (int c = 0; c < width_; c += kTall)
    for (Index i = 0; i < s.m; ++i) {
      const double weight = w ? w[i] : 1.0;
      for (int k = 0; k < kTall; ++k) across[i * width_ + c + k] = weight * x[(c + k) * stride + i];
    }
  const int width = width_;
  for (Index i = 0; i < s.m; ++i) {
    const double weight = w ? w[i] : 1.0;
    const double* GLIMM_RESTRICT xi = across + i * width;
    const int begin = s.first[i], end = s.first[i + 1];
    for (int a = begin; a < end; ++a) {
      double* GLIMM_RESTRICT row = h + s.at[a] * ld;
      const double entry = s.value[a];
      const Lane e = lane_all(entry);
      for (int d = 0; d < width; d += kLane) lane_store(row + d, fused(e, lane_load(xi + d), lane_load(row + d)));
      const double scaled = weight * entry;
      for (int b = begin; b <= a; ++b) row[s.at[b]] += scaled * s.value[b];
    }
  }
}

void Columns::finish(const double* h, double* out) const {
  const int p = rows_.p, ld = side();
  for (int c = 0; c < ld; ++c)
    for (int d = 0; d <= c; ++d) {
      if (place_[c] < 0 || place_[d] < 0) continue;
      const double v = h[static_cast<size_t>(c) * ld + d];
      out[static_cast<size_t>(place_[c]) * p + place_[d]] = out[static_cast<size_t>(place_[d]) * p + place_[c]] = v;
    }
}

}  // namespace glimm
