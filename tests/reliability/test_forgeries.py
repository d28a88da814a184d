"""Thousands of plans that nobody made of the file: refused, or the right frames, in bounded memory."""

import resource

import numpy as np
import pytest

from rspnet.video.plan import Plan
from rspnet.video.reader import inspect
from tests.support.numbered import write_numbered
from tests.video.test_forged_plans import FILES, LENGTH, forged_texts, mutants, try_out


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_forged_plans(tmp_path, name):
    path = write_numbered(tmp_path / name, LENGTH, **FILES[name])
    text, rng = inspect(path, "decode")["plan"], np.random.default_rng(0)
    plan, tried = Plan.from_text(text), 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for mutant in mutants(text, rng, 150):
        assert try_out(path, mutant) or Plan.from_text(mutant).to_text() == text
        tried += 1
    for _ in range(25):
        for forged in forged_texts(plan, rng):
            try_out(path, forged)
            tried += 1
    assert tried > 900
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB
