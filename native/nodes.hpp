// Levels of all random terms as nodes: the levels of the term with most of them first, effects numbered in the order of nodes.
//
// M = Lambda'A Lambda + I, A = Z'WZ; Lambda is block-diagonal over nodes, with one block for each term (and each pattern of a term).
#pragma once
#include <cstdint>
#include <vector>

#include "dense.hpp"
#include "interrupt.hpp"

namespace glimm {

constexpr std::int32_t kNodeRun = 16;  // nodes between two checks for Ctrl-C

// One random term as its rows see it, in the caller's order of rows.
struct RandomColumns {
  Index levels = 0;
  const std::int32_t* refs = nullptr;   // (n) level
  const double* z = nullptr;            // (n, q) row-major; null: 1
  const std::int32_t* place = nullptr;  // (n) the one effect of its level that a row has; null: all of them
  const std::int32_t* pattern = nullptr;  // (levels) which Lambda a level has; null: the first
  std::vector<int> sizes;               // effects of a level, by pattern
  int q() const { return sizes[0]; }
};

class Nodes {
 public:
  Nodes(Index n, const std::vector<RandomColumns>& terms);

  Index scalars() const { return s_; }
  Index nodes() const { return static_cast<Index>(first_.size()) - 1; }
  int lambdas() const { return static_cast<int>(lambda_at_.size()) - 1; }
  Index lambda_size() const { return lambda_at_.back(); }
  Index lambda_at(int i) const { return lambda_at_[i]; }
  int lambda_q(int i) const { return lambda_q_[i]; }
  int term_of_lambda(int i) const { return lambda_term_[i]; }
  std::int32_t node(int term, Index level) const { return node_[term][level]; }
  Index first(std::int32_t j) const { return first_[j]; }
  int q(std::int32_t j) const { return static_cast<int>(first_[j + 1] - first_[j]); }
  int lambda_of(std::int32_t j) const { return lambda_of_[j]; }
  int leading() const { return leading_; }  // the term whose levels come first
  // x_j <- Lambda_j x_j, or Lambda_j' x_j
  void times(const double* lambda, bool transpose, double* x) const;
  // By diagonal entry of lambda: sd = sqrt of (sum b^2 - s2 sum d) / (s2 sum d^2), d the diagonal of A, b = Z'W of what is to be explained.
  Vec moments(const Vec& d, const double* b, double s2) const;

 protected:
  void number(const std::vector<RandomColumns>& terms);  // after the levels have found their places

  int leading_ = 0;
  Index s_ = 0;
  std::vector<std::vector<std::int32_t>> node_;  // by term, by level
  std::vector<Index> first_, lambda_at_;
  std::vector<std::int32_t> lambda_of_;  // of a node
  std::vector<int> lambda_q_, lambda_term_;

 private:
  void order_levels(Index n, const std::vector<RandomColumns>& terms, const std::vector<int>& by);
};

// Parameters of the covariance structures: parameter k moves Lambda's entries at[k] .. at[k] + size[k] by values.
struct Directions {
  std::vector<Index> at, size;
  std::vector<const double*> values;
  int count() const { return static_cast<int>(at.size()); }
  double along(int k, const double* full) const {
    double s = 0.0;
    for (Index i = 0; i < size[k]; ++i) s += values[k][i] * full[at[k] + i];
    return s;
  }
};

// out_j = (dLambda Lambda' + Lambda dLambda') x_j on the nodes that parameter k moves, 0 elsewhere
void moved_covariance(const Nodes&, const Directions&, int k, const double* lambda, const double* x, double* out);
// sums over nodes of x_j y_j', by Lambda: out (lambda_size) += scale * sum
void add_outer_by_lambda(const Nodes&, double scale, const double* x, const double* y, double* out);

}  // namespace glimm
