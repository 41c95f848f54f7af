// The doors of GEE: passes over clusters and sums over pairs of residuals.
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "doors.hpp"
#include "gee.hpp"
#include "python_stage.hpp"

namespace glimm {
namespace {

using MaybeCodes = std::optional<Codes>;
using MaybeIntegers = std::optional<Integers>;

Index count(const Integers& starts) { return static_cast<Index>(starts.shape(0)) - 1; }

}  // namespace

void gee_doors(nb::module_& m) {
  m.def("gee_pass", [](const HeldRows& r, nb::object family, nb::object link, Doubles beta, Doubles psi, Integers starts, int kind, double alpha,
                       double across, MaybeDoubles place, int order, MaybeDoubles table, MaybeCodes pattern, MaybeIntegers first, MaybeDoubles roots,
                       std::optional<nb::tuple> before, bool with_scores, bool with_curvatures, bool determinants, int threads) {
    const size_t clusters = starts.shape(0) - 1, p = static_cast<size_t>(r.rows.p);
    Vec pearson(r.rows.n), scores(with_scores ? clusters * p : 0), curvatures(with_curvatures ? clusters * p * p : 0);
    const HeldStage stage(family, link, psi);
    Correlation c;
    c.kind = kind;
    c.alpha = alpha;
    c.across = across;
    c.place = pointer(place);
    c.order = order;
    c.table = pointer(table);
    c.pattern = pattern ? pattern->data() : nullptr;
    c.first = first ? first->data() : nullptr;
    c.roots = pointer(roots);
    GeeOut out{pearson.data(), with_scores ? scores.data() : nullptr, with_curvatures ? curvatures.data() : nullptr, determinants};
    GeePass total;
    if (before) {
      const auto score = nb::cast<Doubles>((*before)[0]);
      const auto bread = nb::cast<Square>((*before)[1]);
      total.score.assign(score.data(), score.data() + score.size());
      total.bread.assign(bread.data(), bread.data() + bread.size());
      total.quadratic = nb::cast<double>((*before)[2]);
      total.log_det = nb::cast<double>((*before)[3]);
    }
    {
      const Unlocked unlocked;
      gee_pass(r.rows, stage, beta.data(), indices(starts), static_cast<Index>(clusters), c, out, total, threads);
    }
    nb::object s = with_scores ? nb::cast(array(std::move(scores), {clusters, p})) : nb::none();
    nb::object h = with_curvatures ? nb::cast(array(std::move(curvatures), {clusters, p, p})) : nb::none();
    return nb::make_tuple(array(std::move(total.score)), array(std::move(total.bread), {p, p}), array(std::move(pearson)), s, h, total.quadratic,
                          total.log_det);
  }, nb::arg("rows"), nb::arg("family"), nb::arg("link"), nb::arg("beta"), nb::arg("psi"), nb::arg("starts"), nb::arg("kind"), nb::arg("alpha"),
     nb::arg("across"), nb::arg("place").none(), nb::arg("order"), nb::arg("table").none(), nb::arg("pattern").none(), nb::arg("first").none(),
     nb::arg("roots").none(), nb::arg("before").none(), nb::arg("with_scores"), nb::arg("with_curvatures"), nb::arg("determinants"),
     nb::arg("threads"));

  m.def("pair_sums", [](Doubles e, Integers starts, MaybeDoubles time, Doubles before, int threads) {
    const Entered entered;
    const double* b = before.data();
    PairSums s{b[0], b[1], b[2], b[3], b[4]};
    pair_sums(e.data(), indices(starts), count(starts), pointer(time), s, threads);
    return array(Vec{s.squares, s.pairs, s.n_pairs, s.next, s.n_next});
  }, nb::arg("pearson"), nb::arg("starts"), nb::arg("time").none(), nb::arg("before"), nb::arg("threads"));
  m.def("lag_sums", [](Doubles e, Integers starts, MaybeDoubles time, Square before) {
    const size_t width = before.shape(1);
    Vec out(before.data(), before.data() + 2 * width);
    const Entered entered;
    lag_sums(e.data(), indices(starts), count(starts), pointer(time), static_cast<Index>(width) - 1, out.data(), out.data() + width);
    return array(std::move(out), {2, width});
  }, nb::arg("pearson"), nb::arg("starts"), nb::arg("time").none(), nb::arg("before"));
  m.def("wave_sums", [](Doubles e, Integers starts, Codes wave, Square before) {  // before: sums above counts (2 waves x waves)
    const size_t waves = before.shape(1), size = waves * waves;
    Vec out(before.data(), before.data() + 2 * size);
    const Entered entered;
    wave_sums(e.data(), indices(starts), count(starts), wave.data(), static_cast<Index>(waves), out.data(), out.data() + size);
    return array(std::move(out), {2 * waves, waves});
  }, nb::arg("pearson"), nb::arg("starts"), nb::arg("wave"), nb::arg("before"));
  m.def("inner_sums", [](Doubles e, Integers starts, Doubles inner, Doubles before) {
    Vec out(before.data(), before.data() + 2);
    const Entered entered;
    inner_sums(e.data(), indices(starts), count(starts), inner.data(), out.data());
    return array(std::move(out));
  }, nb::arg("pearson"), nb::arg("starts"), nb::arg("inner"), nb::arg("before"));
}

}  // namespace glimm
