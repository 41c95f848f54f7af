// Modes by Newton's method whose factor is kept while it serves: u <- u + M_old^-1 r as long as the decrement falls fast.
//
// Gradient with the mode's motion: lev_i = zt_i'M^-1 zt_i, c = -d3 lev, lam = M^-1 Lambda'Z'c, q = c + d2 Z Lambda lam,
// d beta = X'(q - 2 d1), d Lambda = sum_j (Z'q - 2 Z'd1)_j u_j' + (Z'd1)_j lam_j' + 2 (A Lambda P)_jj.
#include "sparse_laplace.hpp"

#include <numeric>

namespace glimm {
namespace {

constexpr double kSlow = 0.05;  // a decrement that falls less than this with an old factor asks for a new one
constexpr int kMost = 200;

}  // namespace

SparseLaplace::SparseLaplace(const Rows& rows, std::vector<RandomColumns> terms, Vec trials, Vec weights, int threads)
    : rows_(rows), n_(rows.n), p_(rows.p), threads_(threads), elimination_(rows.n, terms, 0, threads), y_(rows.n),
      size_(rows.size ? rows.n : 0), trials_(std::move(trials)), weights_(std::move(weights)) {
  const int count = static_cast<int>(terms.size());
  order_ = RandomRows(terms, elimination_).by_leading(n_);
  rows_.order = order_.data();
  rows_.gather(rows.y, 0, n_, y_.data());
  if (rows.size) rows_.gather(rows.size, 0, n_, size_.data());
  for (Vec* v : {&trials_, &weights_}) {
    if (v->empty()) continue;
    Vec from = *v;
    for (Index i = 0; i < n_; ++i) (*v)[i] = from[order_[i]];
  }
  terms_.resize(count);
  for (int k = 0; k < count; ++k) {
    auto& t = terms_[k];
    t.count = terms[k].place ? 1 : terms[k].q();
    t.node.resize(n_);
    t.at.resize(n_);
    if (terms[k].z) t.z.resize(n_ * t.count);
    for (Index i = 0; i < n_; ++i) {
      const Index r = order_[i];
      t.node[i] = elimination_.node(k, terms[k].refs[r]);
      t.at[i] = static_cast<std::int32_t>(elimination_.first(t.node[i]) + (terms[k].place ? terms[k].place[r] : 0));
      if (terms[k].z) std::copy(terms[k].z + r * t.count, terms[k].z + (r + 1) * t.count, &t.z[i * t.count]);
    }
  }
  const int pairs = count * (count - 1) / 2;
  where_.resize(n_ * pairs);
  Locator locator(elimination_);
  std::vector<Entry> row(count);
  for (Index i = 0; i < n_; ++i) {
    entries(i, row.data());
    locator.find(row.data(), count, where_.data() + i * pairs);
  }
  u_.assign(elimination_.scalars(), 0.0);
  for (Vec* v : {&xb_, &eta_, &l_, &d1_, &d2_, &d3_}) v->resize(n_);
}

void SparseLaplace::linear(const double* beta) {
  parallel_blocks((n_ + kBlockRows - 1) / kBlockRows, threads_, [&](Index b) {
    const Index r0 = b * kBlockRows;
    rows_.linear(r0, std::min(kBlockRows, n_ - r0), beta, &xb_[r0]);
  });
}

void SparseLaplace::add_random(const double* b, double* eta) const {
  parallel_blocks((n_ + kBlockRows - 1) / kBlockRows, threads_, [&](Index block) {
    const Index r0 = block * kBlockRows, r1 = std::min(n_, r0 + kBlockRows);
    for (const auto& t : terms_) {
      if (t.z.empty())
        for (Index i = r0; i < r1; ++i) eta[i] += b[t.at[i]];
      else
        for (Index i = r0; i < r1; ++i) eta[i] += dot(&t.z[i * t.count], b + t.at[i], t.count);
    }
  });
}

void SparseLaplace::transpose_random(const double* v, double* out) const {
  std::fill(out, out + elimination_.scalars(), 0.0);
  for (const auto& t : terms_) {
    if (t.z.empty())
      for (Index i = 0; i < n_; ++i) out[t.at[i]] += v[i];
    else
      for (Index i = 0; i < n_; ++i)
        for (int a = 0; a < t.count; ++a) out[t.at[i] + a] += t.z[i * t.count + a] * v[i];
  }
}

double SparseLaplace::jets(const Stage& stage, const double* eta, bool third) {
  const Index blocks = (n_ + kBlockRows - 1) / kBlockRows;
  Vec sums(blocks, 0.0);
  parallel_blocks(blocks, threads_, [&](Index b) {
    const Index r0 = b * kBlockRows, m = std::min(kBlockRows, n_ - r0);
    stage_jets(stage, m, &y_[r0], size_.empty() ? nullptr : &size_[r0], eta + r0, &l_[r0], &d1_[r0], &d2_[r0], third ? &d3_[r0] : nullptr);
    for (Index i = r0; i < r0 + m; ++i) sums[b] += l_[i];
  });
  double total = 0.0;
  for (double s : sums) total += s;
  return total;
}

void SparseLaplace::entries(Index r, Entry* out) const {
  for (size_t k = 0; k < terms_.size(); ++k) {
    const auto& t = terms_[k];
    out[k] = {t.node[r], static_cast<int>(t.at[r] - elimination_.first(t.node[r])), t.count, t.z.empty() ? &kOne : &t.z[r * t.count]};
  }
}

bool SparseLaplace::refactor(const double* lambda, bool positive) {
  elimination_.zero();
  const size_t pairs = terms_.size() * (terms_.size() - 1) / 2;
  std::vector<Entry> row(terms_.size());
  for (Index i = 0; i < n_; ++i) {
    if (i % kRunRows == 0) check_interrupt();
    entries(i, row.data());
    const double w = -d2_[i];
    elimination_.add(row.data(), where_.data() + i * pairs, positive ? std::max(w, 0.0) : w, nullptr);
  }
  return !lambda || elimination_.factor(lambda);
}

bool SparseLaplace::find_modes(const Stage& stage, const double* lambda, double tol) {
  const Index s = elimination_.scalars();
  Vec b(s), rhs(s), step(s), solved(s), from(u_);
  double value = -HUGE_VAL, length = 1.0, before = HUGE_VAL;
  bool restarted = false;
  for (int it = 0; it < kMost; ++it) {
    b = u_;
    elimination_.times(lambda, false, b.data());
    eta_ = xb_;
    add_random(b.data(), eta_.data());
    double now = jets(stage, eta_.data(), false);
    for (double v : u_) now -= 0.5 * v * v;
    const bool first = value == -HUGE_VAL;
    if (!std::isfinite(now) && first) {  // the start lies outside the family's range: begin at zero, once
      if (restarted) return false;
      restarted = true;
      std::fill(u_.begin(), u_.end(), 0.0);
      have_ = false;
      continue;
    }
    if (!first && !(now >= value - 1e-11 * std::fabs(value) - 1e-12)) {
      length *= 0.25;
      if (length < 1e-10) return false;
      for (Index i = 0; i < s; ++i) u_[i] = from[i] + length * step[i];
      have_ = false;
      continue;
    }
    value = now;
    length = 1.0;
    transpose_random(d1_.data(), rhs.data());
    elimination_.times(lambda, true, rhs.data());
    for (Index i = 0; i < s; ++i) rhs[i] -= u_[i];
    bool current = false, exact = true;
    double decrement = 0.0;
    for (;;) {
      if (!have_) {
        exact = refactor(lambda, false);
        if (!exact && !refactor(lambda, true)) return false;
        have_ = current = true;
        before = HUGE_VAL;
      }
      solved = rhs;
      elimination_.forward(solved.data(), 0);
      decrement = wide_dot(solved.data(), solved.data(), s);
      if (!std::isfinite(decrement)) return false;
      if (!current && (decrement < tol || decrement > kSlow * before)) {
        have_ = false;
        continue;
      }
      break;
    }
    before = decrement;
    if (current && decrement < 10.0 * tol) {
      reached_ = decrement;
      return exact;
    }
    elimination_.backward(solved.data(), 0);
    step = solved;
    from = u_;
    for (Index i = 0; i < s; ++i) u_[i] += step[i];
  }
  return false;
}

SparseLaplaceEvaluation SparseLaplace::evaluate(const Stage& stage, const double* beta, const double* lambda, const Directions& directions, int order,
                                                double tol) {
  SparseLaplaceEvaluation out;
  Elimination& f = elimination_;
  const Index s = f.scalars();
  const int p = p_, m = directions.count(), size = p + m + stage.n_psi();
  Vec at(beta, beta + p);
  at.insert(at.end(), lambda, lambda + f.lambda_size());
  at.insert(at.end(), stage.psi, stage.psi + stage.n_psi());
  if (at != at_ || reached_ > 10.0 * tol) {
    at_.clear();
    linear(beta);
    bool found = false;
    try {
      found = find_modes(stage, lambda, tol);
    } catch (...) {
      forget();
      throw;
    }
    if (!found) {
      forget();
      return out;
    }
    at_ = std::move(at);
  }
  double value = stage_constant(stage, n_, y_.data(), trials_.empty() ? nullptr : trials_.data(), weights_.empty() ? nullptr : weights_.data());
  for (double v : l_) value += v;
  value -= 0.5 * wide_dot(u_.data(), u_.data(), s);
  out.deviance = -2.0 * value + f.logdet();
  out.ok = std::isfinite(out.deviance);
  out.u = u_;
  if (order == 0 || !out.ok) return out;

  jets(stage, eta_.data(), true);
  f.invert(0);
  Vec lev(n_), v(n_), pulled(n_, 0.0), lam(s), zs(s), zq(s);
  const size_t pairs = terms_.size() * (terms_.size() - 1) / 2;
  parallel_blocks((n_ + kBlockRows - 1) / kBlockRows, threads_, [&](Index b) {
    std::vector<Entry> row(terms_.size());
    std::vector<Vec> scaled;
    for (const auto& t : terms_) scaled.emplace_back(t.count);
    for (Index i = b * kBlockRows; i < std::min(n_, (b + 1) * kBlockRows); ++i) {
      entries(i, row.data());
      for (size_t k = 0; k < row.size(); ++k) {  // zt = Lambda'z: of a row with one effect of several, a row of Lambda
        Entry& e = row[k];
        const double* l = lambda + f.lambda_at(f.lambda_of(e.node));
        const int q = f.q(e.node);
        Vec& zt = scaled[k];
        zt.assign(q, 0.0);
        for (int a = 0; a < e.count; ++a)
          for (int c = 0; c < q; ++c) zt[c] += l[(e.offset + a) * q + c] * e.z[a];
        e = {e.node, 0, q, zt.data()};
      }
      lev[i] = f.leverage(row.data(), where_.data() + i * pairs, static_cast<int>(row.size()));
      v[i] = -d3_[i] * lev[i];
    }
  });
  transpose_random(v.data(), lam.data());
  f.times(lambda, true, lam.data());
  f.forward(lam.data(), 0);
  f.backward(lam.data(), 0);
  Vec b = lam;
  f.times(lambda, false, b.data());
  add_random(b.data(), pulled.data());
  for (Index i = 0; i < n_; ++i) v[i] += d2_[i] * pulled[i];
  transpose_random(v.data(), zq.data());
  transpose_random(d1_.data(), zs.data());
  for (Index i = 0; i < s; ++i) zq[i] -= 2.0 * zs[i];
  for (Index i = 0; i < n_; ++i) v[i] -= 2.0 * d1_[i];
  out.gradient.assign(size, 0.0);
  for (Index r0 = 0; r0 < n_; r0 += kBlockRows) rows_.transpose_times(r0, std::min(kBlockRows, n_ - r0), &v[r0], out.gradient.data());
  Vec by_lambda(f.lambda_size());
  f.pulls(lambda, 0, by_lambda.data());
  add_outer_by_lambda(f, 0.5, zq.data(), u_.data(), by_lambda.data());
  add_outer_by_lambda(f, 0.5, zs.data(), lam.data(), by_lambda.data());
  for (int k = 0; k < m; ++k) out.gradient[p + k] = 2.0 * directions.along(k, by_lambda.data());
  if (const int k = stage.n_psi()) {
    const double* sizes = size_.empty() ? nullptr : size_.data();
    Vec l_psi(n_ * k), s_psi(n_), w_psi(n_);
    for (int c = 0; c < k; ++c) {
      stage_psi(stage, c, n_, y_.data(), sizes, eta_.data(), &l_psi[c * n_], s_psi.data(), w_psi.data());
      double g = 0.0;
      for (Index i = 0; i < n_; ++i) g += lev[i] * w_psi[i] + pulled[i] * s_psi[i];
      out.gradient[p + m + c] = g;
    }
    add_constant_psi(stage, n_, y_.data(), sizes, l_psi.data());
    for (int c = 0; c < k; ++c)
      for (Index i = 0; i < n_; ++i) out.gradient[p + m + c] -= 2.0 * l_psi[c * n_ + i];
  }
  if (order > 1) {
    out.hessian.assign(static_cast<size_t>(size) * size, 0.0);
    add_hessian(stage, lambda, directions, zs, out.hessian);
  }
  return out;
}

Vec SparseLaplace::moments(const Stage& stage, const double* beta) {
  at_.clear();
  have_ = false;
  linear(beta);
  jets(stage, xb_.data(), false);
  refactor(nullptr, true);
  Vec scores(elimination_.scalars());
  transpose_random(d1_.data(), scores.data());
  return elimination_.moments(1.0, scores.data());
}

// blockdiag(2 X'V^-1X, average information, curvature of psi)
void SparseLaplace::add_hessian(const Stage& stage, const double* lambda, const Directions& directions, const Vec& zs, Vec& h) {
  Elimination& f = elimination_;
  const Index s = f.scalars();
  const int p = p_, m = directions.count(), size = p + m + stage.n_psi();
  Vec xwx(static_cast<size_t>(p) * p, 0.0), x(static_cast<size_t>(kRunRows) * p), w(kRunRows);
  std::vector<Vec> r(p, Vec(s, 0.0));
  for (Index r0 = 0; r0 < n_; r0 += kRunRows) {
    check_interrupt();
    const Index rows = std::min(kRunRows, n_ - r0);
    rows_.fill(r0, rows, x.data());
    for (Index i = 0; i < rows; ++i) w[i] = -d2_[r0 + i];
    add_outer(xwx.data(), p, x.data(), w.data(), rows);
    for (const auto& t : terms_)
      for (Index i = 0; i < rows; ++i)
        for (int a = 0; a < t.count; ++a) {
          const double wz = w[i] * (t.z.empty() ? 1.0 : t.z[(r0 + i) * t.count + a]);
          const Index at = t.at[r0 + i] + a;
          for (int c = 0; c < p; ++c) r[c][at] += wz * x[i * p + c];
        }
  }
  for (auto& v : r) {
    f.times(lambda, true, v.data());
    f.forward(v.data(), 0);
  }
  for (int a = 0; a < p; ++a)
    for (int c = 0; c <= a; ++c)
      h[static_cast<size_t>(a) * size + c] = h[static_cast<size_t>(c) * size + a] = 2.0 * (xwx[a * p + c] - wide_dot(r[a].data(), r[c].data(), s));
  std::vector<Vec> xs(m, Vec(s)), ys(m, Vec(s)), vs(m);
  for (int k = 0; k < m; ++k) {
    moved_covariance(f, directions, k, lambda, zs.data(), xs[k].data());
    f.multiply(xs[k].data(), ys[k].data());
    vs[k] = ys[k];
    f.times(lambda, true, vs[k].data());
    f.forward(vs[k].data(), 0);
    for (int l = 0; l <= k; ++l)
      h[static_cast<size_t>(p + k) * size + p + l] = h[static_cast<size_t>(p + l) * size + p + k] =
          wide_dot(xs[k].data(), ys[l].data(), s) - wide_dot(vs[k].data(), vs[l].data(), s);
  }
  const int k = stage.n_psi();
  if (!k) return;
  Vec d(static_cast<size_t>(k) * n_);
  Vec own = psi_curvature(stage, n_, y_.data(), size_.empty() ? nullptr : size_.data(), eta_.data(), d.data());
  std::vector<Vec> solved(k, Vec(s));
  for (int c = 0; c < k; ++c) {
    transpose_random(&d[c * n_], solved[c].data());
    f.times(lambda, true, solved[c].data());
    f.forward(solved[c].data(), 0);
    for (int i = 0; i <= c; ++i) {
      const double shared = wide_dot(solved[c].data(), solved[i].data(), s);
      own[c * k + i] -= shared;
      if (i < c) own[i * k + c] -= shared;
    }
  }
  place_curvature(own, k, 1e-4 * static_cast<double>(n_), &h[static_cast<size_t>(p + m) * (size + 1)], size);
}

Vec SparseLaplace::draws(const double* e, Index count) const {
  const Index s = elimination_.scalars();
  Vec out(e, e + count * s);
  for (Index d = 0; d < count; ++d) {
    elimination_.backward(&out[d * s], 0);
    for (Index i = 0; i < s; ++i) out[d * s + i] += u_[i];
  }
  return out;
}

Vec SparseLaplace::log_ratios(const Stage& stage, const double* beta, const double* lambda, const double* e, Index draws) {
  const Index s = elimination_.scalars();
  at_.clear();
  linear(beta);
  Vec out(draws), u(s), b(s);
  const auto value = [&](const Vec& at) {
    b = at;
    elimination_.times(lambda, false, b.data());
    eta_ = xb_;
    add_random(b.data(), eta_.data());
    return jets(stage, eta_.data(), false) - 0.5 * wide_dot(at.data(), at.data(), s);
  };
  const Vec mode = u_;
  const double top = value(mode);
  for (Index d = 0; d < draws; ++d) {
    u.assign(e + d * s, e + (d + 1) * s);
    const double squares = wide_dot(u.data(), u.data(), s);
    elimination_.backward(u.data(), 0);
    for (Index i = 0; i < s; ++i) u[i] += mode[i];
    out[d] = value(u) - top + 0.5 * squares;
  }
  value(mode);
  return out;
}

}  // namespace glimm
