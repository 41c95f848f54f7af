// Modes by Newton's method whose factor is kept while it serves: u <- u + M_old^-1 r as long as the decrement falls fast.
#include "sparse_laplace.hpp"

namespace glimm {
namespace {

constexpr double kSlow = 0.05;  // a decrement that falls less than this with an old factor asks for a new one
constexpr int kMost = 200;

}  // namespace

SparseLaplace::SparseLaplace(const Rows& rows, std::vector<RandomColumns> terms, Vec trials, Vec weights, int threads)
    : elimination_(rows.n, terms, 0, threads), order_(RandomRows(terms, elimination_).by_leading(rows.n)),
      rows_(rows, terms, elimination_, order_, std::move(trials), std::move(weights), threads), node_(terms.size()) {
  const int count = static_cast<int>(terms.size()), pairs = count * (count - 1) / 2;
  const Index n = rows.n;
  for (int k = 0; k < count; ++k) {
    node_[k].resize(n);
    for (Index i = 0; i < n; ++i) node_[k][i] = elimination_.node(k, terms[k].refs[order_[i]]);
  }
  where_.resize(n * pairs);
  Locator locator(elimination_);
  std::vector<Entry> row(count);
  for (Index i = 0; i < n; ++i) {
    entries(i, row.data());
    locator.find(row.data(), count, where_.data() + i * pairs);
  }
}

void SparseLaplace::entries(Index r, Entry* out) const {
  for (size_t k = 0; k < node_.size(); ++k) {
    const auto& t = rows_.terms[k];
    out[k] = {node_[k][r], static_cast<int>(t.at[r] - elimination_.first(node_[k][r])), t.count, t.z.empty() ? &kOne : &t.z[r * t.count]};
  }
}

bool SparseLaplace::refactor(const double* lambda, bool positive) {
  elimination_.zero();
  const size_t pairs = node_.size() * (node_.size() - 1) / 2;
  std::vector<Entry> row(node_.size());
  for (Index i = 0; i < rows_.n; ++i) {
    if (i % kRunRows == 0) check_interrupt();
    entries(i, row.data());
    const double w = -rows_.d2[i];
    elimination_.add(row.data(), where_.data() + i * pairs, positive ? std::max(w, 0.0) : w, nullptr);
  }
  return !lambda || elimination_.factor(lambda);
}

bool SparseLaplace::find_modes(const Stage& stage, const double* lambda, double tol) {
  const Index s = elimination_.scalars();
  Vec rhs(s), step(s), solved(s), &u = rows_.u, from(u);
  double value = -HUGE_VAL, length = 1.0, before = HUGE_VAL;
  bool restarted = false;
  for (int it = 0; it < kMost; ++it) {
    const double now = rows_.at(stage, lambda, u);
    const bool first = value == -HUGE_VAL;
    if (!std::isfinite(now) && first) {  // the start lies outside the family's range: begin at zero, once
      if (restarted) return false;
      restarted = true;
      std::fill(u.begin(), u.end(), 0.0);
      have_ = false;
      continue;
    }
    if (!first && !(now >= value - 1e-11 * std::fabs(value) - 1e-12)) {
      length *= 0.25;
      if (length < 1e-10) return false;
      for (Index i = 0; i < s; ++i) u[i] = from[i] + length * step[i];
      have_ = false;
      continue;
    }
    value = now;
    length = 1.0;
    rows_.transpose_random(rows_.d1.data(), rhs.data());
    elimination_.times(lambda, true, rhs.data());
    for (Index i = 0; i < s; ++i) rhs[i] -= u[i];
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
    from = u;
    for (Index i = 0; i < s; ++i) u[i] += step[i];
  }
  return false;
}

LaplaceEvaluation SparseLaplace::evaluate(const Stage& stage, const double* beta, const double* lambda, const Directions& directions, int order,
                                          double tol) {
  LaplaceEvaluation out;
  Vec at(beta, beta + rows_.p);
  at.insert(at.end(), lambda, lambda + elimination_.lambda_size());
  at.insert(at.end(), stage.psi, stage.psi + stage.n_psi());
  if (at != at_ || reached_ > 10.0 * tol) {
    at_.clear();
    rows_.linear(beta);
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
  out.deviance = -2.0 * rows_.log_density(stage) + elimination_.logdet();
  out.ok = std::isfinite(out.deviance);
  out.u = rows_.u;
  if (order > 0 && out.ok) out.ok = laplace_derivatives(rows_, *this, stage, lambda, directions, order, out);
  return out;
}

bool SparseLaplace::inverse(const double* lambda, double* leverage, double* pulls) {
  Elimination& f = elimination_;
  f.invert(0);
  const size_t pairs = node_.size() * (node_.size() - 1) / 2;
  const Index n = rows_.n;
  parallel_blocks((n + kBlockRows - 1) / kBlockRows, rows_.threads, [&](Index b) {
    std::vector<Entry> row(node_.size());
    std::vector<Vec> scaled(node_.size());
    for (Index i = b * kBlockRows; i < std::min(n, (b + 1) * kBlockRows); ++i) {
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
      leverage[i] = f.leverage(row.data(), where_.data() + i * pairs, static_cast<int>(row.size()));
    }
  });
  f.pulls(lambda, 0, pulls);
  return true;
}

bool SparseLaplace::solve(Vec& x) {
  elimination_.forward(x.data(), 0);
  elimination_.backward(x.data(), 0);
  return true;
}

bool SparseLaplace::gram(std::vector<Vec>& v, Vec& products) {
  const size_t m = v.size();
  products.assign(m * m, 0.0);
  for (size_t k = 0; k < m; ++k) {
    elimination_.forward(v[k].data(), 0);
    for (size_t l = 0; l <= k; ++l) products[k * m + l] = products[l * m + k] = wide_dot(v[k].data(), v[l].data(), elimination_.scalars());
  }
  return true;
}

Vec SparseLaplace::moments(const Stage& stage, const double* beta) {
  at_.clear();
  have_ = false;
  rows_.linear(beta);
  rows_.jets(stage, rows_.xb.data(), false);
  refactor(nullptr, true);
  Vec scores(elimination_.scalars());
  rows_.transpose_random(rows_.d1.data(), scores.data());
  return elimination_.moments(1.0, scores.data());
}

Vec SparseLaplace::draws(const double* e, Index count) const {
  const Index s = elimination_.scalars();
  Vec out(e, e + count * s);
  for (Index d = 0; d < count; ++d) {
    elimination_.backward(&out[d * s], 0);
    for (Index i = 0; i < s; ++i) out[d * s + i] += rows_.u[i];
  }
  return out;
}

Vec SparseLaplace::log_ratios(const Stage& stage, const double* beta, const double* lambda, const double* e, Index draws) {
  const Index s = elimination_.scalars();
  at_.clear();
  rows_.linear(beta);
  Vec out(draws), u(s);
  const auto value = [&](const Vec& at) { return rows_.at(stage, lambda, at); };
  const Vec mode = rows_.u;
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
