"""How a call ended: its result and the words of its warnings, or what is not allowed."""

from __future__ import annotations

import traceback
import warnings

import glimm


class Failure(AssertionError):
    """An outcome that is not allowed."""


def quietly(what, call):
    """(result, texts of GlimmWarnings), result None for an error of our own; raises Failure for any other warning or exception."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = call()
        except glimm.GlimmError as error:
            if len(str(error)) < 15:
                raise Failure(f"{what}: an error that says nothing: {error!r}") from error
            result = None
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)
            ours = [f for f in where if "glimm" in f.filename] or where
            raise Failure(f"{what}: {type(error).__name__}: {error} at {ours[-1].filename.rsplit('/', 2)[-1]}:{ours[-1].lineno}") from error
    for w in caught:
        if not issubclass(w.category, glimm.GlimmWarning):
            raise Failure(f"{what}: {w.category.__name__}: {w.message} at {w.filename.rsplit('/', 2)[-1]}:{w.lineno}")
    return result, [str(w.message) for w in caught]
