// Rows of several random terms: what each row has of every term.
#pragma once
#include "elimination.hpp"

namespace glimm {

constexpr double kOne = 1.0;

// Rows of all random terms, in the order they were given or in another one of the caller's.
class RandomRows {
 public:
  RandomRows(std::vector<RandomColumns> terms, const Nodes& e) : terms_(std::move(terms)), nodes_(e) {}
  int count() const { return static_cast<int>(terms_.size()); }
  int pairs() const { return count() * (count() - 1) / 2; }
  // The rows by node of the leading term, as they come inside it.
  std::vector<std::int64_t> by_leading(Index n) const {
    const auto& t = terms_[nodes_.leading()];
    std::vector<Index> next(t.levels + 1, 0);
    for (Index r = 0; r < n; ++r) ++next[nodes_.node(nodes_.leading(), t.refs[r]) + 1];
    for (Index j = 0; j < t.levels; ++j) next[j + 1] += next[j];
    std::vector<std::int64_t> order(n);
    for (Index r = 0; r < n; ++r) order[next[nodes_.node(nodes_.leading(), t.refs[r])]++] = r;
    return order;
  }
  void entries(Index r, Entry* out) const {
    for (int k = 0; k < count(); ++k) {
      const auto& t = terms_[k];
      const std::int32_t node = nodes_.node(k, t.refs[r]);
      const int q = t.place ? 1 : nodes_.q(node);
      out[k] = {node, t.place ? t.place[r] : 0, q, t.z ? t.z + r * q : &kOne};
    }
  }

 private:
  std::vector<RandomColumns> terms_;
  const Nodes& nodes_;
};

// Places of the blocks of rows that come by level of the leading term: the panel of a level is looked through once.
class Locator {
 public:
  explicit Locator(const Elimination& e) : elimination_(e) {}
  // where: by pair (k, l), k < l, of `count` entries
  void find(const Entry* entries, int count, Index* where) {
    const std::int32_t lead = entries[elimination_.leading()].node;
    const bool panel = elimination_.sparse(lead);
    if (panel && lead != current_) elimination_.locate_panel(current_ = lead, in_panel_);
    for (int k = 0; k < count; ++k)
      for (int l = k + 1; l < count; ++l, ++where) {
        const std::int32_t a = entries[k].node, b = entries[l].node;
        *where = panel && a == lead ? in_panel_[b] : panel && b == lead ? in_panel_[a] : elimination_.locate(a, b);
      }
  }

 private:
  const Elimination& elimination_;
  std::int32_t current_ = -1;
  std::vector<Index> in_panel_;
};

}  // namespace glimm
