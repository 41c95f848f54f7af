// The doors of responses with levels: rows, and passes over rows.
#include "levels.hpp"

#include <nanobind/stl/tuple.h>

#include "doors.hpp"

namespace glimm {
namespace {

size_t pairs(int m) { return static_cast<size_t>(m) * (m + 1) / 2; }

}  // namespace

void levels_doors(nb::module_& m) {
  m.def("level_jets", [](int link, Doubles y, MaybeDoubles size, Square eta) {
    const size_t n = y.shape(0), splits = eta.shape(0);
    const LevelStage stage{static_cast<int>(splits), link};
    Vec l(n), d1(splits * n), d2(pairs(stage.m) * n);
    level_jets(stage, static_cast<Index>(n), y.data(), pointer(size), eta.data(), l.data(), d1.data(), d2.data());
    return nb::make_tuple(array(std::move(l)), array(std::move(d1), {splits, n}), array(std::move(d2), {pairs(stage.m), n}));
  }, nb::arg("link"), nb::arg("y"), nb::arg("size").none(), nb::arg("eta"));
  m.def("level_information", [](int link, MaybeDoubles size, Square eta) {
    const size_t n = eta.shape(1);
    const LevelStage stage{static_cast<int>(eta.shape(0)), link};
    Vec w(pairs(stage.m) * n);
    level_information(stage, static_cast<Index>(n), pointer(size), eta.data(), w.data());
    return array(std::move(w), {pairs(stage.m), n});
  }, nb::arg("link"), nb::arg("size").none(), nb::arg("eta"));
  m.def("level_probabilities", [](int link, Square eta) {
    const size_t n = eta.shape(1), splits = eta.shape(0);
    Vec pi(n * (splits + 1)), relative(n * (splits + 1) * splits);
    level_probabilities({static_cast<int>(splits), link}, static_cast<Index>(n), eta.data(), pi.data(), relative.data());
    return nb::make_tuple(array(std::move(pi), {n, splits + 1}), array(std::move(relative), {n, splits + 1, splits}));
  }, nb::arg("link"), nb::arg("eta"));
  m.def("level_pass", [](const HeldRows& r, int link, int splits, Doubles parameters, bool expected, int threads) {
    LevelPass out;
    {
      const Unlocked unlocked;
      out = level_pass(r.rows, {splits, link}, parameters.data(), expected, threads);
    }
    const size_t size = out.score.size();
    return nb::make_tuple(out.loglik, array(std::move(out.score)), array(std::move(out.information), {size, size}));
  }, nb::arg("rows"), nb::arg("link"), nb::arg("splits"), nb::arg("parameters"), nb::arg("expected"), nb::arg("threads"));
}

}  // namespace glimm
