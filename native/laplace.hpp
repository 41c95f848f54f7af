// Laplace: -2 log L = -2 [sum l(y, eta) - u'u / 2] at the mode of u + log|M|, M = T'Z'WZT + I.
#pragma once
#include "mixed.hpp"

namespace glimm {

// Scratch of one thread: the rows of one block at the modes, and what the gradient makes of them.
struct LaplaceRows : BlockRows {
  Vec v, pulled, lev, w;
  void size(Index rows) { for (Vec* a : {&v, &pulled, &lev, &w}) a->resize(rows); }
};

class LaplaceMixed {
 public:
  explicit LaplaceMixed(AtModes& at) : data_(at.data), at_(at) {}
  // Starts from the modes of the last call, moved with the parameters where they can be foretold.
  MixedEvaluation evaluate(const Stage&, const double* vector, Ask ask);
  // (m x m) exact Hessian in m entries of the vector: tangents of the gradient, third derivatives of the rows by differences
  Vec hessian(const Stage&, const double* vector, const std::vector<Index>& places);

 private:
  struct Base { Vec vector, t, u, d, l, panels, zs; };  // where the last model Hessian was made: du = M^-1 (...) d vector
  void foretell(const double* vector);
  template <int Q> MixedEvaluation evaluated(const Stage&, const double* vector, Ask ask);
  template <int Q> Vec hessian_of(const Stage&, const double* vector, const std::vector<Index>& places);

  MixedRows& data_;
  AtModes& at_;
  Base base_;
};

}  // namespace glimm
