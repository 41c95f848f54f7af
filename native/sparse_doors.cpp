// Python's door to mixed models of any design.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "python_stage.hpp"
#include "sparse_laplace.hpp"
#include "sparse_lmm.hpp"

namespace glimm {
namespace {

// Random terms with the Python arrays that they point into: tuples (refs, levels, z, place, pattern, sizes).
struct HeldTerms {
  std::vector<RandomColumns> terms;
  std::vector<nb::object> held;
  explicit HeldTerms(nb::list given) {
    for (nb::handle item : given) {
      auto t = nb::cast<nb::tuple>(item);
      RandomColumns c;
      c.refs = hold<Codes, std::int32_t>(nb::borrow(t[0]));
      c.levels = nb::cast<Index>(t[1]);
      c.z = hold<Square, double>(nb::borrow(t[2]));
      c.place = hold<Codes, std::int32_t>(nb::borrow(t[3]));
      c.pattern = hold<Codes, std::int32_t>(nb::borrow(t[4]));
      const auto sizes = nb::cast<Integers>(t[5]);
      for (size_t i = 0; i < sizes.shape(0); ++i) c.sizes.push_back(static_cast<int>(sizes.data()[i]));
      terms.push_back(c);
    }
  }
  template <class Array, class T> const T* hold(nb::object o) {
    if (o.is_none()) return nullptr;
    held.push_back(o);
    return nb::cast<Array>(o).data();
  }
};

Directions directions_of(const Integers& at, const Integers& size, const Doubles& values) {
  Directions d;
  const double* next = values.data();
  for (size_t k = 0; k < at.shape(0); ++k) {
    d.at.push_back(at.data()[k]);
    d.size.push_back(size.data()[k]);
    d.values.push_back(next);
    next += size.data()[k];
  }
  return d;
}

// What is kept by node, by term: levels one after the other, each with `of(node)` values.
template <class Of> nb::list by_term(const Elimination& e, const std::vector<RandomColumns>& terms, const Vec& values, Of of) {
  std::vector<Index> at(e.nodes() + 1, 0);
  for (Index j = 0; j < e.nodes(); ++j) at[j + 1] = at[j] + of(e.q(static_cast<std::int32_t>(j)));
  nb::list out;
  for (size_t k = 0; k < terms.size(); ++k) {
    Vec v;
    for (Index l = 0; l < terms[k].levels; ++l) {
      const std::int32_t j = e.node(static_cast<int>(k), l);
      v.insert(v.end(), values.begin() + at[j], values.begin() + at[j + 1]);
    }
    out.append(nb::cast(array(std::move(v))));
  }
  return out;
}

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
        SparseLaplaceEvaluation e;
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
