// A family and a link as Python gives them: numbers, or a user's own functions.
#pragma once
#include <algorithm>
#include <initializer_list>
#include <memory>

#include "doors.hpp"
#include "families.hpp"

namespace glimm {

// A user's family: methods jets(y, mu, psi), psi_jets(which, y, mu, psi) and variance(mu, psi) that return arrays.
struct PythonFamily final : OwnFamily {
  nb::object family;
  explicit PythonFamily(nb::handle f) : family(nb::borrow(f)) { n_psi = nb::cast<int>(family.attr("n_psi")); }
  ~PythonFamily() override {
    nb::gil_scoped_acquire acquire;
    family.reset();
  }

  static Out given(const double* from, Index n) { return array(Vec(from, from + n)); }
  static void take(nb::handle answer, Index n, std::initializer_list<double*> to) {
    size_t k = 0;
    for (double* out : to) {
      const auto a = nb::cast<Doubles>(answer[k++]);
      std::copy(a.data(), a.data() + n, out);
    }
  }
  void jets(const double* psi, Index n, const double* y, const double* mu, double* l, double* g1, double* g2, double* g3) const override {
    nb::gil_scoped_acquire acquire;
    take(family.attr("jets")(given(y, n), given(mu, n), given(psi, n_psi)), n, {l, g1, g2, g3});
  }
  void psi_jets(const double* psi, int which, Index n, const double* y, const double* mu, double* l, double* g1, double* g2) const override {
    nb::gil_scoped_acquire acquire;
    take(family.attr("psi_jets")(which, given(y, n), given(mu, n), given(psi, n_psi)), n, {l, g1, g2});
  }
  void variance(const double* psi, Index n, const double* mu, double* v) const override {
    nb::gil_scoped_acquire acquire;
    take(nb::make_tuple(family.attr("variance")(given(mu, n), given(psi, n_psi))), n, {v});
  }
};

// A family by number or a user's own; a link by number, or (number, its own number).
struct HeldStage {
  std::unique_ptr<PythonFamily> own;
  Stage stage;
  // psi: the last n_psi of values
  HeldStage(nb::handle family, nb::handle link, const double* values, size_t count) {
    if (nb::isinstance<nb::int_>(family)) {
      stage.family = nb::cast<int>(family);
    } else {
      own = std::make_unique<PythonFamily>(family);
      stage.family = kOwn;
      stage.own = own.get();
    }
    if (nb::isinstance<nb::int_>(link)) {
      stage.link = nb::cast<int>(link);
    } else {
      stage.link = nb::cast<int>(link[0]);
      stage.power = nb::cast<double>(link[1]);
    }
    const size_t n = std::min<size_t>(stage.n_psi(), kMostPsi);
    if (values && count >= n) std::copy(values + count - n, values + count, stage.psi);
  }
  HeldStage(nb::handle family, nb::handle link, const Doubles& psi) : HeldStage(family, link, psi.data(), psi.shape(0)) {}
  operator const Stage&() const { return stage; }
};

}  // namespace glimm
