// LMM: d(theta) = log|M| [+ log|X'V^-1X| REML] + ne (1 + log(2 pi r2 / ne)), beta and sigma profiled out.
#pragma once
#include <memory>

#include "factor.hpp"

namespace glimm {

struct LmmEvaluation {
  bool ok = false;
  double deviance = 0.0, r2 = 0.0;
  Vec beta, u, information, gradient, hessian, inverse_blocks;  // information = X'V^-1X with sigma = 1
};

class LinearMixed {
 public:
  // rows.y is the response (offset ignored); rows.size the prior weights; rows are ordered by level.
  LinearMixed(const Rows& rows, const Levels& levels, int threads);
  // t: q x q lower, row-major. With derivatives: gradient and model Hessian in the entries of T.
  LmmEvaluation evaluate(const double* t, bool reml, bool derivatives, bool blocks);

 private:
  Index n_, levels_;
  int p_, q_;
  Vec cross_;  // [X y]'W[X y], lower
  double log_weights_ = 0.0;
  BlockedFactor factor_;
};

}  // namespace glimm
