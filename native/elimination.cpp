// Symbolic phase: struct(j) = adj(j) u (u over children c of struct(c) \ {c}), parent(j) = min struct(j).
#include "elimination.hpp"

#include <algorithm>

#include "ordering.hpp"

namespace glimm {
namespace {

constexpr double kDense = 0.2;  // a node tied to this share of what is left starts the tail
constexpr Index kLargeTail = 400;
constexpr double kMostPairs = 5e7;  // of neighbours, beyond which no other order is tried; nor where nearly all pairs are neighbours

double tail_cost(double side) { return side * side * side / 20.0; }  // dense products are so much faster

}  // namespace

Elimination::Elimination(Index n, const std::vector<RandomColumns>& terms, int extra, int threads, bool planned) : Nodes(n, terms), extra_(extra), threads_(threads) {
  const Index leading = terms[leading_].levels;
  const Neighbours first = leading_neighbours(n, terms, leading_);
  Neighbours structure = first;
  double cost = symbolic(structure, leading);
  if (nodes() - nt_ > kLargeTail) {
    const auto before = node_;
    if (reorder(first, leading)) {
      number(terms);
      Neighbours again = leading_neighbours(n, terms, leading_);
      const double other = symbolic(again, leading);
      if (other < cost) {
        cost = other;
        structure = std::move(again);
      } else {
        node_ = before;
        number(terms);
        structure = first;
        symbolic(structure, leading);
      }
    }
  }
  const double tail = static_cast<double>(s_ - first_[nt_]);
  products_ = cost - tail_cost(tail);
  sd_ = s_ - first_[nt_];
  if (!planned) lay_out(structure);
}

// Rows tie the nodes of the leading term to others; those others are tied to each other by its elimination already.
Elimination::Neighbours Elimination::leading_neighbours(Index n, const std::vector<RandomColumns>& terms, int leading) const {
  const int count = static_cast<int>(terms.size());
  const Index all = nodes(), lead = terms[leading].levels;
  std::vector<Index> starts(lead + 1, 0);
  const auto& places = node_[leading];
  const std::int32_t* refs = terms[leading].refs;
  for (Index r = 0; r < n; ++r) ++starts[places[refs[r]] + 1];
  for (Index j = 0; j < lead; ++j) starts[j + 1] += starts[j];
  Neighbours structure(all);
  if (count > 1) {
    std::vector<std::int32_t> rows(n), mark(all, -1);
    std::vector<Index> next(starts.begin(), starts.end() - 1);
    for (Index r = 0; r < n; ++r) rows[next[places[refs[r]]]++] = static_cast<std::int32_t>(r);
    for (Index j = 0; j < lead; ++j) {
      if (j % kNodeRun == 0) check_interrupt();
      auto& s = structure[j];
      for (Index i = starts[j]; i < starts[j + 1]; ++i)
        for (int k = 0; k < count; ++k) {
          if (k == leading) continue;
          const std::int32_t other = node_[k][terms[k].refs[rows[i]]];
          if (mark[other] != j) {
            mark[other] = static_cast<std::int32_t>(j);
            s.push_back(other);
          }
        }
      std::sort(s.begin(), s.end());
    }
  }
  return structure;
}

double Elimination::symbolic(Neighbours& structure, Index lead) {
  const Index all = nodes();
  Neighbours children(all);
  std::vector<std::int32_t> mark(all, -1);
  double products = 0.0;
  nt_ = static_cast<std::int32_t>(all);
  for (std::int32_t j = 0; j < all; ++j) {
    if (j % kNodeRun == 0) check_interrupt();
    auto& s = structure[j];
    if (!children[j].empty()) {
      for (std::int32_t i : s) mark[i] = j;
      for (std::int32_t c : children[j])
        for (std::int32_t i : structure[c])
          if (i > j && mark[i] != j) {
            mark[i] = j;
            s.push_back(i);
          }
      std::sort(s.begin(), s.end());
    }
    if (j >= lead && s.size() >= 2 && static_cast<double>(s.size()) >= kDense * static_cast<double>(all - 1 - j)) {
      nt_ = j;
      break;
    }
    if (!s.empty()) children[s[0]].push_back(j);
    double scalars = 0.0;
    for (std::int32_t i : s) scalars += q(i);
    products += q(j) * scalars * scalars;
  }
  return products + tail_cost(static_cast<double>(s_ - first_[nt_]));
}

bool Elimination::reorder(const Neighbours& first, Index leading) {
  const Index rest = nodes() - leading;
  double pairs = 0.0;
  for (Index j = 0; j < leading; ++j) pairs += static_cast<double>(first[j].size()) * static_cast<double>(first[j].size());
  if (pairs > kMostPairs || 4.0 * pairs > static_cast<double>(rest) * static_cast<double>(rest)) return false;
  Neighbours by_node(rest);
  for (Index j = 0; j < leading; ++j) {
    if (j % kNodeRun == 0) check_interrupt();
    for (std::int32_t a : first[j])
      for (std::int32_t b : first[j])
        if (a != b) by_node[a - leading].push_back(static_cast<std::int32_t>(b - leading));
  }
  std::vector<Index> starts(1, 0);
  std::vector<std::int32_t> adjacent, weight(rest);
  for (Index i = 0; i < rest; ++i) {
    if (i % kNodeRun == 0) check_interrupt();
    auto& of = by_node[i];
    std::sort(of.begin(), of.end());
    of.erase(std::unique(of.begin(), of.end()), of.end());
    adjacent.insert(adjacent.end(), of.begin(), of.end());
    starts.push_back(static_cast<Index>(adjacent.size()));
    weight[i] = q(static_cast<std::int32_t>(leading + i));
  }
  const std::vector<Index> order = minimum_degree(rest, starts, adjacent, weight.data());
  std::vector<std::int32_t> place(rest);
  for (Index k = 0; k < rest; ++k) place[order[k]] = static_cast<std::int32_t>(leading + k);
  for (auto& of_term : node_)
    for (auto& j : of_term)
      if (j >= leading) j = place[j - leading];
  return true;
}

void Elimination::lay_out(const Neighbours& structure) {
  const Index all = nodes();
  s0_ = first_[nt_];
  sd_ = s_ - s0_;
  width_ = sd_ + extra_;
  tail_size_ = nt_ < all ? q(nt_) : 0;
  for (std::int32_t j = nt_; j < all; ++j)
    if (q(j) != tail_size_) tail_size_ = 0;
  node_of_.resize(s_);
  for (std::int32_t j = 0; j < all; ++j)
    for (Index c = first_[j]; c < first_[j + 1]; ++c) node_of_[c] = j;
  rp_.assign(1, 0);
  vp_.assign(1, 0);
  dp_.assign(1, 0);
  for (std::int32_t j = 0; j < nt_; ++j) {
    if (j % kNodeRun == 0) check_interrupt();
    for (std::int32_t i : structure[j])
      for (Index c = first_[i]; c < first_[i + 1]; ++c) ri_.push_back(static_cast<std::int32_t>(c));
    for (int e = 0; e < extra_; ++e) ri_.push_back(static_cast<std::int32_t>(s_ + e));
    rp_.push_back(static_cast<Index>(ri_.size()));
    vp_.push_back(vp_.back() + q(j) * (rp_[j + 1] - rp_[j]));
    dp_.push_back(dp_.back() + static_cast<Index>(q(j)) * q(j));
  }
  a_.assign(vp_.back(), 0.0);
  d_.assign(dp_.back(), 0.0);
  c_.assign(static_cast<size_t>(width_) * width_, 0.0);
  la_.resize(a_.size());
  ld_.resize(d_.size());
  t_.resize(c_.size());
}

}  // namespace glimm
