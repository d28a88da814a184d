"""How many cores a process may use: by the system, and by a container's quota."""

import os

import pytest

from rspnet import machine
from rspnet.machine import cores


@pytest.fixture
def eight_cores(monkeypatch):
    """A Linux machine whose processes may run on 8 cores, without a quota."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(machine, "_QUOTAS", ())


def test_the_cores_this_process_may_run_on(eight_cores):
    assert cores() == 8


@pytest.mark.parametrize(("known", "number"), [(6, 6), (None, 1)])
def test_without_affinity_all_cores(eight_cores, monkeypatch, known, number):
    """macOS; and a system that does not even know their number."""
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: known)
    assert cores() == number


@pytest.mark.parametrize(
    ("texts", "number"),
    [
        (["250000 100000\n"], 3),
        (["1000 100000\n"], 1),
        (["1600000 100000\n"], 8),
        (["max 100000\n"], 8),
        (["200000\n", "100000\n"], 2),
        (["-1\n", "100000\n"], 8),
    ],
)
def test_a_containers_quota(eight_cores, monkeypatch, tmp_path, texts, number):
    files = [tmp_path / f"{place}" for place in range(len(texts))]
    for path, text in zip(files, texts):
        path.write_text(text)
    monkeypatch.setattr(machine, "_QUOTAS", ((str(tmp_path / "none"),), tuple(map(str, files))))
    assert cores() == number
