"""What the tests of pictures share: arrays, words and texts of a picture."""

from __future__ import annotations

from glimm.plots.curves import compute
from glimm.plots.words import Wording, labels


def arrays(fit, variable, **more):
    return compute(fit.record, fit.inference, variable, **more)


def told(fit, variable, **more):
    """Title and detail."""
    words = labels(fit.record, fit.inference, arrays(fit, variable, **more), Wording())
    return words.title, words.detail


def texts(figure):
    return [text.get_text().replace("\n", " ") for text in (*figure.texts, *figure.axes[0].texts)]
