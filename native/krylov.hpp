// M = Lambda'A Lambda + I of crossed terms too large to be factored: the leading term a is eliminated, for the others (b)
// S = I + Lambda_b'[A_bb - A_ba H A_ab] Lambda_b, H = Lambda_a (I + Lambda_a'A_aa Lambda_a)^-1 Lambda_a', is applied row by row.
//
// Solves are conjugate gradients with the diagonal blocks G of S as preconditioner. M^-1 is known exactly from one dense factor of S, or as
// G^-1 put in its place plus the mean over probes of what is left (Hutchinson 1990, Commun. Stat. Simul. Comput. 19, 433-450).
#pragma once
#include "nodes.hpp"
#include "threads.hpp"

namespace glimm {

constexpr int kWide = 8;  // columns that go through the rows together

// Recurrence of one solve: steps x columns, for the tridiagonal matrices of Lanczos' method.
struct Recurrence {
  int steps = 0;
  Vec alpha, beta;  // (steps, kWide)
};

class Krylov : public Nodes {
 public:
  Krylov(Index n, const std::vector<RandomColumns>& terms, int groups, std::uint64_t seed, int threads);

  Index rest() const { return s_ - sa_; }
  const std::vector<std::int64_t>& order() const { return order_; }  // of the rows: by node of the leading term
  int most_steps() const { return most_steps_; }                     // of one solve, so far
  void count_again() { most_steps_ = 0; }

  // Weights (n) of the rows in `order`, held by the caller; null: 1.
  void weigh(const double* w);
  const Vec& weight_blocks() const { return d_; }
  Vec diagonal() const;  // (s) of A
  // At Lambda, kept while it and the weights stay; coarse: for solves alone. False where M_aa or a block of G is not positive definite.
  bool prepare(const double* lambda, bool coarse = false);
  // columns <- M^-1 columns, each (s); from is an approximation to begin with, or empty. False where no solution was found.
  bool solve(std::vector<Vec>& columns, double tol, const std::vector<Vec>* from = nullptr);
  bool solve(Vec& column, double tol);
  void multiply(const double* x, double* out) const;  // A x, (s)
  double square(const double* r) const;               // r'diag(M_aa, G)^-1 r: about the decrement of a step M^-1 r
  // use(scalar, z) for every effect of a row
  template <class Use> void row(Index i, Use use) const {
    for (const Term& t : terms_)
      for (int c = 0; c < t.count; ++c) use(t.at[i] + c, t.z.empty() ? 1.0 : t.z[i * t.count + c]);
  }

  bool probe(double tol);                                            // solves for the probes, at `prepare`
  const std::vector<Recurrence>& recurrences() const { return recurrences_; }
  void redraw(int groups, std::uint64_t seed);
  double logdet_blocks() const { return logdet_; }                   // log|M_aa| + log|G|
  double remainder();                                                // tr (I - G^-1/2 S G^-1/2)
  double square_norm() const;                                        // tr (G^-1/2 (S - G) G^-1/2)^2 of two intercepts; NaN elsewhere, and where it is too dear

  bool factor();   // the dense S and its log-determinant: log|M| = dense_logdet()
  void invert();   // in place
  void release() { dense_ = Vec(); factored_ = inverted_ = false; }
  double dense_logdet() const { return dense_logdet_; }

  // z'Lambda M^-1 Lambda'z by row (null: not wanted) and, by Lambda, sums over nodes of (A Lambda M^-1)_jj; exact after invert().
  void inverse(bool exact, double* leverage, double* pulls);
  Vec inverse_blocks(bool exact);  // of M^-1 by node, one after the other

 private:
  struct Term {
    std::vector<std::int32_t> at;  // (n) first scalar of a row
    std::vector<std::int32_t> slot;  // (n) which cell of its leading level a row is in
    Vec z;                         // (n, count); empty: 1
    int count = 1;
    bool placed = false;
  };
  struct Level;    // scratch: one level of the leading term with its cells
  struct RowSums;

  // Over chunks of leading nodes: work(chunk, first, last), each writing to its own place.
  template <class Work> void over_chunks(Work work) const {
    parallel_blocks(chunks(), threads_, [&](Index c) { work(c, static_cast<std::int32_t>(chunks_[c]), static_cast<std::int32_t>(chunks_[c + 1])); });
  }
  Index chunks() const { return static_cast<Index>(chunks_.size()) - 1; }
  template <int K> void apply(const double* x, double* out);
  template <int K> void to_rest(const double* y, double* out) const;      // out += A_ba y
  template <int K> void to_leading(const double* x, double* out) const;   // out = A_ab x
  template <int K> void scale(Index from, Index to, bool transpose, double* x) const;  // x_j <- Lambda_j x_j over nodes
  template <int K> void leading_inverse(double* x) const;                 // x_j <- (I + Lambda'A Lambda)_jj^-1 x_j
  template <int K> void border_product(const double* r, double* out) const;  // out += V K V'r
  template <int K> void precondition(const double* r, double* out) const;
  template <int K> int conjugate(const double* f, double* x, double tol, bool fresh, Recurrence* kept);
  template <int K> bool solve_group(std::vector<Vec>& columns, size_t begin, int count, double tol, const std::vector<Vec>* from);
  double row_sums(std::int32_t j, Index i, const std::vector<char>& asked, RowSums& sums) const;
  double pair_inverse(std::int32_t first, std::int32_t last, double* leverage) const;
  void add_traces(double* out) const;
  bool prepare_border();
  int parts() const { return static_cast<int>(z_.size()); }  // groups of probes, and of columns of the border behind them
  void add_border_parts();
  void carry_on(Vec& x) const;
  Vec strength() const;
  void cells_of(const std::vector<RandomColumns>& terms);
  void read(std::int32_t j, Level& level, bool inverse) const;
  void level_inverse(std::int32_t j, Level& level) const;
  void row_effects(const Term& t, std::int32_t node, Index i, Vec& out) const;
  void row_inverse(std::int32_t j, Index i, const Level& level, std::vector<Vec>& zt, std::vector<Vec>& h) const;
  double row_weight(Index r) const { return w_ ? w_[r] : 1.0; }

  Index n_, sa_ = 0;
  std::int32_t lead_ = 0;
  int threads_;
  std::vector<std::int64_t> order_;
  std::vector<Index> starts_, chunks_;  // rows by leading node; nodes by chunk
  std::vector<Term> terms_;
  std::vector<int> others_;             // all terms but the leading one
  bool plain_ = true;                   // intercepts only
  std::vector<Index> cell_starts_;
  std::vector<std::int32_t> cell_node_;
  std::vector<Index> dp_;
  const double* w_ = nullptr;
  Vec b_;            // (cells) A_ba, where there are two terms and both are plain
  Vec d_;            // diagonal blocks of A by node
  Vec h_, f_, gi_;   // H by leading node; inverse of M_jj by leading node and Cholesky factor of G by others; inverse of G
  Vec lambda_;
  double logdet_ = 0.0, dense_logdet_ = 0.0;
  int most_steps_ = 0, groups_ = 1;
  std::int32_t border_node_ = 0;  // from here on nodes are the border of G: G^-1 = blocks + V K V'
  Index border_ = 0, active_ = 0;  // their effects; the same, or 0 where G has no border at the last prepare()
  Vec border_v_, border_k_, border_l_;  // V (rest, border); K; Cholesky factor of K^-1
  std::vector<Vec> signs_, z_, v_;      // by group: probes (rest, kWide); G^-1/2 and the rest of M^-1 applied to them, (s, kWide)
  std::vector<Recurrence> recurrences_;
  Vec buffers_, scaled_;
  Vec dense_;
  bool prepared_ = false, factored_ = false, inverted_ = false;
  bool exact_ = false;      // the inverse of the dense S is asked for
  double probed_ = HUGE_VAL;  // tolerance to which the probes are solved, at the last prepare()
};

}  // namespace glimm
