// An order of elimination that keeps the Cholesky factor of a sparse symmetric matrix sparse (ordering.cpp).
#pragma once
#include <vector>

#include "vmath.hpp"

namespace glimm {

// order[k] is the node eliminated k-th. Neighbours of node i are adjacent[starts[i]] .. adjacent[starts[i + 1] - 1], symmetric;
// weight[i] is the number of scalars of node i, 1 where weight is null. Nodes of one block of the factor come together.
std::vector<Index> minimum_degree(Index nodes, const std::vector<Index>& starts, const std::vector<std::int32_t>& adjacent, const std::int32_t* weight);

}  // namespace glimm
