"""The pool: every item gets an answer, whatever happens to the process that works on it."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from multiprocessing import connection
from pathlib import Path

import pytest

from rspnet.errors import ConfigError, MachineError, VideoError
from rspnet.running import worker
from rspnet.running.pool import Ready, run_parallel
from rspnet.running.worker import Failure
from tests.support import REPO


def work(item):
    match item:
        case "exit":
            os._exit(3)
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "cut short":  # killed while it hands over its result: no lock of another worker's may go with it
            connection.Connection._send = lambda pipe, data: (
                os.write(pipe.fileno(), data[:9]),
                os.kill(os.getpid(), 9),
            )
            return "x" * 100
        case "hang":
            time.sleep(100)
        case "mistake":
            raise VideoError("x.mp4: bad")
        case "terminated":
            os.kill(os.getpid(), signal.SIGTERM)
        case "bug":
            raise KeyError("x")
        case "unpicklable":
            return lambda: None
        case ("slow", number):
            time.sleep(0.3)
            return number
    return item * 2


def test_results_come_in_order_whatever_the_jobs():
    items = [("slow", 0), *range(1, 40)]
    expected = [(items[0], 0), *((number, 2 * number) for number in range(1, 40))]
    assert list(run_parallel(work, items, jobs=3, time_limit=30)) == expected
    assert list(run_parallel(work, items, jobs=1, time_limit=30)) == expected
    assert list(run_parallel(work, [], jobs=2, time_limit=30)) == []


def test_one_bad_item_costs_only_itself():
    items = [1, "exit", 2, "hang", 3, "segfault", "cut short", 4, "mistake", "bug", "unpicklable", 5]
    results = list(run_parallel(work, items, jobs=2, time_limit=1))
    assert [item for item, _ in results] == items
    assert [result for _, result in results if not isinstance(result, Failure)] == [2, 4, 6, 8, 10]
    failures = {item: result for item, result in results if isinstance(result, Failure)}
    assert {item: failure.kind for item, failure in failures.items()} == {
        "exit": "crash",
        "hang": "timeout",
        "segfault": "crash",
        "cut short": "crash",
        "mistake": "error",
        "bug": "error",
        "unpicklable": "error",
    }
    assert failures["exit"].text == "its process died (exit code 3), 2 times, the last time with no other running"
    assert failures["cut short"].text == (
        "its process died (exit code -9), 3 times, the last time with no other running; is there enough memory?"
    )
    assert failures["hang"].text == "not done after 1 s"
    assert failures["mistake"].text == "x.mp4: bad"
    assert failures["bug"].text == "KeyError: 'x'"


def dies_beside_others(item):
    """As who needs the memory that the others have; `item` is a folder that they share, and a name."""
    folder, name = item
    mark = Path(folder, f"{name} is at work")
    mark.touch()
    time.sleep(0.3)
    others = [path for path in Path(folder).glob("* is at work") if path != mark]
    if others and name in ("a", "b"):
        mark.unlink()
        os.kill(os.getpid(), signal.SIGKILL if name == "a" else signal.SIGSEGV)
    mark.unlink()
    return name


def test_who_died_beside_others_is_tried_alone(tmp_path):
    items = [(str(tmp_path), name) for name in "abcdef"]
    assert [result for _, result in run_parallel(dies_beside_others, items, jobs=3, time_limit=30)] == list("abcdef")


def test_innocents_that_are_killed_have_a_result(tmp_path):
    """Whoever is at work is killed, once each, also one that has only just started."""
    killed = set()

    def items():
        for number in range(6):
            for child in multiprocessing.active_children():
                if len(killed) < 4 and child.pid not in killed:
                    killed.add(child.pid)
                    child.kill()
            yield "slow", number

    assert [result for _, result in run_parallel(work, items(), jobs=2, time_limit=30)] == list(range(6))
    assert len(killed) >= 3


def test_workers_that_cannot_start_end_it(monkeypatch):
    """Their imports fail, for example; one alone may have been killed."""
    monkeypatch.setattr(worker.Worker, "assign", lambda self, *given: (assign(self, *given), self.process.kill()))
    with pytest.raises(
        RuntimeError, match=r"^3 worker processes in a row could not start: its process died \(exit code -9"
    ):
        list(run_parallel(work, [1, 2], jobs=2, time_limit=30))


assign = worker.Worker.assign


def test_a_signal_to_the_whole_group_is_for_the_parent_alone():
    """A batch system ends a job so; a video that a worker is at is not called crashed for it."""
    assert list(run_parallel(work, ["terminated", 1], jobs=1, time_limit=30)) == [
        ("terminated", 2 * "terminated"),
        (1, 2),
    ]


def test_items_are_taken_as_they_are_needed():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield "slow", number

    results = run_parallel(work, items(), jobs=2, time_limit=30)
    assert next(results) == (("slow", 0), 0)
    results.close()
    assert len(taken) < 50


def test_items_that_need_no_worker_come_out_in_their_turn():
    items = [Ready("a", "A"), ("slow", 1), Ready("b", None), 2, Ready("c", "C")]
    results = [("a", "A"), (("slow", 1), 1), ("b", None), (2, 4), ("c", "C")]
    assert list(run_parallel(work, items, jobs=2, time_limit=30)) == results
    assert list(run_parallel(work, [Ready("a", "A")], jobs=2, time_limit=30)) == [("a", "A")]


def test_a_worker_that_cannot_be_killed_does_not_hold_the_others(monkeypatch):
    monkeypatch.setattr(worker, "_PATIENCE", 0.1)
    stuck = []

    def kill(process):  # as of a process that waits in the kernel for a disk
        stuck.append(process.pid)

    monkeypatch.setattr(worker.multiprocessing.context.SpawnProcess, "kill", kill)
    try:
        results = dict(run_parallel(work, ["hang", 1, 2], jobs=1, time_limit=1))
    finally:
        for pid in stuck:
            os.kill(pid, signal.SIGKILL)
    assert results["hang"].kind == "timeout"
    assert (results[1], results[2]) == (2, 4)


def test_wrong_arguments():
    with pytest.raises(ConfigError, match=r"^jobs: 0; it must be at least 1$"):
        next(run_parallel(work, [1], jobs=0, time_limit=1))
    with pytest.raises(ConfigError, match=r"^time_limit: -1; it must be more than 0$"):
        next(run_parallel(work, [1], jobs=2, time_limit=-1))


SCRIPT = """
import os, sys, time
from rspnet.running.pool import run_parallel

def hang(item):
    with open(f"{sys.argv[1]}/{item}", "w") as file:
        file.write(str(os.getpid()))
    time.sleep(100)

if __name__ == "__main__":
    for _ in run_parallel(hang, range(2), jobs=2, time_limit=100):
        pass
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_survives_its_parent(tmp_path, how):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    command = [sys.executable, script, tmp_path]
    # To a file: reading a pipe to its end would wait for the workers, which hold it too.
    with open(tmp_path / "errors", "w") as errors:
        parent = subprocess.Popen(command, env=environment, stderr=errors, start_new_session=True)
    marks = [tmp_path / "0", tmp_path / "1"]
    _wait_until(lambda: all(mark.exists() and mark.read_text() for mark in marks))
    workers = [int(mark.read_text()) for mark in marks]
    assert all(_alive(worker) for worker in workers)
    if how == signal.SIGINT:
        os.killpg(parent.pid, how)  # Ctrl-C goes to all processes of a terminal
    else:
        parent.send_signal(how)
    parent.wait(timeout=20)
    _wait_until(lambda: not any(_alive(worker) for worker in workers))
    errors = (tmp_path / "errors").read_text()
    assert errors.count("Traceback") == (how == signal.SIGINT), errors  # the parent's own, nothing from the workers


def _wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def _alive(pid):
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def lacks(item):
    if item == 2:
        raise MachineError(f"{item}: cannot be read: lacking")
    return item


def test_a_worker_that_lacks_something_ends_the_work():
    found = []
    with pytest.raises(MachineError, match="2: cannot be read: lacking"):
        found += (pair for pair in run_parallel(lacks, [1, 2, 3], jobs=1, time_limit=60))
    assert found in ([], [(1, 1)])
