// Laplace for any design with M factored: see any_laplace.hpp.
#pragma once
#include "any_laplace.hpp"
#include "random_rows.hpp"

namespace glimm {

class SparseLaplace : private LaplaceSystem {
 public:
  SparseLaplace(const Rows& rows, std::vector<RandomColumns> terms, Vec trials, Vec weights, int threads);
  // tol: decrement at which the mode is found. Starts from the last modes.
  LaplaceEvaluation evaluate(const Stage&, const double* beta, const double* lambda, const Directions&, int order, double tol);
  Vec inverse_blocks() { return elimination_.inverse_blocks(); }  // at the last evaluation
  // mode + L^-T e for draws e (draws, scalars) by node, at the last evaluation: the levels after the leading term need nothing of it
  Vec draws(const double* e, Index count) const;
  int leading() const { return elimination_.leading(); }
  // By diagonal entry of lambda: the standard deviation that the scores of a model without random effects tell (0 if none).
  Vec moments(const Stage&, const double* beta);
  // log of p(y, u) / q(u) less its value at the mode, for draws u = mode + L^-T e, e (draws, scalars), at the last evaluation
  Vec log_ratios(const Stage&, const double* beta, const double* lambda, const double* e, Index draws);
  const Elimination& elimination() const { return elimination_; }

 private:
  void forget() {
    std::fill(rows_.u.begin(), rows_.u.end(), 0.0);
    have_ = false;
  }
  bool refactor(const double* lambda, bool positive);
  bool find_modes(const Stage&, const double* lambda, double tol);
  void entries(Index r, Entry* out) const;
  bool inverse(const double* lambda, double* leverage, double* pulls) override;
  bool solve(Vec& x) override;
  bool gram(std::vector<Vec>& v, Vec& products) override;
  void multiply(const double* x, double* out) override { elimination_.multiply(x, out); }

  Elimination elimination_;
  std::vector<std::int64_t> order_;
  EffectRows rows_;
  std::vector<std::vector<std::int32_t>> node_;  // by term (n)
  std::vector<Index> where_;                     // (n, pairs)
  bool have_ = false;  // a factor from an earlier place, good enough for a step
  Vec at_;             // (beta | lambda | psi) of the modes and the factor, empty if there are none
  double reached_ = HUGE_VAL;  // their decrement
};

}  // namespace glimm
