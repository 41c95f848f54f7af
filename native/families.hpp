// Families and links, written once: l(y, eta; psi) per unit of size, with derivatives in eta to third order.
//
// A row's log-density is size * l(y, eta; psi) + terms free of eta. Arrays of derivatives are predictor-major:
// for m linear predictors d1 has m runs of n, d2 m(m+1)/2, d3 m(m+1)(m+2)/6 (lower triangles); every family here has m = 1.
// psi are the family's own parameters: log sigma (gaussian), log phi (gamma, inverse gaussian, tweedie; tweedie also logit(p - 1)),
// the number p of a quasi family with variance phi mu^p after its log phi,
// log k (negative binomial, variance mu + mu^2 / k), log alpha (negative binomial 1, variance mu (1 + alpha)), log precision (beta).
#pragma once
#include <vector>

#include "vmath.hpp"

namespace glimm {

enum Family {
  kGaussian = 0, kBinomial = 1, kPoisson = 2, kGamma = 3, kInverseGaussian = 4, kNegativeBinomial = 5, kNegativeBinomial1 = 6, kBeta = 7, kTweedie = 8,
  kOwn = 9, kQuasi = 10
};
enum Link { kIdentity = 0, kLog = 1, kLogit = 2, kProbit = 3, kCloglog = 4, kLoglog = 5, kCauchit = 6, kLogc = 7, kPower = 8, kOddsPower = 9 };

constexpr int kMostPsi = 4;

// A user's family: log-density and derivatives in mu for a block of rows, and their derivatives in psi[which].
struct OwnFamily {
  int n_psi = 0;
  virtual ~OwnFamily() = default;
  virtual void jets(const double* psi, Index n, const double* y, const double* mu, double* l, double* g1, double* g2, double* g3) const = 0;
  virtual void psi_jets(const double* psi, int which, Index n, const double* y, const double* mu, double* l, double* g1, double* g2) const = 0;
  virtual void variance(const double* psi, Index n, const double* mu, double* v) const = 0;
};

struct Stage {
  int family, link;
  double power = 1.0;  // of the links power and odds_power
  double psi[kMostPsi] = {};
  const OwnFamily* own = nullptr;
  int predictors() const { return 1; }
  int n_psi() const {
    return own ? own->n_psi : family == kTweedie || family == kQuasi ? 2 : family == kBinomial || family == kPoisson ? 0 : 1;
  }
};

// size may be null (all 1); l and d3 may be null. A value outside the family's range gives NaN.
void stage_jets(const Stage&, Index n, const double* y, const double* size, const double* eta,
                double* l, double* d1, double* d2, double* d3);

// l, d1 and the expected information in eta (negative binomial 1, a user's family: at least 1 / variance).
void stage_working(const Stage&, Index n, const double* y, const double* size, const double* eta,
                   double* l, double* d1, double* w);

// Derivatives in psi[which] of l, d1 and of -d2; the last two may be null.
void stage_psi(const Stage&, int which, Index n, const double* y, const double* size, const double* eta,
               double* l_psi, double* d1_psi, double* w_psi);

// Rows x nodes (eta row-major, `nodes` columns): sums over rows of l for each node, and d1 (unless null) for each row and node.
void stage_nodes(const Stage&, Index rows, int nodes, const double* y, const double* size, const double* eta,
                 double* l_sum, double* d1, double* scratch);

// Whether l is concave in eta for every response.
bool log_concave(const Stage&);

// Terms of the log-density that are free of eta, summed: depends on psi only. counted: weights count equal rows, so that they multiply
// the log-density of every family and divide no dispersion.
double stage_constant(const Stage&, Index n, const double* y, const double* trials, const double* weights, bool counted = false);

// Their derivatives in each psi by row, added up: d[which * n + i] += ...
void add_constant_psi(const Stage&, Index n, const double* y, const double* size, double* d, bool counted = false);

// Sums over rows of the derivatives in each psi, terms free of eta included; d1_psi (n_psi runs of n) may be null.
std::vector<double> psi_slopes(const Stage&, Index n, const double* y, const double* size, const double* eta, double* d1_psi);

// (n_psi, n_psi) minus the derivatives of psi_slopes, by differences
std::vector<double> psi_curvature(const Stage&, Index n, const double* y, const double* size, const double* eta, double* d1_psi);

// mu = h(eta) with derivatives to third order (any of them may be null).
void link_mean(int link, double power, Index n, const double* eta, double* mu, double* m1, double* m2, double* m3);

// eta = g(mu).
void link_eta(int link, double power, Index n, const double* mu, double* eta);

// Variance function and unit deviance by row; psi where the family has parameters other than a dispersion.
void family_variance(const Stage&, Index n, const double* mu, double* v);
void family_deviance(const Stage&, Index n, const double* y, const double* mu, double* d);

}  // namespace glimm
