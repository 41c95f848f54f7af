// Responses of C levels in m = C - 1 linear predictors: log pi_y with derivatives, expected information, and one pass over rows.
//
// Ordinal: P(Y > c) = H(eta_c), eta_c = offset + x'b - t_c, H(e) = 1 - h(-e) for the link h of P(Y <= c). Nominal: log pi_c / pi_0 = eta_c.
// Arrays are predictor-major, as in families.hpp: eta and d1 have m runs of n, d2 and information m(m+1)/2 (lower triangles).
#pragma once
#include "rows.hpp"

namespace glimm {

constexpr int kNominal = -1;

struct LevelStage {
  int m;
  int link;  // of P(Y <= c); kNominal for levels without an order
  bool ordered() const { return link != kNominal; }
};

// size may be null (all 1). A level without probability, thresholds out of order too, has l = -inf and derivatives 0.
void level_jets(const LevelStage&, Index n, const double* y, const double* size, const double* eta, double* l, double* d1, double* d2);

// Expected information of each row in its predictors.
void level_information(const LevelStage&, Index n, const double* size, const double* eta, double* w);

// pi (n x C) and (d pi_k / d eta_c) / pi_k (n x C x m), both by row.
void level_probabilities(const LevelStage&, Index n, const double* eta, double* pi, double* relative);

// Sums over rows at parameters (thresholds, then a coefficient for each of p columns; or p coefficients for each of m levels).
struct LevelPass {
  double loglik = 0.0;
  Vec score, information;  // P, P x P; P = m + p or m p
};

// expected: the expected information; otherwise minus the second derivatives, which for nominal levels are the same.
LevelPass level_pass(const Rows&, const LevelStage&, const double* parameters, bool expected, int threads);

}  // namespace glimm
