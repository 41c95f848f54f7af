// The exact Hessian of the Laplace objective: tangents of its gradient along each parameter, level by level.
//
// Along a parameter: e = d eta, du = M^-1 [sum dz d1 + z (d2 e + d1_psi dpsi)], dP = -P dM P, and so on through every quantity of the
// gradient (laplace.cpp). The derivatives of d1, d2, d3 along e are central differences of the row stage, the only approximation.
#include "laplace.hpp"

namespace glimm {
namespace {

constexpr double kReach = 1e-3;  // of a difference, on the scale of the linear predictor (or of psi)

// One block of whole levels; rows and levels are counted from its first.
template <int Q> class Tangents {
 public:
  Tangents(const MixedRows& data, const Stage& stage, const BlockedFactor& factor, const Vec& u, Index block, LaplaceRows& rows)
      : data_(data), stage_(stage), k(rows), q_(data.q), p(data.p), nt(data.nt), n_psi(stage.n_psi()), r0(data.first(block)), m(data.last(block) - r0), j0(data.edges[block]), count(data.edges[block + 1] - j0), u_(&u[j0 * q_]),
        x(static_cast<size_t>(m) * p), inverse(count * q_ * q_), lam(count * q_), rhs(count * q_, 0.0), pz(m * q_), e(m), dz(m * q_), du(count * q_),
        dlev(m), v(m), moved(m), up(3 * m), down(3 * m), dm(q_ * q_), dp(q_ * q_), drhs(q_), dlam(q_), dpz(q_), row(q_) {
    const int q = Q ? Q : q_;
    data_.rows.fill(r0, m, x.data());
    for (Index j = 0; j < count; ++j) factor.template inverse_block<Q>(j + j0, &inverse[j * q * q]);
    base();
  }

  // The column of the Hessian along parameter `direction`; (t_row, t_column) is its entry of T, if it is one.
  void column(int direction, int t_row, int t_column, double* out) {
    const int q = Q ? Q : q_;
    along_t_ = direction >= p && direction < p + nt;
    along_psi_ = direction - p - nt;
    differences(move(direction, t_row, t_column));
    Vec t(q * q, 0.0);
    Vec psi(n_psi, 0.0);
    for (Index j = 0; j < count; ++j) level(j, t, psi.data());
    for (Index i = 0; i < m; ++i)
      for (int c = 0; c < p; ++c) out[c] += v[i] * x[i * p + c];
    int at = p;
    for (int c = 0; c < q; ++c)
      for (int r = c; r < q; ++r) out[at++] += t[r * q + c];
    for (int c = 0; c < n_psi; ++c) out[at + c] += psi[c];
  }

 private:
  Index first(Index j) const { return data_.levels.starts[j + j0] - r0; }
  const double* z(Index i) const { return &data_.z[(i + r0) * (Q ? Q : q_)]; }

  // What the gradient is made of: P zt and lev by row, lam and its right side by level.
  void base() {
    const int q = Q ? Q : q_;
    for (Index j = 0; j < count; ++j) {
      const double* inv = &inverse[j * q * q];
      for (Index i = first(j); i < first(j + 1); ++i) {
        const double* zt = &k.zt[i * q];
        for (int a = 0; a < q; ++a) pz[i * q + a] = dot(inv + a * q, zt, q);
        k.lev[i] = dot(zt, &pz[i * q], q);
        for (int a = 0; a < q; ++a) rhs[j * q + a] -= k.d3[i] * k.lev[i] * zt[a];
      }
      for (int a = 0; a < q; ++a) lam[j * q + a] = dot(inv + a * q, &rhs[j * q], q);
      for (Index i = first(j); i < first(j + 1); ++i) k.pulled[i] = dot(&k.zt[i * q], &lam[j * q], q);
    }
    for (Vec* a : {&psi_at, &psi_up, &psi_down}) a->resize(3 * m * n_psi);
    psi_rows(stage_, k.eta.data(), psi_at);
  }

  // (l_psi, d1_psi, w_psi) for each psi; l_psi without the terms free of eta, unless the parameter is a psi
  void psi_rows(const Stage& at, const double* eta, Vec& to) {
    const Vec constants = along_psi_ >= 0 ? data_.constant_psi(at, r0, m) : Vec();
    for (int c = 0; c < n_psi; ++c) {
      double* l = &to[3 * m * c];
      stage_psi(at, c, m, &data_.y[r0], data_.size_at(r0), eta, l, l + m, l + 2 * m);
      for (Index i = 0; i < m && !constants.empty(); ++i) l[i] += constants[c * m + i];
    }
  }

  // dz, du and e along the parameter; the largest e
  double move(int direction, int t_row, int t_column) {
    const int q = Q ? Q : q_;
    double largest = along_psi_ >= 0 ? 1.0 : 0.0;
    const double* s_psi = along_psi_ >= 0 ? &psi_at[(3 * along_psi_ + 1) * m] : nullptr;
    std::fill(dz.begin(), dz.end(), 0.0);
    if (along_t_)
      for (Index i = 0; i < m; ++i) dz[i * q + t_column] = z(i)[t_row];
    Vec left(q);
    for (Index j = 0; j < count; ++j) {
      std::fill(left.begin(), left.end(), 0.0);
      for (Index i = first(j); i < first(j + 1); ++i) {
        e[i] = direction < p ? x[i * p + direction] : along_t_ ? dot(&dz[i * q], &u_[j * q], q) : 0.0;
        const double pull = k.d2[i] * e[i] + (s_psi ? s_psi[i] : 0.0);
        for (int a = 0; a < q; ++a) left[a] += dz[i * q + a] * k.d1[i] + k.zt[i * q + a] * pull;
      }
      for (int a = 0; a < q; ++a) du[j * q + a] = dot(&inverse[(j * q + a) * q], left.data(), q);
      for (Index i = first(j); i < first(j + 1); ++i) {
        e[i] += dot(&k.zt[i * q], &du[j * q], q);
        largest = std::max(largest, std::fabs(e[i]));
      }
    }
    return largest;
  }

  // up = derivatives of (d1, d2, d3) along e, psi_up = those of (l_psi, d1_psi, w_psi)
  void differences(double largest) {
    const double step = kReach / (largest > 0.0 ? largest : 1.0);
    for (int side = 0; side < 2; ++side) {
      const double by = side ? -step : step;
      Stage at = stage_;
      if (along_psi_ >= 0) at.psi[along_psi_] += by;
      for (Index i = 0; i < m; ++i) moved[i] = k.eta[i] + by * e[i];
      Vec& to = side ? down : up;
      stage_jets(at, m, &data_.y[r0], data_.size_at(r0), moved.data(), nullptr, to.data(), &to[m], &to[2 * m]);
      psi_rows(at, moved.data(), side ? psi_down : psi_up);
    }
    for (size_t i = 0; i < up.size(); ++i) up[i] = (up[i] - down[i]) / (2.0 * step);
    for (size_t i = 0; i < psi_up.size(); ++i) psi_up[i] = (psi_up[i] - psi_down[i]) / (2.0 * step);
  }

  // The tangent of one level's part of the gradient: v by row (for beta), t += for T, psi += for psi.
  void level(Index j, Vec& t, double* psi) {
    const int q = Q ? Q : q_;
    const double *inv = &inverse[j * q * q], *lj = &lam[j * q], *u = &u_[j * q], *duj = &du[j * q];
    const double *dd1 = up.data(), *dd2 = &up[m], *dd3 = &up[2 * m];
    std::fill(dm.begin(), dm.end(), 0.0);
    std::fill(drhs.begin(), drhs.end(), 0.0);
    for (Index i = first(j); i < first(j + 1); ++i) {
      const double *zt = &k.zt[i * q], *d = &dz[i * q];
      for (int a = 0; a < q; ++a)
        for (int c = 0; c < q; ++c) dm[a * q + c] -= dd2[i] * zt[a] * zt[c] + k.d2[i] * (d[a] * zt[c] + zt[a] * d[c]);
    }
    for (int a = 0; a < q; ++a)  // dP = -P dM P
      for (int c = 0; c < q; ++c) {
        double s = 0.0;
        for (int f = 0; f < q; ++f)
          for (int g = 0; g < q; ++g) s -= inv[a * q + f] * dm[f * q + g] * inv[g * q + c];
        dp[a * q + c] = s;
      }
    for (Index i = first(j); i < first(j + 1); ++i) {
      const double *zt = &k.zt[i * q], *d = &dz[i * q];
      double s = 2.0 * dot(d, &pz[i * q], q);
      for (int a = 0; a < q; ++a) s += zt[a] * dot(&dp[a * q], zt, q);
      dlev[i] = s;
      const double dc = -dd3[i] * k.lev[i] - k.d3[i] * s, c = -k.d3[i] * k.lev[i];
      for (int a = 0; a < q; ++a) drhs[a] += dc * zt[a] + c * d[a];
    }
    for (int a = 0; a < q; ++a) dlam[a] = dot(&dp[a * q], &rhs[j * q], q) + dot(inv + a * q, drhs.data(), q);
    for (Index i = first(j); i < first(j + 1); ++i) {
      const double *zt = &k.zt[i * q], *d = &dz[i * q];
      const double dpulled = dot(d, lj, q) + dot(zt, dlam.data(), q);
      const double dq = -dd3[i] * k.lev[i] - k.d3[i] * dlev[i] + dd2[i] * k.pulled[i] + k.d2[i] * dpulled;
      const double qi = -k.d3[i] * k.lev[i] + k.d2[i] * k.pulled[i];
      v[i] = dq - 2.0 * dd1[i];
      for (int a = 0; a < q; ++a) dpz[a] = dot(&dp[a * q], zt, q) + dot(inv + a * q, d, q);
      for (int a = 0; a < q; ++a)
        row[a] = v[i] * u[a] + (qi - 2.0 * k.d1[i]) * duj[a] + dd1[i] * lj[a] + k.d1[i] * dlam[a] - 2.0 * dd2[i] * pz[i * q + a] -
                 2.0 * k.d2[i] * dpz[a];
      for (int r = 0; r < q; ++r)
        for (int a = 0; a <= r; ++a) t[r * q + a] += z(i)[r] * row[a];
      for (int c = 0; c < n_psi; ++c) {
        const double *at = &psi_at[3 * m * c], *slope = &psi_up[3 * m * c];
        psi[c] += -2.0 * slope[i] + dlev[i] * at[2 * m + i] + k.lev[i] * slope[2 * m + i] + dpulled * at[m + i] + k.pulled[i] * slope[m + i];
      }
    }
  }

  const MixedRows& data_;
  const Stage& stage_;
  LaplaceRows& k;
  const int q_, p, nt, n_psi;
  const Index r0, m, j0, count;
  const double* u_;
  Vec x, inverse, lam, rhs, pz, e, dz, du, dlev, v, moved, up, down, psi_at, psi_up, psi_down;
  Vec dm, dp, drhs, dlam, dpz, row;  // of one level
  bool along_t_ = false;
  int along_psi_ = -1;  // which psi, negative for another parameter
};

}  // namespace

Vec LaplaceMixed::hessian(const Stage& stage, const double* vector, const std::vector<Index>& places) {
  return at_.unless_stopped([&] { return with_effects(data_.q, [&](auto size) { return hessian_of<size()>(stage, vector, places); }); });
}

template <int Q> Vec LaplaceMixed::hessian_of(const Stage& stage, const double* vector, const std::vector<Index>& places) {
  const int p = data_.p, q = Q ? Q : data_.q, nt = data_.nt, size_all = p + nt + stage.n_psi();
  const size_t count = places.size();
  const Vec t = unpack_t(vector + p, q);
  std::vector<int> rows_of, columns_of;  // of T's entries
  for (int c = 0; c < q; ++c)
    for (int r = c; r < q; ++r) {
      rows_of.push_back(r);
      columns_of.push_back(c);
    }
  std::vector<Vec> parts(data_.blocks());
  parallel_blocks(data_.blocks(), data_.threads, [&](Index b) {
    LaplaceRows rows;
    if (!at_.block<Q>(b, stage, vector, t, true, rows)) return;
    rows.size(static_cast<Index>(rows.eta.size()));
    Tangents<Q> tangents(data_, stage, at_.factor, at_.u, b, rows);
    parts[b].assign(count * count, 0.0);
    Vec column(size_all);
    for (size_t k = 0; k < count; ++k) {
      check_interrupt();
      const int direction = static_cast<int>(places[k]);
      const bool entry = direction >= p && direction < p + nt;
      std::fill(column.begin(), column.end(), 0.0);
      tangents.column(direction, entry ? rows_of[direction - p] : 0, entry ? columns_of[direction - p] : 0, column.data());
      for (size_t l = 0; l < count; ++l) parts[b][k * count + l] = column[places[l]];
    }
  });
  Vec total(count * count, 0.0);
  for (const auto& part : parts) {
    if (part.empty()) return Vec();
    for (size_t c = 0; c < total.size(); ++c) total[c] += part[c];
  }
  for (size_t a = 0; a < count; ++a)
    for (size_t c = 0; c < a; ++c) total[a * count + c] = total[c * count + a] = 0.5 * (total[a * count + c] + total[c * count + a]);
  return total;
}

}  // namespace glimm
