// The blocked factor of M = Lambda'Z'WZ Lambda + I with the extra rows (X, y) below it: M = L L', panel_e = L^-1 Lambda'Z'W e.
//
// One panel per level j of the grouping factor: a q x q diagonal block and q values for every extra row. LMM and Laplace share it:
// the LMM fills it once with the prior weights, Laplace refills it with the working weights of its current mode.
#pragma once
#include <cstring>

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

class BlockedFactor {
 public:
  BlockedFactor(Index levels, int q, int extra)
      : levels_(levels), q_(q), extra_(extra), d_(levels * q * q, 0.0), b_(levels * extra * q, 0.0), l_(d_.size()), bt_(b_.size()) {}

  int q() const { return q_; }
  int extra() const { return extra_; }
  double* diagonal(Index j) { return &d_[j * q_ * q_]; }          // sum w z z' (lower)
  double* panel(Index j) { return &b_[j * extra_ * q_]; }         // extra rows: sum w e z', q values each
  const double* chol(Index j) const { return &l_[j * q_ * q_]; }
  const double* solved(Index j) const { return &bt_[j * extra_ * q_]; }

  // Factor for T (q x q lower, row-major); false if some block is not positive definite.
  bool factor(const double* t, bool panels = true) {
    logdet_ = 0.0;
    double product = 1.0;  // of the pivots: one log for many of them
    Vec td(q_ * q_);
    for (Index j = 0; j < levels_; ++j) {
      double* l = &l_[j * q_ * q_];
      const double* d = diagonal(j);
      for (int a = 0; a < q_; ++a)  // td = D T
        for (int c = 0; c < q_; ++c) {
          double s = 0.0;
          for (int k = c; k < q_; ++k) s += d[k <= a ? a * q_ + k : k * q_ + a] * t[k * q_ + c];
          td[a * q_ + c] = s;
        }
      for (int a = 0; a < q_; ++a)
        for (int c = 0; c <= a; ++c) {
          double s = a == c ? 1.0 : 0.0;
          for (int k = a; k < q_; ++k) s += t[k * q_ + a] * td[k * q_ + c];
          l[a * q_ + c] = s;
        }
      if (!cholesky(l, q_, q_)) return false;
      for (int a = 0; a < q_; ++a) {
        product *= l[a * q_ + a];
        if (product > 1e150 || product < 1e-150) {
          logdet_ += 2.0 * std::log(product);
          product = 1.0;
        }
      }
      for (int e = 0; panels && e < extra_; ++e) {
        double* v = &bt_[(j * extra_ + e) * q_];
        const double* b = &b_[(j * extra_ + e) * q_];
        for (int a = 0; a < q_; ++a) {
          double s = 0.0;
          for (int k = a; k < q_; ++k) s += t[k * q_ + a] * b[k];
          v[a] = s;
        }
        solve_lower(l, q_, q_, v);
      }
    }
    logdet_ += 2.0 * std::log(product);
    return true;
  }

  double logdet() const { return logdet_; }

  // s (extra x extra, lower) -= sum_j panel' panel
  void subtract_panels(double* s) const {
    for (Index j = 0; j < levels_; ++j) {
      const double* v = solved(j);
      for (int e = 0; e < extra_; ++e)
        for (int f = 0; f <= e; ++f) s[e * extra_ + f] -= dot(v + e * q_, v + f * q_, q_);
    }
  }

  // (q x q, full) inverse of block j, plus panel_rows' W panel_rows between the triangular solves (W may be null)
  void inverse_block(Index j, const double* w, int rows, double* out) const {
    const double* l = chol(j);
    const double* v = solved(j);
    if (q_ == 1 && !w) {
      out[0] = 1.0 / (l[0] * l[0]);
      return;
    }
    for (int a = 0; a < q_; ++a)
      for (int c = 0; c < q_; ++c) out[a * q_ + c] = a == c ? 1.0 : 0.0;
    if (w)
      for (int e = 0; e < rows; ++e)
        for (int f = 0; f < rows; ++f)
          for (int a = 0; a < q_; ++a)
            for (int c = 0; c < q_; ++c) out[a * q_ + c] += v[e * q_ + a] * w[e * rows + f] * v[f * q_ + c];
    Vec x(q_);
    for (int pass = 0; pass < 2; ++pass)  // L^-T (.) L^-1: columns, then rows (the matrix is symmetric)
      for (int c = 0; c < q_; ++c) {
        for (int a = 0; a < q_; ++a) x[a] = pass ? out[c * q_ + a] : out[a * q_ + c];
        solve_lower_t(l, q_, q_, x.data());
        for (int a = 0; a < q_; ++a) (pass ? out[c * q_ + a] : out[a * q_ + c]) = x[a];
      }
  }

 private:
  Index levels_;
  int q_, extra_;
  Vec d_, b_, l_, bt_;
  double logdet_ = 0.0;
};

// Directions d(Lambda u)/dT_k in u-space for every free entry k = (r, c) of T: d_k = (A + A') u, A = T^-1 E_rc.
class ThetaDirections {
 public:
  ThetaDirections(const double* t, int q) : q_(q), inverse_(q * q, 0.0) {
    for (int c = 0; c < q; ++c)
      if (t[c * q + c] == 0.0) return;  // a scale held at zero: no directions, so zeros and not NaN in the model Hessian
    for (int c = 0; c < q; ++c) {
      Vec x(q, 0.0);
      x[c] = 1.0;
      solve_lower(t, q, q, x.data());
      for (int a = 0; a < q; ++a) inverse_[a * q + c] = x[a];
    }
  }
  int size() const { return q_ * (q_ + 1) / 2; }
  const double* inverse() const { return inverse_.data(); }

  // out (size x q) for one level's u; entries of T column by column, as lme4's theta
  void directions(const double* u, double* out) const {
    int k = 0;
    for (int c = 0; c < q_; ++c)
      for (int r = c; r < q_; ++r, ++k) {
        double* d = out + k * q_;
        for (int a = 0; a < q_; ++a) d[a] = inverse_[a * q_ + r] * u[c];
        double s = 0.0;
        for (int e = 0; e < q_; ++e) s += inverse_[e * q_ + r] * u[e];
        d[c] += s;
      }
  }

  // lower(2 T^-T K), entries as above
  void chain(const double* kmat, double* grad) const {
    int k = 0;
    for (int c = 0; c < q_; ++c)
      for (int r = c; r < q_; ++r, ++k) {
        double s = 0.0;
        for (int e = r; e < q_; ++e) s += inverse_[e * q_ + r] * kmat[e * q_ + c];
        grad[k] = 2.0 * s;
      }
  }

  // H_kl += 2 (T^-T K T^-1)[a, a'] for entries (a, b), (a', b) of one column
  void second_order(const double* kmat, double* h, int ld) const {
    Vec m(q_ * q_, 0.0), bar(q_ * q_, 0.0);
    for (int a = 0; a < q_; ++a)
      for (int e = 0; e < q_; ++e)
        for (int l = a; l < q_; ++l) m[a * q_ + e] += inverse_[l * q_ + a] * kmat[l * q_ + e];
    for (int a = 0; a < q_; ++a)
      for (int e = 0; e < q_; ++e)
        for (int l = e; l < q_; ++l) bar[a * q_ + e] += m[a * q_ + l] * inverse_[l * q_ + e];
    int k = 0;
    for (int c = 0; c < q_; ++c) {
      const int first = k;
      for (int r = c; r < q_; ++r, ++k)
        for (int r2 = c; r2 < q_; ++r2) h[k * ld + first + r2 - c] += 2.0 * bar[r * q_ + r2];
    }
  }

 private:
  int q_;
  Vec inverse_;
};

}  // namespace glimm
