// A chunk of rows column by column: X'v and X'WX of it, sums of products in registers, codes by their levels.
//
// X'WX is gathered in an order of its own, dense columns first, in rows `side()` long; finish() puts it in the order of the columns.
#pragma once
#include "lanes.hpp"
#include "rows.hpp"

namespace glimm {

constexpr Index kMostChunk = 512;  // rows

class Columns {
 public:
  explicit Columns(const Rows& rows);

  // What one thread works with; a chunk is open from one open() to the next.
  struct Space {
    Vec x, across, weighted;
    std::vector<int> first, at;  // of each row the entries that are not dense: their own positions and values
    Vec value;
    Index r0 = 0, m = 0, stride = 0;
  };

  // m <= kMostChunk rows from position r0
  void open(Index r0, Index m, Space& s) const;
  void transpose_times(const Space& s, const double* v, double* g) const;  // adds; g in the order of the columns
  void cross(Space& s, const double* w, double* h) const;                  // adds to the lower triangle; w null: 1

  int side() const { return width_ + others_; }
  void finish(const double* h, double* out) const;  // p x p, symmetric

  // Partial matrices are summed by block: blocks are larger than the matrix is wide.
  Index block_rows(Index smallest) const { return smallest * std::max<Index>(1, rows_.p / 256); }

 private:
  void open_others(Space& s) const;

  const Rows& rows_;
  bool coded_;      // indicators by their levels, not as dense columns
  int dense_ = 0, width_ = 0, others_ = 0;
  std::vector<int> place_;  // column of each own position, -1: none
  std::vector<int> level_, column_;  // first own position of each indicator, own position of each sparse column
};

}  // namespace glimm
