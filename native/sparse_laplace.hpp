// Laplace for any design: -2 log L = -2 [sum l(y, eta) - u'u / 2] at the mode of u + log|M|, M = Lambda'Z'WZ Lambda + I.
#pragma once
#include "families.hpp"
#include "random_rows.hpp"
#include "rows.hpp"
#include "threads.hpp"

namespace glimm {

struct SparseLaplaceEvaluation {
  bool ok = false;
  double deviance = 0.0;
  Vec u;                  // modes by node
  Vec gradient, hessian;  // (beta | parameters of Lambda | psi)
};

class SparseLaplace {
 public:
  SparseLaplace(const Rows& rows, std::vector<RandomColumns> terms, Vec trials, Vec weights, int threads);
  // tol: decrement at which the mode is found. Starts from the last modes.
  SparseLaplaceEvaluation evaluate(const Stage&, const double* beta, const double* lambda, const Directions&, int order, double tol);
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
  struct TermRows {
    std::vector<std::int32_t> node, at;  // (n) node; first scalar of the row's effects
    int count = 1;                       // effects of a row
    Vec z;                               // (n, count); empty: 1
  };
  void linear(const double* beta);
  void add_random(const double* b, double* eta) const;         // eta += Z b
  void transpose_random(const double* v, double* out) const;   // out = Z'v
  double jets(const Stage&, const double* eta, bool third);    // sum of l; d1, d2, d3 of all rows
  void forget() {
    std::fill(u_.begin(), u_.end(), 0.0);
    have_ = false;
  }
  bool refactor(const double* lambda, bool positive);
  bool find_modes(const Stage&, const double* lambda, double tol);
  void entries(Index r, Entry* out) const;
  void add_hessian(const Stage&, const double* lambda, const Directions&, const Vec& zs, Vec& hessian);

  Rows rows_;
  Index n_;
  int p_, threads_;
  Elimination elimination_;
  std::vector<TermRows> terms_;
  std::vector<std::int64_t> order_;
  std::vector<Index> where_;  // (n, pairs)
  Vec y_, size_, trials_, weights_;
  Vec u_, xb_, eta_, l_, d1_, d2_, d3_;
  bool have_ = false;  // a factor from an earlier place, good enough for a step
  Vec at_;             // (beta | lambda | psi) of the modes and the factor, empty if there are none
  double reached_ = HUGE_VAL;  // their decrement
};

}  // namespace glimm
