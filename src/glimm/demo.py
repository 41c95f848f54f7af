"""The same question asked three ways of real data: `python -m glimm.demo [--out demo/ohio.png]`.

GLM: rows independent. GLMM: one child's curve. GEE: the average over children. Prints four texts, writes one picture.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

INTRODUCTION = """\
Do children of mothers who smoke wheeze more? 537 children were asked each year at ages 7 to 10 whether they had wheezed
(Ware et al. 1984). One child gives four rows, and they resemble each other: a child that wheezed once often wheezes again.
The same question is asked in three ways, which differ in what they do about that. In the file age is years minus 9.
"""
EFFECT = """\
The same question as a number of children: how many in a hundred would wheeze if no mother smoked, and if all did?"""
PICTURE = """\
The picture shows the mixed model without the interaction, so that every child has the same slope in log odds:
one grey curve per child (many children share a curve), in blue the average over the population of children."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, print, draw.

    arguments : of the command line, without the program's name
    """
    parser = argparse.ArgumentParser(prog="python -m glimm.demo", description="The same question asked three ways of real data.")
    parser.add_argument("--out", type=Path, default=Path("demo") / "ohio.png", help="where the picture goes (default: demo/ohio.png)")
    out: Path = parser.parse_args(arguments).out
    import glimm

    ohio = glimm.load_dataset("ohio")
    independent = glimm.glm("resp ~ age * smoke", ohio, family="binomial")
    mixed = glimm.glmm("resp ~ age * smoke + (1 | id)", ohio, family="binomial")
    marginal = glimm.gee("resp ~ age * smoke", ohio, groups="id", family="binomial")
    print(INTRODUCTION)
    for fit in (independent, mixed, marginal):
        print(fit.summary(), end="\n\n\n")
    comparison = glimm.compare(independent, mixed, marginal, effect="smoke")
    print(comparison, end="\n\n")
    print(EFFECT)
    for name, fit in (("GLM, rows independent", independent), ("GLMM, averaged over children", mixed), ("GEE", marginal)):
        row = fit.effect("smoke").iloc[0]
        more = f"{100 * row.estimate:.1f} more (95 % interval {100 * row.conf_low:.1f} to {100 * row.conf_high:.1f})"
        print(f"  {name + ':':29} {100 * row.mean_from:.1f} and {100 * row.mean_to:.1f}, {more}")
    print()
    print(draw(ohio, out))


def draw(ohio: Any, out: Path) -> str:
    """Write the picture to `out`; returns what to tell the reader."""
    import glimm

    mixed = glimm.glmm("resp ~ age + smoke + (1 | id)", ohio, family="binomial")
    try:
        figure = mixed.plot(
            "age",
            to_axis=lambda age: age + 9.0,
            x_label="age in years",
            y_label="probability of wheeze",
            one="child",
            many="children",
        )
    except ImportError:
        return "No picture: matplotlib is not installed. To have it: pip install 'glimm[plot]'"
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)
    return f"{PICTURE}\nPicture written to {out}"


if __name__ == "__main__":
    main()
