// GEE: one pass over clusters, U_i = X~_i' R_i^-1 e_i and H_i = X~_i' R_i^-1 X~_i; no n_i x n_i matrix but for listed patterns.
#pragma once
#include "families.hpp"
#include "rows.hpp"

namespace glimm {

enum Working { kIndependence = 0, kExchangeable = 1, kAr1 = 2, kBand = 3, kFilter = 4, kNested = 5 };

// A working correlation as what whitens a cluster, R_i^-1 = W_i'W_i.
struct Correlation {
  int kind = kIndependence;
  double alpha = 0.0;              // exchangeable, ar1; nested: inside an inner cluster
  double across = 0.0;             // nested: between inner clusters
  const double* place = nullptr;   // (n) time (ar1, band; null: 1, 2, ...) or inner cluster (nested), in the order of rows
  int order = 0;                   // band, filter: m
  const double* table = nullptr;   // band: correlations at distances 1..m; filter: m + 1 rows of m coefficients and 1 / sd
  const std::int32_t* pattern = nullptr;  // (K) which dense factor a cluster has, -1: by kind; null: all by kind
  const std::int64_t* first = nullptr;    // where a pattern's packed lower triangle of W begins in roots
  const double* roots = nullptr;
};

struct GeePass {
  Vec score, bread;                       // sum U_i (p), sum H_i (p x p)
  double quadratic = 0.0, log_det = 0.0;  // sum e_i'R_i^-1 e_i, sum log|R_i|, where asked for
};

// Rows must be ordered by cluster (and place). Results are added to `total`, block by block, so that batches of whole blocks of clusters
// give the bits of one call. pearson (n, ordered), scores (K x p) and curvatures (K x p x p) are filled where not null.
struct GeeOut { double *pearson = nullptr, *scores = nullptr, *curvatures = nullptr; bool determinants = false; };

void gee_pass(const Rows&, const Stage&, const double* beta, const Index* starts, Index clusters, const Correlation&, const GeeOut&, GeePass& total,
              int threads);

struct PairSums {
  double squares = 0.0;              // sum e^2
  double pairs = 0.0, n_pairs = 0.0; // all pairs of a cluster
  double next = 0.0, n_next = 0.0;   // pairs one unit of time apart
};

void pair_sums(const double* pearson, const Index* starts, Index clusters, const double* time, PairSums& total, int threads);

// Sums of e_j e_k and counts by distance in time, over the pairs of a cluster: for whole-number distances 1..max; added to sums and counts.
void lag_sums(const double* pearson, const Index* starts, Index clusters, const double* time, Index max_lag, double* sums, double* counts);

// The same by the pair of waves, j before k: sums and counts are (waves x waves), upper triangle.
void wave_sums(const double* pearson, const Index* starts, Index clusters, const std::int32_t* wave, Index waves, double* sums, double* counts);

// Sums and counts of pairs in one inner cluster, a run of equal `inner`: out = (sum, count), added to.
void inner_sums(const double* pearson, const Index* starts, Index clusters, const double* inner, double* out);

}  // namespace glimm
