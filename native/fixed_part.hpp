// What every LMM takes off its response before any cross-product: offset and weighted least-squares fit, divided by what is left.
#pragma once
#include "rows.hpp"
#include "threads.hpp"

namespace glimm {

// rows.y is the response, rows.size the prior weights. residual = (y - offset - X b) / unit: large means leave the cross-products.
class FixedPart {
 public:
  FixedPart(const Rows& rows, int threads);
  void respond(const double* y);  // another response, in the rows' own order

  const Vec& residual() const { return residual_; }      // (n)
  const Vec& cross() const { return cross_; }            // (p + 1, p + 1) [X r]'W[X r], lower
  double log_weights() const { return log_weights_; }
  double residual_square() const { return cross_.back() / static_cast<double>(rows_.n); }  // mean of w residual^2
  double unit() const { return unit_; }                  // root mean square of what was left
  double before() const { return before_; }              // root mean square of response - offset
  Vec whole(const double* beta) const;                   // coefficients of the response from those of the residual
  // -2 log L of the residual's (n or n - p) log s2 brought to the response
  double deviance(double logdet, double s2, double ne) const;

 private:
  void remove(const double* y);
  void cross_response();

  Rows rows_;
  int threads_, p_;
  Vec xx_, residual_, ols_, cross_;  // xx: Cholesky factor of X'WX
  double unit_ = 1.0, before_ = 0.0, log_weights_ = 0.0;
};

}  // namespace glimm
