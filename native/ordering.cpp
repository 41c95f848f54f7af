// Approximate minimum degree (Amestoy, Davis and Duff 1996): |adj i| <= |A_i \ L_p| + |L_p \ i| + sum over elements e of i of |L_e \ L_p|.
//
// A pivot p becomes an element: the clique L_p of its neighbours, which replaces the edges and the older elements within it.
#include "ordering.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "interrupt.hpp"

namespace glimm {
namespace {

using Node = std::int32_t;
constexpr Node kNone = -1;

// A list longer than kShort (|L_p| + 1) is left alone and p waits beside it; the degree is then bounded by |adj i| + |L_p \ i|.
// It is read again when as many elements wait as 1 / kShare of its length, or when its node has the least degree.
constexpr size_t kShort = 32, kShare = 2;

// Nodes by degree, the last one put in first.
class Degrees {
 public:
  Degrees(Index nodes, Index largest) : first_(largest + 1, kNone), next_(nodes, kNone), before_(nodes, kNone), degree_(nodes, kNone) {}

  void put(Node i, Index degree) {
    const Node head = first_[degree];
    next_[i] = head;
    before_[i] = kNone;
    if (head != kNone) before_[head] = i;
    first_[degree] = i;
    degree_[i] = degree;
    least_ = std::min(least_, degree);
  }

  void remove(Node i) {
    if (next_[i] != kNone) before_[next_[i]] = before_[i];
    if (before_[i] != kNone) next_[before_[i]] = next_[i];
    else first_[degree_[i]] = next_[i];
  }

  Node take_least() {
    while (first_[least_] == kNone) ++least_;
    const Node i = first_[least_];
    remove(i);
    return i;
  }

 private:
  std::vector<Node> first_, next_, before_;
  std::vector<Index> degree_;
  Index least_ = 0;
};

class QuotientGraph {
 public:
  QuotientGraph(Index nodes, const std::vector<Index>& starts, const std::vector<Node>& adjacent, const Node* weight)
      : starts_(starts), list_(adjacent.size()), elements_(nodes, 0), length_(nodes, 0), members_(nodes), pending_(nodes), scalars_(nodes, 0), clique_(nodes, 0),
        degree_(nodes, 0), outside_(nodes, 0), seen_(nodes, 0), parent_(nodes, kNone), next_(nodes, kNone), last_(nodes) {
    std::iota(last_.begin(), last_.end(), 0);
    for (Index i = 0; i < nodes; ++i) remaining_ += scalars_[i] = weight ? std::max<Node>(weight[i], 1) : 1;
    all_ = remaining_;
    for (Index i = 0; i < nodes; ++i) {
      seen_[i] = ++tag_;
      for (Index k = starts[i]; k < starts[i + 1]; ++k) {
        const Node j = adjacent[k];
        if (seen_[j] == tag_) continue;
        seen_[j] = tag_;
        list_[starts[i] + length_[i]++] = j;
        degree_[i] += scalars_[j];
      }
    }
  }

  // Every node in the order of elimination, blocks of the factor and their descendants together.
  std::vector<Index> order() {
    const Node nodes = static_cast<Node>(length_.size());
    Degrees degrees(nodes, all_);
    for (Node i = nodes - 1; i >= 0; --i) degrees.put(i, degree_[i]);
    std::vector<Node> pivots;
    while (remaining_ > 0) {
      check_interrupt();
      const Node p = degrees.take_least();
      if (!pending_[p].empty()) {
        refresh(p);
        degrees.put(p, degree_[p]);
        continue;
      }
      pivots.push_back(p);
      eliminate(p, degrees);
    }
    return postorder(pivots);
  }

 private:
  bool live(Node element) const { return !members_[element].empty(); }

  void absorb(Node element, Node into) {
    parent_[element] = into;
    std::vector<Node>().swap(members_[element]);
  }

  void join(Node to, Node i) {  // i is eliminated right after the nodes of `to`
    next_[last_[to]] = i;
    last_[to] = last_[i];
    scalars_[i] = 0;
  }

  void eliminate(Node p, Degrees& degrees) {
    Index eliminated = scalars_[p];
    scalars_[p] = 0;
    gather(p, degrees);
    light_.clear();
    for (Node i : clique_of_p_) {
      if (pending_[i].empty() && static_cast<size_t>(length_[i]) <= kShort * (clique_of_p_.size() + 1)) light_.push_back(i);
      else pending_[i].push_back(p);
    }
    count_outside();
    for (Node i : light_) {
      if (reduce(i, p)) continue;
      eliminated += scalars_[i];
      clique_[p] -= scalars_[i];
      join(p, i);
    }
    merge_equal();
    remaining_ -= eliminated;
    for (Node i : clique_of_p_)
      if (scalars_[i] > 0) members_[p].push_back(i);
    for (Node i : clique_of_p_) {
      if (scalars_[i] == 0) continue;
      degree_[i] = std::min(degree_[i] + clique_[p], remaining_) - scalars_[i];
      if (pending_[i].size() * kShare > static_cast<size_t>(length_[i])) refresh(i);
      degrees.put(i, degree_[i]);
    }
  }

  // L_p, from the edges and the elements of p
  void gather(Node p, Degrees& degrees) {
    clique_of_p_.clear();
    ++tag_;
    const auto add = [&](Node i) {
      if (scalars_[i] == 0 || seen_[i] == tag_) return;
      seen_[i] = tag_;
      clique_of_p_.push_back(i);
      clique_[p] += scalars_[i];
      degrees.remove(i);
    };
    const Node* list = list_.data() + starts_[p];
    for (Index k = elements_[p]; k < length_[p]; ++k) add(list[k]);
    for (Index k = 0; k < elements_[p]; ++k) {
      for (Node i : members_[list[k]]) add(i);
      absorb(list[k], p);
    }
  }

  // outside_[e] - base_ = |L_e \ L_p| for every element that touches L_p
  void count_outside() {
    base_ += all_ + 1;
    for (Node i : light_)
      for (Index k = 0; k < elements_[i]; ++k) {
        const Node e = list_[starts_[i] + k];
        if (!live(e)) continue;
        if (outside_[e] < base_) outside_[e] = clique_[e] + base_;
        outside_[e] -= scalars_[i];
      }
  }

  // The list of i without what p holds, and its degree but for L_p; false if nothing else is left, so that i goes with p.
  bool reduce(Node i, Node p) {
    Node* list = list_.data() + starts_[i];
    Index degree = 0;
    std::uint64_t hash = 0;
    kept_.assign(1, p);
    for (Index k = 0; k < elements_[i]; ++k) {
      const Node e = list[k];
      if (!live(e)) continue;
      if (outside_[e] == base_) {
        absorb(e, p);
        continue;
      }
      degree += outside_[e] - base_;
      hash += static_cast<std::uint64_t>(e);
      kept_.push_back(e);
    }
    const Node elements = static_cast<Node>(kept_.size());
    for (Index k = elements_[i]; k < length_[i]; ++k) {
      const Node j = list[k];
      if (scalars_[j] == 0 || seen_[j] == tag_) continue;
      degree += scalars_[j];
      hash += static_cast<std::uint64_t>(j);
      kept_.push_back(j);
    }
    if (kept_.size() == 1) return false;
    std::copy(kept_.begin(), kept_.end(), list);
    elements_[i] = elements;
    length_[i] = static_cast<Node>(kept_.size());
    degree_[i] = std::min(degree_[i], degree);
    hashes_.emplace_back(hash, i);
    return true;
  }

  // The list of i with the elements that waited, but for those within the largest element, and its exact degree.
  void refresh(Node i) {
    Node* list = list_.data() + starts_[i];
    kept_.clear();
    for (Index k = 0; k < elements_[i]; ++k)
      if (live(list[k])) kept_.push_back(list[k]);
    for (Node e : pending_[i])
      if (live(e)) kept_.push_back(e);
    std::vector<Node>().swap(pending_[i]);
    const auto larger = [&](Node a, Node b) { return members_[a].size() < members_[b].size(); };
    std::iter_swap(kept_.begin(), std::max_element(kept_.begin(), kept_.end(), larger));
    const Node largest = kept_[0];
    const Index within = ++tag_, beyond = ++tag_;
    Index degree = 0;
    seen_[i] = within;
    size_t elements = 0;
    for (Node e : kept_) {
      bool inside = e != largest;
      for (Node j : members_[e]) {
        if (scalars_[j] == 0 || seen_[j] == within) continue;
        inside = false;
        if (seen_[j] == beyond) continue;
        seen_[j] = e == largest ? within : beyond;
        degree += scalars_[j];
      }
      if (inside) absorb(e, largest);
      else kept_[elements++] = e;
    }
    kept_.resize(elements);
    for (Index k = elements_[i]; k < length_[i]; ++k) {
      const Node j = list[k];
      if (scalars_[j] == 0 || seen_[j] >= within) continue;
      degree += scalars_[j];
      kept_.push_back(j);
    }
    std::copy(kept_.begin(), kept_.end(), list);
    elements_[i] = static_cast<Node>(elements);
    length_[i] = static_cast<Node>(kept_.size());
    degree_[i] = degree;
  }

  // Nodes of L_p with the same lists stay neighbours of the same nodes: one pivot for all of them.
  void merge_equal() {
    std::sort(hashes_.begin(), hashes_.end());
    for (size_t a = 0; a < hashes_.size(); ++a) {
      const Node i = hashes_[a].second;
      bool marked = false;
      for (size_t b = a + 1; scalars_[i] > 0 && b < hashes_.size() && hashes_[b].first == hashes_[a].first; ++b) {
        const Node j = hashes_[b].second;
        if (scalars_[j] == 0 || length_[j] != length_[i] || elements_[j] != elements_[i]) continue;
        if (!marked) {
          ++tag_;
          for (Index k = 0; k < length_[i]; ++k) seen_[list_[starts_[i] + k]] = tag_;
          marked = true;
        }
        const Node* list = list_.data() + starts_[j];
        if (!std::all_of(list, list + length_[j], [&](Node k) { return seen_[k] == tag_; })) continue;
        scalars_[i] += scalars_[j];
        join(i, j);
      }
    }
    hashes_.clear();
  }

  // Children before parents in the tree of absorption: fill as in the order of the pivots.
  std::vector<Index> postorder(const std::vector<Node>& pivots) const {
    std::vector<Node> child(parent_.size(), kNone), sibling(parent_.size(), kNone), stack, reversed;
    for (Node p : pivots) {
      if (parent_[p] == kNone) {
        stack.push_back(p);
        continue;
      }
      sibling[p] = child[parent_[p]];
      child[parent_[p]] = p;
    }
    while (!stack.empty()) {
      const Node p = stack.back();
      stack.pop_back();
      reversed.push_back(p);
      const size_t here = stack.size();
      for (Node c = child[p]; c != kNone; c = sibling[c]) stack.push_back(c);
      std::reverse(stack.begin() + static_cast<Index>(here), stack.end());
    }
    std::vector<Index> order;
    for (auto p = reversed.rbegin(); p != reversed.rend(); ++p)
      for (Node i = *p; i != kNone; i = next_[i]) order.push_back(i);
    return order;
  }

  const std::vector<Index>& starts_;
  std::vector<Node> list_;                 // elements of a node, then its neighbours by edges; it never grows
  std::vector<Node> elements_, length_;    // how many of either, and of both
  std::vector<std::vector<Node>> members_; // L_e; empty for what is no element, or absorbed
  std::vector<std::vector<Node>> pending_; // elements that wait beside a long list
  std::vector<Index> scalars_;             // of a node with those merged into it; 0: eliminated or merged
  std::vector<Index> clique_;              // scalars in L_e
  std::vector<Index> degree_, outside_, seen_;
  std::vector<Node> parent_, next_, last_;
  std::vector<Node> clique_of_p_, light_, kept_;
  std::vector<std::pair<std::uint64_t, Node>> hashes_;
  Index remaining_ = 0, all_ = 0, base_ = 0, tag_ = 0;
};

}  // namespace

std::vector<Index> minimum_degree(Index nodes, const std::vector<Index>& starts, const std::vector<std::int32_t>& adjacent, const std::int32_t* weight) {
  return QuotientGraph(nodes, starts, adjacent, weight).order();
}

}  // namespace glimm
