"""The response against its family: more or less variation than it allows, more zeros, rows and clusters that do not fit, Laplace.

Dispersion: X^2 = sum r_i^2 on n - p - sum w_i z_i'V z_i degrees of freedom, V the conditional variances of the effects.
Source: McCullagh and Nelder (1989), section 4.5; Spiegelhalter et al. (2002), J. R. Stat. Soc. B 64, 583-639 (effective parameters).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..inference.criteria import linear_predictor, own_psi
from ..inference.distributions import parameter_values
from ..inference.known_clusters import observed_weights
from ..inference.laplace import leading_error
from ..kernels import Rows, mean, working
from ..kernels.matrix import Floats
from ..records import GeeRecord, GlmRecord, MixedRecord, Record
from ..text import figures, listed
from .findings import Finding
from .outlying import outlying, outlying_rows
from .sight import Sight

CERTAIN = 4.0
OVER, UNDER = 1.25, 0.75
ZEROS = 1.15
LEAST_DF = 10.0
FEW = 3
LARGE_ERROR, SLIGHT = 0.02, 1.0
UNTRUSTED = (
    "The robust standard errors do not rest on the family's variance, and stand. Predicted chances of single values, prediction intervals "
    "and log L do rest on it."
)


def responses(sight: Sight) -> Iterator[Finding]:
    """Findings about the response; nothing where the fit has failed."""
    yield from approximation(sight)
    yield from two_values(sight)
    if not sight.usable:
        return
    far = outlying(sight)
    spread = list(dispersion(sight, {row for _, row in far}))
    yield from spread
    if far and not spread:
        yield outlying_rows(sight, far)


def two_values(sight: Sight) -> Iterator[Finding]:
    """A response of 0 and 1 under a normal distribution."""
    record = sight.record
    if record.family.name != "gaussian" or not np.isin(record.design.y, (0.0, 1.0)).all() or len(record.design.y) == 1:
        return
    share = float(record.design.y.mean())
    yield Finding(
        "binary_as_gaussian",
        "note",
        f"{record.design.response.name} is 0 or 1 in all {record.design.n} rows (1 in {100.0 * share:.3g} %), and the family is gaussian.",
        "Coefficients are differences of probabilities, and fitted values may leave 0 to 1. The variance of a 0 or 1 depends on its mean, "
        "so standard errors that trust one variance are off.",
        'Fit family="binomial" (fit.effect() gives differences of probabilities there), or keep it with robust standard errors.',
        {"share": share, "rows": record.design.n},
    )


def dispersion(sight: Sight, far: set[int]) -> Iterator[Finding]:
    """Counts and proportions that vary otherwise than their family says; not where a few rows `far` out are all of it."""
    record = sight.record
    counts = record.family.support == "count"
    if isinstance(record, GeeRecord) or not (counts or record.design.trials is not None) or record.design.weights is not None:
        return
    if isinstance(record, GlmRecord) and record.scale_rule.estimated(record.family):
        return  # the standard errors have it
    found = ratio(sight)
    if (
        found is not None
        and found[0] > OVER
        and len(far) <= FEW
        and (found[0] - float(np.sum(sight.pearson[list(far)] ** 2)) / found[2]) < OVER
    ):
        found = None
    zeros = zero_counts(sight) if counts else None
    if found is not None and found[0] > OVER and found[1] > CERTAIN:
        explained = zeros is None or zeros[0] <= ZEROS * zeros[1] or explained_by_spread(sight, zeros[0])
        if explained:
            yield overdispersed(sight, *found)
            return
    if zeros is not None and zeros[0] > ZEROS * zeros[1] and zeros[2] > CERTAIN:
        yield zero_inflated(sight, *zeros)
    elif found is not None and found[0] > OVER and found[1] > CERTAIN:
        yield overdispersed(sight, *found)
    elif found is not None and found[0] < UNDER and found[1] < -CERTAIN:
        yield underdispersed(sight, *found)


def ratio(sight: Sight) -> tuple[float, float, float] | None:
    """X^2 / df, how many standard deviations it is from 1, and df; None where that says nothing."""
    record = sight.record
    r2 = sight.pearson**2
    df = record.design.n - record.design.mean.matrix.p - used_by_effects(sight)
    if not df >= LEAST_DF or not np.isfinite(r2).all():
        return None
    x2 = float(r2.sum())
    return x2 / df, (x2 - df) / float(np.sqrt(np.sum(2.0 + excess(sight)) * df / record.design.n)), df


def used_by_effects(sight: Sight) -> float:
    """sum w_i z_i'V z_i: degrees of freedom that the random effects take up; NaN where V is not at hand."""
    record = sight.mixed
    if record is None:
        return 0.0
    if sight.posterior is None:
        return np.nan
    w = observed_weights(record)
    total = 0.0
    for term, v in zip(sight.terms, sight.posterior, strict=True):
        total += float(np.sum(w * np.einsum("ia,iab,ib->i", term.z, v[term.places], term.z)))
    return total


def excess(sight: Sight) -> Floats:
    """(n,) excess kurtosis of the responses, which the variance of r^2 has beside 2."""
    mu, family = sight.mu, sight.record.family
    if family.name == "binomial":
        t = sight.record.design.trials
        v = np.maximum(mu * (1.0 - mu), 1e-12)
        return np.asarray((1.0 - 6.0 * v) / (v * (1.0 if t is None else t)))
    small = 1.0 / np.maximum(mu, 1e-12)
    if family.name == "negative_binomial":
        k = parameter_values(sight.record)["k"]
        return np.asarray(6.0 / k + small * k / (k + mu))
    if family.name == "negative_binomial1":
        a = parameter_values(sight.record)["alpha"]
        return np.asarray(small * (1.0 + 6.0 * a * (1.0 + a)) / (1.0 + a))
    return np.asarray(small)


def zero_counts(sight: Sight) -> tuple[int, float, float] | None:
    """Zeros seen, zeros expected, and by how many standard deviations they differ."""
    record, d = sight.record, sight.distribution
    if d is None:
        return None
    eta, values = linear_predictor(record), parameter_values(record)
    one = np.ones(record.design.n)
    if sight.mixed is None:
        p0 = d.below(np.zeros_like(eta), sight.mu, values, one, one)
        drift = used_by_coefficients(sight, p0) if isinstance(record, GlmRecord) else 0.0
    else:
        if sight.posterior is None:
            return None
        p0, drift = expected_zeros(sight, eta), 0.0
    seen, expected = int(np.sum(record.design.y == 0.0)), float(p0.sum())
    spread = float(np.sum(p0 * (1.0 - p0))) - drift
    return (seen, expected, (seen - expected) / np.sqrt(spread)) if spread > 0.0 else None


def used_by_coefficients(sight: Sight, p0: Floats) -> float:
    """c'I^-1 c, c = Cov(zeros, score) = sum p0 s(0) x: what estimating beta takes from the variance of the number of zeros."""
    record = sight.record
    assert isinstance(record, GlmRecord)
    part, design = record.design.mean, record.design
    zero = np.zeros(design.n)
    _, d1, _ = working(record.family.kernel, part.link.kernel, zero, record.eta, None, own_psi(record))
    x = _column_sums(sight, p0 * d1)
    return float(x @ record.bread @ x) if np.isfinite(record.bread).all() else 0.0


def _column_sums(sight: Sight, weights: Floats) -> Floats:
    part, n = sight.record.design.mean, sight.record.design.n
    return np.asarray(Rows(part.matrix, part.center, part.scale).cluster_scores(weights, np.array([0, n], dtype=np.int64))[0])


def expected_zeros(sight: Sight, eta: Floats) -> Floats:
    """(n,) P(Y = 0) averaged over what is known of the effects, N(b, V), by seven points."""
    record, d = sight.record, sight.distribution
    assert sight.posterior is not None
    assert d is not None
    variance = np.zeros(len(eta))
    for term, v in zip(sight.terms, sight.posterior, strict=True):
        variance += np.einsum("ia,iab,ib->i", term.z, v[term.places], term.z)
    nodes, weights = np.polynomial.hermite_e.hermegauss(7)
    values, one, zero = parameter_values(record), np.ones(len(eta)), np.zeros(len(eta))
    out = np.zeros(len(eta))
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        mu = mean(record.design.mean.link.kernel, eta + node * np.sqrt(np.maximum(variance, 0.0)))[0]
        out += weight * d.below(zero, np.where(d.possible(mu), mu, sight.mu), values, one, one)
    return out


def explained_by_spread(sight: Sight, seen: int) -> bool:
    """Whether a negative binomial with the spread that is seen expects about as many zeros."""
    y, mu = sight.record.design.y, np.maximum(sight.mu, 1e-12)
    if sight.record.family.name != "poisson":
        return True
    inverse_k = float(np.sum((y - mu) ** 2 - mu)) / float(np.sum(mu**2))
    if not inverse_k > 0.0:
        return True
    k = 1.0 / inverse_k
    p0 = (k / (k + mu)) ** k
    return (seen - float(p0.sum())) / float(np.sqrt(np.sum(p0 * (1.0 - p0)))) < CERTAIN or seen < ZEROS * float(p0.sum())


def named(record: Record) -> str:
    """The family's name in a sentence."""
    return "Poisson" if record.family.name == "poisson" else record.family.name.replace("_", " ")


def _df(df: float) -> str:
    return str(round(df)) if df == round(df) else figures(df, 4)


def overdispersed(sight: Sight, value: float, z: float, df: float) -> Finding:
    """More variation than the family has."""
    record = sight.record
    inside = " around the means of their clusters" if sight.mixed is not None else ""
    ways = []
    if record.family.name == "poisson":
        ways.append('family="negative_binomial"')
    if record.design.trials is not None:
        ways.append("a random effect for every row, (1 | row) with a column of row numbers,")
    if isinstance(record, GlmRecord):
        ways.append('standard errors that allow it, scale="pearson", vcov="HC1" or vcov={"cluster": ...}')
    trusted = sight.trusts_variance
    return Finding(
        "overdispersed",
        "warning" if trusted else "note",
        f"{'Proportions' if record.design.trials is not None else 'Counts'} vary {figures(value, 3)} times as much{inside} as "
        f"{named(record)} ones (Pearson chi-squared {figures(value * df, 4)} on {_df(df)} degrees of freedom).",
        f"Standard errors are too small by a factor of about {figures(float(np.sqrt(value)), 3)}, p-values too small with them."
        if trusted
        else UNTRUSTED,
        (f"Use {listed(ways, 'or')}." if ways else "Look for a predictor that is missing, or rows that belong together.")
        if trusted
        else "Nothing, where coefficients and their errors are what is asked for.",
        {"dispersion": value, "z": z, "df": df},
        min(z, 100.0) / 100.0,
    )


def underdispersed(sight: Sight, value: float, z: float, df: float) -> Finding:
    """Less variation than the family has."""
    trusted = sight.trusts_variance
    return Finding(
        "underdispersed",
        "warning" if trusted else "note",
        f"{'Proportions' if sight.record.design.trials is not None else 'Counts'} vary {figures(value, 3)} times as much as "
        f"{named(sight.record)} ones (Pearson chi-squared {figures(value * df, 4)} on {_df(df)} degrees of freedom).",
        f"Standard errors are too large by a factor of about {figures(float(1.0 / np.sqrt(value)), 3)}: what they say is on the safe side."
        if trusted
        else UNTRUSTED,
        ('Use standard errors that allow it, vcov="HC1" of glimm.glm or glimm.gee; c' if trusted else "C")
        + "heck that the response is a count of separate events.",
        {"dispersion": value, "z": z, "df": df},
        min(-z, 100.0) / 100.0,
    )


def zero_inflated(sight: Sight, seen: int, expected: float, z: float) -> Finding:
    """More zeros than the family expects."""
    other = "" if sight.record.family.name != "poisson" else "; a negative binomial with the variance seen would not have so many either"
    trusted = sight.trusts_variance
    return Finding(
        "zero_inflated",
        "warning" if trusted else "note",
        f"{seen} zeros in {sight.record.design.n} rows, where the model expects {figures(expected, 3)} (z = {figures(z, 3)}){other}.",
        "Some rows may not be able to have a count. The mean is still right on average; "
        f"{'standard errors are too small and ' if trusted else ''}predicted chances of small counts are wrong.",
        "Ask what makes a row have none. Model in two parts: glimm.glm of "
        f"I({sight.record.design.spec.formula.response} > 0), binomial, and of the counts above 0; or keep the means"
        f"{' and use robust standard errors' if trusted else ', whose standard errors are robust'}.",
        {"zeros": seen, "expected": expected, "z": z},
        0.5,
    )


def approximation(sight: Sight) -> Iterator[Finding]:
    """The integral over random effects: Laplace, or points that had not settled."""
    record = sight.mixed
    if record is None or record.linear or record.solution.code in ("not_converged", "separated"):
        return
    note = str((record.solution.evidence or {}).get("note", ""))
    if note.startswith("Laplace is not accurate"):
        said = note.partition(";")[0].partition(": ")[2]
        yield inaccurate(record, said, {"points": record.points, "shift": float(said.partition("moves by ")[2].split()[0])})
    elif " points are not enough here" in note:
        said = note.partition("; use")[0]
        yield Finding(
            "quadrature_not_settled",
            "warning",
            f"{said[0].upper()}{said[1:]}.",
            "log L, and the variances with it, move with more points; compare fits only at the same number of points.",
            "Fit with points='auto', which raises them until nothing that is reported changes.",
            {"points": record.points, "shift": float(said.partition("moves by ")[2].split()[0])},
        )
    elif note.startswith("points="):
        yield Finding(
            "quadrature_not_settled",
            "warning",
            f"{note[0].upper()}{note[1:].partition('; use')[0]}.",
            "How far log L is from its integral is not known.",
            "Use the family's default link, whose means are all possible.",
            {"points": record.points},
        )
    elif note.startswith("points stopped"):
        yield Finding(
            "quadrature_not_settled",
            "warning",
            f"{note[0].upper()}{note[1:]}.",
            "log L and the variances may still move with more points; compare fits only at the same number of points.",
            "Use fewer random effects per cluster, or points=1 and fit.laplace_error()."
            if sum(len(t.names) for t in sight.terms) > 1
            else "Look at the other findings first: so many points fall short only where the variance between clusters has hardly an end.",
            {"points": record.points},
        )
    elif record.points == 1 and len(record.design.mean.random) > 1:
        levels = max(len(t.levels) for t in record.design.mean.random)
        error = leading_error(record)
        if error is not None and abs(error) > LARGE_ERROR * levels:
            said = f"quadrature over the {levels} levels of the largest grouping, the other effects held, changes log L by {error:+.3g}"
            yield inaccurate(record, said, {"error": error, "levels": levels})


def inaccurate(record: MixedRecord, said: str, evidence: dict[str, float]) -> Finding:
    """Laplace where levels say too little for it."""
    several = len(record.design.mean.random) > 1
    return Finding(
        "laplace_inaccurate",
        "note" if abs(evidence.get("shift", np.inf)) < SLIGHT else "warning",
        f"The Laplace approximation is not accurate here: {said}.",
        "Variances of the random effects, and conditional coefficients with them, are usually too small; tests of them are affected most.",
        "Fit one grouping alone, where quadrature is possible, to see how much it matters; fit.laplace_error() samples the error of the "
        "whole, fit.bootstrap() shows the bias."
        if several
        else "Fit with points='auto'.",
        evidence,
        0.7,
    )
