// GLM: one pass for the log-likelihood, score X'd1 and expected information X'WX at beta.
#pragma once
#include "families.hpp"
#include "rows.hpp"

namespace glimm {

struct GlmPass {
  double loglik = 0.0;
  Vec score, information;
};

// information: with X'WX, else empty; every: only one chunk of kPassRows rows in so many; eta: (n) filled in unless null
struct Asked {
  bool information = true;
  Index every = 1;
  double* eta = nullptr;
};

GlmPass glm_pass(const Rows&, const Stage&, const double* beta, const Asked&, int threads);

// eta = offset + X beta for all rows, in the order of rows.
void linear_predictor(const Rows&, const double* beta, double* eta, int threads);

// Leverages h_i = w_i x_i' C x_i for a p x p matrix C.
void leverages(const Rows&, const double* w, const double* c, double* h, int threads);

// (sum_i in cluster) of d1_i x_i, one row of p per cluster of the ordered rows.
void cluster_scores(const Rows&, const double* d1, const Index* starts, Index clusters, double* scores, int threads);

// X'(y - offset - X beta) for the raw columns in twice the working precision; beta = high + low, y weighted by size.
// Adds to sums: p high parts, then p low ones.
void refined_residual_score(const Rows&, const double* beta_high, const double* beta_low, double* sums);

// R of the QR factorisation of W^1/2 X (p x p, upper, row-major), by blocks; W = size. r holds the R of the rows before, or zeros.
void blocked_qr(const Rows&, double* r);

// X'WX of the working columns, W = size; every as above.
void gram(const Rows&, Index every, double* out, int threads);

}  // namespace glimm
