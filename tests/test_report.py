"""glimm.report: one page that is whole, true of the fit, runs its own code, and opens in a browser without a complaint."""

from __future__ import annotations

import base64
import builtins
import html
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import polars as pl
import pytest

import glimm
from glimm.plots import gallery
from test_html import Reader, value


@pytest.fixture(scope="module")
def ohio():
    return glimm.load_dataset("ohio")


@pytest.fixture(scope="module")
def pupils():
    return glimm.glmm("pass ~ hours + (1 | pupil)", glimm.load_dataset("classroom"), family="binomial", points=9)


@pytest.fixture(scope="module")
def three(ohio):
    return (
        glimm.glm("resp ~ age * smoke", ohio, family="binomial"),
        glimm.glmm("resp ~ age * smoke + (1 | id)", ohio, family="binomial", points=9),
        glimm.gee("resp ~ age * smoke", ohio, groups="id", family="binomial"),
    )


def written(shown, directory) -> str:
    path = glimm.report(shown, directory / "page.html")
    assert path == directory / "page.html"
    return path.read_text(encoding="utf-8")


def code_of(page: str) -> str:
    return html.unescape(re.search(r"<pre[^>]*><code>(.*?)</code></pre>", page, re.S).group(1))


def run(page: str, **names):
    """Run the code of a report with its `...` replaced by what they stand for."""
    code = re.sub(r"^(\w+) = \.\.\..*$", "", code_of(page), flags=re.MULTILINE)
    exec(compile(code, "report", "exec"), names)
    return names


def pictures(page: str) -> list[str]:
    return [base64.b64decode(data).decode() for data in re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)]


def test_a_fit(pupils, tmp_path):
    page = written(pupils, tmp_path)
    reader = Reader(page.partition("<body>")[2].partition("</body>")[0])
    words = "".join(reader.words)
    assert "<title>GLMM of pass</title>" in page
    for said in ("720 used of 720 given", "60 clusters of 12 rows each", "quadrature with 9 points", "from the full Hessian"):
        assert said in words
    table = next(t for t in reader.tables if t[0][0] == "term")
    assert value(table[2][1]) == pytest.approx(pupils.params["hours"], abs=5.1e-4)
    effects = next(t for t in reader.tables if t[0][0] == "random effect")
    assert value(effects[1][3]) == pytest.approx(pupils.varcorr()["std_dev"][0], abs=5.1e-4)
    assert len(pictures(page)) == 1
    alt = html.unescape(re.search(r'alt="([^"]+)"', page).group(1))
    assert "the population average is flatter than any pupil's curve" in alt
    assert "Horizontal axis: hours" in alt
    assert re.search(rf"with glimm {re.escape(glimm.__version__)}, Python 3\.\d+\.\d+, numpy ", words)
    assert re.search(r"Written on \d{4}-\d\d-\d\d", words)


def test_nothing_from_outside(pupils, three, tmp_path):
    for shown in (pupils, glimm.compare(*three)):
        page = written(shown, tmp_path)
        assert not re.search(r"https?://|url\(|@import|<script|<iframe", page)
        assert all("<image" not in svg and 'href="http' not in svg for svg in pictures(page))


def test_a_comparison(three, tmp_path):
    page = written(glimm.compare(*three), tmp_path)
    reader = Reader(page.partition("<body>")[2].partition("</body>")[0])
    words = "".join(reader.words)
    assert "Comparison of 3 fits of resp" in words
    assert "GEE estimates stay consistent" in words
    side = next(t for t in reader.tables if t[0][0].startswith("estimate"))
    assert side[0][1:] == ["(1) GLM", "(1) GLM", "(2) GLMM", "(3) GEE, exchangeable"]
    assert [len(t) for t in reader.tables if t[0][0] in ("age", "smoke")] == [6, 3]
    assert len(pictures(page)) == 2
    assert words.count("what was done") == 3


def test_averages_are_those_of_predict(three, ohio, tmp_path):
    page = written(glimm.compare(*three), tmp_path)
    table = next(t for t in Reader(page.partition("<body>")[2].partition("</body>")[0]).tables if t[0][0] == "smoke")
    assert table[0] == ["smoke", "(1) GLM", "(2) GLMM", "(3) GEE, exchangeable", "(2) GLMM, typical id"]
    for row in table[1:]:
        rows = ohio.assign(smoke=float(row[0]))
        means = [fit.predict(rows, target="marginal").mean() for fit in three] + [three[1].predict(rows, target="typical").mean()]
        assert [value(cell) for cell in row[1:]] == pytest.approx(means, rel=1e-3)


def test_averages_are_over_the_rows_that_all_fits_used():
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(30), 4)
    data = pd.DataFrame({"x": rng.normal(size=120), "z": rng.normal(size=120), "g": g})
    data["y"] = data["x"] + data["z"] + rng.normal(size=30)[g] + rng.normal(size=120)
    data.loc[:19, "z"] = np.nan
    small, large = glimm.glmm("y ~ x + (1 | g)", data), glimm.gee("y ~ x + z", data, groups="g")
    comparison = glimm.compare(small, large)
    found, notes = gallery.averages([(m.name, m.record, comparison.record.inference_of(m)) for m in comparison.models])
    assert not notes
    assert [a.axis.variable for a in found] == ["x"]
    assert found[0].rows == 100
    rows = data.iloc[20:].assign(x=found[0].axis.x[-1])
    assert found[0].values[:, -1] == pytest.approx([small.predict(rows, target="marginal").mean(), large.predict(rows).mean()], rel=1e-10)


# the code


def test_the_code_makes_the_same_fit(pupils, three, ohio, tmp_path, capsys):
    assert run(written(pupils, tmp_path), data=glimm.load_dataset("classroom"))["fit"].params.equals(pupils.params)
    names = run(written(glimm.compare(*three), tmp_path), data=ohio)
    for k, fit in enumerate(three, 1):
        assert names[f"fit{k}"].params.equals(fit.params)
        assert names[f"fit{k}"].bse.equals(fit.bse)
    assert "Comparison of 3 fits of resp" in capsys.readouterr().out


def test_the_code_keeps_every_argument(tmp_path):
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"n": rng.poisson(3.0, 60), "x": rng.normal(size=60), "days": rng.uniform(1, 2, 60), "w": rng.uniform(1, 2, 60)})
    data["g"], data["visit"] = np.repeat(np.arange(15), 4), np.tile(np.arange(4), 15)
    log_days = np.log(data["days"].to_numpy())
    control = glimm.Control(max_iter=77, tol=1e-8)
    fits = [
        glimm.glm("n ~ x", data, family="poisson", link="identity", weights="w", vcov={"cluster": "g", "small": True}, control=control),
        glimm.gee("n ~ x", data, groups="g", time="visit", corr="ar1", moments="geepack", family="poisson", exposure="days", vcov="model"),
        glimm.glm("n ~ x", data, family="poisson", offset=log_days, vcov="HC1"),
        glimm.glmm("n ~ x + (1 | g)", data, reml=False),
        glimm.gee("n ~ x", pl.DataFrame(data), groups=data["g"].to_numpy(), missing="error"),
    ]
    for fit in fits:
        page = written(fit, tmp_path)
        again = run(page, data=data, offset=log_days, groups=data["g"].to_numpy())["fit"]
        assert again.params.to_numpy() == pytest.approx(fit.params.to_numpy(), rel=1e-12)
        assert again.bse.to_numpy() == pytest.approx(fit.bse.to_numpy(), rel=1e-12)
        assert again.record.call == fit.record.call
    first = code_of(written(fits[0], tmp_path))
    assert 'link="identity"' in first
    assert 'vcov={"cluster": "g", "small": True}' in first
    assert "control=glimm.Control(tol=1e-08, max_iter=77)" in first
    assert "# a pandas data frame of 60 rows with the columns n, x, w and g" in first
    assert "offset = ...  # an array was given: one value for each row of data" in code_of(written(fits[2], tmp_path))
    assert "a polars data frame of 60 rows with the columns n and x" in code_of(written(fits[4], tmp_path))


def test_settings_that_are_the_defaults_are_not_told(ohio):
    fit = glimm.glm("resp ~ age", ohio, family="binomial", control=glimm.Control(), vcov="model", missing="drop")
    assert fit.record.call.arguments == (("family", '"binomial"'),)


# what cannot be


def test_what_is_no_fit_and_no_path(pupils, tmp_path):
    with pytest.raises(glimm.GlimmError, match=r"report takes a fit, or what glimm\.compare gives, not list"):
        glimm.report([pupils], tmp_path / "a.html")
    with pytest.raises(glimm.GlimmError, match="there is no directory"):
        glimm.report(pupils, tmp_path / "none" / "a.html")
    with pytest.raises(glimm.GlimmError, match="is a directory: name a file in it"):
        glimm.report(pupils, tmp_path)
    with pytest.raises(glimm.GlimmError, match=r"must end in \.html, not 'a\.pdf'"):
        glimm.report(pupils, tmp_path / "a.pdf")
    with pytest.raises(glimm.GlimmError, match="not int"):
        glimm.report(pupils, 3)
    assert list(tmp_path.iterdir()) == []
    assert glimm.report(pupils, str(tmp_path / "text.HTM")).exists()


def test_what_is_not_drawn_is_said(tmp_path):
    rng = np.random.default_rng(0)
    data = pd.DataFrame(rng.normal(size=(200, 6)), columns=list("abcdey"[:6]))
    data["site"] = [f"s{k % 50}" for k in range(200)]
    words = "".join(Reader(written(glimm.glm("y ~ site + a + b + c + d + e", data), tmp_path).partition("<body>")[2][:-15]).words)
    assert "Not drawn: 'site' has 50 levels" in words
    assert "Not drawn for want of room: d, e" in words
    empty = written(glimm.glm("y ~ 1", data), tmp_path)
    assert "The model has no predictor to draw." in empty
    assert not pictures(empty)
    unlike = glimm.compare(glimm.glm("y ~ a", data), glimm.glm("y ~ b", data))
    assert "The fits have no predictor in common" in written(unlike, tmp_path)


def test_without_matplotlib(pupils, three, tmp_path, monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest, **more):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    for shown in (pupils, glimm.compare(*three)):
        page = written(shown, tmp_path)
        assert "No pictures: pictures need matplotlib: pip install &#x27;glimm[plot]&#x27;." in page
        assert not pictures(page)
    assert "Population averages" in page


def test_missing_rows_and_dropped_columns_are_told(tmp_path):
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"y": rng.normal(size=40), "x": rng.normal(size=40), "g": np.repeat(np.arange(10), 4)})
    data["double"] = 2.0 * data["x"]
    data.loc[[1, 5], "x"] = np.nan
    words = "".join(Reader(written(glimm.gee("y ~ x + double", data, groups="g"), tmp_path).partition("<body>")[2][:-15]).words)
    assert "38 used of 40 given; 2 rows left out: x missing in 2" in words
    assert "assumed missing completely at random given the predictors" in words
    assert "double, which equals 2 * x" in words


def test_names_are_escaped(ohio, tmp_path):
    nasty = "</title><script>alert(1)</script>"
    data = ohio.rename(columns={"resp": nasty, "age": "a<b"})
    page = written(glimm.glm(f"`{nasty}` ~ `a<b`", data, family="binomial"), tmp_path)
    assert "<script" not in page
    assert "a<b" not in page
    assert "a&lt;b" in page


# in a browser

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
PROBE = """<script>
window.addEventListener('load', () => {
  const images = [...document.images], wide = document.documentElement;
  document.body.dataset.widths = images.map(i => i.naturalWidth).join(' ');
  document.body.dataset.overflow = wide.scrollWidth - wide.clientWidth;
  document.body.dataset.requests = performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length;
});
</script>"""


def browse(path, width: int, *more: str) -> str:
    """Open a page in a window of that width; nothing may be written to the browser's console."""
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    command += [f"--user-data-dir={path.parent / 'profile'}", f"--window-size={width},2200", *more, path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    return done.stdout


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
@pytest.mark.parametrize("width", [1200, 420])
@pytest.mark.parametrize("kind", ["fit", "comparison"])
def test_a_browser_opens_it(kind, width, pupils, three, tmp_path):
    shown = pupils if kind == "fit" else glimm.compare(*three)
    path = tmp_path / "page.html"
    text = written(shown, tmp_path)
    policy = re.search(r"<meta http-equiv=[^>]+>", text).group()
    path.write_text(text.replace(policy, "").replace("</body>", PROBE + "</body>"), encoding="utf-8")
    dom = browse(path, width, "--virtual-time-budget=3000", "--dump-dom")
    widths = re.search(r'data-widths="([\d ]*)"', dom).group(1).split()
    assert len(widths) == (1 if kind == "fit" else 2)
    assert all(int(w) > 300 for w in widths)
    assert 'data-requests="0"' in dom
    assert 'data-overflow="0"' in dom
    fit = pupils if kind == "fit" else three[2]
    name = "hours" if kind == "fit" else "age:smoke"
    assert f"{fit.params[name]:.3f}" in dom
    assert ("GLMM of pass" if kind == "fit" else "Comparison of 3 fits of resp") in dom


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_the_policy_of_the_page_lets_its_own_pictures_in(pupils, tmp_path):
    path = glimm.report(pupils, tmp_path / "page.html")
    shot = tmp_path / "shot.png"
    browse(path, 1000, f"--screenshot={shot}")
    from matplotlib.image import imread

    pixels = imread(shot)[:, :, :3]
    blue = np.all(np.abs(pixels - np.array([0.0, 0x67 / 255, 0xA5 / 255])) < 0.02, axis=2)
    assert blue.sum() > 1000
