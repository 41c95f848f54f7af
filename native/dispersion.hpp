// One dispersion given the means: log L(phi) = S / phi + C(phi), S free of phi, C the sum of the rows' constants.
#pragma once
#include "families.hpp"

namespace glimm {

// C and its first two derivatives in log phi; phi and the power of tweedie in the stage's psi. weights may be null (all 1).
// Added to those of the rows before, which end with a block. Gamma, inverse gaussian and tweedie; dispersion phi / weight in a row.
struct DispersionTerms { double value, slope, curvature; };

DispersionTerms dispersion_terms(const Stage&, Index n, const double* y, const double* weights, const DispersionTerms& before, int threads);

}  // namespace glimm
