// Rows into blocks and what is read off the blocks: A += w z z', out = A x, sums by level.
#include "elimination.hpp"

#include <algorithm>

namespace glimm {

Index Elimination::locate(std::int32_t a, std::int32_t b) const {
  const std::int32_t j = std::min(a, b), i = std::max(a, b);
  if (j >= nt_) return (first_[i] - s0_) * width_ + first_[j] - s0_;
  const auto begin = ri_.begin() + rp_[j], end = ri_.begin() + rp_[j + 1] - extra_;
  return vp_[j] + (std::lower_bound(begin, end, static_cast<std::int32_t>(first_[i])) - begin) * q(j);
}

void Elimination::locate_panel(std::int32_t j, std::vector<Index>& where) const {
  if (where.empty()) where.resize(nodes());
  const Index m = rows_of(j, 0);
  for (Index e = 0; e < m;) {
    const std::int32_t i = node_of_[ri_[rp_[j] + e]];
    where[i] = vp_[j] + e * q(j);
    e += q(i);
  }
}

void Elimination::zero() {
  factored_.clear();
  std::fill(a_.begin(), a_.end(), 0.0);
  std::fill(d_.begin(), d_.end(), 0.0);
  std::fill(c_.begin(), c_.end(), 0.0);
}

void Elimination::add(const Entry* entries, const Index* where, double w, const double* x) {
  const int count = static_cast<int>(node_.size());
  for (int k = 0; k < count; ++k) {
    const Entry& e = entries[k];
    const std::int32_t j = e.node;
    const bool sparse = j < nt_;
    const Index qj = q(j), ld = sparse ? qj : width_;
    double* d = sparse ? &d_[dp_[j]] : &c_[static_cast<size_t>(first_[j] - s0_) * (width_ + 1)];
    for (int a = 0; a < e.count; ++a) {
      const double wz = w * (e.z ? e.z[a] : 1.0);
      double* row = d + (e.offset + a) * ld + e.offset;
      for (int c = 0; c <= a; ++c) row[c] += wz * (e.z ? e.z[c] : 1.0);
    }
    for (int f = 0; f < extra_; ++f) {
      double* row = sparse ? &a_[vp_[j + 1] - (extra_ - f) * qj + e.offset] : &c_[static_cast<size_t>(sd_ + f) * width_ + first_[j] - s0_ + e.offset];
      const double wx = w * x[f];
      for (int c = 0; c < e.count; ++c) row[c] += wx * (e.z ? e.z[c] : 1.0);
    }
    for (int l = k + 1; l < count; ++l) {
      const Entry &low = entries[l].node > j ? e : entries[l], &high = entries[l].node > j ? entries[l] : e;
      const bool in_panel = low.node < nt_;
      const Index stride = in_panel ? q(low.node) : width_;
      double* block = (in_panel ? a_.data() : c_.data()) + *where++ + high.offset * stride + low.offset;
      for (int a = 0; a < high.count; ++a) {
        const double wz = w * (high.z ? high.z[a] : 1.0);
        for (int c = 0; c < low.count; ++c) block[a * stride + c] += wz * (low.z ? low.z[c] : 1.0);
      }
    }
  }
}

void Elimination::zero_last() {
  factored_.clear();
  for (std::int32_t j = 0; j < nt_; ++j) std::fill(&a_[vp_[j + 1] - q(j)], a_.data() + vp_[j + 1], 0.0);
  std::fill(c_.end() - width_, c_.end(), 0.0);
}

void Elimination::add_last(const Entry* entries, double w) {
  for (size_t k = 0; k < node_.size(); ++k) {
    const Entry& e = entries[k];
    double* row = e.node < nt_ ? &a_[vp_[e.node + 1] - q(e.node) + e.offset] : &c_[c_.size() - width_ + first_[e.node] - s0_ + e.offset];
    for (int c = 0; c < e.count; ++c) row[c] += w * (e.z ? e.z[c] : 1.0);
  }
}

void Elimination::multiply(const double* x, double* out) const {
  std::fill(out, out + s_ + extra_, 0.0);
  for (std::int32_t j = 0; j < nt_; ++j) {
    const int qj = q(j);
    const double *d = &d_[dp_[j]], *xj = x + first_[j], *v = &a_[vp_[j]];
    double* oj = out + first_[j];
    for (int a = 0; a < qj; ++a) {
      oj[a] += d[a * qj + a] * xj[a];
      for (int c = 0; c < a; ++c) {
        oj[a] += d[a * qj + c] * xj[c];
        oj[c] += d[a * qj + c] * xj[a];
      }
    }
    const std::int32_t* c = &ri_[rp_[j]];
    const Index m = rp_[j + 1] - rp_[j];
    for (Index e = 0; e < m; ++e)
      for (int a = 0; a < qj; ++a) {
        oj[a] += v[e * qj + a] * x[c[e]];
        out[c[e]] += v[e * qj + a] * xj[a];
      }
  }
  for (Index r = 0; r < width_; ++r) {
    const double* row = &c_[static_cast<size_t>(r) * width_];
    const double xr = x[s0_ + r];
    out[s0_ + r] += wide_dot(row, x + s0_, r) + row[r] * xr;
    for (Index c = 0; c < r; ++c) out[s0_ + c] += row[c] * xr;
  }
}

Vec Elimination::moments(double s2, const double* scores) const {
  Vec diagonal(s_), own(scores ? 0 : s_);
  for (std::int32_t j = 0; j < static_cast<std::int32_t>(nodes()); ++j) {
    const int qj = q(j);
    const bool panel = j < nt_;
    const double* d = panel ? &d_[dp_[j]] : &c_[static_cast<size_t>(first_[j] - s0_) * (width_ + 1)];
    for (int a = 0; a < qj; ++a) diagonal[first_[j] + a] = d[a * (panel ? qj : width_) + a];
    if (scores) continue;
    const double* b = panel ? &a_[vp_[j + 1] - qj] : &c_[c_.size() - width_ + first_[j] - s0_];
    std::copy(b, b + qj, &own[first_[j]]);
  }
  return Nodes::moments(diagonal, scores ? scores : own.data(), s2);
}

}  // namespace glimm
