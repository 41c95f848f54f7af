// Python's door to families in several linear predictors.
#include "parts.hpp"
#include "python_stage.hpp"

namespace glimm {

void parts_doors(nb::module_& m) {
  m.def("parts_jets", [](int family, nb::object link, Doubles y, MaybeDoubles size, Doubles eta, MaybeDoubles zero, MaybeDoubles psi, int threads) {
    const size_t n = y.shape(0), m = 1 + (zero ? 1 : 0) + (psi ? 1 : 0), pairs = m * (m + 1) / 2;
    const HeldStage stage(nb::int_(family), link, nullptr, 0);
    Vec l(n), d1(m * n), d2(pairs * n);
    {
      const Unlocked unlocked;
      parts_jets(stage, static_cast<Index>(n), y.data(), pointer(size), eta.data(), pointer(zero), pointer(psi), l.data(), d1.data(), d2.data(), threads);
    }
    return nb::make_tuple(array(std::move(l)), array(std::move(d1), {m, n}), array(std::move(d2), {pairs, n}));
  }, nb::arg("family"), nb::arg("link"), nb::arg("y"), nb::arg("size").none(), nb::arg("eta"), nb::arg("zero").none(), nb::arg("psi").none(),
     nb::arg("threads"));
}

}  // namespace glimm
