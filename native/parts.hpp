// Families in several linear predictors, row by row: mean, zero inflation (logit of pi), and the family's own parameter (psi).
//
// f(y) = pi 1{y = 0} + (1 - pi) g(y; mu, psi); without zero inflation f = g.
#pragma once
#include "families.hpp"

namespace glimm {

// zeta (logit pi) is null without zero inflation, psi where the family has no parameter; both have a number for each row.
// m predictors, mean | zero | psi, those that are there: l (n) complete log-densities, d1 m runs of n, d2 m (m + 1) / 2 runs, the lower
// triangle. size (null: 1) divides the dispersion of gaussian and gamma, and multiplies the log-density of other families.
void parts_jets(const Stage&, Index n, const double* y, const double* size, const double* eta, const double* zeta, const double* psi,
                double* l, double* d1, double* d2, int threads);

}  // namespace glimm
