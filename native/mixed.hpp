// What Laplace and quadrature share: rows in the order of levels, the model Hessian at the modes, the result of an evaluation.
//
// The vector is (beta | entries of T, column by column | psi); the objective is -2 log L.
#pragma once
#include "factor.hpp"
#include "families.hpp"
#include "threads.hpp"

namespace glimm {

struct MixedEvaluation {
  bool ok = false;       // the inner iterations converged and every block is positive definite
  double deviance = 0.0;
  Vec gradient, hessian; // hessian: a model of it, for steps
  Vec u, inverse_blocks; // modes and M^-1 blocks, per level
  Vec scores;            // per level: gradient of -2 log L of that level (quadrature only)
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
  double constant(const Stage&) const;
  // xb = offset + X beta (n), zt = T'z (n x q)
  void linear(const double* beta, const double* t, Vec& xb, Vec& zt) const;
  // beta part of the gradient: g += X'v
  void transpose_times(const Vec& v, double* g) const;
  // panels of the factor = Z'WX; returns X'WX
  Vec fill_panels(const Vec& w, BlockedFactor& factor) const;
  // Model Hessian at the modes u: 2 X'V^-1X, average information for T, curvature for psi (its score d1_psi, total l_psi).
  Vec model_hessian(const Stage&, const double* t, const Vec& u, const Vec& w, const Vec& zt, const Vec& eta, BlockedFactor& factor) const;
};

class LaplaceMixed {
 public:
  explicit LaplaceMixed(const MixedRows& rows) : data_(rows), factor_(rows.levels.count, rows.q, rows.p), u_(rows.levels.count * rows.q, 0.0) {}
  // order 0: value, 1: with gradient, 2: with model Hessian. Starts from the modes of the last call.
  MixedEvaluation evaluate(const Stage&, const double* vector, int order);

 private:
  bool find_modes(const Stage&, const double* t, double& h);
  double row_pass(const Stage&, const Vec& u, bool third);

  const MixedRows& data_;
  BlockedFactor factor_;
  Vec u_, xb_, zt_, eta_, l_, d1_, d2_, d3_, zs_;  // kept between evaluations: fresh memory costs more than the sums
  Vec lam_, lev_, pulled_, v_;
};

class QuadratureMixed {
 public:
  QuadratureMixed(const MixedRows& rows) : data_(rows), factor_(rows.levels.count, rows.q, rows.p), u_(rows.levels.count * rows.q, 0.0) {}
  // nodes (count x q) for weight exp(-x^2), log_weights = log w + |x|^2
  MixedEvaluation evaluate(const Stage&, const double* vector, int order, int count, const double* nodes, const double* log_weights, bool scores);

 private:
  const MixedRows& data_;
  BlockedFactor factor_;
  Vec u_;
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
