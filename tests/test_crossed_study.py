"""The short form of crossed_study.py: 60 replicates for the intervals, 12 for the distances from the exact engine."""

import numpy as np
import pytest

from coverage_study import Q
from crossed_study import STUDIES, agreement, judged, labels, scores


@pytest.mark.parametrize("name", STUDIES)
def test_krylov_fits_hold_the_truth(name):
    z = scores(name, 60, 7)
    assert z.shape == (60, len(labels(STUDIES[name]())))
    assert (np.abs(z.mean(axis=0)) < 0.65).all(), z.mean(axis=0)  # five standard errors of a mean of 60
    assert ((z.std(axis=0, ddof=1) > 0.7) & (z.std(axis=0, ddof=1) < 1.4)).all(), z.std(axis=0, ddof=1)
    assert ((np.abs(z) <= Q).mean(axis=0) >= 0.85).all(), (np.abs(z) <= Q).mean(axis=0)


@pytest.mark.parametrize("name", STUDIES)
def test_krylov_and_exact_fits_agree(name):
    wrong = [words for words, inside in judged(agreement(name, 12, 7), short=True) if not inside]
    assert not wrong, wrong
