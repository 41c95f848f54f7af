// Terms of a row's log-density that are free of its mean, with their derivatives in the family's own parameter.
#pragma once
#include "responses.hpp"

namespace glimm {

// Of one row at size w, which stands inside the terms of a dispersion model and multiplies those of other families.
double row_constant(const Stage&, const Own&, double y, double w);

// Its first and second derivative in psi[0]; 0 for tweedie, whose series has its own.
double row_constant_slope(const Stage&, const Own&, double y, double w);
double row_constant_curvature(const Stage&, const Own&, double y, double w);

}  // namespace glimm
