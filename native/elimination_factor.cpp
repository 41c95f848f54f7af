// Numeric phase: L_j = chol(D_j), v_e = L_j^-1 a_e, target(e, f) -= v_e'v_f for e <= f in the panel of j.
#include <algorithm>

#include "blocked.hpp"
#include "elimination_nodes.hpp"
#include "factor.hpp"

namespace glimm {

// la, ld, t = Lambda'A Lambda + I
void Elimination::scale(const double* lambda) {
  Vec work;
  const auto matrix = [&](std::int32_t j) { return lambda + lambda_at_[lambda_of_[j]]; };
  // rows (count of them, `stride` apart, q values each) <- row Lambda, then blocks of q_i rows <- Lambda_i' block
  const auto right = [&](double* row, const double* m, int q) {
    if (q == 1) {
      row[0] *= m[0];
      return;
    }
    for (int c = 0; c < q; ++c) {
      double s = 0.0;
      for (int h = 0; h < q; ++h) s += row[h] * m[h * q + c];
      work[c] = s;
    }
    std::copy(work.begin(), work.begin() + q, row);
  };
  const auto left = [&](double* block, Index stride, int columns, const double* m, int q) {
    if (q == 1) {
      for (int c = 0; c < columns; ++c) block[c] *= m[0];
      return;
    }
    for (int c = 0; c < columns; ++c) {
      for (int b = 0; b < q; ++b) {
        double s = 0.0;
        for (int h = 0; h < q; ++h) s += m[h * q + b] * block[h * stride + c];
        work[b] = s;
      }
      for (int b = 0; b < q; ++b) block[b * stride + c] = work[b];
    }
  };
  int widest = 1;
  for (int q : lambda_q_) widest = std::max(widest, q);
  work.resize(static_cast<size_t>(widest) * widest + widest);
  const auto diagonal = [&](double* d, Index stride, const double* m, int q) {  // lower d <- m'd m + I
    double* full = work.data() + widest;
    for (int a = 0; a < q; ++a)
      for (int c = 0; c < q; ++c) {
        double s = 0.0;
        for (int h = 0; h < q; ++h) s += (a >= h ? d[a * stride + h] : d[h * stride + a]) * m[h * q + c];
        full[a * q + c] = s;
      }
    for (int a = 0; a < q; ++a)
      for (int c = 0; c <= a; ++c) {
        double s = a == c ? 1.0 : 0.0;
        for (int h = 0; h < q; ++h) s += m[h * q + a] * full[h * q + c];
        d[a * stride + c] = s;
      }
  };
  for (std::int32_t j = 0; j < nt_; ++j) {
    if (j % kNodeRun == 0) check_interrupt();
    const int qj = q(j);
    const double* mj = matrix(j);
    double* d = &ld_[dp_[j]];
    std::copy(&d_[dp_[j]], d_.data() + dp_[j + 1], d);
    if (qj == 1) d[0] = 1.0 + mj[0] * mj[0] * d[0];
    else diagonal(d, qj, mj, qj);
    const Index m = rp_[j + 1] - rp_[j], random = m - extra_;
    const double* from = &a_[vp_[j]];
    double* v = &la_[vp_[j]];
    const std::int32_t* row = &ri_[rp_[j]];
    if (qj == 1) {
      for (Index e = 0; e < m; ++e) v[e] = mj[0] * from[e];
    } else {
      std::copy(from, from + m * qj, v);
      for (Index e = 0; e < m; ++e) right(v + e * qj, mj, qj);
    }
    for (Index e = 0; e < random;) {
      const std::int32_t i = node_of_[row[e]];
      const int qi = q(i);
      left(v + e * qj, qj, qj, matrix(i), qi);
      e += qi;
    }
  }
  bool plain = true;
  const std::int32_t all = static_cast<std::int32_t>(nodes());
  for (std::int32_t j = nt_; j < all; ++j) plain = plain && q(j) == 1;
  if (plain) {
    Vec m(width_, 1.0);
    for (std::int32_t j = nt_; j < all; ++j) m[first_[j] - s0_] = matrix(j)[0];
    for (Index r = 0; r < width_; ++r) {
      if (r % kNodeRun == 0) check_interrupt();
      const double* from = &c_[static_cast<size_t>(r) * width_];
      double* to = &t_[static_cast<size_t>(r) * width_];
      for (Index c = 0; c <= r; ++c) to[c] = m[r] * m[c] * from[c];
    }
    for (Index r = 0; r < sd_; ++r) t_[static_cast<size_t>(r) * (width_ + 1)] += 1.0;
    return;
  }
  for (Index r = 0; r < width_; ++r) std::copy(&c_[static_cast<size_t>(r) * width_], &c_[static_cast<size_t>(r) * width_] + r + 1, &t_[static_cast<size_t>(r) * width_]);
  for (std::int32_t i = nt_; i < all; ++i) {
    if (i % kNodeRun == 0) check_interrupt();
    const int qi = q(i);
    const Index o = first_[i] - s0_;
    diagonal(&t_[static_cast<size_t>(o) * (width_ + 1)], width_, matrix(i), qi);
    for (int a = 0; a < qi; ++a)
      for (std::int32_t j = nt_; j < i; ++j) right(&t_[static_cast<size_t>(o + a) * width_ + first_[j] - s0_], matrix(j), q(j));
    left(&t_[static_cast<size_t>(o) * width_], width_, static_cast<int>(o), matrix(i), qi);
  }
  for (int e = 0; e < extra_; ++e)
    for (std::int32_t j = nt_; j < all; ++j) right(&t_[static_cast<size_t>(sd_ + e) * width_ + first_[j] - s0_], matrix(j), q(j));
}

void Elimination::eliminate(std::int32_t j) {
  const int qj = q(j);
  const Index m = rp_[j + 1] - rp_[j];
  const std::int32_t* c = &ri_[rp_[j]];
  const double* v = &la_[vp_[j]];
  Index tail = 0;
  while (tail < m && c[tail] < s0_) ++tail;
  for (Index e = 0; e < tail; ++e) {
    const std::int32_t i = node_of_[c[e]];
    const int qi = q(i), column = static_cast<int>(c[e] - first_[i]);
    double *d = &ld_[dp_[i]], *panel = &la_[vp_[i]];
    const std::int32_t* rows = &ri_[rp_[i]];
    Index at = 0;
    for (Index f = e; f < m; ++f) {
      double s;
      if (qj == 1) s = v[e] * v[f];
      else s = dot(v + e * qj, v + f * qj, qj);
      if (c[f] < first_[i + 1]) {
        d[(c[f] - first_[i]) * qi + column] -= s;
      } else {
        while (rows[at] != c[f]) ++at;
        panel[at * qi + column] -= s;
      }
    }
  }
  if (tail == m) return;
  const Index random = m - extra_;
  const int size = random > tail ? tail_size_ : 0;
  if (size > 0 && !(qj == 1 && size == 1 && c[random - 1] - c[tail] == static_cast<std::int32_t>(random - 1 - tail))) {
    if (with_sizes(qj, size, [&](auto columns, auto rows) {
          subtract_nodes<columns(), rows()>(t_.data(), width_, s0_, c + tail, v + tail * qj, random - tail);
        })) {
      for (Index f = random; f < m; ++f) {  // extra rows
        double* row = &t_[static_cast<size_t>(c[f] - s0_) * width_];
        for (Index e = tail; e <= f; ++e) row[c[e] - s0_] -= dot(v + f * qj, v + e * qj, qj);
      }
      return;
    }
  }
  const bool together = c[m - 1] - c[tail] == static_cast<std::int32_t>(m - 1 - tail);
  for (Index f = tail; f < m; ++f) {
    double* row = &t_[static_cast<size_t>(c[f] - s0_) * width_];
    const double* vf = v + f * qj;
    if (qj == 1 && together) {
      double* to = row + (c[tail] - s0_);
      const double x = vf[0];
      for (Index e = tail; e <= f; ++e) to[e - tail] -= x * v[e];
    } else if (qj == 1) {
      const double x = vf[0];
      for (Index e = tail; e <= f; ++e) row[c[e] - s0_] -= x * v[e];
    } else if (qj == 2) {
      const double x = vf[0], y = vf[1];
      for (Index e = tail; e <= f; ++e) row[c[e] - s0_] -= x * v[2 * e] + y * v[2 * e + 1];
    } else {
      for (Index e = tail; e <= f; ++e) row[c[e] - s0_] -= dot(vf, v + e * qj, qj);
    }
  }
}

bool Elimination::factor(const double* lambda) {
  if (!factored_.empty() && std::equal(factored_.begin(), factored_.end(), lambda)) return true;
  factored_.clear();
  inverted_ = -1;
  scale(lambda);
  LogProduct pivots;
  for (std::int32_t j = 0; j < nt_; ++j) {
    if (j % kNodeRun == 0) check_interrupt();
    const int qj = q(j);
    double *l = &ld_[dp_[j]], *v = &la_[vp_[j]];
    const Index m = rp_[j + 1] - rp_[j];
    if (!cholesky(l, qj, qj)) return false;
    for (int a = 0; a < qj; ++a) pivots.add(l[a * qj + a]);
    if (qj == 1) {
      const double inverse = 1.0 / l[0];
      for (Index e = 0; e < m; ++e) v[e] *= inverse;
    } else {
      for (Index e = 0; e < m; ++e) solve_lower(l, qj, qj, v + e * qj);
    }
    eliminate(j);
  }
  if (width_ && !blocked_cholesky(t_.data(), width_, width_, threads_)) return false;
  for (Index c = 0; c < sd_; ++c) pivots.add(t_[static_cast<size_t>(c) * (width_ + 1)]);
  logdet_ = 2.0 * pivots.log();
  if (!std::isfinite(logdet_)) return false;
  factored_.assign(lambda, lambda + lambda_size());
  return true;
}

double Elimination::half_logdet_from(std::int32_t node) const {
  LogProduct pivots;
  for (std::int32_t j = node; j < nt_; ++j)
    for (int a = 0; a < q(j); ++a) pivots.add(ld_[dp_[j] + a * q(j) + a]);
  for (Index c = std::max<Index>(0, first_[node] - s0_); c < sd_; ++c) pivots.add(t_[static_cast<size_t>(c) * (width_ + 1)]);
  return pivots.log();
}

void Elimination::forward(double* x, int with) const {
  check_interrupt();
  for (std::int32_t j = 0; j < nt_; ++j) {
    const int qj = q(j);
    double* xj = x + first_[j];
    solve_lower(&ld_[dp_[j]], qj, qj, xj);
    const double* v = &la_[vp_[j]];
    const std::int32_t* c = &ri_[rp_[j]];
    const Index m = rows_of(j, with);
    if (qj == 1)
      for (Index e = 0; e < m; ++e) x[c[e]] -= v[e] * xj[0];
    else
      for (Index e = 0; e < m; ++e) x[c[e]] -= dot(v + e * qj, xj, qj);
  }
  for (Index r = 0; r < sd_ + with; ++r) {
    const double* row = tail_row(r);
    x[s0_ + r] = (x[s0_ + r] - wide_dot(row, x + s0_, r)) / row[r];
  }
}

void Elimination::backward(double* x, int with) const {
  check_interrupt();
  for (Index r = sd_ + with - 1; r >= 0; --r) {
    const double* row = tail_row(r);
    const double t = x[s0_ + r] / row[r];
    x[s0_ + r] = t;
    for (Index c = 0; c < r; ++c) x[s0_ + c] -= row[c] * t;
  }
  for (std::int32_t j = nt_ - 1; j >= 0; --j) {
    const int qj = q(j);
    double* xj = x + first_[j];
    const double* v = &la_[vp_[j]];
    const std::int32_t* c = &ri_[rp_[j]];
    const Index m = rows_of(j, with);
    for (Index e = 0; e < m; ++e) {
      const double xe = x[c[e]];
      for (int a = 0; a < qj; ++a) xj[a] -= v[e * qj + a] * xe;
    }
    solve_lower_t(&ld_[dp_[j]], qj, qj, xj);
  }
}

void Elimination::last_row(double* x) const {
  for (std::int32_t j = 0; j < nt_; ++j) {
    const double* v = &la_[vp_[j + 1] - q(j)];
    std::copy(v, v + q(j), x + first_[j]);
  }
  std::copy(tail_row(width_ - 1), tail_row(width_ - 1) + width_, x + s0_);
}

}  // namespace glimm
