// One dispersion given the means: log L(phi) = S / phi + C(phi), S free of phi, C the sum of the rows' constants.
#pragma once
#include "families.hpp"

namespace glimm {

// C and its first two derivatives in log phi; phi and the power of tweedie in the stage's psi. weights may be null (all 1).
// Gamma, inverse gaussian and tweedie; dispersion phi / weight in a row.
struct DispersionTerms { double value, slope, curvature; };

DispersionTerms dispersion_terms(const Stage&, Index n, const double* y, const double* weights, int threads);

// Sums over rows of size times unit deviance and of squared Pearson residuals (0 in a row whose mean leaves no variance).
struct RowSums { double deviance, chi2; };

RowSums row_sums(const Stage&, Index n, const double* y, const double* size, const double* mu, int threads);

}  // namespace glimm
