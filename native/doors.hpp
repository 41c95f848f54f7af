// What the doors to Python share: arrays in and out, rows with the arrays that they point into.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <optional>

#include "interrupt.hpp"
#include "rows.hpp"

namespace glimm {

namespace nb = nanobind;

using Doubles = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Singles = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Square = nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Integers = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Codes = nb::ndarray<const std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using MaybeDoubles = std::optional<Doubles>;
using Out = nb::ndarray<nb::numpy, double>;

static_assert(sizeof(Index) == sizeof(std::int64_t), "starts are passed as int64");

inline Out array(Vec values, std::vector<size_t> shape) {
  auto* held = new Vec(std::move(values));
  nb::capsule owner(held, [](void* p) noexcept { delete static_cast<Vec*>(p); });
  return Out(held->data(), shape.size(), shape.data(), owner);
}

inline Out array(Vec values) {
  const size_t n = values.size();
  return array(std::move(values), {n});
}

// Other Python threads run meanwhile, and Ctrl-C ends the call.
struct Unlocked {
  nb::gil_scoped_release release;
  Entered entered;
};

inline const double* pointer(const MaybeDoubles& a) { return a ? a->data() : nullptr; }
inline const Index* indices(const Integers& a) { return reinterpret_cast<const Index*>(a.data()); }

// Rows with the Python arrays that they point into.
struct HeldRows {
  Rows rows;
  std::vector<nb::object> held;

  HeldRows(Index n, int p, nb::list blocks, Doubles center, Doubles scale, nb::object y, nb::object size, nb::object offset, nb::object order) {
    rows.n = n;
    rows.p = p;
    for (nb::handle item : blocks) {
      auto block = nb::cast<nb::tuple>(item);
      const auto positions = nb::cast<Integers>(block[0]);
      const bool narrow = nb::isinstance<Singles>(block[1]);
      const float* single = narrow ? hold<Singles, float>(nb::borrow(block[1])) : nullptr;
      const double* values = narrow ? nullptr : hold<Doubles, double>(nb::borrow(block[1]));
      const std::int32_t* codes = hold<Codes, std::int32_t>(nb::borrow(block[2]));
      const std::int32_t* at_rows = hold<Codes, std::int32_t>(nb::borrow(block[3]));
      if (!codes) {
        const int at = static_cast<int>(positions.data()[0]);
        const double inverse_scale = 1.0 / scale.data()[at];
        if (at_rows) rows.sparse.push_back({at, at_rows, values, static_cast<Index>(nb::cast<Codes>(block[3]).shape(0)), inverse_scale});
        else rows.numeric.push_back({at, values, single, center.data()[at], inverse_scale});
        continue;
      }
      Indicator indicator;
      for (size_t k = 0; k < positions.shape(0); ++k) {
        indicator.positions.push_back(static_cast<int>(positions.data()[k]));
        indicator.inverse_scale.push_back(1.0 / scale.data()[positions.data()[k]]);
      }
      indicator.codes = codes;
      indicator.values = values;
      rows.indicators.push_back(std::move(indicator));
    }
    rows.y = hold<Doubles, double>(y);
    rows.size = hold<Doubles, double>(size);
    rows.offset = hold<Doubles, double>(offset);
    rows.order = hold<Integers, std::int64_t>(order);
  }

  template <class Array, class T> const T* hold(nb::object o) {
    if (o.is_none()) return nullptr;
    held.push_back(o);
    return nb::cast<Array>(o).data();
  }
};

inline Vec copy(const MaybeDoubles& a) { return a ? Vec(a->data(), a->data() + a->shape(0)) : Vec(); }

inline nb::object maybe(Vec v) { return v.empty() ? nb::none() : nb::cast(array(std::move(v))); }

inline nb::object maybe_square(Vec v) {
  if (v.empty()) return nb::none();
  const size_t k = static_cast<size_t>(std::lround(std::sqrt(static_cast<double>(v.size()))));
  return nb::cast(array(std::move(v), {k, k}));
}

void sparse_doors(nb::module_& m);
void krylov_doors(nb::module_& m);
void dense_doors(nb::module_& m);
void association_doors(nb::module_& m);
void gee_doors(nb::module_& m);
void levels_doors(nb::module_& m);
void parts_doors(nb::module_& m);

}  // namespace glimm
