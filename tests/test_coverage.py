"""The short form of coverage_study.py: 200 replicates, in which a right 95 % interval holds the truth 90 to 99 times in 100."""

import pytest

from coverage_study import STUDIES, names, replicates


@pytest.mark.parametrize("study", STUDIES)
def test_intervals_hold_the_truth(study):
    labels = names(study)
    coverage = replicates(study, 200, 7).mean(axis=0)
    assert coverage.shape == (len(labels),)
    wrong = (coverage < 0.9) | (coverage > 0.99)
    assert not wrong.any(), {label: float(c) for label, c, w in zip(labels, coverage, wrong, strict=True) if w}
