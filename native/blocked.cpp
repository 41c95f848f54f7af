#include "blocked.hpp"
#include "dense.hpp"
namespace glimm {
bool blocked_cholesky(double* a, Index n, Index ld, int) { return cholesky(a, (int)n, (int)ld); }
void blocked_inverse(double* l, Index n, Index ld, int) {
  Vec inv = inverse_from_cholesky(l, (int)n, (int)ld);
  for (Index i = 0; i < n; ++i) for (Index j = 0; j <= i; ++j) l[i*ld+j] = inv[i*n+j];
}
}
