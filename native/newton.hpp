// Saddle-free damped Newton with one secant update: x <- x - Q |w|^-1 Q'g, H = Q diag(w) Q' the model Hessian.
//
// Stops by the Newton decrement g'H^-1 g, which is in units of the objective and does not depend on scale.
// Saddle-free step: Dauphin et al. (2014), Identifying and attacking the saddle point problem, section 4.
#pragma once
#include <functional>

#include "dense.hpp"

namespace glimm {

struct Evaluation {
  bool ok = false;
  double value = HUGE_VAL;
  Vec gradient, hessian;
};

struct NewtonOptions {
  Vec lower;                        // bounds; -inf where there is none
  std::vector<char> scales, free;   // standard deviations, bounded below; parameters that may move
  double cap = 4.0;                 // no step grows or shrinks a standard deviation by more than this factor
  double tol = 1e-10;               // decrement at which to stop
  int max_iter = 100;
};

struct NewtonResult {
  Vec x, gradient, hessian;
  double value = HUGE_VAL, decrement = HUGE_VAL;
  int evaluations = 0, iterations = 0;
  bool converged = false;
  std::vector<char> floor;  // at the lower bound with the objective rising away from it
};

// evaluate(x) gives value, gradient (P) and model Hessian (P x P).
NewtonResult newton(const std::function<Evaluation(const Vec&)>& evaluate, Vec x, const NewtonOptions& options);

}  // namespace glimm
