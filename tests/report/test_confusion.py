"""Confusion matrices: counts by hand, an order that shows groups, and sizes."""

import json
import re

import numpy as np
import pytest

from rspnet.report.confusion import Matrix, confusion, data, matrix_of, order_of
from rspnet.report.lines import judged
from tests.support.findings import NASTY, guess, record, text_of


def run_of(tmp_path, pairs):
    lines = [guess(f"{place}.mp4", label, (taken, 0.9)) for place, (label, taken) in enumerate(pairs)]
    return record(tmp_path, predictions={"classify": lines})


def groups(number, size, seed=0):
    """Pairs in which classes are taken for those of their group alone, named in no order."""
    rng = np.random.default_rng(seed)
    names = [f"class {place:03d}" for place in rng.permutation(number * size)]
    members = np.reshape(names, (number, size)).tolist()
    return [(one, other) for group in members for one in group for other in group], members


def test_counts_are_those_of_one_by_one(tmp_path):
    rng = np.random.default_rng(0)
    pairs = [tuple(rng.choice(["b", "A", "c"], 2).tolist()) for _ in range(50)]
    found = matrix_of(judged(run_of(tmp_path, [*pairs, ("c", "only taken for")])))
    assert found.names == ["A", "b", "c", "only taken for"]
    for row, label in enumerate(found.names[:3]):
        for column, taken in enumerate(found.names[:3]):
            assert found.counts[row, column] == pairs.count((label, taken))
    assert found.counts[2, 3] == 1
    assert found.shares[3].tolist() == [0, 0, 0, 0]
    assert found.shares[:3].sum(1) == pytest.approx(1)


def test_classes_that_are_taken_for_one_another_stand_side_by_side(tmp_path):
    pairs, members = groups(6, 4)
    matrix = matrix_of(judged(run_of(tmp_path, pairs)))
    order = order_of(matrix)
    assert sorted(order) == list(range(24))
    ordered = matrix.ordered(order)
    assert ordered.counts.sum() == len(pairs)
    found = [ordered.names[place : place + 4] for place in range(0, 24, 4)]
    assert sorted(map(sorted, found)) == sorted(map(sorted, members))
    assert ordered.counts[0, 1] == matrix.counts[order[0], order[1]]


def test_few_classes_stay_in_the_order_of_their_names(tmp_path):
    section = confusion(run_of(tmp_path, [("b", "a"), ("a", "a"), ("b", "b"), ("b", "b")]))
    assert "average linkage" not in section.html
    assert "Number of videos a b a 1 b 1 2" in text_of(section.html)
    assert '<td class="hit s4">2' in section.html
    assert '<td class="miss s3">1' in section.html  # a third
    assert "b a 1 33.3" in text_of(section.html)


@pytest.mark.parametrize(("classes", "most"), [(101, 120_000), (400, 400_000)])
def test_many_classes_are_a_drawing_of_bearable_size(tmp_path, classes, most):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, 20 * classes)
    taken = np.where(rng.random(len(labels)) < 0.5, labels, rng.integers(0, classes, len(labels)))
    pairs = [(f"class {one}", f"class {other}") for one, other in zip(labels.tolist(), taken.tolist())]
    html = str(confusion(run_of(tmp_path, pairs)).html)
    assert len(html) < most
    found = json.loads(re.search(r'json">(.*?)</script>', html)[1])
    cells = np.reshape(found["cells"], (-1, 3))
    assert len(re.findall(r"M\d+ \d+h1v1h-1z", html)) == len(cells)
    assert cells[:, 2].sum() == len(pairs)
    counts = np.zeros((classes, classes), int)
    for one, other in pairs:
        counts[found["names"].index(one), found["names"].index(other)] += 1
    assert (counts[cells[:, 0], cells[:, 1]] == cells[:, 2]).all()
    assert "The largest 25 of" in html


def test_one_class_and_no_error(tmp_path):
    assert "No class is taken for another." in confusion(run_of(tmp_path, [("a", "a")])).html
    assert confusion(record(tmp_path)) is None
    assert order_of(Matrix(["a"], np.ones((1, 1), np.int64))) == [0]


@pytest.mark.parametrize("number", [3, 30])
def test_names_are_escaped_in_tables_and_in_what_the_script_reads(tmp_path, number):
    nasty = f"</script><script>alert(1)</script>{NASTY}"
    html = str(confusion(run_of(tmp_path, [(f"{nasty}{place}", nasty) for place in range(number)])).html)
    assert "<img" not in html
    assert html.count("</script>") == html.count('<script type="application/json">') == (number > 25)


def test_facts_for_the_script_are_what_they_were():
    facts = {"names": ["</script>", "<!--", "&amp;", "\u2028", "ä"]}
    text = re.search(r'json">(.*)</script>$', str(data(facts)))[1]
    assert json.loads(text) == facts
    assert not re.search("[<>&]", text)
