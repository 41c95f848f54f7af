// The modes of all levels of one block together by Newton's method: the row stage sees one long array, levels that have
// converged leave it.
//
// A step s from u is kept if h'(u + s).s >= -h'(u).s / 2 (>= 0 after a while), which for a log-concave h means progress without its
// value; where h need not be log-concave its value decides.
#include "mixed.hpp"

namespace glimm {
namespace {

constexpr double kDone = 1e-12;    // decrement: quadratic convergence leaves about 1e-24 after the step
constexpr int kPatient = 15, kMost = 300;

}  // namespace

template <int Q> void Modes::evaluate(const MixedRows& data, const Stage& stage, const Vec& xb, const Vec& zt, const Vec& u, bool values) {
  const int q = Q ? Q : data.q;
  const Index* starts = data.levels.starts;
  Index i = 0;
  for (Index j : active_) {
    const double* uj = &u[j * q];
    const Index a = starts[j], b = starts[j + 1];
    for (Index r = a; r < b; ++r) eta_[i + r - a] = xb[r - r0_] + dot(&zt[(r - r0_) * q], uj, q);
    std::copy(&data.y[a], &data.y[a] + (b - a), &y_[i]);
    if (!data.size.empty()) std::copy(&data.size[a], &data.size[a] + (b - a), &size_[i]);
    i += b - a;
  }
  stage_jets(stage, i, y_.data(), data.size.empty() ? nullptr : size_.data(), eta_.data(), values ? l_.data() : nullptr, d1_.data(), d2_.data(), nullptr);
}

template <int Q> bool Modes::found(const MixedRows& data, const Stage& stage, Index block, const Vec& xb, const Vec& zt, Vec& u) {
  const int q = Q ? Q : data.q;
  const bool values = !log_concave(stage);
  const Index* starts = data.levels.starts;
  begin_ = data.edges[block];
  r0_ = data.first(block);
  const Index end = data.edges[block + 1], count = end - begin_;
  for (Vec* v : {&eta_, &y_, &size_, &l_, &d1_, &d2_}) v->resize(data.last(block) - r0_);
  value_.assign(count, -HUGE_VAL);
  slope_.assign(count, 0.0);
  length_.assign(count, 0.0);  // 0: no step has been tried yet
  step_.assign(count * q, 0.0);
  from_.assign(count * q, 0.0);
  restarted_.assign(count, 0);
  active_.clear();
  for (Index j = begin_; j < end; ++j) active_.push_back(j);
  Vec heap(Q ? 0 : q + q * q);
  for (int it = 0; it < kMost && !active_.empty(); ++it) {
    check_interrupt();
    evaluate<Q>(data, stage, xb, zt, u, values);
    still_.clear();
    Index i = 0;
    for (Index j : active_) {
      const Index rows = starts[j + 1] - starts[j], k = j - begin_;
      const double* zj = &zt[(starts[j] - r0_) * q];
      double* uj = &u[j * q];
      double* s = &step_[k * q];
      double h = values ? -0.5 * dot(uj, uj, q) : 0.0;
      double gs[Q ? Q : 1], cs[Q ? Q * Q : 1];  // on the stack where q is known
      double *g = Q ? gs : heap.data(), *curvature = Q ? cs : heap.data() + q;
      for (int a = 0; a < q; ++a) {
        g[a] = -uj[a];
        for (int c = 0; c <= a; ++c) curvature[a * q + c] = a == c ? 1.0 : 0.0;
      }
      for (Index r = 0; r < rows; ++r) {
        const double* z = zj + r * q;
        for (int a = 0; a < q; ++a) {
          g[a] += z[a] * d1_[i + r];
          const double wz = -d2_[i + r] * z[a];
          for (int c = 0; c <= a; ++c) curvature[a * q + c] += wz * z[c];
        }
      }
      for (Index r = 0; values && r < rows; ++r) h += l_[i + r];
      i += rows;
      double along = 0.0;
      for (int a = 0; a < q; ++a) along += g[a] * s[a];
      const bool finite = std::isfinite(along) && std::isfinite(g[0]) && !(values && !std::isfinite(h));
      const bool first = length_[k] == 0.0;
      const bool kept = first ? finite
                        : values ? h >= value_[k] - 1e-11 * std::fabs(value_[k]) - 1e-13
                                 : finite && along >= (it > kPatient ? -1e-14 : -0.5) * slope_[k];
      if (!kept) {
        if (first) {  // the start lies outside the family's range: begin at zero, once
          if (restarted_[k]) return false;
          restarted_[k] = 1;
          std::fill(uj, uj + q, 0.0);
        } else {
          length_[k] *= 0.25;
          if (length_[k] < 1e-10) return false;
          for (int a = 0; a < q; ++a) uj[a] = from_[k * q + a] + length_[k] * s[a];
        }
        still_.push_back(j);
        continue;
      }
      value_[k] = h;
      length_[k] = 1.0;
      if (!cholesky(curvature, q, q))  // negative observed weights: an identity-scaled step towards the mode
        for (int a = 0; a < q; ++a)
          for (int c = 0; c <= a; ++c) curvature[a * q + c] = a == c ? 1.0 : 0.0;
      std::copy(g, g + q, s);
      solve_lower(curvature, q, q, s);
      slope_[k] = dot(s, s, q);  // the decrement: g's
      solve_lower_t(curvature, q, q, s);
      for (int a = 0; a < q; ++a) {
        from_[k * q + a] = uj[a];
        uj[a] += s[a];
      }
      if (slope_[k] >= kDone) still_.push_back(j);
    }
    active_.swap(still_);
  }
  return active_.empty();
}

template <int Q> bool AtModes::block(Index b, const Stage& stage, const double* vector, const Vec& t, bool third, BlockRows& k) {
  const int q = Q ? Q : data.q;
  const Index r0 = data.first(b), m = data.last(b) - r0;
  const Index* starts = data.levels.starts;
  data.linear(b, vector, t.data(), k.xb, k.zt);
  if (!k.modes.find(data, stage, b, k.xb, k.zt, u)) return false;
  for (Vec* a : {&k.eta, &k.l, &k.d1, &k.d2, &k.d3}) a->resize(m);
  for (Index j = data.edges[b]; j < data.edges[b + 1]; ++j)
    for (Index i = starts[j] - r0; i < starts[j + 1] - r0; ++i) k.eta[i] = k.xb[i] + dot(&k.zt[i * q], &u[j * q], q);
  stage_jets(stage, m, &data.y[r0], data.size_at(r0), k.eta.data(), k.l.data(), k.d1.data(), k.d2.data(), third ? k.d3.data() : nullptr);
  for (Index j = data.edges[b]; j < data.edges[b + 1]; ++j) {
    double *d = factor.diagonal(j), *score = &zs[j * q];
    std::fill(d, d + q * q, 0.0);
    std::fill(score, score + q, 0.0);
    for (Index i = starts[j]; i < starts[j + 1]; ++i)
      for (int a = 0; a < q; ++a) {
        const double z = data.z[i * q + a], wz = -k.d2[i - r0] * z;
        score[a] += z * k.d1[i - r0];
        for (int c = 0; c <= a; ++c) d[a * q + c] += wz * data.z[i * q + c];
      }
    if (!factor.factor_level<Q>(j, t.data(), false)) return false;
  }
  return true;
}

#define GLIMM_INSTANTIATE(Q)                                                                       \
  template bool Modes::found<Q>(const MixedRows&, const Stage&, Index, const Vec&, const Vec&, Vec&); \
  template bool AtModes::block<Q>(Index, const Stage&, const double*, const Vec&, bool, BlockRows&);
GLIMM_INSTANTIATE(0)
GLIMM_INSTANTIATE(1)
GLIMM_INSTANTIATE(2)
GLIMM_INSTANTIATE(3)

}  // namespace glimm
