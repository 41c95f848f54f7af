"""The command line: results on standard output, everything else on standard error.

exit status: 0 done; 1 something to mend; 2 wrong usage; 3 fitted but not converged; 130 interrupted; 141 the reader went away
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from .errors import GlimmError, GlimmWarning, NotYetError
from .options import parse
from .version import VERSION

if TYPE_CHECKING:
    import argparse

    from .data.records import Formula
    from .fit import Fit

DONE, MEND, NOT_CONVERGED, INTERRUPTED, PIPE = 0, 1, 3, 130, 141
SHARED: Final = ("family", "link", "weights", "offset", "exposure", "missing")
GEE: Final = ("groups", "time", "corr", "moments")
MIXED: Final = ("reml", "points")
ENGINE: Final = ("engine", "probes", "seed", "exact_block")
GLM: Final = ("scale", "penalty", "zero", "dispersion")
COUNTED: Final = ("frequency", "sampling")
BELONGS: Final = MappingProxyType(
    {
        **dict.fromkeys(GEE, (("gee",), "goes with --gee")),
        **dict.fromkeys((*MIXED, *ENGINE), (("glmm",), "goes with a mixed model, a formula such as 'y ~ x + (1 | id)'")),
        **dict.fromkeys((*GLM, *COUNTED), (("glm",), "goes with a GLM")),
        **dict.fromkeys(("cluster", "small"), (("glm", "glmm"), "is not for a GEE, whose standard errors are robust by its --groups")),
    }
)
"""Options of fit that not every door has: the doors, and what to say at another one."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    argv : the words after the program's name (default: those of the process)

    >>> main(["fit", "resp ~ smok", "ohio"])
    1
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        try:
            arguments = parse(sys.argv[1:] if argv is None else argv)
            with announced():
                status = RUN[arguments.command](arguments)
        except SystemExit as end:
            status = int(end.code or 0)
        except GlimmError as error:
            say(str(error))
            status = MEND
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        abandon()
        return PIPE
    except OSError as error:
        say(f"{error.filename or 'standard output'} cannot be written: {error.strerror or error}")
        abandon()
        return MEND
    return status


def abandon() -> None:
    """Send what is left in the buffer of standard output nowhere, so that it is not tried again at exit."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """One line on standard error."""
    print(f"glimm: {' '.join(text.splitlines())}", file=sys.stderr)


@contextmanager
def announced(model: str = "") -> Iterator[None]:
    """Warnings of glimm as lines on standard error, with the model's name if there are several; others, for programmers, are not shown."""
    with warnings.catch_warnings():

        def show(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
            say(f"warning: {model}{message}")

        warnings.simplefilter("ignore")
        warnings.simplefilter("always", GlimmWarning)
        warnings.showwarning = show
        yield


def run_fit(a: argparse.Namespace) -> int:
    """glimm fit: one model. Returns the exit status."""
    formula = _parts(a)
    door = "gee" if a.gee else "glmm" if formula.bars else "glm"
    _check_fit(a, door, formula)
    more: dict[str, Any] = _given(a, *SHARED, *{"gee": GEE, "glmm": MIXED, "glm": GLM}[door], "vcov")
    if a.cluster:
        more["vcov"] = {"cluster": a.cluster, "small": bool(a.small)}
    if "scale" in more:
        more["scale"] = _number(a.scale)
    _check_report(a.report)
    from . import api
    from .design.weights import frequency, sampling
    from .family import LEVELS
    from .records import PartsRecord

    for name, kind in (("frequency", frequency), ("sampling", sampling)):
        if getattr(a, name) is not None:
            more["weights"] = kind(getattr(a, name))
    fit: Fit = getattr(api, door)(a.formula, _data(a.data), control=_control(a), **more)
    if fit.record.family.name in LEVELS:
        return _levels(a, fit)
    if isinstance(fit.record, PartsRecord):
        return _in_parts(a, fit)
    found = None
    if a.effect is not None:
        from .output import effects

        found = effects.alone(fit.record, fit.inference, a.effect, a.contrast or "difference", a.target, a.level)
    if a.json:
        from .output.plain import fit_numbers

        _print_json(fit_numbers(fit.record, fit.inference, a.level, found, fit.check().findings))
    else:
        print(fit.summary(level=a.level))
        if found is not None:
            print(f"\n\n{effects.told(fit.record, fit.inference, found, a.contrast or 'difference', a.level)}")
        if a.check:
            print(f"\n\n{fit.check()}")
    _write_report(fit, a.report)
    return _status([fit])


def _levels(a: argparse.Namespace, fit: Any) -> int:
    """The same for a response with levels, whose effects have a row for each level."""
    found = None if a.effect is None else fit.effect(a.effect, a.contrast or "difference", target=a.target, level=a.level)
    if a.json:
        from .output.levels import level_numbers

        effects = None if found is None else found.to_dict("records")
        _print_json(level_numbers(fit.record, fit.inference, a.level, effects, fit.check().findings))
    else:
        print(fit.summary(level=a.level))
        if found is not None:
            from .output.effects import told

            print(f"\n\n{told(fit.record, fit.inference, found.to_dict('list'), a.contrast or 'difference', a.level)}")
        if a.check:
            print(f"\n\n{fit.check()}")
    _write_report(fit, a.report)
    return _status([fit])


def _in_parts(a: argparse.Namespace, fit: Any) -> int:
    """The same for a fit with zero inflation or a model of its dispersion."""
    found = None if a.effect is None else fit.effect(a.effect, a.contrast or "difference", target=a.target, level=a.level)
    if a.check:
        fit.check()  # says that it is not there
    if a.json:
        from .output.parts import part_numbers

        effects = None if found is None else found.to_dict("records")
        _print_json(part_numbers(fit.record, fit.parts_inference, a.level, effects))
    else:
        print(fit.summary(level=a.level))
        if found is not None:
            print(f"\n\n{found.to_string(index=False)}")
    _write_report(fit, a.report)
    return _status([fit])


def run_compare(a: argparse.Namespace) -> int:
    """glimm compare: the three models of one formula. Returns the exit status."""
    formula = _parts(a)
    if formula.bars and a.random:
        a.parser.error(f"the formula has random effects of its own, {formula.bars[0].text}: leave them or --random out")
    groups: str = a.groups or _only_group(formula)
    if not groups:
        a.parser.error("compare needs the clusters: --groups COLUMN")
    fixed = " + ".join([f"{formula.response} ~ {formula.fixed}", *(f"offset({text})" for text in formula.offsets)])
    quoted = groups if groups.isidentifier() else f"`{groups}`"
    mixed = a.formula if formula.bars else f"{fixed} + ({a.random or 1} | {quoted})"
    _check_effect(a)
    _check_report(a.report)
    from . import api

    data, shared = _data(a.data), {**_given(a, *SHARED), "control": _control(a)}
    with announced("GEE: "):  # first, because it names a wrong --groups as such
        marginal = api.gee(fixed, data, groups=groups, **shared, **_given(a, "time", "corr", "moments"))
    with announced("GLM: "):
        independent = api.glm(fixed, data, **shared)
    with announced("mixed model: "):
        conditional = api.glmm(mixed, data, **shared, **_given(a, *MIXED))
    fits: list[Fit] = [independent, conditional, marginal]
    comparison = api.compare(*fits, **_given(a, "effect", "contrast"))
    if a.json:
        from .output.plain import comparison_numbers

        _print_json(comparison_numbers(comparison.record, [(fit.record, fit.inference) for fit in fits], VERSION))
    else:
        print(comparison)
    _write_report(comparison, a.report)
    return _status(fits)


def run_advise(a: argparse.Namespace) -> int:
    """glimm advise: which model. Returns the exit status."""
    _parts(a)
    from . import api

    advice = api.advise(a.formula, _data(a.data), **_given(a, "groups", "time", "question", *SHARED[:-1]))
    if a.json:
        from .advice.say import plain_advice
        from .output.plain import plain

        _print_json({**plain(plain_advice(advice)), "version": VERSION})
    else:
        print(advice)
    return DONE


def run_demo(a: argparse.Namespace) -> int:
    """glimm demo: the tour of the ohio data. Returns the exit status."""
    from .demo import main as demo

    if a.out is not None and a.out.is_dir():
        a.parser.error(f"--out: {str(a.out)!r} is a directory: name a file in it")
    demo([] if a.out is None else ["--out", str(a.out)])
    return DONE


RUN: Final = MappingProxyType({"fit": run_fit, "compare": run_compare, "advise": run_advise, "demo": run_demo})


def _parts(a: argparse.Namespace) -> Formula:
    """The formula taken apart, before any data are read."""
    from .data.formula import split

    if "~" not in a.formula and "~" in a.data:
        a.parser.error(f"the formula comes before the data: glimm {a.parser.prog.split()[-1]} {a.data!r} {a.formula}")
    return split(a.formula)


def _check_fit(a: argparse.Namespace, door: str, formula: Formula) -> None:
    """Exit with status 2 for options that do not go together."""
    if a.gee and formula.bars:
        a.parser.error(f"--gee takes a formula without random effects: leave out {formula.bars[0].text}, or --gee for a mixed model")
    if a.gee and not a.groups:
        a.parser.error("--gee needs the clusters: --groups COLUMN")
    for name, (homes, why) in BELONGS.items():
        if door not in homes and getattr(a, name) is not None:
            option = name if name != "reml" or a.reml else "ml"
            a.parser.error(f"--{option.replace('_', '-')} {why}")
    kinds = [f"--{name}" for name in ("weights", *COUNTED) if getattr(a, name) is not None]
    if len(kinds) > 1:
        a.parser.error(f"{' and '.join(kinds)} are different meanings of weights: give one of them")
    if a.small and not a.cluster:
        a.parser.error("--small goes with --cluster COLUMN")
    if a.cluster and a.vcov:
        a.parser.error("--vcov and --cluster are two answers to one question: give one of them")
    _check_effect(a)
    if a.target not in (None, "marginal") and door != "glmm":
        a.parser.error(f"--target {a.target} goes with a mixed model: a GLM and a GEE have marginal, the average over the population, only")


def _check_effect(a: argparse.Namespace) -> None:
    """Exit with status 2 for options of an effect where none is asked for."""
    for name in ("contrast", "target"):
        if getattr(a, name, None) is not None and a.effect is None:
            a.parser.error(f"--{name} goes with --effect VARIABLE")


def _only_group(formula: Formula) -> str:
    """The grouping column of a formula's random effects that the other groupings are within, where there is one; otherwise nothing."""
    found = [bar.name for bar in formula.bars if all(bar.factors == (bar.name,) and bar.name in other.factors for other in formula.bars)]
    return found[0] if found else ""


def _given(a: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The options that were given; the doors know the others' defaults."""
    return {name: getattr(a, name) for name in names if getattr(a, name) is not None}


def _number(text: str) -> float | str:
    """A number where the text is one."""
    try:
        return float(text)
    except ValueError:
        return text


def _control(a: argparse.Namespace) -> Any:
    from .estimators.control import Control

    return Control(**_given(a, "max_iter", "threads", *ENGINE))


def _data(name: str) -> Any:
    """A file, or a data set of the package where there is no file of its name."""
    from .data.files import read
    from .datasets import SOURCES, load_dataset

    if name == "-" or Path(name).exists() or Path(name).name != name:
        return read(name)
    return load_dataset(name) if name in SOURCES or get_close_matches(name, SOURCES) else read(name)


def _print_json(numbers: dict[str, Any]) -> None:
    print(json.dumps(numbers, indent=2, allow_nan=False))


def _check_report(path: str | None) -> None:
    """Raise GlimmError before anything is fitted if a report could not be written."""
    if path is None:
        return
    import glimm

    if not callable(getattr(glimm, "report", None)):
        raise NotYetError("--report is not in this release: leave it out, and send the output to a file")
    where = Path(path)
    if where.is_dir():
        raise GlimmError(f"--report: {path!r} is a directory: name a file in it")
    if not where.parent.is_dir():
        raise GlimmError(f"--report: there is no directory {str(where.parent)!r}: make it first")
    if where.suffix.lower() not in (".html", ".htm"):
        raise GlimmError(f"--report: writes HTML, so the path must end in .html, not {where.name!r}")
    if not os.access(where if where.exists() else where.parent, os.W_OK):
        raise GlimmError(f"--report: {path!r} cannot be written here: name another file")


def _write_report(result: Any, path: str | None) -> None:
    if path is not None:
        import glimm

        try:
            getattr(glimm, "report")(result, path)  # noqa: B009
        except OSError as error:
            raise GlimmError(f"--report: {path!r} cannot be written: {error.strerror or error}") from None
        say(f"report written to {path}")


def _status(fits: Sequence[Fit]) -> int:
    """The exit status of fits, after a line for each that is not converged."""
    lost = [fit for fit in fits if not fit.converged]
    for fit in lost:
        say(f"{fit.model.partition(':')[0]}: {fit.record.solution.code.replace('_', ' ')}; do not use these numbers as they are")
    return NOT_CONVERGED if lost else DONE
