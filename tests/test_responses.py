"""The left side and its companions: responses of every family, weights, offsets and exposures."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from designs import NAN, changed, glm, small
from glimm.data.records import ARRAY
from glimm.errors import GlimmError

# responses


@pytest.mark.parametrize(
    ("column", "levels", "event"),
    [
        ([0, 1, 1, 0, 1, 0], (0, 1), "event modelled: r = 1 (reference 0)"),
        ([0.0, 1.0, 1.0, 0.0, 1.0, 0.0], (0, 1), "event modelled: r = 1 (reference 0)"),
        ([False, True, True, False, True, False], (False, True), "event modelled: r = True (reference False)"),
        (["N", "Y", "Y", "N", "Y", "N"], ("N", "Y"), "event modelled: r = 'Y' (reference 'N')"),
        (
            pd.Categorical(["yes", "no", "no", "yes", "no", "yes"], categories=["yes", "maybe", "no"]),
            ("yes", "no"),
            "event modelled: r = 'no' (reference 'yes')",
        ),
        (pl.Series(["N", "Y", "Y", "N", "Y", "N"]), ("N", "Y"), "event modelled: r = 'Y' (reference 'N')"),
    ],
)
def test_binary(column, levels, event):
    design = glm("r ~ x", changed(r=column), "binomial")
    assert design.y.tolist() == [0, 1, 1, 0, 1, 0]
    assert design.response.kind == "binary"
    assert design.response.levels == levels
    assert design.response.success == levels[1]
    assert design.response.event == event
    assert design.trials is None


@pytest.mark.parametrize("left", ["I(use == 'Y')", "use == 'Y'", "I(s12 == 2)", "C(use)", "C(s12)", "s12 - 1"])
def test_binary_expressions(left):
    design = glm(f"{left} ~ x", changed(s12=[1, 2, 2, 1, 2, 1]), "binomial")
    assert design.y.tolist() == [0, 1, 1, 0, 1, 0]
    assert design.response.kind == "binary"
    assert design.response.name == left.removeprefix("C(").removesuffix(")" if left.startswith("C(") else "")


def test_two_levels_left_after_missing_rows():
    data = changed(use=["N", "Y", "Y", "N", "Y", "other"], x=[0.5, 1.0, 2.0, 3.0, 4.5, None])
    assert glm("use ~ x", data, "binomial").response.levels == ("N", "Y")


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ([1, 2, 2, 1, 2, 1], r"coded 1/2, not 0/1: write I\(r == 2\)"),
        ([-1, 1, 1, -1, 1, -1], r"coded -1/1, not 0/1: write I\(r == 1\)"),
        ([0, 1, 2, 0, 1, 0], r"is 2 in row 2 \(counting from 0\)"),
        ([0.2, 0.5, 0.1, 0.9, 1, 0], r"is a proportion \(0.2 in row 0.*write successes / trials"),
        (["a", "b", "c", "a", "b", "a"], r"has 3 levels \('a', 'b', 'c'\).*I\(r == 'c'\)"),
        (["a"] * 6, "'r' is 'a' in all rows used"),
        ([True] * 6, "'r' is True in all rows used"),
        ([0] * 6, "'r' is 0 in all rows used: there is nothing to estimate"),
        ([1] * 6, "'r' is 1 in all rows used"),
    ],
)
def test_refused_binary(column, words):
    with pytest.raises(GlimmError, match=words):
        glm("r ~ x", changed(r=column), "binomial")


@pytest.mark.parametrize("left", ["s / n", "cbind(s, n - s)", "s / 5", "s / (n + 0)"])
def test_trials(left):
    design = glm(f"{left} ~ x", small(), "binomial")
    np.testing.assert_allclose(design.y, [0, 0.2, 0.4, 0.6, 0.8, 1])
    np.testing.assert_allclose(design.trials, 5)
    assert design.response.kind == "trials"
    assert "event modelled: successes 's'" in design.response.event
    weighted = glm(f"{left} ~ x", small(), "binomial", weights="w")
    np.testing.assert_allclose(weighted.size, 5 * np.array(small()["w"]))


def test_trials_with_missing_rows():
    design = glm("s / n ~ x", changed(n=[5, None, 5, 5, 5, 5]), "binomial")
    assert design.rows.tolist() == [0, 2, 3, 4, 5]
    np.testing.assert_allclose(design.y, [0, 0.4, 0.6, 0.8, 1])


@pytest.mark.parametrize(
    ("left", "columns", "words"),
    [
        ("s / n", {"s": [0, 1, 6, 3, 4, 5]}, r"successes s = 6 exceed trials n = 5 \(row 2"),
        ("s / n", {"s": [0, 1.5, 2, 3, 4, 5]}, r"s is 1.5: counts must be whole numbers \(row 1"),
        ("s / n", {"s": [0, -1, 2, 3, 4, 5]}, r"s is -1: counts cannot be negative \(row 1"),
        ("s / n", {"n": [0, 5, 5, 5, 5, 5]}, r"s / n has no trials \(row 0"),
        ("s / n", {"s": [0] * 6}, "s / n is 0 in all rows used"),
        ("s / n", {"s": [5] * 6}, "s / n is 1 in all rows used"),
        ("cbind(s, n)", {"n": [5, 5, 5, -1, 5, 5]}, r"n is -1: counts cannot be negative \(row 3"),
        ("cbind(s, n)", {"s": [0, 1, 0, 0, 0, 0], "n": [0, 1, 1, 1, 1, 1]}, r"has no trials \(row 0"),
        ("s / use", {}, "'use' in the response is not a number"),
    ],
)
def test_refused_trials(left, columns, words):
    with pytest.raises(GlimmError, match=words):
        glm(f"{left} ~ x", changed(**columns), "binomial")


def test_trials_need_a_binomial_family():
    with pytest.raises(GlimmError, match=r"has trials, which family 'poisson' does not.*I\(a / b\)"):
        glm("s / n ~ x", small(), "poisson")
    np.testing.assert_allclose(glm("I(s / n) ~ x", small()).y, [0, 0.2, 0.4, 0.6, 0.8, 1])


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ([0, 1, -2, 1, 1, 1], r"'r' is -2: family 'poisson' needs counts, which cannot be negative \(row 2"),
        ([0, 1.5, 2, 1, 1, 1], r"'r' is 1.5: counts must be whole numbers; .*exposure= .*\(row 1"),
        (["a", "b", "a", "b", "a", "b"], r"'r' is not a number \(it holds 'a', 'b'\): family 'poisson'"),
        ([0] * 6, "'r' is 0 in all rows used"),
    ],
)
def test_refused_counts(column, words):
    with pytest.raises(GlimmError, match=words):
        glm("r ~ x", changed(r=column), "poisson")


def test_counts_and_numbers():
    assert glm("s ~ x", small(), "poisson").y.tolist() == [0, 1, 2, 3, 4, 5]
    assert glm("b ~ x", changed(b=[True, False] * 3), "poisson").y.tolist() == [1, 0, 1, 0, 1, 0]
    np.testing.assert_allclose(glm("log(y) ~ x", small()).y, np.log(small()["y"]))
    assert glm("np.log(y) ~ x", small()).response.name == "np.log(y)"
    np.testing.assert_allclose(glm("I(y - np.mean(y)) ~ x", small()).y, np.array(small()["y"]) - 3.5)
    assert glm("`my y` ~ x", {"my y": [1, 2, 3], "x": [1, 2, 4]}).y.tolist() == [1, 2, 3]


def test_refused_numbers():
    with pytest.raises(GlimmError, match=r"'use' is not a number \(it holds 'N', 'Y'\): family 'gaussian'"):
        glm("use ~ x", small())
    with pytest.raises(GlimmError, match=r"log\(y\) is not a number in row 2"):
        glm("log(y) ~ x", changed(y=[1.0, 2, -1, 3, 4, 5]))
    with pytest.raises(GlimmError, match="gives 2 columns"):
        glm("poly(y, 2) ~ x", small())


# weights, offset, exposure


def test_weights():
    assert glm("y ~ x", small(), weights="w").weights.tolist() == small()["w"]
    assert glm("y ~ x", small(), weights=np.arange(1.0, 7)).weights.tolist() == [1, 2, 3, 4, 5, 6]
    assert glm("y ~ x", small()).weights is None
    assert glm("y ~ x", changed(x=[NAN, 1, 2, 3, 4, 5]), weights=np.arange(1.0, 7)).weights.tolist() == [2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weights": [1, 1, 0, 1, 1, 1]}, r"'weights': 0 in row 2 .*drop rows of weight zero"),
        ({"weights": [1, -1, 0, 1, 1, 1]}, r"-1 in row 1 .*must be positive"),
        ({"weights": [1, 1]}, "'weights' has 2 values but the data have 6 rows"),
        ({"weights": "use"}, "weights 'use' holds strings: give numbers"),
        ({"weights": 2.0}, "'weights' is a single value"),
        ({"offset": "use"}, "offset 'use' holds strings"),
        ({"exposure": [1, 2, 0, 1, 1, 1]}, r"exposure 'exposure' is 0 in row 2 .*must be positive"),
        ({"exposure": "s"}, r"exposure 's' is 0 in row 0"),
        ({"offset": [1, 2, np.inf, 1, 1, 1]}, "'offset' is infinite"),
    ],
)
def test_refused_arguments(options, words):
    with pytest.raises(GlimmError, match=words):
        glm("y ~ x", small(), **options)


def test_offsets_add_up():
    t = np.array(small()["t"])
    base = np.arange(6.0)
    assert glm("s ~ x", small(), "poisson").mean.offset is None
    design = glm("s ~ x + offset(log(t)) + offset(w)", small(), "poisson", offset=base, exposure="t")
    np.testing.assert_allclose(design.mean.offset, base + 2 * np.log(t) + small()["w"])
    assert design.mean.names == ("Intercept", "x")
    assert (design.spec.offset, design.spec.exposure) == (ARRAY, "t")
    with pytest.raises(GlimmError, match=r"offset\(use\) must be one number per row"):
        glm("s ~ x + offset(use)", small(), "poisson")
    with pytest.raises(GlimmError, match=r"log\(s\) is infinite in row 0"):
        glm("y ~ x + offset(log(s))", small())


def test_offset_array_is_not_written_to():
    base = np.arange(6.0)
    glm("s ~ x", small(), "poisson", offset=base, exposure="t")
    assert base.tolist() == list(range(6))
