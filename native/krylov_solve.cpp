// Conjugate gradients on S with the blocks G of its diagonal as preconditioner, several right-hand sides in one pass over the rows
// (Hestenes and Stiefel 1952, J. Res. Natl. Bur. Stand. 49, 409-436; Saad 2003, Iterative Methods for Sparse Linear Systems, algorithm 9.1).
#include "krylov_block.hpp"

namespace glimm {
namespace {

constexpr int kMostSteps = 2000;

}  // namespace

// x_j <- Lambda_j x_j over nodes from .. to, x beginning at the first of them
template <int K> void Krylov::scale(Index from, Index to, bool transpose, double* x) const {
  Vec row;
  for (std::int32_t j = static_cast<std::int32_t>(from); j < static_cast<std::int32_t>(to); ++j) {
    const int qj = q(j);
    const double* m = lambda_.data() + lambda_at_[lambda_of_[j]];
    double* xj = x + (first_[j] - first_[from]) * K;
    if (qj == 1) {
      for (int k = 0; k < K; ++k) xj[k] *= m[0];
      continue;
    }
    row.assign(xj, xj + qj * K);
    std::fill(xj, xj + qj * K, 0.0);
    for (int a = 0; a < qj; ++a)
      for (int c = 0; c < qj; ++c) add_times<K>(xj + a * K, transpose ? m[c * qj + a] : m[a * qj + c], &row[c * K]);
  }
}

template <int K> void Krylov::leading_inverse(double* x) const {
  Vec row;
  for (std::int32_t j = 0; j < lead_; ++j) {
    const int qj = q(j);
    const double* f = &f_[dp_[j]];
    double* xj = x + first_[j] * K;
    if (qj == 1) {
      for (int k = 0; k < K; ++k) xj[k] *= f[0];
      continue;
    }
    row.assign(xj, xj + qj * K);
    std::fill(xj, xj + qj * K, 0.0);
    for (int a = 0; a < qj; ++a)
      for (int c = 0; c < qj; ++c) add_times<K>(xj + a * K, f[a * qj + c], &row[c * K]);
  }
}

template <int K> void Krylov::precondition(const double* r, double* out) const {
  const Index base = dp_[lead_];
  for (std::int32_t j = lead_; j < static_cast<std::int32_t>(nodes()); ++j) {
    const int qj = q(j);
    const double *g = &gi_[dp_[j] - base], *from = r + (first_[j] - sa_) * K;
    double* to = out + (first_[j] - sa_) * K;
    for (int a = 0; a < qj; ++a) {
      for (int k = 0; k < K; ++k) to[a * K + k] = g[a * qj] * from[k];
      for (int c = 1; c < qj; ++c) add_times<K>(to + a * K, g[a * qj + c], from + c * K);
    }
  }
  if (active_) border_product<K>(r, out);
}

// out += A_ba y, y and out without Lambda
template <int K> void Krylov::to_rest(const double* y, double* out) const {
  const Index size = rest() * K;
  Vec buffers(static_cast<size_t>(chunks()) * size, 0.0);
  const Term& a = terms_[leading_];
  over_chunks([&](Index chunk, std::int32_t first, std::int32_t last) {
    double* own = buffers.data() + chunk * size - sa_ * K;
    for (std::int32_t j = first; j < last; ++j) {
      if (j % kNodeRun == 0) check_interrupt();
      if (!b_.empty()) {
        const double* yj = y + static_cast<size_t>(j) * K;
        for (Index c = cell_starts_[j]; c < cell_starts_[j + 1]; ++c) add_times<K>(own + static_cast<size_t>(cell_node_[c]) * K, b_[c], yj);
        continue;
      }
      for (Index i = starts_[j]; i < starts_[j + 1]; ++i) {
        double e[K] = {0.0};
        for (int c = 0; c < a.count; ++c) add_times<K>(e, row_weight(i) * (a.z.empty() ? 1.0 : a.z[i * a.count + c]), y + (a.at[i] + c) * K);
        for (int k : others_) {
          const Term& t = terms_[k];
          for (int c = 0; c < t.count; ++c) add_times<K>(own + (t.at[i] + c) * K, t.z.empty() ? 1.0 : t.z[i * t.count + c], e);
        }
      }
    }
  });
  for (Index chunk = 0; chunk < chunks(); ++chunk)
    for (Index i = 0; i < size; ++i) out[i] += buffers[chunk * size + i];
}

// out = A_ab x
template <int K> void Krylov::to_leading(const double* x, double* out) const {
  const Term& a = terms_[leading_];
  std::fill(out, out + sa_ * K, 0.0);
  const double* shifted = x - sa_ * K;
  over_chunks([&](Index, std::int32_t first, std::int32_t last) {
    for (std::int32_t j = first; j < last; ++j) {
      if (j % kNodeRun == 0) check_interrupt();
      if (!b_.empty()) {
        double sum[K] = {0.0};
        for (Index c = cell_starts_[j]; c < cell_starts_[j + 1]; ++c) add_times<K>(sum, b_[c], shifted + static_cast<size_t>(cell_node_[c]) * K);
        std::copy(sum, sum + K, out + static_cast<size_t>(j) * K);
        continue;
      }
      for (Index i = starts_[j]; i < starts_[j + 1]; ++i) {
        double e[K] = {0.0};
        for (int k : others_) {
          const Term& t = terms_[k];
          for (int c = 0; c < t.count; ++c) add_times<K>(e, t.z.empty() ? 1.0 : t.z[i * t.count + c], shifted + (t.at[i] + c) * K);
        }
        for (int c = 0; c < a.count; ++c) add_times<K>(out + (a.at[i] + c) * K, row_weight(i) * (a.z.empty() ? 1.0 : a.z[i * a.count + c]), e);
      }
    }
  });
}

// out = S x
template <int K> void Krylov::apply(const double* x, double* out) {
  const Index size = rest() * K;
  scaled_.assign(x, x + size);
  scale<K>(lead_, nodes(), false, scaled_.data());
  buffers_.resize(static_cast<size_t>(chunks()) * size);
  const Term& a = terms_[leading_];
  const double* from = scaled_.data() - sa_ * K;
  over_chunks([&](Index chunk, std::int32_t first, std::int32_t last) {
    double* own = buffers_.data() + chunk * size - sa_ * K;
    std::fill(own + sa_ * K, own + sa_ * K + size, 0.0);
    Vec t, c, v;
    for (std::int32_t j = first; j < last; ++j) {
      if (j % kNodeRun == 0) check_interrupt();
      if (!b_.empty()) {
        const Index begin = cell_starts_[j], end = cell_starts_[j + 1];
        const double* b = b_.data();
        double sum[K] = {0.0};
        for (Index e = begin; e < end; ++e) add_times<K>(sum, b[e], from + static_cast<size_t>(cell_node_[e]) * K);
        for (int k = 0; k < K; ++k) sum[k] *= -h_[j];
        for (Index e = begin; e < end; ++e) add_times<K>(own + static_cast<size_t>(cell_node_[e]) * K, b[e], sum);
        continue;
      }
      const int qa = q(j);
      const Index r0 = starts_[j], m = starts_[j + 1] - r0;
      t.assign(static_cast<size_t>(m) * K, 0.0);
      c.assign(static_cast<size_t>(qa) * K, 0.0);
      v.assign(static_cast<size_t>(qa) * K, 0.0);
      for (int k : others_) {
        const Term& term = terms_[k];
        for (Index i = 0; i < m; ++i)
          for (int e = 0; e < term.count; ++e)
            add_times<K>(&t[i * K], term.z.empty() ? 1.0 : term.z[(r0 + i) * term.count + e], from + (term.at[r0 + i] + e) * K);
      }
      for (Index i = 0; i < m; ++i) {
        const double w = row_weight(r0 + i);
        for (int k = 0; k < K; ++k) t[i * K + k] *= w;
        const Index o = a.at[r0 + i] - first_[j];
        for (int e = 0; e < a.count; ++e) add_times<K>(&c[(o + e) * K], a.z.empty() ? 1.0 : a.z[(r0 + i) * a.count + e], &t[i * K]);
      }
      for (int e = 0; e < qa; ++e)
        for (int f = 0; f < qa; ++f) add_times<K>(&v[e * K], h_[dp_[j] + e * qa + f], &c[f * K]);
      for (Index i = 0; i < m; ++i) {
        const double w = row_weight(r0 + i);
        const Index o = a.at[r0 + i] - first_[j];
        for (int e = 0; e < a.count; ++e) add_times<K>(&t[i * K], -w * (a.z.empty() ? 1.0 : a.z[(r0 + i) * a.count + e]), &v[(o + e) * K]);
      }
      for (int k : others_) {
        const Term& term = terms_[k];
        for (Index i = 0; i < m; ++i)
          for (int e = 0; e < term.count; ++e)
            add_times<K>(own + (term.at[r0 + i] + e) * K, term.z.empty() ? 1.0 : term.z[(r0 + i) * term.count + e], &t[i * K]);
      }
    }
  });
  if (!b_.empty())
    for (Index j = 0; j < rest(); ++j)
      for (int k = 0; k < K; ++k) out[j * K + k] = d_[dp_[lead_ + j]] * scaled_[j * K + k];
  else
    std::fill(out, out + size, 0.0);
  for (Index chunk = 0; chunk < chunks(); ++chunk)
    for (Index i = 0; i < size; ++i) out[i] += buffers_[chunk * size + i];
  scale<K>(lead_, nodes(), true, out);
  for (Index i = 0; i < size; ++i) out[i] += x[i];
}

// x <- S^-1 f, from x or, if fresh, from 0; the number of steps, -1 where S is not positive definite or the steps do not suffice.
template <int K> int Krylov::conjugate(const double* f, double* x, double tol, bool fresh, Recurrence* kept) {
  const Index size = rest() * K;
  Vec r(f, f + size), p(size), y(size), s(size);
  double whole[K] = {0.0}, rho[K] = {0.0}, along[K], step[K], next[K];
  const auto product = [&](const Vec& a, const Vec& b, double* out) {
    std::fill(out, out + K, 0.0);
    for (Index i = 0; i < size; i += K)
      for (int k = 0; k < K; ++k) out[k] += a[i + k] * b[i + k];
  };
  precondition<K>(r.data(), y.data());
  product(r, y, whole);
  if (fresh) {
    std::fill(x, x + size, 0.0);
    std::copy(whole, whole + K, rho);
  } else {
    apply<K>(x, s.data());
    for (Index i = 0; i < size; ++i) r[i] -= s[i];
    precondition<K>(r.data(), y.data());
    product(r, y, rho);
  }
  p = y;
  const auto done = [&] {
    for (int k = 0; k < K; ++k)
      if (!(rho[k] <= tol * tol * whole[k])) return false;
    return true;
  };
  int steps = 0;
  for (; !done(); ++steps) {
    if (steps == kMostSteps) return -1;
    check_interrupt();
    apply<K>(p.data(), s.data());
    product(p, s, along);
    for (int k = 0; k < K; ++k) {
      const bool live = rho[k] > 1e-30 * whole[k];
      if (live && !(along[k] > 0.0)) return -1;
      step[k] = live ? rho[k] / along[k] : 0.0;
    }
    for (Index i = 0; i < size; i += K)
      for (int k = 0; k < K; ++k) {
        x[i + k] += step[k] * p[i + k];
        r[i + k] -= step[k] * s[i + k];
      }
    precondition<K>(r.data(), y.data());
    product(r, y, next);
    for (int k = 0; k < K; ++k) {
      const double turned = step[k] != 0.0 ? next[k] / rho[k] : 0.0;
      if (kept) {
        kept->alpha.push_back(step[k]);
        kept->beta.push_back(turned);
      }
      rho[k] = next[k];
      along[k] = turned;
    }
    for (Index i = 0; i < size; i += K)
      for (int k = 0; k < K; ++k) p[i + k] = y[i + k] + along[k] * p[i + k];
  }
  if (kept) kept->steps = steps;
  most_steps_ = std::max(most_steps_, steps);
  return steps;
}

template <int K> bool Krylov::solve_group(std::vector<Vec>& columns, size_t begin, int count, double tol, const std::vector<Vec>* from) {
  Vec a(static_cast<size_t>(sa_) * K, 0.0), y(a.size()), f(static_cast<size_t>(rest()) * K, 0.0), x(f.size(), 0.0), own(f.size(), 0.0);
  for (int k = 0; k < count; ++k) {
    const Vec& column = columns[begin + k];
    for (Index i = 0; i < sa_; ++i) a[i * K + k] = column[i];
    for (Index i = 0; i < rest(); ++i) f[i * K + k] = column[sa_ + i];
    if (from)
      for (Index i = 0; i < rest(); ++i) x[i * K + k] = (*from)[begin + k][sa_ + i];
  }
  y = a;
  leading_inverse<K>(y.data());
  scale<K>(0, lead_, false, y.data());
  to_rest<K>(y.data(), own.data());
  scale<K>(lead_, nodes(), true, own.data());
  for (size_t i = 0; i < f.size(); ++i) f[i] -= own[i];
  if (conjugate<K>(f.data(), x.data(), tol, !from, nullptr) < 0) return false;
  own = x;
  scale<K>(lead_, nodes(), false, own.data());
  to_leading<K>(own.data(), y.data());
  scale<K>(0, lead_, true, y.data());
  for (size_t i = 0; i < a.size(); ++i) a[i] -= y[i];
  leading_inverse<K>(a.data());
  for (int k = 0; k < count; ++k) {
    Vec& column = columns[begin + k];
    for (Index i = 0; i < sa_; ++i) column[i] = a[i * K + k];
    for (Index i = 0; i < rest(); ++i) column[sa_ + i] = x[i * K + k];
  }
  return true;
}

bool Krylov::solve(std::vector<Vec>& columns, double tol, const std::vector<Vec>* from) {
  for (size_t begin = 0; begin < columns.size();) {
    const int left = static_cast<int>(std::min<size_t>(columns.size() - begin, kWide));
    const bool ok = left == 1   ? solve_group<1>(columns, begin, left, tol, from)
                    : left == 2 ? solve_group<2>(columns, begin, left, tol, from)
                    : left <= 4 ? solve_group<4>(columns, begin, left, tol, from)
                                : solve_group<kWide>(columns, begin, left, tol, from);
    if (!ok) return false;
    begin += left;
  }
  return true;
}

bool Krylov::solve(Vec& column, double tol) {
  std::vector<Vec> one(1);
  one[0].swap(column);
  const bool ok = solve(one, tol);
  one[0].swap(column);
  return ok;
}

double Krylov::square(const double* r) const {
  double total = 0.0;
  for (std::int32_t j = 0; j < lead_; ++j) {
    const int qj = q(j);
    const double *inverse = &f_[dp_[j]], *rj = r + first_[j];
    for (int a = 0; a < qj; ++a) total += rj[a] * dot(inverse + a * qj, rj, qj);
  }
  Vec out(rest());
  precondition<1>(r + sa_, out.data());
  return total + wide_dot(r + sa_, out.data(), rest());
}

void Krylov::multiply(const double* x, double* out) const {
  std::fill(out, out + s_, 0.0);
  Vec buffers(static_cast<size_t>(chunks()) * rest(), 0.0);
  over_chunks([&](Index chunk, std::int32_t first, std::int32_t last) {
    double* own = buffers.data() + chunk * rest() - sa_;
    for (Index i = starts_[first]; i < starts_[last]; ++i) {
      if (i % kRunRows == 0) check_interrupt();
      double e = 0.0;
      for (const Term& t : terms_)
        for (int c = 0; c < t.count; ++c) e += (t.z.empty() ? 1.0 : t.z[i * t.count + c]) * x[t.at[i] + c];
      e *= row_weight(i);
      for (size_t k = 0; k < terms_.size(); ++k) {
        const Term& t = terms_[k];
        double* to = static_cast<int>(k) == leading_ ? out : own;
        for (int c = 0; c < t.count; ++c) to[t.at[i] + c] += (t.z.empty() ? 1.0 : t.z[i * t.count + c]) * e;
      }
    }
  });
  for (Index chunk = 0; chunk < chunks(); ++chunk)
    for (Index i = 0; i < rest(); ++i) out[sa_ + i] += buffers[chunk * rest() + i];
}

// The leading part of kWide columns (s): -M_aa^-1 M_ab of the others.
void Krylov::carry_on(Vec& x) const {
  const Index front = sa_ * kWide;
  Vec own(x.begin() + front, x.end()), lead(front);
  scale<kWide>(lead_, nodes(), false, own.data());
  to_leading<kWide>(own.data(), lead.data());
  scale<kWide>(0, lead_, true, lead.data());
  leading_inverse<kWide>(lead.data());
  for (Index i = 0; i < front; ++i) x[i] = -lead[i];
}

// v = S^-1 G^1/2 e - G^-1/2 e and z = G^-1/2 e of random signs e, both carried on to the leading term: mean v z' is what G^-1 leaves of S^-1.
bool Krylov::probe(double tol) {
  if (probed_ <= tol) return true;
  z_.assign(groups_, Vec());
  v_.assign(groups_, Vec());
  recurrences_.assign(groups_, Recurrence());
  const Index size = rest() * kWide, front = sa_ * kWide;
  Vec f(size);
  for (int g = 0; g < groups_; ++g) {
    Vec &z = z_[g], &v = v_[g];
    z.assign(static_cast<size_t>(s_) * kWide, 0.0);
    v.assign(z.size(), 0.0);
    for (std::int32_t j = lead_; j < (active_ ? border_node_ : static_cast<std::int32_t>(nodes())); ++j) {  // f = L e, z = L^-T e, G = L L'
      const int qj = q(j);
      const double *l = &f_[dp_[j]], *e = &signs_[g][(first_[j] - sa_) * kWide];
      double *fj = &f[(first_[j] - sa_) * kWide], *zj = &z[first_[j] * kWide];
      for (int k = 0; k < kWide; ++k) {
        for (int a = 0; a < qj; ++a) {
          double s = 0.0;
          for (int c = 0; c <= a; ++c) s += l[a * qj + c] * e[c * kWide + k];
          fj[a * kWide + k] = s;
        }
        for (int a = qj - 1; a >= 0; --a) {
          double s = e[a * kWide + k];
          for (int c = a + 1; c < qj; ++c) s -= l[c * qj + a] * zj[c * kWide + k];
          zj[a * kWide + k] = s / l[a * qj + a];
        }
      }
    }
    if (active_) {  // the border of L is [V'L, its own factor] with the sign of V turned
      const Index begin = rest() - active_;
      for (Index c = 0; c < active_; ++c) {
        double* fc = &f[(begin + c) * kWide];
        std::fill(fc, fc + kWide, 0.0);
        for (Index i = 0; i < begin; ++i) add_times<kWide>(fc, -border_v_[i * active_ + c], &f[i * kWide]);
        for (Index k = 0; k <= c; ++k) add_times<kWide>(fc, border_l_[c * active_ + k], &signs_[g][(begin + k) * kWide]);
      }
      precondition<kWide>(f.data(), &z[front]);
    }
    if (conjugate<kWide>(f.data(), &v[front], tol, true, &recurrences_[g]) < 0) return false;
    for (Index i = 0; i < size; ++i) v[front + i] -= z[front + i];
    carry_on(z);
    carry_on(v);
  }
  if (active_) add_border_parts();
  probed_ = tol;
  return true;
}

template void Krylov::apply<kWide>(const double*, double*);

}  // namespace glimm
