"""Writes ohio.csv: wheeze in 537 children of Steubenville, Ohio, at ages 7, 8, 9 and 10.

Source of the counts: Ware, J. H., Dockery, D. W., Spiro, A. III, Speizer, F. E. and Ferris, B. G. Jr. (1984), Passive
smoking, gas cooking, and respiratory health of children living in six cities, American Review of Respiratory Disease
129, 366-374. The table (response pattern by the mother's smoking) is reproduced in Zeger, Liang and Albert (1988),
Biometrics 44, 1049-1060, and in Fitzmaurice and Laird (1993), Biometrika 80, 141-151.

Run: python make_ohio.py        (standard library only; writes ohio.csv beside this file)
Columns: resp (1 = wheeze), id (child, 0..536), age (years minus 9: -2, -1, 0, 1), smoke (1 = the mother smoked).
"""

from collections.abc import Iterator
from pathlib import Path

# wheeze at ages 7, 8, 9, 10: number of children, mother did not smoke / smoked
COUNTS = {
    "0000": (237, 118),
    "0001": (10, 6),
    "0010": (15, 8),
    "0011": (4, 2),
    "0100": (16, 11),
    "0101": (2, 1),
    "0110": (7, 6),
    "0111": (3, 4),
    "1000": (24, 7),
    "1001": (3, 3),
    "1010": (3, 3),
    "1011": (2, 1),
    "1100": (6, 4),
    "1101": (2, 2),
    "1110": (5, 4),
    "1111": (11, 7),
}


def rows() -> Iterator[tuple[int, int, int, int]]:
    """The long table, child by child: (resp, id, age, smoke)."""
    child = 0
    for smoke in (0, 1):
        for pattern, numbers in COUNTS.items():
            for _ in range(numbers[smoke]):
                for age, resp in zip((-2, -1, 0, 1), pattern, strict=True):
                    yield int(resp), child, age, smoke
                child += 1


def main() -> None:
    """Write the file."""
    lines = ["resp,id,age,smoke"] + [",".join(map(str, row)) for row in rows()]
    (Path(__file__).parent / "ohio.csv").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
