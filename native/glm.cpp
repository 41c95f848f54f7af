// GLM: score X'd1 and expected information X'WX in one pass over blocks of rows, and the row-wise extras of a linear predictor.
#include "glm.hpp"

#include "threads.hpp"

namespace glimm {
namespace {

constexpr Index kChunk = 512;

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

GlmPass glm_pass(const Rows& rows, const Stage& stage, const double* beta, int threads) {
  const int p = rows.p;
  const size_t pp = static_cast<size_t>(p) * p;
  const CrossProduct cross(rows);
  const Index per_block = cross.block_rows(kBlockRows), blocks = (rows.n + per_block - 1) / per_block;
  std::vector<GlmPass> part(blocks);
  parallel_blocks(blocks, threads, [&](Index b) {
    GlmPass& out = part[b];
    out.score.assign(p, 0.0);
    out.information.assign(pp, 0.0);
    Vec eta(kChunk), y(kChunk), size(kChunk), l(kChunk), d1(kChunk), w(kChunk), x;
    const Index end = std::min(rows.n, (b + 1) * per_block);
    for (Index r = b * per_block; r < end; r += kChunk) {
      check_interrupt();
      const Index m = std::min(kChunk, end - r);
      rows.linear(r, m, beta, eta.data());
      rows.gather(rows.y, r, m, y.data());
      if (rows.size) rows.gather(rows.size, r, m, size.data());
      stage_working(stage, m, y.data(), rows.size ? size.data() : nullptr, eta.data(), l.data(), d1.data(), w.data());
      for (Index i = 0; i < m; ++i) out.loglik += l[i];
      rows.transpose_times(r, m, d1.data(), out.score.data());
      cross.add(r, m, w.data(), out.information.data(), x);
    }
  });
  GlmPass total;
  total.score.assign(p, 0.0);
  total.information.assign(pp, 0.0);
  Vec h(pp, 0.0);
  for (const auto& b : part) {
    total.loglik += b.loglik;
    for (int c = 0; c < p; ++c) total.score[c] += b.score[c];
    for (size_t c = 0; c < pp; ++c) h[c] += b.information[c];
  }
  cross.finish(h.data(), total.information.data());
  return total;
}

void gram(const Rows& rows, double* out, int threads) {
  const size_t pp = static_cast<size_t>(rows.p) * rows.p;
  const CrossProduct cross(rows);
  const Index per_block = cross.block_rows(kBlockRows), blocks = (rows.n + per_block - 1) / per_block;
  std::vector<Vec> part(blocks);
  parallel_blocks(blocks, threads, [&](Index b) {
    part[b].assign(pp, 0.0);
    Vec x;
    const Index end = std::min(rows.n, (b + 1) * per_block);
    Vec w(kChunk);
    for (Index r = b * per_block; r < end; r += kChunk) {
      check_interrupt();
      const Index m = std::min(kChunk, end - r);
      if (rows.size) rows.gather(rows.size, r, m, w.data());
      cross.add(r, m, rows.size ? w.data() : nullptr, part[b].data(), x);
    }
  });
  Vec h(pp, 0.0);
  for (const auto& b : part)
    for (size_t c = 0; c < pp; ++c) h[c] += b[c];
  cross.finish(h.data(), out);
}

void linear_predictor(const Rows& rows, const double* beta, double* eta, int threads) {
  over_chunks(rows.n, kBlockRows, threads, [&](Index, Index r, Index m) { rows.linear(r, m, beta, eta + r); });
}

void leverages(const Rows& rows, const double* w, const double* c, double* h, int threads) {
  const int p = rows.p;
  over_chunks(rows.n, kBlockRows, threads, [&](Index, Index r, Index m) {
    Vec x(static_cast<size_t>(m) * p);
    rows.fill(r, m, x.data());
    for (Index i = 0; i < m; ++i) {
      const double* xi = x.data() + i * p;
      double t = 0.0;
      for (int a = 0; a < p; ++a) t += xi[a] * dot(c + static_cast<size_t>(a) * p, xi, p);
      h[r + i] = w[r + i] * t;
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
