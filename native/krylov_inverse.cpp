// M^-1 from P = S^-1: P_ba = -P M_ba M_aa^-1, P_aa = M_aa^-1 + M_aa^-1 M_ab P M_ba M_aa^-1, level by level of the leading term.
//
// P is the inverse of the dense S, or G^-1 (diagonal blocks of S) and, for what that leaves, the mean of v z' over probes.
#include "krylov_block.hpp"

namespace glimm {
namespace {

constexpr double kSingular = 1e-7, kWeak = 0.02, kStrong = 0.5;

// Inverse of the transpose of a q x q matrix, by Gauss and Jordan with pivots; the smallest of these, 0 where it is next to singular.
double transposed_inverse(const double* m, int q, Vec& out) {
  Vec a(static_cast<size_t>(q) * q);
  out.assign(a.size(), 0.0);
  double largest = 0.0, smallest = HUGE_VAL;
  for (int i = 0; i < q; ++i) {
    out[i * q + i] = 1.0;
    for (int k = 0; k < q; ++k) {
      a[i * q + k] = m[k * q + i];
      largest = std::max(largest, std::fabs(m[k * q + i]));
    }
  }
  for (int c = 0; c < q; ++c) {
    int best = c;
    for (int r = c + 1; r < q; ++r)
      if (std::fabs(a[r * q + c]) > std::fabs(a[best * q + c])) best = r;
    const double pivot = a[best * q + c];
    if (!(std::fabs(pivot) > kSingular * largest)) return 0.0;
    smallest = std::min(smallest, std::fabs(pivot));
    for (int k = 0; k < q; ++k) {
      std::swap(a[c * q + k], a[best * q + k]);
      std::swap(out[c * q + k], out[best * q + k]);
    }
    for (int k = 0; k < q; ++k) {
      a[c * q + k] /= pivot;
      out[c * q + k] /= pivot;
    }
    for (int r = 0; r < q; ++r) {
      const double times = r == c ? 0.0 : a[r * q + c];
      for (int k = 0; times != 0.0 && k < q; ++k) {
        a[r * q + k] -= times * a[c * q + k];
        out[r * q + k] -= times * out[c * q + k];
      }
    }
  }
  return smallest;
}

}  // namespace

// Lambda'z of a row of one term: q entries.
void Krylov::row_effects(const Term& t, std::int32_t node, Index i, Vec& out) const {
  const int qj = q(node);
  const double* m = lambda_.data() + lambda_at_[lambda_of_[node]];
  const Index o = t.at[i] - first_[node];
  out.assign(qj, 0.0);
  for (int a = 0; a < t.count; ++a) {
    const double z = t.z.empty() ? 1.0 : t.z[i * t.count + a];
    for (int c = 0; c < qj; ++c) out[c] += z * m[(o + a) * qj + c];
  }
}

void Krylov::level_inverse(std::int32_t j, Level& level) const {
  const int qa = q(j);
  const Index base = dp_[lead_];
  read(j, level, true);
  const Index m = level.size;
  level.y.assign(static_cast<size_t>(m) * qa, 0.0);
  if (exact_) {
    level.place.clear();
    for (Index c = cell_starts_[j]; c < cell_starts_[j + 1]; ++c)
      for (int e = 0; e < q(cell_node_[c]); ++e) level.place.push_back(first_[cell_node_[c]] - sa_ + e);
    level.p.resize(static_cast<size_t>(m) * m);
    for (Index e = 0; e < m; ++e)
      for (Index f = 0; f <= e; ++f) {
        const Index r = std::max(level.place[e], level.place[f]), c = std::min(level.place[e], level.place[f]);
        level.p[e * m + f] = level.p[f * m + e] = dense_[static_cast<size_t>(r) * rest() + c];
      }
    for (Index e = 0; e < m; ++e)
      for (Index f = 0; f < m; ++f)
        for (int a = 0; a < qa; ++a) level.y[e * qa + a] += level.p[e * m + f] * level.x[f * qa + a];
  } else {
    for (Index c = cell_starts_[j]; c < cell_starts_[j + 1]; ++c) {
      const int qb = q(cell_node_[c]);
      const Index o = level.offset[c - cell_starts_[j]];
      const double* g = &gi_[dp_[cell_node_[c]] - base];
      for (int e = 0; e < qb; ++e)
        for (int f = 0; f < qb; ++f)
          for (int a = 0; a < qa; ++a) level.y[(o + e) * qa + a] += g[e * qb + f] * level.x[(o + f) * qa + a];
    }
  }
  level.aa.assign(f_.begin() + dp_[j], f_.begin() + dp_[j + 1]);
  for (Index e = 0; e < m; ++e)
    for (int a = 0; a < qa; ++a)
      for (int c = 0; c < qa; ++c) level.aa[a * qa + c] += level.x[e * qa + a] * level.y[e * qa + c];
}

// h = M^-1 Lambda'z of a row, by term: what P gives exactly.
void Krylov::row_inverse(std::int32_t j, Index i, const Level& level, std::vector<Vec>& zt, std::vector<Vec>& h) const {
  const int qa = q(j);
  const Index m = level.size;
  Vec &za = zt[leading_], &ha = h[leading_];
  row_effects(terms_[leading_], j, i, za);
  ha.assign(qa, 0.0);
  for (int a = 0; a < qa; ++a) ha[a] = dot(&level.aa[a * qa], za.data(), qa);
  for (int k : others_) {
    const std::int32_t cell = terms_[k].slot[i], node = cell_node_[cell_starts_[j] + cell];
    const int qb = q(node);
    const Index o = level.offset[cell];
    row_effects(terms_[k], node, i, zt[k]);
    h[k].assign(qb, 0.0);
    for (int e = 0; e < qb; ++e) {
      const double* y = &level.y[(o + e) * qa];
      for (int a = 0; a < qa; ++a) {
        h[k][e] -= y[a] * za[a];
        ha[a] -= y[a] * zt[k][e];
      }
    }
    if (!exact_) {
      const double* g = &gi_[dp_[node] - dp_[lead_]];
      for (int e = 0; e < qb; ++e) h[k][e] += dot(g + e * qb, zt[k].data(), qb);
    }
  }
  if (!exact_) return;
  for (int k : others_)
    for (int l : others_) {
      const Index ok = level.offset[terms_[k].slot[i]], ol = level.offset[terms_[l].slot[i]];
      for (size_t e = 0; e < zt[k].size(); ++e) h[k][e] += dot(&level.p[(ok + e) * m + ol], zt[l].data(), static_cast<int>(zt[l].size()));
    }
}

// One row of h = M^-1 Lambda'z into its leverage and, for Lambda without an inverse, into the sums over nodes of (A Lambda M^-1)_jj.
struct Krylov::RowSums {
  Vec pulls, random;  // (lambda_size); by probe
  std::vector<Vec> zt, h;
};

double Krylov::row_sums(std::int32_t j, Index i, const std::vector<char>& asked, RowSums& sums) const {
  const size_t count = terms_.size();
  const int wide = exact_ ? 0 : parts();
  double leverage = 0.0;
  const auto node_of = [&](size_t k) { return static_cast<int>(k) == leading_ ? j : cell_node_[cell_starts_[j] + terms_[k].slot[i]]; };
  for (size_t k = 0; k < count; ++k) {
    const Term& t = terms_[k];
    const std::int32_t node = node_of(k);
    const int qj = q(node);
    leverage += dot(sums.zt[k].data(), sums.h[k].data(), qj);
    if (!asked[lambda_of_[node]]) continue;
    double* to = &sums.pulls[lambda_at_[lambda_of_[node]] + (t.at[i] - first_[node]) * qj];
    for (int a = 0; a < t.count; ++a) add_scaled(to + a * qj, row_weight(i) * (t.z.empty() ? 1.0 : t.z[i * t.count + a]), sums.h[k].data(), qj);
  }
  double from_probes[kWide] = {0.0};
  for (int g = 0; g < wide; ++g) {
    double tz[kWide] = {0.0}, tv[kWide] = {0.0};
    for (size_t k = 0; k < count; ++k) {
      const std::int32_t node = node_of(k);
      for (int c = 0; c < q(node); ++c) {
        add_times<kWide>(tz, sums.zt[k][c], &z_[g][(first_[node] + c) * kWide]);
        add_times<kWide>(tv, sums.zt[k][c], &v_[g][(first_[node] + c) * kWide]);
      }
    }
    for (int b = 0; b < kWide; ++b) from_probes[b] += tz[b] * tv[b];
    for (size_t k = 0; k < count; ++k) {
      const Term& t = terms_[k];
      const std::int32_t node = node_of(k);
      if (!asked[lambda_of_[node]]) continue;
      for (int c = 0; c < q(node); ++c) {
        double product[kWide];
        for (int b = 0; b < kWide; ++b) product[b] = tz[b] * v_[g][(first_[node] + c) * kWide + b];
        for (int a = 0; a < t.count; ++a)
          add_times<kWide>(&sums.random[(lambda_at_[lambda_of_[node]] + (t.at[i] - first_[node] + a) * q(node) + c) * kWide],
                           row_weight(i) * (t.z.empty() ? 1.0 : t.z[i * t.count + a]), product);
      }
    }
  }
  double total = 0.0;
  for (double v : from_probes) total += v;
  return wide ? leverage + total / (groups_ * kWide) : leverage;
}

// Blocks of M^-1 on its diagonal, summed over the nodes of each Lambda; without the leading term's exact part.
void Krylov::add_traces(double* out) const {
  const double share = 0.5 / (groups_ * kWide);
  for (std::int32_t j = 0; j < static_cast<std::int32_t>(nodes()); ++j) {
    const int qj = q(j);
    double* to = out + lambda_at_[lambda_of_[j]];
    if (j >= lead_) {
      const Index o = first_[j] - sa_;
      for (int a = 0; a < qj; ++a)
        for (int c = 0; c < qj; ++c)
          to[a * qj + c] +=
              exact_ ? dense_[static_cast<size_t>(o + std::max(a, c)) * rest() + o + std::min(a, c)] : gi_[dp_[j] - dp_[lead_] + a * qj + c];
    }
    for (int g = 0; g < (exact_ ? 0 : parts()); ++g) {
      const double *z = &z_[g][first_[j] * kWide], *v = &v_[g][first_[j] * kWide];
      for (int a = 0; a < qj; ++a)
        for (int c = 0; c < qj; ++c) {
          double s = 0.0;
          for (int k = 0; k < kWide; ++k) s += v[a * kWide + k] * z[c * kWide + k] + z[a * kWide + k] * v[c * kWide + k];
          to[a * qj + c] += share * s;
        }
    }
  }
}

// Two intercepts: leverages (unless null) of the rows of leading levels first .. last, by cell; the sum of these levels' parts of M^-1.
double Krylov::pair_inverse(std::int32_t first, std::int32_t last, double* leverage) const {
  const double la = lambda_[lambda_at_[lambda_of_[0]]], lb = lambda_[lambda_at_[lambda_of_[lead_]]];
  const auto& slot = terms_[others_[0]].slot;
  const double share = exact_ ? 0.0 : 1.0 / (groups_ * kWide);
  double trace = 0.0;
  Vec x, y, of_cell;
  for (std::int32_t j = first; j < last; ++j) {
    if (j % kNodeRun == 0) check_interrupt();
    const Index begin = cell_starts_[j], m = cell_starts_[j + 1] - begin;
    const std::int32_t* node = &cell_node_[begin];
    x.resize(m);
    y.resize(m);
    for (Index c = 0; c < m; ++c) x[c] = f_[dp_[j]] * la * lb * b_[begin + c];
    const auto p = [&](Index r, Index c) { return dense_[static_cast<size_t>(node[r] - lead_) * rest() + (node[c] - lead_)]; };
    if (exact_) {
      std::fill(y.begin(), y.end(), 0.0);
      for (Index r = 0; r < m; ++r) {
        double sum = p(r, r) * x[r];
        for (Index c = 0; c < r; ++c) {
          const double value = p(r, c);
          sum += value * x[c];
          y[c] += value * x[r];
        }
        y[r] += sum;
      }
    } else {
      for (Index c = 0; c < m; ++c) y[c] = gi_[node[c] - lead_] * x[c];
    }
    double own = f_[dp_[j]];
    for (Index c = 0; c < m; ++c) own += x[c] * y[c];
    trace += own;
    if (!leverage) continue;
    of_cell.resize(m);
    for (Index c = 0; c < m; ++c) {
      double value = la * la * own - 2.0 * la * lb * y[c] + lb * lb * (exact_ ? p(c, c) : gi_[node[c] - lead_]);
      for (int g = 0; g < (exact_ ? 0 : parts()); ++g) {
        const double *za = &z_[g][static_cast<size_t>(j) * kWide], *va = &v_[g][static_cast<size_t>(j) * kWide];
        const double *zb = &z_[g][static_cast<size_t>(node[c]) * kWide], *vb = &v_[g][static_cast<size_t>(node[c]) * kWide];
        double sum = 0.0;
        for (int k = 0; k < kWide; ++k) sum += (la * za[k] + lb * zb[k]) * (la * va[k] + lb * vb[k]);
        value += share * sum;
      }
      of_cell[c] = value;
    }
    for (Index i = starts_[j]; i < starts_[j + 1]; ++i) leverage[i] = of_cell[slot[i]];
  }
  return trace;
}

// By Lambda, 0 to 1: how far its effects are from so small, beside what a level tells of them, that I - M^-1 of a level is lost in errors.
Vec Krylov::strength() const {
  std::vector<Vec> sums(lambdas());
  Vec count(lambdas(), 0.0), unused;
  for (int i = 0; i < lambdas(); ++i) sums[i].assign(lambda_q_[i], 0.0);
  for (std::int32_t j = 0; j < static_cast<std::int32_t>(nodes()); ++j) {
    count[lambda_of_[j]] += 1.0;
    for (int a = 0; a < q(j); ++a) sums[lambda_of_[j]][a] += d_[dp_[j] + a * q(j) + a];
  }
  Vec out(lambdas());
  for (int i = 0; i < lambdas(); ++i) {
    const int qi = lambda_q_[i];
    Vec scaled(lambda_.begin() + lambda_at_[i], lambda_.begin() + lambda_at_[i] + qi * qi);
    for (int a = 0; a < qi; ++a)
      for (int c = 0; c < qi; ++c) scaled[a * qi + c] *= std::sqrt(std::max(sums[i][a], 0.0) / std::max(count[i], 1.0));
    const double t = (transposed_inverse(scaled.data(), qi, unused) - kWeak) / (kStrong - kWeak);
    out[i] = t <= 0.0 ? 0.0 : t >= 1.0 ? 1.0 : t * t * (3.0 - 2.0 * t);
  }
  return out;
}

// A Lambda M^-1 = Lambda^-T (I - M^-1) where Lambda has an inverse: the probes' error is then that of the trace of M^-1 alone. Towards
// Lambda = 0 that error stays and what is left by rows vanishes: a mean of both, which goes from one to the other without a jump.
void Krylov::inverse(bool exact, double* leverage, double* pulls) {
  exact_ = exact && inverted_;
  const Index size = lambda_size();
  Vec share = exact_ ? Vec(lambdas(), 1.0) : strength();
  std::vector<char> asked(lambdas());
  std::vector<Vec> inverses(lambdas());
  bool rows = leverage != nullptr, any = false;
  for (int i = 0; i < lambdas(); ++i) {
    if (!(transposed_inverse(&lambda_[lambda_at_[i]], lambda_q_[i], inverses[i]) > kSingular)) share[i] = 0.0;
    asked[i] = share[i] < 1.0;
    any = any || asked[i];
  }
  rows = rows || any;
  std::vector<RowSums> parts(chunks());
  std::vector<Vec> traces(chunks());
  over_chunks([&](Index chunk, std::int32_t first, std::int32_t last) {
    RowSums& own = parts[chunk];
    own.pulls.assign(size, 0.0);
    own.random.assign(static_cast<size_t>(size) * kWide, 0.0);
    own.zt.resize(terms_.size());
    own.h.resize(terms_.size());
    traces[chunk].assign(size, 0.0);
    if (!b_.empty() && !any) {
      traces[chunk][lambda_at_[lambda_of_[0]]] = pair_inverse(first, last, leverage);
      return;
    }
    Level level;
    for (std::int32_t j = first; j < last; ++j) {
      if (j % kNodeRun == 0) check_interrupt();
      level_inverse(j, level);
      add_scaled(&traces[chunk][lambda_at_[lambda_of_[j]]], 1.0, level.aa.data(), q(j) * q(j));
      for (Index i = starts_[j]; rows && i < starts_[j + 1]; ++i) {
        row_inverse(j, i, level, own.zt, own.h);
        const double value = row_sums(j, i, asked, own);
        if (leverage) leverage[i] = value;
      }
    }
  });
  Vec trace(size, 0.0), count(lambdas(), 0.0);
  for (const Vec& t : traces) add_scaled(trace.data(), 1.0, t.data(), static_cast<int>(size));
  add_traces(trace.data());
  for (std::int32_t j = 0; j < static_cast<std::int32_t>(nodes()); ++j) count[lambda_of_[j]] += 1.0;
  std::fill(pulls, pulls + size, 0.0);
  for (int i = 0; i < lambdas(); ++i) {
    const int qi = lambda_q_[i];
    const Index at = lambda_at_[i];
    for (Index e = at; asked[i] && e < at + qi * qi; ++e)
      for (const RowSums& part : parts) {
        pulls[e] += (1.0 - share[i]) * part.pulls[e];
        for (int b = 0; !exact_ && b < kWide; ++b) pulls[e] += (1.0 - share[i]) * part.random[e * kWide + b] / (groups_ * kWide);
      }
    for (int a = 0; share[i] > 0.0 && a < qi; ++a)
      for (int c = 0; c < qi; ++c)
        for (int h = 0; h < qi; ++h)
          pulls[at + a * qi + c] += share[i] * inverses[i][a * qi + h] * ((h == c ? count[i] : 0.0) - trace[at + h * qi + c]);
  }
}

Vec Krylov::inverse_blocks(bool exact) {
  exact_ = exact && inverted_;
  Vec out(dp_.back(), 0.0);
  over_chunks([&](Index, std::int32_t first, std::int32_t last) {
    Level level;
    for (std::int32_t j = first; j < last; ++j) {
      if (j % kNodeRun == 0) check_interrupt();
      level_inverse(j, level);
      std::copy(level.aa.begin(), level.aa.end(), &out[dp_[j]]);
    }
  });
  for (std::int32_t j = lead_; j < static_cast<std::int32_t>(nodes()); ++j) {
    const int qj = q(j);
    const Index o = first_[j] - sa_;
    for (int a = 0; a < qj; ++a)
      for (int c = 0; c < qj; ++c)
        out[dp_[j] + a * qj + c] =
            exact_ ? dense_[static_cast<size_t>(o + std::max(a, c)) * rest() + o + std::min(a, c)] : gi_[dp_[j] - dp_[lead_] + a * qj + c];
  }
  if (exact_) return out;
  const double share = 0.5 / (groups_ * kWide);
  for (std::int32_t j = 0; j < static_cast<std::int32_t>(nodes()); ++j)
    for (int g = 0; g < parts(); ++g)
      for (int a = 0; a < q(j); ++a)
        for (int c = 0; c < q(j); ++c) {
          const double *z = &z_[g][first_[j] * kWide], *v = &v_[g][first_[j] * kWide];
          for (int k = 0; k < kWide; ++k)
            out[dp_[j] + a * q(j) + c] += share * (v[a * kWide + k] * z[c * kWide + k] + z[a * kWide + k] * v[c * kWide + k]);
        }
  return out;
}

}  // namespace glimm
