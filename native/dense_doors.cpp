// Python's doors to dense matrices: factors, inverses, solutions of positive definite ones.
#include "blocked.hpp"
#include "dense.hpp"
#include "doors.hpp"

namespace glimm {
namespace {

// The lower triangle of the first n columns, zero above; rows are ld long.
Out lower_triangle(const Vec& rows, size_t n, size_t ld) {
  Vec out(n * n, 0.0);
  for (size_t i = 0; i < n; ++i) std::copy(&rows[i * ld], &rows[i * ld] + i + 1, &out[i * n]);
  return array(std::move(out), {n, n});
}

}  // namespace

void dense_doors(nb::module_& m) {
  m.def("cholesky", [](Square a, int threads) {
    Vec l(a.data(), a.data() + a.size());
    bool ok = false;
    {
      const Unlocked unlocked;
      ok = blocked_cholesky(l.data(), static_cast<Index>(a.shape(0)), static_cast<Index>(a.shape(1)), threads);
    }
    return nb::make_tuple(ok, lower_triangle(l, a.shape(0), a.shape(1)));
  });
  m.def("spd_inverse", [](Square l, int threads) {
    const size_t n = l.shape(0), ld = l.shape(1);
    Vec z(l.data(), l.data() + l.size()), out(n * n);
    {
      const Unlocked unlocked;
      blocked_inverse(z.data(), static_cast<Index>(n), static_cast<Index>(ld), threads);
    }
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j <= i; ++j) out[i * n + j] = out[j * n + i] = z[i * ld + j];
    return array(std::move(out), {n, n});
  });
  m.def("solve_positive", [](Square l, Doubles b) {
    const int n = static_cast<int>(l.shape(0)), ld = static_cast<int>(l.shape(1));
    Vec x(b.data(), b.data() + n);
    solve_lower(l.data(), n, ld, x.data());
    solve_lower_t(l.data(), n, ld, x.data());
    return array(std::move(x));
  });
  m.def("positive_solve", [](Square a, Doubles b, double smallest) {
    Vec x(b.data(), b.data() + b.shape(0));
    const bool ok = positive_solve(a.data(), static_cast<int>(a.shape(0)), static_cast<int>(a.shape(1)), smallest, x.data());
    return nb::make_tuple(ok, array(std::move(x)));
  });
}

}  // namespace glimm
