// The blocked factor of M = Lambda'Z'WZ Lambda + I with the extra rows (X, y) below it: M = L L', panel_e = L^-1 Lambda'Z'W e.
//
// One panel per level j of the grouping factor: a q x q diagonal block and q values for every extra row. LMM and Laplace share it:
// the LMM fills it once with the prior weights, Laplace refills it with the working weights of its current mode.
#pragma once
#include <cstring>
#include <type_traits>

#include "interrupt.hpp"
#include "rows.hpp"

namespace glimm {

// Rows of one random term, in the order of its levels: level j is rows starts[j]..starts[j+1] of the ordered Rows.
struct Levels {
  Index count = 0;
  int q = 1;
  const Index* starts = nullptr;
  const double* z = nullptr;  // (n, q) row-major in the caller's row order; null: all 1 (q = 1)
  double z_at(const Rows& rows, Index i, int a) const { return z ? z[rows.at(i) * q + a] : 1.0; }
};

// log of a product of positive numbers: one log for many factors.
class LogProduct {
 public:
  void add(double x) {
    product_ *= x;
    if (product_ > 1e150 || product_ < 1e-150) {
      sum_ += std::log(product_);
      product_ = 1.0;
    }
  }
  double log() const { return sum_ + std::log(product_); }

 private:
  double sum_ = 0.0, product_ = 1.0;
};

// Calls work with q as a compile-time constant where it is small, 0 for any other: loops over effects then unroll.
template <class Work> auto with_effects(int q, Work work) {
  switch (q) {
    case 1: return work(std::integral_constant<int, 1>{});
    case 2: return work(std::integral_constant<int, 2>{});
    case 3: return work(std::integral_constant<int, 3>{});
    default: return work(std::integral_constant<int, 0>{});
  }
}

class BlockedFactor {
 public:
  BlockedFactor(Index levels, int q, int extra)
      : levels_(levels), q_(q), extra_(extra), d_(levels * q * q, 0.0), b_(levels * extra * q, 0.0), l_(d_.size()), bt_(b_.size()) {}

  int q() const { return q_; }
  int extra() const { return extra_; }
  double* diagonal(Index j) { return &d_[j * q_ * q_]; }          // sum w z z' (lower)
  const double* diagonal(Index j) const { return &d_[j * q_ * q_]; }
  double* panel(Index j) { return &b_[j * extra_ * q_]; }         // extra rows: sum w e z', q values each
  const double* panel(Index j) const { return &b_[j * extra_ * q_]; }
  const double* chol(Index j) const { return &l_[j * q_ * q_]; }
  const double* solved(Index j) const { return &bt_[j * extra_ * q_]; }

  // Factor of block j for T (q x q lower, row-major), times its panels if asked; false if it is not positive definite.
  template <int Q> bool factor_level(Index j, const double* t, bool panels) {
    const int q = Q ? Q : q_;
    double* l = &l_[j * q * q];
    const double* d = diagonal(j);
    if constexpr (Q == 1) {
      const double square = 1.0 + t[0] * t[0] * d[0];
      if (!(square > 0.0)) return false;
      l[0] = std::sqrt(square);
    } else {
      double td[Q ? Q * Q : 1];
      Vec heap;
      double* work = Q ? td : (heap.resize(q * q), heap.data());
      for (int a = 0; a < q; ++a)  // D T
        for (int c = 0; c < q; ++c) {
          double s = 0.0;
          for (int k = c; k < q; ++k) s += d[k <= a ? a * q + k : k * q + a] * t[k * q + c];
          work[a * q + c] = s;
        }
      for (int a = 0; a < q; ++a)
        for (int c = 0; c <= a; ++c) {
          double s = a == c ? 1.0 : 0.0;
          for (int k = a; k < q; ++k) s += t[k * q + a] * work[k * q + c];
          l[a * q + c] = s;
        }
      if (!cholesky(l, q, q)) return false;
    }
    for (int e = 0; panels && e < extra_; ++e) {
      double* v = &bt_[(j * extra_ + e) * q];
      const double* b = &b_[(j * extra_ + e) * q];
      for (int a = 0; a < q; ++a) {
        double s = 0.0;
        for (int k = a; k < q; ++k) s += t[k * q + a] * b[k];
        v[a] = s;
      }
      solve_lower(l, q, q, v);
    }
    return true;
  }

  // All blocks with their panels; false if some block is not positive definite.
  template <int Q> bool factor(const double* t) {
    const int q = Q ? Q : q_;
    LogProduct pivots;
    for (Index j = 0; j < levels_; ++j) {
      if (j % 256 == 0) check_interrupt();
      if (!factor_level<Q>(j, t, true)) return false;
      for (int a = 0; a < q; ++a) pivots.add(chol(j)[a * q + a]);
    }
    logdet_ = 2.0 * pivots.log();
    return true;
  }

  double logdet() const { return logdet_; }

  // s (extra x extra, lower) -= panel' panel of level j
  template <int Q> void subtract_panels(Index j, double* s) const {
    const int q = Q ? Q : q_;
    const double* v = solved(j);
    for (int e = 0; e < extra_; ++e)
      for (int f = 0; f <= e; ++f) s[e * extra_ + f] -= dot(v + e * q, v + f * q, q);
  }

  // (q x q, full) inverse of block j
  template <int Q> void inverse_block(Index j, double* out) const {
    const int q = Q ? Q : q_;
    const double* l = &l_[j * q * q];
    if constexpr (Q == 1) {
      out[0] = 1.0 / (l[0] * l[0]);
      return;
    }
    std::fill(out, out + q * q, 0.0);
    for (int c = 0; c < q; ++c) {  // rows of the symmetric inverse, one solve each
      double* x = out + c * q;
      x[c] = 1.0;
      solve_lower(l, q, q, x);
      solve_lower_t(l, q, q, x);
    }
  }

  // b (q x q) = L^-1 T'D and f (q x q) = D - b'b = Z'V^-1 Z of level j, V = I + Z Lambda Lambda'Z'
  template <int Q> void information(Index j, const double* t, double* b, double* f) const {
    const int q = Q ? Q : q_;
    const double *d = diagonal(j), *l = chol(j);
    for (int c = 0; c < q; ++c)
      for (int a = 0; a < q; ++a) {
        double s = 0.0;
        for (int k = a; k < q; ++k) s += t[k * q + a] * d[k <= c ? c * q + k : k * q + c];
        b[a * q + c] = s;
      }
    for (int i = 0; i < q; ++i)
      for (int c = 0; c < q; ++c) {
        double s = b[i * q + c];
        for (int k = 0; k < i; ++k) s -= l[i * q + k] * b[k * q + c];
        b[i * q + c] = s / l[i * q + i];
      }
    for (int a = 0; a < q; ++a)
      for (int c = 0; c <= a; ++c) {
        double s = d[a * q + c];
        for (int k = 0; k < q; ++k) s -= b[k * q + a] * b[k * q + c];
        f[a * q + c] = f[c * q + a] = s;
      }
  }

 private:
  Index levels_;
  int q_, extra_;
  Vec d_, b_, l_, bt_;
  double logdet_ = 0.0;
};

// Derivatives in Sigma = T T' from sums over levels of F = Z'V^-1Z and r = Z'V^-1 e, and their chain to the entries of T.
// Nothing is divided by T, so a column of T may be 0.
//
// average information of dS_k, dS_l: sum_j (dS_k r_j)'F_j (dS_l r_j), from the sums of vech(F) vech(r r')'.
class SigmaMoments {
 public:
  explicit SigmaMoments(int q) : q_(q), nt_(q * (q + 1) / 2), rr(q * q, 0.0), tensor_(static_cast<size_t>(nt_) * nt_, 0.0) {}

  template <int Q> void add(const double* f, const double* r) {
    const int q = Q ? Q : q_, nt = q * (q + 1) / 2;
    int row = 0;
    for (int b = 0; b < q; ++b)
      for (int d = 0; d <= b; ++d, ++row) {
        const double product = r[b] * r[d];
        rr[b * q + d] += product;
        double* out = &tensor_[static_cast<size_t>(row) * nt];
        int column = 0;
        for (int a = 0; a < q; ++a)
          for (int c = 0; c <= a; ++c, ++column) out[column] += product * f[a * q + c];
      }
  }

  void add(const SigmaMoments& other) {
    for (size_t k = 0; k < rr.size(); ++k) rr[k] += other.rr[k];
    for (size_t k = 0; k < tensor_.size(); ++k) tensor_[k] += other.tensor_[k];
  }

  void mirror_rr() { for (int a = 0; a < q_; ++a) for (int c = a + 1; c < q_; ++c) rr[a * q_ + c] = rr[c * q_ + a]; }

  // (nt x nt) average information in the entries of T, column by column
  Vec average_information(const double* t) const {
    const int q = q_;
    Vec out(static_cast<size_t>(nt_) * nt_), pulled(q * q);
    int k = 0;
    for (int c = 0; c < q; ++c)
      for (int r = c; r < q; ++r, ++k) {
        for (int a = 0; a < q; ++a)  // sum over (e, g) of dS_k[e, g] sum_j F_ae r_b r_g; dS_k = e_r t_c' + t_c e_r'
          for (int b = 0; b < q; ++b) {
            double s = 0.0;
            for (int g = 0; g < q; ++g) {
              const double tc = g >= c ? t[g * q + c] : 0.0;
              if (tc != 0.0) s += tc * (at(b, g, a, r) + at(b, r, a, g));
            }
            pulled[a * q + b] = s;
          }
        int l = 0;
        for (int c2 = 0; c2 < q; ++c2)
          for (int r2 = c2; r2 < q; ++r2, ++l) {
            double s = 0.0;
            for (int g = c2; g < q; ++g) s += t[g * q + c2] * (pulled[r2 * q + g] + pulled[g * q + r2]);
            out[static_cast<size_t>(k) * nt_ + l] = s;
          }
      }
    return out;
  }

 private:
  double at(int b, int d, int a, int c) const { return tensor_[static_cast<size_t>(vech(b, d)) * nt_ + vech(a, c)]; }
  static int vech(int a, int c) { return a >= c ? a * (a + 1) / 2 + c : c * (c + 1) / 2 + a; }
  int q_, nt_;

 public:
  Vec rr;  // q x q, sum r r' (lower until mirrored)

 private:
  Vec tensor_;
};

// lower(2 G T), entries column by column
inline void chain_to_t(const double* g, const double* t, int q, double* out) {
  int k = 0;
  for (int c = 0; c < q; ++c)
    for (int r = c; r < q; ++r, ++k) {
      double s = 0.0;
      for (int e = c; e < q; ++e) s += g[r * q + e] * t[e * q + c];
      out[k] = 2.0 * s;
    }
}

// H_kl += 2 G[a, a'] for entries (a, c), (a', c) of one column
inline void add_second_order(const double* g, int q, double* h, int ld) {
  int k = 0;
  for (int c = 0; c < q; ++c) {
    const int first = k;
    for (int r = c; r < q; ++r, ++k)
      for (int r2 = c; r2 < q; ++r2) h[k * ld + first + r2 - c] += 2.0 * g[r * q + r2];
  }
}

}  // namespace glimm
