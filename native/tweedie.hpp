// Tweedie, 1 < p < 2: log a(y; phi, p) = log sum_j W_j - log y, log W_j = j c - log Gamma(j + 1) - log Gamma(j b),
// b = (2 - p) / (p - 1), c = b log(y / (p - 1)) - (1 + b) log phi - log(2 - p); its derivatives are averages over the terms.
// A peak of width s = sqrt(j / (1 + b)) is summed in steps of s / 4: entire in j and next to normal, it then has an error near exp(-316).
//
// Source: Dunn and Smyth (2005), Statistics and Computing 15, 267-280: the terms peak at j = y^(2-p) / (phi (2 - p)).
#pragma once
#include <algorithm>

#include "special.hpp"

namespace glimm {

// The peak beyond which a row is not worked out: the dispersion runs to zero, as where the predictors fit every row exactly.
constexpr double kMostTerms = 1e7;

struct TweedieSeries { double value, by_log_phi, by_p; };

inline TweedieSeries tweedie_series(double y, double phi, double p, bool derivatives) {
  constexpr double reach = 37.0;  // terms below e^-37 of the largest do not count
  const double b = (2.0 - p) / (p - 1.0), b1 = -1.0 / ((p - 1.0) * (p - 1.0));
  const double ratio = std::log(y / (p - 1.0)) - std::log(phi);
  const double c = b * ratio - std::log(phi) - std::log(2.0 - p);
  const double c1 = b1 * ratio - b / (p - 1.0) + 1.0 / (2.0 - p);
  const double top = std::max(1.0, std::round(std::exp((2.0 - p) * std::log(y)) / (phi * (2.0 - p))));
  const auto term = [&](double j) { return j * c - log_gamma(j + 1.0) - log_gamma(j * b); };
  if (!(top < kMostTerms)) return {std::nan(""), std::nan(""), std::nan("")};
  const double largest = term(top);
  if (!std::isfinite(largest)) return {std::nan(""), std::nan(""), std::nan("")};
  const double step = std::max(1.0, std::floor(0.25 * std::sqrt(top / (1.0 + b))));
  double sum = 0.0, mean = 0.0, slope = 0.0;
  const auto add = [&](double j) {
    const double w = term(j) - largest;
    if (w < -reach) return false;
    const double e = std::exp(w);
    sum += e;
    if (derivatives) {
      mean += e * j;
      slope += e * j * (c1 - b1 * digamma(j * b));
    }
    return true;
  };
  for (double j = top; add(j); j += step) {}
  for (double j = top - step; j >= 1.0 && add(j); j -= step) {}
  return {largest + std::log(step * sum) - std::log(y), -(1.0 + b) * mean / sum, slope / sum};
}

}  // namespace glimm
