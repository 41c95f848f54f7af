// GLM: score X'd1 and expected information X'WX in one pass over blocks of rows, and the row-wise extras of a linear predictor.
#include "glm.hpp"

#include <map>

#include "columns.hpp"
#include "threads.hpp"

namespace glimm {
namespace {

constexpr Index kChunk = 512;
constexpr Index kPassRows = 256;

// Sums over blocks, added in the order of blocks as they come, so that few are held.
class InOrder {
 public:
  explicit InOrder(size_t size) : total_(size, 0.0) {}
  Vec take() {  // zeros
    const std::lock_guard<std::mutex> lock(mutex_);
    if (free_.empty()) return Vec(total_.size(), 0.0);
    Vec part = std::move(free_.back());
    free_.pop_back();
    std::fill(part.begin(), part.end(), 0.0);
    return part;
  }
  void give(Index block, Vec part) {
    const std::lock_guard<std::mutex> lock(mutex_);
    waiting_.emplace(block, std::move(part));
    for (auto next = waiting_.begin(); next != waiting_.end() && next->first == next_; next = waiting_.erase(next), ++next_) {
      for (size_t i = 0; i < total_.size(); ++i) total_[i] += next->second[i];
      free_.push_back(std::move(next->second));
    }
  }
  Vec total() { return std::move(total_); }

 private:
  Vec total_;
  std::map<Index, Vec> waiting_;
  std::vector<Vec> free_;
  Index next_ = 0;
  std::mutex mutex_;
};

// Runs work(block, begin, end) over blocks of rows.
template <class Work> void over_blocks(Index n, Index block_rows, int threads, Work work) {
  parallel_blocks((n + block_rows - 1) / block_rows, threads, [&](Index b) { work(b, b * block_rows, std::min(n, (b + 1) * block_rows)); });
}

// Runs work(block, r0, m) over the chunks of every block.
template <class Work> void over_chunks(Index n, Index block_rows, int threads, Work work) {
  parallel_blocks((n + block_rows - 1) / block_rows, threads, [&](Index b) {
    const Index end = std::min(n, (b + 1) * block_rows);
    for (Index r = b * block_rows; r < end; r += kChunk) {
      check_interrupt();
      work(b, r, std::min(kChunk, end - r));
    }
  });
}

// Error-free sums and products: s + e = a + b, p + e = a * b exactly.
struct Twice {
  double high = 0.0, low = 0.0;
  void add(double b) {
    const double s = high + b, bb = s - high;
    low += (high - (s - bb)) + (b - bb);
    high = s;
  }
  void add_product(double a, double b) {
    const double p = a * b;
    low += std::fma(a, b, -p);
    add(p);
  }
};

}  // namespace

GlmPass glm_pass(const Rows& rows, const Stage& stage, const double* beta, const Asked& asked, int threads) {
  const size_t p = static_cast<size_t>(rows.p);
  const Columns columns(rows);
  const size_t square = asked.information ? static_cast<size_t>(columns.side()) * columns.side() : 0;
  const Index chunk = stage.own ? kMostChunk : kPassRows;  // Python is called seldom
  InOrder sums(1 + p + square);
  over_blocks(rows.n, columns.block_rows(kBlockRows), threads, [&](Index b, Index begin, Index end) {
    Vec part = sums.take();
    double *score = part.data() + 1, *h = score + p;
    Columns::Space space;
    Vec eta(chunk), gathered(rows.order ? 2 * chunk : 0), l(chunk), d1(chunk), w(chunk);
    for (Index r = begin; r < end; r += chunk) {
      if (r / chunk % asked.every != asked.every / 2) continue;
      check_interrupt();
      const Index m = std::min(chunk, end - r);
      columns.open(r, m, space);
      double* at = asked.eta ? asked.eta + r : eta.data();
      rows.linear(r, m, beta, at);  // the bits of linear_predictor
      const double *y = rows.y + r, *size = rows.size ? rows.size + r : nullptr;
      if (rows.order) {
        rows.gather(rows.y, r, m, gathered.data());
        y = gathered.data();
        if (rows.size) rows.gather(rows.size, r, m, gathered.data() + chunk);
        size = rows.size ? gathered.data() + chunk : nullptr;
      }
      stage_working(stage, m, y, size, at, l.data(), d1.data(), w.data());
      for (Index i = 0; i < m; ++i) part[0] += l[i];
      columns.transpose_times(space, d1.data(), score);
      if (square) columns.cross(space, w.data(), h);
    }
    sums.give(b, std::move(part));
  });
  const Vec total = sums.total();
  GlmPass out;
  out.loglik = total[0];
  out.score.assign(total.data() + 1, total.data() + 1 + p);
  if (square) {
    out.information.assign(p * p, 0.0);
    columns.finish(total.data() + 1 + p, out.information.data());
  }
  return out;
}

void gram(const Rows& rows, Index every, double* out, int threads) {
  const Columns columns(rows);
  InOrder sums(static_cast<size_t>(columns.side()) * columns.side());
  over_blocks(rows.n, columns.block_rows(kBlockRows), threads, [&](Index b, Index begin, Index end) {
    Vec part = sums.take();
    Columns::Space space;
    Vec w(rows.size && rows.order ? kPassRows : 0);
    for (Index r = begin; r < end; r += kPassRows) {
      if (r / kPassRows % every != every / 2) continue;
      check_interrupt();
      const Index m = std::min(kPassRows, end - r);
      columns.open(r, m, space);
      if (!w.empty()) rows.gather(rows.size, r, m, w.data());
      columns.cross(space, !w.empty() ? w.data() : rows.size ? rows.size + r : nullptr, part.data());
    }
    sums.give(b, std::move(part));
  });
  columns.finish(sums.total().data(), out);
}

void linear_predictor(const Rows& rows, const double* beta, double* eta, int threads) {
  over_chunks(rows.n, kBlockRows, threads, [&](Index, Index r, Index m) { rows.linear(r, m, beta, eta + r); });
}

// w x'Cx, tiles of rows side by side, C = C' by its upper triangle.
void leverages(const Rows& rows, const double* w, const double* c, double* h, int threads) {
  constexpr Index kTile = 16, kFew = 16 * kTile;
  const Index p = rows.p;
  Vec twice(static_cast<size_t>(p) * p);
  for (Index a = 0; a < p; ++a)
    for (Index b = a + 1; b < p; ++b) twice[a * p + b] = c[a * p + b] + c[b * p + a];
  over_chunks(rows.n, kBlockRows, threads, [&](Index, Index begin, Index count) {
    Vec x(static_cast<size_t>(kFew) * p), tile(static_cast<size_t>(kTile) * p);
    for (Index r = begin; r < begin + count; r += kTile) {
      const Index from = (r - begin) % kFew, here = std::min(kTile, begin + count - r);
      if (from == 0) rows.fill(r, std::min(kFew, begin + count - r), x.data());
      for (Index k = 0; k < here; ++k)
        for (Index a = 0; a < p; ++a) tile[a * kTile + k] = x[(from + k) * p + a];
      double sum[kTile] = {};
      for (Index a = 0; a < p; ++a) {
        const double *xa = tile.data() + a * kTile, *row = twice.data() + a * p;
        double u[kTile];
        for (Index k = 0; k < kTile; ++k) u[k] = c[a * p + a] * xa[k];
        for (Index b = a + 1; b < p; ++b) {
          const double* xb = tile.data() + b * kTile;
          for (Index k = 0; k < kTile; ++k) u[k] += row[b] * xb[k];
        }
        for (Index k = 0; k < kTile; ++k) sum[k] += xa[k] * u[k];
      }
      for (Index k = 0; k < here; ++k) h[r + k] = w[r + k] * sum[k];
    }
  });
}

void cluster_scores(const Rows& rows, const double* d1, const Index* starts, Index clusters, double* scores, int threads) {
  const int p = rows.p;
  const auto edges = cluster_blocks(starts, clusters);
  parallel_blocks(static_cast<Index>(edges.size()) - 1, threads, [&](Index b) {
    Vec v(kChunk);
    for (Index j = edges[b]; j < edges[b + 1]; ++j) {
      double* s = scores + j * p;
      std::fill(s, s + p, 0.0);
      for (Index r = starts[j]; r < starts[j + 1]; r += kChunk) {
        check_interrupt();
        const Index m = std::min(kChunk, starts[j + 1] - r);
        rows.gather(d1, r, m, v.data());
        rows.transpose_times(r, m, v.data(), s);
      }
    }
  });
}

void refined_residual_score(const Rows& rows, const double* high, const double* low, double* total) {
  std::vector<Twice> sums(rows.p);
  for (int c = 0; c < rows.p; ++c) sums[c] = {total[c], total[rows.p + c]};
  Vec x(rows.p);
  Rows raw = rows;
  for (auto& c : raw.numeric) { c.center = 0.0; c.inverse_scale = 1.0; }
  for (auto& c : raw.sparse) c.inverse_scale = 1.0;
  for (auto& b : raw.indicators) std::fill(b.inverse_scale.begin(), b.inverse_scale.end(), 1.0);
  for (Index i = 0; i < rows.n; ++i) {
    if (i % kChunk == 0) check_interrupt();
    raw.fill(i, 1, x.data());
    const Index at = rows.at(i);
    Twice r;
    r.add(rows.y[at]);
    if (rows.offset) r.add(-rows.offset[at]);
    for (int c = 0; c < rows.p; ++c) {
      r.add_product(-x[c], high[c]);
      r.low -= x[c] * low[c];
    }
    Twice weighted;
    const double w = rows.size ? rows.size[at] : 1.0;
    weighted.add_product(w, r.high);
    weighted.low += w * r.low;
    for (int c = 0; c < rows.p; ++c) {
      sums[c].add_product(x[c], weighted.high);
      sums[c].low += x[c] * weighted.low;
    }
  }
  for (int c = 0; c < rows.p; ++c) {
    total[c] = sums[c].high;
    total[rows.p + c] = sums[c].low;
  }
}

void blocked_qr(const Rows& rows, double* r) {
  const int p = rows.p;
  Vec a(static_cast<size_t>(p + kChunk) * p, 0.0), v(p + kChunk);
  std::copy(r, r + static_cast<size_t>(p) * p, a.begin());
  for (Index r0 = 0; r0 < rows.n; r0 += kChunk) {
    check_interrupt();
    const Index m = std::min(kChunk, rows.n - r0), height = p + m;
    double* chunk = a.data() + static_cast<size_t>(p) * p;
    rows.fill(r0, m, chunk);
    for (Index i = 0; rows.size && i < m; ++i) {
      const double root = std::sqrt(rows.size[rows.at(r0 + i)]);
      for (int c = 0; c < p; ++c) chunk[i * p + c] *= root;
    }
    for (int c = 0; c < p; ++c) {  // Householder on rows c, p, p + 1, ...: R of the rows before is already upper
      double norm2 = 0.0;
      for (Index i = p; i < height; ++i) norm2 += a[i * p + c] * a[i * p + c];
      if (norm2 == 0.0) continue;
      const double pivot = a[static_cast<size_t>(c) * p + c], norm = std::sqrt(pivot * pivot + norm2);
      const double alpha = pivot > 0.0 ? -norm : norm, head = pivot - alpha, scale = 2.0 / (head * head + norm2);
      for (Index i = p; i < height; ++i) v[i] = a[i * p + c];
      for (int d = c + 1; d < p; ++d) {
        double t = head * a[static_cast<size_t>(c) * p + d];
        for (Index i = p; i < height; ++i) t += v[i] * a[i * p + d];
        t *= scale;
        a[static_cast<size_t>(c) * p + d] -= t * head;
        for (Index i = p; i < height; ++i) a[i * p + d] -= t * v[i];
      }
      a[static_cast<size_t>(c) * p + c] = alpha;
      for (Index i = p; i < height; ++i) a[i * p + c] = 0.0;
    }
  }
  for (int i = 0; i < p; ++i)
    for (int c = 0; c < p; ++c) r[static_cast<size_t>(i) * p + c] = c >= i ? a[static_cast<size_t>(i) * p + c] : 0.0;
}

}  // namespace glimm
