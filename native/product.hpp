// C += sign A B for large dense matrices: panels of A and B are packed, tiles of C are summed in registers (product.cpp).
#pragma once
#include <memory>
#include <mutex>
#include <vector>

#include "vmath.hpp"

namespace glimm {

// Element (i, j) is p[i * down + j * right]; a transpose swaps the two steps.
struct View {
  double* p;
  Index down, right;
  View at(Index i, Index j) const { return {p + i * down + j * right, down, right}; }
  View t() const { return {p, right, down}; }
};

// Space for packed panels, lent to one thread at a time.
class PackSpace {
 public:
  explicit PackSpace(Index side);  // for matrices with no more rows and columns than that
  struct Panels {
    std::unique_ptr<double[]> a, b;
  };
  Panels take();
  void give(Panels panels);

 private:
  size_t a_, b_;
  std::mutex mutex_;
  std::vector<Panels> free_;
};

// A is m x k, B is k x n. With `lower`, m = n and only the lower triangle of C is read and written.
// Every element is summed in the order of k, whatever the threads do.
void add_product(View c, View a, View b, Index m, Index n, Index k, double sign, bool lower, PackSpace& space, int threads);

}  // namespace glimm
