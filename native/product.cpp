// C += sign A B in tiles: C[i, j] += sign sum_k A[i, k] B[k, j], the sum over blocks of k in order.
#include "product.hpp"

#include <algorithm>
#include <utility>

#include "lanes.hpp"
#include "threads.hpp"

namespace glimm {
namespace {

constexpr int kRows = kTileRows, kColumns = kTileLanes * kLane;  // of a tile in registers
constexpr Index kDepth = 256;         // of packed panels: kColumns x kDepth doubles fit the first cache
constexpr Index kPackRows = 192;      // kPackRows x kDepth doubles fit the second cache
constexpr Index kPackColumns = 768;
constexpr double kSharedWork = 4e6;   // products from which threads are worth their start

constexpr Index whole(Index n, Index unit) { return (n + unit - 1) / unit * unit; }

// Panels of `Width` rows of a (m x k): Width values for every k, zero beyond the last row.
template <int Width> void pack(const View& a, Index m, Index k, double* GLIMM_RESTRICT out) {
  for (Index i = 0; i < m; i += Width, out += Width * k) {
    const double* p = a.p + i * a.down;
    if (i + Width > m) {
      for (Index c = 0; c < k; ++c)
        for (int r = 0; r < Width; ++r) out[c * Width + r] = i + r < m ? p[r * a.down + c * a.right] : 0.0;
    } else if (a.down == 1) {
      for (Index c = 0; c < k; ++c)
        for (int r = 0; r < Width; ++r) out[c * Width + r] = p[r + c * a.right];
    } else {
      for (Index c = 0; c < k; ++c)
        for (int r = 0; r < Width; ++r) out[c * Width + r] = p[r * a.down + c * a.right];
    }
  }
}

// c (kRows x kColumns) += sign * panel a * panel b
GLIMM_INLINE void add_tile(double* c, Index ld, Index k, const double* GLIMM_RESTRICT a, const double* GLIMM_RESTRICT b, double sign) {
  Lane sum[kRows][kTileLanes];
  for (int i = 0; i < kRows; ++i)
    for (int j = 0; j < kTileLanes; ++j) sum[i][j] = lane_all(0.0);
  for (Index s = 0; s < k; ++s, a += kRows, b += kColumns) {
    Lane row[kTileLanes];
    for (int j = 0; j < kTileLanes; ++j) row[j] = lane_load(b + j * kLane);
    for (int i = 0; i < kRows; ++i) {
      const Lane x = lane_all(a[i]);
      for (int j = 0; j < kTileLanes; ++j) sum[i][j] = fused(x, row[j], sum[i][j]);
    }
  }
  const Lane by = lane_all(sign);
  for (int i = 0; i < kRows; ++i)
    for (int j = 0; j < kTileLanes; ++j) {
      double* at = c + i * ld + j * kLane;
      lane_store(at, fused(by, sum[i][j], lane_load(at)));
    }
}

// A tile that reaches over the edge (m, n) of C, or over its diagonal: column j of row i is within if j <= i + reach.
void add_part(double* c, Index ld, Index m, Index n, Index k, const double* a, const double* b, double sign, Index reach) {
  double t[kRows * kColumns] = {};
  const auto each = [&](auto work) {
    for (Index i = 0; i < std::min<Index>(m, kRows); ++i)
      for (Index j = 0; j < std::min<Index>({n, kColumns, i + reach + 1}); ++j) work(t[i * kColumns + j], c[i * ld + j]);
  };
  each([](double& in, const double& at) { in = at; });
  add_tile(t, kColumns, k, a, b, sign);
  each([](const double& in, double& at) { at = in; });
}

// C += sign A B by one thread; with `lower`, column j of row i is within if j <= i + reach.
void add_block(const View& c, const View& a, const View& b, Index m, Index n, Index k, double sign, bool lower, Index reach, const PackSpace::Panels& panels) {
  const Index depths = (k + kDepth - 1) / kDepth, step = (k + depths - 1) / depths;
  for (Index j0 = 0; j0 < n; j0 += kPackColumns) {
    const Index nb = std::min(kPackColumns, n - j0);
    for (Index s = 0; s < k; s += step) {
      const Index depth = std::min(step, k - s);
      pack<kColumns>(b.at(s, j0).t(), nb, depth, panels.b.get());
      for (Index i0 = 0; i0 < m; i0 += kPackRows) {
        const Index mb = std::min(kPackRows, m - i0);
        if (lower && j0 > i0 + mb - 1 + reach) continue;
        check_interrupt();
        pack<kRows>(a.at(i0, s), mb, depth, panels.a.get());
        for (Index j = 0; j < nb; j += kColumns)
          for (Index i = 0; i < mb; i += kRows) {
            const Index over = lower ? i0 + i + reach - (j0 + j) : kColumns;  // the first row is within up to its column `over`
            if (over + kRows - 1 < 0) continue;
            double* at = c.p + (i0 + i) * c.down + j0 + j;
            const double *pa = panels.a.get() + i * depth, *pb = panels.b.get() + j * depth;
            if (i + kRows <= mb && j + kColumns <= nb && over >= kColumns - 1) add_tile(at, c.down, depth, pa, pb, sign);
            else add_part(at, c.down, mb - i, nb - j, depth, pa, pb, sign, over);
          }
      }
    }
  }
}

}  // namespace

PackSpace::PackSpace(Index side)
    : a_(static_cast<size_t>(whole(std::min(side, kPackRows), kRows) * std::min(side, kDepth))),
      b_(static_cast<size_t>(whole(std::min(side, kPackColumns), kColumns) * std::min(side, kDepth))) {}

PackSpace::Panels PackSpace::take() {
  {
    const std::lock_guard<std::mutex> guard(mutex_);
    if (!free_.empty()) {
      Panels panels = std::move(free_.back());
      free_.pop_back();
      return panels;
    }
  }
  return {std::unique_ptr<double[]>(new double[a_]), std::unique_ptr<double[]>(new double[b_])};
}

void PackSpace::give(Panels panels) {
  const std::lock_guard<std::mutex> guard(mutex_);
  free_.push_back(std::move(panels));
}

void add_product(View c, View a, View b, Index m, Index n, Index k, double sign, bool lower, PackSpace& space, int threads) {
  if (m <= 0 || n <= 0 || k <= 0) return;
  if (c.right != 1) return add_product(c.t(), b.t(), a.t(), n, m, k, sign, false, space, threads);
  const bool alone = threads <= 1 || static_cast<double>(m) * n * k < kSharedWork;
  const Index rows = alone ? m : m < 4 * threads * kPackRows ? kPackRows / 2 : 2 * kPackRows;
  const Index columns = alone ? n : kPackColumns;
  std::vector<std::pair<Index, Index>> blocks;
  for (Index i = 0; i < m; i += rows)
    for (Index j = 0; j < n; j += columns)
      if (!lower || j < i + rows) blocks.emplace_back(i, j);
  parallel_blocks(static_cast<Index>(blocks.size()), alone ? 1 : threads, [&](Index t) {
    const Index i = blocks[t].first, j = blocks[t].second;
    auto panels = space.take();
    add_block(c.at(i, j), a.at(i, 0), b.at(0, j), std::min(rows, m - i), std::min(columns, n - j), k, sign, lower, i - j, panels);
    space.give(std::move(panels));
  });
}

}  // namespace glimm
