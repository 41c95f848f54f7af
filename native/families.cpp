// Loops over rows: pairs of family and link that are common, written in eta; every other pair by the chain rule from a response's
// derivatives in mu and the link's in eta: d1 = l_1 m1, d2 = l_2 m1^2 + l_1 m2, d3 = l_3 m1^3 + 3 l_2 m1 m2 + l_1 m3.
//
// Binomial: l = y a(eta) + (1 - y) b(eta) with a = log h, b = log(1 - h).
#include "families.hpp"

#include <algorithm>

#include "pairs.hpp"

namespace glimm {
namespace {

template <class F> struct Run {
  // Sized, Value and Third are template arguments, and pointers do not alias, so that the loops vectorise.
  template <bool Sized, bool Value, bool Third>
  static void jet_loop(const Own o, Index n, const double* GLIMM_RESTRICT y, const double* GLIMM_RESTRICT size, const double* GLIMM_RESTRICT eta,
                       double* GLIMM_RESTRICT l, double* GLIMM_RESTRICT d1, double* GLIMM_RESTRICT d2, double* GLIMM_RESTRICT d3) {
    for (Index i = 0; i < n; ++i) {
      const Jet j = F::jet(y[i], eta[i], o);
      const double w = Sized ? size[i] : 1.0;
      if (Value) l[i] = w * j.l;
      d1[i] = w * j.d1;
      d2[i] = w * j.d2;
      if (Third) d3[i] = w * j.d3;
    }
  }
  template <bool Sized>
  static void working_loop(const Own o, Index n, const double* GLIMM_RESTRICT y, const double* GLIMM_RESTRICT size,
                           const double* GLIMM_RESTRICT eta, double* GLIMM_RESTRICT l, double* GLIMM_RESTRICT d1, double* GLIMM_RESTRICT w) {
    for (Index i = 0; i < n; ++i) {
      const Jet j = F::jet(y[i], eta[i], o);
      const double k = Sized ? size[i] : 1.0;
      l[i] = k * j.l;
      d1[i] = k * j.d1;
      w[i] = k * F::information(eta[i], o);
    }
  }
  template <bool Slopes>
  static void node_loop(const Own o, int nodes, double y, double w, const double* GLIMM_RESTRICT eta, double* GLIMM_RESTRICT l_sum,
                        double* GLIMM_RESTRICT d1) {
    for (int k = 0; k < nodes; ++k) {
      const Jet j = F::jet(y, eta[k], o);
      l_sum[k] += w * j.l;
      if (Slopes) d1[k] = w * j.d1;
    }
  }
  static void jets(const Stage& s, Index n, const double* y, const double* size, const double* eta, double* l, double* d1, double* d2, double* d3) {
    const Own o = own_of(s);
    const auto loop = size ? (l ? (d3 ? jet_loop<true, true, true> : jet_loop<true, true, false>)
                                : (d3 ? jet_loop<true, false, true> : jet_loop<true, false, false>))
                           : (l ? (d3 ? jet_loop<false, true, true> : jet_loop<false, true, false>)
                                : (d3 ? jet_loop<false, false, true> : jet_loop<false, false, false>));
    loop(o, n, y, size, eta, l, d1, d2, d3);
  }
  static void working(const Stage& s, Index n, const double* y, const double* size, const double* eta, double* l, double* d1, double* w) {
    const Own o = own_of(s);
    return size ? working_loop<true>(o, n, y, size, eta, l, d1, w) : working_loop<false>(o, n, y, size, eta, l, d1, w);
  }
  static void nodes(const Stage& s, Index rows, int nodes, const double* y, const double* size, const double* eta, double* l_sum, double* d1) {
    const Own o = own_of(s);
    std::fill(l_sum, l_sum + nodes, 0.0);
    for (Index i = 0; i < rows; ++i) {
      const double w = size ? size[i] : 1.0;
      if (d1) node_loop<true>(o, nodes, y[i], w, eta + i * nodes, l_sum, d1 + i * nodes);
      else node_loop<false>(o, nodes, y[i], w, eta + i * nodes, l_sum, nullptr);
    }
  }
};

// Logistic nodes without weights: one exp per row and node, the logs by running products.
template <bool Slopes>
void logit_nodes(Index rows, int nodes, const double* y, const double* eta, double* GLIMM_RESTRICT l_sum, double* d1,
                 double* GLIMM_RESTRICT product) {
  for (int k = 0; k < nodes; ++k) { l_sum[k] = 0.0; product[k] = 1.0; }
  for (Index i = 0; i < rows; ++i) {
    const double yi = y[i];
    const double* GLIMM_RESTRICT e = eta + i * nodes;
    double* GLIMM_RESTRICT d = Slopes ? d1 + i * nodes : nullptr;
    for (int k = 0; k < nodes; ++k) {
      const double x = vexp(-std::fabs(e[k]));
      if (Slopes) {
        const double q = 1.0 / (1.0 + x);
        d[k] = yi - (e[k] >= 0.0 ? q : x * q);
      }
      product[k] *= 1.0 + x;
      l_sum[k] += yi * e[k] - (e[k] > 0.0 ? e[k] : 0.0);
    }
    if ((i & 511) == 511 || i + 1 == rows)
      for (int k = 0; k < nodes; ++k) { l_sum[k] -= vlog(product[k]); product[k] = 1.0; }
  }
}

// Without branches and aliases, so that it is vectorised.
template <class L> void mean_and_slope(double power, Index n, const double* GLIMM_RESTRICT eta, double* GLIMM_RESTRICT mu, double* GLIMM_RESTRICT m1) {
  for (Index i = 0; i < n; ++i) {
    const Mean m = L::mean(eta[i], power);
    mu[i] = m.mu;
    m1[i] = m.m1;
  }
}

template <class L> void mean_alone(double power, Index n, const double* GLIMM_RESTRICT eta, double* GLIMM_RESTRICT mu) {
  for (Index i = 0; i < n; ++i) mu[i] = L::mean(eta[i], power).mu;
}

template <class L> void mean_loop(double power, Index n, const double* eta, double* mu, double* m1, double* m2, double* m3) {
  if (!m1 && !m2 && !m3) return mean_alone<L>(power, n, eta, mu);
  if (m1 && !m2 && !m3) return mean_and_slope<L>(power, n, eta, mu, m1);
  for (Index i = 0; i < n; ++i) {
    const Mean m = L::mean(eta[i], power);
    mu[i] = m.mu;
    if (m1) m1[i] = m.m1;
    if (m2) m2[i] = m.m2;
    if (m3) m3[i] = m.m3;
  }
}

// Rows at their means, for the pairs that go by the chain rule.
class Chain {
 public:
  explicit Chain(const Stage& s) : s_(s), o_(own_of(s)) {}

  void jets(Index n, const double* y, const double* size, const double* eta, double* l_out, double* d1, double* d2, double* d3) {
    over(n, eta, [&](Index at, Index m) {
      respond(m, y + at);
      for (Index i = 0; i < m; ++i) {
        const double w = size ? size[at + i] : 1.0;
        if (l_out) l_out[at + i] = w * l[i];
        if (d1) d1[at + i] = w * g1[i] * m1[i];
        if (d2) d2[at + i] = w * (g2[i] * m1[i] * m1[i] + g1[i] * m2[i]);
        if (d3) d3[at + i] = w * (g3[i] * m1[i] * m1[i] * m1[i] + 3.0 * g2[i] * m1[i] * m2[i] + g1[i] * m3[i]);
      }
    });
  }

  void working(Index n, const double* y, const double* size, const double* eta, double* l_out, double* d1, double* w_out) {
    over(n, eta, [&](Index at, Index m) {
      respond(m, y + at);
      if (s_.own) {
        s_.own->variance(s_.psi, m, mu.data(), g3.data());
        for (Index i = 0; i < m; ++i) g3[i] = 1.0 / g3[i];
      } else {
        for_response(s_.family, [&](auto r) { for (Index i = 0; i < m; ++i) g3[i] = r.information(mu[i], nu[i], o_); });
      }
      for (Index i = 0; i < m; ++i) {
        const double w = size ? size[at + i] : 1.0;
        l_out[at + i] = w * l[i];
        d1[at + i] = w * g1[i] * m1[i];
        w_out[at + i] = w * g3[i] * m1[i] * m1[i];
      }
    });
  }

  void psi(int which, Index n, const double* y, const double* size, const double* eta, double* l_psi, double* d1_psi, double* w_psi) {
    over(n, eta, [&](Index at, Index m) {
      if (s_.own) {
        s_.own->psi_jets(s_.psi, which, m, y + at, mu.data(), l.data(), g1.data(), g2.data());
      } else {
        for_response(s_.family, [&](auto r) {
          for (Index i = 0; i < m; ++i) {
            const PsiJet j = r.psi(y[at + i], mu[i], nu[i], o_, which);
            l[i] = j.l;
            g1[i] = j.d1;
            g2[i] = j.d2;
          }
        });
      }
      for (Index i = 0; i < m; ++i) {
        const double w = size ? size[at + i] : 1.0;
        l_psi[at + i] = w * l[i];
        if (d1_psi) d1_psi[at + i] = w * g1[i] * m1[i];
        if (w_psi) w_psi[at + i] = -w * (g2[i] * m1[i] * m1[i] + g1[i] * m2[i]);
      }
    });
  }

 private:
  using Vector = std::vector<double>;

  // A user's family is called once for all rows, the others in pieces that stay in the cache.
  template <class Work> void over(Index n, const double* eta, Work work) {
    const Index most = s_.own ? n : 256;
    for (Vector* v : {&mu, &nu, &m1, &m2, &m3, &l, &g1, &g2, &g3}) v->resize(std::min(n, most));
    for (Index at = 0; at < n; at += most) {
      const Index m = std::min(most, n - at);
      link_mean(s_.link, s_.power, m, eta + at, mu.data(), m1.data(), m2.data(), m3.data());
      for (Index i = 0; i < m; ++i) nu[i] = s_.family == kBeta ? complement(s_.link, eta[at + i], mu[i], s_.power) : 0.0;
      work(at, m);
    }
  }

  void respond(Index m, const double* y) {
    if (s_.own) return s_.own->jets(s_.psi, m, y, mu.data(), l.data(), g1.data(), g2.data(), g3.data());
    for_response(s_.family, [&](auto r) {
      for (Index i = 0; i < m; ++i) {
        const Jet j = r.jet(y[i], mu[i], nu[i], o_);
        l[i] = j.l;
        g1[i] = j.d1;
        g2[i] = j.d2;
        g3[i] = j.d3;
      }
    });
  }

  const Stage& s_;
  const Own o_;
  Vector mu, nu, m1, m2, m3, l, g1, g2, g3;
};

struct ChainRun {
  static void jets(const Stage& s, Index n, const double* y, const double* size, const double* eta, double* l, double* d1, double* d2, double* d3) {
    Chain(s).jets(n, y, size, eta, l, d1, d2, d3);
  }
  static void working(const Stage& s, Index n, const double* y, const double* size, const double* eta, double* l, double* d1, double* w) {
    Chain(s).working(n, y, size, eta, l, d1, w);
  }
  static void nodes(const Stage& s, Index rows, int nodes, const double* y, const double* size, const double* eta, double* l_sum, double* d1) {
    const Index all = rows * nodes;
    std::vector<double> wide(all), sizes(size ? all : 0), l(all);
    for (Index i = 0; i < rows; ++i) {
      std::fill_n(&wide[i * nodes], nodes, y[i]);
      if (size) std::fill_n(&sizes[i * nodes], nodes, size[i]);
    }
    Chain(s).jets(all, wide.data(), size ? sizes.data() : nullptr, eta, l.data(), d1, nullptr, nullptr);
    std::fill(l_sum, l_sum + nodes, 0.0);
    for (Index i = 0; i < all; ++i) l_sum[i % nodes] += l[i];
  }
};

template <class Visit> void for_pair(const Stage& s, Visit visit) {
  if (s.family == kBinomial) return for_link(s.link, [&](auto link) { visit(Run<Binomial<decltype(link)>>{}); });
  switch (s.family * 16 + s.link) {
    case kGaussian * 16 + kIdentity: return visit(Run<Gaussian<Identity>>{});
    case kGaussian * 16 + kLog: return visit(Run<Gaussian<Log>>{});
    case kPoisson * 16 + kLog: return visit(Run<PoissonLog>{});
    case kGamma * 16 + kLog: return visit(Run<GammaLog>{});
    case kNegativeBinomial * 16 + kLog: return visit(Run<NegativeBinomialLog>{});
    case kNegativeBinomial1 * 16 + kLog: return visit(Run<NegativeBinomial1Log>{});
    case kBeta * 16 + kLogit: return visit(Run<BetaLogit>{});
    case kTweedie * 16 + kLog: return visit(Run<TweedieLog>{});
    default: return visit(ChainRun{});
  }
}

}  // namespace

void stage_jets(const Stage& s, Index n, const double* y, const double* size, const double* eta, double* l, double* d1, double* d2, double* d3) {
  for_pair(s, [&](auto run) { run.jets(s, n, y, size, eta, l, d1, d2, d3); });
}

void stage_working(const Stage& s, Index n, const double* y, const double* size, const double* eta, double* l, double* d1, double* w) {
  for_pair(s, [&](auto run) { run.working(s, n, y, size, eta, l, d1, w); });
}

void stage_nodes(const Stage& s, Index rows, int nodes, const double* y, const double* size, const double* eta, double* l_sum, double* d1, double* scratch) {
  if (s.family == kBinomial && s.link == kLogit && !size)
    return d1 ? logit_nodes<true>(rows, nodes, y, eta, l_sum, d1, scratch) : logit_nodes<false>(rows, nodes, y, eta, l_sum, nullptr, scratch);
  for_pair(s, [&](auto run) { run.nodes(s, rows, nodes, y, size, eta, l_sum, d1); });
}

void stage_psi(const Stage& s, int which, Index n, const double* y, const double* size, const double* eta, double* l_psi, double* d1_psi, double* w_psi) {
  const bool dispersion = !s.own && which == 0 && (s.family == kGaussian || s.family == kGamma || s.family == kInverseGaussian || s.family == kTweedie || s.family == kQuasi);
  if (!dispersion) return Chain(s).psi(which, n, y, size, eta, l_psi, d1_psi, w_psi);
  std::vector<double> unused(d1_psi && w_psi ? 0 : n);
  stage_jets(s, n, y, size, eta, l_psi, d1_psi ? d1_psi : unused.data(), w_psi ? w_psi : unused.data(), nullptr);
  const double times = s.family == kGaussian ? -2.0 : -1.0;  // everything scales with the precision
  for (Index i = 0; i < n; ++i) {
    l_psi[i] *= times;
    if (d1_psi) d1_psi[i] *= times;
    if (w_psi) w_psi[i] *= -times;
  }
}

bool log_concave(const Stage& s) {
  const int f = s.family, k = s.link;
  if (f == kBinomial) return k <= kLoglog || k == kLogc;
  if (k == kLog) return f == kPoisson || f == kGamma || f == kNegativeBinomial || f == kTweedie;
  return k == kIdentity && (f == kGaussian || f == kPoisson);
}

void link_mean(int link, double power, Index n, const double* eta, double* mu, double* m1, double* m2, double* m3) {
  for_link(link, [&](auto l) { mean_loop<decltype(l)>(power, n, eta, mu, m1, m2, m3); });
}

void link_eta(int link, double power, Index n, const double* mu, double* eta) {
  for (Index i = 0; i < n; ++i) {
    const double m = mu[i];
    switch (link) {
      case kLog: eta[i] = std::log(m); break;
      case kLogit: eta[i] = std::log(m) - std::log1p(-m); break;
      case kProbit: eta[i] = m <= 0.5 ? normal_quantile(m) : -normal_quantile(1.0 - m); break;
      case kCloglog: eta[i] = std::log(-std::log1p(-m)); break;
      case kLoglog: eta[i] = -std::log(-std::log(m)); break;
      case kCauchit: eta[i] = m < 0.25 ? -1.0 / std::tan(m / kInvPi) : std::tan((m - 0.5) / kInvPi); break;
      case kLogc: eta[i] = std::log1p(-m); break;
      case kPower: eta[i] = std::pow(m, power); break;
      case kOddsPower: eta[i] = std::expm1(power * (std::log(m) - std::log1p(-m))) / power; break;
      default: eta[i] = m;
    }
  }
}

}  // namespace glimm
