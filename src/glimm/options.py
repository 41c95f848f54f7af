"""The words of the command line: commands, options, help. What they do is in cli.py.

words -> argparse.Namespace, or a usage message on standard error and exit status 2.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from .errors import suggest
from .version import VERSION

CONTRASTS: Final = ("difference", "ratio", "odds_ratio")
TARGETS: Final = ("marginal", "typical", "conditional")
_STATUS: Final = """\
exit status: 0 done; 1 something in formula, data or options to mend, said in one line; 2 wrong usage; 3 fitted and printed, but not
converged; 130 interrupted. Results go to standard output, messages and warnings to standard error.
"""
_TOP: Final = f"""\
commands:
  fit      one model of one data set: GLM, mixed model or GEE
  compare  the three side by side, with what each number means
  advise   which of them fits a question and the data, and why
  demo     the same question asked three ways of real data

examples:
  glimm fit "resp ~ age * smoke" ohio --family binomial
  glimm fit "resp ~ age * smoke + (1 | id)" ohio --family binomial
  glimm compare "resp ~ age * smoke" ohio --groups id --family binomial --effect smoke
  glimm advise "resp ~ age * smoke" ohio --groups id --question population
  glimm fit --help

{_STATUS}"""
_FIT: Final = f"""\
The formula decides the model: with random effects, (1 | id), a mixed model; with --gee a GEE; otherwise a GLM.

examples:
  glimm fit "resp ~ age * smoke" ohio --family binomial --cluster id
  glimm fit "resp ~ age * smoke" ohio --family binomial --penalty firth
  glimm fit "resp ~ age + (1 | id)" ohio --family binomial --points 25
  glimm fit "resp ~ age" ohio --gee --groups id --corr ar1 --family binomial
  glimm fit "resp ~ age * smoke + (1 | id)" ohio --family binomial --effect smoke --contrast ratio
  glimm fit "resp ~ age * smoke + (1 | id)" ohio --family binomial --check
  glimm fit "count ~ dose" - --family poisson --exposure days --json < trial.csv

--effect VARIABLE prints below the summary what it does on average: everybody is predicted with each of its values (a number: with x + 1
and x), and the averages are contrasted. A ratio is one of averages.

--json prints one object: model, target, formula, family, link, event, nobs, n_dropped, missing, groups, converged,
solution {{code, message}}, method, se_kind, level, coefficients [{{term, estimate, std_error, statistic, p_value, conf_low,
conf_high}}], dropped_terms, df_resid, scale, family_parameters [{{name, estimate, std_error}}], deviance, llf, aic, bic, qic, cic,
reml, points, stochastic {{probes, seed, block, exact, llf_error, estimate_error, iterations}}, varcorr, corr,
corr_params, association [{{name, estimate, std_error}}], effects [{{variable, contrast, target, estimate, std_error, statistic, p_value,
conf_low, conf_high, mean_from, mean_to, rows}}], findings [{{code, severity, sentence, consequence, remedy, evidence}}], version.
What a model does not have is null. A response with levels has levels too; with --zero or --dispersion rows of coefficients say their part.

{_STATUS}"""
_COMPARE: Final = f"""\
Fits the formula as a GLM, as a mixed model with a random intercept of --groups, and as a GEE. A formula that has its own random
effects keeps them in the mixed model, and leaves them out of the other two.

examples:
  glimm compare "resp ~ age * smoke" ohio --groups id --family binomial
  glimm compare "resp ~ age * smoke" ohio --groups id --family binomial --effect smoke --contrast ratio
  glimm compare "resp ~ age + (1 | id)" ohio --family binomial --corr ar1 --report ohio.html

--effect VARIABLE adds its average effect in all three, over the rows that all used, on the same target.

--json prints one object: fits (as of glimm fit), table [{{fit, model, target, term, estimate, std_error, conf_low, conf_high,
se_kind}}], effects [{{fit, model, target, variable, contrast, estimate, std_error, p_value, conf_low, conf_high, se_kind}}], notes,
version.

{_STATUS}"""
_ADVISE: Final = f"""\
Looks at clusters, sizes, occasions, missing values and residuals, fits nothing but a quick GLM, and prints which model fits the
question, the Python call for it, the reasons with their numbers, and what in the data would change the advice.

examples:
  glimm advise "resp ~ age * smoke" ohio --groups id --time age
  glimm advise "resp ~ age * smoke" ohio --groups id --question individual
  glimm advise "score ~ x" marks.csv --groups school --groups class

--json prints one object: model, calls, about, answers [{{questions, model, name, call, then, reasons}}], missing, doubts, version;
about, reasons, missing and doubts are lists of {{code, text, evidence}}.

{_STATUS}"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments, with `command`, its name, and `parser`, its parser; exits with status 2 for what cannot be understood."""
    top = argparse.ArgumentParser(
        prog="glimm",
        usage="glimm COMMAND ...",
        description="Regression on independent and on clustered data: GLM, mixed models and GEE from one formula.",
        epilog=_TOP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"glimm {VERSION}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", help=argparse.SUPPRESS)
    known = {
        name: add(commands) for name, add in (("fit", _add_fit), ("compare", _add_compare), ("advise", _add_advise), ("demo", _add_demo))
    }
    word = next((word for word in argv if not word.startswith("-")), None)
    if word is not None and word not in known:
        top.error(f"unknown command {word!r}: {suggest(word, known)}")
    arguments, rest = top.parse_known_args(argv)
    if word is None:
        top.print_help(sys.stderr)
        raise SystemExit(2)
    if rest:
        _unknown(known[word], rest)
    return arguments


def _unknown(parser: argparse.ArgumentParser, rest: list[str]) -> NoReturn:
    """Refuse words that are left over, with the nearest option."""
    option = rest[0].partition("=")[0]
    if not option.startswith("-"):
        parser.error(f"too many words, from {option!r} on: put quotation marks around the formula")
    parser.error(f"unknown option {option}: {suggest(option, dict.fromkeys(re.findall(r'--[a-z-]+', parser.format_help())))}")


def _add_fit(commands: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _command(commands, "fit", "Fit one model and print its summary.", _FIT)
    _add_model(parser)
    small = "mancl_derouen, kauermann_carroll, fay_graubard, morel, df, jackknife, full_jackknife"
    kinds = f"model, HC0 to HC3, jackknife, full_jackknife (GLM); robust, model, for few clusters {small} (GEE)"
    parser.add_argument("--vcov", metavar="V", help=f"standard errors: {kinds}")
    parser.add_argument("--cluster", metavar="COLUMN", action="append", help="cluster-robust standard errors; twice for two-way (GLM)")
    parser.add_argument("--small", action="store_const", const=True, help="with --cluster: the small-sample factor")
    parser.add_argument("--scale", metavar="S", help="the dispersion of a GLM: pearson, deviance, ml, or a number")
    parser.add_argument("--penalty", metavar="NAME", help="of a GLM: firth or jeffreys, finite estimates under separation")
    parser.add_argument("--zero", metavar="PART", help="of a GLM of counts: logit of the probability of an extra zero, such as '~ x'")
    parser.add_argument("--dispersion", metavar="PART", help="of a GLM: log of the family's own parameter, such as '~ x'")
    parser.add_argument("--frequency", metavar="COLUMN", help="of a GLM: weights that count equal rows")
    parser.add_argument("--sampling", metavar="COLUMN", help="of a GLM: weights of a survey")
    parser.add_argument("--gee", action="store_true", help="fit by generalised estimating equations; needs --groups")
    _add_clustered(parser)
    _add_effect(parser)
    parser.add_argument("--target", choices=TARGETS, help="of --effect in a mixed model (default: marginal, the average over clusters)")
    parser.add_argument("--check", action="store_true", help="print below the summary what may be wrong with the fit, and what to do")
    parser.add_argument("--level", type=_level, default=0.95, metavar="P", help="confidence level of the intervals (default: 0.95)")
    parser.set_defaults(parser=parser)
    return parser


def _add_compare(commands: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _command(commands, "compare", "Fit GLM, mixed model and GEE, and print them side by side.", _COMPARE)
    _add_model(parser)
    parser.add_argument("--random", metavar="TERMS", help="random effects of --groups in the mixed model, such as '1 + x' (default: 1)")
    _add_clustered(parser)
    _add_effect(parser)
    parser.set_defaults(parser=parser)
    return parser


def _add_advise(commands: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _command(commands, "advise", "Say which model fits a question and the data, and why.", _ADVISE)
    _add_data(parser, "binomial, poisson, gaussian, ... (default: guessed from the response)")
    parser.add_argument("--groups", metavar="COLUMN", action="append", help="the clusters; twice for nested or crossed ones")
    parser.add_argument("--time", metavar="COLUMN", help="occasions inside a cluster")
    parser.add_argument("--question", choices=("individual", "population"), help="one cluster, or the average (default: both)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.set_defaults(parser=parser)
    return parser


def _add_demo(commands: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _command(commands, "demo", "The same question asked three ways of real data, with a picture.", "", "")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the picture goes (default: demo/ohio.png)")
    parser.set_defaults(parser=parser)
    return parser


def _command(commands: Any, name: str, description: str, epilog: str, words: str = "FORMULA DATA ") -> Any:
    return commands.add_parser(
        name,
        prog=f"glimm {name}",
        usage=f"glimm {name} {words}[options]",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    """Formula, data, and what every model has."""
    _add_data(
        parser,
        "gaussian (default), binomial, poisson, gamma, inverse_gaussian, negative_binomial, negative_binomial1, beta, tweedie; of a GLM "
        "and a GEE also quasibinomial, quasipoisson, 'quasi(1.5)', ordinal and multinomial (with --gee, --corr is then exchangeable, one "
        "odds ratio or correlation, or independence)",
    )
    parser.add_argument("--missing", choices=("drop", "error"), help="rows with missing values (default: drop, and say so)")
    parser.add_argument("--max-iter", type=int, metavar="N", help="iterations at most")
    parser.add_argument("--threads", type=int, metavar="N", help="threads at most; results do not depend on it")
    parser.add_argument("--report", metavar="FILE", help="write a report there too, as HTML")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def _add_data(parser: argparse.ArgumentParser, families: str) -> None:
    """Formula, data, family and the columns of rows."""
    parser.add_argument("formula", metavar="FORMULA", help="such as 'y ~ x * f', in quotation marks")
    parser.add_argument(
        "data", metavar="DATA", help="csv, tsv, parquet or Arrow file (may be gzipped), - for standard input, or ohio, classroom"
    )
    parser.add_argument("--family", metavar="F", help=families)
    parser.add_argument(
        "--link",
        metavar="L",
        help="identity, log, logit, probit, cloglog, loglog, cauchit, logc, inverse, inverse_squared, sqrt, 'power(0.3)', 'odds_power(2)' "
        "(default: the family's own)",
    )
    parser.add_argument("--weights", metavar="COLUMN", help="precision weights")
    parser.add_argument("--offset", metavar="COLUMN", help="known part of the linear predictor")
    parser.add_argument("--exposure", metavar="COLUMN", help="its log is an offset")


def _add_clustered(parser: argparse.ArgumentParser) -> None:
    """What mixed models and GEE have."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--reml", dest="reml", action="store_const", const=True, help="linear mixed model: restricted likelihood (default)")
    how.add_argument("--ml", dest="reml", action="store_const", const=False, help="linear mixed model: maximum likelihood")
    parser.add_argument("--points", type=_points, metavar="K", help="quadrature points of a mixed model: auto (default), 1 is Laplace")
    parser.add_argument("--engine", choices=("auto", "exact", "krylov"), help="of a mixed model of several random terms (default: auto)")
    parser.add_argument("--probes", type=int, metavar="N", help="random vectors of the Krylov engine (default: 8, more where needed)")
    parser.add_argument("--seed", type=int, metavar="N", help="of these random vectors (default: 0)")
    parser.add_argument("--exact-block", type=int, metavar="N", help="crossed effects up to which it ends exactly (default: 20000)")
    parser.add_argument("--groups", metavar="COLUMN", help="the clusters")
    parser.add_argument("--time", metavar="COLUMN", help="occasions inside a cluster, for the GEE")
    parser.add_argument(
        "--corr",
        metavar="NAME",
        help="the GEE's working correlation: independence, exchangeable (default), ar1, 'ar(2)', 'stationary(2)', 'nonstationary(2)', "
        "unstructured, nested (with --groups school/class), odds_ratio",
    )
    parser.add_argument("--moments", metavar="NAME", help="the GEE's moment rule: standard (default), geepack, gee")


def _add_effect(parser: argparse.ArgumentParser) -> None:
    """The average effect of a predictor."""
    parser.add_argument("--effect", metavar="VARIABLE", help="show the average effect of this predictor, by g-computation")
    parser.add_argument("--contrast", choices=CONTRASTS, help="of --effect: difference (default), ratio or odds_ratio of averages")


def _level(text: str) -> float:
    try:
        level = float(text)
    except ValueError:
        level = -1.0
    if not 0.0 < level < 1.0:
        raise argparse.ArgumentTypeError(f"must be between 0 and 1, for example 0.95, not {text!r}")
    return level


def _points(text: str) -> int | str:
    if text == "auto" or text.isdecimal():
        return text if text == "auto" else int(text)
    raise argparse.ArgumentTypeError(f"must be auto or a whole number of at least 1 (1 is Laplace), not {text!r}")
