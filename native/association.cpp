// Odds ratios: cells of a 2 x 2 table with margins a, b and odds ratio psi = 1 + k >= 1 (psi < 1: the second indicator reversed),
//
// root = sqrt(1 + 2k (a + b - 2ab) + k^2 (a - b)^2), p11 = 2 psi a b / (1 + k (a + b) + root), p10 = 2 a (1 - b) / (1 - k (a - b) + root).
#include "association.hpp"

#include "gee_rows.hpp"
#include "threads.hpp"

namespace glimm {
namespace {

// The cell of discordance with product x = a (1 - b) and q = 1 - k (a - b); where q < 0 its denominator would cancel.
double discordant(double x, double q, double root, double k) { return q >= 0.0 ? 2.0 * x / (q + root) : (root - q) / (2.0 * k); }

struct Association {
  const Pairs& pairs;
  Vec gamma;                                     // of each pattern
  std::vector<Index> first;                      // of each pattern's entries
  std::vector<int> column;
  Vec entry;
  std::vector<Index> pair_starts;
  Association(const Pairs& given, const double* alpha, const Index* starts, Index clusters) : pairs(given), gamma(given.patterns), first{0}, pair_starts{0} {
    for (Index s = 0; s < pairs.patterns; ++s) {
      for (int c = 0; c < pairs.q; ++c) {
        const double z = pairs.z[s * pairs.q + c];
        gamma[s] += z * alpha[c];
        if (z == 0.0) continue;
        column.push_back(c);
        entry.push_back(z);
      }
      first.push_back(static_cast<Index>(column.size()));
    }
    for (Index j = 0; j < clusters; ++j) {
      const Index m = starts[j + 1] - starts[j];
      pair_starts.push_back(pair_starts.back() + m * (m - 1) / 2);
    }
  }
  Index pattern(Index pair) const { return pairs.code ? pairs.code[pair] : 0; }
};

// Cholesky in place of the lower triangle, for larger matrices than dense.hpp has in mind.
bool factorised(double* r, Index m) {
  for (Index i = 0; i < m; ++i) {
    double* ri = r + i * m;
    for (Index j = 0; j < i; ++j) ri[j] = (ri[j] - wide_dot(ri, r + j * m, j)) / r[j * m + j];
    const double pivot = ri[i] - wide_dot(ri, ri, i);
    if (!(pivot > 0.0)) return false;
    ri[i] = std::sqrt(pivot);
  }
  return true;
}

struct Scratch : WeightedRows {
  Vec root;   // 1 / sd of each row, 0 for a mean of exactly 0 or 1
  Vec r, reach;  // reach: q x m weights of the rows' D in A_ab
};

double correlated(const Cells& c, double root_a, double root_b) { return c.covariance * root_a * root_b; }

double same_occasion(double first, double second, double root_a, double root_b) { return second * (1.0 - first) * root_a * root_b; }

// The pair's score and information of gamma, and its part of A_aa and A_ab for D_a and D_b.
struct PairScore {
  double score, information, given, on_a, on_b;
};

PairScore pair_score(const Cells& c, bool ya, bool yb, bool joint) {
  PairScore out{};
  if (!(c.slope() > 0.0)) return out;  // a mean of exactly 0 or 1
  out.information = c.slope();
  const double seen = ya ? (yb ? c.p11 : c.p10) : (yb ? c.p01 : c.p00);
  out.score = (ya == yb ? 1.0 : -1.0) * out.information / seen;
  if (!joint) return out;
  const double slope = out.information, by_a = slope * (1.0 / c.p10 + 1.0 / c.p00), by_b = slope * (1.0 / c.p01 + 1.0 / c.p00);
  // a given b: zeta = P(a = 1 | b), then b given a
  const double zeta_a = yb ? c.p11 / (c.p11 + c.p01) : c.p10 / (c.p10 + c.p00), wa = slope / (yb ? c.p11 * c.p01 : c.p10 * c.p00);
  const double zeta_b = ya ? c.p11 / (c.p11 + c.p10) : c.p01 / (c.p01 + c.p00), wb = slope / (ya ? c.p11 * c.p10 : c.p01 * c.p00);
  out.given = 0.5 * slope * (wa + wb);
  out.on_a = 0.5 * (wa * (yb ? by_a : by_a - 1.0) + wb * (by_a - zeta_b));
  out.on_b = 0.5 * (wa * (by_b - zeta_a) + wb * (ya ? by_b : by_b - 1.0));
  return out;
}

}  // namespace

Cells cells(double a, double b, double gamma) {
  const bool reversed = gamma < 0.0;
  const double k = std::expm1(std::fabs(gamma)), na = 1.0 - a, nb = reversed ? b : 1.0 - b, d = reversed ? nb - na : a - b;
  const double bb = reversed ? 1.0 - b : b, x10 = a * nb, x01 = na * bb;
  const double root = std::sqrt(1.0 + 2.0 * k * (x10 + x01) + k * k * d * d);
  const double p11 = 2.0 * (1.0 + k) * a * bb / (1.0 + k * (a + bb) + root), p00 = 2.0 * (1.0 + k) * na * nb / (1.0 + k * (na + nb) + root);
  const double p10 = discordant(x10, 1.0 - k * d, root, k), p01 = discordant(x01, 1.0 + k * d, root, k);
  const double covariance = k * p10 * p01;  // p11 p00 - p10 p01
  if (reversed) return {p10, p11, p00, p01, -covariance};
  return {p11, p10, p01, p00, covariance};
}

AssociationPass association_pass(const Rows& rows, const Stage& stage, const double* beta, const Index* starts, Index clusters, const Pairs& pairs,
                                 const double* alpha, double* pearson, double* scores, double* curvatures, double* alpha_scores, bool alpha_equation,
                                 bool joint, int threads) {
  const int p = rows.p, q = pairs.q;
  const size_t pp = static_cast<size_t>(p) * p, qq = static_cast<size_t>(q) * q, qp = static_cast<size_t>(q) * p;
  const bool pair_scores = alpha_equation || joint || alpha_scores;
  const Association model(pairs, alpha, starts, clusters);
  const auto edges = cluster_blocks(starts, clusters);
  const Index blocks = static_cast<Index>(edges.size()) - 1;
  const auto empty = [&] {
    AssociationPass out;
    out.score.assign(p, 0.0);
    out.bread.assign(pp, 0.0);
    if (!pair_scores) return out;
    out.alpha_score.assign(q, 0.0);
    out.alpha_information.assign(qq, 0.0);
    if (joint) {
      out.given.assign(qq, 0.0);
      out.given_beta.assign(qp, 0.0);
    }
    return out;
  };
  std::vector<AssociationPass> part(blocks);
  parallel_blocks(blocks, threads, [&](Index block) {
    AssociationPass& out = part[block] = empty();
    Scratch s;
    Vec u(p), h(pp), ua(q);
    over_runs(starts, edges[block], edges[block + 1], [&](Index begin, Index end, Index r0, Index run) {
      s.read(rows, stage, beta, r0, run);
      s.root.resize(run);
      for (Index i = 0; i < run; ++i) s.root[i] = s.v[i] == 0.0 ? 0.0 : 1.0 / std::sqrt(s.v[i]);
      if (pearson) std::copy(s.e.begin(), s.e.begin() + run, pearson + r0);
      for (Index j = begin; j < end; ++j) {
        const Index at = starts[j] - r0, m = starts[j + 1] - starts[j];
        const double *mu = &s.mu[at], *root = &s.root[at], *y = &s.y[at];
        const Index* occasion = pairs.occasion ? pairs.occasion + starts[j] : nullptr;
        s.r.assign(static_cast<size_t>(m) * m, 0.0);
        std::fill(ua.begin(), ua.end(), 0.0);
        if (joint) s.reach.assign(static_cast<size_t>(q) * m, 0.0);
        Index pair = model.pair_starts[j];
        for (Index a = 0; a < m; ++a) {
          s.r[a * m + a] = 1.0;
          for (Index b = a + 1; b < m; ++b, ++pair) {
            if (occasion && occasion[a] == occasion[b]) {
              s.r[b * m + a] = same_occasion(mu[a], mu[b], root[a], root[b]);
              continue;
            }
            const Index pattern = model.pattern(pair);
            const Cells c = cells(mu[a], mu[b], model.gamma[pattern]);
            s.r[b * m + a] = correlated(c, root[a], root[b]);
            if (!pair_scores) continue;
            const PairScore t = pair_score(c, y[a] > 0.5, y[b] > 0.5, joint);
            for (Index e = model.first[pattern]; e < model.first[pattern + 1]; ++e) {
              const int column = model.column[e];
              const double z = model.entry[e];
              ua[column] += z * t.score;
              for (Index f = model.first[pattern]; f < model.first[pattern + 1]; ++f) {
                const size_t place = static_cast<size_t>(column) * q + model.column[f];
                out.alpha_information[place] += z * model.entry[f] * t.information;
                if (joint) out.given[place] += z * model.entry[f] * t.given;
              }
              if (joint) {
                s.reach[column * m + a] += z * t.on_a;
                s.reach[column * m + b] += z * t.on_b;
              }
            }
          }
        }
        if (joint)  // D = x~ / root
          for (int c = 0; c < q; ++c)
            for (Index a = 0; a < m; ++a) {
              if (root[a] == 0.0) continue;
              const double w = s.reach[c * m + a] / root[a];
              for (int d = 0; d < p; ++d) out.given_beta[static_cast<size_t>(c) * p + d] += w * s.x[(at + a) * p + d];
            }
        if (pair_scores)
          for (int c = 0; c < q; ++c) out.alpha_score[c] += ua[c];
        if (alpha_scores) std::copy(ua.begin(), ua.end(), alpha_scores + j * q);

        std::fill(u.begin(), u.end(), 0.0);
        std::fill(h.begin(), h.end(), 0.0);
        if (!factorised(s.r.data(), m)) {
          if (out.indefinite < 0) out.indefinite = j;
          out.quadratic = out.log_det = NAN;
          std::fill(u.begin(), u.end(), NAN);
          std::fill(h.begin(), h.end(), NAN);
        } else {
          double* x = &s.x[static_cast<size_t>(at) * p];
          double* e = &s.e[at];
          for (Index a = 0; a < m; ++a) {  // x <- L^-1 x, e <- L^-1 e
            const double* l = &s.r[a * m];
            for (Index b = 0; b < a; ++b) {
              e[a] -= l[b] * e[b];
              for (int c = 0; c < p; ++c) x[a * p + c] -= l[b] * x[b * p + c];
            }
            const double inverse = 1.0 / l[a];
            e[a] *= inverse;
            for (int c = 0; c < p; ++c) {
              x[a * p + c] *= inverse;
              u[c] += x[a * p + c] * e[a];
            }
            out.quadratic += e[a] * e[a];
            out.log_det += 2.0 * std::log(l[a]);
          }
          add_outer(h.data(), p, x, nullptr, m);
        }
        for (int c = 0; c < p; ++c) out.score[c] += u[c];
        for (size_t c = 0; c < pp; ++c) out.bread[c] += h[c];
        if (scores) std::copy(u.begin(), u.end(), scores + j * p);
        if (curvatures) {
          mirror(h.data(), p);
          std::copy(h.begin(), h.end(), curvatures + j * pp);
        }
      }
    });
  });
  AssociationPass total = empty();
  const auto add = [](Vec& to, const Vec& from) {
    for (size_t c = 0; c < to.size(); ++c) to[c] += from[c];
  };
  for (const auto& b : part) {
    add(total.score, b.score);
    add(total.bread, b.bread);
    add(total.alpha_score, b.alpha_score);
    add(total.alpha_information, b.alpha_information);
    add(total.given, b.given);
    add(total.given_beta, b.given_beta);
    total.quadratic += b.quadratic;
    total.log_det += b.log_det;
    if (total.indefinite < 0) total.indefinite = b.indefinite;
  }
  mirror(total.bread.data(), p);
  return total;
}

Vec association_matrix(Index m, const double* mu, const double* gamma, const Index* occasion) {
  Vec r(static_cast<size_t>(m) * m), root(m);
  for (Index a = 0; a < m; ++a) root[a] = mu[a] * (1.0 - mu[a]) > 0.0 ? 1.0 / std::sqrt(mu[a] * (1.0 - mu[a])) : 0.0;
  Index pair = 0;
  for (Index a = 0; a < m; ++a) {
    r[a * m + a] = 1.0;
    for (Index b = a + 1; b < m; ++b, ++pair)
      r[a * m + b] = r[b * m + a] = occasion && occasion[a] == occasion[b] ? same_occasion(mu[a], mu[b], root[a], root[b])
                                                                           : correlated(cells(mu[a], mu[b], gamma[pair]), root[a], root[b]);
  }
  return r;
}

}  // namespace glimm
