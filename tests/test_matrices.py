"""The formula door against formulaic: same names, same order, same values; blocks stay blocks; new data are read the same way."""

import pickle

import formulaic
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glimm.data.frames import open_frame
from glimm.data.matrices import build, predictors, replay
from glimm.errors import GlimmError

N = 200


def make_data():
    rng = np.random.default_rng(0)
    columns = {
        "x": rng.normal(size=N),
        "z": rng.uniform(1, 3, size=N),
        "i": rng.integers(1, 4, size=N),
        "f": rng.choice(["a", "b", "c"], N),
        "g": rng.choice(["u", "v"], N),
        "h": rng.choice(["p", "q", "r", "s"], N),
        "b": rng.random(N) < 0.5,
        "c": pd.Categorical(rng.choice(["lo", "mid", "hi"], N), categories=["lo", "mid", "hi"]),
        "odd name": rng.normal(size=N),
        "Sepal.Length": rng.normal(size=N),
    }
    return pd.DataFrame(columns)


DATA = make_data()

BAG = """
1 | 0 | x | x + z | 0 + x | x - 1 | x:z | x*z | 2:x | Sepal.Length + `Sepal.Length`:f
f | 0 + f | f - 1 | -1 + f | x + f + g | f*g | f*x | f:x | 0 + f:x | f:g | 0 + f:g | f*g*h | f*g*x | f:g:x | x*z*f
f/g | f/x | g %in% f | (x + f + g)**2 | (x + f)^2 | (f + g + h)**3 | (f + g + h + x)**2 - f:g | f*g - f | f*g - f:g | f*g - 1 - f
f + f:g | g + f:g | f:g + f | f + x:f | x + x:f | 0 + f + x:f | 0 + x:f + g | -1 + f*g | 0 + f:g:h | h + f:g:h | f:g + g:h
b | b*f | 0 + b | C(b) | C(b)*x | 0 + C(b) | C(i) | C(i)*f | 0 + C(i) | c*f | c | 0 + c + f | C(f) | C(f):x | C(f):C(i) | C(f)*c*b
`odd name`*f | C(i):`odd name` | log(z):`odd name` | I(`odd name`**2)
poly(x, 2) | poly(x, 2)*f | bs(x, df=4) | bs(x, df=5)*g | 0 + bs(x, df=4, include_intercept=True) | bs(x, df=4, include_intercept=True)*f
cr(x, df=4) | cc(x, df=4) | log(z) | np.log(z)*f | I(x**2) | x + I(x**2) | scale(x)*center(z) | standardize(x) | poly(x, 2):poly(z, 2)
C(f, contr.sum) | C(f, contr.sum)*x | 0 + C(f, contr.sum) | C(f, contr.sum)*g | C(f, contr.treatment('b')) | C(f, contr.treatment('b'))*g
0 + C(f, contr.treatment('b')) + g | C(f, contr.helmert) + C(h, contr.poly) | C(i, contr.sum)*b | C(f, Sum)
C(c, contr.diff) | C(b, contr.sum)
C(f, levels=['c', 'b', 'a']) | C(f, {'k': [1, 0, -1]}) | C(f, {'k': [1, 0, -1]})*g | C(f, spans_intercept=False) | C(f, contr.SAS)*x
hashed(f, levels=4) | I(f == 'a') | I(f == 'a')*x | np.where(x > 0, x, 0) | {x + z} | {x + z}:f | x.clip(0, 1)
C(`odd name` > 0) | C(x > 0):f
I(f) | I(f)*x | 0 + I(f) | C(f + g) | log(z):log(x**2) | np.exp(x) + np.sqrt(z) | x + poly(z, degree=3) + c:g
"""
FORMULAS = [f.strip() for line in BAG.strip().splitlines() for f in line.split(" | ")]


def read(fixed, data):
    frame = open_frame(data)
    return {name: frame.variable(name) for name in predictors(fixed)}, frame.n_rows


def fit(fixed, data, rows=None):
    variables, n = read(fixed, data)
    return build(fixed, variables, rows, n if rows is None else len(rows))


@pytest.mark.parametrize("fixed", FORMULAS)
def test_names_and_values_are_formulaics(fixed):
    oracle = formulaic.model_matrix(fixed, DATA, context={})
    made = fit(fixed, DATA)
    assert made.spec.names == tuple(map(str, oracle.columns))
    np.testing.assert_allclose(made.matrix.dense(), oracle.to_numpy(float).reshape(N, -1), rtol=1e-12, atol=1e-12)
    assert made.matrix.p == len(made.spec.names)
    assert sum(stop - start for _, start, stop in made.spec.terms) == made.matrix.p
    assert made.spec.intercept == (0 if "Intercept" in made.spec.names else None)


@pytest.mark.parametrize("fixed", FORMULAS)
def test_replay_on_a_few_rows(fixed):
    made = fit(fixed, DATA)
    blob = pickle.dumps(made.spec)
    assert len(blob) < 12_000
    spec = pickle.loads(blob)
    few = np.array([5, 17, 101])
    variables, n = read(fixed, DATA.iloc[few].reset_index(drop=True))
    matrix, complete = replay(spec, variables, n)
    assert complete.all()
    np.testing.assert_allclose(matrix.dense(), made.matrix.dense()[few], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("fixed", ["x*f", "poly(x, 2) + C(i)", "C(f, contr.sum):z + b", "1", "log(z)*c"])
def test_chosen_rows_equal_a_smaller_table(fixed):
    rows = np.flatnonzero(np.random.default_rng(3).random(N) < 0.6)
    made = fit(fixed, DATA, rows)
    alone = fit(fixed, DATA.iloc[rows].reset_index(drop=True))
    assert made.spec.names == alone.spec.names
    np.testing.assert_allclose(made.matrix.dense(), alone.matrix.dense(), rtol=1e-12, atol=1e-12)


FACTORS = ["x", "z", "f", "g", "b", "c", "C(i)", "log(z)", "C(f, contr.sum)", "poly(x, 2)"]
TERMS = st.lists(st.sampled_from(FACTORS), min_size=1, max_size=3, unique=True).map(":".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(TERMS, min_size=1, max_size=4), st.booleans())
def test_any_sum_of_products_has_formulaics_coding(terms, constant):
    fixed = " + ".join(["1" if constant else "0", *terms])
    oracle = formulaic.model_matrix(fixed, DATA, context={})
    made = fit(fixed, DATA)
    assert made.spec.names == tuple(map(str, oracle.columns))
    np.testing.assert_allclose(made.matrix.dense(), oracle.to_numpy(float), rtol=1e-12, atol=1e-12)


def test_factors_stay_codes_and_numbers_are_not_copied():
    data = {"x": np.arange(4.0), "f": ["a", "b", "c", "a"], "g": ["u", "v", "u", "v"]}
    made = fit("x + f*g + f:x", data)
    blocks = made.matrix.blocks
    assert blocks[0].values is None
    assert blocks[0].codes is None
    assert np.shares_memory(blocks[1].values, data["x"])
    assert [b.codes is not None for b in blocks[2:]] == [True] * 4
    assert blocks[-1].values is not None
    assert np.shares_memory(blocks[-1].values, data["x"])
    unit = fit("C(f, contr.treatment('b'))", data).matrix.blocks[1]
    assert unit.codes is not None
    assert unit.values is None


def test_terms_say_which_columns_are_theirs():
    assert fit("x + f", DATA).spec.terms == (("Intercept", 0, 1), ("x", 1, 2), ("f", 2, 4))


def test_factor_records():
    made = fit("f + C(g, contr.treatment('v')) + C(h, contr.sum) + 0", DATA)
    f, g, h = made.factors
    assert (f.name, f.levels, f.reference) == ("f", ("a", "b", "c"), None)
    assert (g.levels, g.reference) == (("v", "u"), "v")
    assert (h.levels, h.reference) == (("p", "q", "r", "s"), None)
    assert fit("f", DATA).factors[0].reference == "a"
    assert fit("b", DATA).factors == ()


def test_levels_without_rows_have_no_column():
    data = pd.DataFrame({"c": pd.Categorical(["hi", "lo", "hi"], categories=["none", "lo", "mid", "hi"]), "x": [1.0, 2.0, 3.0]})
    made = fit("c*x", data)
    assert made.spec.names == ("Intercept", "c[T.hi]", "x", "c[T.hi]:x")
    assert made.factors[0].unused == ("none", "mid")
    assert made.factors[0].levels == ("lo", "hi")
    assert fit("C(c, contr.sum)", data).spec.names == ("Intercept", "C(c, contr.sum)[S.lo]")
    strings = {"f": ["a", "b", "c", "b"]}
    variables, _ = read("f", strings)
    some = build("f", variables, np.array([1, 2, 3]), 3)
    assert some.spec.names == ("Intercept", "f[T.c]")
    assert some.factors[0].unused == ("a",)
    assert some.matrix.dense()[:, 1].tolist() == [0, 1, 0]


def test_single_level_factor_is_named():
    data = {"f": ["a", "a", "a"], "x": [1.0, 2.0, 3.0]}
    made = fit("f*x", data)
    assert made.spec.names == ("Intercept", "x")
    assert made.empty["f"] == "f has a single level 'a' in the rows used"
    assert made.empty["f:x"] == "f has a single level 'a' in the rows used"
    assert fit("0 + f", data).spec.names == ("f[a]",)
    assert "C(f, contr.sum)" in fit("C(f, contr.sum)", data).empty


def test_missing_predictors_in_new_data_are_flagged():
    made = fit("x + f + log(z)", DATA)
    new = {"x": [1.0, np.nan, 0.5], "f": ["a", "b", None], "z": [1.0, 1.0, 1.0]}
    variables, n = read("x + f + log(z)", new)
    matrix, complete = replay(made.spec, variables, n)
    assert complete.tolist() == [True, False, False]
    assert matrix.dense()[0].tolist() == [1, 1, 0, 0, 0]
    assert not matrix.dense()[1:].any()
    nothing = {"x": [np.nan], "f": [None], "z": [None]}
    variables, n = read("x + f + log(z)", nothing)
    matrix, complete = replay(made.spec, variables, n)
    assert not complete.any()
    assert matrix.dense().tolist() == [[0, 0, 0, 0, 0]]


@pytest.mark.parametrize("fixed", ["f", "C(f)", "C(f, contr.sum)", "f:x", "C(f, contr.treatment('b'))*x"])
def test_unseen_level(fixed):
    made = fit(fixed, DATA)
    variables, n = read(fixed, {"f": ["a", "new"], "x": [1.0, 2.0]})
    with pytest.raises(GlimmError, match=r"level 'new' of column 'f' in row 1 .* was not in the fit: known levels are 'a', 'b', 'c'"):
        replay(made.spec, variables, n)


def test_unseen_level_in_an_expression():
    made = fit("I(f)", DATA)
    variables, n = read("I(f)", {"f": ["a", "new"]})
    with pytest.raises(GlimmError, match=r"I\(f\) met levels that it does not know: 'new'"):
        replay(made.spec, variables, n)


def test_unseen_level_in_an_incomplete_row_is_no_error():
    made = fit("f + x", DATA)
    variables, n = read("f + x", {"f": ["a", "new"], "x": [1.0, np.nan]})
    assert replay(made.spec, variables, n)[1].tolist() == [True, False]


def test_kinds_may_change_where_the_meaning_is_clear():
    made = fit("b + x", DATA)
    variables, n = read("b + x", {"b": [1, 0], "x": [1, 2]})
    assert replay(made.spec, variables, n)[0].dense()[:, 1].tolist() == [1, 0]
    variables, n = read("b + x", {"b": ["yes", "no"], "x": [1, 2]})
    with pytest.raises(GlimmError, match="'b' was a number in the fit and holds 'no' now"):
        replay(made.spec, variables, n)
    made = fit("C(i)", DATA)
    variables, n = read("C(i)", {"i": [1.0, 3.0]})
    assert replay(made.spec, variables, n)[0].dense()[:, 1:].tolist() == [[0, 0], [0, 1]]


def test_state_is_the_fits():
    made = fit("center(x) + bs(z, df=4) + poly(x, 2)", DATA)
    variables, n = read("center(x) + bs(z, df=4) + poly(x, 2)", {"x": [10.0], "z": [2.0]})
    row = replay(made.spec, variables, n)[0].dense()[0]
    assert row[1] == pytest.approx(10 - DATA["x"].mean())
    with pytest.raises(GlimmError, match=r"cannot evaluate bs\(z, df=4\)"):
        replay(made.spec, read("center(x) + bs(z, df=4) + poly(x, 2)", {"x": [10.0], "z": [9.0]})[0], 1)


@pytest.mark.parametrize(
    ("fixed", "words"),
    [
        ("log(x)", r"log\(x\) is not a number in row 2 \(counting from 0\), where x = -1.0"),
        ("np.log(w)", r"np.log\(w\) is infinite in row 1 \(counting from 0\), where w = 0.0"),
        ("np.exp(x*1000)", r"is infinite in row 0 .*, where x = 1.0"),
        ("lag(x)", "lagged column in the data"),
        ("log(x)*f", r"log\(x\) is not a number"),
        ("foo(x)", "unknown function 'foo' in foo"),
        ("lgo(w)", "did you mean 'log'"),
        ("ar1(x, f)", "a random term is written ar1"),
        ("I(f + 1)", r"cannot evaluate I\(f \+ 1\)"),
        ("bs(x, df=1)", r"cannot evaluate bs\(x, df=1\)"),
        ("C(f, contr.treatment('nope'))", r"cannot evaluate .*the levels of 'f' are 'a', 'b'"),
        ("C(f, contr.treatmnt)", r"contrasts are contr\.treatment"),
        ("ns(x, 3)", r"for a smooth curve write bs\(x, df=4\)"),
        ("C(f, levels=['a'])", "does not know: 'b'"),
        ("np.pi", "no column 'np.pi'"),
        ("I(3)", "names no column"),
        ("x[0]", "depends on the other rows"),
        ("I(x - np.mean(x))", r"depends on the other rows.*center\(x\)"),
        ("I(x / x.max())", "depends on the other rows"),
        ("np.where(x > 0, 'u', 'v')", "cannot evaluate"),
        ("x +", "cannot read"),
    ],
)
def test_errors_name_the_term(fixed, words):
    data = {"x": [1.0, 2.0, -1.0, 3.0, 5.0, 4.0, 7.0], "w": [1.0, 0.0, 2.0, 1.0, 1.0, 1.0, 1.0], "f": list("ababbab")}
    with pytest.raises(GlimmError, match=words):
        fit(fixed, data)


def test_row_numbers_are_the_callers():
    data = {"x": [5.0, np.nan, -1.0]}
    variables, _ = read("log(x)", data)
    with pytest.raises(GlimmError, match="in row 2"):
        build("log(x)", variables, np.array([0, 2]), 2)


def test_too_many_columns():
    ids = np.arange(400)
    with pytest.raises(GlimmError, match=r"C\(a\):C\(b\) makes 159600 columns: model it as random effects"):
        fit("C(a):C(b)", {"a": ids, "b": ids})


def test_predictors():
    assert predictors("x + log(z)*`odd name` + C(f, contr.sum) + np.exp(x)") == ("x", "z", "odd name", "f")
    assert predictors("1") == ()
