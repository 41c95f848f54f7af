"""The command line: the API's numbers, results and messages apart, an exit status that scripts can trust."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm.cli import main

README = Path(__file__).parents[1] / "README.md"
LOGIT = ("--family", "binomial")


def glimm_process(*words, **more):
    return subprocess.run([sys.executable, "-m", "glimm", *words], capture_output=True, text=True, timeout=60, **more)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(8)
    g, x = np.repeat(np.arange(15), 4), rng.normal(size=60)
    y = x + np.repeat(rng.normal(size=15), 4) + rng.normal(size=60)
    frame = pd.DataFrame({"g": g, "h": np.tile(np.arange(6), 10), "x": x, "y": y, "b": (y > 0).astype(int), "t": np.tile(np.arange(4), 15)})
    frame["n"] = rng.poisson(np.exp(0.5 + 0.2 * x))
    frame["count"] = 1 + np.arange(60) % 3
    return frame.assign(w=rng.uniform(1, 2, 60), time=rng.uniform(1, 9, 60), word="a", one=1, same=np.r_[[np.nan] * 3, x[3:] > 0])


@pytest.fixture(scope="module")
def csv(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "data.csv"
    data.to_csv(path, index=False)
    return str(path)


@pytest.fixture
def run(csv, capsys):
    """Run main on the words, 'data' standing for the file: exit status, standard output, standard error."""

    def call(*words):
        capsys.readouterr()
        status = main([csv if word == "data" else word for word in words])
        return (status, *capsys.readouterr())

    return call


def numbers(run, *words, status=0):
    code, out, err = run(*words, "--json")
    assert (code, err) == (status, "") or status
    return json.loads(out, parse_constant=pytest.fail)


# results


FITS = {
    "glm": (("y ~ x",), lambda d: glimm.glm("y ~ x", d)),
    "glm options": (
        ("n ~ x", "--family", "poisson", "--exposure", "time", "--weights", "w", "--vcov", "HC1"),
        lambda d: glimm.glm("n ~ x", d, family="poisson", exposure="time", weights="w", vcov="HC1"),
    ),
    "glm link": (("b ~ x", *LOGIT, "--link", "probit"), lambda d: glimm.glm("b ~ x", d, family="binomial", link="probit")),
    "glm two ways": (
        ("y ~ x", "--cluster", "g", "--cluster", "h", "--small"),
        lambda d: glimm.glm("y ~ x", d, vcov={"cluster": ["g", "h"], "small": True}),
    ),
    "glm scale": (
        ("n ~ x", "--family", "poisson", "--scale", "deviance"),
        lambda d: glimm.glm("n ~ x", d, family="poisson", scale="deviance"),
    ),
    "glm given scale": (("y ~ x", "--scale", "2.5"), lambda d: glimm.glm("y ~ x", d, scale=2.5)),
    "glm penalty": (("b ~ x", *LOGIT, "--penalty", "firth"), lambda d: glimm.glm("b ~ x", d, family="binomial", penalty="firth")),
    "glm frequency": (("y ~ x", "--frequency", "count"), lambda d: glimm.glm("y ~ x", d, weights=glimm.frequency("count"))),
    "glm sampling": (("y ~ x", "--sampling", "w"), lambda d: glimm.glm("y ~ x", d, weights=glimm.sampling("w"))),
    "glmm robust": (
        ("b ~ x + (1 | g)", *LOGIT, "--points", "7", "--cluster", "g"),
        lambda d: glimm.glmm("b ~ x + (1 | g)", d, family="binomial", points=7, vcov={"cluster": "g", "small": False}),
    ),
    "lmm": (("y ~ x + (1 | g)",), lambda d: glimm.glmm("y ~ x + (1 | g)", d)),
    "lmm ml": (("y ~ x + (1 | g)", "--ml", "--offset", "t"), lambda d: glimm.glmm("y ~ x + (1 | g)", d, reml=False, offset="t")),
    "glmm": (("b ~ x + (1 | g)", *LOGIT, "--points", "7"), lambda d: glimm.glmm("b ~ x + (1 | g)", d, family="binomial", points=7)),
    "gee": (
        ("y ~ x", "--gee", "--groups", "g", "--time", "t", "--corr", "ar1", "--moments", "geepack", "--vcov", "model"),
        lambda d: glimm.gee("y ~ x", d, groups="g", time="t", corr="ar1", moments="geepack", vcov="model"),
    ),
    "missing": (("y ~ x + same",), lambda d: glimm.glm("y ~ x + same", d)),
}


@pytest.mark.parametrize("case", FITS)
def test_fit_gives_the_numbers_of_the_api(case, run, csv):
    words, api = FITS[case]
    fit = api(glimm.read(csv))
    status, out, err = run("fit", *words[:1], "data", *words[1:])
    assert (status, out, err) == (0, f"{fit.summary()}\n", "")
    said = numbers(run, "fit", *words[:1], "data", *words[1:], "--level", "0.9")
    pd.testing.assert_frame_equal(pd.DataFrame(said["coefficients"]), fit.tidy(level=0.9), check_exact=True)
    assert said["nobs"] == fit.nobs
    assert said["n_dropped"] == fit.missing.n_dropped
    assert said["missing"] == dict(fit.missing.by_variable)
    assert (said["formula"], said["family"], said["link"]) == (words[0], fit.record.family.name, fit.record.design.mean.link.name)
    assert (said["converged"], said["solution"]["code"]) == (True, fit.record.solution.code)
    assert (said["scale"], said["df_resid"], said["level"]) == (fit.scale, fit.df_resid, 0.9)
    for key in ("llf", "aic", "bic"):
        assert said[key] == getattr(fit, key, None)
    if case in ("lmm", "lmm ml", "glmm"):
        pd.testing.assert_frame_equal(pd.DataFrame(said["varcorr"]), fit.varcorr(), check_exact=True)
        assert said["groups"] == [{"name": "g", "levels": 15}]
    if case == "gee":
        assert said["corr_params"] == fit.corr_params.to_dict()


PARTS = {
    "zero": (("n ~ x", "--family", "poisson", "--zero", "~ 1"), lambda d: glimm.glm("n ~ x", d, family="poisson", zero="~ 1")),
    "dispersion": (
        ("y ~ x", "--dispersion", "~ x", "--cluster", "g"),
        lambda d: glimm.glm("y ~ x", d, dispersion="~ x", vcov={"cluster": "g"}),
    ),
}


@pytest.mark.parametrize("case", PARTS)
@pytest.mark.filterwarnings("ignore::glimm.GlimmWarning")
def test_fits_in_parts_give_the_numbers_of_the_api(case, run, csv):
    words, api = PARTS[case]
    fit = api(glimm.read(csv))
    command = ("fit", words[0], "data", *words[1:])
    assert run(*command)[1] == f"{fit.summary()}\n"
    said = json.loads(run(*command, "--json", "--effect", "x")[1], parse_constant=pytest.fail)
    found = pd.DataFrame(said["coefficients"]).astype(fit.tidy().dtypes.to_dict())
    pd.testing.assert_frame_equal(found, fit.tidy(), check_exact=True)
    assert (said["llf"], said["aic"], said["bic"], said["df_resid"]) == (fit.llf, fit.aic, fit.bic, fit.df_resid)
    assert said["effects"][0]["estimate"] == fit.effect("x")["estimate"][0]
    assert list(said["parts"]) == [case]
    status, out, err = run(*command, "--check")
    assert (status, out) == (1, "")
    assert "fit.check is not there" in err


def test_the_keys_are_those_of_the_help(run):
    _, out, _ = run("fit", "--help")
    listed = out.partition("one object: ")[2].partition("version")[0]
    for words in (("y ~ x",), ("b ~ x + (1 | g)", *LOGIT), ("y ~ x", "--gee", "--groups", "g")):
        said = numbers(run, "fit", words[0], "data", *words[1:])
        assert [key for key in said if key != "version"] == re.findall(r"\w+", re.sub(r"\{[^}]*\}|\[[^]]*\]", "", listed))
        assert list(said["solution"]) == ["code", "message"]


def test_the_level_is_that_of_the_summary(run):
    _, out, _ = run("fit", "y ~ x", "data", "--level", "0.9")
    assert "90 % interval" in out


def test_compare(run, csv):
    data = glimm.read(csv)
    fits = glimm.glm("b ~ x", data, family="binomial"), glimm.glmm("b ~ x + (1 | g)", data, family="binomial", points=5)
    fits = (*fits, glimm.gee("b ~ x", data, groups="g", family="binomial", time="t", corr="ar1"))
    expected = glimm.compare(*fits)
    more = ("--time", "t", "--corr", "ar1", "--points", "5", *LOGIT)
    assert run("compare", "b ~ x", "data", "--groups", "g", *more) == (0, f"{expected}\n", "")
    for words in (("b ~ x + (1 | g)", "data"), ("b ~ x", "data", "--random", "1", "--groups", "g")):
        said = numbers(run, "compare", *words, *more)
        pd.testing.assert_frame_equal(pd.DataFrame(said["table"]), expected.table, check_exact=True)
        assert said["notes"] == list(expected.notes)
        assert [fit["model"] for fit in said["fits"]] == ["GLM", "GLMM", "GEE"]
        assert said["fits"][1]["llf"] == fits[1].llf


EFFECTS = {
    "glm": (("b ~ x", *LOGIT), lambda d: glimm.glm("b ~ x", d, family="binomial"), {}),
    "glm ratio": (("b ~ x", *LOGIT, "--contrast", "ratio"), lambda d: glimm.glm("b ~ x", d, family="binomial"), {"contrast": "ratio"}),
    "glmm": (
        ("b ~ x + (1 | g)", *LOGIT, "--points", "7", "--contrast", "odds_ratio", "--target", "typical"),
        lambda d: glimm.glmm("b ~ x + (1 | g)", d, family="binomial", points=7),
        {"contrast": "odds_ratio", "target": "typical"},
    ),
    "gee": (("b ~ x", *LOGIT, "--gee", "--groups", "g"), lambda d: glimm.gee("b ~ x", d, groups="g", family="binomial"), {}),
    "gaussian": (("y ~ x",), lambda d: glimm.glm("y ~ x", d), {}),
}


@pytest.mark.parametrize("case", EFFECTS)
def test_effect_gives_the_numbers_of_the_api(case, run, csv):
    words, api, more = EFFECTS[case]
    fit = api(glimm.read(csv))
    expected = fit.effect("x", **more, level=0.9)
    words = ("fit", words[0], "data", *words[1:], "--effect", "x", "--level", "0.9")
    said = numbers(run, *words)
    pd.testing.assert_frame_equal(pd.DataFrame(said["effects"]), expected, check_exact=True)
    status, out, err = run(*words)
    assert (status, err) == (0, "")
    assert out.startswith(f"{fit.summary(level=0.9)}\n\n\nAverage effect of x: ")
    row = next(line for line in out.partition("Average effect")[2].splitlines() if line.startswith(expected["contrast"].iloc[0]))
    shown = [float(text) for text in row.removeprefix(expected["contrast"].iloc[0]).replace(" to ", " ").replace("<", "").split()]
    names = ("estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "mean_from", "mean_to")
    assert shown == pytest.approx(expected[list(names)].to_numpy()[0], abs=0.006)
    assert "the 60 rows used" in out
    assert ("on the log scale" in out) == ("contrast" in more)
    assert ("typical cluster" in out) == (more.get("target") == "typical")


def test_effects_side_by_side(run, csv):
    data = glimm.read(csv)
    fits = glimm.glm("b ~ x", data, family="binomial"), glimm.glmm("b ~ x + (1 | g)", data, family="binomial", points=5)
    expected = glimm.compare(*fits, glimm.gee("b ~ x", data, groups="g", family="binomial"), effect="x", contrast="ratio")
    words = ("compare", "b ~ x", "data", "--groups", "g", "--points", "5", *LOGIT, "--effect", "x", "--contrast", "ratio")
    assert run(*words) == (0, f"{expected}\n", "")
    said = numbers(run, *words)
    pd.testing.assert_frame_equal(pd.DataFrame(said["effects"]), expected.effects, check_exact=True)
    listed = run("compare", "--help")[1].partition("one object: ")[2].partition(".\n")[0]
    assert list(said) == re.findall(r"\w+", re.sub(r"\([^)]*\)|\[[^]]*\]", "", listed))
    assert list(said["effects"][0]) == re.findall(r"\w+", re.search(r"effects \[\{([^}]*)", listed).group(1))


def test_what_effects_refuse(run):
    for words in (("fit", "y ~ x", "data"), ("compare", "y ~ x", "data", "--groups", "g")):
        status, out, err = run(*words, "--effect", "xx")
        assert (status, out) == (1, "")
        assert err == "glimm: effect: no predictor 'xx' in the model: did you mean 'x'? (have: x)\n"
    assert run("fit", "y ~ x", "data", "--effect", "x", "--contrast", "odds_ratio")[2].startswith(
        "glimm: effect: an odds ratio needs averages"
    )
    assert run("fit", "y ~ x", "data", "--effect", "x", "--target", "marginal")[0] == 0


def test_advise(run, csv):
    data = glimm.read(csv)
    expected = glimm.advise("b ~ x", data, groups="g", time="t", question="population")
    words = ("advise", "b ~ x", "data", "--groups", "g", "--time", "t", "--question", "population")
    assert run(*words) == (0, f"{expected}\n", "")
    said = numbers(run, *words)
    assert (said["model"], said["calls"]) == ("gee", expected.calls)
    assert [doubt["code"] for doubt in said["doubts"]] == [doubt.code for doubt in expected.doubts]
    assert said["answers"][0]["reasons"][0]["evidence"] == pytest.approx(dict(expected.answers[0].reasons[0].evidence))
    listed = run("advise", "--help")[1].partition("one object: ")[2].partition(";")[0]
    assert list(said) == re.findall(r"\w+", re.sub(r"\{[^}]*\}|\[[^]]*\]", "", listed))
    both = glimm.advise("n ~ x", data, groups=["g", "h"], family="poisson", exposure="time")
    more = ("--groups", "g", "--groups", "h", "--family", "poisson", "--exposure", "time")
    assert run("advise", "n ~ x", "data", *more)[1] == f"{both}\n"


def test_what_advise_refuses(run):
    assert run("advise", "b ~ x", "data", "--groups", "gg")[::2] == (
        1,
        "glimm: no column 'gg' in the data, needed by groups=: did you mean 'g'? "
        "(have: g, h, x, y, b, t, n, count, w, time, word, one, same)\n",
    )
    assert run("advise", "b ~ x", "data", "--question", "averages")[0] == 2
    assert run("advise", "b ~ x", "data", "--reml")[0] == 2


def test_compare_keeps_offsets_of_the_formula_and_odd_names(run, data, tmp_path):
    path = tmp_path / "odd.csv"
    data.rename(columns={"g": "my group"}).to_csv(path, index=False)
    said = numbers(run, "compare", "y ~ x + offset(t)", str(path), "--groups", "my group")
    assert [fit["formula"] for fit in said["fits"]] == [
        "y ~ x + offset(t)",
        "y ~ x + offset(t) + (1 | `my group`)",
        "y ~ x + offset(t)",
    ]
    assert [fit["groups"] for fit in said["fits"]] == [None, *[[{"name": "my group", "levels": 15}]] * 2]


def test_data_from_standard_input_and_by_name(run, csv, monkeypatch, tmp_path):
    expected = run("fit", "y ~ x", "data")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path(csv).read_bytes())))
    assert run("fit", "y ~ x", "-") == expected
    monkeypatch.chdir(tmp_path)
    assert "2148 used of 2148" in run("fit", "resp ~ age", "ohio")[1]
    Path("ohio").write_bytes(Path(csv).read_bytes())  # a file of that name comes first
    assert run("fit", "y ~ x", "ohio") == expected


def test_demo(run, tmp_path):
    status, out, err = run("demo", "--out", str(tmp_path / "x.png"))
    assert (status, err) == (0, "")
    assert "537 children" in out
    assert (tmp_path / "x.png").exists()


def test_report(run, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(glimm, "report", lambda result, path: written.append((result, path)), raising=False)
    path = str(tmp_path / "r.html")
    status, out, err = run("fit", "y ~ x", "data", "--report", path)
    assert (status, err) == (0, f"glimm: report written to {path}\n")
    assert out.startswith("GLM")
    status, out, err = run("compare", "y ~ x", "data", "--groups", "g", "--report", path, "--json")
    assert (status, err) == (0, f"glimm: report written to {path}\n")
    json.loads(out)
    assert [(type(result).__name__, where) for result, where in written] == [("GlmFit", path), ("Comparison", path)]


@pytest.mark.skipif(not callable(getattr(glimm, "report", None)), reason="glimm.report is not in this release")
def test_report_is_written(run, tmp_path):
    for words in (("fit", "y ~ x", "data"), ("compare", "y ~ x", "data", "--groups", "g")):
        path = tmp_path / f"{words[0]}.html"
        assert run(*words, "--report", str(path))[0] == 0
        assert "<html" in path.read_text(encoding="utf-8")


# what is wrong


MEND = {
    "wrong column": (("y ~ xx", "data"), "no column 'xx' in the data: did you mean 'x'?"),
    "wrong groups": (("y ~ x", "data", "--gee", "--groups", "gg"), "no column 'gg' in the data.*did you mean 'g'"),
    "wrong weights": (("y ~ x", "data", "--weights", "ww"), "no column 'ww'.*did you mean 'w'"),
    "wrong cluster": (("y ~ x", "data", "--cluster", "gg"), "no column 'gg'"),
    "words as offset": (("y ~ x", "data", "--offset", "word"), "offset 'word' holds strings: give numbers"),
    "no tilde": (("y x", "data"), "has no '~'"),
    "no file": (("y ~ x", "nosuch.csv"), "no file 'nosuch.csv'"),
    "no data set": (("y ~ x", "ohioo"), "did you mean 'ohio'"),
    "family": (("y ~ x", "data", "--family", "binomal"), "unknown family 'binomal': did you mean 'binomial'"),
    "link": (("y ~ x", "data", "--link", "logitt"), "unknown link 'logitt': did you mean 'logit'"),
    "corr": (("y ~ x", "data", "--gee", "--groups", "g", "--corr", "ar"), "'ar'"),
    "one cluster": (("y ~ x", "data", "--gee", "--groups", "one"), "a single cluster"),
    "reml of a glmm": (("b ~ x + (1 | g)", "data", *LOGIT, "--reml"), "reml=True has a meaning for gaussian"),
    "points": (("b ~ x + (1 | g)", "data", *LOGIT, "--points", "0"), "points must be 'auto' or a whole number"),
    "vcov": (("y ~ x", "data", "--vcov", "HC9"), "'HC9' is not a covariance of a GLM"),
    "iterations": (("y ~ x", "data", "--max-iter", "0"), "max_iter must be a whole number of at least 1"),
    "missing": (("y ~ same", "data", "--missing", "error"), "same"),
}


@pytest.mark.parametrize("case", MEND)
@pytest.mark.parametrize("machine", [False, True])
def test_something_to_mend_is_one_line(case, machine, run):
    words, message = MEND[case]
    status, out, err = run("fit", *words, *(["--json"] if machine else []))
    assert (status, out) == (1, "")
    assert re.fullmatch(f"glimm: .*{message}.*\n", err), err


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "is empty"), (b"y,x\n", "has a header line but no rows"), (b"y,x\n1\n", "line 2 has 1 field")]
)
def test_files_that_cannot_be_used(content, message, run, tmp_path):
    (tmp_path / "a.csv").write_bytes(content)
    status, out, err = run("fit", "y ~ x", str(tmp_path / "a.csv"))
    assert (status, out) == (1, "")
    assert message in err


USAGE = {
    "nothing": ((), "examples:"),
    "unknown command": (("fitt",), "unknown command 'fitt': did you mean 'fit'"),
    "unknown option": (("fit", "y ~ x", "data", "--famly=binomial"), "unknown option --famly: did you mean '--family'"),
    "abbreviated option": (("fit", "y ~ x", "data", "--fam", "binomial"), "unknown option --fam: did you mean '--family'"),
    "formula without marks": (("fit", "y", "~", "x", "data"), "too many words, from 'x' on: put quotation marks around the formula"),
    "data first": (("fit", "data", "y ~ x"), "the formula comes before the data: glimm fit 'y ~ x'"),
    "no data": (("fit", "y ~ x"), "required: DATA"),
    "gee without groups": (("fit", "y ~ x", "data", "--gee"), "--gee needs the clusters: --groups COLUMN"),
    "gee with bars": (("fit", "y ~ x + (1 | g)", "data", "--gee", "--groups", "g"), r"leave out \(1 \| g\), or --gee"),
    "corr without gee": (("fit", "y ~ x", "data", "--corr", "ar1"), "--corr goes with --gee"),
    "points without bars": (("fit", "y ~ x", "data", "--points", "5"), "--points goes with a mixed model"),
    "ml without bars": (("fit", "y ~ x", "data", "--ml"), "--ml goes with a mixed model"),
    "cluster of a gee": (("fit", "y ~ x", "data", "--gee", "--groups", "g", "--cluster", "g"), "--cluster is not for a GEE"),
    "contrast alone": (("fit", "y ~ x", "data", "--contrast", "ratio"), "--contrast goes with --effect VARIABLE"),
    "contrast alone in compare": (("compare", "y ~ x", "data", "--groups", "g", "--contrast", "ratio"), "--contrast goes with --effect"),
    "target alone": (("fit", "y ~ x + (1 | g)", "data", "--target", "typical"), "--target goes with --effect VARIABLE"),
    "target of a glm": (("fit", "y ~ x", "data", "--effect", "x", "--target", "typical"), "--target typical goes with a mixed model"),
    "no such contrast": (("fit", "y ~ x", "data", "--effect", "x", "--contrast", "odds"), "--contrast: invalid choice: 'odds'"),
    "penalty of a gee": (("fit", "b ~ x", "data", "--gee", "--groups", "g", "--penalty", "firth"), "--penalty goes with a GLM"),
    "two weights": (("fit", "y ~ x", "data", "--weights", "w", "--sampling", "w"), "--weights and --sampling are different meanings"),
    "both": (("fit", "y ~ x", "data", "--cluster", "g", "--vcov", "HC1"), "two answers to one question"),
    "small alone": (("fit", "y ~ x", "data", "--small"), "--small goes with --cluster"),
    "level": (("fit", "y ~ x", "data", "--level", "95"), "--level: must be between 0 and 1, for example 0.95, not '95'"),
    "no level": (("fit", "y ~ x", "data", "--level", "high"), "must be between 0 and 1"),
    "points": (("fit", "y ~ x + (1 | g)", "data", "--points", "many"), "--points: must be auto or a whole number"),
    "compare without groups": (("compare", "y ~ x", "data"), "compare needs the clusters: --groups COLUMN"),
    "demo into a directory": (("demo", "--out", "."), "'.' is a directory"),
    "two random parts": (("compare", "y ~ x + (1 | g)", "data", "--random", "1"), "random effects of its own"),
}


@pytest.mark.parametrize("case", USAGE)
def test_wrong_usage(case, run):
    words, message = USAGE[case]
    status, out, err = run(*words)
    assert (status, out) == (2, "")
    assert err.startswith("usage: glimm ")
    assert re.search(message, err), err


def test_the_report_is_thought_of_before_the_fit(run, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(glimm, "report", fail, raising=False)
    for path, message in ((tmp_path, "is a directory"), (tmp_path / "no" / "a.html", "there is no directory")):
        status, out, err = run("fit", "y ~ x", "data", "--report", str(path))
        assert (status, out) == (1, "")
        assert message in err
    status, out, err = run("fit", "y ~ x", "data", "--report", str(tmp_path / "a.html"))
    assert status == 1
    assert out.startswith("GLM")
    assert "a.html' cannot be written: No space left on device" in err
    monkeypatch.setattr(glimm, "report", None, raising=False)
    assert run("fit", "y ~ x", "data", "--report", "a.html")[0] == 1


def test_warnings_and_failed_fits(run, tmp_path):
    status, out, err = run("fit", "b ~ x", "data", *LOGIT, "--max-iter", "1")
    assert status == 3
    assert out.startswith("GLM")
    assert err.splitlines() == [
        "glimm: warning: no convergence in 2 passes",
        "glimm: GLM: not converged; do not use these numbers as they are",
    ]
    pd.DataFrame({"y": [0, 0, 0, 1, 1, 1], "x": range(6), "g": [0, 0, 1, 1, 2, 2]}).to_csv(tmp_path / "apart.csv", index=False)
    said = numbers(run, "fit", "y ~ x", str(tmp_path / "apart.csv"), *LOGIT, status=3)
    assert (said["converged"], said["solution"]["code"]) == (False, "separated")
    flat = pd.DataFrame({"y": np.random.default_rng(1).normal(size=40), "g": np.repeat(range(10), 4)})
    flat["y"] -= 0.7 * flat.groupby("g")["y"].transform("mean")
    flat.to_csv(tmp_path / "flat.csv", index=False)
    status, _, err = run("compare", "y ~ 1", str(tmp_path / "flat.csv"), "--groups", "g")
    assert status == 0  # a variance of zero is an estimate
    assert re.search(r"^glimm: warning: mixed model: .*variance of g\.Intercept is zero", err, re.M)


def test_numbers_that_json_does_not_have_are_null(run, tmp_path):
    pd.DataFrame({"y": [1.0, 2.0], "x": [1.0, 2.0]}).to_csv(tmp_path / "two.csv", index=False)
    err = run("fit", "y ~ x", str(tmp_path / "two.csv"))[2]
    assert "RuntimeWarning" not in err
    said = json.loads(run("fit", "y ~ x", str(tmp_path / "two.csv"), "--json")[1], parse_constant=pytest.fail)
    assert None in said["coefficients"][0].values()


# the process


def test_as_a_process(csv, tmp_path):
    done = glimm_process("fit", "y ~ x", "-", "--json", input=Path(csv).read_text(encoding="utf-8"))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["nobs"] == 60
    done = glimm_process("fit", "y ~ xx", csv)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("glimm: no column 'xx'")
    assert done.stderr.count("\n") == 1


def test_help_and_version_load_nothing_heavy():
    shown = subprocess.run([sys.executable, "-X", "importtime", "-m", "glimm", "--help"], capture_output=True, text=True, check=True)
    assert "glimm compare" in shown.stdout
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in shown.stderr.splitlines() if "|" in line}
    assert "glimm" in loaded
    assert not loaded & {"pandas", "scipy", "formulaic", "narwhals", "polars", "pyarrow", "matplotlib"}
    assert glimm_process("--version").stdout == f"glimm {glimm.__version__}\n"


@pytest.mark.skipif(os.name == "nt", reason="signals and pipes of POSIX")
def test_an_interrupt_and_a_reader_that_leaves_are_quiet(csv):
    words = [sys.executable, "-m", "glimm", "fit", "y ~ x"]
    with subprocess.Popen([*words, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        time.sleep(1.0)  # it waits for standard input by now
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == (b"", b"")
        assert process.returncode == 130
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as nobody:
        done = subprocess.run([*words, csv], stdout=nobody, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (141, b"")
    if Path("/dev/full").exists():
        with open("/dev/full", "wb") as full:
            done = subprocess.run([*words, csv], stdout=full, stderr=subprocess.PIPE, check=False)
        assert (done.returncode, done.stderr) == (1, b"glimm: standard output cannot be written: No space left on device\n")


def test_the_entry_point_is_named():
    import tomllib

    project = tomllib.loads((README.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"glimm": "glimm.cli:main"}


def test_the_examples_of_the_readme_and_of_the_help(run, tmp_path, monkeypatch):
    blocks = re.findall(r"```console\n\$ glimm (.*?)\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    assert blocks
    for words, expected in blocks:
        status, out, err = run(*shlex.split(words))
        assert (status, err) == (0, "")
        assert [line.rstrip() for line in out.rstrip().splitlines()] == expected.rstrip().splitlines()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(glimm, "report", lambda *_: None, raising=False)
    helped = "".join(run(command, "--help")[1] for command in ("fit", "compare"))
    examples = [line for line in re.findall(r"^  glimm (.*)", helped, re.M) if "<" not in line]
    assert len(examples) >= 5
    for words in examples:
        assert run(*shlex.split(words))[0] == 0
