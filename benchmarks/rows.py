"""The makers of the tasks' rows: simulated ones, seeded, of any number of rows, and public data. A maker returns a pandas frame.

Groups are whole numbers and factors are categories with levels that are words, so that every peer reads them alike, from a csv file too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PUBLIC = (HERE.parent / "tests" / "reference" / "data", HERE / "public")
TEN = tuple(f"x{j}" for j in range(1, 11))
SIXTY = tuple(f"x{j}" for j in range(1, 61))
RATED = (*(f"x{j}" for j in range(1, 17)), *(f"n{j}" for j in range(1, 5)), *(f"d{j}" for j in range(1, 5)))
LEVELS = {"use": 10, "fuel": 12, "region": 22, "age": 30, "make": 50, "area": 100}
FACTORS = tuple(LEVELS)


def expit(eta: Any) -> Any:
    """Inverse logit."""
    import numpy as np

    return 1.0 / (1.0 + np.exp(-eta))


def logistic(n: int) -> Any:
    """Independent rows: ten standard normal columns and a factor of 50 levels."""
    import numpy as np
    import pandas as pd

    r = np.random.default_rng(101)
    x = r.standard_normal((n, 10))
    f = r.integers(0, 50, n)
    level = 0.5 * r.standard_normal(50)
    level[0] = 0.0
    y = r.random(n) < expit(-0.5 + x @ np.linspace(-0.5, 0.5, 10) + level[f])
    frame = pd.DataFrame({"y": y.astype(np.int64), **{name: x[:, j] for j, name in enumerate(TEN)}})
    frame["f"] = pd.Categorical.from_codes(f, [f"L{k:02d}" for k in range(50)])
    return frame


def logistic_fewer(n: int) -> Any:
    """The same of another number of rows, beside it."""
    return logistic(n)


def logistic_wide(n: int) -> Any:
    """Independent rows: sixty standard normal columns."""
    import numpy as np
    import pandas as pd

    r = np.random.default_rng(102)
    x = r.standard_normal((n, 60))
    y = r.random(n) < expit(-0.5 + x @ np.linspace(-0.25, 0.25, 60))
    return pd.DataFrame({"y": y.astype(np.int64), **{name: x[:, j] for j, name in enumerate(SIXTY)}})


def insurance(n: int) -> Any:
    """Policies: claims (a count), severity (of a claim) and cost (0 without claims) by 16 measurements x, 4 small whole numbers n,
    4 rare marks d (a twentieth of the rows) and 6 factors of 10 to 100 levels of unequal frequency; log_exposure is known.
    """
    import numpy as np
    import pandas as pd

    r = np.random.default_rng(103)
    exposure = r.uniform(0.2, 1.0, n)
    columns: dict[str, Any] = {f"x{j}": r.standard_normal(n) for j in range(1, 17)}
    columns |= {f"n{j}": r.integers(0, 4 + 3 * j, n) for j in range(1, 5)}
    columns |= {f"d{j}": (r.random(n) < 0.05).astype(np.int64) for j in range(1, 5)}
    eta = -1.2 + np.log(exposure)
    for j, name in enumerate(columns):
        eta += (0.12 * np.cos(j)) * (columns[name] / (4.0 if name.startswith("n") else 1.0))
    for name, k in LEVELS.items():
        common = 1.0 / np.arange(2.0, k + 2.0)
        codes = r.choice(k, n, p=common / common.sum())
        codes[:k] = np.arange(k)
        eta += (0.3 * r.standard_normal(k))[codes]
        columns[name] = pd.Categorical.from_codes(codes, [f"{name}{level:02d}" for level in range(k)])
    claims = r.poisson(np.exp(eta))
    severity = np.exp(0.5 * eta) * r.gamma(2.0, 0.5, n)
    cost = np.where(claims > 0, r.gamma(2.0 * np.maximum(claims, 1)) * np.exp(0.25 * eta), 0.0)
    money = {"severity": np.maximum(severity, 1e-6), "cost": cost}
    return pd.DataFrame({"claims": claims, **money, "log_exposure": np.log(exposure), **columns})


def linear_groups(n: int) -> Any:
    """Gaussian response, random intercept of n / 10 groups of unequal size, in random order."""
    import numpy as np
    import pandas as pd

    r = np.random.default_rng(104)
    groups = n // 10
    g = np.concatenate([np.arange(groups), r.integers(0, groups, n - groups)])
    r.shuffle(g)
    x = r.standard_normal((n, 2))
    u = r.standard_normal(groups)
    y = 1.0 + x @ np.array([0.5, -0.3]) + u[g] + r.standard_normal(n)
    return pd.DataFrame({"y": y, "x1": x[:, 0], "x2": x[:, 1], "g": g})


def linear_slopes(n: int) -> Any:
    """Gaussian response, random intercept and slope of x1, correlated, of n / 10 groups of unequal size, in random order."""
    import numpy as np
    import pandas as pd

    r = np.random.default_rng(104)
    groups = n // 10
    g = np.concatenate([np.arange(groups), r.integers(0, groups, n - groups)])
    r.shuffle(g)
    x1, x2 = r.standard_normal(n), r.standard_normal(n)
    u = r.standard_normal((groups, 2)) @ np.linalg.cholesky(np.array([[1.0, 0.15], [0.15, 0.25]])).T
    y = 1.0 + 0.5 * x1 - 0.3 * x2 + u[g, 0] + u[g, 1] * x1 + r.standard_normal(n)
    return pd.DataFrame({"y": y, "x1": x1, "x2": x2, "g": g})


def logistic_groups(n: int) -> Any:
    """Binary response, random intercept of n / 10 groups of ten rows, contiguous."""
    return logistic_responses(n).drop(columns="second")


def logistic_slopes(n: int) -> Any:
    """The predictors of logistic_groups and a second response: random intercept and slope of x1, correlated."""
    frame = logistic_responses(n)
    return frame.drop(columns="second").assign(y=frame["second"])


def logistic_responses(n: int) -> Any:
    """Four predictors, n / 10 groups of ten rows, the response y of logistic_groups and the one of logistic_slopes, `second`."""
    import numpy as np
    import pandas as pd

    r = np.random.default_rng(105)
    g = np.repeat(np.arange(n // 10), 10)
    x = r.standard_normal((n, 4))
    x[:, 3] = r.integers(0, 2, n)
    slopes = np.array([0.5, -0.5, 0.25, 0.8])
    eta = -0.5 + x @ slopes + r.standard_normal(n // 10)[g]
    y = r.random(n) < expit(eta)
    v = r.standard_normal((n // 10, 2)) @ np.linalg.cholesky(np.array([[1.0, 0.2], [0.2, 0.49]])).T
    second = r.random(n) < expit(-0.5 + x @ slopes + v[g, 0] + v[g, 1] * x[:, 0])
    columns = {f"x{j + 1}": x[:, j] for j in range(4)}
    return pd.DataFrame({"y": y.astype(np.int64), "second": second.astype(np.int64), **columns, "g": g})


def logistic_serial(n: int) -> Any:
    """Binary response, n / 10 clusters of ten occasions with a shared and a serially correlated part."""
    import numpy as np
    import pandas as pd

    r = np.random.default_rng(108)
    clusters = n // 10
    g = np.repeat(np.arange(clusters), 10)
    x = r.standard_normal((n, 4))
    x[:, 3] = np.repeat(r.integers(0, 2, clusters), 10)
    noise = r.standard_normal((clusters, 10))
    serial = np.empty((clusters, 10))
    serial[:, 0] = noise[:, 0]
    for k in range(1, 10):
        serial[:, k] = 0.6 * serial[:, k - 1] + 0.8 * noise[:, k]
    latent = 0.9 * serial.ravel() + 0.6 * r.standard_normal(clusters)[g]
    y = r.random(n) < expit(-0.4 + x @ np.array([0.5, -0.4, 0.3, 0.6]) + latent)
    columns = {f"x{j + 1}": x[:, j] for j in range(4)}
    return pd.DataFrame({"y": y.astype(np.int64), **columns, "g": g, "t": np.tile(np.arange(1, 11), clusters)})


def logistic_serial_more(n: int) -> Any:
    """The same of another number of rows, beside it."""
    return logistic_serial(n)


def crossed(n: int, first: int = 0, second: int = 0) -> Any:
    """Binary response y and Gaussian response z, random intercepts of two crossed factors a and b (n / 50 and n / 200 levels)."""
    import numpy as np
    import pandas as pd

    r = np.random.default_rng(106)
    levels = (first or n // 50, second or n // 200)
    a, b = (shuffled_levels(r, k, n) for k in levels)
    x = r.standard_normal((n, 3))
    u, v = r.standard_normal(levels[0]), 0.7 * r.standard_normal(levels[1])
    eta = -0.3 + x @ np.array([0.5, -0.5, 0.2]) + u[a] + v[b]
    y = r.random(n) < expit(eta)
    columns = {f"x{j + 1}": x[:, j] for j in range(3)}
    return pd.DataFrame({"y": y.astype(np.int64), **columns, "a": a, "b": b, "z": eta + r.standard_normal(n)})


def crossed_many(n: int) -> Any:
    """Responses of two crossed factors a and b (n / 20 and n / 200 levels): y, binary; z, Gaussian; count, Poisson.

    Standard deviations of the intercepts: 1 and 0.7; in z 0.7 and 0.4; in count 0.5 and 0.35.
    """
    import numpy as np
    import pandas as pd

    r = np.random.default_rng(107)
    levels = (n // 20, n // 200)
    a, b = (shuffled_levels(r, k, n) for k in levels)
    x = r.standard_normal((n, 3))
    u, v = r.standard_normal(levels[0]), r.standard_normal(levels[1])
    fixed = -0.3 + x @ np.array([0.5, -0.5, 0.2])
    y = r.random(n) < expit(fixed + u[a] + 0.7 * v[b])
    z = fixed + 0.7 * u[a] + 0.4 * v[b] + np.random.default_rng(1107).standard_normal(n)
    count = np.random.default_rng(2107).poisson(np.exp(0.5 * (fixed + u[a] + 0.7 * v[b])))
    columns = {f"x{j + 1}": x[:, j] for j in range(3)}
    return pd.DataFrame({"y": y.astype(np.int64), **columns, "a": a, "b": b, "z": z, "count": count})


def crossed_more(n: int) -> Any:
    """Gaussian response, random intercepts of two crossed factors a and b (n / 20 and n / 200 levels), standard deviations 0.7 and 0.4."""
    import numpy as np
    import pandas as pd

    r = np.random.default_rng(109)
    levels = (n // 20, n // 200)
    a, b = (shuffled_levels(r, k, n) for k in levels)
    x = r.standard_normal(n)
    u, v = 0.7 * r.standard_normal(levels[0]), 0.4 * r.standard_normal(levels[1])
    z = 1.0 + 0.5 * x + u[a] + v[b] + r.standard_normal(n)
    return pd.DataFrame({"z": z, "x": x, "a": a.astype(np.int32), "b": b.astype(np.int32)})


def low_mobility(n: int) -> Any:
    """Binary response of n / 10 persons of ten rows in n / 100 firms on a ring: 9 rows in 100 are in a firm at most five from home."""
    import numpy as np
    import pandas as pd

    r = np.random.default_rng(110)
    persons, firms = n // 10, n // 100
    person = np.repeat(np.arange(persons), 10)
    home = shuffled_levels(r, firms, persons)
    moved = np.where(r.random(n) < 0.09, r.integers(1, 6, n) * r.choice([-1, 1], n), 0)
    firm = (home[person] + moved) % firms
    x = r.standard_normal((n, 3))
    u, v = r.standard_normal(persons), 0.7 * r.standard_normal(firms)
    y = r.random(n) < expit(-0.3 + x @ np.array([0.5, -0.5, 0.2]) + u[person] + v[firm])
    columns = {f"x{j + 1}": x[:, j] for j in range(3)}
    return pd.DataFrame({"y": y.astype(np.int64), **columns, "person": person, "firm": firm})


def two_ratings(n: int) -> Any:
    """Binary ratings by n / 2 users of two different items each, of n / 80 items."""
    import numpy as np
    import pandas as pd

    r = np.random.default_rng(111)
    users, items = n // 2, n // 80
    user = np.repeat(np.arange(users), 2)
    first = shuffled_levels(r, items, users)
    second = (first + r.integers(1, items, users)) % items
    item = np.column_stack([first, second]).ravel()
    x = r.standard_normal(n)
    u, v = r.standard_normal(users), 0.7 * r.standard_normal(items)
    y = r.random(n) < expit(-0.3 + 0.5 * x + u[user] + v[item])
    return pd.DataFrame({"y": y.astype(np.int64), "x": x, "user": user, "item": item})


def crossed_slopes(n: int) -> Any:
    """Binary response, random intercept and slope of x of two crossed factors (n / 50 and n / 200 levels), correlated."""
    import numpy as np
    import pandas as pd

    r = np.random.default_rng(31)
    levels = (n // 50, n // 200)
    a, b = (np.concatenate([np.arange(k), r.integers(0, k, n - k)]) for k in levels)
    r.shuffle(a)
    r.shuffle(b)
    x, z = r.standard_normal(n), r.standard_normal(n)
    u = r.standard_normal((levels[0], 2)) @ np.linalg.cholesky(np.array([[1.0, 0.2], [0.2, 0.25]])).T
    v = r.standard_normal((levels[1], 2)) @ np.linalg.cholesky(np.array([[0.5, -0.1], [-0.1, 0.16]])).T
    y = r.random(n) < expit(-0.3 + 0.5 * x - 0.2 * z + u[a, 0] + u[a, 1] * x + v[b, 0] + v[b, 1] * x)
    return pd.DataFrame({"y": y.astype(np.int64), "x": x, "z": z, "a": a, "b": b})


def nested(n: int) -> Any:
    """Gaussian responses of n / 5 pupils in n / 50 classes in n / 1000 schools (at least 5), of unequal sizes, in random order.

    y1 : random intercepts; y2 : a slope of x1 by class as well
    """
    import numpy as np
    import pandas as pd

    r = np.random.default_rng(201)
    pupils, classes, schools = n // 5, n // 50, max(n // 1000, 5)
    school_of = np.concatenate([np.arange(schools), r.integers(0, schools, classes - schools)])
    class_of = np.concatenate([np.arange(classes), r.integers(0, classes, pupils - classes)])
    pupil = shuffled_levels(r, pupils, n)
    cl = class_of[pupil]
    school = school_of[cl]
    x1, x2 = r.standard_normal(n), r.standard_normal(n)
    fixed = 1.0 + 0.5 * x1 - 0.3 * x2
    y1 = fixed + 0.8 * r.standard_normal(pupils)[pupil] + 0.5 * r.standard_normal(classes)[cl] + 0.3 * r.standard_normal(schools)[school]
    noise = r.standard_normal(n)
    v = r.standard_normal((classes, 2)) @ np.linalg.cholesky(np.array([[0.25, 0.03], [0.03, 0.04]])).T
    y2 = fixed + 0.8 * r.standard_normal(pupils)[pupil] + v[cl, 0] + v[cl, 1] * x1 + 0.3 * r.standard_normal(schools)[school] + noise
    return pd.DataFrame({"y1": y1 + noise, "y2": y2, "x1": x1, "x2": x2, "pupil": pupil, "cl": cl, "school": school})


def shuffled_levels(r: Any, levels: int, n: int) -> Any:
    """Levels 0, 1, ... of n rows in random order, each at least once."""
    import numpy as np

    codes = np.concatenate([np.arange(levels), r.integers(0, levels, n - levels)])
    r.shuffle(codes)
    return codes


def dyestuff(_: int) -> Any:
    return public("lme4_Dyestuff", Batch="category", Yield=float)


def sleepstudy(_: int) -> Any:
    return public("lme4_sleepstudy", Subject=int, Reaction=float)


def contraception(_: int) -> Any:
    raw = public("mlmRev_Contraception", livch="category", urban="category", district=int)
    return raw.assign(y=(raw["use"] == "Y").astype(int))[["y", "age", "urban", "livch", "district"]]


def toenail(_: int) -> Any:
    raw = public("HSAUR3_toenail", treatment="category", patientID=int)
    return raw.assign(y=(raw["outcome"] == "moderate or severe").astype(int))[["y", "treatment", "time", "patientID"]]


def ohio(_: int) -> Any:
    raw = public("geepack_ohio")
    return raw.assign(age_smoke=raw["age"] * raw["smoke"])


def insteval(_: int) -> Any:
    raw = public("lme4_InstEval", service="string", dept="string", s=int, d=int, y=float)
    return raw.assign(service=factor("s", raw["service"]), dept=factor("d", raw["dept"]))


def verbagg(_: int) -> Any:
    raw = public("lme4_VerbAgg", Gender="category", btype="category", situ="category", item="category", id=int)
    return raw.assign(y=(raw["r2"] == "Y").astype(int)).drop(columns="r2")


def grouseticks(_: int) -> Any:
    raw = public("lme4_grouseticks", YEAR="string", INDEX=int, BROOD=int, LOCATION=int)
    return raw.assign(YEAR=factor("y", raw["YEAR"]))


def public(name: str, **types: Any) -> Any:
    """A public data set, from the tests' folder or from this one's."""
    import pandas as pd

    path = next(p for folder in PUBLIC for p in (folder / f"{name}.csv", folder / f"{name}.csv.gz") if p.exists())
    return pd.read_csv(path, dtype=types)


def factor(letter: str, codes: Any) -> Any:
    """Categories whose levels are words: the letter and the code."""
    return (letter + codes).astype("category")


MAKERS: dict[str, Callable[[int], Any]] = {
    f.__name__: f
    for f in (
        *(
            logistic,
            logistic_fewer,
            logistic_wide,
            insurance,
            logistic_serial_more,
            linear_groups,
            linear_slopes,
            logistic_groups,
            logistic_slopes,
            logistic_serial,
            crossed,
            crossed_many,
            crossed_more,
            low_mobility,
            two_ratings,
            crossed_slopes,
            nested,
        ),
        *(dyestuff, sleepstudy, contraception, toenail, ohio, insteval, verbagg, grouseticks),
    )
}
