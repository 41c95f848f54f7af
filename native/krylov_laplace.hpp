// Laplace of crossed terms too large to be factored: see any_laplace.hpp; systems with M by conjugate gradients.
#pragma once
#include "any_laplace.hpp"
#include "krylov.hpp"
#include "krylov_lmm.hpp"

namespace glimm {

class KrylovLaplace : private LaplaceSystem {
 public:
  KrylovLaplace(const Rows& rows, const std::vector<RandomColumns>& terms, Vec trials, Vec weights, int groups, std::uint64_t seed, int threads);
  // As of SparseLaplace; tol: decrement of the modes. The deviance lacks what recurrences() tell of log|S| - log|G|, unless how.factor.
  LaplaceEvaluation evaluate(const Stage&, const double* beta, const double* lambda, const Directions&, int order, double tol, const Krylovian& how);
  Vec moments(const Stage&, const double* beta);
  Krylov& system() { return krylov_; }

 private:
  bool find_modes(const Stage&, const double* lambda, double tol);
  bool weigh(const double* lambda, bool positive);
  bool inverse(const double* lambda, double* leverage, double* pulls) override;
  bool solve(Vec& x) override { return krylov_.solve(x, how_.tol); }
  bool gram(std::vector<Vec>& v, Vec& products) override;
  void multiply(const double* x, double* out) override { krylov_.multiply(x, out); }

  Krylov krylov_;
  EffectRows rows_;
  Vec weights_;
  Krylovian how_;
  Vec at_;                     // (beta | lambda | psi) of the modes, empty if there are none
  double reached_ = HUGE_VAL;  // their decrement
};

}  // namespace glimm
