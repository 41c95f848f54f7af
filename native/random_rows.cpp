// d(Lambda Lambda') = dLambda Lambda' + Lambda dLambda'.
#include "random_rows.hpp"

namespace glimm {

void moved_covariance(const Elimination& e, const Directions& d, int k, const double* lambda, const double* x, double* out) {
  const Index low = d.at[k], high = low + d.size[k];
  std::fill(out, out + e.scalars(), 0.0);
  Vec left, right;
  for (std::int32_t j = 0; j < static_cast<std::int32_t>(e.nodes()); ++j) {
    const Index at = e.lambda_at(e.lambda_of(j));
    if (at < low || at >= high) continue;
    const int q = e.q(j);
    const double *m = lambda + at, *dm = d.values[k] + (at - low), *xj = x + e.first(j);
    double* oj = out + e.first(j);
    if (q == 1) {
      oj[0] = 2.0 * dm[0] * m[0] * xj[0];
      continue;
    }
    left.assign(q, 0.0);
    right.assign(q, 0.0);
    for (int a = 0; a < q; ++a)
      for (int c = 0; c < q; ++c) {
        left[c] += m[a * q + c] * xj[a];
        right[c] += dm[a * q + c] * xj[a];
      }
    for (int a = 0; a < q; ++a)
      for (int c = 0; c < q; ++c) oj[a] += dm[a * q + c] * left[c] + m[a * q + c] * right[c];
  }
}

void add_outer_by_lambda(const Elimination& e, double scale, const double* x, const double* y, double* out) {
  for (std::int32_t j = 0; j < static_cast<std::int32_t>(e.nodes()); ++j) {
    const int q = e.q(j);
    double* to = out + e.lambda_at(e.lambda_of(j));
    const double *xj = x + e.first(j), *yj = y + e.first(j);
    for (int a = 0; a < q; ++a)
      for (int c = 0; c < q; ++c) to[a * q + c] += scale * xj[a] * yj[c];
  }
}

}  // namespace glimm
