// LMM of any design: d(theta) = log|M| [+ log|X'V^-1X| REML] + ne (1 + log(2 pi r2 / ne)), beta and sigma profiled out.
#pragma once
#include "fixed_part.hpp"
#include "random_rows.hpp"

namespace glimm {

struct SparseEvaluation {
  bool ok = false;
  double deviance = 0.0, r2 = 0.0;
  Vec beta, u, information;        // u by node; information = X'V^-1X with sigma = 1
  Vec gradient, hessian;           // in the parameters
  Vec pulled;                      // half the gradient in the entries of Lambda
};

class SparseLinear {
 public:
  SparseLinear(const Rows& rows, std::vector<RandomColumns> terms, int threads);
  // lambda: the factors of all terms one after the other, row-major. order 1: with gradient, 2: with model Hessian.
  SparseEvaluation evaluate(const double* lambda, bool reml, const Directions& directions, int order);
  void respond(const double* y);
  // By diagonal entry of lambda: the standard deviation, relative to sigma, that the sums of residuals by level tell (0 if none).
  Vec moments() const { return elimination_.moments(fixed_.residual_square()); }
  Vec inverse_blocks() { return elimination_.inverse_blocks(); }  // at the last evaluation

  const FixedPart& fixed() const { return fixed_; }
  const Elimination& elimination() const { return elimination_; }

 private:
  void scatter(bool everything);

  Rows rows_;
  int p_;
  FixedPart fixed_;
  Elimination elimination_;
  RandomRows random_;
  std::vector<std::int64_t> order_;
};

}  // namespace glimm
