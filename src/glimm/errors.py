"""What glimm raises and warns: one error class for what a user can mend, one warning for what a user must know."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class GlimmError(ValueError):
    """A call or data that cannot be used as given; the message names the cause and the remedy."""


class NotYetError(GlimmError):
    """Part of the public face that this release does not have yet; the message says what to use instead."""


class GlimmWarning(UserWarning):
    """Something the user must know about a fit that was nevertheless returned."""


def suggest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known names, or all of them.

    >>> suggest("smoek", ["age", "smoke"])
    "did you mean 'smoke'? (have: age, smoke)"
    """
    known = [str(k) for k in known]
    same = [k for k in known if k.casefold() == str(name).casefold()]
    near = same or get_close_matches(str(name), known, n=1, cutoff=0.6)
    listed = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    return f"did you mean '{near[0]}'? (have: {listed})" if near else f"have: {listed}"
