// Blocks of rows over threads: result = sum over blocks in block order, the same for any number of threads.
#pragma once
#include "interrupt.hpp"
#include "vmath.hpp"
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace glimm {

constexpr Index kBlockRows = 8192;

#if defined(_MSC_VER)
#define GLIMM_APART __declspec(noinline)
#elif defined(__clang__)
#define GLIMM_APART __attribute__((noinline))
#else
#define GLIMM_APART __attribute__((noinline, noclone))
#endif

// One compiled copy of a block's work: where it is inlined twice, products may be fused differently, and bits depend on the path taken.
template <class Work> GLIMM_APART void one_block(Work& work, Index b) { work(b); }

// Calls work(block) for every block; each block must write only to its own place. The first failure, an interrupt too, ends all threads
// of the call after their block.
template <class Work> void parallel_blocks(Index blocks, int threads, Work work) {
  threads = static_cast<int>(std::min<Index>(threads, blocks / 2));  // a thread costs more than one small block
  if (threads <= 1) {
    for (Index b = 0; b < blocks; ++b) {
      check_interrupt();
      one_block(work, b);
    }
    return;
  }
  Call alone;
  Call& call = current_call() ? *current_call() : alone;
  std::atomic<Index> next{0};
  std::vector<std::exception_ptr> failures(threads);
  const auto guarded = [&](int t, auto run) {
    try {
      run();
    } catch (const Stopped&) {
    } catch (...) {
      failures[t] = std::current_exception();
      call.stopped = true;
    }
  };
  const auto loop = [&] {
    for (Index b = next++; b < blocks && !call.stopped; b = next++) {
      check_interrupt();
      one_block(work, b);
    }
  };
  std::mutex mutex;
  std::condition_variable ended;
  int running = 0;
  std::vector<std::thread> pool;
  pool.reserve(threads - 1);
  try {
    for (int t = 1; t < threads; ++t) {
      pool.emplace_back([&, t] {
        const Joined joined(&call);
        guarded(t, loop);
        const std::lock_guard<std::mutex> lock(mutex);
        --running;
        ended.notify_one();
      });
      const std::lock_guard<std::mutex> lock(mutex);
      ++running;
    }
  } catch (...) {  // no more threads to be had: those that run do the work
  }
  guarded(0, loop);
  guarded(0, [&] {  // a thread's last block may be long: signals are asked for meanwhile
    std::unique_lock<std::mutex> lock(mutex);
    while (asks_for_signals() && !call.stopped && !ended.wait_for(lock, std::chrono::milliseconds(50), [&] { return running == 0; })) {
      lock.unlock();
      check_interrupt();
      lock.lock();
    }
  });
  for (auto& t : pool) t.join();
  for (auto& f : failures) if (f) std::rethrow_exception(f);
  if (call.stopped) throw Stopped();
}

constexpr Index kRunRows = 512;

// Runs of whole clusters with about kRunRows rows (one larger cluster is a run of its own): work(first, last, r0, rows), so that
// the loops over rows are long even where clusters are small.
template <class Work> void over_runs(const Index* starts, Index begin, Index end, Work work) {
  for (Index j = begin; j < end;) {
    Index last = j + 1;
    while (last < end && starts[last + 1] - starts[j] <= kRunRows) ++last;
    check_interrupt();
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
