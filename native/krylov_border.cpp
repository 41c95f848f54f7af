// A few effects c of small terms at the end of the others b: G = [G_b, S_bc; S_cb, S_cc] with diagonal blocks G_b alone, so
// G^-1 = [G_b^-1, 0; 0, 0] + V K V', V = [-G_b^-1 S_bc; I], K = (S_cc - S_cb G_b^-1 S_bc)^-1.
//
// Levels of a small term have many rows each, and are tied to everything: left to the diagonal they would cost many steps and much noise.
#include "krylov_block.hpp"

namespace glimm {

bool Krylov::prepare_border() {
  const Index size = rest(), c = border_, begin = size - c;
  border_v_.assign(static_cast<size_t>(size) * c, 0.0);
  Vec unit(static_cast<size_t>(size) * kWide), column(unit.size());
  for (Index first = 0; first < c; first += kWide) {
    const int some = static_cast<int>(std::min<Index>(kWide, c - first));
    std::fill(unit.begin(), unit.end(), 0.0);
    for (int k = 0; k < some; ++k) unit[(begin + first + k) * kWide + k] = 1.0;
    apply<kWide>(unit.data(), column.data());
    for (Index i = 0; i < size; ++i) std::copy(&column[i * kWide], &column[i * kWide] + some, &border_v_[i * c + first]);
  }
  Vec inner(border_v_.begin() + begin * c, border_v_.end()), u;  // S_cc - S_cb G_b^-1 S_bc
  for (std::int32_t j = lead_; j < border_node_; ++j) {
    const int qj = q(j);
    const double* g = &gi_[dp_[j] - dp_[lead_]];
    double* v = &border_v_[(first_[j] - sa_) * c];
    u.assign(static_cast<size_t>(qj) * c, 0.0);
    for (int a = 0; a < qj; ++a)
      for (int b = 0; b < qj; ++b) add_scaled(&u[a * c], g[a * qj + b], v + b * c, static_cast<int>(c));
    for (int a = 0; a < qj; ++a)
      for (Index r = 0; r < c; ++r) add_scaled(&inner[r * c], -v[a * c + r], &u[a * c], static_cast<int>(c));
    for (Index i = 0; i < qj * c; ++i) v[i] = -u[i];
  }
  for (Index r = 0; r < c; ++r)
    for (Index k = 0; k < c; ++k) border_v_[(begin + r) * c + k] = r == k ? 1.0 : 0.0;
  const int side = static_cast<int>(c);
  if (!cholesky(inner.data(), side, side)) return false;
  double logdet = 0.0;
  for (int r = 0; r < side; ++r) logdet += 2.0 * std::log(inner[r * side + r]);
  if (!std::isfinite(logdet)) return false;
  logdet_ += logdet;
  border_k_ = inverse_from_cholesky(inner.data(), side, side);
  border_l_ = std::move(inner);
  std::fill(gi_.begin() + (dp_[border_node_] - dp_[lead_]), gi_.end(), 0.0);
  active_ = c;
  return true;
}

template <int K> void Krylov::border_product(const double* r, double* out) const {
  const Index c = active_, size = rest();
  Vec along(static_cast<size_t>(c) * K, 0.0), solved(along.size(), 0.0);
  for (Index i = 0; i < size; ++i)
    for (Index b = 0; b < c; ++b) add_times<K>(&along[b * K], border_v_[i * c + b], r + i * K);
  for (Index a = 0; a < c; ++a)
    for (Index b = 0; b < c; ++b) add_times<K>(&solved[a * K], border_k_[a * c + b], &along[b * K]);
  for (Index i = 0; i < size; ++i)
    for (Index b = 0; b < c; ++b) add_times<K>(out + i * K, border_v_[i * c + b], &solved[b * K]);
}

// Behind the probes: columns whose products v z' are V K V', carried on to the leading term.
void Krylov::add_border_parts() {
  const Index c = active_, size = rest(), front = sa_ * kWide;
  const double whole = static_cast<double>(groups_ * kWide);  // parts are averaged over the probes
  std::vector<Vec> columns;
  for (Index first = 0; first < c; first += kWide) {
    Vec z(static_cast<size_t>(s_) * kWide, 0.0);
    for (Index i = 0; i < size; ++i)
      for (Index k = 0; k < std::min<Index>(kWide, c - first); ++k) z[front + i * kWide + k] = border_v_[i * c + first + k];
    carry_on(z);
    columns.push_back(std::move(z));
  }
  for (size_t g = 0; g < columns.size(); ++g) {
    Vec v(columns[g].size(), 0.0);
    for (int k = 0; k < kWide && static_cast<Index>(g) * kWide + k < c; ++k)
      for (Index b = 0; b < c; ++b) {
        const double times = whole * border_k_[b * c + static_cast<Index>(g) * kWide + k];
        const Vec& from = columns[b / kWide];
        for (Index i = 0; i < s_; ++i) v[i * kWide + k] += times * from[i * kWide + b % kWide];
      }
    v_.push_back(std::move(v));
  }
  for (Vec& z : columns) z_.push_back(std::move(z));
}

// tr (I - G^-1 S) = c - tr K V'SV: 0 without a border.
double Krylov::remainder() {
  const Index c = active_, size = rest();
  double trace = static_cast<double>(c);
  Vec columns(static_cast<size_t>(size) * kWide), moved(columns.size());
  for (Index first = 0; first < c; first += kWide) {
    const Index some = std::min<Index>(kWide, c - first);
    std::fill(columns.begin(), columns.end(), 0.0);
    for (Index i = 0; i < size; ++i)
      for (Index k = 0; k < some; ++k) columns[i * kWide + k] = border_v_[i * c + first + k];
    apply<kWide>(columns.data(), moved.data());
    for (Index i = 0; i < size; ++i)
      for (Index k = 0; k < some; ++k) trace -= moved[i * kWide + k] * dot(&border_v_[i * c], &border_k_[(first + k) * c], static_cast<int>(c));
  }
  return trace;
}

template void Krylov::border_product<1>(const double*, double*) const;
template void Krylov::border_product<2>(const double*, double*) const;
template void Krylov::border_product<4>(const double*, double*) const;
template void Krylov::border_product<kWide>(const double*, double*) const;

}  // namespace glimm
