// Inverse: P_jj = L_j^-T (I + sum_e v_e X_e') L_j^-1, P_ej = -(L_j^-T X_e)', X_e = sum_f P_ef v_f; and what is made of its blocks.
#include <algorithm>

#include "blocked.hpp"
#include "elimination_nodes.hpp"

namespace glimm {

void Elimination::invert(int with) {
  if (inverted_ == with) return;
  inverted_ = -1;
  pa_.resize(la_.size());
  pd_.resize(ld_.size());
  w_ = t_;
  if (sd_ + with) blocked_inverse(w_.data(), sd_ + with, width_, threads_);
  Vec x, r;
  for (std::int32_t j = nt_ - 1; j >= 0; --j) {
    if (j % kNodeRun == 0) check_interrupt();
    invert_node(j, with, x, r);
  }
  inverted_ = with;
}

void Elimination::invert_node(std::int32_t j, int with, Vec& x, Vec& r) {
  const int qj = q(j);
  const Index m = rows_of(j, with);
  const double *l = &ld_[dp_[j]], *v = &la_[vp_[j]];
  const std::int32_t* c = &ri_[rp_[j]];
  x.assign(static_cast<size_t>(m) * qj, 0.0);
  Index tail = 0;
  while (tail < m && c[tail] < s0_) ++tail;
  for (Index e = 0; e < tail; ++e) {
    const std::int32_t i = node_of_[c[e]];
    const int qi = q(i), column = static_cast<int>(c[e] - first_[i]);
    const double *d = &pd_[dp_[i]], *panel = &pa_[vp_[i]];
    const std::int32_t* rows = &ri_[rp_[i]];
    Index at = 0;
    for (Index f = e; f < m; ++f) {
      double p;
      if (c[f] < first_[i + 1]) {
        p = d[(c[f] - first_[i]) * qi + column];
      } else {
        while (rows[at] != c[f]) ++at;
        p = panel[at * qi + column];
      }
      for (int a = 0; a < qj; ++a) x[e * qj + a] += p * v[f * qj + a];
      if (f > e)
        for (int a = 0; a < qj; ++a) x[f * qj + a] += p * v[e * qj + a];
    }
  }
  const Index random = rows_of(j, 0);
  Index from = tail;  // rows whose own products with those before them are still to come
  if (tail_size_ > 0 && random > tail &&
      with_sizes(qj, tail_size_, [&](auto columns, auto rows) {
        multiply_nodes<columns(), rows()>(w_.data(), width_, s0_, c + tail, v + tail * qj, random - tail, x.data() + tail * qj);
      }))
    from = random;
  for (Index f = from; f < m; ++f) {
    const double* row = &w_[static_cast<size_t>(c[f] - s0_) * width_];
    if (qj == 1) {
      double s = 0.0;
      const double vf = v[f];
      for (Index e = tail; e < f; ++e) {
        const double p = row[c[e] - s0_];
        s += p * v[e];
        x[e] += p * vf;
      }
      x[f] += s + row[c[f] - s0_] * vf;
    } else if (qj == 2) {
      double s0 = 0.0, s1 = 0.0;
      const double v0 = v[2 * f], v1 = v[2 * f + 1];
      for (Index e = tail; e < f; ++e) {
        const double p = row[c[e] - s0_];
        s0 += p * v[2 * e];
        s1 += p * v[2 * e + 1];
        x[2 * e] += p * v0;
        x[2 * e + 1] += p * v1;
      }
      const double p = row[c[f] - s0_];
      x[2 * f] += s0 + p * v0;
      x[2 * f + 1] += s1 + p * v1;
    } else {
      for (Index e = tail; e <= f; ++e) {
        const double p = row[c[e] - s0_];
        for (int a = 0; a < qj; ++a) {
          x[f * qj + a] += p * v[e * qj + a];
          if (e < f) x[e * qj + a] += p * v[f * qj + a];
        }
      }
    }
  }
  r.assign(static_cast<size_t>(qj) * qj, 0.0);
  for (int a = 0; a < qj; ++a) r[a * qj + a] = 1.0;
  for (Index e = 0; e < m; ++e)
    for (int a = 0; a < qj; ++a)
      for (int b = 0; b < qj; ++b) r[a * qj + b] += v[e * qj + a] * x[e * qj + b];
  for (int b = 0; b < qj; ++b) {  // columns by L^-T, then rows by L^-1 from the right
    for (int a = qj - 1; a >= 0; --a) {
      double t = r[a * qj + b];
      for (int h = a + 1; h < qj; ++h) t -= l[h * qj + a] * r[h * qj + b];
      r[a * qj + b] = t / l[a * qj + a];
    }
  }
  for (int b = 0; b < qj; ++b) solve_lower_t(l, qj, qj, &r[b * qj]);
  std::copy(r.begin(), r.end(), &pd_[dp_[j]]);
  double* out = &pa_[vp_[j]];
  for (Index e = 0; e < m; ++e) {
    for (int a = 0; a < qj; ++a) out[e * qj + a] = -x[e * qj + a];
    solve_lower_t(l, qj, qj, out + e * qj);
  }
}

void Elimination::inverse_block(std::int32_t j, double* out) const {
  const int qj = q(j);
  if (j < nt_) {
    std::copy(&pd_[dp_[j]], &pd_[dp_[j]] + qj * qj, out);
    return;
  }
  const double* w = &w_[static_cast<size_t>(first_[j] - s0_) * (width_ + 1)];
  for (int a = 0; a < qj; ++a)
    for (int c = 0; c <= a; ++c) out[a * qj + c] = out[c * qj + a] = w[a * width_ + c];
}

Vec Elimination::inverse_blocks() {
  invert(0);
  Vec out;
  for (std::int32_t j = 0; j < static_cast<std::int32_t>(nodes()); ++j) {
    const size_t at = out.size();
    out.resize(at + static_cast<size_t>(q(j)) * q(j));
    inverse_block(j, &out[at]);
  }
  return out;
}

double Elimination::leverage(const Entry* entries, const Index* where, int count) const {
  double total = 0.0;
  for (int k = 0; k < count; ++k) {
    const Entry& e = entries[k];
    const bool sparse = e.node < nt_;
    const Index stride = sparse ? q(e.node) : width_;
    const double* p = sparse ? &pd_[dp_[e.node]] : &w_[static_cast<size_t>(first_[e.node] - s0_) * (width_ + 1)];
    p += e.offset * stride + e.offset;
    for (int a = 0; a < e.count; ++a) {
      double s = 0.5 * p[a * stride + a] * e.z[a];
      for (int c = 0; c < a; ++c) s += p[a * stride + c] * e.z[c];
      total += 2.0 * s * e.z[a];
    }
    for (int l = k + 1; l < count; ++l) {
      const Entry &low = entries[l].node > e.node ? e : entries[l], &high = entries[l].node > e.node ? entries[l] : e;
      const bool in_panel = low.node < nt_;
      const Index step = in_panel ? q(low.node) : width_;
      const double* block = (in_panel ? pa_.data() : w_.data()) + *where++ + high.offset * step + low.offset;
      double s = 0.0;
      for (int a = 0; a < high.count; ++a)
        for (int c = 0; c < low.count; ++c) s += block[a * step + c] * high.z[a] * low.z[c];
      total += 2.0 * s;
    }
  }
  return total;
}

void Elimination::pulls(const double* lambda, int with, double* out) const {
  std::fill(out, out + lambda_size(), 0.0);
  // e (qa, qa) += a Lambda p', a (qa, qb) and p (qa, qb) with given strides of row and column
  const auto pull = [](double* e, int qa, int qb, const double* a, Index ar, Index ac, const double* m, const double* p, Index pr, Index pc) {
    for (int i = 0; i < qa; ++i)
      for (int h = 0; h < qb; ++h) {
        double am = 0.0;
        for (int g = 0; g < qb; ++g) am += a[i * ar + g * ac] * (m ? m[g * qb + h] : (g == h ? 1.0 : 0.0));
        for (int k = 0; k < qa; ++k) e[i * qa + k] += am * p[k * pr + h * pc];
      }
  };
  const auto matrix = [&](std::int32_t j) { return lambda + lambda_at_[lambda_of_[j]]; };
  const auto target = [&](std::int32_t j) { return out + lambda_at_[lambda_of_[j]]; };
  Vec full;
  const auto mirrored = [&](const double* d, Index stride, int q) {
    full.resize(static_cast<size_t>(q) * q);
    for (int a = 0; a < q; ++a)
      for (int c = 0; c <= a; ++c) full[a * q + c] = full[c * q + a] = d[a * stride + c];
    return full.data();
  };
  Vec block;
  for (std::int32_t j = 0; j < nt_; ++j) {
    if (j % kNodeRun == 0) check_interrupt();
    const int qj = q(j);
    const double* mj = matrix(j);
    double* ej = target(j);
    const double *a = &a_[vp_[j]], *p = &pa_[vp_[j]];
    const std::int32_t* c = &ri_[rp_[j]];
    const Index random = rows_of(j, 0);
    if (qj == 1) ej[0] += d_[dp_[j]] * mj[0] * pd_[dp_[j]];
    else pull(ej, qj, qj, mirrored(&d_[dp_[j]], qj, qj), qj, 1, mj, &pd_[dp_[j]], qj, 1);
    for (Index e = 0; e < random;) {
      const std::int32_t i = node_of_[c[e]];
      const int qi = q(i);
      const double *ae = a + e * qj, *pe = p + e * qj;
      if (qi == 1 && qj == 1) {
        const double t = ae[0] * pe[0];
        ej[0] += t * matrix(i)[0];
        target(i)[0] += t * mj[0];
      } else {
        pull(ej, qj, qi, ae, 1, qj, matrix(i), pe, 1, qj);
        pull(target(i), qi, qj, ae, qj, 1, mj, pe, qj, 1);
      }
      e += qi;
    }
    for (Index e = random; e < random + with; ++e) pull(ej, qj, 1, a + e * qj, 1, 1, nullptr, p + e * qj, 1, 1);
  }
  const std::int32_t all = static_cast<std::int32_t>(nodes());
  if (tail_size_ == 1) {  // runs of nodes with one Lambda
    std::vector<Index> runs{0};
    for (Index r = 1; r < sd_; ++r)
      if (lambda_of_[nt_ + r] != lambda_of_[nt_ + r - 1]) runs.push_back(r);
    for (Index r = 0; r < sd_; ++r) {
      const double *a = &c_[static_cast<size_t>(r) * width_], *p = &w_[static_cast<size_t>(r) * width_];
      const std::int32_t i = static_cast<std::int32_t>(nt_ + r);
      target(i)[0] += a[r] * p[r] * matrix(i)[0];
      for (size_t k = 0; k < runs.size() && runs[k] < r; ++k) {
        const Index end = k + 1 < runs.size() ? std::min(runs[k + 1], r) : r;
        const double t = wide_dot(a + runs[k], p + runs[k], end - runs[k]);
        const std::int32_t j = static_cast<std::int32_t>(nt_ + runs[k]);
        target(j)[0] += t * matrix(i)[0];
        target(i)[0] += t * matrix(j)[0];
      }
    }
  }
  for (std::int32_t i = nt_; tail_size_ != 1 && i < all; ++i) {
    if (i % kNodeRun == 0) check_interrupt();
    const int qi = q(i);
    const Index o = first_[i] - s0_;
    block.resize(static_cast<size_t>(qi) * qi);
    inverse_block(i, block.data());
    pull(target(i), qi, qi, mirrored(&c_[static_cast<size_t>(o) * (width_ + 1)], width_, qi), qi, 1, matrix(i), block.data(), qi, 1);
    const double *a = &c_[static_cast<size_t>(o) * width_], *p = &w_[static_cast<size_t>(o) * width_];
    for (std::int32_t j = nt_; j < i; ++j) {
      const int qj = q(j);
      const Index at = first_[j] - s0_;
      if (qi == 1 && qj == 1) {
        const double t = a[at] * p[at];
        target(j)[0] += t * matrix(i)[0];
        target(i)[0] += t * matrix(j)[0];
      } else {
        pull(target(j), qj, qi, a + at, 1, width_, matrix(i), p + at, 1, width_);
        pull(target(i), qi, qj, a + at, width_, 1, matrix(j), p + at, width_, 1);
      }
    }
  }
  for (int e = 0; e < with; ++e) {
    const double *a = &c_[static_cast<size_t>(sd_ + e) * width_], *p = &w_[static_cast<size_t>(sd_ + e) * width_];
    for (std::int32_t j = nt_; j < all; ++j) pull(target(j), q(j), 1, a + first_[j] - s0_, 1, 1, nullptr, p + first_[j] - s0_, 1, 1);
  }
}

}  // namespace glimm
