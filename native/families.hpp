// Families and links, written once: l(y, eta; psi) per unit of size, with derivatives in eta to third order.
//
// A row's log-density is size * l(y, eta; psi) + terms free of eta. Arrays of derivatives are predictor-major:
// for m linear predictors d1 has m runs of n, d2 m(m+1)/2, d3 m(m+1)(m+2)/6 (lower triangles); every family here has m = 1.
// psi is the log of the family's own parameter (gaussian: log sigma).
#pragma once
#include "vmath.hpp"

namespace glimm {

enum Family { kGaussian = 0, kBinomial = 1, kPoisson = 2 };
enum Link { kIdentity = 0, kLog = 1, kLogit = 2, kProbit = 3, kCloglog = 4 };

struct Stage {
  int family, link;
  double psi = 0.0;
  int predictors() const { return 1; }
  bool has_psi() const { return family == kGaussian; }
};

// size may be null (all 1); l and d3 may be null. A value outside the family's range gives NaN.
void stage_jets(const Stage&, Index n, const double* y, const double* size, const double* eta,
                double* l, double* d1, double* d2, double* d3);

// l, d1 and the expected information in eta.
void stage_working(const Stage&, Index n, const double* y, const double* size, const double* eta,
                   double* l, double* d1, double* w);

// Derivatives in psi of l, d1 and of -d2.
void stage_psi(const Stage&, Index n, const double* y, const double* size, const double* eta,
               double* l_psi, double* d1_psi, double* w_psi);

// Rows x nodes (eta row-major, `nodes` columns): sums over rows of l for each node, and d1 (unless null) for each row and node.
void stage_nodes(const Stage&, Index rows, int nodes, const double* y, const double* size, const double* eta,
                 double* l_sum, double* d1, double* scratch);

// Terms of the log-density that are free of eta, summed: depends on psi only.
double stage_constant(const Stage&, Index n, const double* y, const double* trials, const double* weights);

// mu = h(eta) with derivatives to third order (any of them may be null).
void link_mean(int link, Index n, const double* eta, double* mu, double* m1, double* m2, double* m3);

// eta = g(mu).
void link_eta(int link, Index n, const double* mu, double* eta);

// Variance function and unit deviance by row.
void family_variance(int family, Index n, const double* mu, double* v);
void family_deviance(int family, Index n, const double* y, const double* mu, double* d);

}  // namespace glimm
