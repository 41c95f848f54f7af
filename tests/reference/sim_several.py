"""Simulated data for models with several random terms (NumPy; no glimm).

Run (in this folder):   python sim_several.py                 writes data/sim_several.csv, the designs of several.R, structures.R, mixed_families.R
                        python sim_several.py random FOLDER   writes the hundred random designs of sim_several.R, one csv each

The hundred are not stored: `random_design(number)` makes them again, and sim_several.json has the sha256 of each csv. Only uniform
numbers are drawn, normal and count responses are made from them and rounded, so that the text does not depend on NumPy's version.
"""

from __future__ import annotations

import hashlib
import math
import sys
from pathlib import Path
from statistics import NormalDist

import numpy as np

DESIGNS = 100
NORMAL = np.vectorize(NormalDist().inv_cdf, otypes=[float])


class Draw:
    """Numbers from one seed, all of them from uniform numbers."""

    def __init__(self, *seed: int):
        self.rng = np.random.default_rng(seed)

    def uniform(self, *shape: int) -> np.ndarray:
        return self.rng.random(shape)

    def normal(self, *shape: int) -> np.ndarray:
        return NORMAL(np.clip(self.rng.random(shape), 1e-9, 1.0 - 1e-9))

    def integer(self, low: int, high: int, *shape: int) -> np.ndarray:
        """low .. high - 1."""
        return low + np.floor((high - low) * self.rng.random(shape)).astype(int)

    def pick(self, words: tuple) -> object:
        return words[int(self.integer(0, len(words)))]

    def effects(self, codes: np.ndarray, sds: tuple[float, ...], correlation: float = 0.0) -> np.ndarray:
        """(rows, len(sds)) effects of the levels of a factor."""
        u = self.normal(int(codes.max()) + 1, len(sds))
        if len(sds) == 2:
            u[:, 1] = correlation * u[:, 0] + math.sqrt(1.0 - correlation**2) * u[:, 1]
        return (u * np.array(sds))[codes]

    def binary(self, eta: np.ndarray) -> np.ndarray:
        return (self.uniform(len(eta)) < 1.0 / (1.0 + np.exp(-eta))).astype(int)

    def count(self, mean: np.ndarray) -> np.ndarray:
        """Poisson by inversion."""
        out = []
        for mu, u in zip(mean.tolist(), self.uniform(len(mean)).tolist(), strict=True):
            k, p = 0, math.exp(-mu)
            total = p
            while u > total and k < 1000:
                k, p = k + 1, p * mu / (k + 1)
                total += p
            out.append(k)
        return np.array(out)

    def gamma(self, mean: np.ndarray, halves: int) -> np.ndarray:
        """Gamma with shape halves / 2: a mean of squared normal numbers."""
        return mean * (self.normal(len(mean), halves) ** 2).mean(axis=1)


def csv(columns: dict[str, np.ndarray]) -> str:
    """Text of a table; floats with three digits."""
    cells = [[f"{v:.3f}" for v in values] if values.dtype.kind == "f" else [str(v) for v in values] for values in columns.values()]
    return "\n".join([",".join(columns), *map(",".join, zip(*cells, strict=True))]) + "\n"


def checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# ---------------------------------------------------------------- the hundred random designs
LAYOUTS = ("nested", "explicit", "crossed", "partial", "nested3", "nested and crossed")
FORMS = {  # of two factors; {a} and {b} are the terms' effects
    "nested": "y ~ x + ({a} | a) + ({b} | a:b)",
    "explicit": "y ~ x + ({a} | a) + ({b} | b)",
    "crossed": "y ~ x + ({a} | a) + ({b} | b)",
    "partial": "y ~ x + ({a} | a) + ({b} | b)",
    "nested3": "y ~ x + ({a} | a) + (1 | a:b) + (1 | a:b:c)",
    "nested and crossed": "y ~ x + (1 | a/b) + ({a} | c)",
}


def random_factors(draw: Draw, layout: str, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes of a, b (from 0) and c. Nested factors are coded within the outer one, except in "explicit"."""
    a_levels, b_levels, c_levels = int(draw.integer(3, 13)), int(draw.integer(2, 7)), int(draw.integer(2, 9))
    row = np.arange(rows)
    a = np.sort(draw.integer(0, a_levels, rows)) if draw.uniform() < 0.5 else row * a_levels // rows
    b, c = draw.integer(0, b_levels, rows), draw.integer(0, c_levels, rows)
    if layout == "crossed":
        b = row % b_levels
    if layout == "partial":
        b = (a + draw.integer(0, 3, rows)) % (a_levels + 2)
    if layout == "explicit":
        b = np.unique(a * b_levels + b, return_inverse=True)[1].ravel()
    a = np.unique(a, return_inverse=True)[1].ravel()
    return a, b, c


def random_design(number: int) -> tuple[dict[str, np.ndarray], dict]:
    """The columns of one design, and what it is: formula, family, reml."""
    draw = Draw(77, number)
    layout = LAYOUTS[number % len(LAYOUTS)]
    family = "gaussian" if number < DESIGNS // 2 else ("binomial" if number % 2 else "poisson")
    rows = int(draw.integer(40, 301))
    a, b, c = random_factors(draw, layout, rows)
    x = np.round(draw.normal(rows), 3)
    lhs = {name: draw.pick(("1", "1", "1 + x", "0 + x") if family == "gaussian" else ("1", "1", "1", "1 + x", "0 + x")) for name in "ab"}
    bars = FORMS[layout].format(**lhs)
    if "1 + x | " in bars and draw.uniform() < 0.25:
        bars = bars.replace("1 + x | ", "1 + x || ")
    inner = np.unique(np.column_stack([a, b]), axis=0, return_inverse=True)[1].ravel() if "a:b" in bars or "a/b" in bars else b
    size = 0.8 if family != "poisson" else 0.5
    spread = {name: draw.pick((0.0, 0.1, 0.7, 1.0, 1.5)) * size for name in "abc"}
    correlation = draw.pick((-1.0, 0.0, 0.4, 1.0))
    eta = 0.3 + 0.5 * x
    for name, codes in (("a", a), ("b", inner), ("c", c if "c" in bars else np.zeros(rows, dtype=int))):
        if name == "c" and "c" not in bars:
            continue
        effect = draw.effects(codes, (spread[name], 0.7 * spread[name]), correlation)
        slope = {"1": (1.0, 0.0), "0 + x": (0.0, 1.0)}.get(str(lhs.get(name, "1")), (1.0, 1.0))
        eta = eta + slope[0] * effect[:, 0] + slope[1] * effect[:, 1] * x
    if family == "gaussian":
        y = np.round(eta + draw.normal(rows), 3)
    else:
        y = draw.binary(eta) if family == "binomial" else draw.count(np.exp(np.clip(eta, -6.0, 4.0)))
    columns = {"a": a + 1, "b": b + 1, "c": c + 1, "x": x, "y": y}
    about = {"formula": bars, "family": family, "layout": layout, "seed": [77, number]}
    if family == "gaussian":
        about["reml"] = bool(number % 4 < 2)
    return columns, about


# ---------------------------------------------------------------- the designs of data/sim_several.csv
SEEDS = {"cross": 92}  # others 78: a draw whose variances are all clearly positive
COLUMNS = ("design", "a", "b", "c", "visit", "t", "x", "w", "e", "y", "yb", "yp", "yg", "yu")


def responses(draw: Draw, eta: np.ndarray, noise: float) -> dict[str, np.ndarray]:
    """One of each kind from a linear predictor of size 1: normal, binary, count, positive, in (0, 1)."""
    mean = 1.0 / (1.0 + np.exp(-eta))
    g, h = draw.gamma(mean, 8), draw.gamma(1.0 - mean, 8)
    return {
        "y": 10.0 + 2.0 * eta + noise * draw.normal(len(eta)),
        "yb": draw.binary(eta),
        "yp": draw.count(np.exp(np.clip(0.6 * eta, -6.0, 3.5))),
        "yg": np.maximum(draw.gamma(np.exp(0.5 * eta), 6), 0.001),
        "yu": np.clip(g / (g + h), 0.001, 0.999),
    }


def nest(draw: Draw) -> dict[str, np.ndarray]:
    """a / b / c, codes used again within the outer factor, unbalanced."""
    levels = [(a, b, c) for a in range(7) for b in range(2 + a % 3) for c in range(2 + (a + b) % 3)]
    a, b, c = np.repeat(np.array(levels), draw.integer(1, 6, len(levels)), axis=0).T
    ab, abc = np.unique(a * 10 + b, return_inverse=True)[1], np.unique(a * 100 + b * 10 + c, return_inverse=True)[1]
    x, w = draw.normal(len(a)), 0.5 + 2.0 * draw.uniform(len(a))
    eta = 0.2 + 0.5 * x + draw.effects(a, (1.0,))[:, 0] + draw.effects(ab, (0.9,))[:, 0] + draw.effects(abc, (0.8,))[:, 0]
    return {"a": a, "b": b, "c": c, "x": x, "w": w} | responses(draw, eta, 1.2)


def cross(draw: Draw) -> dict[str, np.ndarray]:
    """a by b by c, half of the cells, slopes on a and on b, with exposures."""
    cells = np.array([(i, j) for i in range(14) for j in range(9)])
    cells = np.repeat(cells[draw.uniform(len(cells)) < 0.6], 3, axis=0)
    a, b = cells.T
    c = draw.integer(0, 5, len(a))
    x, e, w = draw.normal(len(a)), 0.5 + 2.0 * draw.uniform(len(a)), 0.5 + 2.0 * draw.uniform(len(a))
    u, v = draw.effects(a, (1.0, 0.6), 0.5), draw.effects(b, (1.2, 0.8), -0.3)
    eta = -0.1 + 0.4 * x + u[:, 0] + v[:, 0] + (u[:, 1] + v[:, 1]) * x + draw.effects(c, (0.6,))[:, 0]
    return {"a": a, "b": b, "c": c, "x": x, "e": e, "w": w} | responses(draw, eta, 1.5)


def odd(draw: Draw) -> dict[str, np.ndarray]:
    """a has two levels, b unequal ones with slopes that are -1/2 of its intercepts, c no variance."""
    b = np.repeat(np.arange(12), draw.integer(2, 20, 12))
    a, c, x = draw.integer(0, 2, len(b)), draw.integer(0, 8, len(b)), draw.normal(len(b))
    eta = 0.3 + 0.5 * x + 0.6 * (2 * a - 1) + draw.effects(b, (1.3,))[:, 0] * (1.0 - 0.5 * x)
    return {"a": a, "b": b, "c": c, "x": x} | responses(draw, eta, 1.5)


def visits(draw: Draw, missing: float, replicates: int) -> dict[str, np.ndarray]:
    """a: 36 people; visits 1 .. 5, some missing; t: irregular times; AR(1) effects of a person and effects of a centre b."""
    people, occasions = 36, 5
    u = draw.normal(people, occasions)
    for j in range(1, occasions):
        u[:, j] = 0.6 * u[:, j - 1] + 0.8 * u[:, j]
    u *= np.array([0.8, 0.9, 1.0, 1.2, 1.4])
    t = np.round(4.0 * np.cumsum(0.3 + 1.4 * draw.uniform(people, occasions), axis=1)) / 4.0
    a, visit = np.repeat(np.indices((people, occasions)).reshape(2, -1).T, replicates, axis=0).T
    seen = (draw.uniform(people, occasions) >= missing)[a, visit]
    a, visit = a[seen], visit[seen]
    x, b = draw.normal(people)[a], draw.integer(0, 9, people)[a]
    eta = 0.2 + 0.4 * x + 0.1 * visit + u[a, visit] + draw.effects(b, (0.5,))[:, 0]
    return {"a": a, "b": b, "visit": visit, "t": t[a, visit], "x": x} | responses(draw, eta, 1.0)


def sibling(draw: Draw) -> dict[str, np.ndarray]:
    """a: groups; c: condition (4), several rows each; equal variances, and a correlation that is negative."""
    a, c = np.repeat(np.indices((24, 4)).reshape(2, -1).T, 3, axis=0).T
    keep = draw.uniform(len(a)) < 0.85
    a, c = a[keep], c[keep]
    u = draw.normal(24, 4)
    u = u - 0.55 * u.mean(axis=1, keepdims=True)
    x = draw.normal(len(a))
    return {"a": a, "c": c, "x": x} | responses(draw, 0.1 + 0.3 * x + 0.3 * c + u[a, c], 1.0)


def write_designs() -> str:
    makers = {
        "nest": nest,
        "cross": cross,
        "odd": odd,
        "visits": lambda draw: visits(draw, 0.15, 1),
        "repeats": lambda draw: visits(draw, 0.1, 2),
        "sibling": sibling,
    }
    lines = [",".join(COLUMNS)]
    for number, (name, make) in enumerate(makers.items()):
        columns = make(Draw(SEEDS.get(name, 78), number))
        rows = len(columns["a"])
        cells = []
        for key in COLUMNS:
            values = columns.get(key)
            if key == "design":
                cells.append([name] * rows)
            elif values is None:
                cells.append([""] * rows)
            elif values.dtype.kind == "f":
                cells.append([f"{v:.3f}" for v in values])
            else:
                cells.append([str(v + (key in ("a", "b", "c", "visit"))) for v in values])
        lines += map(",".join, zip(*cells, strict=True))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if sys.argv[1:2] == ["random"]:
        folder = Path(sys.argv[2])
        folder.mkdir(exist_ok=True, parents=True)
        index = ["number\tformula\tfamily\treml\tlayout\tchecksum"]
        for number in range(DESIGNS):
            columns, about = random_design(number)
            text = csv(columns)
            (folder / f"{number}.csv").write_text(text)
            index.append(
                "\t".join([str(number), about["formula"], about["family"], str(about.get("reml", "")), about["layout"], checksum(text)])
            )
        (folder / "index.tsv").write_text("\n".join(index) + "\n")
    else:
        (Path(__file__).parent / "data" / "sim_several.csv").write_text(write_designs())
