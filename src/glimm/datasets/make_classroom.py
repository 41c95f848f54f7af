"""Writes classroom.csv: 60 pupils who differ much in ability, each with 12 tests, passed or not, after some hours of instruction.

The rows are made, not collected, so that the truth is known:

    P(pass) = 1 / (1 + exp(-(-4 + 0.8 hours + ability))),   ability ~ N(0, 3^2), one per pupil

One more hour multiplies every pupil's odds by exp(0.8) = 2.2. The curve of the class average is much flatter, because at any
number of hours most pupils are far below or far above their own threshold.

Run: python make_classroom.py        (standard library only, fixed seed; writes classroom.csv beside this file)
Columns: pupil (1..60), test (1..12), hours (of instruction before the test, 0 to 10 by halves), pass (1 = passed).
"""

import math
import random
from collections.abc import Iterator
from pathlib import Path
from statistics import NormalDist

SEED = 2021
PUPILS, TESTS = 60, 12
INTERCEPT, SLOPE, SD = -4.0, 0.8, 3.0


def rows() -> Iterator[tuple[int, int, float, int]]:
    """The long table, pupil by pupil: (pupil, test, hours, pass)."""
    uniform = random.Random(SEED).random
    normal = NormalDist()
    for pupil in range(1, PUPILS + 1):
        ability = SD * normal.inv_cdf(uniform())
        for test in range(1, TESTS + 1):
            hours = min(10.0, max(0.0, round(2.0 * (5.0 + 2.5 * normal.inv_cdf(uniform()))) / 2.0))
            chance = 1.0 / (1.0 + math.exp(-(INTERCEPT + SLOPE * hours + ability)))
            yield pupil, test, hours, int(uniform() < chance)


def main() -> None:
    """Write the file."""
    lines = ["pupil,test,hours,pass"] + [f"{pupil},{test},{hours:g},{passed}" for pupil, test, hours, passed in rows()]
    (Path(__file__).parent / "classroom.csv").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
