// Symbolic phase: struct(j) = adj(j) u (u over children c of struct(c) \ {c}), parent(j) = min struct(j).
// Numeric phase: L_j = chol(D_j), v_e = L_j^-1 a_e, target(e, f) -= v_e'v_f for e <= f in the panel of j.
// Inverse: P_jj = L_j^-T (I + sum_e v_e X_e') L_j^-1, P_ej = -(L_j^-T X_e)', X_e = sum_f P_ef v_f.
#include "elimination.hpp"

#include <algorithm>
#include <numeric>

#include "blocked.hpp"
#include "factor.hpp"
#include "ordering.hpp"

namespace glimm {
namespace {

constexpr double kDense = 0.2;  // a node tied to this share of what is left starts the tail
constexpr Index kLargeTail = 400;
constexpr double kMostPairs = 5e7;  // of neighbours, beyond which no other order is tried; nor where nearly all pairs are neighbours

// The part of a panel below its first tail row, nodes of R rows each: t -= V V', lower blocks.
template <int Q, int R> void subtract_nodes(double* t, Index width, Index s0, const std::int32_t* c, const double* v, Index rows) {
  for (Index f = 0; f < rows; f += R) {
    double* row = t + static_cast<size_t>(c[f] - s0) * width - s0;
    const double* vf = v + f * Q;
    for (Index e = 0; e <= f; e += R) {
      const double* ve = v + e * Q;
      double* to = row + c[e];
      for (int r = 0; r < R; ++r)
        for (int k = 0; k < R; ++k) {
          double s = 0.0;
          for (int a = 0; a < Q; ++a) s += vf[r * Q + a] * ve[k * Q + a];
          to[r * width + k] -= s;
        }
    }
  }
}

// x = P V over the same rows, P the lower triangle of w
template <int Q, int R> void multiply_nodes(const double* w, Index width, Index s0, const std::int32_t* c, const double* v, Index rows, double* x) {
  for (Index f = 0; f < rows; f += R) {
    const double* row = w + static_cast<size_t>(c[f] - s0) * width - s0;
    const double* vf = v + f * Q;
    double sum[R * Q] = {0.0};
    for (Index e = 0; e < f; e += R) {
      const double *ve = v + e * Q, *p = row + c[e];
      double* xe = x + e * Q;
      for (int r = 0; r < R; ++r)
        for (int k = 0; k < R; ++k) {
          const double own = p[r * width + k];
          for (int a = 0; a < Q; ++a) {
            sum[r * Q + a] += own * ve[k * Q + a];
            xe[k * Q + a] += own * vf[r * Q + a];
          }
        }
    }
    const double* p = row + c[f];
    for (int r = 0; r < R; ++r)
      for (int k = 0; k < R; ++k) {
        const double own = r >= k ? p[r * width + k] : p[k * width + r];
        for (int a = 0; a < Q; ++a) sum[r * Q + a] += own * vf[k * Q + a];
      }
    for (int i = 0; i < R * Q; ++i) x[f * Q + i] += sum[i];
  }
}

// Calls work(Q, R) as compile-time constants for 1 to 3 columns and rows; false for any other.
template <class Work> bool with_sizes(int q, int r, Work work) {
  const auto rows = [&](auto columns) {
    switch (r) {
      case 1: work(columns, std::integral_constant<int, 1>{}); return true;
      case 2: work(columns, std::integral_constant<int, 2>{}); return true;
      case 3: work(columns, std::integral_constant<int, 3>{}); return true;
      default: return false;
    }
  };
  switch (q) {
    case 1: return rows(std::integral_constant<int, 1>{});
    case 2: return rows(std::integral_constant<int, 2>{});
    case 3: return rows(std::integral_constant<int, 3>{});
    default: return false;
  }
}

}  // namespace

Elimination::Elimination(Index n, const std::vector<RandomColumns>& terms, int extra, int threads) : extra_(extra), threads_(threads) {
  const int count = static_cast<int>(terms.size());
  lambda_at_.push_back(0);
  for (int k = 0; k < count; ++k)
    for (int q : terms[k].sizes) {
      lambda_term_.push_back(k);
      lambda_q_.push_back(q);
      lambda_at_.push_back(lambda_at_.back() + static_cast<Index>(q) * q);
    }
  std::vector<int> by(count);  // terms, most levels first: an inner factor has no fewer than its outer one
  std::iota(by.begin(), by.end(), 0);
  std::stable_sort(by.begin(), by.end(), [&](int a, int b) { return terms[a].levels > terms[b].levels; });
  leading_ = by[0];
  order_levels(n, terms, by);
  number(terms);
  const Index leading = terms[by[0]].levels;
  const Neighbours first = leading_neighbours(n, terms, by[0]);
  Neighbours structure = first;
  const double cost = symbolic(structure, leading);
  if (nodes() - nt_ > kLargeTail) {
    const auto before = node_;
    if (reorder(first, leading)) {
      number(terms);
      Neighbours again = leading_neighbours(n, terms, by[0]);
      if (symbolic(again, leading) < cost) {
        structure = std::move(again);
      } else {
        node_ = before;
        number(terms);
        structure = first;
        symbolic(structure, leading);
      }
    }
  }
  lay_out(structure);
}

// Levels of a term stand in the order of where their first row's level of the next term stands: neighbours in memory.
void Elimination::order_levels(Index n, const std::vector<RandomColumns>& terms, const std::vector<int>& by) {
  const int count = static_cast<int>(terms.size());
  node_.resize(count);
  Index above = 0;
  for (const auto& t : terms) above += t.levels;
  for (int at = count - 1; at >= 0; --at) {
    const auto& term = terms[by[at]];
    std::vector<std::int32_t> key(term.levels, 0), sorted(term.levels);
    if (at + 1 < count) {
      const auto& next = terms[by[at + 1]];
      const auto& places = node_[by[at + 1]];
      std::fill(key.begin(), key.end(), -1);
      for (Index r = 0; r < n; ++r)
        if (key[term.refs[r]] < 0) key[term.refs[r]] = places[next.refs[r]];
    }
    std::iota(sorted.begin(), sorted.end(), 0);
    std::stable_sort(sorted.begin(), sorted.end(), [&](std::int32_t a, std::int32_t b) { return key[a] < key[b]; });
    above -= term.levels;
    node_[by[at]].resize(term.levels);
    for (Index t = 0; t < term.levels; ++t) node_[by[at]][sorted[t]] = static_cast<std::int32_t>(above + t);
  }
}

void Elimination::number(const std::vector<RandomColumns>& terms) {
  const int count = static_cast<int>(terms.size());
  Index all = 0;
  for (const auto& t : terms) all += t.levels;
  first_.assign(all + 1, 0);
  lambda_of_.resize(all);
  int base = 0;
  for (int k = 0; k < count; ++k) {
    for (Index l = 0; l < terms[k].levels; ++l) {
      const int pattern = terms[k].pattern ? terms[k].pattern[l] : 0;
      lambda_of_[node_[k][l]] = base + pattern;
      first_[node_[k][l] + 1] = terms[k].sizes[pattern];
    }
    base += static_cast<int>(terms[k].sizes.size());
  }
  for (Index j = 0; j < all; ++j) first_[j + 1] += first_[j];
  s_ = first_[all];
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
  const double tail = static_cast<double>(s_ - first_[nt_]);
  return products + tail * tail * tail / 20.0;  // dense products are so much faster
}

bool Elimination::reorder(const Neighbours& first, Index leading) {
  const Index rest = nodes() - leading;
  double pairs = 0.0;
  for (Index j = 0; j < leading; ++j) pairs += static_cast<double>(first[j].size()) * static_cast<double>(first[j].size());
  if (pairs > kMostPairs || 4.0 * pairs > static_cast<double>(rest) * static_cast<double>(rest)) return false;
  Neighbours by_node(rest);
  for (Index j = 0; j < leading; ++j)
    for (std::int32_t a : first[j])
      for (std::int32_t b : first[j])
        if (a != b) by_node[a - leading].push_back(static_cast<std::int32_t>(b - leading));
  std::vector<Index> starts(1, 0);
  std::vector<std::int32_t> adjacent, weight(rest);
  for (Index i = 0; i < rest; ++i) {
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

Index Elimination::locate(std::int32_t a, std::int32_t b) const {
  const std::int32_t j = std::min(a, b), i = std::max(a, b);
  if (j >= nt_) return (first_[i] - s0_) * width_ + first_[j] - s0_;
  const auto begin = ri_.begin() + rp_[j], end = ri_.begin() + rp_[j + 1] - extra_;
  return vp_[j] + (std::lower_bound(begin, end, static_cast<std::int32_t>(first_[i])) - begin) * q(j);
}

void Elimination::locate_panel(std::int32_t j, std::vector<Index>& where) const {
  if (where.empty()) where.resize(nodes());
  const Index m = rows_of(j, 0);
  for (Index e = 0; e < m;) {
    const std::int32_t i = node_of_[ri_[rp_[j] + e]];
    where[i] = vp_[j] + e * q(j);
    e += q(i);
  }
}

void Elimination::zero() {
  factored_.clear();
  std::fill(a_.begin(), a_.end(), 0.0);
  std::fill(d_.begin(), d_.end(), 0.0);
  std::fill(c_.begin(), c_.end(), 0.0);
}

void Elimination::add(const Entry* entries, const Index* where, double w, const double* x) {
  const int count = static_cast<int>(node_.size());
  for (int k = 0; k < count; ++k) {
    const Entry& e = entries[k];
    const std::int32_t j = e.node;
    const bool sparse = j < nt_;
    const Index qj = q(j), ld = sparse ? qj : width_;
    double* d = sparse ? &d_[dp_[j]] : &c_[static_cast<size_t>(first_[j] - s0_) * (width_ + 1)];
    for (int a = 0; a < e.count; ++a) {
      const double wz = w * (e.z ? e.z[a] : 1.0);
      double* row = d + (e.offset + a) * ld + e.offset;
      for (int c = 0; c <= a; ++c) row[c] += wz * (e.z ? e.z[c] : 1.0);
    }
    for (int f = 0; f < extra_; ++f) {
      double* row = sparse ? &a_[vp_[j + 1] - (extra_ - f) * qj + e.offset] : &c_[static_cast<size_t>(sd_ + f) * width_ + first_[j] - s0_ + e.offset];
      const double wx = w * x[f];
      for (int c = 0; c < e.count; ++c) row[c] += wx * (e.z ? e.z[c] : 1.0);
    }
    for (int l = k + 1; l < count; ++l) {
      const Entry &low = entries[l].node > j ? e : entries[l], &high = entries[l].node > j ? entries[l] : e;
      const bool in_panel = low.node < nt_;
      const Index stride = in_panel ? q(low.node) : width_;
      double* block = (in_panel ? a_.data() : c_.data()) + *where++ + high.offset * stride + low.offset;
      for (int a = 0; a < high.count; ++a) {
        const double wz = w * (high.z ? high.z[a] : 1.0);
        for (int c = 0; c < low.count; ++c) block[a * stride + c] += wz * (low.z ? low.z[c] : 1.0);
      }
    }
  }
}

void Elimination::zero_last() {
  factored_.clear();
  for (std::int32_t j = 0; j < nt_; ++j) std::fill(&a_[vp_[j + 1] - q(j)], a_.data() + vp_[j + 1], 0.0);
  std::fill(c_.end() - width_, c_.end(), 0.0);
}

void Elimination::add_last(const Entry* entries, double w) {
  for (size_t k = 0; k < node_.size(); ++k) {
    const Entry& e = entries[k];
    double* row = e.node < nt_ ? &a_[vp_[e.node + 1] - q(e.node) + e.offset] : &c_[c_.size() - width_ + first_[e.node] - s0_ + e.offset];
    for (int c = 0; c < e.count; ++c) row[c] += w * (e.z ? e.z[c] : 1.0);
  }
}

// la, ld, t = Lambda'A Lambda + I
void Elimination::scale(const double* lambda) {
  Vec work;
  const auto matrix = [&](std::int32_t j) { return lambda + lambda_at_[lambda_of_[j]]; };
  // rows (count of them, `stride` apart, q values each) <- row Lambda, then blocks of q_i rows <- Lambda_i' block
  const auto right = [&](double* row, const double* m, int q) {
    if (q == 1) {
      row[0] *= m[0];
      return;
    }
    for (int c = 0; c < q; ++c) {
      double s = 0.0;
      for (int h = 0; h < q; ++h) s += row[h] * m[h * q + c];
      work[c] = s;
    }
    std::copy(work.begin(), work.begin() + q, row);
  };
  const auto left = [&](double* block, Index stride, int columns, const double* m, int q) {
    if (q == 1) {
      for (int c = 0; c < columns; ++c) block[c] *= m[0];
      return;
    }
    for (int c = 0; c < columns; ++c) {
      for (int b = 0; b < q; ++b) {
        double s = 0.0;
        for (int h = 0; h < q; ++h) s += m[h * q + b] * block[h * stride + c];
        work[b] = s;
      }
      for (int b = 0; b < q; ++b) block[b * stride + c] = work[b];
    }
  };
  int widest = 1;
  for (int q : lambda_q_) widest = std::max(widest, q);
  work.resize(static_cast<size_t>(widest) * widest + widest);
  const auto diagonal = [&](double* d, Index stride, const double* m, int q) {  // lower d <- m'd m + I
    double* full = work.data() + widest;
    for (int a = 0; a < q; ++a)
      for (int c = 0; c < q; ++c) {
        double s = 0.0;
        for (int h = 0; h < q; ++h) s += (a >= h ? d[a * stride + h] : d[h * stride + a]) * m[h * q + c];
        full[a * q + c] = s;
      }
    for (int a = 0; a < q; ++a)
      for (int c = 0; c <= a; ++c) {
        double s = a == c ? 1.0 : 0.0;
        for (int h = 0; h < q; ++h) s += m[h * q + a] * full[h * q + c];
        d[a * stride + c] = s;
      }
  };
  for (std::int32_t j = 0; j < nt_; ++j) {
    const int qj = q(j);
    const double* mj = matrix(j);
    double* d = &ld_[dp_[j]];
    std::copy(&d_[dp_[j]], d_.data() + dp_[j + 1], d);
    if (qj == 1) d[0] = 1.0 + mj[0] * mj[0] * d[0];
    else diagonal(d, qj, mj, qj);
    const Index m = rp_[j + 1] - rp_[j], random = m - extra_;
    const double* from = &a_[vp_[j]];
    double* v = &la_[vp_[j]];
    const std::int32_t* row = &ri_[rp_[j]];
    if (qj == 1) {
      for (Index e = 0; e < m; ++e) v[e] = mj[0] * from[e];
    } else {
      std::copy(from, from + m * qj, v);
      for (Index e = 0; e < m; ++e) right(v + e * qj, mj, qj);
    }
    for (Index e = 0; e < random;) {
      const std::int32_t i = node_of_[row[e]];
      const int qi = q(i);
      left(v + e * qj, qj, qj, matrix(i), qi);
      e += qi;
    }
  }
  bool plain = true;
  const std::int32_t all = static_cast<std::int32_t>(nodes());
  for (std::int32_t j = nt_; j < all; ++j) plain = plain && q(j) == 1;
  if (plain) {
    Vec m(width_, 1.0);
    for (std::int32_t j = nt_; j < all; ++j) m[first_[j] - s0_] = matrix(j)[0];
    for (Index r = 0; r < width_; ++r) {
      const double* from = &c_[static_cast<size_t>(r) * width_];
      double* to = &t_[static_cast<size_t>(r) * width_];
      for (Index c = 0; c <= r; ++c) to[c] = m[r] * m[c] * from[c];
    }
    for (Index r = 0; r < sd_; ++r) t_[static_cast<size_t>(r) * (width_ + 1)] += 1.0;
    return;
  }
  for (Index r = 0; r < width_; ++r) std::copy(&c_[static_cast<size_t>(r) * width_], &c_[static_cast<size_t>(r) * width_] + r + 1, &t_[static_cast<size_t>(r) * width_]);
  for (std::int32_t i = nt_; i < all; ++i) {
    const int qi = q(i);
    const Index o = first_[i] - s0_;
    diagonal(&t_[static_cast<size_t>(o) * (width_ + 1)], width_, matrix(i), qi);
    for (int a = 0; a < qi; ++a)
      for (std::int32_t j = nt_; j < i; ++j) right(&t_[static_cast<size_t>(o + a) * width_ + first_[j] - s0_], matrix(j), q(j));
    left(&t_[static_cast<size_t>(o) * width_], width_, static_cast<int>(o), matrix(i), qi);
  }
  for (int e = 0; e < extra_; ++e)
    for (std::int32_t j = nt_; j < all; ++j) right(&t_[static_cast<size_t>(sd_ + e) * width_ + first_[j] - s0_], matrix(j), q(j));
}

void Elimination::eliminate(std::int32_t j) {
  const int qj = q(j);
  const Index m = rp_[j + 1] - rp_[j];
  const std::int32_t* c = &ri_[rp_[j]];
  const double* v = &la_[vp_[j]];
  Index tail = 0;
  while (tail < m && c[tail] < s0_) ++tail;
  for (Index e = 0; e < tail; ++e) {
    const std::int32_t i = node_of_[c[e]];
    const int qi = q(i), column = static_cast<int>(c[e] - first_[i]);
    double *d = &ld_[dp_[i]], *panel = &la_[vp_[i]];
    const std::int32_t* rows = &ri_[rp_[i]];
    Index at = 0;
    for (Index f = e; f < m; ++f) {
      double s;
      if (qj == 1) s = v[e] * v[f];
      else s = dot(v + e * qj, v + f * qj, qj);
      if (c[f] < first_[i + 1]) {
        d[(c[f] - first_[i]) * qi + column] -= s;
      } else {
        while (rows[at] != c[f]) ++at;
        panel[at * qi + column] -= s;
      }
    }
  }
  if (tail == m) return;
  const Index random = m - extra_;
  const int size = random > tail ? tail_size_ : 0;
  if (size > 0 && !(qj == 1 && size == 1 && c[random - 1] - c[tail] == static_cast<std::int32_t>(random - 1 - tail))) {
    if (with_sizes(qj, size, [&](auto columns, auto rows) {
          subtract_nodes<columns(), rows()>(t_.data(), width_, s0_, c + tail, v + tail * qj, random - tail);
        })) {
      for (Index f = random; f < m; ++f) {  // extra rows
        double* row = &t_[static_cast<size_t>(c[f] - s0_) * width_];
        for (Index e = tail; e <= f; ++e) row[c[e] - s0_] -= dot(v + f * qj, v + e * qj, qj);
      }
      return;
    }
  }
  const bool together = c[m - 1] - c[tail] == static_cast<std::int32_t>(m - 1 - tail);
  for (Index f = tail; f < m; ++f) {
    double* row = &t_[static_cast<size_t>(c[f] - s0_) * width_];
    const double* vf = v + f * qj;
    if (qj == 1 && together) {
      double* to = row + (c[tail] - s0_);
      const double x = vf[0];
      for (Index e = tail; e <= f; ++e) to[e - tail] -= x * v[e];
    } else if (qj == 1) {
      const double x = vf[0];
      for (Index e = tail; e <= f; ++e) row[c[e] - s0_] -= x * v[e];
    } else if (qj == 2) {
      const double x = vf[0], y = vf[1];
      for (Index e = tail; e <= f; ++e) row[c[e] - s0_] -= x * v[2 * e] + y * v[2 * e + 1];
    } else {
      for (Index e = tail; e <= f; ++e) row[c[e] - s0_] -= dot(vf, v + e * qj, qj);
    }
  }
}

bool Elimination::factor(const double* lambda) {
  if (!factored_.empty() && std::equal(factored_.begin(), factored_.end(), lambda)) return true;
  factored_.clear();
  inverted_ = -1;
  scale(lambda);
  LogProduct pivots;
  for (std::int32_t j = 0; j < nt_; ++j) {
    const int qj = q(j);
    double *l = &ld_[dp_[j]], *v = &la_[vp_[j]];
    const Index m = rp_[j + 1] - rp_[j];
    if (!cholesky(l, qj, qj)) return false;
    for (int a = 0; a < qj; ++a) pivots.add(l[a * qj + a]);
    if (qj == 1) {
      const double inverse = 1.0 / l[0];
      for (Index e = 0; e < m; ++e) v[e] *= inverse;
    } else {
      for (Index e = 0; e < m; ++e) solve_lower(l, qj, qj, v + e * qj);
    }
    eliminate(j);
  }
  if (width_ && !blocked_cholesky(t_.data(), width_, width_, threads_)) return false;
  for (Index c = 0; c < sd_; ++c) pivots.add(t_[static_cast<size_t>(c) * (width_ + 1)]);
  logdet_ = 2.0 * pivots.log();
  if (!std::isfinite(logdet_)) return false;
  factored_.assign(lambda, lambda + lambda_size());
  return true;
}

double Elimination::half_logdet_from(std::int32_t node) const {
  LogProduct pivots;
  for (std::int32_t j = node; j < nt_; ++j)
    for (int a = 0; a < q(j); ++a) pivots.add(ld_[dp_[j] + a * q(j) + a]);
  for (Index c = std::max<Index>(0, first_[node] - s0_); c < sd_; ++c) pivots.add(t_[static_cast<size_t>(c) * (width_ + 1)]);
  return pivots.log();
}

void Elimination::forward(double* x, int with) const {
  for (std::int32_t j = 0; j < nt_; ++j) {
    const int qj = q(j);
    double* xj = x + first_[j];
    solve_lower(&ld_[dp_[j]], qj, qj, xj);
    const double* v = &la_[vp_[j]];
    const std::int32_t* c = &ri_[rp_[j]];
    const Index m = rows_of(j, with);
    if (qj == 1)
      for (Index e = 0; e < m; ++e) x[c[e]] -= v[e] * xj[0];
    else
      for (Index e = 0; e < m; ++e) x[c[e]] -= dot(v + e * qj, xj, qj);
  }
  for (Index r = 0; r < sd_ + with; ++r) {
    const double* row = tail_row(r);
    x[s0_ + r] = (x[s0_ + r] - wide_dot(row, x + s0_, r)) / row[r];
  }
}

void Elimination::backward(double* x, int with) const {
  for (Index r = sd_ + with - 1; r >= 0; --r) {
    const double* row = tail_row(r);
    const double t = x[s0_ + r] / row[r];
    x[s0_ + r] = t;
    for (Index c = 0; c < r; ++c) x[s0_ + c] -= row[c] * t;
  }
  for (std::int32_t j = nt_ - 1; j >= 0; --j) {
    const int qj = q(j);
    double* xj = x + first_[j];
    const double* v = &la_[vp_[j]];
    const std::int32_t* c = &ri_[rp_[j]];
    const Index m = rows_of(j, with);
    for (Index e = 0; e < m; ++e) {
      const double xe = x[c[e]];
      for (int a = 0; a < qj; ++a) xj[a] -= v[e * qj + a] * xe;
    }
    solve_lower_t(&ld_[dp_[j]], qj, qj, xj);
  }
}

void Elimination::last_row(double* x) const {
  for (std::int32_t j = 0; j < nt_; ++j) {
    const double* v = &la_[vp_[j + 1] - q(j)];
    std::copy(v, v + q(j), x + first_[j]);
  }
  std::copy(tail_row(width_ - 1), tail_row(width_ - 1) + width_, x + s0_);
}

void Elimination::invert(int with) {
  if (inverted_ == with) return;
  inverted_ = with;
  pa_.resize(la_.size());
  pd_.resize(ld_.size());
  w_ = t_;
  if (sd_ + with) blocked_inverse(w_.data(), sd_ + with, width_, threads_);
  Vec x, r;
  for (std::int32_t j = nt_ - 1; j >= 0; --j) invert_node(j, with, x, r);
}

void Elimination::invert_node(std::int32_t j, int with, Vec& x, Vec& r) {
  const int qj = q(j);
  const Index m = rows_of(j, with);
  const double *l = &ld_[dp_[j]], *v = &la_[vp_[j]];
  const std::int32_t* c = &ri_[rp_[j]];
  x.assign(static_cast<size_t>(m) * qj, 0.0);
  Index tail = 0;
  while (tail < m && c[tail] < s0_) ++tail;
  for (Index e = 0; e < tail; ++e) {
    const std::int32_t i = node_of_[c[e]];
    const int qi = q(i), column = static_cast<int>(c[e] - first_[i]);
    const double *d = &pd_[dp_[i]], *panel = &pa_[vp_[i]];
    const std::int32_t* rows = &ri_[rp_[i]];
    Index at = 0;
    for (Index f = e; f < m; ++f) {
      double p;
      if (c[f] < first_[i + 1]) {
        p = d[(c[f] - first_[i]) * qi + column];
      } else {
        while (rows[at] != c[f]) ++at;
        p = panel[at * qi + column];
      }
      for (int a = 0; a < qj; ++a) x[e * qj + a] += p * v[f * qj + a];
      if (f > e)
        for (int a = 0; a < qj; ++a) x[f * qj + a] += p * v[e * qj + a];
    }
  }
  const Index random = rows_of(j, 0);
  Index from = tail;  // rows whose own products with those before them are still to come
  if (tail_size_ > 0 && random > tail &&
      with_sizes(qj, tail_size_, [&](auto columns, auto rows) {
        multiply_nodes<columns(), rows()>(w_.data(), width_, s0_, c + tail, v + tail * qj, random - tail, x.data() + tail * qj);
      }))
    from = random;
  for (Index f = from; f < m; ++f) {
    const double* row = &w_[static_cast<size_t>(c[f] - s0_) * width_];
    if (qj == 1) {
      double s = 0.0;
      const double vf = v[f];
      for (Index e = tail; e < f; ++e) {
        const double p = row[c[e] - s0_];
        s += p * v[e];
        x[e] += p * vf;
      }
      x[f] += s + row[c[f] - s0_] * vf;
    } else if (qj == 2) {
      double s0 = 0.0, s1 = 0.0;
      const double v0 = v[2 * f], v1 = v[2 * f + 1];
      for (Index e = tail; e < f; ++e) {
        const double p = row[c[e] - s0_];
        s0 += p * v[2 * e];
        s1 += p * v[2 * e + 1];
        x[2 * e] += p * v0;
        x[2 * e + 1] += p * v1;
      }
      const double p = row[c[f] - s0_];
      x[2 * f] += s0 + p * v0;
      x[2 * f + 1] += s1 + p * v1;
    } else {
      for (Index e = tail; e <= f; ++e) {
        const double p = row[c[e] - s0_];
        for (int a = 0; a < qj; ++a) {
          x[f * qj + a] += p * v[e * qj + a];
          if (e < f) x[e * qj + a] += p * v[f * qj + a];
        }
      }
    }
  }
  r.assign(static_cast<size_t>(qj) * qj, 0.0);
  for (int a = 0; a < qj; ++a) r[a * qj + a] = 1.0;
  for (Index e = 0; e < m; ++e)
    for (int a = 0; a < qj; ++a)
      for (int b = 0; b < qj; ++b) r[a * qj + b] += v[e * qj + a] * x[e * qj + b];
  for (int b = 0; b < qj; ++b) {  // columns by L^-T, then rows by L^-1 from the right
    for (int a = qj - 1; a >= 0; --a) {
      double t = r[a * qj + b];
      for (int h = a + 1; h < qj; ++h) t -= l[h * qj + a] * r[h * qj + b];
      r[a * qj + b] = t / l[a * qj + a];
    }
  }
  for (int b = 0; b < qj; ++b) solve_lower_t(l, qj, qj, &r[b * qj]);
  std::copy(r.begin(), r.end(), &pd_[dp_[j]]);
  double* out = &pa_[vp_[j]];
  for (Index e = 0; e < m; ++e) {
    for (int a = 0; a < qj; ++a) out[e * qj + a] = -x[e * qj + a];
    solve_lower_t(l, qj, qj, out + e * qj);
  }
}

void Elimination::inverse_block(std::int32_t j, double* out) const {
  const int qj = q(j);
  if (j < nt_) {
    std::copy(&pd_[dp_[j]], &pd_[dp_[j]] + qj * qj, out);
    return;
  }
  const double* w = &w_[static_cast<size_t>(first_[j] - s0_) * (width_ + 1)];
  for (int a = 0; a < qj; ++a)
    for (int c = 0; c <= a; ++c) out[a * qj + c] = out[c * qj + a] = w[a * width_ + c];
}

double Elimination::leverage(const Entry* entries, const Index* where, int count) const {
  double total = 0.0;
  for (int k = 0; k < count; ++k) {
    const Entry& e = entries[k];
    const bool sparse = e.node < nt_;
    const Index stride = sparse ? q(e.node) : width_;
    const double* p = sparse ? &pd_[dp_[e.node]] : &w_[static_cast<size_t>(first_[e.node] - s0_) * (width_ + 1)];
    p += e.offset * stride + e.offset;
    for (int a = 0; a < e.count; ++a) {
      double s = 0.5 * p[a * stride + a] * e.z[a];
      for (int c = 0; c < a; ++c) s += p[a * stride + c] * e.z[c];
      total += 2.0 * s * e.z[a];
    }
    for (int l = k + 1; l < count; ++l) {
      const Entry &low = entries[l].node > e.node ? e : entries[l], &high = entries[l].node > e.node ? entries[l] : e;
      const bool in_panel = low.node < nt_;
      const Index step = in_panel ? q(low.node) : width_;
      const double* block = (in_panel ? pa_.data() : w_.data()) + *where++ + high.offset * step + low.offset;
      double s = 0.0;
      for (int a = 0; a < high.count; ++a)
        for (int c = 0; c < low.count; ++c) s += block[a * step + c] * high.z[a] * low.z[c];
      total += 2.0 * s;
    }
  }
  return total;
}

void Elimination::multiply(const double* x, double* out) const {
  std::fill(out, out + s_ + extra_, 0.0);
  for (std::int32_t j = 0; j < nt_; ++j) {
    const int qj = q(j);
    const double *d = &d_[dp_[j]], *xj = x + first_[j], *v = &a_[vp_[j]];
    double* oj = out + first_[j];
    for (int a = 0; a < qj; ++a) {
      oj[a] += d[a * qj + a] * xj[a];
      for (int c = 0; c < a; ++c) {
        oj[a] += d[a * qj + c] * xj[c];
        oj[c] += d[a * qj + c] * xj[a];
      }
    }
    const std::int32_t* c = &ri_[rp_[j]];
    const Index m = rp_[j + 1] - rp_[j];
    for (Index e = 0; e < m; ++e)
      for (int a = 0; a < qj; ++a) {
        oj[a] += v[e * qj + a] * x[c[e]];
        out[c[e]] += v[e * qj + a] * xj[a];
      }
  }
  for (Index r = 0; r < width_; ++r) {
    const double* row = &c_[static_cast<size_t>(r) * width_];
    const double xr = x[s0_ + r];
    out[s0_ + r] += wide_dot(row, x + s0_, r) + row[r] * xr;
    for (Index c = 0; c < r; ++c) out[s0_ + c] += row[c] * xr;
  }
}

Vec Elimination::moments(double s2, const double* scores) const {
  Vec out(lambda_size(), 0.0), squares(out), d1(out), d2(out);
  for (std::int32_t j = 0; j < static_cast<std::int32_t>(nodes()); ++j) {
    const int qj = q(j);
    const Index at = lambda_at_[lambda_of_[j]];
    const bool panel = j < nt_;
    const double* d = panel ? &d_[dp_[j]] : &c_[static_cast<size_t>(first_[j] - s0_) * (width_ + 1)];
    const double* b = scores ? scores + first_[j] : panel ? &a_[vp_[j + 1] - qj] : &c_[c_.size() - width_ + first_[j] - s0_];
    for (int a = 0; a < qj; ++a) {
      const double own = d[a * (panel ? qj : width_) + a];
      const Index k = at + a * qj + a;
      squares[k] += b[a] * b[a];
      d1[k] += own;
      d2[k] += own * own;
    }
  }
  for (size_t k = 0; k < out.size(); ++k)
    if (d2[k] > 0.0) out[k] = std::sqrt(std::max(0.0, squares[k] / s2 - d1[k]) / d2[k]);
  return out;
}

void Elimination::pulls(const double* lambda, int with, double* out) const {
  std::fill(out, out + lambda_size(), 0.0);
  // e (qa, qa) += a Lambda p', a (qa, qb) and p (qa, qb) with given strides of row and column
  const auto pull = [](double* e, int qa, int qb, const double* a, Index ar, Index ac, const double* m, const double* p, Index pr, Index pc) {
    for (int i = 0; i < qa; ++i)
      for (int h = 0; h < qb; ++h) {
        double am = 0.0;
        for (int g = 0; g < qb; ++g) am += a[i * ar + g * ac] * (m ? m[g * qb + h] : (g == h ? 1.0 : 0.0));
        for (int k = 0; k < qa; ++k) e[i * qa + k] += am * p[k * pr + h * pc];
      }
  };
  const auto matrix = [&](std::int32_t j) { return lambda + lambda_at_[lambda_of_[j]]; };
  const auto target = [&](std::int32_t j) { return out + lambda_at_[lambda_of_[j]]; };
  Vec full;
  const auto mirrored = [&](const double* d, Index stride, int q) {
    full.resize(static_cast<size_t>(q) * q);
    for (int a = 0; a < q; ++a)
      for (int c = 0; c <= a; ++c) full[a * q + c] = full[c * q + a] = d[a * stride + c];
    return full.data();
  };
  Vec block;
  for (std::int32_t j = 0; j < nt_; ++j) {
    const int qj = q(j);
    const double* mj = matrix(j);
    double* ej = target(j);
    const double *a = &a_[vp_[j]], *p = &pa_[vp_[j]];
    const std::int32_t* c = &ri_[rp_[j]];
    const Index random = rows_of(j, 0);
    if (qj == 1) ej[0] += d_[dp_[j]] * mj[0] * pd_[dp_[j]];
    else pull(ej, qj, qj, mirrored(&d_[dp_[j]], qj, qj), qj, 1, mj, &pd_[dp_[j]], qj, 1);
    for (Index e = 0; e < random;) {
      const std::int32_t i = node_of_[c[e]];
      const int qi = q(i);
      const double *ae = a + e * qj, *pe = p + e * qj;
      if (qi == 1 && qj == 1) {
        const double t = ae[0] * pe[0];
        ej[0] += t * matrix(i)[0];
        target(i)[0] += t * mj[0];
      } else {
        pull(ej, qj, qi, ae, 1, qj, matrix(i), pe, 1, qj);
        pull(target(i), qi, qj, ae, qj, 1, mj, pe, qj, 1);
      }
      e += qi;
    }
    for (Index e = random; e < random + with; ++e) pull(ej, qj, 1, a + e * qj, 1, 1, nullptr, p + e * qj, 1, 1);
  }
  const std::int32_t all = static_cast<std::int32_t>(nodes());
  if (tail_size_ == 1) {  // runs of nodes with one Lambda
    std::vector<Index> runs{0};
    for (Index r = 1; r < sd_; ++r)
      if (lambda_of_[nt_ + r] != lambda_of_[nt_ + r - 1]) runs.push_back(r);
    for (Index r = 0; r < sd_; ++r) {
      const double *a = &c_[static_cast<size_t>(r) * width_], *p = &w_[static_cast<size_t>(r) * width_];
      const std::int32_t i = static_cast<std::int32_t>(nt_ + r);
      target(i)[0] += a[r] * p[r] * matrix(i)[0];
      for (size_t k = 0; k < runs.size() && runs[k] < r; ++k) {
        const Index end = k + 1 < runs.size() ? std::min(runs[k + 1], r) : r;
        const double t = wide_dot(a + runs[k], p + runs[k], end - runs[k]);
        const std::int32_t j = static_cast<std::int32_t>(nt_ + runs[k]);
        target(j)[0] += t * matrix(i)[0];
        target(i)[0] += t * matrix(j)[0];
      }
    }
  }
  for (std::int32_t i = nt_; tail_size_ != 1 && i < all; ++i) {
    const int qi = q(i);
    const Index o = first_[i] - s0_;
    block.resize(static_cast<size_t>(qi) * qi);
    inverse_block(i, block.data());
    pull(target(i), qi, qi, mirrored(&c_[static_cast<size_t>(o) * (width_ + 1)], width_, qi), qi, 1, matrix(i), block.data(), qi, 1);
    const double *a = &c_[static_cast<size_t>(o) * width_], *p = &w_[static_cast<size_t>(o) * width_];
    for (std::int32_t j = nt_; j < i; ++j) {
      const int qj = q(j);
      const Index at = first_[j] - s0_;
      if (qi == 1 && qj == 1) {
        const double t = a[at] * p[at];
        target(j)[0] += t * matrix(i)[0];
        target(i)[0] += t * matrix(j)[0];
      } else {
        pull(target(j), qj, qi, a + at, 1, width_, matrix(i), p + at, 1, width_);
        pull(target(i), qi, qj, a + at, width_, 1, matrix(j), p + at, width_, 1);
      }
    }
  }
  for (int e = 0; e < with; ++e) {
    const double *a = &c_[static_cast<size_t>(sd_ + e) * width_], *p = &w_[static_cast<size_t>(sd_ + e) * width_];
    for (std::int32_t j = nt_; j < all; ++j) pull(target(j), q(j), 1, a + first_[j] - s0_, 1, 1, nullptr, p + first_[j] - s0_, 1, 1);
  }
}

void Elimination::times(const double* lambda, bool transpose, double* x) const {
  Vec from;
  for (std::int32_t j = 0; j < static_cast<std::int32_t>(nodes()); ++j) {
    const int qj = q(j);
    const double* m = lambda + lambda_at_[lambda_of_[j]];
    double* xj = x + first_[j];
    if (qj == 1) {
      xj[0] *= m[0];
      continue;
    }
    from.assign(xj, xj + qj);
    for (int a = 0; a < qj; ++a) {
      double s = 0.0;
      for (int c = 0; c < qj; ++c) s += (transpose ? m[c * qj + a] : m[a * qj + c]) * from[c];
      xj[a] = s;
    }
  }
}

}  // namespace glimm
