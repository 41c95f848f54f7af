// GEE: H_i and U_i from whitened rows, R_i^-1 = W'W, or by closed-form inverses of the working correlation.
//
// exchangeable: R^-1 = (I - c 11') / (1 - a), c = a / (1 + (m - 1) a).
// AR(1) at times t: w_j = (x_j - a^dt x_{j-1}) / sqrt(1 - a^2dt).
// AR(m): w_j = (x_j - sum_l f_l x_{j-l}) / sd_j.  m-dependent: w_j = (x_j - sum_l L_{j,j-l} w_{j-l}) / L_jj, L the banded Cholesky factor.
// nested: R^-1 = (I - sum_s b/d_s 1_s 1_s') / (1 - a2) - a1 / (1 + a1 h) g g', b = a2 - a1, d_s = 1 - a2 + n_s b, g = 1_s / d_s, h = sum n_s / d_s.
#include "gee.hpp"

#include "gee_rows.hpp"
#include "threads.hpp"

namespace glimm {
namespace {

struct Sums {  // of one cluster
  double *u, *h;  // p, p x p lower
  bool determinants;
  double quadratic = 0.0, log_det = 0.0;
};

void add_row(int p, const double* x, double e, Sums& s) {
  for (int c = 0; c < p; ++c) s.u[c] += x[c] * e;
  s.quadratic += e * e;
}

// rows that are white already
void add_white(int p, Index m, const double* x, const double* e, Sums& s) {
  add_outer(s.h, p, x, nullptr, m);
  for (Index j = 0; j < m; ++j) add_row(p, x + j * p, e[j], s);
}

void add_exchangeable(int p, Index m, const double* x, const double* e, double alpha, Vec& sum, Sums& s) {
  const double scale = 1.0 / (1.0 - alpha), end = 1.0 + (m - 1) * alpha, shrink = alpha / end;
  double total = 0.0;
  std::fill(sum.begin(), sum.end(), 0.0);
  add_outer(s.h, p, x, nullptr, m);
  for (Index j = 0; j < m; ++j) {
    total += e[j];
    for (int c = 0; c < p; ++c) sum[c] += x[j * p + c];
    add_row(p, x + j * p, e[j], s);
  }
  for (int c = 0; c < p; ++c) {
    s.u[c] = scale * (s.u[c] - shrink * sum[c] * total);
    for (int d = 0; d <= c; ++d) s.h[c * p + d] = scale * (s.h[c * p + d] - shrink * sum[c] * sum[d]);
  }
  s.quadratic = scale * (s.quadratic - shrink * total * total);
  if (s.determinants) s.log_det += (m - 1) * std::log1p(-alpha) + std::log(end);
}

void add_nested(int p, Index m, const double* x, const double* e, const Correlation& r, const double* inner, Vec& sum, Sums& s) {
  const double scale = 1.0 / (1.0 - r.alpha), between = r.alpha - r.across;
  double across = 0.0, h = 0.0;
  sum.resize(2 * static_cast<size_t>(p));
  double *own = sum.data(), *all = own + p;
  std::fill(sum.begin(), sum.end(), 0.0);
  add_outer(s.h, p, x, nullptr, m);
  for (Index j = 0; j < m; ++j) add_row(p, x + j * p, e[j], s);
  for (int c = 0; c < p; ++c) {
    s.u[c] *= scale;
    for (int d = 0; d <= c; ++d) s.h[c * p + d] *= scale;
  }
  s.quadratic *= scale;
  for (Index j = 0; j < m;) {
    Index k = j;
    double total = 0.0;
    std::fill(own, own + p, 0.0);
    for (; k < m && inner[k] == inner[j]; ++k) {
      total += e[k];
      for (int c = 0; c < p; ++c) own[c] += x[k * p + c];
    }
    const double size = static_cast<double>(k - j), d = 1.0 - r.alpha + size * between, shrink = scale * between / d;
    for (int c = 0; c < p; ++c) {
      s.u[c] -= shrink * own[c] * total;
      for (int b = 0; b <= c; ++b) s.h[c * p + b] -= shrink * own[c] * own[b];
      all[c] += own[c] / d;
    }
    s.quadratic -= shrink * total * total;
    across += total / d;
    h += size / d;
    if (s.determinants) s.log_det += (size - 1.0) * std::log1p(-r.alpha) + std::log(d);
    j = k;
  }
  const double end = 1.0 + r.across * h, shrink = r.across / end;
  for (int c = 0; c < p; ++c) {
    s.u[c] -= shrink * all[c] * across;
    for (int b = 0; b <= c; ++b) s.h[c * p + b] -= shrink * all[c] * all[b];
  }
  s.quadratic -= shrink * across * across;
  if (s.determinants) s.log_det += std::log(end);
}

// white rows (m x p) and residuals (m) of one cluster; returns log|R|
double whiten_ar1(int p, Index m, const double* x, const double* e, double alpha, const double* time, double* w, double* f) {
  std::copy(x, x + p, w);
  f[0] = e[0];
  double log_det = 0.0, last = 1.0, a = alpha, v = 1.0 - alpha * alpha, k = 1.0 / std::sqrt(v);
  double log_v = std::log(v);
  for (Index j = 1; j < m; ++j) {
    const double dt = time ? time[j] - time[j - 1] : 1.0;
    if (dt != last) {
      last = dt;
      a = dt == 1.0 ? alpha : std::pow(alpha, dt);
      v = 1.0 - a * a;
      k = 1.0 / std::sqrt(v);
      log_v = std::log(v);
    }
    f[j] = k * (e[j] - a * e[j - 1]);
    for (int c = 0; c < p; ++c) w[j * p + c] = k * (x[j * p + c] - a * x[(j - 1) * p + c]);
    log_det += log_v;
  }
  return log_det;
}

double whiten_filter(int p, Index m, const double* x, const double* e, const Correlation& r, double* w, double* f) {
  double log_det = 0.0;
  for (Index j = 0; j < m; ++j) {
    const int back = static_cast<int>(std::min<Index>(j, r.order));
    const double* row = r.table + static_cast<size_t>(back) * (r.order + 1);
    const double k = row[r.order];
    double residual = e[j];
    double* out = w + j * p;
    std::copy(x + j * p, x + (j + 1) * p, out);
    for (int l = 1; l <= back; ++l) {
      residual -= row[l - 1] * e[j - l];
      for (int c = 0; c < p; ++c) out[c] -= row[l - 1] * x[(j - l) * p + c];
    }
    f[j] = k * residual;
    for (int c = 0; c < p; ++c) out[c] *= k;
    log_det -= 2.0 * std::log(k);
  }
  return log_det;
}

// The banded Cholesky factor row by row: rows further apart than m are uncorrelated. factor holds the last m + 1 rows, m + 1 entries each:
// entry l of row j is L_{j,j-l}.
double whiten_band(int p, Index m, const double* x, const double* e, const Correlation& r, const double* time, double* w, double* f, Vec& factor) {
  const int order = r.order, width = order + 1;
  factor.assign(static_cast<size_t>(width) * width, 0.0);
  double log_det = 0.0;
  for (Index j = 0; j < m; ++j) {
    double* row = factor.data() + (j % width) * width;
    const int back = static_cast<int>(std::min<Index>(j, order));
    double pivot = 1.0, residual = e[j];
    double* out = w + j * p;
    std::copy(x + j * p, x + (j + 1) * p, out);
    for (int l = back; l >= 1; --l) {
      const double distance = time ? time[j] - time[j - l] : l;
      const double* other = factor.data() + ((j - l) % width) * width;
      double v = distance <= order ? r.table[static_cast<int>(distance) - 1] : 0.0;
      for (int s = l + 1; s <= back; ++s) v -= row[s] * other[s - l];
      v /= other[0];
      row[l] = v;
      pivot -= v * v;
      residual -= v * f[j - l];
      for (int c = 0; c < p; ++c) out[c] -= v * w[(j - l) * p + c];
    }
    row[0] = std::sqrt(pivot);
    const double k = 1.0 / row[0];
    f[j] = k * residual;
    for (int c = 0; c < p; ++c) out[c] *= k;
    log_det += std::log(pivot);
  }
  return log_det;
}

double whiten_dense(int p, Index m, const double* x, const double* e, const double* root, double* w, double* f) {
  double log_det = 0.0;
  for (Index j = 0; j < m; ++j) {
    double residual = 0.0;
    double* out = w + j * p;
    std::fill(out, out + p, 0.0);
    for (Index k = 0; k <= j; ++k) {
      residual += root[k] * e[k];
      for (int c = 0; c < p; ++c) out[c] += root[k] * x[k * p + c];
    }
    f[j] = residual;
    log_det -= 2.0 * std::log(root[j]);
    root += j + 1;
  }
  return log_det;
}

struct Scratch {
  Vec white, residual, sum, factor;
};

// U (p) and H (p x p lower) of one cluster from its weighted rows
void add_cluster(int p, Index m, const double* x, const double* e, const Correlation& r, Index cluster, Index at, Scratch& scratch, Sums& s) {
  if (m == 0) return;
  const Index pattern = r.pattern ? r.pattern[cluster] : -1;
  const double* place = r.place ? r.place + at : nullptr;
  scratch.sum.resize(p);
  if (pattern < 0 && r.kind == kIndependence) return add_white(p, m, x, e, s);
  if (pattern < 0 && r.kind == kExchangeable) return add_exchangeable(p, m, x, e, r.alpha, scratch.sum, s);
  if (pattern < 0 && r.kind == kNested) return add_nested(p, m, x, e, r, place, scratch.sum, s);
  if (static_cast<Index>(scratch.residual.size()) < m) {
    scratch.white.resize(static_cast<size_t>(m) * p);
    scratch.residual.resize(m);
  }
  double *w = scratch.white.data(), *f = scratch.residual.data();
  double log_det;
  if (pattern >= 0) log_det = whiten_dense(p, m, x, e, r.roots + r.first[pattern], w, f);
  else if (r.kind == kAr1) log_det = whiten_ar1(p, m, x, e, r.alpha, place, w, f);
  else if (r.kind == kBand) log_det = whiten_band(p, m, x, e, r, place, w, f, scratch.factor);
  else log_det = whiten_filter(p, m, x, e, r, w, f);
  add_white(p, m, w, f, s);
  s.log_det += log_det;
}

}  // namespace

void gee_pass(const Rows& rows, const Stage& stage, const double* beta, const Index* starts, Index clusters, const Correlation& correlation,
              const GeeOut& out, GeePass& total, int threads) {
  const int p = rows.p;
  const size_t pp = static_cast<size_t>(p) * p;
  const auto edges = cluster_blocks(starts, clusters);
  const Index blocks = static_cast<Index>(edges.size()) - 1;
  std::vector<GeePass> part(blocks);
  parallel_blocks(blocks, threads, [&](Index b) {
    GeePass& sum = part[b];
    sum.score.assign(p, 0.0);
    sum.bread.assign(pp, 0.0);
    WeightedRows weighted;
    Scratch scratch;
    Vec u(p), h(pp);
    over_runs(starts, edges[b], edges[b + 1], [&](Index first, Index last, Index r0, Index m) {
      weighted.read(rows, stage, beta, r0, m);
      if (out.pearson) std::copy(weighted.e.begin(), weighted.e.begin() + m, out.pearson + r0);
      for (Index j = first; j < last; ++j) {
        const Index at = starts[j] - r0, size = starts[j + 1] - starts[j];
        std::fill(u.begin(), u.end(), 0.0);
        std::fill(h.begin(), h.end(), 0.0);
        Sums s{u.data(), h.data(), out.determinants};
        add_cluster(p, size, weighted.x.data() + at * p, weighted.e.data() + at, correlation, j, starts[j], scratch, s);
        for (int c = 0; c < p; ++c) sum.score[c] += u[c];
        for (size_t c = 0; c < pp; ++c) sum.bread[c] += h[c];
        sum.quadratic += s.quadratic;
        sum.log_det += s.log_det;
        if (out.scores) std::copy(u.begin(), u.end(), out.scores + j * p);
        if (out.curvatures) {
          mirror(h.data(), p);
          std::copy(h.begin(), h.end(), out.curvatures + j * pp);
        }
      }
    });
  });
  total.score.resize(p);
  total.bread.resize(pp);
  for (const auto& b : part) {
    for (int c = 0; c < p; ++c) total.score[c] += b.score[c];
    for (size_t c = 0; c < pp; ++c) total.bread[c] += b.bread[c];
    total.quadratic += b.quadratic;
    total.log_det += b.log_det;
  }
  mirror(total.bread.data(), p);
}

}  // namespace glimm
