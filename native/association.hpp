// Association of binary rows by odds ratios: U_i = D_i'V_i^-1 (y_i - mu_i) with V_i from pairwise log odds ratios gamma = z'alpha.
#pragma once
#include "families.hpp"
#include "rows.hpp"

namespace glimm {

// P(1,1), P(1,0), P(0,1), P(0,0) of two indicators with means a, b and log odds ratio gamma, each to full relative precision.
struct Cells {
  double p11, p10, p01, p00;
  double slope() const { return 1.0 / (1.0 / p11 + 1.0 / p10 + 1.0 / p01 + 1.0 / p00); }  // d p11 / d gamma
  double covariance = 0.0;  // p11 - a b
};

Cells cells(double a, double b, double gamma);

// What gamma depends on: z of pair (j, k), j < k, of a cluster. Pairs are numbered cluster by cluster, row by row.
struct Pairs {
  Index patterns = 1;
  int q = 1;
  const double* z = nullptr;           // patterns x q
  const std::int32_t* code = nullptr;  // row of z of each pair; null: all 0
  const Index* occasion = nullptr;     // of each row; null: every row is one. Equal ones in a cluster are levels of one response
};

struct AssociationPass {
  Vec score, bread;           // sum U_i (p), sum H_i (p x p)
  Vec alpha_score;            // sum z gamma-score (q)
  Vec alpha_information;      // expected, sum nu' z z' (q x q)
  Vec given, given_beta;      // A_aa (q x q), A_ab (q x p): both directions of conditioning on the response seen, on request
  double quadratic = 0.0, log_det = 0.0;
  Index indefinite = -1;      // first cluster whose V_i is not positive definite; its U_i and H_i are NaN
};

// Rows must be ordered by cluster, the rows of an occasion one after the other by level: indicators 1(Y > c), c ascending.
// pearson (n), scores (K x p), curvatures (K x p x p), alpha_scores (K x q) are filled where not null; without alpha_scores,
// alpha_equation and joint the pairs' scores are left out.
AssociationPass association_pass(const Rows&, const Stage&, const double* beta, const Index* starts, Index clusters, const Pairs&, const double* alpha,
                                 double* pearson, double* scores, double* curvatures, double* alpha_scores, bool alpha_equation, bool joint, int threads);

// (m, m) V_i correlation of one cluster from means mu (m), gamma of its pairs and its occasions
Vec association_matrix(Index m, const double* mu, const double* gamma, const Index* occasion);

}  // namespace glimm
