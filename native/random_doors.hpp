// Random terms from Python, and what is kept by node brought back to terms.
#pragma once
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "doors.hpp"
#include "nodes.hpp"

namespace glimm {

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

inline Directions directions_of(const Integers& at, const Integers& size, const Doubles& values) {
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
template <class Of> nb::list by_term(const Nodes& e, const std::vector<RandomColumns>& terms, const Vec& values, Of of) {
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

}  // namespace glimm
