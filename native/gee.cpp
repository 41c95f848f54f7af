// GEE: H_i and U_i from whitened rows, R_i^-1 = W'W, or by closed-form inverses of the working correlation.
//
// Rows are z = [x~ e 0 ..], `width` numbers, so that S_i = Z_i'R_i^-1 Z_i holds H_i, U_i and e'R_i^-1 e at once.
// exchangeable: R^-1 = (I - c 11') / (1 - a), c = a / (1 + (m - 1) a).
// AR(1) at times t: w_j = (z_j - a^dt z_{j-1}) / sqrt(1 - a^2dt).
// AR(m): w_j = (z_j - sum_l f_l z_{j-l}) / sd_j.  m-dependent: w_j = (z_j - sum_l L_{j,j-l} w_{j-l}) / L_jj, L the banded Cholesky factor.
// nested: R^-1 = (I - sum_s b/d_s 1_s 1_s') / (1 - a2) - a1 / (1 + a1 h) g g', b = a2 - a1, d_s = 1 - a2 + n_s b, g = 1_s / d_s, h = sum n_s / d_s.
#include "gee.hpp"

#include "gee_rows.hpp"
#include "threads.hpp"

namespace glimm {
namespace {

// Loops over a row's numbers are written for widths of 4, 8, 12 and 16 and for any other.
template <int W> struct Row {
  int p, n;  // columns of X; width
  int width() const { return W ? W : n; }
};

struct Scratch {
  Vec white, sum, factor;
};

// S (lower rows of p + 1, width apart) += sum of z z'
template <int W> void add_outer_of(const Row<W>& row, Index m, const double* z, double* s) {
  const int n = row.width();
  Index r = 0;
  for (; r + 4 <= m; r += 4) {
    const double* q = z + r * n;
    for (int c = 0; c <= row.p; ++c) {
      const double a = q[c], b = q[n + c], d = q[2 * n + c], f = q[3 * n + c];
      double* out = s + static_cast<size_t>(c) * n;
      for (int k = 0; k < n; ++k) out[k] += (a * q[k] + b * q[n + k]) + (d * q[2 * n + k] + f * q[3 * n + k]);
    }
  }
  for (; r < m; ++r) {
    const double* q = z + r * n;
    for (int c = 0; c <= row.p; ++c) {
      double* out = s + static_cast<size_t>(c) * n;
      for (int k = 0; k < n; ++k) out[k] += q[c] * q[k];
    }
  }
}

template <int W> void add_rank_one(const Row<W>& row, double a, const double* v, double* s) {
  const int n = row.width();
  for (int c = 0; c <= row.p; ++c) {
    double* out = s + static_cast<size_t>(c) * n;
    const double q = a * v[c];
    for (int k = 0; k < n; ++k) out[k] += q * v[k];
  }
}

template <int W> void add_rows(const Row<W>& row, Index m, const double* z, double* sum) {
  const int n = row.width();
  for (Index j = 0; j < m; ++j)
    for (int k = 0; k < n; ++k) sum[k] += z[j * n + k];
}

// Clusters first..last, whose rows are z: everything but the factor 1 / (1 - a) of R^-1.
template <int W> double add_exchangeable(const Row<W>& row, const Index* starts, Index first, Index last, const double* z, double alpha, bool determinants,
                                         Scratch& scratch, double* s) {
  const int n = row.width();
  double log_det = 0.0;
  scratch.sum.resize(n);
  add_outer_of(row, starts[last] - starts[first], z, s);
  for (Index j = first; j < last; ++j) {
    const Index m = starts[j + 1] - starts[j];
    if (m == 0) continue;
    const double end = 1.0 + (m - 1) * alpha;
    std::fill(scratch.sum.begin(), scratch.sum.end(), 0.0);
    add_rows(row, m, z + (starts[j] - starts[first]) * n, scratch.sum.data());
    add_rank_one(row, -alpha / end, scratch.sum.data(), s);
    if (determinants) log_det += (m - 1) * std::log1p(-alpha) + std::log(end);
  }
  return log_det;
}

// One cluster: everything but the factor 1 / (1 - a2).
template <int W> double add_nested(const Row<W>& row, Index m, const double* z, const Correlation& r, const double* inner, bool determinants,
                                   Scratch& scratch, double* s) {
  const int n = row.width();
  const double between = r.alpha - r.across;
  double h = 0.0, log_det = 0.0;
  scratch.sum.assign(2 * static_cast<size_t>(n), 0.0);
  double *own = scratch.sum.data(), *all = own + n;
  add_outer_of(row, m, z, s);
  for (Index j = 0; j < m;) {
    Index k = j;
    while (k < m && inner[k] == inner[j]) ++k;
    const double size = static_cast<double>(k - j), d = 1.0 - r.alpha + size * between;
    std::fill(own, own + n, 0.0);
    add_rows(row, k - j, z + j * n, own);
    add_rank_one(row, -between / d, own, s);
    for (int c = 0; c < n; ++c) all[c] += own[c] / d;
    h += size / d;
    if (determinants) log_det += (size - 1.0) * std::log1p(-r.alpha) + std::log(d);
    j = k;
  }
  const double end = 1.0 + r.across * h;
  add_rank_one(row, -(1.0 - r.alpha) * r.across / end, all, s);
  return determinants ? log_det + std::log(end) : 0.0;
}

// White rows of one cluster; returns log|R|.
template <int W> double whiten_ar1(const Row<W>& row, Index m, const double* z, double alpha, const double* time, double* w) {
  const int n = row.width();
  std::copy(z, z + n, w);
  double last = 1.0, a = alpha, v = 1.0 - alpha * alpha, k = 1.0 / std::sqrt(v), log_v = std::log(v), log_det = 0.0;
  for (Index j = 1; j < m; ++j) {
    const double dt = time ? time[j] - time[j - 1] : 1.0;
    if (dt != last) {
      last = dt;
      a = dt == 1.0 ? alpha : std::pow(alpha, dt);
      v = 1.0 - a * a;
      k = 1.0 / std::sqrt(v);
      log_v = std::log(v);
    }
    const double *x = z + j * n, *before = x - n;
    double* out = w + j * n;
    for (int c = 0; c < n; ++c) out[c] = k * (x[c] - a * before[c]);
    log_det += log_v;
  }
  return log_det;
}

template <int W> double whiten_filter(const Row<W>& row, Index m, const double* z, const Correlation& r, double* w) {
  const int n = row.width();
  double log_det = 0.0;
  for (Index j = 0; j < m; ++j) {
    const int back = static_cast<int>(std::min<Index>(j, r.order));
    const double* f = r.table + static_cast<size_t>(back) * (r.order + 1);
    const double k = f[r.order];
    double* out = w + j * n;
    std::copy(z + j * n, z + (j + 1) * n, out);
    for (int l = 1; l <= back; ++l)
      for (int c = 0; c < n; ++c) out[c] -= f[l - 1] * z[(j - l) * n + c];
    for (int c = 0; c < n; ++c) out[c] *= k;
    log_det -= 2.0 * std::log(k);
  }
  return log_det;
}

// The banded Cholesky factor row by row: rows further apart than m are uncorrelated. factor holds the last m + 1 rows, m + 1 entries each:
// entry l of row j is L_{j,j-l}.
template <int W> double whiten_band(const Row<W>& row, Index m, const double* z, const Correlation& r, const double* time, double* w, Vec& factor) {
  const int n = row.width(), order = r.order, entries = order + 1;
  factor.assign(static_cast<size_t>(entries) * entries, 0.0);
  double log_det = 0.0;
  for (Index j = 0; j < m; ++j) {
    double* own = factor.data() + (j % entries) * entries;
    const int back = static_cast<int>(std::min<Index>(j, order));
    double pivot = 1.0;
    double* out = w + j * n;
    std::copy(z + j * n, z + (j + 1) * n, out);
    for (int l = back; l >= 1; --l) {
      const double distance = time ? time[j] - time[j - l] : l;
      const double* other = factor.data() + ((j - l) % entries) * entries;
      double v = distance <= order ? r.table[static_cast<int>(distance) - 1] : 0.0;
      for (int s = l + 1; s <= back; ++s) v -= own[s] * other[s - l];
      v /= other[0];
      own[l] = v;
      pivot -= v * v;
      for (int c = 0; c < n; ++c) out[c] -= v * w[(j - l) * n + c];
    }
    own[0] = std::sqrt(pivot);
    const double k = 1.0 / own[0];
    for (int c = 0; c < n; ++c) out[c] *= k;
    log_det += std::log(pivot);
  }
  return log_det;
}

template <int W> double whiten_dense(const Row<W>& row, Index m, const double* z, const double* root, bool determinants, double* w) {
  const int n = row.width();
  double log_det = 0.0;
  for (Index j = 0; j < m; ++j) {
    double* out = w + j * n;
    if constexpr (W > 0) {
      double sum[W] = {0.0};
      for (Index k = 0; k <= j; ++k)
        for (int c = 0; c < W; ++c) sum[c] += root[k] * z[k * W + c];
      for (int c = 0; c < W; ++c) out[c] = sum[c];
    } else {
      std::fill(out, out + n, 0.0);
      for (Index k = 0; k <= j; ++k)
        for (int c = 0; c < n; ++c) out[c] += root[k] * z[k * n + c];
    }
    if (determinants) log_det -= 2.0 * std::log(root[j]);
    root += j + 1;
  }
  return log_det;
}

// S of clusters first..last (rows z), all but `factor`; returns log|R|.
template <int W> double add_clusters(const Row<W>& row, const Index* starts, Index first, Index last, const double* z, const Correlation& r,
                                     bool determinants, Scratch& scratch, double* s) {
  const int n = row.width();
  const Index r0 = starts[first], rows = starts[last] - r0;
  if (!r.pattern && r.kind == kIndependence) {
    add_outer_of(row, rows, z, s);
    return 0.0;
  }
  if (!r.pattern && r.kind == kExchangeable) return add_exchangeable(row, starts, first, last, z, r.alpha, determinants, scratch, s);
  double log_det = 0.0;
  if (!r.pattern && r.kind == kNested) {
    for (Index j = first; j < last; ++j)
      log_det += add_nested(row, starts[j + 1] - starts[j], z + (starts[j] - r0) * n, r, r.place + starts[j], determinants, scratch, s);
    return log_det;
  }
  if (static_cast<Index>(scratch.white.size()) < rows * n) scratch.white.resize(static_cast<size_t>(rows) * n);
  for (Index j = first; j < last; ++j) {
    const Index m = starts[j + 1] - starts[j], at = (starts[j] - r0) * n, pattern = r.pattern ? r.pattern[j] : -1;
    if (m == 0) continue;
    const double *place = r.place ? r.place + starts[j] : nullptr, *from = z + at;
    double* w = scratch.white.data() + at;
    if (pattern >= 0) log_det += whiten_dense(row, m, from, r.roots + r.first[pattern], determinants, w);
    else if (r.kind == kAr1) log_det += whiten_ar1(row, m, from, r.alpha, place, w);
    else if (r.kind == kBand) log_det += whiten_band(row, m, from, r, place, w, scratch.factor);
    else if (r.kind == kFilter) log_det += whiten_filter(row, m, from, r, w);
    else std::copy(from, from + m * n, w);
  }
  add_outer_of(row, rows, scratch.white.data(), s);
  return log_det;
}

double factor(const Correlation& r) {
  return !r.pattern && (r.kind == kExchangeable || r.kind == kNested) ? 1.0 / (1.0 - r.alpha) : 1.0;
}

template <int W> GeePass block_pass(const Rows& rows, const Stage& stage, const double* beta, const Index* starts, Index begin, Index end,
                                    const Correlation& r, const GeeOut& out, int width) {
  const int p = rows.p;
  const Row<W> row{p, width};
  const bool apart = out.scores || out.curvatures;
  const double times = factor(r);
  GeePass sum;
  sum.score.assign(p, 0.0);
  sum.bread.assign(static_cast<size_t>(p) * p, 0.0);
  WeightedRows weighted;
  Scratch scratch;
  Vec s(static_cast<size_t>(p + 1) * width);
  over_runs(starts, begin, end, [&](Index first, Index last, Index r0, Index m) {
    weighted.join(rows, stage, beta, r0, m, width);
    if (out.pearson) std::copy(weighted.e.begin(), weighted.e.begin() + m, out.pearson + r0);
    for (Index j = first; j < last; j = apart ? j + 1 : last) {
      std::fill(s.begin(), s.end(), 0.0);
      sum.log_det += add_clusters(row, starts, j, apart ? j + 1 : last, weighted.x.data() + (starts[j] - r0) * width, r, out.determinants, scratch,
                                  s.data());
      const double* u = s.data() + static_cast<size_t>(p) * width;
      for (int c = 0; c < p; ++c) {
        sum.score[c] += times * u[c];
        for (int d = 0; d < p; ++d) sum.bread[static_cast<size_t>(c) * p + d] += times * s[static_cast<size_t>(c) * width + d];
        if (out.scores) out.scores[j * p + c] = times * u[c];
        if (out.curvatures)
          for (int d = 0; d < p; ++d)
            out.curvatures[(j * p + c) * p + d] = times * (d <= c ? s[static_cast<size_t>(c) * width + d] : s[static_cast<size_t>(d) * width + c]);
      }
      sum.quadratic += times * u[p];
    }
  });
  return sum;
}

}  // namespace

void gee_pass(const Rows& rows, const Stage& stage, const double* beta, const Index* starts, Index clusters, const Correlation& correlation,
              const GeeOut& out, GeePass& total, int threads) {
  const int p = rows.p, width = (p + 4) / 4 * 4;
  const auto edges = cluster_blocks(starts, clusters);
  const Index blocks = static_cast<Index>(edges.size()) - 1;
  std::vector<GeePass> part(blocks);
  parallel_blocks(blocks, threads, [&](Index b) {
    const auto run = [&](auto w) {
      part[b] = block_pass<decltype(w)::value>(rows, stage, beta, starts, edges[b], edges[b + 1], correlation, out, width);
    };
    if (width == 4) run(std::integral_constant<int, 4>{});
    else if (width == 8) run(std::integral_constant<int, 8>{});
    else if (width == 12) run(std::integral_constant<int, 12>{});
    else if (width == 16) run(std::integral_constant<int, 16>{});
    else run(std::integral_constant<int, 0>{});
  });
  total.score.resize(p);
  total.bread.resize(static_cast<size_t>(p) * p);
  for (const auto& b : part) {
    for (int c = 0; c < p; ++c) total.score[c] += b.score[c];
    for (size_t c = 0; c < total.bread.size(); ++c) total.bread[c] += b.bread[c];
    total.quadratic += b.quadratic;
    total.log_det += b.log_det;
  }
  mirror(total.bread.data(), p);
}

}  // namespace glimm
