// Adaptive Gauss-Hermite: per level l = log sum_k w_k exp(h(v_k) + |x_k|^2) - log|L| - (q/2) log pi,
// nodes v_k = mode + sqrt2 L^-T x_k, LL' = T'Z'WZT + I at the mode; one node is Laplace.
//
// Exact gradient by reverse mode, the motion of the nodes included: with pi_k the normalised weights,
// g1 = sum pi_k h'(v_k), G = sum pi_k x_k (L^-1 h'(v_k))', Hbar = L^-T A L^-1, c_j = W'_j zt_j'Hbar zt_j, lam = H^-1 (g1 + sum c_j zt_j).
#include "mixed.hpp"

namespace glimm {
namespace {

struct BlockSums {
  double value = 0.0;
  bool ok = false;
  Vec beta, t, psi;
};

struct Rule { int count; const double *nodes, *log_weights; };

// What the sum over nodes of one level gives.
struct NodeSums {
  double loglik = 0.0;
  Vec psi;                         // sum_k pi_k sum_j l_psi
  Vec g1, gx;                      // q, q x q
  Vec score, score_v;              // per row: sum_k pi_k s_jk, sum_k pi_k s_jk v_k (q)
};

class NodeLoop {
 public:
  NodeLoop(const MixedRows& data, const Stage& stage, const Rule& rule) : data_(data), stage_(stage), rule_(rule) {}

  // xb, zt: of the rows of level j; without derivatives only loglik is made.
  void level(Index j, const double* mode, const double* chol, const double* xb, const double* zt, bool derivatives, NodeSums& out) {
    const int q = data_.q, count = rule_.count;
    const Index r0 = data_.levels.starts[j], m = data_.levels.starts[j + 1] - r0;
    v_.resize(static_cast<size_t>(count) * q);
    for (Vec* a : {&lp_, &product_, &total_}) a->resize(count);
    out.score.assign(m, 0.0);
    out.score_v.assign(m * q, 0.0);
    out.g1.assign(q, 0.0);
    out.gx.assign(q * q, 0.0);
    out.psi.assign(stage_.n_psi(), 0.0);
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
    if (derivatives) s_.resize(eta_.size());
    for (Index i = 0; i < m; ++i) {
      double* e = &eta_[i * count];
      const double base = xb[i];
      for (int k = 0; k < count; ++k) e[k] = base;
      for (int a = 0; a < q; ++a) {
        const double z = zt[i * q + a];
        const double* va = &v_[a * count];
        for (int k = 0; k < count; ++k) e[k] += z * va[k];
      }
    }
    stage_nodes(stage_, m, count, &data_.y[r0], data_.size_at(r0), eta_.data(), lp_.data(), derivatives ? s_.data() : nullptr,
                product_.data());
    double top = -HUGE_VAL, sum = 0.0, log_det = 0.0;
    for (int k = 0; k < count; ++k) top = std::max(top, total_[k] += lp_[k]);
    for (int k = 0; k < count; ++k) sum += product_[k] = std::exp(total_[k] - top);
    for (int k = 0; k < count; ++k) product_[k] /= sum;  // pi_k
    for (int a = 0; a < q; ++a) log_det += std::log(chol[a * q + a]);
    out.loglik = top + std::log(sum) - log_det - 0.5 * q * 1.14472988584940017414;
    if (!derivatives) return;
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
        const double z = zt[i * q + a];
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
    if (out.psi.empty()) return;
    const Index all = m * count;
    wide_.resize(all);
    l_.resize(all);
    sizes_.resize(data_.size.empty() ? 0 : all);
    for (Index i = 0; i < all; ++i) wide_[i] = data_.y[r0 + i / count];
    for (Index i = 0; i < all && !sizes_.empty(); ++i) sizes_[i] = data_.size[r0 + i / count];
    for (size_t c = 0; c < out.psi.size(); ++c) {
      stage_psi(stage_, static_cast<int>(c), all, wide_.data(), sizes_.empty() ? nullptr : sizes_.data(), eta_.data(), l_.data(), nullptr, nullptr);
      for (Index i = 0; i < all; ++i) out.psi[c] += pi[i % count] * l_[i];
    }
  }

 private:
  const MixedRows& data_;
  const Stage& stage_;
  const Rule rule_;
  Vec v_, lp_, product_, total_, eta_, s_, hk_, wide_, sizes_, l_;
};

}  // namespace

MixedEvaluation QuadratureMixed::evaluate(const Stage& stage, const double* vector, Ask ask, int count, const double* nodes,
                                          const double* log_weights) {
  return at_.unless_stopped([&] {
    return with_effects(data_.q, [&](auto size) { return evaluated<size()>(stage, vector, ask, count, nodes, log_weights); });
  });
}

template <int Q>
MixedEvaluation QuadratureMixed::evaluated(const Stage& stage, const double* vector, Ask ask, int count, const double* nodes,
                                           const double* log_weights) {
  MixedEvaluation out;
  const int p = data_.p, q = Q ? Q : data_.q, nt = data_.nt, n_psi = stage.n_psi(), size_all = p + nt + n_psi;
  const Index levels = data_.levels.count;
  const Index* starts = data_.levels.starts;
  const Rule rule{count, nodes, log_weights};
  const Vec t = unpack_t(vector + p, q);
  std::vector<BlockSums> parts(data_.blocks());
  std::vector<HessianSums> hessians(ask.order > 1 ? data_.blocks() : 0, HessianSums(p, q, n_psi));
  if (ask.scores) out.scores.assign(levels * size_all, 0.0);
  if (ask.blocks) out.inverse_blocks.resize(levels * q * q);
  parallel_blocks(data_.blocks(), data_.threads, [&](Index b) {
    BlockSums& total = parts[b];
    const Index begin = data_.first(b), rows = data_.last(b) - begin;
    static thread_local BlockRows k;
    if (!at_.block<Q>(b, stage, vector, t, ask.order > 0, k)) return;
    Vec row_score(ask.order ? rows : 0), w(ask.order > 1 ? rows : 0);
    if (ask.blocks)
      for (Index j = data_.edges[b]; j < data_.edges[b + 1]; ++j) at_.factor.inverse_block<Q>(j, &out.inverse_blocks[j * q * q]);
    total.ok = true;
    NodeLoop loop(data_, stage, rule);
    NodeSums sums;
    Vec bar(q * q), lam(q), hz(q), column(q), tbar(q * q), s_psi, w_psi, l_psi;
    total.t.assign(nt, 0.0);
    total.beta.assign(p, 0.0);
    total.psi.assign(n_psi, 0.0);
    const Vec constants = ask.order > 0 ? data_.constant_psi(stage, begin, rows) : Vec();
    for (Index j = data_.edges[b]; j < data_.edges[b + 1]; ++j) {
      const double *chol = at_.factor.chol(j), *mode = &at_.u[j * q];
      const Index r0 = starts[j], m = starts[j + 1] - r0, at = r0 - begin;
      check_interrupt();
      loop.level(j, mode, chol, &k.xb[at], &k.zt[at * q], ask.order > 0, sums);
      total.value += sums.loglik;
      if (ask.order == 0) continue;
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
        const double* z = &k.zt[(at + i) * q];
        double c = 0.0;
        for (int a = 0; a < q; ++a) {
          hz[a] = dot(&bar[a * q], z, q);
          c += hz[a] * z[a];
        }
        c *= -k.d3[at + i];
        for (int a = 0; a < q; ++a) lam[a] += c * z[a];
        sums.score[i] += c;
        for (int r = 0; r < q; ++r)
          for (int a = 0; a <= r; ++a)
            tbar[r * q + a] += data_.z[(r0 + i) * q + r] * (sums.score_v[i * q + a] - 2.0 * k.d2[at + i] * hz[a] + c * mode[a]);
      }
      solve_lower(chol, q, q, lam.data());
      solve_lower_t(chol, q, q, lam.data());
      for (Index i = 0; i < m; ++i) {
        const double pulled = -k.d2[at + i] * dot(&k.zt[(at + i) * q], lam.data(), q);
        row_score[at + i] = -2.0 * (sums.score[i] - pulled);
        for (int r = 0; r < q; ++r)
          for (int a = 0; a <= r; ++a)
            tbar[r * q + a] += data_.z[(r0 + i) * q + r] * (k.d1[at + i] * lam[a] - pulled * mode[a]);
      }
      for (int c = 0; c < n_psi; ++c) {
        for (Vec* a : {&l_psi, &s_psi, &w_psi}) a->resize(m);
        stage_psi(stage, c, m, &data_.y[r0], data_.size_at(r0), &k.eta[at], l_psi.data(), s_psi.data(), w_psi.data());
        double psi = sums.psi[c];
        for (Index i = 0; i < m; ++i) {
          const double* z = &k.zt[(at + i) * q];
          double hzz = 0.0;
          for (int a = 0; a < q; ++a) hzz += z[a] * dot(&bar[a * q], z, q);
          psi += hzz * w_psi[i] + s_psi[i] * dot(z, lam.data(), q) + constants[c * rows + at + i];
        }
        total.psi[c] -= 2.0 * psi;
        if (ask.scores) out.scores[j * size_all + p + nt + c] = -2.0 * psi;
      }
      int place = 0;
      for (int c = 0; c < q; ++c)
        for (int r = c; r < q; ++r, ++place) {
          total.t[place] -= 2.0 * tbar[r * q + c];
          if (ask.scores) out.scores[j * size_all + p + place] = -2.0 * tbar[r * q + c];
        }
      if (ask.scores) data_.rows.transpose_times(r0, m, &row_score[at], &out.scores[j * size_all]);
    }
    if (ask.order > 0) data_.rows.transpose_times(begin, rows, row_score.data(), total.beta.data());
    if (ask.order < 2) return;
    for (Index i = 0; i < rows; ++i) w[i] = -k.d2[i];
    data_.add_model_hessian(b, stage, t.data(), w.data(), at_.zs.data(), k.zt, k.eta.data(), at_.factor, hessians[b]);
  });
  double loglik = data_.constant(stage);
  for (const auto& s : parts) {
    if (!s.ok) {
      at_.forget();
      return out;
    }
    loglik += s.value;
  }
  out.deviance = -2.0 * loglik;
  out.ok = std::isfinite(out.deviance);
  out.u = at_.u;
  if (ask.order == 0 || !out.ok) return out;
  out.gradient.assign(size_all, 0.0);
  for (const auto& s : parts) {
    for (int c = 0; c < p; ++c) out.gradient[c] += s.beta[c];
    for (int k = 0; k < nt; ++k) out.gradient[p + k] += s.t[k];
    for (int c = 0; c < n_psi; ++c) out.gradient[p + nt + c] += s.psi[c];
  }
  if (ask.order > 1) out.hessian = data_.model_hessian(stage, t.data(), hessians);
  return out;
}

}  // namespace glimm
