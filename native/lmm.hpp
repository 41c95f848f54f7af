// LMM: d(theta) = log|M| [+ log|X'V^-1X| REML] + ne (1 + log(2 pi r2 / ne)), beta and sigma profiled out.
#pragma once
#include <memory>

#include "factor.hpp"
#include "fixed_part.hpp"
#include "newton.hpp"

namespace glimm {

struct LmmEvaluation {
  bool ok = false;
  double deviance = 0.0, r2 = 0.0;
  Vec beta, u, information, gradient, hessian, inverse_blocks;  // information = X'V^-1X with sigma = 1
};

// T's entries that are searched over: entry k is at (rows[k], columns[k]); the others are 0.
struct Entries {
  const std::int64_t *rows, *columns;
  int count;
};

// What is left of the search for one of many responses. settled: it converged away from every bound.
struct LmmAnswer {
  Vec theta, beta;
  double deviance = 0.0, r2 = 0.0;
  bool settled = false;
};

class LinearMixed {
 public:
  // rows.y is the response, rows.size the prior weights; refs (n) the level of each row, z (n x q) row-major or null for 1, all in
  // the same order of rows, which may be any. Offset and weighted least-squares fit are taken off the response, and what is left is
  // divided by its root mean square: large means leave the cross-products.
  LinearMixed(const Rows& rows, const std::int32_t* refs, Index levels, const double* z, int q, int threads);
  // t: q x q lower, row-major. With derivatives: gradient and model Hessian in the entries of T, column by column.
  LmmEvaluation evaluate(const double* t, bool reml, bool derivatives, bool blocks);
  NewtonResult search(const Vec& theta, const Entries& entries, bool reml, const NewtonOptions& options);
  // The search for each of `count` responses, (count, n), from the same theta.
  std::vector<LmmAnswer> search_many(const double* responses, Index count, const Vec& theta, const Entries& entries, bool reml,
                                     const NewtonOptions& options, int threads) const;
  // The same X, Z, offset and weights with another response (n, in the rows' own order).
  void respond(const double* y);

  const FixedPart& fixed() const { return fixed_; }
  Vec mean_square() const;                  // (q) mean over levels of the diagonal of Z'WZ

 private:
  template <int Q> LmmEvaluation evaluated(const double* t, bool reml, bool derivatives, bool blocks);
  template <int Q> void scatter(bool everything);

  Rows rows_;
  const std::int32_t* refs_;
  const double* z_;
  Index levels_;
  int p_, q_;
  FixedPart fixed_;
  BlockedFactor factor_;
};

}  // namespace glimm
