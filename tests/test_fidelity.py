"""docs/fidelity.md and docs/reliability.md stay true to the tests that they name: they exist, and are marked as what
they are."""

import ast
import functools
import re

import pytest

from tests.support import REPO

TEXT = (REPO / "docs/fidelity.md").read_text()
PROMISES = (REPO / "docs/reliability.md").read_text()
NAMED = re.findall(r"(tests/[\w/]+\.py)::(\w+)(?: ([†‡]+))?", TEXT + PROMISES)
TABLES = [
    [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    for table in re.findall(r"(?:^\|.*\n)+", TEXT, re.MULTILINE)
]


@functools.cache
def functions(path):
    """The functions of a test file by name, and the fixtures that it shares with others."""
    found = {}
    for file in (REPO / "tests/conftest.py", REPO / path):
        tree = ast.parse(file.read_text())
        found |= {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    return found


def asks_for(path, name):
    """The arguments of a test, those of its fixtures, and so on."""
    if name not in functions(path):
        return set()
    own = {argument.arg for argument in functions(path)[name].args.args}
    return own.union(*(asks_for(path, argument) for argument in own))


@pytest.mark.parametrize("test", sorted({f"{path}::{name}" for path, name, _ in NAMED}))
def test_it_names_tests_that_exist(test):
    path, name = test.split("::")
    assert name.startswith("test_")
    assert name in functions(path), f"a page names {test}, which is not there"
    marks = {mark for *where, mark in NAMED if where == [path, name]}
    recorded = "shared" in asks_for(path, name)
    slow = any("mark.slow" in ast.unparse(line).split("(")[0] for line in functions(path)[name].decorator_list)
    slow |= "pytestmark = pytest.mark.slow" in (REPO / path).read_text()
    assert marks == {"†" * recorded + "‡" * slow}, f"mark every mention of {test} so"


def test_each_row_says_what_proves_it():
    assert len(TABLES) > 8
    for header, _, *rows in TABLES:
        for row in rows:
            assert len(row) == len(header), row
            assert all(row), row
            if header[-1] == "proven by":
                assert re.search(r"::test_|\breplay\b|not tested", row[-1]), row
            if "rspnet" in header and "paper" in header:
                assert re.match(r"Same|\*Differs\*|\*More\*|.*as in MoCo", row[header.index("rspnet")]), row


def test_each_promise_is_kept_by_a_test():
    rows = re.findall(r"^\| (?!promise|---)(.+) \| (.+) \|$", PROMISES, re.MULTILINE)
    assert len(rows) > 20
    assert all("::test_" in kept_by for _, kept_by in rows)


def test_files_that_it_names_exist():
    for name in re.findall(r"(?:configs|accelerate_configs|tests|stages|rspnet)/[\w/]*\w\.\w+", TEXT):
        assert (REPO / name).is_file(), name


def test_it_is_found_and_speaks_of_the_product():
    assert "docs/fidelity.md" in (REPO / "README.md").read_text()
    for word in ("../shared", "/work/", "/tmp/"):
        assert word not in TEXT
    assert all(len(line) <= 120 for line in TEXT.splitlines() if not line.startswith("|"))
