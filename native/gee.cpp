// GEE: H_i and U_i by closed-form inverses of the working correlation.
//
// exchangeable: R^-1 = (I - c 11') / (1 - a), c = a / (1 + (m - 1) a).
// AR(1) at times t: rows whitened as (x_j - a^dt x_{j-1}) / sqrt(1 - a^2dt).
#include "gee.hpp"

#include "threads.hpp"

namespace glimm {
namespace {

struct Scratch {
  Vec x, eta, y, size, mu, m1, v, root, e, white, sum;
  void grow(Index m, int p) {
    if (static_cast<Index>(eta.size()) >= m) return;
    for (Vec* a : {&eta, &y, &size, &mu, &m1, &v, &root, &e}) a->resize(m);
    x.resize(static_cast<size_t>(m) * p);
    white.resize(static_cast<size_t>(m) * p);
    sum.resize(p);
  }
};

// x~ (m x p, in place of x) and e for m rows from r0
void weighted_rows(const Rows& rows, const Stage& stage, const double* beta, Index r0, Index m, Scratch& s) {
  const int p = rows.p;
  rows.linear(r0, m, beta, s.eta.data());
  rows.gather(rows.y, r0, m, s.y.data());
  if (rows.size) rows.gather(rows.size, r0, m, s.size.data());
  link_mean(stage.link, stage.power, m, s.eta.data(), s.mu.data(), s.m1.data(), nullptr, nullptr);
  family_variance(stage, m, s.mu.data(), s.v.data());
  rows.fill(r0, m, s.x.data());
  for (Index i = 0; i < m; ++i) {
    // a fitted probability of exactly 0 or 1 has no weight; an impossible mean makes everything NaN
    const double root = s.v[i] == 0.0 ? 0.0 : std::sqrt((rows.size ? s.size[i] : 1.0) / s.v[i]);
    s.e[i] = (s.y[i] - s.mu[i]) * root;
    const double q = s.m1[i] * root;
    for (int c = 0; c < p; ++c) s.x[i * p + c] *= q;
  }
}

// U (p) and H (p x p lower) of one cluster from its weighted rows
void add_cluster(int p, Index m, const double* x, const double* e, int working, double alpha, const double* time, Scratch& s, double* u, double* h) {
  if (m == 0) return;
  if (working == kAr1) {
    double* w = s.white.data();
    std::copy(x, x + p, w);
    for (int c = 0; c < p; ++c) u[c] += x[c] * e[0];
    for (Index j = 1; j < m; ++j) {
      const double dt = time ? time[j] - time[j - 1] : 1.0;
      const double a = dt == 1.0 ? alpha : std::pow(alpha, dt), k = 1.0 / std::sqrt(1.0 - a * a);
      const double residual = k * (e[j] - a * e[j - 1]);
      for (int c = 0; c < p; ++c) {
        w[j * p + c] = k * (x[j * p + c] - a * x[(j - 1) * p + c]);
        u[c] += w[j * p + c] * residual;
      }
    }
    add_outer(h, p, w, nullptr, m);
    return;
  }
  const double scale = working == kExchangeable ? 1.0 / (1.0 - alpha) : 1.0;
  if (working == kIndependence) {
    add_outer(h, p, x, nullptr, m);
    for (Index j = 0; j < m; ++j)
      for (int c = 0; c < p; ++c) u[c] += x[j * p + c] * e[j];
    return;
  }
  const double shrink = alpha / (1.0 + (m - 1) * alpha);
  double total = 0.0;
  std::fill(s.sum.begin(), s.sum.end(), 0.0);
  for (int c = 0; c < p; ++c) u[c] = 0.0;
  for (Index j = 0; j < m; ++j) {
    total += e[j];
    for (int c = 0; c < p; ++c) {
      s.sum[c] += x[j * p + c];
      u[c] += x[j * p + c] * e[j];
    }
  }
  add_outer(h, p, x, nullptr, m);
  for (int c = 0; c < p; ++c) {
    u[c] = scale * (u[c] - shrink * s.sum[c] * total);
    for (int d = 0; d <= c; ++d) h[c * p + d] = scale * (h[c * p + d] - shrink * s.sum[c] * s.sum[d]);
  }
}

}  // namespace

GeePass gee_pass(const Rows& rows, const Stage& stage, const double* beta, const Index* starts, Index clusters, int working, double alpha,
                 const double* time, double* pearson, double* scores, double* curvatures, int threads) {
  const int p = rows.p;
  const size_t pp = static_cast<size_t>(p) * p;
  const auto edges = cluster_blocks(starts, clusters);
  const Index blocks = static_cast<Index>(edges.size()) - 1;
  std::vector<GeePass> part(blocks);
  parallel_blocks(blocks, threads, [&](Index b) {
    GeePass& out = part[b];
    out.score.assign(p, 0.0);
    out.bread.assign(pp, 0.0);
    Scratch s;
    Vec u(p), h(pp);
    over_runs(starts, edges[b], edges[b + 1], [&](Index first, Index last, Index r0, Index m) {
      s.grow(m, p);
      weighted_rows(rows, stage, beta, r0, m, s);
      if (pearson) std::copy(s.e.begin(), s.e.begin() + m, pearson + r0);
      for (Index j = first; j < last; ++j) {
        const Index at = starts[j] - r0, size = starts[j + 1] - starts[j];
        std::fill(u.begin(), u.end(), 0.0);
        std::fill(h.begin(), h.end(), 0.0);
        add_cluster(p, size, s.x.data() + at * p, s.e.data() + at, working, alpha, time ? time + starts[j] : nullptr, s, u.data(), h.data());
        for (int c = 0; c < p; ++c) out.score[c] += u[c];
        for (size_t c = 0; c < pp; ++c) out.bread[c] += h[c];
        if (scores) std::copy(u.begin(), u.end(), scores + j * p);
        if (curvatures) {
          mirror(h.data(), p);
          std::copy(h.begin(), h.end(), curvatures + j * pp);
        }
      }
    });
  });
  GeePass total;
  total.score.assign(p, 0.0);
  total.bread.assign(pp, 0.0);
  for (const auto& b : part) {
    for (int c = 0; c < p; ++c) total.score[c] += b.score[c];
    for (size_t c = 0; c < pp; ++c) total.bread[c] += b.bread[c];
  }
  mirror(total.bread.data(), p);
  return total;
}

PairSums pair_sums(const double* e, const Index* starts, Index clusters, const double* time, int threads) {
  const auto edges = cluster_blocks(starts, clusters);
  const Index blocks = static_cast<Index>(edges.size()) - 1;
  std::vector<PairSums> part(blocks);
  parallel_blocks(blocks, threads, [&](Index b) {
    PairSums out;
    for (Index j = edges[b]; j < edges[b + 1]; ++j) {
      double sum = 0.0, squares = 0.0;
      const double m = static_cast<double>(starts[j + 1] - starts[j]);
      for (Index i = starts[j]; i < starts[j + 1]; ++i) {
        sum += e[i];
        squares += e[i] * e[i];
        if (i > starts[j] && (!time || time[i] - time[i - 1] == 1.0)) {
          out.next += e[i] * e[i - 1];
          out.n_next += 1.0;
        }
      }
      out.squares += squares;
      out.pairs += 0.5 * (sum * sum - squares);
      out.n_pairs += 0.5 * m * (m - 1.0);
    }
    part[b] = out;
  });
  PairSums total;
  for (const auto& q : part) {
    total.squares += q.squares;
    total.pairs += q.pairs;
    total.n_pairs += q.n_pairs;
    total.next += q.next;
    total.n_next += q.n_next;
  }
  return total;
}

void lag_sums(const double* e, const Index* starts, Index clusters, const double* time, Index max_lag, double* sums, double* counts) {
  std::fill(sums, sums + max_lag + 1, 0.0);
  std::fill(counts, counts + max_lag + 1, 0.0);
  for (Index j = 0; j < clusters; ++j)
    for (Index a = starts[j]; a < starts[j + 1]; ++a) {
      if (a % 256 == 0) check_interrupt();
      for (Index b = a + 1; b < starts[j + 1]; ++b) {
        const Index lag = time ? static_cast<Index>(time[b] - time[a]) : b - a;
        sums[lag] += e[a] * e[b];
        counts[lag] += 1.0;
      }
    }
}

}  // namespace glimm
