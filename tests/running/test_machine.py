"""How many cores a process may use: by the system, and by a container's quota."""

import os

import pytest

from rspnet.running import machine
from rspnet.running.machine import cores


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


@pytest.mark.parametrize(
    ("wanted", "processes", "number", "said"),
    [
        (None, None, 8, ""),
        (None, "3", 2, ""),
        (None, "99", 1, ""),
        (0, None, 0, ""),
        (8, None, 8, ""),
        (
            9,
            None,
            9,
            "data.num_workers: 9 decoding processes are more than the 8 cores here can serve; the default is 8\n",
        ),
        (
            4,
            "4",
            4,
            "data.num_workers: 4 decoding processes for each of 4 processes are more than the 8 cores here can serve; "
            "the default is 2\n",
        ),
    ],
)
def test_decoding_processes_are_as_many_as_there_are_cores_for(
    eight_cores, monkeypatch, capsys, wanted, processes, number, said
):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    if processes:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    assert machine.workers(wanted) == number
    assert capsys.readouterr().err == said


def test_decoding_processes_of_a_big_machine(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.setattr(machine, "cores", lambda: 192)
    assert machine.workers() == 16
