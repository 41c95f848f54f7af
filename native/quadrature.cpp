// Adaptive Gauss-Hermite: per level l = log sum_k w_k exp(h(v_k) + |x_k|^2) - log|L| - (q/2) log pi,
// nodes v_k = mode + sqrt2 L^-T x_k, LL' = T'Z'WZT + I at the mode; one node is Laplace.
//
// Exact gradient by reverse mode, the motion of the nodes included: with pi_k the normalised weights,
// g1 = sum pi_k h'(v_k), G = sum pi_k x_k (L^-1 h'(v_k))', Hbar = L^-T A L^-1, c_j = W'_j zt_j'Hbar zt_j, lam = H^-1 (g1 + sum c_j zt_j).
#include "mixed.hpp"

namespace glimm {
namespace {

struct Rule { int count; const double *nodes, *log_weights; };

// The modes of all levels of one block together: the row stage sees one long array, levels that have converged leave it.
class BlockModes {
 public:
  BlockModes(const MixedRows& data, const Stage& stage, Index block, const Vec& xb, const Vec& zt, Vec& u)
      : data_(data), stage_(stage), begin_(data.edges[block]), end_(data.edges[block + 1]), xb_(xb), zt_(zt), u_(u) {}

  bool find() {
    const int q = data_.q;
    const Index count = end_ - begin_;
    Vec best_h(count, -HUGE_VAL), length(count, 1.0), step(count * q, 0.0), from(count * q, 0.0);
    std::vector<char> last(count, 0), restarted(count, 0);
    std::vector<Index> active;
    for (Index j = begin_; j < end_; ++j) active.push_back(j);
    Vec curvature(q * q), g(q);
    for (int it = 0; it < 300 && !active.empty(); ++it) {
      evaluate(active);
      std::vector<Index> still;
      Index i = 0;
      for (Index j : active) {
        const Index m = data_.levels.starts[j + 1] - data_.levels.starts[j], r0 = data_.levels.starts[j], a0 = j - begin_;
        double* u = &u_[j * q];
        double h = -0.5 * dot(u, u, q);
        for (int a = 0; a < q; ++a) g[a] = -u[a];
        for (int a = 0; a < q; ++a)
          for (int c = 0; c <= a; ++c) curvature[a * q + c] = a == c ? 1.0 : 0.0;
        for (Index k = 0; k < m; ++k, ++i) {
          const double* z = &zt_[(r0 + k) * q];
          h += l_[i];
          for (int a = 0; a < q; ++a) {
            g[a] += z[a] * d1_[i];
            for (int c = 0; c <= a; ++c) curvature[a * q + c] -= d2_[i] * z[a] * z[c];
          }
        }
        if (!(h >= best_h[a0] - 1e-11 * std::fabs(best_h[a0]) - 1e-13)) {
          if (it == 0 && !restarted[a0]) {
            restarted[a0] = 1;
            std::fill(u, u + q, 0.0);
          } else {
            if (best_h[a0] == -HUGE_VAL || length[a0] < 1e-10) return false;
            length[a0] *= 0.25;
            for (int a = 0; a < q; ++a) u[a] = from[a0 * q + a] + length[a0] * step[a0 * q + a];
          }
          still.push_back(j);
          continue;
        }
        if (last[a0]) continue;
        best_h[a0] = h;
        length[a0] = 1.0;
        if (!cholesky(curvature.data(), q, q)) {  // negative observed weights: an identity-scaled step towards the mode
          for (int a = 0; a < q; ++a)
            for (int c = 0; c <= a; ++c) curvature[a * q + c] = a == c ? 1.0 : 0.0;
        }
        double* s = &step[a0 * q];
        std::copy(g.begin(), g.end(), s);
        solve_lower(curvature.data(), q, q, s);
        const double decrement = dot(s, s, q);
        solve_lower_t(curvature.data(), q, q, s);
        for (int a = 0; a < q; ++a) {
          from[a0 * q + a] = u[a];
          u[a] += s[a];
        }
        last[a0] = decrement < 1e-10;
        if (decrement > 1e-24) still.push_back(j);
      }
      active.swap(still);
    }
    return active.empty();
  }

 private:
  void evaluate(const std::vector<Index>& active) {
    const int q = data_.q;
    Index rows = 0;
    for (Index j : active) rows += data_.levels.starts[j + 1] - data_.levels.starts[j];
    for (Vec* v : {&eta_, &y_, &size_, &l_, &d1_, &d2_})
      if (static_cast<Index>(v->size()) < rows) v->resize(rows);
    Index i = 0;
    for (Index j : active)
      for (Index r = data_.levels.starts[j]; r < data_.levels.starts[j + 1]; ++r, ++i) {
        eta_[i] = xb_[r] + dot(&zt_[r * q], &u_[j * q], q);
        y_[i] = data_.y[r];
        if (!data_.size.empty()) size_[i] = data_.size[r];
      }
    stage_jets(stage_, rows, y_.data(), data_.size.empty() ? nullptr : size_.data(), eta_.data(), l_.data(), d1_.data(), d2_.data(), nullptr);
  }

  const MixedRows& data_;
  const Stage& stage_;
  const Index begin_, end_;
  const Vec &xb_, &zt_;
  Vec& u_;
  Vec eta_, y_, size_, l_, d1_, d2_;
};

// What the sum over nodes of one level gives.
struct NodeSums {
  double loglik = 0.0, psi = 0.0;  // psi: sum_k pi_k sum_j l_psi
  Vec g1, gx;                      // q, q x q
  Vec score, score_v;              // per row: sum_k pi_k s_jk, sum_k pi_k s_jk v_k (q)
};

class NodeLoop {
 public:
  NodeLoop(const MixedRows& data, const Stage& stage, const Rule& rule) : data_(data), stage_(stage), rule_(rule) {}

  void level(Index j, const double* mode, const double* chol, const Vec& xb, const Vec& zt, NodeSums& out) {
    const int q = data_.q, count = rule_.count;
    const Index r0 = data_.levels.starts[j], m = data_.levels.starts[j + 1] - r0;
    v_.resize(static_cast<size_t>(count) * q);
    for (Vec* a : {&lp_, &product_, &total_}) a->resize(count);
    out.score.assign(m, 0.0);
    out.score_v.assign(m * q, 0.0);
    out.g1.assign(q, 0.0);
    out.gx.assign(q * q, 0.0);
    out.psi = 0.0;
    Vec x(q);
    for (int k = 0; k < count; ++k) {
      for (int a = 0; a < q; ++a) x[a] = 1.41421356237309504880 * rule_.nodes[k * q + a];
      solve_lower_t(chol, q, q, x.data());
      double square = 0.0;
      for (int a = 0; a < q; ++a) {
        v_[a * count + k] = mode[a] + x[a];
        square += v_[a * count + k] * v_[a * count + k];
      }
      total_[k] = rule_.log_weights[k] - 0.5 * square;
    }
    eta_.resize(static_cast<size_t>(m) * count);
    s_.resize(eta_.size());
    for (Index i = 0; i < m; ++i) {
      double* e = &eta_[i * count];
      const double base = xb[r0 + i];
      for (int k = 0; k < count; ++k) e[k] = base;
      for (int a = 0; a < q; ++a) {
        const double z = zt[(r0 + i) * q + a];
        const double* va = &v_[a * count];
        for (int k = 0; k < count; ++k) e[k] += z * va[k];
      }
    }
    stage_nodes(stage_, m, count, &data_.y[r0], data_.size_at(r0), eta_.data(), lp_.data(), s_.data(), product_.data());
    double top = -HUGE_VAL, sum = 0.0, log_det = 0.0;
    for (int k = 0; k < count; ++k) top = std::max(top, total_[k] += lp_[k]);
    for (int k = 0; k < count; ++k) sum += product_[k] = std::exp(total_[k] - top);
    for (int k = 0; k < count; ++k) product_[k] /= sum;  // pi_k
    for (int a = 0; a < q; ++a) log_det += std::log(chol[a * q + a]);
    out.loglik = top + std::log(sum) - log_det - 0.5 * q * 1.14472988584940017414;
    const double* pi = product_.data();
    hk_.assign(static_cast<size_t>(q) * count, 0.0);
    for (int a = 0; a < q; ++a)
      for (int k = 0; k < count; ++k) hk_[a * count + k] = -v_[a * count + k];
    for (Index i = 0; i < m; ++i) {
      const double* s = &s_[i * count];
      double t = 0.0;
      for (int k = 0; k < count; ++k) t += pi[k] * s[k];
      out.score[i] = t;
      for (int a = 0; a < q; ++a) {
        const double z = zt[(r0 + i) * q + a];
        const double* va = &v_[a * count];
        double* h = &hk_[a * count];
        double tv = 0.0;
        for (int k = 0; k < count; ++k) {
          tv += pi[k] * s[k] * va[k];
          h[k] += z * s[k];
        }
        out.score_v[i * q + a] = tv;
      }
    }
    for (int k = 0; k < count; ++k) {
      for (int a = 0; a < q; ++a) {
        x[a] = hk_[a * count + k];
        out.g1[a] += pi[k] * x[a];
      }
      solve_lower(chol, q, q, x.data());
      for (int a = 0; a < q; ++a)
        for (int c = 0; c < q; ++c) out.gx[a * q + c] += pi[k] * rule_.nodes[k * q + a] * x[c];
    }
    if (stage_.has_psi()) {
      Vec l(m), s(m), w(m), e(m);
      for (int k = 0; k < count; ++k) {
        for (Index i = 0; i < m; ++i) e[i] = eta_[i * count + k];
        stage_psi(stage_, m, &data_.y[r0], data_.size_at(r0), e.data(), l.data(), s.data(), w.data());
        double t = 0.0;
        for (double v : l) t += v;
        out.psi += pi[k] * t;
      }
    }
  }

 private:
  const MixedRows& data_;
  const Stage& stage_;
  const Rule rule_;
  Vec v_, lp_, product_, total_, eta_, s_, hk_;
};

}  // namespace

MixedEvaluation QuadratureMixed::evaluate(const Stage& stage, const double* vector, int order, int count, const double* nodes,
                                          const double* log_weights, bool scores) {
  MixedEvaluation out;
  const int p = data_.p, q = data_.q, nt = data_.nt, size_all = p + nt + (stage.has_psi() ? 1 : 0);
  const Index n = data_.n, levels = data_.levels.count;
  const Rule rule{count, nodes, log_weights};
  const Vec t = unpack_t(vector + p, q);
  Vec xb, zt, eta(n), l(n), d1(n), d2(n), d3(n);
  data_.linear(vector, t.data(), xb, zt);
  std::vector<char> failed(data_.blocks(), 0);
  parallel_blocks(data_.blocks(), data_.threads, [&](Index b) {
    failed[b] = !BlockModes(data_, stage, b, xb, zt, u_).find();
    if (failed[b]) return;
    const Index r0 = data_.first(b), r1 = data_.last(b);
    for (Index j = data_.edges[b]; j < data_.edges[b + 1]; ++j)
      for (Index i = data_.levels.starts[j]; i < data_.levels.starts[j + 1]; ++i) eta[i] = xb[i] + dot(&zt[i * q], &u_[j * q], q);
    stage_jets(stage, r1 - r0, &data_.y[r0], data_.size_at(r0), &eta[r0], &l[r0], &d1[r0], &d2[r0], &d3[r0]);
    for (Index j = data_.edges[b]; j < data_.edges[b + 1]; ++j) {
      double* d = factor_.diagonal(j);
      std::fill(d, d + q * q, 0.0);
      for (Index i = data_.levels.starts[j]; i < data_.levels.starts[j + 1]; ++i)
        for (int a = 0; a < q; ++a)
          for (int c = 0; c <= a; ++c) d[a * q + c] -= d2[i] * data_.z[i * q + a] * data_.z[i * q + c];
    }
  });
  for (char f : failed)
    if (f) {
      std::fill(u_.begin(), u_.end(), 0.0);
      return out;
    }
  if (!factor_.factor(t.data(), false)) return out;

  Vec value(data_.blocks(), 0.0), row_score(n);
  std::vector<Vec> part(data_.blocks(), Vec(nt + 1, 0.0));
  if (scores) out.scores.assign(levels * size_all, 0.0);
  parallel_blocks(data_.blocks(), data_.threads, [&](Index b) {
    NodeLoop loop(data_, stage, rule);
    NodeSums sums;
    Vec bar(q * q), lam(q), hz(q), column(q), tbar(q * q), s_psi, w_psi, l_psi;
    for (Index j = data_.edges[b]; j < data_.edges[b + 1]; ++j) {
      const double* chol = factor_.chol(j);
      const double* mode = &u_[j * q];
      const Index r0 = data_.levels.starts[j], m = data_.levels.starts[j + 1] - r0;
      loop.level(j, mode, chol, xb, zt, sums);
      value[b] += sums.loglik;
      if (order == 0) continue;
      for (int a = 0; a < q; ++a)
        for (int c = 0; c <= a; ++c) {
          const double v = -0.70710678118654752440 * sums.gx[a * q + c] - (a == c ? 0.5 : 0.0);
          bar[a * q + c] = bar[c * q + a] = v;
        }
      for (int pass = 0; pass < 2; ++pass)
        for (int c = 0; c < q; ++c) {
          for (int a = 0; a < q; ++a) column[a] = pass ? bar[c * q + a] : bar[a * q + c];
          solve_lower_t(chol, q, q, column.data());
          for (int a = 0; a < q; ++a) (pass ? bar[c * q + a] : bar[a * q + c]) = column[a];
        }
      lam = sums.g1;
      std::fill(tbar.begin(), tbar.end(), 0.0);
      for (Index i = 0; i < m; ++i) {
        const double* z = &zt[(r0 + i) * q];
        double c = 0.0;
        for (int a = 0; a < q; ++a) {
          hz[a] = dot(&bar[a * q], z, q);
          c += hz[a] * z[a];
        }
        c *= -d3[r0 + i];
        for (int a = 0; a < q; ++a) lam[a] += c * z[a];
        sums.score[i] += c;
        for (int r = 0; r < q; ++r)
          for (int a = 0; a <= r; ++a)
            tbar[r * q + a] += data_.z[(r0 + i) * q + r] * (sums.score_v[i * q + a] - 2.0 * d2[r0 + i] * hz[a] + c * mode[a]);
      }
      solve_lower(chol, q, q, lam.data());
      solve_lower_t(chol, q, q, lam.data());
      for (Index i = 0; i < m; ++i) {
        const double pulled = -d2[r0 + i] * dot(&zt[(r0 + i) * q], lam.data(), q);
        row_score[r0 + i] = -2.0 * (sums.score[i] - pulled);
        for (int r = 0; r < q; ++r)
          for (int a = 0; a <= r; ++a)
            tbar[r * q + a] += data_.z[(r0 + i) * q + r] * (d1[r0 + i] * lam[a] - pulled * mode[a]);
      }
      double psi = 0.0;
      if (stage.has_psi()) {
        for (Vec* a : {&l_psi, &s_psi, &w_psi}) a->resize(m);
        stage_psi(stage, m, &data_.y[r0], data_.size_at(r0), &eta[r0], l_psi.data(), s_psi.data(), w_psi.data());
        psi = sums.psi;
        for (Index i = 0; i < m; ++i) {
          const double* z = &zt[(r0 + i) * q];
          double hzz = 0.0;
          for (int a = 0; a < q; ++a) hzz += z[a] * dot(&bar[a * q], z, q);
          psi += hzz * w_psi[i] + s_psi[i] * dot(z, lam.data(), q);
        }
      }
      int k = 0;
      for (int c = 0; c < q; ++c)
        for (int r = c; r < q; ++r, ++k) {
          part[b][k] -= 2.0 * tbar[r * q + c];
          if (scores) out.scores[j * size_all + p + k] = -2.0 * tbar[r * q + c];
        }
      part[b][nt] -= 2.0 * psi;
      if (scores) {
        if (stage.has_psi()) out.scores[j * size_all + p + nt] = -2.0 * psi;
        data_.rows.transpose_times(r0, m, &row_score[r0], &out.scores[j * size_all]);
      }
    }
  });
  double loglik = data_.constant(stage);
  for (double v : value) loglik += v;
  out.deviance = -2.0 * loglik;
  out.ok = std::isfinite(out.deviance);
  out.u = u_;
  out.inverse_blocks.resize(levels * q * q);
  for (Index j = 0; j < levels; ++j) factor_.inverse_block(j, nullptr, 0, &out.inverse_blocks[j * q * q]);
  if (order == 0 || !out.ok) return out;
  out.gradient.assign(size_all, 0.0);
  data_.transpose_times(row_score, out.gradient.data());
  for (const auto& s : part) {
    for (int k = 0; k < nt; ++k) out.gradient[p + k] += s[k];
    if (stage.has_psi()) out.gradient[p + nt] += s[nt];
  }
  if (order > 1) {
    Vec w(n);
    for (Index i = 0; i < n; ++i) w[i] = -d2[i];
    out.hessian = data_.model_hessian(stage, t.data(), u_, w, zt, eta, factor_);
  }
  return out;
}

}  // namespace glimm
