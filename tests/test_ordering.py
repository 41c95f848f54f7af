"""Orders of elimination: entries of the Cholesky factor, counted by playing the elimination on sets of neighbours."""

import heapq

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import reverse_cuthill_mckee

from glimm.kernels import minimum_degree


def graph(nodes, edges):
    i, j = np.array(sorted({(min(e), max(e)) for e in edges}), dtype=np.int64).reshape(-1, 2).T
    out = coo_matrix((np.ones(2 * len(i)), (np.r_[i, j], np.r_[j, i])), shape=(nodes, nodes)).tocsr()
    out.sort_indices()
    return out


def ordered(g, weight=None):
    order = minimum_degree(g.indptr, g.indices, weight)
    assert sorted(order) == list(range(g.shape[0]))
    return order


def eliminate(neighbours, node):
    clique = neighbours.pop(node)
    for i in clique:
        neighbours[i] |= clique
        neighbours[i] -= {i, node}
    return clique


def sets(g):
    return {i: set(g.indices[g.indptr[i] : g.indptr[i + 1]].tolist()) for i in range(g.shape[0])}


def entries(g, order, weight=None):
    """Scalars below the diagonal of L in node-sized blocks."""
    weight = np.ones(g.shape[0]) if weight is None else weight
    neighbours = sets(g)
    return sum(weight[i] * sum(weight[j] for j in eliminate(neighbours, i)) for i in order)


def exact_minimum_degree(g):
    neighbours = sets(g)
    heap = [(len(c), i) for i, c in neighbours.items()]
    heapq.heapify(heap)
    order = []
    while heap:
        degree, i = heapq.heappop(heap)
        if i in neighbours and len(neighbours[i]) == degree:
            order.append(i)
            for j in eliminate(neighbours, i):
                heapq.heappush(heap, (len(neighbours[j]), j))
    return order


def grid(rows, columns):
    at = np.arange(rows * columns).reshape(rows, columns)
    return graph(rows * columns, [*zip(at[1:].flat, at[:-1].flat, strict=True), *zip(at[:, 1:].flat, at[:, :-1].flat, strict=True)])


def crossed(first, second, pairs, seed=1):
    rng = np.random.default_rng(seed)
    return graph(first + second, zip(rng.integers(0, first, pairs), first + rng.integers(0, second, pairs), strict=True))


def test_a_grid_has_little_more_fill_than_under_an_exact_minimum_degree_and_less_than_in_a_band():
    g = grid(60, 60)
    fill = entries(g, ordered(g))
    assert fill <= 1.1 * entries(g, exact_minimum_degree(g))
    assert fill <= 0.6 * entries(g, reverse_cuthill_mckee(g, symmetric_mode=True))


@pytest.mark.parametrize(("first", "second", "pairs"), [(2000, 40, 12000), (600, 300, 2500), (3000, 6, 9000), (400, 400, 1200)])
def test_two_crossed_factors_have_little_more_fill_than_under_an_exact_minimum_degree(first, second, pairs):
    g = crossed(first, second, pairs)
    assert entries(g, ordered(g)) <= 1.15 * entries(g, exact_minimum_degree(g))


@pytest.mark.parametrize(
    "edges",
    [
        [(0, i) for i in range(1, 500)],
        [(i, i + 1) for i in range(499)],
        [((i - 1) // 2, i) for i in range(1, 500)],
        [(i // 20 * 20, i) for i in range(500) if i % 20],
        [],
    ],
    ids=["star", "path", "tree", "stars", "no edges"],
)
def test_a_forest_has_no_fill(edges):
    g = graph(500, edges)
    assert entries(g, ordered(g)) == len(edges)


def test_cliques_that_share_nodes_in_a_chain_have_no_fill():
    g = graph(120, [(i, j) for s in range(0, 110, 10) for i in range(s, s + 20) for j in range(s, i)])
    assert entries(g, ordered(g)) == g.nnz // 2


def test_parts_that_are_not_connected_fill_as_they_would_alone():
    one, two = grid(12, 12), crossed(80, 10, 240)
    rows, columns = two.nonzero()
    both = graph(
        one.shape[0] + two.shape[0], [*zip(*one.nonzero(), strict=True), *zip(rows + one.shape[0], columns + one.shape[0], strict=True)]
    )
    alone = entries(one, exact_minimum_degree(one)) + entries(two, exact_minimum_degree(two))
    assert entries(both, ordered(both)) <= 1.1 * alone


def test_degrees_count_scalars():
    g = graph(4, [(0, 1), (1, 2), (2, 3), (3, 0)])
    weight = np.array([1, 9, 1, 9])
    assert entries(g, ordered(g, weight), weight) == min(entries(g, p, weight) for p in ([0, 2, 1, 3], [1, 3, 0, 2]))
    assert entries(g, ordered(g, weight[::-1]), weight[::-1]) == min(entries(g, p, weight[::-1]) for p in ([0, 2, 1, 3], [1, 3, 0, 2]))


def test_a_complete_graph_and_one_node():
    g = graph(300, [(i, j) for i in range(300) for j in range(i)])
    assert entries(g, ordered(g)) == 300 * 299 // 2
    assert list(minimum_degree(np.array([0, 0]), np.array([], dtype=np.int32))) == [0]
    assert len(minimum_degree(np.array([0]), np.array([], dtype=np.int32))) == 0


def test_the_order_is_the_same_every_time():
    g = crossed(500, 60, 3000)
    assert np.array_equal(ordered(g), ordered(g))


def test_neighbours_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        minimum_degree(np.array([0, 1, 2]), np.array([1, 2]))
