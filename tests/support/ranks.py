"""Start processes that work together as a launcher does, but much faster because the imports are done only once.

They are forked from a server that has imported torch and computed nothing.
"""

import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from torch.distributed import TCPStore

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["accelerate", "rspnet.encoders", "rspnet.evaluation.accuracy", "rspnet.running.loop"])


def run_ranks(
    folder: Path,
    function: Callable,
    *args: Any,
    processes: int = 2,
    deadline: float = 120.0,
    ends_together: bool = False,
    **environment: str,
) -> list[int]:
    """Call a module-level function in several processes that connect to each other as under torchrun.

    Args:
        folder: for their output, `RANK.out` and `RANK.err`.
        function: what to call.
        args: its arguments.
        processes: how many.
        deadline: seconds; a process that hangs is killed, and its exit status is -9.
        ends_together: end the others when one has failed, as launchers do.
        environment: variables to set; an empty one is unset.

    Returns:
        Their exit statuses, 1 for an exception.
    """
    # As under torchrun the store outlives the processes, so that one that ends early does not take it away.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    shared = {
        "WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "OMP_NUM_THREADS": "1",
    }
    shared |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"} | environment
    started = []
    for rank in map(str, range(processes)):
        own = shared | {"RANK": rank, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": str(processes)}
        started.append(_context.Process(target=_run, args=(str(folder / rank), own, function, args)))
        started[-1].start()
    try:
        end = time.monotonic() + deadline
        while running := [process for process in started if process.exitcode is None]:
            if not wait([process.sentinel for process in running], timeout=max(0.0, end - time.monotonic())):
                break
            if ends_together and any(process.exitcode for process in started):
                for process in running:
                    process.terminate()
    finally:
        for process in started:
            if process.is_alive():
                process.kill()
            process.join()
    return [process.exitcode for process in started]


def run_alone(folder: Path, function: Callable, *args: Any, deadline: float = 280.0) -> int:
    """Call a module-level function in a process of its own; as `run_ranks`, but without a rank."""
    process = _context.Process(target=_run, args=(str(folder / "0"), {"OMP_NUM_THREADS": "1"}, function, args))
    process.start()
    process.join(deadline)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode


def _run(name: str, environment: dict[str, str], function: Callable, args: tuple) -> None:
    for number, suffix in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{name}.{suffix}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ.update(environment)
    for key, value in environment.items():
        if not value:
            del os.environ[key]
    multiprocessing.set_start_method("fork", force=True)  # for its own children, as in a process that was not forked
    function(*args)
