// Gamma, a = w / phi: a log a + (a - 1) log y - log Gamma(a). Inverse gaussian: -log(phi) / 2. Tweedie: log sum_j W_j (tweedie.hpp), in which
// log W_j falls by (1 + b) j per unit of log phi, so that its derivatives are moments of j; log Gamma at whole j is looked up.
#include "dispersion.hpp"

#include <algorithm>

#include "responses.hpp"
#include "threads.hpp"
#include "tweedie.hpp"

namespace glimm {
namespace {

constexpr Index kLookedUp = 4096;
constexpr double kFarthest = 4.6;  // as in constants.cpp
constexpr double kHalfLog2Pi = 0.91893853320467274178;

// What work(begin, end, out) gives for blocks of rows, added in their order.
template <class Work> std::vector<double> summed(Index n, const DispersionTerms& before, int threads, Work work) {
  constexpr int N = 3;
  const Index blocks = (n + kBlockRows - 1) / kBlockRows;
  std::vector<double> parts(static_cast<size_t>(blocks) * N, 0.0), total{before.value, before.slope, before.curvature};
  parallel_blocks(blocks, threads, [&](Index b) { work(b * kBlockRows, std::min(n, (b + 1) * kBlockRows), &parts[static_cast<size_t>(b) * N]); });
  for (Index b = 0; b < blocks; ++b)
    for (int k = 0; k < N; ++k) total[k] += parts[static_cast<size_t>(b) * N + k];
  return total;
}

// The series of a tweedie response with moments of j, at one power.
class Series {
 public:
  explicit Series(double p) : p_(p), b_((2.0 - p) / (p - 1.0)), gammas_(kLookedUp) {
    for (Index j = 1; j < kLookedUp; ++j) gammas_[j] = log_gamma(j + 1.0) + log_gamma(j * b_);
  }
  // adds log a(y), and its derivatives in log phi
  bool add(double y, double phi, double* out) const {
    constexpr double reach = 37.0;
    const double log_y = std::log(y), log_phi = std::log(phi);
    const double c = b_ * (log_y - std::log(p_ - 1.0) - log_phi) - log_phi - std::log(2.0 - p_);
    const double top = std::max(1.0, std::round(std::exp((2.0 - p_) * log_y) / (phi * (2.0 - p_))));
    if (!(top < kMostTerms)) return false;
    const auto term = [&](double j) {
      return j * c - (j < kLookedUp ? gammas_[static_cast<Index>(j)] : log_gamma(j + 1.0) + log_gamma(j * b_));
    };
    const double largest = term(top), step = std::max(1.0, std::floor(0.25 * std::sqrt(top / (1.0 + b_))));
    if (!std::isfinite(largest)) return false;
    double sum = 0.0, first = 0.0, second = 0.0;  // moments of j - top
    const auto include = [&](double j) {
      const double w = term(j) - largest, d = j - top;
      if (w < -reach) return false;
      const double e = vexp(w);
      sum += e;
      first += e * d;
      second += e * d * d;
      return true;
    };
    for (double j = top; include(j); j += step) {}
    for (double j = top - step; j >= 1.0 && include(j); j -= step) {}
    const double mean = first / sum;
    out[0] += largest + std::log(step * sum) - log_y;
    out[1] -= (1.0 + b_) * (top + mean);
    out[2] += (1.0 + b_) * (1.0 + b_) * (second / sum - mean * mean);
    return true;
  }

 private:
  double p_, b_;
  std::vector<double> gammas_;
};

}  // namespace

DispersionTerms dispersion_terms(const Stage& s, Index n, const double* y, const double* weights, const DispersionTerms& before, int threads) {
  const Own o = own_of(s);
  std::vector<double> t;
  if (s.family == kTweedie) {
    if (!(std::fabs(s.psi[1]) <= kFarthest)) return {kNaN, kNaN, kNaN};
    const Series series(o.p);
    t = summed(n, before, threads, [&](Index begin, Index end, double* out) {
      for (Index i = begin; i < end; ++i) {
        if ((i - begin) % 1024 == 0) check_interrupt();
        if (y[i] > 0.0 && !series.add(y[i], o.a / (weights ? weights[i] : 1.0), out)) out[0] = kNaN;
      }
    });
  } else if (s.family == kGamma) {
    const double alone = o.precision, log_alone = std::log(alone), lgamma_alone = log_gamma(alone);
    const Gammas digamma_alone = gammas(alone);
    t = summed(n, before, threads, [&](Index begin, Index end, double* out) {
      for (Index i = begin; i < end; ++i) {
        const double a = weights ? weights[i] * alone : alone, log_a = weights ? std::log(a) : log_alone, log_y = vlog(y[i]);
        const Gammas g = weights ? gammas(a) : digamma_alone;
        out[0] += a * log_a + (a - 1.0) * log_y - (weights ? log_gamma(a) : lgamma_alone);
        const double u = a * (log_a + 1.0 + log_y - g.d1);
        out[1] -= u;
        out[2] += u + a * (1.0 - a * g.d2);
      }
    });
  } else {
    t = summed(n, before, threads, [&](Index begin, Index end, double* out) {
      for (Index i = begin; i < end; ++i) out[0] += 0.5 * ((weights ? std::log(weights[i]) : 0.0) - s.psi[0] - 3.0 * std::log(y[i])) - kHalfLog2Pi;
      out[1] = -0.5 * static_cast<double>(end - begin);
    });
  }
  return {t[0], t[1], t[2]};
}

}  // namespace glimm
