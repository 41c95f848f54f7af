"""The short form of effects_study.py: 40 replicates. Right 95 % intervals hold the truth 34 times or more (but for 3 studies in 1,000)."""

import numpy as np
import pytest

from effects_study import AGREE, STUDIES, apart, replicates


@pytest.mark.parametrize("name", STUDIES)
def test_average_effects_hold_the_truth_and_agree(name):
    study, found = STUDIES[name](), replicates(name, 40, 7)
    estimates, kind = found[..., 0], 2 if study.drawn else 1
    assert found.shape == (40, 3, len(study.questions), 3)
    assert (found[..., kind].sum(axis=0) >= 34).all(), found[..., kind].sum(axis=0)
    error = estimates.std(axis=0, ddof=1) / np.sqrt(len(found))
    assert (np.abs(estimates.mean(axis=0) - study.answers) < 4.0 * error).all()
    assert (apart(found) < AGREE).all(), apart(found)
