// Blocks of rows over threads: result = sum over blocks in block order, the same for any number of threads.
#pragma once
#include "vmath.hpp"
#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>
#include <vector>

namespace glimm {

constexpr Index kBlockRows = 8192;

// Calls work(block) for every block; each block must write only to its own place.
template <class Work> void parallel_blocks(Index blocks, int threads, Work work) {
  threads = static_cast<int>(std::min<Index>(threads, blocks / 2));  // a thread costs more than one small block
  if (threads <= 1) {
    for (Index b = 0; b < blocks; ++b) work(b);
    return;
  }
  std::atomic<Index> next{0};
  std::vector<std::exception_ptr> failures(threads);
  const auto loop = [&](int t) {
    try {
      for (Index b = next++; b < blocks; b = next++) work(b);
    } catch (...) {
      failures[t] = std::current_exception();
    }
  };
  std::vector<std::thread> pool;
  for (int t = 1; t < threads; ++t) pool.emplace_back(loop, t);
  loop(0);
  for (auto& t : pool) t.join();
  for (auto& f : failures) if (f) std::rethrow_exception(f);
}

constexpr Index kRunRows = 512;

// Runs of whole clusters with about kRunRows rows (one larger cluster is a run of its own): work(first, last, r0, rows), so that
// the loops over rows are long even where clusters are small.
template <class Work> void over_runs(const Index* starts, Index begin, Index end, Work work) {
  for (Index j = begin; j < end;) {
    Index last = j + 1;
    while (last < end && starts[last + 1] - starts[j] <= kRunRows) ++last;
    work(j, last, starts[j], starts[last] - starts[j]);
    j = last;
  }
}

// Cluster boundaries of blocks of whole clusters with about kBlockRows rows each.
inline std::vector<Index> cluster_blocks(const Index* starts, Index clusters) {
  std::vector<Index> edges{0};
  for (Index j = 0; j < clusters; ++j)
    if (starts[j + 1] - starts[edges.back()] >= kBlockRows || j + 1 == clusters) edges.push_back(j + 1);
  return edges;
}

}  // namespace glimm
