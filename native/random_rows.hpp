// Rows of several random terms: what each row has of every term, products with Z, and directions in Lambda.
#pragma once
#include "elimination.hpp"

namespace glimm {

constexpr double kOne = 1.0;

// Rows of all random terms, in the order they were given or in another one of the caller's.
class RandomRows {
 public:
  RandomRows(std::vector<RandomColumns> terms, const Elimination& e) : terms_(std::move(terms)), elimination_(e) {}
  int count() const { return static_cast<int>(terms_.size()); }
  int pairs() const { return count() * (count() - 1) / 2; }
  void entries(Index r, Entry* out) const {
    for (int k = 0; k < count(); ++k) {
      const auto& t = terms_[k];
      const std::int32_t node = elimination_.node(k, t.refs[r]);
      const int q = t.place ? 1 : elimination_.q(node);
      out[k] = {node, t.place ? t.place[r] : 0, q, t.z ? t.z + r * q : &kOne};
    }
  }

 private:
  std::vector<RandomColumns> terms_;
  const Elimination& elimination_;
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
void moved_covariance(const Elimination&, const Directions&, int k, const double* lambda, const double* x, double* out);
// sums over nodes of x_j y_j', by Lambda: out (lambda_size) += scale * sum
void add_outer_by_lambda(const Elimination&, double scale, const double* x, const double* y, double* out);

}  // namespace glimm
