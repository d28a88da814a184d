"""The tables of the documentation are those of results/*.json."""

import sys

import pytest

from tests.support.pages import REPO

sys.path.insert(0, str(REPO / "benchmarks"))
from report import PAGES, main, tables


@pytest.mark.parametrize("name", tables())
def test_tables_are_the_measured_ones(name):
    assert f"<!-- {name} -->\n{tables()[name]}\n" in PAGES[name].read_text()


def test_another_measurement_takes_the_place_of_the_last(tmp_path, monkeypatch):
    for name in PAGES:
        monkeypatch.setitem(PAGES, name, tmp_path / "page.md")
    old = "".join(f"\n<!-- {name} -->\n| old |\n| --- |\n" for name in PAGES)
    (tmp_path / "page.md").write_text(f"before\n{old}\nafter\n")
    main()
    new = "".join(f"\n<!-- {name} -->\n{table}" for name, table in tables().items())
    assert (tmp_path / "page.md").read_text() == f"before\n{new}\nafter\n"
