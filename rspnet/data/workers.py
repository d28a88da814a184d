"""Processes that read batches, and where those lie."""

import atexit
import contextlib
import math
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from queue import SimpleQueue
from types import TracebackType
from typing import Generic, Protocol, TypedDict, TypeVar

import cv2
import torch

# Its import teaches the pickler of processes to hand on tensors by their memory.
import torch.multiprocessing

from rspnet.disk import megabytes
from rspnet.errors import ConfigError, RSPNetError
from rspnet.processes import LOOK, follow_parent, share_folder, uninterrupted
from rspnet.signals import ENDING

PREFETCH = 2
"""Batches a worker makes ahead of the training process."""

SHARED_MEMORY = "/dev/shm"
"""The folder that Linux makes of it; a container gets 64 MB unless it is told otherwise."""

SLOTS = PREFETCH + 2
"""Batches of one worker that can be alive at once: those ahead, the one that is asked for, and the one before it."""

_PATIENCE = 5.0
"""Seconds to wait for the end of a process that was killed; one that hangs in the kernel takes longer."""

_is_worker = False  # of this process; its memory is its own unless it is


class Clips(TypedDict):
    """What every batch has, whatever else is in it."""

    clips: list[torch.Tensor]


Made = TypeVar("Made", bound=Clips, covariant=True)
Request = TypeVar("Request")
Batch = TypeVar("Batch", bound=Clips)


class Readable(Protocol[Request, Made]):
    """What a worker reads from: `rspnet.data.clip_dataset.ClipDataset`, `rspnet.data.films.FilmDataset`."""

    def __getitems__(self, requests: list[Request]) -> Made:
        """A batch."""
        ...

    def batch_bytes(self, requests: list[Request]) -> int:
        """Memory that its clips take at most, bytes."""
        ...

    def path_of(self, request: Request) -> str:
        """The video that is asked for."""
        ...


class BatchMemory:
    """Where batches lie: a worker's in shared memory, allocated once and used in turn.

    Nobody has to copy a batch to the training process then, and fresh pages, which cost more than filling them, are
    not asked for again and again. A batch is overwritten when its worker has made `SLOTS` more.
    """

    def __init__(self) -> None:
        self._slots = [torch.empty(0, dtype=torch.uint8)] * SLOTS

    def take(self, *shapes: tuple[int, ...]) -> list[torch.Tensor]:
        """Uninitialised uint8 tensors of these shapes; outside of a worker their memory is their own.

        Raises:
            ConfigError: there is no shared memory left.
        """
        sizes = list(map(math.prod, shapes))
        if not _is_worker:
            memory = torch.empty(sum(sizes), dtype=torch.uint8)
        else:
            memory = self._slots.pop(0)
            if len(memory) < sum(sizes):
                try:
                    memory = memory.new_empty(0).set_(torch.UntypedStorage._new_shared(sum(sizes)))
                except RuntimeError:  # torch reserves the pages at once, so it is told here and not by a bus error
                    raise no_room(f"another {megabytes(sum(sizes))} for a batch") from None
            self._slots.append(memory)
        return [part.view(shape) for part, shape in zip(memory[: sum(sizes)].split(sizes), shapes)]


def no_room(wanted: str) -> ConfigError:
    """The mistake of wanting more shared memory than there is."""
    return ConfigError(
        f"data.num_workers: no room for {wanted} in shared memory: {SHARED_MEMORY} has {megabytes(free_memory())}; "
        "give a container more of it (docker run --shm-size=8g, or --ipc=host), or take fewer data.num_workers"
    )


def free_memory() -> float:
    """Bytes left for shared memory; not known where a system has no such folder."""
    return shutil.disk_usage(SHARED_MEMORY).free if os.path.isdir(SHARED_MEMORY) else math.inf


class LostError(Exception):
    """A worker is gone.

    Attributes:
        killed: whether it was by SIGKILL, which no fault of its own sends.
    """

    def __init__(self, exit_code: int | None) -> None:
        self.killed = exit_code == -signal.SIGKILL
        if exit_code is not None and exit_code < 0:
            super().__init__(signal.Signals(-exit_code).name)
        else:
            super().__init__(f"exit status {exit_code}")


class Worker(Generic[Request, Batch]):
    """A process that makes batches for this one, in the order in which they are asked for.

    Attributes:
        tasks: what it was asked for and has not answered yet.
    """

    def __init__(self, dataset: Readable[Request, Batch]) -> None:
        share_folder()
        context = multiprocessing.get_context()
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, dataset), daemon=True)
        with uninterrupted():  # before it knows better, it would answer as this one does, with a traceback
            self._process.start()
        atexit.register(self._process.kill)  # multiprocessing would send SIGTERM there, and wait for ever
        theirs.close()
        self.tasks: deque[list[Request]] = deque()

    @property
    def pid(self) -> int:
        """Its number."""
        return int(self._process.pid or 0)

    def ask(self, requests: list[Request]) -> None:
        """Let it make this batch after those that it was asked for before."""
        self.tasks.append(requests)
        with contextlib.suppress(OSError):  # gone while idle: `answer` sees it
            self._pipe.send(requests)

    def has_answer(self) -> bool:
        """Whether `answer` need not wait."""
        return bool(self.tasks) and self._pipe.poll()

    def answer(self) -> Batch:
        """The first batch that it was asked for.

        Raises:
            LostError: the process is gone.
            RSPNetError, RuntimeError: what it raised.
        """
        try:
            while not wait([self._pipe], LOOK):
                if not self._process.is_alive():
                    raise EOFError
            found = self._pipe.recv()
        except (EOFError, OSError, RuntimeError):  # the last where it went before its tensors were taken over
            self._process.join(_PATIENCE)
            if self._process.exitcode is None:
                raise
            raise LostError(self._process.exitcode) from None
        self.tasks.popleft()
        if isinstance(found, Exception):
            raise found
        batch: Batch = found
        return batch

    def kill(self, wait: bool = True) -> None:
        """End the process, whatever it is at, and wait until it is gone; once more is harmless."""
        self._process.kill()
        if not wait:
            return
        atexit.unregister(self._process.kill)
        self._process.join(_PATIENCE)
        self._pipe.close()


def _serve(pipe: Connection, dataset: Readable[Request, Batch]) -> None:
    """A worker's life: it answers until nobody asks."""
    _become_worker()
    asked: SimpleQueue[list[Request] | None] = SimpleQueue()
    # Read all the time: who asks for much would else wait for this process, while it waits until its answer is taken.
    threading.Thread(target=_listen, args=(pipe, asked), daemon=True).start()
    waiting: deque[list[Request]] = deque()
    expect: Callable[[list[Request]], None] = getattr(dataset, "expect", lambda _: None)
    with contextlib.suppress(OSError):  # the other end is closed
        while True:
            while not waiting or not asked.empty():
                if (requests := asked.get()) is None:
                    return
                waiting.append(requests)
                expect(requests)
            requests = waiting.popleft()
            try:
                answer = ForkingPickler.dumps(dataset.__getitems__(requests))
            except RSPNetError as error:
                answer = ForkingPickler.dumps(error)
            except Exception:
                answer = ForkingPickler.dumps(RuntimeError(f"in a process that reads:\n{traceback.format_exc()}"))
            pipe.send_bytes(answer)


def _listen(pipe: Connection, asked: "SimpleQueue[list[Request] | None]") -> None:
    """Hand on what a worker is asked for; None: that is all."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            asked.put(pipe.recv())
    asked.put(None)


def _become_worker() -> None:
    global _is_worker
    _is_worker = True
    torch.set_num_threads(1)  # one worker, one core
    cv2.setNumThreads(0)
    # Ctrl-C, and a scheduler's word, reach every process. The training process decides when its workers end: one that
    # went before would take its batch with it. So it is killed, or follows.
    signal.set_wakeup_fd(-1)
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    sys.excepthook = _tell_unless_left
    threading.Thread(target=follow_parent, daemon=True).start()


def _tell_unless_left(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say nothing where the training process was interrupted while it took a batch over.

    multiprocessing hands a tensor's memory over in a thread of its own, which reports every failure here.
    """
    if not issubclass(kind, EOFError | OSError | multiprocessing.ProcessError):
        sys.__excepthook__(kind, error, trace)
