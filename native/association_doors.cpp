// Python's door to odds ratios between rows.
#include "association.hpp"
#include "python_stage.hpp"

namespace glimm {

void association_doors(nb::module_& m) {
  m.def("association_pass", [](const HeldRows& r, nb::object family, nb::object link, Doubles beta, Integers starts, Square z, std::optional<Codes> codes,
                               std::optional<Integers> occasions, Doubles alpha, bool with_scores, bool with_curvatures, bool with_alpha, bool joint, int threads) {
    const size_t clusters = starts.shape(0) - 1, p = static_cast<size_t>(r.rows.p), q = z.shape(1);
    Vec pearson(r.rows.n), scores(with_scores ? clusters * p : 0), curvatures(with_curvatures ? clusters * p * p : 0);
    Vec alpha_scores(with_scores && with_alpha ? clusters * q : 0);
    const HeldStage stage(family, link, nullptr, 0);
    Pairs pairs;
    pairs.patterns = static_cast<Index>(z.shape(0));
    pairs.q = static_cast<int>(q);
    pairs.z = z.data();
    pairs.code = codes ? codes->data() : nullptr;
    pairs.occasion = occasions ? indices(*occasions) : nullptr;
    AssociationPass out;
    {
      const Unlocked unlocked;
      out = association_pass(r.rows, stage, beta.data(), indices(starts), static_cast<Index>(clusters), pairs, alpha.data(), pearson.data(),
                             with_scores ? scores.data() : nullptr, with_curvatures ? curvatures.data() : nullptr,
                             alpha_scores.empty() ? nullptr : alpha_scores.data(), with_alpha, joint, threads);
    }
    const auto some = [](bool there, Vec& values, std::vector<size_t> shape) { return there ? nb::cast(array(std::move(values), std::move(shape))) : nb::none(); };
    nb::dict d;
    d["score"] = array(std::move(out.score));
    d["bread"] = array(std::move(out.bread), {p, p});
    d["pearson"] = array(std::move(pearson));
    d["scores"] = some(with_scores, scores, {clusters, p});
    d["curvatures"] = some(with_curvatures, curvatures, {clusters, p, p});
    d["quadratic"] = out.quadratic;
    d["log_det"] = out.log_det;
    d["indefinite"] = out.indefinite;
    d["alpha_score"] = some(with_alpha || joint, out.alpha_score, {q});
    d["alpha_information"] = some(with_alpha || joint, out.alpha_information, {q, q});
    d["alpha_scores"] = some(with_scores && with_alpha, alpha_scores, {clusters, q});
    d["given"] = some(joint, out.given, {q, q});
    d["given_beta"] = some(joint, out.given_beta, {q, p});
    return d;
  }, nb::arg("rows"), nb::arg("family"), nb::arg("link"), nb::arg("beta"), nb::arg("starts"), nb::arg("z"), nb::arg("codes").none(), nb::arg("occasions").none(),
     nb::arg("alpha"), nb::arg("with_scores"), nb::arg("with_curvatures"), nb::arg("with_alpha"), nb::arg("joint"), nb::arg("threads"));
  m.def("association_cells", [](Doubles a, Doubles b, Doubles gamma) {
    const size_t n = a.shape(0);
    Vec out(n * 6);
    for (size_t i = 0; i < n; ++i) {
      const Cells c = cells(a.data()[i], b.data()[i], gamma.data()[i]);
      const double row[] = {c.p11, c.p10, c.p01, c.p00, c.covariance, c.slope()};
      std::copy(row, row + 6, &out[i * 6]);
    }
    return array(std::move(out), {n, 6});
  }, nb::arg("a"), nb::arg("b"), nb::arg("gamma"));
  m.def("association_matrix", [](Doubles mu, Doubles gamma, std::optional<Integers> occasions) {
    const size_t n = mu.shape(0);
    return array(association_matrix(static_cast<Index>(n), mu.data(), gamma.data(), occasions ? indices(*occasions) : nullptr), {n, n});
  }, nb::arg("mu"), nb::arg("gamma"), nb::arg("occasions").none());
}

}  // namespace glimm
