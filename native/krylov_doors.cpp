// Python's door to mixed models whose crossed terms are too large to be factored.
#include "krylov_laplace.hpp"
#include "krylov_lmm.hpp"
#include "python_stage.hpp"
#include "random_doors.hpp"

namespace glimm {
namespace {

struct KrylovLinearDoor {
  HeldTerms held;
  KrylovLinear model;
  KrylovLinearDoor(const HeldRows& rows, nb::list terms, int groups, std::uint64_t seed, int threads, [[maybe_unused]] const Entered& while_built = Entered())
      : held(terms), model(rows.rows, held.terms, groups, seed, threads) {}
};

struct KrylovLaplaceDoor {
  HeldTerms held;
  KrylovLaplace model;
  KrylovLaplaceDoor(const HeldRows& rows, nb::list terms, const MaybeDoubles& trials, const MaybeDoubles& weights, int groups, std::uint64_t seed, int threads,
              [[maybe_unused]] const Entered& while_built = Entered())
      : held(terms), model(rows.rows, held.terms, copy(trials), copy(weights), groups, seed, threads) {}
};

Krylovian how_of(const Doubles& tolerances, int exact) { return {tolerances.data()[0], tolerances.data()[1], exact > 0, exact > 1, exact >= 0}; }

// What both models answer of their system.
template <class Door, class Class> void system_of(Class& c) {
  c.def("recurrences", [](Door& self) {
     nb::list out;
     for (const Recurrence& r : self.model.system().recurrences()) {
       const size_t steps = r.steps;
       out.append(nb::make_tuple(nb::cast(array(Vec(r.alpha), {steps, kWide})), nb::cast(array(Vec(r.beta), {steps, kWide}))));
     }
     return out;
   })
      .def("probe", [](Door& self, double tol) {
        const Unlocked unlocked;
        return self.model.system().probe(tol);
      })
      .def("redraw", [](Door& self, int groups, std::uint64_t seed) { self.model.system().redraw(groups, seed); })
      .def("remainder", [](Door& self) {
        const Unlocked unlocked;
        return self.model.system().remainder();
      })
      .def("square_norm", [](Door& self) {
        const Unlocked unlocked;
        return self.model.system().square_norm();
      })
      .def("inverse_blocks", [](Door& self, bool exact) {
        const Entered entered;
        Krylov& f = self.model.system();
        if (exact) f.invert();
        return by_term(f, self.held.terms, f.inverse_blocks(exact), [](int q) { return q * q; });
      })
      .def("release", [](Door& self) { self.model.system().release(); })
      .def("shape", [](Door& self) {
        Krylov& f = self.model.system();
        return nb::make_tuple(f.nodes(), f.scalars(), f.rest());
      })
      .def("most_steps", [](Door& self) { return self.model.system().most_steps(); });
}

}  // namespace

void krylov_doors(nb::module_& m) {
  nb::class_<KrylovLinearDoor> linear(m, "KrylovLinear");
  linear.def(nb::init<const HeldRows&, nb::list, int, std::uint64_t, int>(), nb::arg("rows"), nb::arg("terms"), nb::arg("groups"), nb::arg("seed"), nb::arg("threads"),
             nb::keep_alive<1, 2>())
      .def("evaluate", [](KrylovLinearDoor& self, Doubles lambda, bool reml, Integers at, Integers size, Doubles values, int order, Doubles tolerances, int exact) {
        SparseEvaluation e;
        const Directions d = directions_of(at, size, values);
        {
          const Unlocked unlocked;
          e = self.model.evaluate(lambda.data(), reml, d, order, how_of(tolerances, exact));
        }
        return nb::make_tuple(e.ok, e.deviance, e.r2, maybe(std::move(e.beta)), maybe_square(std::move(e.information)), maybe(std::move(e.gradient)),
                              maybe_square(std::move(e.hessian)), maybe(std::move(e.pulled)),
                              e.u.empty() ? nb::list() : by_term(self.model.system(), self.held.terms, e.u, [](int q) { return q; }));
      })
      .def("moments", [](KrylovLinearDoor& self) { return array(self.model.moments()); })
      .def("respond", [](KrylovLinearDoor& self, Doubles y) { self.model.respond(y.data()); })
      .def("removed", [](KrylovLinearDoor& self) { return nb::make_tuple(self.model.fixed().unit(), self.model.fixed().before()); });
  system_of<KrylovLinearDoor>(linear);

  nb::class_<KrylovLaplaceDoor> laplace(m, "KrylovLaplace");
  laplace.def(nb::init<const HeldRows&, nb::list, MaybeDoubles, MaybeDoubles, int, std::uint64_t, int>(), nb::arg("rows"), nb::arg("terms"),
              nb::arg("trials").none(), nb::arg("weights").none(), nb::arg("groups"), nb::arg("seed"), nb::arg("threads"), nb::keep_alive<1, 2>())
      .def("evaluate", [](KrylovLaplaceDoor& self, nb::object family, nb::object link, Doubles beta, Doubles lambda, Doubles psi, Integers at, Integers size,
                          Doubles values, int order, double tol, Doubles tolerances, int exact) {
        LaplaceEvaluation e;
        const Directions d = directions_of(at, size, values);
        const HeldStage stage(family, link, psi);
        {
          const Unlocked unlocked;
          e = self.model.evaluate(stage, beta.data(), lambda.data(), d, order, tol, how_of(tolerances, exact));
        }
        return nb::make_tuple(e.ok, e.deviance, maybe(std::move(e.gradient)), maybe_square(std::move(e.hessian)),
                              e.u.empty() ? nb::list() : by_term(self.model.system(), self.held.terms, e.u, [](int q) { return q; }));
      })
      .def("moments", [](KrylovLaplaceDoor& self, nb::object family, nb::object link, Doubles beta, Doubles psi) {
        const HeldStage stage(family, link, psi);
        Vec out;
        {
          const Unlocked unlocked;  // threads of a pool call a user's family
          out = self.model.moments(stage, beta.data());
        }
        return array(std::move(out));
      });
  system_of<KrylovLaplaceDoor>(laplace);
}

}  // namespace glimm
