// b by least squares: X'WX b = X'W (y - offset).
#include "fixed_part.hpp"

namespace glimm {

namespace {

Index row_blocks(Index n) { return (n + kBlockRows - 1) / kBlockRows; }

// The sum over blocks of rows, in the order of blocks, of what work(first, rows, sum) adds to its own sum.
template <class Work> Vec over_rows(Index n, int threads, size_t size, Work work) {
  std::vector<Vec> part(row_blocks(n));
  parallel_blocks(row_blocks(n), threads, [&](Index b) {
    part[b].assign(size, 0.0);
    work(b * kBlockRows, std::min(kBlockRows, n - b * kBlockRows), part[b]);
  });
  Vec total(size, 0.0);
  for (const auto& s : part)
    for (size_t c = 0; c < size; ++c) total[c] += s[c];
  return total;
}

}  // namespace

FixedPart::FixedPart(const Rows& rows, int threads) : rows_(rows), threads_(threads), p_(rows.p) {
  const int p = p_, e = p_ + 1;
  xx_ = over_rows(rows.n, threads, static_cast<size_t>(p) * p + 1, [&](Index r0, Index m, Vec& sum) {
    Vec x(static_cast<size_t>(kRunRows) * p);
    for (Index r = r0; r < r0 + m; r += kRunRows) {
      check_interrupt();
      const Index some = std::min(kRunRows, r0 + m - r);
      rows.fill(r, some, x.data());
      add_outer(sum.data(), p, x.data(), rows.size ? rows.size + r : nullptr, some);
    }
    for (Index i = r0; rows.size && i < r0 + m; ++i) sum.back() += std::log(rows.size[i]);
  });
  log_weights_ = xx_.back();
  xx_.pop_back();
  cross_.assign(static_cast<size_t>(e) * e, 0.0);
  for (int a = 0; a < p; ++a)
    for (int c = 0; c <= a; ++c) cross_[a * e + c] = xx_[a * p + c];
  cholesky(xx_.data(), p, p);
  respond(rows.y);
}

void FixedPart::respond(const double* y) {
  remove(y);
  cross_response();
}

Vec FixedPart::whole(const double* beta) const {
  Vec out = ols_;
  for (int c = 0; c < p_; ++c) out[c] += unit_ * beta[c];
  return out;
}

double FixedPart::deviance(double logdet, double s2, double ne) const {
  return logdet + ne * (1.0 + std::log(2.0 * 3.14159265358979323846 * s2)) - log_weights_ + 2.0 * ne * std::log(unit_);
}

// residual = (y - offset - X b) / unit, b by least squares in two rounds: the second takes off what rounding left.
void FixedPart::remove(const double* y) {
  const Index n = rows_.n;
  residual_.resize(n);
  ols_.assign(p_, 0.0);
  Vec step(p_, 0.0);
  for (int round = 0; round < 3; ++round) {  // the last only takes off the second round's fit
    Vec sums = over_rows(n, threads_, p_ + 1, [&](Index r0, Index m, Vec& sum) {
      Vec fitted(m), weighted(m);
      rows_.linear(r0, m, step.data(), fitted.data(), round == 0);
      for (Index i = 0; i < m; ++i) {
        const double r = (round == 0 ? y[r0 + i] : residual_[r0 + i]) - fitted[i];
        residual_[r0 + i] = r;
        weighted[i] = rows_.size ? rows_.size[r0 + i] * r : r;
        sum[p_] += r * r;
      }
      if (round < 2) rows_.transpose_times(r0, m, weighted.data(), sum.data());
    });
    if (round == 0) before_ = std::sqrt(sums[p_] / static_cast<double>(n));
    unit_ = std::sqrt(sums[p_] / static_cast<double>(n));
    if (round == 2) break;
    step.assign(sums.begin(), sums.begin() + p_);
    solve_lower(xx_.data(), p_, p_, step.data());
    solve_lower_t(xx_.data(), p_, p_, step.data());
    for (int c = 0; c < p_; ++c) ols_[c] += step[c];
  }
  if (unit_ > 0.0)
    for (double& r : residual_) r /= unit_;
}

void FixedPart::cross_response() {
  const Vec last = over_rows(rows_.n, threads_, p_ + 1, [&](Index r0, Index m, Vec& sum) {
    Vec weighted(m);
    for (Index i = 0; i < m; ++i) {
      weighted[i] = (rows_.size ? rows_.size[r0 + i] : 1.0) * residual_[r0 + i];
      sum[p_] += weighted[i] * residual_[r0 + i];
    }
    rows_.transpose_times(r0, m, weighted.data(), sum.data());
  });
  std::copy(last.begin(), last.end(), cross_.begin() + static_cast<size_t>(p_) * (p_ + 1));
}

}  // namespace glimm
