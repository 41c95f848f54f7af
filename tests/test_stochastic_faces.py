"""What is said of a fit whose search took random probes: its record is an exact fit's with an account of probes put into it.

Errors are the ones put in: of AIC and BIC twice, of a likelihood-ratio statistic 2 sqrt(e1^2 + e2^2).
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

import glimm
from glimm import cli
from glimm.cli import main
from glimm.errors import GlimmError
from glimm.estimators.conditional import conditional_variances
from glimm.fit import GlmmFit
from glimm.inference.likelihood_ratio import MOST_ERROR
from glimm.interop.maketables import stat, stat_keys
from glimm.records import Stochastic

EXACT = Stochastic(probes=8, seed=0, block=5000, exact=True, iterations=31)
NEAR = Stochastic(probes=8, seed=3, block=31000, exact=False, llf_error=0.42, estimate_error=0.011, iterations=64)
FAR = replace(NEAR, llf_error=2.5, estimate_error=0.12)
UNTOLD = replace(NEAR, estimate_error=float("nan"))


CROSSED = "y ~ x + (1 | a) + (1 | b)"


def rows():
    rng = np.random.default_rng(5)
    a, b, x = rng.integers(0, 30, 600), rng.integers(0, 12, 600), rng.normal(size=600)
    y = 1.0 + 0.5 * x + rng.normal(size=30)[a] + 0.7 * rng.normal(size=12)[b] + rng.normal(size=600)
    return pd.DataFrame({"y": y, "x": x, "a": a, "b": b})


@cache
def exact(formula=CROSSED, reml=False):
    return glimm.glmm(formula, rows(), reml=reml)


def fit_with(how, *args):
    return GlmmFit(replace(exact(*args).record, stochastic=how), "model")


def test_an_exact_fit_says_nothing_of_it():
    fit = exact()
    assert fit.record.stochastic is None
    assert fit.llf_error == 0.0
    assert not any(word in f"{fit.summary()}{fit.check()}" for word in ("Krylov", "Monte"))
    assert not any("error" in name for name in fit.glance().columns)


def test_the_account_of_probes_alone_differs_in_a_summary():
    """Of a fit that ended exactly one line is added to the summary, and nothing else of the fit differs."""
    fit, plain = fit_with(EXACT), exact()
    said = "Krylov, 8 probes (seed 0); log-likelihood exact by one factorisation of 5,000 effects"
    text, before = (" ".join(str(f.summary()).split()) for f in (fit, plain))
    assert text.replace(f" engine: {said}", "") == before != text
    assert said in fit.summary()._repr_html_()
    assert fit.llf_error == 0.0
    assert fit.glance().equals(plain.glance())
    assert fit.check().codes == plain.check().codes


def test_a_log_likelihood_by_monte_carlo_has_its_error_in_the_summary():
    text = " ".join(str(fit_with(NEAR).summary()).split())
    assert (
        "engine: Krylov, 8 probes (seed 3); log-likelihood by Monte Carlo, standard error 0.42; "
        "estimates within 0.011 standard errors of the optimum"
    ) in text
    assert "Monte-Carlo standard errors: 0.42 of the log-likelihood, 0.84 of AIC and BIC" in text
    assert all(len(line) <= 100 for line in str(fit_with(NEAR).summary()).splitlines())
    assert "how far estimates are from the optimum is not known" in " ".join(str(fit_with(UNTOLD).summary()).split())


def test_the_report_says_the_same(tmp_path):
    glimm.report(fit_with(NEAR), tmp_path / "fit.html")
    page = (tmp_path / "fit.html").read_text(encoding="utf-8")
    assert "log-likelihood by Monte Carlo, standard error 0.42" in page
    assert "0.84 of AIC and BIC" in page
    assert "log_likelihood_by_simulation" in page


def test_glance_has_the_errors():
    row, plain = fit_with(NEAR).glance().iloc[0], exact().glance().iloc[0]
    assert (row["llf_error"], row["aic_error"], row["bic_error"]) == (0.42, 0.84, 0.84)
    assert row[plain.index].equals(plain)
    assert fit_with(NEAR).llf_error == 0.42


def test_json_has_the_account(tmp_path):
    from glimm.output.plain import fit_numbers

    fit = fit_with(NEAR)
    numbers = fit_numbers(fit.record, fit.inference, 0.95)
    assert numbers["stochastic"] == asdict(NEAR)
    assert fit_numbers(fit_with(UNTOLD).record, fit.inference, 0.95)["stochastic"]["estimate_error"] is None
    assert fit_numbers(exact().record, fit.inference, 0.95)["stochastic"] is None


def test_a_comparison_shows_errors_beside_criteria():
    found = glimm.compare(exact("y ~ x + (1 | a)"), fit_with(NEAR))
    text = " ".join(str(found).split())
    assert "error of log-likelihood exact 0.42" in text
    assert "error of AIC and BIC exact 0.84" in text
    assert "ML, Krylov engine, 8 probes" in text.replace("- ", "-")
    assert "The log-likelihood of (2) is a Monte-Carlo estimate" in text
    assert found.criteria["llf_error"].tolist() == [0.0, 0.42]
    assert found.criteria["aic_error"].tolist() == [0.0, 0.84]
    assert found.criteria["bic_error"].tolist() == [0.0, 0.84]
    plain = glimm.compare(exact("y ~ x + (1 | a)"), fit_with(EXACT))
    assert "llf_error" not in plain.criteria.columns
    assert "Monte" not in str(plain)


def test_a_comparison_with_a_gee_has_no_error_of_it():
    found = glimm.compare(glimm.gee("y ~ x", rows(), groups="a"), fit_with(NEAR)).criteria
    assert np.isnan(found["llf_error"][0])
    assert found["llf_error"][1] == 0.42


def test_lrt_refuses_a_statistic_that_is_too_uncertain():
    small, large = fit_with(FAR, "y ~ x + (1 | a)"), fit_with(NEAR)
    with pytest.raises(
        GlimmError, match=r"standard errors 2\.5 and 0\.42, so the statistic has one of 5\.1.*exact_block=31000.*more probes"
    ):
        glimm.lrt(small, large)
    for pair in ((exact("y ~ x + (1 | a)"), large), (fit_with(NEAR, "y ~ x + (1 | a)"), exact())):
        with pytest.raises(GlimmError, match=r"so the statistic has one of 0\.84"):
            glimm.lrt(*pair)
    with pytest.raises(GlimmError, match="by Monte Carlo"):
        glimm.lrt(exact("y ~ x + (1 | a)"), fit_with(replace(NEAR, llf_error=float("nan"))))


def test_lrt_tells_a_small_error():
    """2 sqrt(0.012^2 + 0.016^2) = 0.04."""
    small, large = (fit_with(replace(NEAR, llf_error=e), f) for e, f in ((0.012, "y ~ 1 + (1 | a)"), (0.016, "y ~ x + (1 | a)")))
    test = glimm.lrt(small, large)
    assert test.error == pytest.approx(0.04, rel=1e-12)
    assert "the statistic has a standard error of 0.04" in str(test)
    plain = glimm.lrt(exact("y ~ 1 + (1 | a)"), exact("y ~ x + (1 | a)"))
    assert (test.statistic, test.df, test.p_value) == (plain.statistic, plain.df, plain.p_value)
    assert (plain.error, plain.note) == (0.0, "")
    assert glimm.lrt(fit_with(EXACT, "y ~ 1 + (1 | a)"), fit_with(EXACT, "y ~ x + (1 | a)")).error == 0.0


def test_the_limit_of_lrt_is_of_the_statistic():
    """One error alone may be half of 0.05."""
    large = exact("y ~ x + (1 | a)")
    for error, refused in ((0.5 * MOST_ERROR - 1e-9, False), (0.5 * MOST_ERROR + 1e-9, True)):
        small = fit_with(replace(NEAR, llf_error=error), "y ~ 1 + (1 | a)")
        if refused:
            with pytest.raises(GlimmError, match="standard errors"):
                glimm.lrt(small, large)
        else:
            glimm.lrt(small, large)


@pytest.mark.filterwarnings("error")
def test_a_difference_within_monte_carlo_error_is_no_failure_of_the_search():
    small, large = exact("y ~ 1 + (1 | a)"), exact("y ~ x + (1 | a)")
    low = replace(large.record, llf=small.llf - 0.01, stochastic=replace(NEAR, llf_error=0.02))
    test = glimm.lrt(small, GlmmFit(low, "model"))
    assert (test.statistic, test.p_value) == (0.0, 1.0)
    assert "lower likelihood" not in test.note
    with pytest.warns(glimm.GlimmWarning, match="lower likelihood"):
        glimm.lrt(small, GlmmFit(replace(low, llf=small.llf - 0.1), "model"))


def test_profile_limits_are_refused():
    with pytest.raises(glimm.NotYetError, match="method='profile' is not there for mixed models"):
        fit_with(NEAR).conf_int(method="profile")


def test_laplace_error_is_refused():
    frame = rows().assign(z=lambda d: (d["y"] > 1).astype(int))
    fit = glimm.glmm("z ~ x + (1 | a) + (1 | b)", frame, family="binomial", points=1)
    fit.laplace_error(8, seed=1)
    with pytest.raises(GlimmError, match=r"31,000 crossed effects were not factorised.*exact_block=31000"):
        GlmmFit(replace(fit.record, stochastic=NEAR), "model").laplace_error(8)


def test_a_bootstrap_has_the_errors_of_its_replicates(monkeypatch):
    from glimm.estimators import refit

    fit = exact()
    monkeypatch.setattr(refit, "solve_many", lambda prepared, record, responses, *out: np.arange(len(responses)))
    monkeypatch.setattr(refit, "refit_lmm", lambda prepared, y, record: replace(record, stochastic=NEAR))
    table = fit.bootstrap(3, seed=1)
    assert table["llf_error"].tolist() == [0.42] * 3
    monkeypatch.undo()
    assert "llf_error" not in fit.bootstrap(3, seed=1).columns


def test_a_refit_has_the_engine_of_its_fit():
    fit = glimm.glmm(CROSSED, rows(), reml=False, control=glimm.Control(engine="krylov", probes=16, seed=4))
    again = fit.refit(fit.record.design.y)
    assert again.record.stochastic == replace(fit.record.stochastic, iterations=again.record.stochastic.iterations)
    assert again.llf == pytest.approx(fit.llf, abs=1e-6)
    assert exact().refit(rows()["y"]).record.stochastic is None


def test_effects_without_a_factorisation_have_standard_errors_by_probes():
    plain = exact().ranef()
    with pytest.warns(glimm.GlimmWarning, match=r"31,000 crossed effects.*exact_block=31000") as said:
        found = fit_with(NEAR).ranef()
    stated = float(re.search(r"to about ([0-9.e+-]+) %", str(said[0].message)).group(1)) / 100.0
    off = found["std_error"] / plain["std_error"] - 1.0
    spread = [float(np.sqrt(np.mean(off[found["group"] == group] ** 2))) for group in found["group"].unique()]
    assert 0.3 * stated < max(spread) < 2.0 * stated
    assert found.drop(columns="std_error").equals(plain.drop(columns="std_error"))
    factored = fit_with(EXACT).ranef()
    np.testing.assert_allclose(factored["std_error"], plain["std_error"], rtol=1e-7)
    assert factored["estimate"].equals(plain["estimate"])
    unseen = "outlying clusters: conditional variances need a factorisation of 31,000 crossed effects, which the fit did without"
    assert unseen in " ".join(str(fit_with(NEAR).check()).split())
    with pytest.raises(GlimmError, match=r"factorisation of 31,000 crossed effects.*exact_block=31000"):
        conditional_variances(fit_with(NEAR).record)


def test_the_page_of_residuals_leaves_out_what_it_cannot_scale():
    from glimm.plots.checks import _effects

    panel = _effects(fit_with(NEAR).record, 0)
    assert panel.kind == "empty"
    assert "31,000 crossed effects" in panel.said
    assert _effects(exact().record, 0).kind == "qq"


def test_maketables_gets_the_error():
    fit, plain = fit_with(NEAR), exact()
    assert stat_keys(fit.record, "model")[-3:] == ["ll", "ll_error", "aic"]
    assert stat_keys(plain.record, "model")[-2:] == ["ll", "aic"]
    assert stat(fit.record, fit.inference, "model", "ll_error") == 0.42
    assert stat(fit.record, fit.inference, "model", "bic_error") == 0.84
    assert stat(plain.record, plain.inference, "model", "ll_error") is None


@pytest.mark.parametrize(
    ("how", "severity"), [(NEAR, "note"), (replace(NEAR, estimate_error=0.05), "note"), (FAR, "warning"), (UNTOLD, "warning")]
)
def test_the_finding(how, severity):
    found = fit_with(how).check()["log_likelihood_by_simulation"]
    assert found.severity == severity
    assert "8 random vectors" in found.sentence
    assert "the 31,000 effects beside those of a were not factorised" in found.sentence
    assert "probes=32" in found.remedy
    assert "exact_block=31000" in found.remedy
    assert found.evidence["llf_error"] == how.llf_error
    assert not any(word in f"{found}{found.consequence}{found.remedy}" for word in ("nan", "none"))


def test_the_finding_tells_sizes():
    """8 * 31000^2 bytes are 7.16 GB of 2^30."""
    near, far = (fit_with(how).check()["log_likelihood_by_simulation"] for how in (NEAR, FAR))
    assert "0.011 of its standard errors" in near.consequence
    assert "standard error of 0.84" in near.consequence
    assert "about 7.2 GB" in near.remedy
    assert "less than 0.1 GB" in fit_with(replace(NEAR, block=900)).check()["log_likelihood_by_simulation"].remedy
    assert "0.12 of its standard errors" in far.consequence
    assert "standard error of 5.0" in far.consequence


def test_the_command_line_passes_the_engine_on(tmp_path, capsys, monkeypatch):
    rows().to_csv(tmp_path / "d.csv", index=False)
    seen = []
    real = cli._control
    monkeypatch.setattr(cli, "_control", lambda a: seen.append(real(a)) or glimm.Control())
    words = ["fit", "y ~ x + (1 | a) + (1 | b)", str(tmp_path / "d.csv"), "--json"]
    assert main([*words, "--engine", "krylov", "--probes", "16", "--seed", "1", "--exact-block", "300"]) == 0
    assert seen == [glimm.Control(engine="krylov", probes=16, seed=1, exact_block=300)]
    assert json.loads(capsys.readouterr().out)["stochastic"] is None
    monkeypatch.undo()
    assert main([*words, "--probes", "1"]) == 1
    assert "probes must be a whole number of at least 2" in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--engine", "exact"), ("--probes", "4"), ("--seed", "1"), ("--exact-block", "9")])
@pytest.mark.parametrize("model", [(), ("--gee", "--groups", "g")])
def test_the_command_line_refuses_the_engine_of_other_models(option, model, capsys, tmp_path):
    (tmp_path / "d.csv").write_text("y,x,g\n1,2,1\n2,3,1\n4,3,2\n", encoding="utf-8")
    assert main(["fit", "y ~ x", str(tmp_path / "d.csv"), *option, *model]) == 2
    assert f"{option[0]} goes with a mixed model" in capsys.readouterr().err


def many():
    rng = np.random.default_rng(9)
    a, b, x = rng.integers(0, 900, 6000), rng.integers(0, 200, 6000), rng.normal(size=6000)
    y = 0.5 * x + rng.normal(size=900)[a] + 0.7 * rng.normal(size=200)[b] + rng.normal(size=6000)
    return {"y": y, "x": x, "a": a, "b": b}


def test_the_error_of_a_log_likelihood_is_its_own():
    """Eight seeds beside the exact one: every difference within four errors, and their root mean square of the size of the errors."""
    data = many()
    exactly = glimm.glmm(CROSSED, data, control=glimm.Control(engine="exact")).llf
    z = []
    for seed in range(8):
        fit = glimm.glmm(CROSSED, data, control=glimm.Control(engine="krylov", exact_block=0, seed=seed))
        assert not fit.record.stochastic.exact
        z.append((fit.llf - exactly) / fit.llf_error)
    assert np.abs(z).max() < 4.0
    assert 0.4 < np.sqrt(np.mean(np.square(z))) < 1.8


def test_more_probes_make_the_error_smaller():
    """Sixteen times as many: a quarter of it, but for what 32 draws tell of an error."""
    data = many()
    errors = [glimm.glmm(CROSSED, data, control=glimm.Control(engine="krylov", exact_block=0, probes=n)).llf_error for n in (8, 128)]
    assert 0.15 < errors[1] / errors[0] < 0.4
