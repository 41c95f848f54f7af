// Levels: rows of log pi_y with derivatives in m linear predictors, and score and information of all parameters in one pass over blocks.
//
// Ordinal: a threshold is an indicator, d eta_c / d t_c = -1, so that a row adds to X'WX, to two thresholds and to their two rows of T'X.
#include "levels.hpp"

#include "columns.hpp"
#include "intervals.hpp"
#include "threads.hpp"

namespace glimm {
namespace {

constexpr Index kChunk = 512;

size_t place(int c, int k) { return c >= k ? static_cast<size_t>(c) * (c + 1) / 2 + k : static_cast<size_t>(k) * (k + 1) / 2 + c; }

// pi (C) and 1 - pi of a row with predictors eta_1 .. eta_m; returns the largest predictor (0 is the reference's) and the log of the sum over it.
struct Shares {
  Vec pi, rest;
  double top = 0.0, log_sum = 0.0;
  explicit Shares(int m) : pi(m + 1), rest(m + 1) {}
  void at(int m, const double* eta, Index stride) {
    int first = 0;
    top = 0.0;
    for (int c = 0; c < m; ++c)
      if (eta[c * stride] > top) { top = eta[c * stride]; first = c + 1; }
    double others = 0.0;
    for (int k = 0; k <= m; ++k) {
      pi[k] = k == first ? 1.0 : std::exp((k ? eta[(k - 1) * stride] : 0.0) - top);
      if (k != first) others += pi[k];
    }
    const double total = 1.0 + others;
    log_sum = std::log1p(others);
    for (int k = 0; k <= m; ++k) {
      pi[k] /= total;
      rest[k] = k == first ? others / total : 1.0 - pi[k];
    }
  }
  double log_of(int k, const double* eta, Index stride) const { return (k ? eta[(k - 1) * stride] : 0.0) - top - log_sum; }
  double curvature(int c, int k) const { return c == k ? pi[c + 1] * rest[c + 1] : -pi[c + 1] * pi[k + 1]; }
  double relative(int k, int c) const { return k == c + 1 ? rest[k] : -pi[c + 1]; }
};

template <class Of> Interval of_row(int y, int m, const double* eta, Index stride) {
  return level_interval<Of>(y, m, y > 0 ? eta[(y - 1) * stride] : 0.0, y < m ? eta[y * stride] : 0.0);
}

// What one chunk of rows adds: d by row, w by row, and of every threshold the sums of its own and v by row.
struct Chunk {
  Vec d, w, v;
  explicit Chunk(int m) : d(kChunk), w(kChunk), v(static_cast<size_t>(m) * kChunk) {}
};

struct Sums {
  double loglik = 0.0;
  Vec thresholds, diagonal, beside;  // score of t; T'WT, its diagonal and the entries beside it
  Vec score, gram, cross;            // X'd, X'WX, T'X by threshold
  Sums() = default;
  Sums(int m, int p, int side) : thresholds(m), diagonal(m), beside(m), score(p), gram(static_cast<size_t>(side) * side), cross(static_cast<size_t>(m) * p) {}
  void add(const Sums& o) {
    loglik += o.loglik;
    const auto sum = [](Vec& a, const Vec& b) { for (size_t k = 0; k < a.size(); ++k) a[k] += b[k]; };
    sum(thresholds, o.thresholds);
    sum(diagonal, o.diagonal);
    sum(beside, o.beside);
    sum(score, o.score);
    sum(gram, o.gram);
    sum(cross, o.cross);
  }
};

// Adds information {aa, ab, bb} in the two predictors around level y of row i.
void add_information(Sums& out, Chunk& at, int y, int m, Index i, double aa, double ab, double bb) {
  at.w[i] += aa + 2.0 * ab + bb;
  if (y > 0) {
    out.diagonal[y - 1] += aa;
    at.v[(y - 1) * kChunk + i] -= aa + ab;
  }
  if (y < m) {
    out.diagonal[y] += bb;
    at.v[y * kChunk + i] -= bb + ab;
  }
  if (y > 0 && y < m) out.beside[y] += ab;
}

template <class Of> void ordinal_rows(Sums& out, Chunk& at, int m, Index n, const double* y, const double* size, const double* eta, const double* t, bool expected) {
  std::fill(at.v.begin(), at.v.end(), 0.0);
  for (Index i = 0; i < n; ++i) {
    at.d[i] = at.w[i] = 0.0;
    const double s = size ? size[i] : 1.0;
    if (s == 0.0) continue;
    const int k = static_cast<int>(y[i]);
    const Interval j = level_interval<Of>(k, m, k > 0 ? eta[i] - t[k - 1] : 0.0, k < m ? eta[i] - t[k] : 0.0);
    out.loglik += s * j.l;
    at.d[i] = s * (j.a + j.b);
    if (k > 0) out.thresholds[k - 1] -= s * j.a;
    if (k < m) out.thresholds[k] -= s * j.b;
    if (!expected) {
      add_information(out, at, k, m, i, -s * j.aa, -s * j.ab, -s * j.bb);
      continue;
    }
    for (int c = 0; c <= m; ++c) {
      const Interval e = level_interval<Of>(c, m, c > 0 ? eta[i] - t[c - 1] : 0.0, c < m ? eta[i] - t[c] : 0.0);
      const double pi = s * std::exp(e.l);
      add_information(out, at, c, m, i, pi * e.a * e.a, pi * e.a * e.b, pi * e.b * e.b);
    }
  }
}

LevelPass ordinal_pass(const Rows& rows, const LevelStage& stage, const double* parameters, bool expected, int threads) {
  const int m = stage.m, p = rows.p, size = m + p;
  const Columns cross(rows);
  const Index per_block = cross.block_rows(kBlockRows), blocks = (rows.n + per_block - 1) / per_block;
  std::vector<Sums> part(blocks);
  parallel_blocks(blocks, threads, [&](Index b) {
    Sums& out = part[b] = Sums(m, p, cross.side());
    Chunk at(m);
    Vec eta(kChunk), y(kChunk), weight(kChunk);
    Columns::Space x;
    const Index end = std::min(rows.n, (b + 1) * per_block);
    for (Index r = b * per_block; r < end; r += kChunk) {
      check_interrupt();
      const Index n = std::min(kChunk, end - r);
      rows.linear(r, n, parameters + m, eta.data());
      rows.gather(rows.y, r, n, y.data());
      if (rows.size) rows.gather(rows.size, r, n, weight.data());
      for_interval(stage.link, [&](auto of) {
        ordinal_rows<decltype(of)>(out, at, m, n, y.data(), rows.size ? weight.data() : nullptr, eta.data(), parameters, expected);
      });
      rows.transpose_times(r, n, at.d.data(), out.score.data());
      cross.open(r, n, x);
      cross.cross(x, at.w.data(), out.gram.data());
      for (int c = 0; c < m; ++c) rows.transpose_times(r, n, at.v.data() + c * kChunk, out.cross.data() + static_cast<size_t>(c) * p);
    }
  });
  Sums all(m, p, cross.side());
  for (const auto& b : part) all.add(b);
  Vec gram(static_cast<size_t>(p) * p);
  cross.finish(all.gram.data(), gram.data());
  LevelPass total;
  total.loglik = all.loglik;
  total.score = all.thresholds;
  total.score.insert(total.score.end(), all.score.begin(), all.score.end());
  total.information.assign(static_cast<size_t>(size) * size, 0.0);
  const auto put = [&](int i, int j, double value) { total.information[static_cast<size_t>(i) * size + j] = total.information[static_cast<size_t>(j) * size + i] = value; };
  for (int c = 0; c < m; ++c) {
    put(c, c, all.diagonal[c]);
    if (c > 0) put(c, c - 1, all.beside[c]);
    for (int j = 0; j < p; ++j) put(c, m + j, all.cross[static_cast<size_t>(c) * p + j]);
  }
  for (int i = 0; i < p; ++i)
    for (int j = 0; j < p; ++j) put(m + i, m + j, gram[static_cast<size_t>(i) * p + j]);
  return total;
}

LevelPass nominal_pass(const Rows& rows, const LevelStage& stage, const double* parameters, int threads) {
  const int m = stage.m, p = rows.p, size = m * p;
  const Columns cross(rows);
  const size_t pp = static_cast<size_t>(p) * p, own = static_cast<size_t>(cross.side()) * cross.side(), pairs = static_cast<size_t>(m) * (m + 1) / 2;
  const Index per_block = cross.block_rows(kBlockRows) * std::max(1, m / 4), blocks = (rows.n + per_block - 1) / per_block;
  std::vector<LevelPass> part(blocks);  // information: the pairs of levels, one after the other
  parallel_blocks(blocks, threads, [&](Index b) {
    LevelPass& out = part[b];
    out.score.assign(size, 0.0);
    out.information.assign(pairs * own, 0.0);
    Vec eta(m * kChunk), d(m * kChunk), w(pairs * kChunk), y(kChunk), weight(kChunk);
    Columns::Space x;
    Shares at(m);
    const Index end = std::min(rows.n, (b + 1) * per_block);
    for (Index r = b * per_block; r < end; r += kChunk) {
      check_interrupt();
      const Index n = std::min(kChunk, end - r);
      for (int c = 0; c < m; ++c) rows.linear(r, n, parameters + static_cast<size_t>(c) * p, eta.data() + c * kChunk);
      rows.gather(rows.y, r, n, y.data());
      if (rows.size) rows.gather(rows.size, r, n, weight.data());
      for (Index i = 0; i < n; ++i) {
        const double s = rows.size ? weight[i] : 1.0;
        const int k = static_cast<int>(y[i]);
        at.at(m, eta.data() + i, kChunk);
        if (s != 0.0) out.loglik += s * at.log_of(k, eta.data() + i, kChunk);
        for (int c = 0; c < m; ++c) {
          d[c * kChunk + i] = s * at.relative(k, c);
          for (int e = 0; e <= c; ++e) w[place(c, e) * kChunk + i] = s * at.curvature(c, e);
        }
      }
      cross.open(r, n, x);
      for (int c = 0; c < m; ++c) {
        rows.transpose_times(r, n, d.data() + c * kChunk, out.score.data() + static_cast<size_t>(c) * p);
        for (int e = 0; e <= c; ++e) cross.cross(x, w.data() + place(c, e) * kChunk, out.information.data() + place(c, e) * own);
      }
    }
  });
  LevelPass total;
  total.score.assign(size, 0.0);
  total.information.assign(static_cast<size_t>(size) * size, 0.0);
  Vec h(pairs * own, 0.0), block(pp);
  for (const auto& b : part) {
    total.loglik += b.loglik;
    for (int c = 0; c < size; ++c) total.score[c] += b.score[c];
    for (size_t c = 0; c < h.size(); ++c) h[c] += b.information[c];
  }
  for (int c = 0; c < m; ++c)
    for (int e = 0; e <= c; ++e) {
      cross.finish(h.data() + place(c, e) * own, block.data());
      for (int i = 0; i < p; ++i)
        for (int j = 0; j < p; ++j)
          total.information[(static_cast<size_t>(c) * p + i) * size + e * p + j] =
              total.information[(static_cast<size_t>(e) * p + j) * size + c * p + i] = block[static_cast<size_t>(i) * p + j];
    }
  return total;
}

template <class Of> void ordinal_jets(int m, Index n, const double* y, const double* size, const double* eta, double* l, double* d1, double* d2) {
  for (Index i = 0; i < n; ++i) {
    const int k = static_cast<int>(y[i]);
    const double s = size ? size[i] : 1.0;
    const Interval j = of_row<Of>(k, m, eta + i, n);
    l[i] = s == 0.0 ? 0.0 : s * j.l;
    if (k > 0) {
      d1[(k - 1) * n + i] = s * j.a;
      d2[place(k - 1, k - 1) * n + i] = s * j.aa;
    }
    if (k < m) {
      d1[k * n + i] = s * j.b;
      d2[place(k, k) * n + i] = s * j.bb;
    }
    if (k > 0 && k < m) d2[place(k, k - 1) * n + i] = s * j.ab;
  }
}

template <class Of> void ordinal_information(int m, Index n, const double* size, const double* eta, double* w) {
  for (Index i = 0; i < n; ++i)
    for (int k = 0; k <= m; ++k) {
      const Interval j = of_row<Of>(k, m, eta + i, n);
      const double pi = (size ? size[i] : 1.0) * std::exp(j.l);
      if (k > 0) w[place(k - 1, k - 1) * n + i] += pi * j.a * j.a;
      if (k < m) w[place(k, k) * n + i] += pi * j.b * j.b;
      if (k > 0 && k < m) w[place(k, k - 1) * n + i] += pi * j.a * j.b;
    }
}

template <class Of> void ordinal_probabilities(int m, Index n, const double* eta, double* pi, double* relative) {
  for (Index i = 0; i < n; ++i)
    for (int k = 0; k <= m; ++k) {
      const Interval j = of_row<Of>(k, m, eta + i, n);
      const Index at = i * (m + 1) + k;
      pi[at] = std::exp(j.l);
      if (k > 0) relative[at * m + k - 1] = j.a;
      if (k < m) relative[at * m + k] = j.b;
    }
}

}  // namespace

void level_jets(const LevelStage& stage, Index n, const double* y, const double* size, const double* eta, double* l, double* d1, double* d2) {
  const int m = stage.m;
  std::fill(d1, d1 + m * n, 0.0);
  std::fill(d2, d2 + static_cast<Index>(m) * (m + 1) / 2 * n, 0.0);
  if (stage.ordered()) {
    for_interval(stage.link, [&](auto of) { ordinal_jets<decltype(of)>(m, n, y, size, eta, l, d1, d2); });
    return;
  }
  Shares at(m);
  for (Index i = 0; i < n; ++i) {
    const int k = static_cast<int>(y[i]);
    const double s = size ? size[i] : 1.0;
    at.at(m, eta + i, n);
    l[i] = s == 0.0 ? 0.0 : s * at.log_of(k, eta + i, n);
    for (int c = 0; c < m; ++c) {
      d1[c * n + i] = s * at.relative(k, c);
      for (int e = 0; e <= c; ++e) d2[place(c, e) * n + i] = -s * at.curvature(c, e);
    }
  }
}

void level_information(const LevelStage& stage, Index n, const double* size, const double* eta, double* w) {
  const int m = stage.m;
  std::fill(w, w + static_cast<Index>(m) * (m + 1) / 2 * n, 0.0);
  if (stage.ordered()) {
    for_interval(stage.link, [&](auto of) { ordinal_information<decltype(of)>(m, n, size, eta, w); });
    return;
  }
  Shares at(m);
  for (Index i = 0; i < n; ++i) {
    at.at(m, eta + i, n);
    for (int c = 0; c < m; ++c)
      for (int e = 0; e <= c; ++e) w[place(c, e) * n + i] = (size ? size[i] : 1.0) * at.curvature(c, e);
  }
}

void level_probabilities(const LevelStage& stage, Index n, const double* eta, double* pi, double* relative) {
  const int m = stage.m;
  std::fill(relative, relative + n * (m + 1) * m, 0.0);
  if (stage.ordered()) {
    for_interval(stage.link, [&](auto of) { ordinal_probabilities<decltype(of)>(m, n, eta, pi, relative); });
    return;
  }
  Shares at(m);
  for (Index i = 0; i < n; ++i) {
    at.at(m, eta + i, n);
    for (int k = 0; k <= m; ++k) {
      pi[i * (m + 1) + k] = at.pi[k];
      for (int c = 0; c < m; ++c) relative[(i * (m + 1) + k) * m + c] = at.relative(k, c);
    }
  }
}

LevelPass level_pass(const Rows& rows, const LevelStage& stage, const double* parameters, bool expected, int threads) {
  return stage.ordered() ? ordinal_pass(rows, stage, parameters, expected, threads) : nominal_pass(rows, stage, parameters, threads);
}

}  // namespace glimm
