// Python's door to the kernels: arrays in, arrays out; shapes are checked in glimm.kernels.
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "column_sums.hpp"
#include "cpu.hpp"
#include "dispersion.hpp"
#include "doors.hpp"
#include "glm.hpp"
#include "laplace.hpp"
#include "lmm.hpp"
#include "ordering.hpp"
#include "python_stage.hpp"
#include "special.hpp"
#include "vmath.hpp"

#ifndef GLIMM_MODULE
#define GLIMM_MODULE _native
#endif

using namespace glimm;

namespace {

template <class T> void column_doors(nb::module_& m) {
  using Column = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
  m.def("column_sums", [](Column x, double before) {
    double largest = 0.0, total = before;
    over_column(x.data(), static_cast<Index>(x.shape(0)), [&](const double* v, Index n) { total += block_sum(v, n, &largest); });
    return nb::make_tuple(largest, total);
  });
  m.def("column_squares", [](Column x, double center, double unit, double before) {
    over_column(x.data(), static_cast<Index>(x.shape(0)), [&](const double* v, Index n) { before += block_squares(v, n, center, unit); });
    return before;
  });
}

struct HeldLevels {
  Levels levels;
  HeldLevels(const Integers& starts, const std::optional<Square>& z, int q) {
    levels.count = static_cast<Index>(starts.shape(0)) - 1;
    levels.q = q;
    levels.starts = indices(starts);
    levels.z = z ? z->data() : nullptr;
  }
};

struct MixedModel {
  MixedRows rows;
  AtModes at;  // kept from one evaluation to the next
  LaplaceMixed laplace;
  QuadratureMixed quadrature;
  MixedModel(const HeldRows& r, const Integers& starts, const std::optional<Square>& z, int q, const MaybeDoubles& trials, const MaybeDoubles& weights, int threads)
      : rows(r.rows, HeldLevels(starts, z, q).levels, copy(trials), copy(weights), threads), at(rows), laplace(at), quadrature(at) {}
};

// The optimiser with an evaluate(x) -> (ok, value, gradient, Hessian) of Python.
nb::tuple newton_result(NewtonResult r) {
  Vec floor(r.floor.begin(), r.floor.end());
  return nb::make_tuple(array(std::move(r.x)), r.value, array(std::move(r.gradient)), maybe_square(std::move(r.hessian)), r.decrement, r.evaluations,
                        r.iterations, r.converged, array(std::move(floor)));
}

NewtonOptions options(const Doubles& lower, const Doubles& scales, const Doubles& free, double cap, double tol, int max_iter) {
  NewtonOptions o;
  const size_t n = lower.shape(0);
  o.lower.assign(lower.data(), lower.data() + n);
  for (size_t i = 0; i < n; ++i) {
    o.scales.push_back(scales.data()[i] != 0.0);
    o.free.push_back(free.data()[i] != 0.0);
  }
  o.cap = cap;
  o.tol = tol;
  o.max_iter = max_iter;
  return o;
}

nb::tuple mixed_result(MixedEvaluation e, size_t vector) {  // u and blocks are None where they were not asked for
  const size_t levels = e.scores.size() / vector;
  nb::object scores = e.scores.empty() ? nb::none() : nb::cast(array(std::move(e.scores), {levels, vector}));
  return nb::make_tuple(e.ok, e.deviance, maybe(std::move(e.gradient)), maybe_square(std::move(e.hessian)), maybe(std::move(e.u)),
                        maybe(std::move(e.inverse_blocks)), scores);
}

}  // namespace

NB_MODULE(GLIMM_MODULE, m) {
  m.def("supports_avx2", &supports_avx2);
  sparse_doors(m);
  krylov_doors(m);
  dense_doors(m);
  association_doors(m);
  gee_doors(m);
  levels_doors(m);
  parts_doors(m);
  m.def("vector_exp", [](Doubles x) {
    Vec out(x.shape(0));
    for (size_t i = 0; i < out.size(); ++i) out[i] = vexp(x.data()[i]);
    return array(std::move(out));
  });
  m.def("vector_log", [](Doubles x) {
    Vec out(x.shape(0));
    for (size_t i = 0; i < out.size(); ++i) out[i] = vlog(x.data()[i]);
    return array(std::move(out));
  });

  m.def("minimum_degree", [](Integers starts, Codes adjacent, std::optional<Codes> weight) {
    const Index nodes = static_cast<Index>(starts.shape(0)) - 1;
    const Entered entered;
    const std::vector<Index> order = minimum_degree(nodes, std::vector<Index>(indices(starts), indices(starts) + nodes + 1),
                                                    std::vector<std::int32_t>(adjacent.data(), adjacent.data() + adjacent.shape(0)),
                                                    weight ? weight->data() : nullptr);
    return array(Vec(order.begin(), order.end()));
  }, nb::arg("starts"), nb::arg("adjacent"), nb::arg("weight").none());

  m.def("jets", [](nb::object family, nb::object link, Doubles psi, Doubles y, MaybeDoubles size, Doubles eta) {
    const size_t n = y.shape(0);
    Vec l(n), d1(n), d2(n), d3(n);
    stage_jets(HeldStage(family, link, psi), static_cast<Index>(n), y.data(), pointer(size), eta.data(), l.data(), d1.data(), d2.data(), d3.data());
    return nb::make_tuple(array(std::move(l)), array(std::move(d1)), array(std::move(d2)), array(std::move(d3)));
  }, nb::arg("family"), nb::arg("link"), nb::arg("psi"), nb::arg("y"), nb::arg("size").none(), nb::arg("eta"));
  m.def("working", [](nb::object family, nb::object link, Doubles psi, Doubles y, MaybeDoubles size, Doubles eta) {
    const size_t n = y.shape(0);
    Vec l(n), d1(n), w(n);
    stage_working(HeldStage(family, link, psi), static_cast<Index>(n), y.data(), pointer(size), eta.data(), l.data(), d1.data(), w.data());
    return nb::make_tuple(array(std::move(l)), array(std::move(d1)), array(std::move(w)));
  }, nb::arg("family"), nb::arg("link"), nb::arg("psi"), nb::arg("y"), nb::arg("size").none(), nb::arg("eta"));
  m.def("psi_jets", [](nb::object family, nb::object link, Doubles psi, Doubles y, MaybeDoubles size, Doubles eta, bool constants, bool counted) {
    const HeldStage held(family, link, psi);
    const size_t n = y.shape(0), k = static_cast<size_t>(held.stage.n_psi());
    Vec l(n * k), s(n * k), w(n * k), free(n * k, 0.0);
    for (size_t c = 0; c < k; ++c)
      stage_psi(held, static_cast<int>(c), static_cast<Index>(n), y.data(), pointer(size), eta.data(), &l[c * n], &s[c * n], &w[c * n]);
    if (constants) add_constant_psi(held, static_cast<Index>(n), y.data(), pointer(size), l.data(), counted);
    return nb::make_tuple(array(std::move(l), {k, n}), array(std::move(s), {k, n}), array(std::move(w), {k, n}));
  }, nb::arg("family"), nb::arg("link"), nb::arg("psi"), nb::arg("y"), nb::arg("size").none(), nb::arg("eta"), nb::arg("constants"), nb::arg("counted"));
  m.def("constant", [](nb::object family, Doubles psi, Doubles y, MaybeDoubles trials, MaybeDoubles weights, bool counted) {
    const Entered entered;
    return stage_constant(HeldStage(family, nb::int_(0), psi), static_cast<Index>(y.shape(0)), y.data(), pointer(trials), pointer(weights), counted);
  }, nb::arg("family"), nb::arg("psi"), nb::arg("y"), nb::arg("trials").none(), nb::arg("weights").none(), nb::arg("counted"));
  m.def("mean", [](nb::object link, Doubles eta) {
    const HeldStage held(nb::int_(0), link, nullptr, 0);
    const size_t n = eta.shape(0);
    Vec mu(n), m1(n), m2(n), m3(n);
    link_mean(held.stage.link, held.stage.power, static_cast<Index>(n), eta.data(), mu.data(), m1.data(), m2.data(), m3.data());
    return nb::make_tuple(array(std::move(mu)), array(std::move(m1)), array(std::move(m2)), array(std::move(m3)));
  });
  m.def("inverse_link", [](nb::object link, Doubles eta) {
    const HeldStage held(nb::int_(0), link, nullptr, 0);
    Vec mu(eta.shape(0));
    link_mean(held.stage.link, held.stage.power, static_cast<Index>(mu.size()), eta.data(), mu.data(), nullptr, nullptr, nullptr);
    return array(std::move(mu));
  });
  m.def("dispersion_terms", [](nb::object family, Doubles psi, Doubles y, MaybeDoubles weights, double value, double slope, double curvature, int threads) {
    const HeldStage held(family, nb::int_(0), psi);
    DispersionTerms t{value, slope, curvature};
    {
      const Unlocked unlocked;
      t = dispersion_terms(held, static_cast<Index>(y.shape(0)), y.data(), pointer(weights), t, threads);
    }
    return nb::make_tuple(t.value, t.slope, t.curvature);
  }, nb::arg("family"), nb::arg("psi"), nb::arg("y"), nb::arg("weights").none(), nb::arg("value"), nb::arg("slope"),
     nb::arg("curvature"), nb::arg("threads"));
  column_doors<double>(m);
  column_doors<float>(m);
  m.def("link", [](nb::object link, Doubles mu) {
    const HeldStage held(nb::int_(0), link, nullptr, 0);
    Vec eta(mu.shape(0));
    link_eta(held.stage.link, held.stage.power, static_cast<Index>(eta.size()), mu.data(), eta.data());
    return array(std::move(eta));
  });
  m.def("variance", [](nb::object family, Doubles mu, Doubles psi) {
    Vec v(mu.shape(0));
    family_variance(HeldStage(family, nb::int_(0), psi), static_cast<Index>(v.size()), mu.data(), v.data());
    return array(std::move(v));
  });
  m.def("unit_deviance", [](nb::object family, Doubles y, Doubles mu, Doubles psi) {
    Vec d(mu.shape(0));
    family_deviance(HeldStage(family, nb::int_(0), psi), static_cast<Index>(d.size()), y.data(), mu.data(), d.data());
    return array(std::move(d));
  });
  m.def("gamma_functions", [](Doubles x) {  // log Gamma and its first three derivatives, one after another
    const size_t n = x.shape(0);
    Vec out(4 * n);
    for (size_t i = 0; i < n; ++i) {
      const Gammas g = gammas(x.data()[i]);
      out[i] = log_gamma(x.data()[i]);
      out[n + i] = g.d1;
      out[2 * n + i] = g.d2;
      out[3 * n + i] = g.d3;
    }
    return array(std::move(out), {4, n});
  });

  nb::class_<HeldRows>(m, "Rows")
      .def(nb::init<Index, int, nb::list, Doubles, Doubles, nb::object, nb::object, nb::object, nb::object>(), nb::arg("n"), nb::arg("p"),
           nb::arg("blocks"), nb::arg("center"), nb::arg("scale"), nb::arg("y").none(), nb::arg("size").none(), nb::arg("offset").none(),
           nb::arg("order").none())
      .def("glm_pass", [](const HeldRows& r, nb::object family, nb::object link, Doubles beta, Doubles psi, bool information, Index every, bool eta,
                          int threads) {
        const HeldStage stage(family, link, psi);
        Asked asked;
        asked.information = information;
        asked.every = every;
        Vec predictor(eta ? r.rows.n : 0);
        if (eta) asked.eta = predictor.data();
        GlmPass out;
        {
          const Unlocked unlocked;
          out = glm_pass(r.rows, stage, beta.data(), asked, threads);
        }
        const size_t p = information ? static_cast<size_t>(r.rows.p) : 0;
        return nb::make_tuple(out.loglik, array(std::move(out.score)), array(std::move(out.information), {p, p}),
                              eta ? nb::cast(array(std::move(predictor))) : nb::none());
      })
      .def("linear_predictor", [](const HeldRows& r, Doubles beta, int threads) {
        Vec eta(r.rows.n);
        {
          const Unlocked unlocked;
          linear_predictor(r.rows, beta.data(), eta.data(), threads);
        }
        return array(std::move(eta));
      })
      .def("leverages", [](const HeldRows& r, Doubles w, Square c, int threads) {
        Vec h(r.rows.n);
        {
          const Unlocked unlocked;
          leverages(r.rows, w.data(), c.data(), h.data(), threads);
        }
        return array(std::move(h));
      })
      .def("cluster_scores", [](const HeldRows& r, Doubles d1, Integers starts, int threads) {
        const size_t clusters = starts.shape(0) - 1, p = static_cast<size_t>(r.rows.p);
        Vec s(clusters * p);
        {
          const Unlocked unlocked;
          cluster_scores(r.rows, d1.data(), indices(starts), static_cast<Index>(clusters), s.data(), threads);
        }
        return array(std::move(s), {clusters, p});
      })
      .def("refined_residual_score", [](const HeldRows& r, Doubles high, Doubles low, MaybeDoubles before) {
        const size_t p = static_cast<size_t>(r.rows.p);
        Vec s(2 * p, 0.0);
        if (before) std::copy(before->data(), before->data() + 2 * p, s.begin());
        {
          const Unlocked unlocked;
          refined_residual_score(r.rows, high.data(), low.data(), s.data());
        }
        return array(std::move(s), {2, p});
      }, nb::arg("high"), nb::arg("low"), nb::arg("before").none())
      .def("qr", [](const HeldRows& r, std::optional<Square> before) {
        const size_t p = static_cast<size_t>(r.rows.p);
        Vec out(p * p, 0.0);
        if (before) std::copy(before->data(), before->data() + p * p, out.begin());
        {
          const Unlocked unlocked;
          blocked_qr(r.rows, out.data());
        }
        return array(std::move(out), {p, p});
      }, nb::arg("before").none() = nb::none())
      .def("gram", [](const HeldRows& r, Index every, int threads) {
        const size_t p = static_cast<size_t>(r.rows.p);
        Vec out(p * p);
        {
          const Unlocked unlocked;
          gram(r.rows, every, out.data(), threads);
        }
        return array(std::move(out), {p, p});
      });

  nb::class_<LinearMixed>(m, "LinearMixed")
      .def("__init__", [](LinearMixed* self, const HeldRows& r, Codes refs, Index levels, std::optional<Square> z, int q, int threads) {
        const Unlocked unlocked;
        new (self) LinearMixed(r.rows, refs.data(), levels, z ? z->data() : nullptr, q, threads);
      }, nb::arg("rows"), nb::arg("refs"), nb::arg("levels"), nb::arg("z").none(), nb::arg("q"), nb::arg("threads"), nb::keep_alive<1, 2>(),
         nb::keep_alive<1, 3>(), nb::keep_alive<1, 5>())
      .def("mean_square", [](LinearMixed& self) { return array(self.mean_square()); })
      .def("evaluate", [](LinearMixed& self, Square t, bool reml, bool derivatives, bool blocks) {
        const Entered entered;
        LmmEvaluation e = self.evaluate(t.data(), reml, derivatives, blocks);
        return nb::make_tuple(e.ok, e.deviance, e.r2, maybe(std::move(e.beta)), maybe(std::move(e.u)), maybe_square(std::move(e.information)),
                              maybe(std::move(e.gradient)), maybe_square(std::move(e.hessian)), maybe(std::move(e.inverse_blocks)));
      })
      .def("removed", [](LinearMixed& self) { return nb::make_tuple(self.fixed().unit(), self.fixed().before()); })
      .def("respond", [](LinearMixed& self, Doubles y) { self.respond(y.data()); })
      .def("search_many", [](const LinearMixed& self, Square responses, Doubles theta, Integers rows, Integers columns, bool reml, Doubles lower,
                             Doubles scales, Doubles free, double cap, double tol, int max_iter, int threads) {
        const Entries entries{rows.data(), columns.data(), static_cast<int>(theta.shape(0))};
        const size_t count = responses.shape(0), m = theta.shape(0);
        std::vector<LmmAnswer> found;
        {
          const Unlocked unlocked;
          found = self.search_many(responses.data(), static_cast<Index>(count), Vec(theta.data(), theta.data() + m), entries, reml,
                                   options(lower, scales, free, cap, tol, max_iter), threads);
        }
        Vec thetas, betas, rest;
        for (const auto& f : found) {
          thetas.insert(thetas.end(), f.theta.begin(), f.theta.end());
          betas.insert(betas.end(), f.beta.begin(), f.beta.end());
          for (double v : {f.deviance, f.r2, f.settled ? 1.0 : 0.0}) rest.push_back(v);
        }
        const size_t p = count ? betas.size() / count : 0;
        return nb::make_tuple(array(std::move(thetas), {count, m}), array(std::move(betas), {count, p}), array(std::move(rest), {count, 3}));
      })
      .def("search", [](LinearMixed& self, Doubles theta, Integers rows, Integers columns, bool reml, Doubles lower, Doubles scales, Doubles free, double cap,
                        double tol, int max_iter) {
        const Entries entries{rows.data(), columns.data(), static_cast<int>(theta.shape(0))};
        NewtonResult r;
        {
          const Unlocked unlocked;
          r = self.search(Vec(theta.data(), theta.data() + theta.shape(0)), entries, reml, options(lower, scales, free, cap, tol, max_iter));
        }
        return newton_result(std::move(r));
      });

  m.def("newton", [](nb::callable evaluate, Doubles x, Doubles lower, Doubles scales, Doubles free, double cap, double tol, int max_iter) {
    const auto call = [&](const Vec& v) {
      auto answer = nb::cast<nb::tuple>(evaluate(array(v)));
      Evaluation e;
      e.ok = nb::cast<bool>(answer[0]);
      e.value = nb::cast<double>(answer[1]);
      const auto g = nb::cast<Doubles>(answer[2]);
      const auto h = nb::cast<Square>(answer[3]);
      e.gradient.assign(g.data(), g.data() + g.shape(0));
      e.hessian.assign(h.data(), h.data() + h.shape(0) * h.shape(1));
      return e;
    };
    return newton_result(newton(call, Vec(x.data(), x.data() + x.shape(0)), options(lower, scales, free, cap, tol, max_iter)));
  });

  nb::class_<MixedModel>(m, "MixedModel")
      .def(nb::init<const HeldRows&, Integers, std::optional<Square>, int, MaybeDoubles, MaybeDoubles, int>(), nb::arg("rows"), nb::arg("starts"),
           nb::arg("z").none(), nb::arg("q"), nb::arg("trials").none(), nb::arg("weights").none(), nb::arg("threads"), nb::keep_alive<1, 2>(),
           nb::keep_alive<1, 3>(), nb::keep_alive<1, 4>())
      .def("laplace", [](MixedModel& self, nb::object family, nb::object link, Doubles vector, int order, bool blocks) {
        const HeldStage stage(family, link, vector.data(), vector.shape(0));
        MixedEvaluation e;
        {
          const Unlocked unlocked;
          e = self.laplace.evaluate(stage, vector.data(), Ask{order, blocks, false});
        }
        return mixed_result(std::move(e), vector.shape(0));
      })
      .def("laplace_hessian", [](MixedModel& self, nb::object family, nb::object link, Doubles vector, Integers places) {
        const HeldStage stage(family, link, vector.data(), vector.shape(0));
        Vec h;
        {
          const Unlocked unlocked;
          h = self.laplace.hessian(stage, vector.data(), std::vector<Index>(indices(places), indices(places) + places.shape(0)));
        }
        return maybe_square(std::move(h));
      })
      .def("quadrature", [](MixedModel& self, nb::object family, nb::object link, Doubles vector, int order, Square nodes, Doubles log_weights, bool blocks, bool scores) {
        const HeldStage stage(family, link, vector.data(), vector.shape(0));
        MixedEvaluation e;
        {
          const Unlocked unlocked;
          e = self.quadrature.evaluate(stage, vector.data(), Ask{order, blocks, scores}, static_cast<int>(log_weights.shape(0)), nodes.data(), log_weights.data());
        }
        return mixed_result(std::move(e), vector.shape(0));
      });
}
