// GEE: one pass over clusters, U_i = X~_i' R_i^-1 e_i and H_i = X~_i' R_i^-1 X~_i, never an n_i x n_i matrix.
#pragma once
#include "families.hpp"
#include "rows.hpp"

namespace glimm {

enum Working { kIndependence = 0, kExchangeable = 1, kAr1 = 2 };

struct GeePass {
  Vec score, bread;   // sum U_i (p), sum H_i (p x p)
};

// Rows must be ordered by cluster (and time); time is in that order, or null for 1, 2, ...
// pearson (n, ordered), scores (K x p) and curvatures (K x p x p) are filled where not null.
GeePass gee_pass(const Rows&, const Stage&, const double* beta, const Index* starts, Index clusters, int working, double alpha,
                 const double* time, double* pearson, double* scores, double* curvatures, int threads);

struct PairSums {
  double squares = 0.0;              // sum e^2
  double pairs = 0.0, n_pairs = 0.0; // all pairs of a cluster
  double next = 0.0, n_next = 0.0;   // pairs one unit of time apart
};

PairSums pair_sums(const double* pearson, const Index* starts, Index clusters, const double* time, int threads);

// Sums of e_j e_k and counts by distance in time, over all pairs of a cluster: for whole-number distances 1..max.
void lag_sums(const double* pearson, const Index* starts, Index clusters, const double* time, Index max_lag, double* sums, double* counts);

}  // namespace glimm
