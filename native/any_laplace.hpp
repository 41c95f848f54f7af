// Laplace for any design: -2 log L = -2 [sum l(y, eta) - u'u / 2] at the mode of u + log|M|, M = Lambda'Z'WZ Lambda + I.
//
// Here is what does not depend on how systems with M are solved: the rows at the modes, and derivatives from what a LaplaceSystem answers.
#pragma once
#include "families.hpp"
#include "nodes.hpp"
#include "rows.hpp"
#include "threads.hpp"

namespace glimm {

struct LaplaceEvaluation {
  bool ok = false;
  double deviance = 0.0;
  Vec u;                  // modes by node
  Vec gradient, hessian;  // (beta | parameters of Lambda | psi)
};

// Rows of several random terms in one order, and where they are: at coefficients, effects u and a stage.
struct EffectRows {
  EffectRows(const Rows& rows, const std::vector<RandomColumns>& terms, const Nodes& nodes, const std::vector<std::int64_t>& order, Vec trials, Vec weights,
             int threads);

  struct Term {
    std::vector<std::int32_t> at;  // (n) first scalar of the row's effects
    int count = 1;                 // effects of a row
    Vec z;                         // (n, count); empty: 1
  };
  void linear(const double* beta);                             // xb
  void add_random(const double* b, double* eta) const;         // eta += Z b
  void transpose_random(const double* v, double* out) const;   // out = Z'v
  double jets(const Stage&, const double* eta, bool third);    // sum of l; d1, d2, d3 of all rows
  // sum of l - u'u / 2 at u, with eta and the rows there
  double at(const Stage&, const double* lambda, const Vec& u);
  double log_density(const Stage&) const;                      // sum of l, terms free of eta included, - u'u / 2

  Rows rows;
  const Nodes& nodes;
  Index n;
  int p, threads;
  std::vector<Term> terms;
  Vec y, size, trials, weights;
  Vec u, xb, eta, l, d1, d2, d3;
};

// What is asked of M at the modes.
struct LaplaceSystem {
  virtual ~LaplaceSystem() = default;
  // zt'M^-1 zt by row, zt = Lambda'z, and by Lambda sums over nodes of (A Lambda M^-1)_jj
  virtual bool inverse(const double* lambda, double* leverage, double* pulls) = 0;
  virtual bool solve(Vec& x) = 0;                               // x <- M^-1 x
  virtual bool gram(std::vector<Vec>& v, Vec& products) = 0;    // v_i'M^-1 v_j; the vectors are used up
  virtual void multiply(const double* x, double* out) = 0;      // A x
};

// Gradient and, for order 2, model Hessian at the modes, where rows.jets has left d1 and d2; false where a system was not solved.
bool laplace_derivatives(EffectRows& rows, LaplaceSystem& system, const Stage&, const double* lambda, const Directions&, int order, LaplaceEvaluation& out);

}  // namespace glimm
