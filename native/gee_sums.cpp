// Sums over pairs of Pearson residuals of a cluster, sum e_j e_k: all pairs, by distance in time, by pair of waves, inside inner clusters.
#include "gee.hpp"
#include "threads.hpp"

namespace glimm {

void pair_sums(const double* e, const Index* starts, Index clusters, const double* time, PairSums& total, int threads) {
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
  for (const auto& q : part) {
    total.squares += q.squares;
    total.pairs += q.pairs;
    total.n_pairs += q.n_pairs;
    total.next += q.next;
    total.n_next += q.n_next;
  }
}

void lag_sums(const double* e, const Index* starts, Index clusters, const double* time, Index max_lag, double* sums, double* counts) {
  for (Index j = 0; j < clusters; ++j)
    for (Index a = starts[j]; a < starts[j + 1]; ++a) {
      if (a % 256 == 0) check_interrupt();
      for (Index b = a + 1; b < starts[j + 1]; ++b) {
        const double distance = time ? time[b] - time[a] : static_cast<double>(b - a);
        if (distance > static_cast<double>(max_lag)) break;
        const Index lag = static_cast<Index>(distance);
        sums[lag] += e[a] * e[b];
        counts[lag] += 1.0;
      }
    }
}

void wave_sums(const double* e, const Index* starts, Index clusters, const std::int32_t* wave, Index waves, double* sums, double* counts) {
  for (Index j = 0; j < clusters; ++j)
    for (Index a = starts[j]; a < starts[j + 1]; ++a) {
      if (a % 256 == 0) check_interrupt();
      const Index row = static_cast<Index>(wave[a]) * waves;
      for (Index b = a + 1; b < starts[j + 1]; ++b) {
        sums[row + wave[b]] += e[a] * e[b];
        counts[row + wave[b]] += 1.0;
      }
    }
}

void inner_sums(const double* e, const Index* starts, Index clusters, const double* inner, double* out) {
  for (Index j = 0; j < clusters; ++j) {
    if (j % 256 == 0) check_interrupt();
    for (Index a = starts[j]; a < starts[j + 1];) {
      Index b = a;
      double sum = 0.0, squares = 0.0;
      for (; b < starts[j + 1] && inner[b] == inner[a]; ++b) {
        sum += e[b];
        squares += e[b] * e[b];
      }
      const double m = static_cast<double>(b - a);
      out[0] += 0.5 * (sum * sum - squares);
      out[1] += 0.5 * m * (m - 1.0);
      a = b;
    }
  }
}

}  // namespace glimm
