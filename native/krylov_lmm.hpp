// LMM of crossed terms too large to be factored: the profiled deviance of sparse_lmm.hpp by conjugate gradients.
#pragma once
#include "krylov.hpp"
#include "sparse_lmm.hpp"

namespace glimm {

// How far an evaluation goes. tol: relative residual of solves for X, y and directions; probes: of those for random probes.
struct Krylovian {
  double tol = 1e-10, probes = 1e-4;
  bool factor = false, invert = false;  // the dense S: log|M|; its inverse, so that the gradient is exact
  bool value = true;                    // false: for order 0, nothing of log|M|
  bool probed(int order) const { return !invert && (order > 0 || (value && !factor)); }
};

class KrylovLinear {
 public:
  KrylovLinear(const Rows& rows, const std::vector<RandomColumns>& terms, int groups, std::uint64_t seed, int threads);
  // As of SparseLinear. The deviance lacks what recurrences() tell of log|S| - log|G|, unless how.factor.
  SparseEvaluation evaluate(const double* lambda, bool reml, const Directions& directions, int order, const Krylovian& how);
  void respond(const double* y);
  Vec moments() const;
  Krylov& system() { return krylov_; }
  const FixedPart& fixed() const { return fixed_; }

 private:
  void columns(bool everything);

  Rows rows_;
  int p_;
  FixedPart fixed_;
  Krylov krylov_;
  Vec weights_;                // in the order of rows; empty: 1
  std::vector<Vec> c_, last_;  // Z'W [X r]; M^-1 Lambda' of them at the last evaluation
};

}  // namespace glimm
