"""NIST StRD linear regression: writes nist.json (data and certified values) and verifies it in 60-digit arithmetic.

Run (in this folder): python nist.py            verifies every data set, then writes nist.json   (needs mpmath)
     python nist.py --check                      verifies the stored nist.json only

Source: National Institute of Standards and Technology, Statistical Reference Datasets, Linear Least Squares Regression,
https://www.itl.nist.gov/div898/strd/lls/lls.shtml (public domain): Norris, Longley, Wampler1 to Wampler5. The certified
values are NIST's, to 15 digits. Longley's data: J. W. Longley (1967), JASA 62, 819-841. Wampler's: R. H. Wampler (1970),
JASA 65, 549-565: y = 1 + x + ... + x^5 (Wampler1), y = 1 + 0.1 x + ... + 0.00001 x^5 (Wampler2), x = 0..20, and Wampler1
plus 1, 100 and 10000 times a fixed error that is orthogonal to the polynomials up to degree 5 (Wampler3, 4 and 5).
"""

import json
import sys
from pathlib import Path

import mpmath as mp

mp.mp.dps = 60
PATH = Path(__file__).parent / "nist.json"

NORRIS_X = [
    "0.2",
    "337.4",
    "118.2",
    "884.6",
    "10.1",
    "226.5",
    "666.3",
    "996.3",
    "448.6",
    "777.0",
    "558.2",
    "0.4",
    "0.6",
    "775.5",
    "666.9",
    "338.0",
    "447.5",
    "11.6",
    "556.0",
    "228.1",
    "995.8",
    "887.6",
    "120.2",
    "0.3",
    "0.3",
    "556.8",
    "339.1",
    "887.2",
    "999.0",
    "779.0",
    "11.1",
    "118.3",
    "229.2",
    "669.1",
    "448.9",
    "0.5",
]
NORRIS_Y = [
    "0.1",
    "338.8",
    "118.1",
    "888.0",
    "9.2",
    "228.1",
    "668.5",
    "998.5",
    "449.1",
    "778.9",
    "559.2",
    "0.3",
    "0.1",
    "778.1",
    "668.8",
    "339.3",
    "448.9",
    "10.8",
    "557.7",
    "228.3",
    "998.0",
    "888.8",
    "119.6",
    "0.3",
    "0.6",
    "557.6",
    "339.3",
    "888.0",
    "998.5",
    "778.9",
    "10.2",
    "117.6",
    "228.9",
    "668.4",
    "449.2",
    "0.2",
]
LONGLEY = """60323 83.0 234289 2356 1590 107608 1947
61122 88.5 259426 2325 1456 108632 1948
60171 88.2 258054 3682 1616 109773 1949
61187 89.5 284599 3351 1650 110929 1950
63221 96.2 328975 2099 3099 112075 1951
63639 98.1 346999 1932 3594 113270 1952
64989 99.0 365385 1870 3547 115094 1953
63761 100.0 363112 3578 3350 116219 1954
66019 101.2 397469 2904 3048 117388 1955
67857 104.6 419180 2822 2857 118734 1956
68169 108.4 442769 2936 2798 120445 1957
66513 110.8 444546 4681 2637 121950 1958
68655 112.6 482704 3813 2552 123366 1959
69564 114.2 502601 3931 2514 125368 1960
69331 115.7 518173 4806 2572 127852 1961
70551 116.9 554894 4007 2827 130081 1962"""
DELTA = [
    759,
    -2048,
    2048,
    -2048,
    2523,
    -2048,
    2048,
    -2048,
    1838,
    -2048,
    2048,
    -2048,
    1838,
    -2048,
    2048,
    -2048,
    2523,
    -2048,
    2048,
    -2048,
    759,
]
W_SD = ["215232.624678170", "236355.173469681", "77934.3524331583", "10147.5507550350", "564.566512170752", "11.2324854679312"]
POWERS = ["1", "x", "x2", "x3", "x4", "x5"]


def build():
    out = {}
    url = "https://www.itl.nist.gov/div898/strd/lls/data/{}.shtml"

    def add(name, y, x, terms, formula, coef, sd, resid_sd, r2):
        out[name] = {
            "source": "NIST StRD, " + url.format(name),
            "formula": formula,
            "y": y,
            "x": x,
            "certified": {
                "coef": dict(zip(terms, coef, strict=False)),
                "sd": dict(zip(terms, sd, strict=False)),
                "residual_sd": resid_sd,
                "r_squared": r2,
            },
        }

    add(
        "Norris",
        NORRIS_Y,
        {"x": NORRIS_X},
        ["1", "x"],
        "y ~ x",
        ["-0.262323073774029", "1.00211681802045"],
        ["0.232818234301152", "0.429796848199937E-03"],
        "0.884796396144373",
        "0.999993745883712",
    )
    cols = list(zip(*(row.split() for row in LONGLEY.splitlines()), strict=False))
    add(
        "Longley",
        list(cols[0]),
        {f"x{j}": list(cols[j]) for j in range(1, 7)},
        ["1"] + [f"x{j}" for j in range(1, 7)],
        "y ~ x1 + x2 + x3 + x4 + x5 + x6",
        [
            "-3482258.63459582",
            "15.0618722713733",
            "-0.358191792925910E-01",
            "-2.02022980381683",
            "-1.03322686717359",
            "-0.511041056535807E-01",
            "1829.15146461355",
        ],
        [
            "890420.383607373",
            "84.9149257747669",
            "0.334910077722432E-01",
            "0.488399681651699",
            "0.214274163161675",
            "0.226073200069370",
            "455.478499142212",
        ],
        "304.854073561965",
        "0.995479004577296",
    )
    xs = [str(i) for i in range(21)]
    formula = "y ~ x + I(x**2) + I(x**3) + I(x**4) + I(x**5)"
    exact = [sum(i**k for k in range(6)) for i in range(21)]
    one, zero = ["1.00000000000000"] * 6, ["0.00000000000000"] * 6
    add("Wampler1", [str(v) for v in exact], {"x": xs}, POWERS, formula, one, zero, "0.00000000000000", "1.00000000000000")
    add(
        "Wampler2",
        [mp.nstr(sum(mp.mpf(i**k) / 10**k for k in range(6)), 12, strip_zeros=False) for i in range(21)],
        {"x": xs},
        POWERS,
        formula,
        [
            "1.00000000000000",
            "0.100000000000000",
            "0.100000000000000E-01",
            "0.100000000000000E-02",
            "0.100000000000000E-03",
            "0.100000000000000E-04",
        ],
        zero,
        "0.00000000000000",
        "1.00000000000000",
    )
    for name, factor, shift, resid, r2 in (
        ("Wampler3", 1, 2, "2360.14502379268", "0.999995559025820"),
        ("Wampler4", 100, 0, "236014.502379268", "0.957478440825662"),
        ("Wampler5", 10000, -2, "23601450.2379268", "0.224668921574940E-02"),
    ):
        sd = [move(v, shift) for v in W_SD]
        add(name, [str(v + factor * d) for v, d in zip(exact, DELTA, strict=False)], {"x": xs}, POWERS, formula, one, sd, resid, r2)
    return out


def move(text, places):
    """The same digits with the decimal point moved to the left."""
    whole, frac = text.split(".")
    at, digits = len(whole) - places, whole + frac
    return ("0" + "." + "0" * -at + digits) if at <= 0 else digits[:at] + "." + digits[at:]


def agrees(certified, value):
    """All printed digits: the recomputed value, rounded as the certified one is printed, gives the same number."""
    mantissa, _, exponent = certified.upper().partition("E")
    unit = mp.mpf(10) ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    return abs(mp.mpf(certified) - value) <= unit / 2 * (1 + mp.mpf(10) ** -20)


def verify(data):
    for name, d in data.items():
        y = mp.matrix([mp.mpf(v) for v in d["y"]])
        cols = [[mp.mpf(v) for v in col] for col in d["x"].values()]
        n = len(y)
        if name.startswith("Wampler"):
            cols = [[v**k for v in cols[0]] for k in range(1, 6)]
        X = mp.matrix([[1] + [c[i] for c in cols] for i in range(n)])
        p = X.cols
        inv = (X.T * X) ** -1
        b = inv * (X.T * y)
        r = y - X * b
        rss, mean = sum(v**2 for v in r), sum(y) / n
        s2 = rss / (n - p)
        cert = d["certified"]
        tiny = mp.mpf(10) ** -20 * max(abs(v) for v in y)
        for j, term in enumerate(cert["coef"]):
            assert agrees(cert["coef"][term], b[j]), (name, term, b[j])
            assert agrees(cert["sd"][term], mp.sqrt(s2 * inv[j, j]) if s2 > tiny**2 else 0), (name, "sd", term, mp.sqrt(s2 * inv[j, j]))
        assert agrees(cert["residual_sd"], mp.sqrt(s2) if s2 > tiny**2 else 0), (name, "residual sd", mp.sqrt(s2))
        r2 = 1 - rss / sum((v - mean) ** 2 for v in y)
        assert agrees(cert["r_squared"], r2), (name, "R-squared", r2)
        print(f"{name}: n = {n}, p = {p}: all certified digits agree")


def numbers(data):
    """Strings to JSON numbers (the shortest decimal that gives the same double)."""
    if isinstance(data, dict):
        return {k: (v if k in ("source", "formula", "note", "certified_text") else numbers(v)) for k, v in data.items()}
    return [numbers(v) for v in data] if isinstance(data, list) else (float(data) if isinstance(data, str) else data)


if __name__ == "__main__":
    texts = build()
    if "--check" not in sys.argv:
        verify(texts)
        for d in texts.values():
            d["note"] = "certified values by NIST; verified with nist.py, mpmath, 60 digits"
        PATH.write_text(json.dumps(numbers(texts), indent=1) + "\n")
    stored = json.loads(PATH.read_text())
    fresh = numbers(texts)
    assert set(stored) == set(fresh)
    for name in fresh:
        for key in ("x", "y", "certified", "formula"):
            assert stored[name][key] == fresh[name][key], (name, key)
    if "--check" in sys.argv:
        verify(texts)
    print("nist.json agrees with the table in nist.py")
