// The factor of M = Lambda'A Lambda + I, A = Z'WZ, for any number of random terms: M = L L', extra rows (X, y) below.
//
// A node is a level of a term with its q effects, eliminated in an order that keeps L sparse; nodes tied to (nearly) all that are left
// stand at the end as one dense block, the tail. Nested, crossed and single-factor designs are the same code.
// Sparse part: George and Liu (1981), Computer Solution of Large Sparse Positive Definite Systems, chapter 5; selected inverse:
// Takahashi, Fagan and Chin (1973).
#pragma once
#include "nodes.hpp"

namespace glimm {

// A row's effects of one term: columns offset .. offset + count of a node.
struct Entry {
  std::int32_t node;
  int offset, count;
  const double* z;
};

class Elimination : public Nodes {
 public:
  // planned: nothing is laid out, for what it would cost.
  Elimination(Index n, const std::vector<RandomColumns>& terms, int extra, int threads, bool planned = false);

  double products() const { return products_; }  // of the sparse part of a factorisation

  Index tail() const { return sd_; }
  // Where the block of two nodes lies: in a panel of the lower one, or in the tail.
  Index locate(std::int32_t a, std::int32_t b) const;
  bool sparse(std::int32_t j) const { return j < nt_; }
  // where[i] of every node i in the panel of j
  void locate_panel(std::int32_t j, std::vector<Index>& where) const;
  void zero();
  // A += w z z' of one row; where: place of the block of entries (k, l), k < l, in the order of pairs. x: extra values.
  void add(const Entry* entries, const Index* where, double w, const double* x);
  double* extra_block() { return sd_ + extra_ ? &c_[static_cast<size_t>(sd_) * width_ + sd_] : nullptr; }  // rows of `width()`
  Index width() const { return width_; }
  // Adds w z to the y row (the last extra one) only.
  void add_last(const Entry* entries, double w);
  void zero_last();

  bool factor(const double* lambda);
  double logdet() const { return logdet_; }
  double half_logdet_from(std::int32_t node) const;  // of the factor's rows from that node on
  const double* tail_row(Index r) const { return &t_[static_cast<size_t>(r) * width_]; }
  // L x, in place, of the leading random part and `with` extra rows; x has scalars() + extra entries.
  void forward(double* x, int with) const;
  void backward(double* x, int with) const;
  // The last extra row of L: what forward() would have made of it.
  void last_row(double* x) const;

  // Blocks of M^-1 (with = 0), or of the random part of the inverse with `with` extra rows, on the pattern of L.
  void invert(int with);
  // x'P x over a row's entries, for entries scaled by Lambda
  double leverage(const Entry* entries, const Index* where, int count) const;
  void inverse_block(std::int32_t j, double* out) const;  // (q, q) full
  Vec inverse_blocks();  // of M^-1 by node, one after the other

  // By diagonal entry of lambda: sd = sqrt of (sum b^2 - s2 sum d) / (s2 sum d^2), b the last extra row (or `scores`), d the diagonal of A.
  Vec moments(double s2, const double* scores = nullptr) const;
  // out = [A, extra] x and, for the extra rows, extra' x; both have scalars() + extra entries
  void multiply(const double* x, double* out) const;
  // sums over nodes of (A Lambda P)_jj, by Lambda
  void pulls(const double* lambda, int with, double* out) const;

 private:
  using Neighbours = std::vector<std::vector<std::int32_t>>;
  Neighbours leading_neighbours(Index n, const std::vector<RandomColumns>& terms, int leading) const;
  double symbolic(Neighbours& structure, Index leading);  // fills the structure up; the number of products of the factorisation
  bool reorder(const Neighbours& first, Index leading);   // the levels after the leading term, so that little is filled in
  void lay_out(const Neighbours& structure);
  void scale(const double* lambda);
  void eliminate(std::int32_t j);
  void invert_node(std::int32_t j, int with, Vec& x, Vec& r);
  Index rows_of(std::int32_t j, int with) const { return rp_[j + 1] - rp_[j] - extra_ + with; }

  int extra_, threads_;
  double products_ = 0.0;
  Index s0_ = 0, sd_ = 0, width_ = 0;
  std::int32_t nt_ = 0;  // nodes before the tail
  int tail_size_ = 0;    // effects of every node of the tail, 0 where they differ
  std::vector<std::int32_t> node_of_;  // of a scalar
  std::vector<Index> rp_, vp_, dp_;
  std::vector<std::int32_t> ri_;
  Vec a_, d_, c_;     // panels, diagonal blocks, tail with extra rows
  Vec la_, ld_, t_;   // their factors
  Vec pa_, pd_, w_;   // their inverses
  double logdet_ = 0.0;
  Vec factored_;       // the Lambda of the factor, empty if there is none
  int inverted_ = -1;  // extra rows in the inverse, -1 if there is none
};

}  // namespace glimm
