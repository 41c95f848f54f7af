// Python's door to mixed models of any design.
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <nanobind/stl/pair.h>

#include "python_stage.hpp"
#include "random_doors.hpp"
#include "sparse_laplace.hpp"
#include "sparse_lmm.hpp"

namespace glimm {
namespace {

struct LinearDoor {
  HeldTerms held;
  SparseLinear model;
  LinearDoor(const HeldRows& rows, nb::list terms, int threads, [[maybe_unused]] const Entered& while_built = Entered()) : held(terms), model(rows.rows, held.terms, threads) {}
};

struct LaplaceDoor {
  HeldTerms held;
  SparseLaplace model;
  LaplaceDoor(const HeldRows& rows, nb::list terms, const MaybeDoubles& trials, const MaybeDoubles& weights, int threads, [[maybe_unused]] const Entered& while_built = Entered())
      : held(terms), model(rows.rows, held.terms, copy(trials), copy(weights), threads) {}
};

nb::tuple shape_of(const Elimination& e) { return nb::make_tuple(e.nodes(), e.scalars(), e.tail()); }

}  // namespace

void sparse_doors(nb::module_& m) {
  // Products of the sparse part of a factorisation, and effects in the dense block at its end.
  m.def("elimination_cost", [](Index n, nb::list terms) {
    const HeldTerms held(terms);
    const Unlocked unlocked;
    const Elimination plan(n, held.terms, 0, 1, true);
    return std::pair<double, Index>(plan.products(), plan.tail());
  }, nb::arg("n"), nb::arg("terms"));
  nb::class_<LinearDoor>(m, "SparseLinear")
      .def(nb::init<const HeldRows&, nb::list, int>(), nb::arg("rows"), nb::arg("terms"), nb::arg("threads"), nb::keep_alive<1, 2>())
      .def("evaluate", [](LinearDoor& self, Doubles lambda, bool reml, Integers at, Integers size, Doubles values, int order) {
        SparseEvaluation e;
        const Directions d = directions_of(at, size, values);
        {
          const Unlocked unlocked;
          e = self.model.evaluate(lambda.data(), reml, d, order);
        }
        return nb::make_tuple(e.ok, e.deviance, e.r2, maybe(std::move(e.beta)), maybe_square(std::move(e.information)), maybe(std::move(e.gradient)),
                              maybe_square(std::move(e.hessian)), maybe(std::move(e.pulled)),
                              e.u.empty() ? nb::list() : by_term(self.model.elimination(), self.held.terms, e.u, [](int q) { return q; }));
      })
      .def("inverse_blocks", [](LinearDoor& self) {
        const Entered entered;
        return by_term(self.model.elimination(), self.held.terms, self.model.inverse_blocks(), [](int q) { return q * q; });
      })
      .def("moments", [](LinearDoor& self) { return array(self.model.moments()); })
      .def("respond", [](LinearDoor& self, Doubles y) { self.model.respond(y.data()); })
      .def("removed", [](LinearDoor& self) { return nb::make_tuple(self.model.fixed().unit(), self.model.fixed().before()); })
      .def("shape", [](LinearDoor& self) { return shape_of(self.model.elimination()); });

  nb::class_<LaplaceDoor>(m, "SparseLaplace")
      .def(nb::init<const HeldRows&, nb::list, MaybeDoubles, MaybeDoubles, int>(), nb::arg("rows"), nb::arg("terms"), nb::arg("trials").none(),
           nb::arg("weights").none(), nb::arg("threads"), nb::keep_alive<1, 2>())
      .def("evaluate", [](LaplaceDoor& self, nb::object family, nb::object link, Doubles beta, Doubles lambda, Doubles psi, Integers at, Integers size, Doubles values,
                          int order, double tol) {
        LaplaceEvaluation e;
        const Directions d = directions_of(at, size, values);
        const HeldStage stage(family, link, psi);
        {
          const Unlocked unlocked;
          e = self.model.evaluate(stage, beta.data(), lambda.data(), d, order, tol);
        }
        return nb::make_tuple(e.ok, e.deviance, maybe(std::move(e.gradient)), maybe_square(std::move(e.hessian)),
                              e.u.empty() ? nb::list() : by_term(self.model.elimination(), self.held.terms, e.u, [](int q) { return q; }));
      })
      .def("inverse_blocks", [](LaplaceDoor& self) {
        const Entered entered;
        return by_term(self.model.elimination(), self.held.terms, self.model.inverse_blocks(), [](int q) { return q * q; });
      })
      .def("moments", [](LaplaceDoor& self, nb::object family, nb::object link, Doubles beta, Doubles psi) {
        const HeldStage stage(family, link, psi);
        Vec out;
        {
          const Unlocked unlocked;  // threads of a pool call a user's family
          out = self.model.moments(stage, beta.data());
        }
        return array(std::move(out));
      })
      .def("leading", [](LaplaceDoor& self) { return self.model.leading(); })
      .def("draws", [](LaplaceDoor& self, Square e) {
        const size_t count = e.shape(0), s = e.shape(1);
        const Entered entered;
        const Vec u = self.model.draws(e.data(), static_cast<Index>(count));
        const Elimination& f = self.model.elimination();
        const Index after = self.held.terms[self.model.leading()].levels;
        const Index first = f.first(static_cast<std::int32_t>(after));
        Vec squares(count, 0.0);
        nb::list out;
        for (size_t d = 0; d < count; ++d) {
          for (size_t i = first; i < s; ++i) squares[d] += e.data()[d * s + i] * e.data()[d * s + i];
          out.append(by_term(f, self.held.terms, Vec(u.begin() + d * s, u.begin() + (d + 1) * s), [](int q) { return q; }));
        }
        return nb::make_tuple(out, array(std::move(squares)), f.half_logdet_from(static_cast<std::int32_t>(after)));
      })
      .def("log_ratios", [](LaplaceDoor& self, nb::object family, nb::object link, Doubles beta, Doubles lambda, Doubles psi, Square draws) {
        const HeldStage stage(family, link, psi);
        Vec out;
        {
          const Unlocked unlocked;
          out = self.model.log_ratios(stage, beta.data(), lambda.data(), draws.data(), static_cast<Index>(draws.shape(0)));
        }
        return array(std::move(out));
      })
      .def("shape", [](LaplaceDoor& self) { return shape_of(self.model.elimination()); });
}

}  // namespace glimm
