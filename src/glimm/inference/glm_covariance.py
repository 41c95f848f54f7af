"""Covariance matrices of a GLM: phi M, M X'diag(s^2)X M with or without leverages, and M (sum U U') M by clusters.

HC1: n / (n - p); HC2, HC3: s^2 / (1 - h), s^2 / (1 - h)^2; jackknife: (n - p) / n times HC3, the one-step change without each row.
Sampling weights: n / (n - 1) times HC0, linearisation. A frequency weight w stands for w rows: s^2 / w, leverage h / w, n = sum w.
Source: MacKinnon and White (1985), J. Econometrics 29, 305-325; Cameron, Gelbach and Miller (2011), J. Bus. Econ. Stat. 29, 238-249;
Binder (1983), Int. Stat. Rev. 51, 279-292.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, Final, NamedTuple

import numpy as np

from ..covariance.working import Independence
from ..design.clusters import gather, row_codes
from ..design.records import Clusters, Design
from ..design.stream import StreamedDesign, need_rows
from ..errors import GlimmError, NotYetError, suggest
from ..estimators import glm as glm_estimator
from ..family import Family
from ..kernels import Rows
from ..kernels.matrix import Floats, Ints
from ..records import GeeRecord, GlmRecord
from .degrees_of_freedom import Degrees
from .small_sample import KINDS, errors_of

HC: Final = ("HC0", "HC1", "HC2", "HC3")
JACKKNIVES: Final = ("jackknife", "full_jackknife")
FACTORS: Final = {
    "CR1": "K / (K - 1)",
    "CR1p": "K / (K - p)",
    "CR1S": "K / (K - 1) (n - 1) / (n - p)",
}
"""Small-sample factors of cluster-robust covariances; True is CR1S."""
CORRECTIONS: Final = tuple(kind for kind in KINDS if kind not in ("robust", "model", "df"))
DF: Final = ("normal", "n_minus_p", "k_minus_1", "k_minus_p")
LINEARISED: Final = "survey linearisation"
LARGEST_ROOT: Final = 1e150


class Asked(NamedTuple):
    """What vcov= asks for.

    kind : "model", one of HC or JACKKNIVES, "cluster"; clusters : columns; small : of FACTORS or CORRECTIONS, "" for none
    df : of DF, a number, or "" for the usual one
    """

    kind: str
    clusters: tuple[str, ...] = ()
    small: str = ""
    df: str | float = ""


class Found(NamedTuple):
    """work : (p, p) of the working coefficients; label; df : None for the normal; degrees : of each contrast; notes : for a table."""

    work: Floats
    label: str
    df: float | None
    degrees: Degrees | None = None
    notes: tuple[str, ...] = ()


def asked_of(vcov: Any) -> Asked:
    """vcov= of a GLM, checked; raises GlimmError for another one."""
    if isinstance(vcov, str):
        if vcov not in ("model", *HC, *JACKKNIVES):
            raise GlimmError(f"vcov={vcov!r} is not a covariance of a GLM: use {_choices()}")
        return Asked(vcov)
    if not isinstance(vcov, Mapping):
        raise GlimmError(f"vcov must be {_choices()}, not {type(vcov).__name__}")
    if ("cluster" in vcov) == ("type" in vcov) or not set(vcov) <= {"cluster", "type", "small", "df"}:
        raise GlimmError(
            f"vcov={dict(vcov)!r} is not a covariance of a GLM: a mapping has 'cluster' and may have 'small' and 'df', or has 'type' and "
            "'df', such as {'cluster': 'id', 'small': True} or {'type': 'HC3', 'df': 'normal'}"
        )
    if "type" in vcov:
        if "small" in vcov:
            raise GlimmError("vcov: 'small' is a factor of errors by cluster: name the clusters, {'cluster': 'id', 'small': True}")
        return Asked(asked_of(vcov["type"] if isinstance(vcov["type"], str) else str(vcov["type"])).kind, df=_df(vcov, 0))
    names = _names(vcov["cluster"])
    return Asked("cluster", names, _small(vcov.get("small", False), names), _df(vcov, len(names)))


def _choices() -> str:
    return "'model', 'HC0', 'HC1', 'HC2', 'HC3', 'jackknife', 'full_jackknife' or {'cluster': 'column'}"


def _names(given: Any) -> tuple[str, ...]:
    """The columns that clusters are in."""
    names = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, list | tuple) else ()
    if not names or not all(isinstance(name, str) for name in names):
        what = "an empty list" if isinstance(given, list | tuple) and not names else type(given).__name__
        raise GlimmError(f"vcov: 'cluster' must name a column, {{'cluster': 'id'}}, or two, {{'cluster': ['a', 'b']}}, not {what}")
    if len(names) > 2:
        raise NotYetError(f"vcov: clusters in {len(names)} directions are not in this release: name one column or two")
    if len(set(names)) < len(names):
        raise GlimmError(f"vcov: 'cluster' names {names[0]!r} twice: name it once")
    return names


def _small(given: Any, names: tuple[str, ...]) -> str:
    """The name of a small-sample factor or correction."""
    if isinstance(given, bool | np.bool_):
        return "CR1S" if given else ""
    known = (*FACTORS, *CORRECTIONS)
    if not isinstance(given, str) or given not in known:
        near = f": {suggest(given, known)}" if isinstance(given, str) else f", or one of {', '.join(known)}"
        raise GlimmError(f"vcov: 'small' must be True or False, or a name, not {given!r}{near}")
    if given in CORRECTIONS and len(names) > 1:
        raise NotYetError(f"vcov: 'small': {given!r} is there for clusters in one direction: name one column, or use 'CR1', 'CR1p', 'CR1S'")
    return given


def _df(vcov: Mapping[str, Any], directions: int) -> str | float:
    """The degrees of freedom asked for."""
    given = vcov.get("df", "")
    if isinstance(given, Real) and not isinstance(given, bool) and float(given) > 0.0:
        return float(given)
    if not (given == "" or (isinstance(given, str) and given in DF)):
        raise GlimmError(f"vcov: 'df' must be one of {', '.join(DF)}, or a positive number, not {given!r}")
    if str(given).startswith("k_") and directions == 0:
        raise GlimmError(f"vcov: 'df': {given!r} counts clusters, and there are none: use 'n_minus_p' or 'normal'")
    return str(given)


def check_robust(family: Family, asked: Asked) -> None:
    """Raises NotYetError for a robust covariance of a GLM whose family has none."""
    if not family.orthogonal and asked.kind != "model":
        own = f" and {', '.join(family.estimated)}" if family.free else ""
        raise NotYetError(
            f"vcov={asked.kind!r} is not there for family {family.name!r}, whose coefficients{own} are estimated together: "
            f"use vcov='model', or dispersion='~ 1', the same model, which has 'HC0' and {{'cluster': 'column'}}"
        )
    if family.shaped and (asked.kind == "full_jackknife" or asked.small == "full_jackknife"):
        raise NotYetError(
            f"vcov='full_jackknife' is not there for family {family.name!r} with an estimated {', '.join(family.estimated)}: "
            "use 'jackknife', which takes one step from the estimates"
        )


def glm_covariance(record: GlmRecord, vcov: Any) -> Found:
    """The covariance that vcov= asks for; raises GlimmError for one that the fit cannot have."""
    asked, design = asked_of(vcov), record.design
    check_robust(record.family, asked)
    if asked.kind == "cluster":
        found = _clustered(record, asked)
    elif asked.kind == "full_jackknife":
        found = _of_gee(record, _each_row(design), "full_jackknife")
    elif asked.kind == "model" and not surveyed(design):
        usual = float(design.nobs - design.mean.matrix.p) if record.scale_rule.estimated(record.family) else None
        found = Found(record.scale * record.bread, "model-based", usual)
    else:
        found = _by_row(record, asked.kind)
    return found if asked.df == "" else found._replace(df=_degrees(record, asked), degrees=None)


def surveyed(design: Design) -> bool:
    """Whether rows were drawn with unequal probabilities."""
    return design.weights is not None and design.weights_kind == "sampling"


def _degrees(record: GlmRecord, asked: Asked) -> float | None:
    """The degrees of freedom by name."""
    design, p = record.design, record.design.mean.matrix.p
    if not isinstance(asked.df, str):
        return asked.df
    if asked.df == "normal":
        return None
    if asked.df == "n_minus_p":
        rows = float(design.nobs - p)
    else:
        fewest = min(len(known_clusters(design, name).levels) for name in asked.clusters)
        rows = float(fewest - (1 if asked.df == "k_minus_1" else p))
    if rows <= 0:
        raise GlimmError(f"vcov: 'df': {asked.df!r} leaves {rows:g} degrees of freedom: use 'normal', or fewer predictors")
    return rows


def known_clusters(design: Design, name: Any) -> Clusters:
    """The clusters of a column that was named at the door; raises GlimmError for another."""
    if name not in design.clusters:
        given = repr(name) if isinstance(name, str) else type(name).__name__
        raise GlimmError(f"vcov: the fit has not kept clusters of {given}: name the column at the door, vcov={{'cluster': 'column'}}")
    return design.clusters[name]


def cluster_work(record: GlmRecord, clusters: Clusters) -> Floats:
    """(p, p) cluster-robust covariance of the working coefficients."""
    return _one_way(record, clusters, "")


def _usual(record: GlmRecord) -> float | None:
    return float(record.design.nobs - record.design.mean.matrix.p) if record.scale_rule.estimated(record.family) else None


def _clustered(record: GlmRecord, asked: Asked) -> Found:
    clusters = [known_clusters(record.design, name) for name in asked.clusters]
    if asked.small in CORRECTIONS:
        return _of_gee(record, clusters[0], asked.small)
    cov, repaired = _by_clusters(record, clusters, asked.small)
    factor = {"": "", "CR1S": " (small-sample factor)"}.get(asked.small, f" ({asked.small}, factor {FACTORS.get(asked.small, '')})")
    label = f"cluster-robust by {' and '.join(asked.clusters)}{factor}" + ("; negative eigenvalues set to zero" if repaired else "")
    return Found(cov, label, _usual(record))


def _of_gee(record: GlmRecord, clusters: Clusters, kind: str) -> Found:
    """A correction for few clusters: the GLM is the GEE of the same clusters under working independence."""
    need_rows(record.design)
    family, psi = record.family, record.vector[record.blocks.get("family", slice(0, 0))]
    if len(psi) and family.shaped:
        values = dict(zip(family.free, family.natural(psi)[0].tolist(), strict=True))
        family = replace(family, fixed=tuple(values.get(k) for k in range(len(family.parameters))))
    gee = GeeRecord(
        design=replace(record.design, clusters={clusters.name: clusters}),
        family=family,
        vector=record.vector[record.blocks["mean"]],
        blocks={"mean": record.blocks["mean"]},
        bread=record.bread,
        eta=record.eta,
        working=Independence(),
        alpha=np.zeros(0),
        moments="standard",
        scale=record.scale,
        solution=record.solution,
        version=record.version,
    )
    found = errors_of(gee, kind)
    label = found.label.replace("robust", "cluster-robust", 1) if clusters.name != EACH_ROW else "jackknife, refitted without each row"
    return Found(found.work, label, found.df, found.degrees, found.notes)


EACH_ROW: Final = "row"


def _each_row(design: Design) -> Clusters:
    need_rows(design)
    if design.counted:
        raise NotYetError("vcov='full_jackknife' is not there with frequency weights, whose rows stand for several: use 'jackknife'")
    rows = np.arange(design.n, dtype=np.int64)
    return Clusters(EACH_ROW, rows, rows, np.arange(design.n + 1, dtype=np.int64))


def _by_clusters(record: GlmRecord, clusters: Sequence[Clusters], small: str) -> tuple[Floats, bool]:
    """One-way, or two-way as V_a + V_b - V_ab, its negative eigenvalues set to zero (Cameron, Gelbach and Miller 2011)."""
    if len(clusters) == 1:
        return _one_way(record, clusters[0], small), False
    crossed, codes = _crossed(record.design, clusters[0], clusters[1])
    cov = _one_way(record, clusters[0], small) + _one_way(record, clusters[1], small) - _one_way(record, crossed, small, codes)
    if not np.all(np.isfinite(cov)):
        return cov, False
    w, q = np.linalg.eigh(cov)
    if w[0] >= -1e-12 * w[-1]:
        return cov, False
    return np.asarray((q * np.maximum(w, 0.0)) @ q.T), True


def _crossed(design: Design, a: Clusters, b: Clusters) -> tuple[Clusters, Callable[[Design], Ints] | None]:
    """The combinations of two clusterings; of rows that are not held, what tells them in a part."""
    if not isinstance(design, StreamedDesign):
        pairs, refs = np.unique(row_codes(a) * len(b.levels) + row_codes(b), return_inverse=True)
        order, starts = gather(refs.astype(np.int32), len(pairs), None)
        return Clusters("pair", pairs, order, starts), None

    def both(part: Design) -> Ints:
        return np.asarray(part.beside[a.name] * len(b.levels) + part.beside[b.name], dtype=np.int64)

    pairs = np.zeros(0, dtype=np.int64)
    for part in design.stream.parts(design):
        pairs = np.union1d(pairs, both(part))
    nowhere = np.zeros(0, dtype=np.int64)
    return Clusters("pair", pairs, nowhere, nowhere), lambda part: np.searchsorted(pairs, both(part))


def _one_way(record: GlmRecord, clusters: Clusters, small: str, codes: Callable[[Design], Ints] | None = None) -> Floats:
    n, p, k = record.design.nobs, len(record.bread), len(clusters.levels)
    factor = 1.0
    if small == "CR1S":
        _rows_left(n, p, "'small'", "leave it out")
        factor = k / (k - 1.0) * (n - 1.0) / (n - p)
    elif small == "CR1p":
        if k <= p:
            raise GlimmError(f"vcov: the factor K / (K - p) of CR1p does not exist for {k} clusters and {p} coefficients: use 'CR1'")
        factor = k / (k - float(p))
    elif small == "CR1":
        factor = k / (k - 1.0)
    return factor * _sandwich(record.bread, (u for _, u in glm_estimator.pieces(record, clusters, codes=codes)))


def _sandwich(bread: Floats, scores: Iterable[Floats]) -> Floats:
    """M (sum U U') M as sum (M U)(M U)', which no rounding makes negative."""
    return sum((moved.T @ moved for moved in (u @ bread for u in scores)), np.zeros_like(bread))


def _by_row(record: GlmRecord, kind: str) -> Found:
    """Sandwiches of single rows."""
    design, part = record.design, record.design.mean
    n, p = design.nobs, part.matrix.p
    meat = np.zeros((p, p))
    for piece, eta in glm_estimator.etas_of(record)():
        columns = piece.mean.matrix, part.center, part.scale
        d1, w = glm_estimator.part_terms(record, piece, eta)
        copies = piece.weights if design.counted else None
        d1 = np.where(np.abs(d1) < LARGEST_ROOT, d1, np.nan)
        weights = d1**2 if copies is None else d1**2 / copies
        if kind in ("HC2", "HC3", "jackknife"):
            h = Rows(*columns).leverages(w, record.bread)
            if copies is not None:
                h = h / copies
            if np.any(h > 1.0 - 1e-10):
                row = int(piece.rows[int(np.argmax(h))])
                raise GlimmError(
                    f"{kind} does not exist: row {row} (counting from 0) has leverage 1, it alone determines a coefficient: "
                    "use vcov='model'"
                )
            weights = weights / (1.0 - h) ** (1 if kind == "HC2" else 2)
        meat += Rows(*columns, size=weights).gram()
    factor, usual = 1.0, _usual(record)
    if kind in ("HC1", "jackknife"):
        _rows_left(n, p, kind, "use HC0")
        factor = n / (n - p) if kind == "HC1" else (n - p) / n
    if kind == "jackknife":
        usual = float(n - p)
    label = {"jackknife": "robust (one-step jackknife)", "model": f"robust ({LINEARISED} of sampling weights)"}
    if kind == "model":
        if n < 2:
            raise GlimmError("vcov: linearisation divides by n - 1, and there is one row: nothing is known of how rows vary")
        factor = n / (n - 1.0)
    return Found(factor * _around(record.bread, meat), label.get(kind, f"heteroscedasticity-robust ({kind})"), usual)


def _around(bread: Floats, meat: Floats) -> Floats:
    """M B M as a square, which no rounding makes negative."""
    if not (np.isfinite(meat).all() and np.isfinite(bread).all()):
        return np.full_like(bread, np.nan)
    values, vectors = np.linalg.eigh(meat)
    root = bread @ (vectors * np.sqrt(np.maximum(values, 0.0)))
    if np.abs(root).max(initial=0.0) > LARGEST_ROOT:
        return np.full_like(bread, np.nan)  # its square overflows
    return np.asarray(root @ root.T)


def _rows_left(n: int, p: int, factor: str, remedy: str) -> None:
    if n <= p:
        raise GlimmError(f"vcov: the factor of {factor} does not exist for {n} rows and {p} coefficients, none are left: {remedy}")
