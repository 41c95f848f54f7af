// What Laplace and quadrature share: rows in the order of levels, the modes, the model Hessian, the result of an evaluation.
//
// The vector is (beta | entries of T, column by column | psi, one or two or none); the objective is -2 log L.
#pragma once
#include "factor.hpp"
#include "families.hpp"
#include "threads.hpp"

namespace glimm {

struct MixedEvaluation {
  bool ok = false;       // the inner iterations converged and every block is positive definite
  double deviance = 0.0;
  Vec gradient, hessian; // hessian: a model of it, for steps
  Vec u, inverse_blocks; // modes and M^-1 blocks, per level (inverse_blocks on request)
  Vec scores;            // per level: gradient of -2 log L of that level (quadrature only)
};

// What an evaluation is asked for. order 0: value, 1: with gradient, 2: with model Hessian.
struct Ask { int order = 0; bool blocks = false, scores = false; };

// Sums of the model Hessian over the levels of one block.
struct HessianSums {
  Vec xvx;  // X'V^-1X, lower
  SigmaMoments moments;
  Vec psi;  // n_psi x n_psi
  HessianSums(int p, int q, int n_psi) : xvx(static_cast<size_t>(p) * p, 0.0), moments(q), psi(static_cast<size_t>(n_psi) * n_psi, 0.0) {}
};

class MixedRows {
 public:
  MixedRows(const Rows& rows, const Levels& levels, const Vec& trials, const Vec& weights, int threads);

  const Rows rows;
  const Levels levels;
  const int threads, p, q, nt;
  const Index n;
  Vec y, size, z;            // ordered; z is n x q
  std::vector<Index> edges;   // block b: levels edges[b]..edges[b + 1]
  Vec trials, weights;       // ordered, for the constant

  Index blocks() const { return static_cast<Index>(edges.size()) - 1; }
  Index first(Index b) const { return levels.starts[edges[b]]; }
  Index last(Index b) const { return levels.starts[edges[b + 1]]; }
  const double* size_at(Index r) const { return size.empty() ? nullptr : size.data() + r; }
  double constant(const Stage&);  // kept until psi moves
  // n_psi x n: derivatives in psi of the terms free of eta, by row; empty where there are none
  Vec constant_psi(const Stage&, Index r0, Index m) const;
  // Of one block: xb = offset + X beta (m), zt = T'z (m x q)
  void linear(Index b, const double* beta, const double* t, Vec& xb, Vec& zt) const;
  // Of one block: panels of the factor = Z'WX and its part of the model Hessian at the modes; zs = Z'd1 per level.
  void add_model_hessian(Index b, const Stage&, const double* t, const double* w, const double* zs, const Vec& zt, const double* eta,
                         BlockedFactor& factor, HessianSums& sums) const;
  // blockdiag(2 X'V^-1X, average information of T, curvature of psi)
  Vec model_hessian(const Stage&, const double* t, const std::vector<HessianSums>& parts) const;

 private:
  double constant_ = 0.0;
  Vec constant_at_;
  template <int Q> void linear_of(Index b, const double* beta, const double* t, Vec& xb, Vec& zt) const;
  template <int Q>
  void add_model_hessian_of(Index b, const Stage&, const double* t, const double* w, const double* zs, const Vec& zt, const double* eta,
                            BlockedFactor& factor, HessianSums& sums) const;
};

// Modes of the spherical effects: u_j maximises sum l(y, xb + zt'u) - u'u / 2 over the rows of level j.
class Modes {
 public:
  // Starts from u and leaves the modes there; false if some level has none.
  bool find(const MixedRows& data, const Stage& stage, Index block, const Vec& xb, const Vec& zt, Vec& u) {
    return with_effects(data.q, [&](auto size) { return found<size()>(data, stage, block, xb, zt, u); });
  }

 private:
  template <int Q> bool found(const MixedRows& data, const Stage& stage, Index block, const Vec& xb, const Vec& zt, Vec& u);
  template <int Q> void evaluate(const MixedRows& data, const Stage& stage, const Vec& xb, const Vec& zt, const Vec& u, bool values);
  Index begin_ = 0, r0_ = 0;
  std::vector<Index> active_, still_;
  std::vector<char> restarted_;
  Vec eta_, y_, size_, l_, d1_, d2_, value_, slope_, length_, step_, from_;
};

// Scratch of one thread: the rows of one block, at its modes.
struct BlockRows {
  Modes modes;
  Vec xb, zt, eta, l, d1, d2, d3;
};

// Where Laplace and quadrature stand: modes u, Z'd1 and the factor of each level at its mode.
struct AtModes {
  MixedRows& data;
  BlockedFactor factor;
  Vec u, zs;
  explicit AtModes(MixedRows& rows)
      : data(rows), factor(rows.levels.count, rows.q, rows.p), u(rows.levels.count * rows.q, 0.0), zs(u.size()) {}
  // The row stage (third derivatives if asked for) at the modes of block b, from u, and its factor; false where there are no modes.
  template <int Q> bool block(Index b, const Stage&, const double* vector, const Vec& t, bool third, BlockRows& rows);
  void forget() { std::fill(u.begin(), u.end(), 0.0); }
  // The answer of work; modes that it leaves half found, by an interrupt, are forgotten.
  template <class Work> auto unless_stopped(Work work) {
    try {
      return work();
    } catch (...) {
      forget();
      throw;
    }
  }
};

class QuadratureMixed {
 public:
  explicit QuadratureMixed(AtModes& at) : data_(at.data), at_(at) {}
  // nodes (count x q) for weight exp(-x^2), log_weights = log w + |x|^2
  MixedEvaluation evaluate(const Stage&, const double* vector, Ask ask, int count, const double* nodes, const double* log_weights);

 private:
  template <int Q>
  MixedEvaluation evaluated(const Stage&, const double* vector, Ask ask, int count, const double* nodes, const double* log_weights);

  MixedRows& data_;
  AtModes& at_;
};

// T (q x q lower, row-major) from its entries column by column
inline Vec unpack_t(const double* entries, int q) {
  Vec t(q * q, 0.0);
  int k = 0;
  for (int c = 0; c < q; ++c)
    for (int r = c; r < q; ++r) t[r * q + c] = entries[k++];
  return t;
}

}  // namespace glimm
