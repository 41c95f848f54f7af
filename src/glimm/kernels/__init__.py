"""Typed doors to the compiled kernels: shapes and dtypes are settled here, nowhere else."""

from .association import MOST_ROWS, AssociationPass, Pairs, association_pass, odds_cells, odds_matrix
from .dense import blocked_cholesky, blocked_inverse, inverse, inverse_or_nan, log_determinant, positive_definite, positive_solve, solve
from .families import constant, dispersion_terms, inverse_link, jets, link, mean, psi_jets, unit_deviance, variance, working
from .gee import NO_PAIRS, GeePass, PairSums, Whitening, gee_pass, inner_sums, lag_sums, pair_sums, wave_sums
from .krylov import How, KrylovLaplace, KrylovLinear
from .matrix import Block, Bools, Codes, Floats, Index, Ints, Matrix, Singles, SparseColumn, Stored, StoredBlock, block_of, wide
from .mixed import LinearMixed, LmmEvaluation, MixedEvaluation, MixedModel
from .newton import Limits, Optimum, minimise
from .ordering import minimum_degree
from .parts import pair, parts_jets
from .rows import GlmPass, Rows, column_squares, column_sums
from .sparse import Directions, SparseLaplace, SparseLinear, SparseLmm, SparseMixed, SparseTerm, elimination_cost

__all__ = [
    "MOST_ROWS",
    "NO_PAIRS",
    "AssociationPass",
    "Block",
    "Bools",
    "Codes",
    "Directions",
    "Floats",
    "GeePass",
    "GlmPass",
    "How",
    "Index",
    "Ints",
    "KrylovLaplace",
    "KrylovLinear",
    "Limits",
    "LinearMixed",
    "LmmEvaluation",
    "Matrix",
    "MixedEvaluation",
    "MixedModel",
    "Optimum",
    "PairSums",
    "Pairs",
    "Rows",
    "Singles",
    "SparseColumn",
    "SparseLaplace",
    "SparseLinear",
    "SparseLmm",
    "SparseMixed",
    "SparseTerm",
    "Stored",
    "StoredBlock",
    "Whitening",
    "association_pass",
    "block_of",
    "blocked_cholesky",
    "blocked_inverse",
    "column_squares",
    "column_sums",
    "constant",
    "dispersion_terms",
    "elimination_cost",
    "gee_pass",
    "inner_sums",
    "inverse",
    "inverse_link",
    "inverse_or_nan",
    "jets",
    "lag_sums",
    "link",
    "log_determinant",
    "mean",
    "minimise",
    "minimum_degree",
    "odds_cells",
    "odds_matrix",
    "pair",
    "pair_sums",
    "parts_jets",
    "positive_definite",
    "positive_solve",
    "psi_jets",
    "solve",
    "unit_deviance",
    "variance",
    "wave_sums",
    "wide",
    "working",
]
