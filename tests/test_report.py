"""The README's tables are those of results/*.json."""

import sys

import pytest
from test_architecture import REPO

sys.path.insert(0, str(REPO / "benchmarks"))
from report import tables


@pytest.mark.parametrize("name", tables())
def test_tables_are_the_measured_ones(name):
    assert f"<!-- {name} -->\n{tables()[name]}\n" in (REPO / "README.md").read_text()
