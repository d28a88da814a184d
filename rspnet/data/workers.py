"""Worker processes that read batches, and the memory of the batches."""

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

# Importing it makes multiprocessing's pickler pass tensors by shared memory.
import torch.multiprocessing

from rspnet.disk import megabytes
from rspnet.errors import ConfigError, RSPNetError
from rspnet.processes import LOOK, follow_parent, share_folder, uninterrupted
from rspnet.signals import ENDING

PREFETCH = 2
"""How many batches a worker makes ahead of the training process."""

SHARED_MEMORY = "/dev/shm"
"""The folder of Linux's shared memory; a container gets 64 MB by default."""

SLOTS = PREFETCH + 2
"""Batches of one worker that can be alive at once: those made ahead, the one in use, and the one before it."""

_PATIENCE = 5.0
"""Seconds to wait for a killed process to end; one that hangs in the kernel takes longer."""

_is_worker = False  # whether this process is a worker; only then its batches are in shared memory


class Clips(TypedDict):
    """What every batch contains, whatever else is in it."""

    clips: list[torch.Tensor]


Made = TypeVar("Made", bound=Clips, covariant=True)
Request = TypeVar("Request")
Batch = TypeVar("Batch", bound=Clips)


class Readable(Protocol[Request, Made]):
    """What a worker reads from: `rspnet.data.clip_dataset.ClipDataset`, `rspnet.data.films.FilmDataset`."""

    def __getitems__(self, requests: list[Request]) -> Made:
        """Return a batch."""
        ...

    def batch_bytes(self, requests: list[Request]) -> int:
        """Return how many bytes the batch's clips take at most."""
        ...

    def path_of(self, request: Request) -> str:
        """Return the path or URL of the requested video."""
        ...


class BatchMemory:
    """The memory of batches: in a worker it is shared memory, allocated once and used in rotation.

    So no batch has to be copied to the training process, and fresh pages, which cost more than filling them, are not
    allocated again and again. A batch is overwritten by the `SLOTS`-th batch that its worker makes after it.
    """

    def __init__(self) -> None:
        self._slots = [torch.empty(0, dtype=torch.uint8)] * SLOTS

    def take(self, *shapes: tuple[int, ...]) -> list[torch.Tensor]:
        """Return uninitialised uint8 tensors of these shapes; outside of a worker their memory is newly allocated.

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
                except RuntimeError:  # raised here, not as a bus error later, because torch reserves the pages at once
                    raise no_room(f"another {megabytes(sum(sizes))} for a batch") from None
            self._slots.append(memory)
        return [part.view(shape) for part, shape in zip(memory[: sum(sizes)].split(sizes), shapes)]


def no_room(wanted: str) -> ConfigError:
    """Return the error for wanting more shared memory than there is."""
    return ConfigError(
        f"data.num_workers: no room for {wanted} in shared memory: {SHARED_MEMORY} has {megabytes(free_memory())}; "
        "give a container more of it (docker run --shm-size=8g, or --ipc=host), or lower data.num_workers"
    )


def free_memory() -> float:
    """Return the free shared memory in bytes, infinity if a system has no such folder."""
    return shutil.disk_usage(SHARED_MEMORY).free if os.path.isdir(SHARED_MEMORY) else math.inf


class LostError(Exception):
    """A worker process has ended.

    Attributes:
        killed: whether SIGKILL ended it, which it cannot cause itself by a crash.
    """

    def __init__(self, exit_code: int | None) -> None:
        self.killed = exit_code == -signal.SIGKILL
        if exit_code is not None and exit_code < 0:
            super().__init__(signal.Signals(-exit_code).name)
        else:
            super().__init__(f"exit status {exit_code}")


class Worker(Generic[Request, Batch]):
    """A process that makes batches for this one, in the order in which they are requested.

    Attributes:
        tasks: the batches that were requested and not answered yet.
    """

    def __init__(self, dataset: Readable[Request, Batch]) -> None:
        share_folder()
        context = multiprocessing.get_context()
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, dataset), daemon=True)
        with uninterrupted():  # until it ignores signals, it would handle them as this one does, with a traceback
            self._process.start()
        atexit.register(self._process.kill)  # multiprocessing would send SIGTERM at exit, and wait for ever
        theirs.close()
        self.tasks: deque[list[Request]] = deque()

    @property
    def pid(self) -> int:
        """Its process id."""
        return int(self._process.pid or 0)

    def ask(self, requests: list[Request]) -> None:
        """Request this batch, to be made after those requested before."""
        self.tasks.append(requests)
        with contextlib.suppress(OSError):  # it ended while idle, which `answer` notices
            self._pipe.send(requests)

    def has_answer(self) -> bool:
        """Return whether `answer` would return without waiting."""
        return bool(self.tasks) and self._pipe.poll()

    def answer(self) -> Batch:
        """Return the batch that was requested first.

        Raises:
            LostError: the process has ended.
            RSPNetError: raised by the process.
            RuntimeError: the process failed with another error, whose traceback is the message.
        """
        try:
            while not wait([self._pipe], LOOK):
                if not self._process.is_alive():
                    raise EOFError
            found = self._pipe.recv()
        except (EOFError, OSError, RuntimeError):  # RuntimeError if it ended before its tensors were received
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
        """End the process, whatever it is doing, and wait until it has ended; calling it again is harmless."""
        self._process.kill()
        if not wait:
            return
        atexit.unregister(self._process.kill)
        self._process.join(_PATIENCE)
        self._pipe.close()


def _serve(pipe: Connection, dataset: Readable[Request, Batch]) -> None:
    """Run a worker: answer requests until the pipe is closed."""
    _become_worker()
    asked: SimpleQueue[list[Request] | None] = SimpleQueue()
    # Requests are received in a thread, or both sides could wait for ever: one to send requests, one to send an answer.
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
                answer = ForkingPickler.dumps(RuntimeError(f"in a reading process:\n{traceback.format_exc()}"))
            pipe.send_bytes(answer)


def _listen(pipe: Connection, asked: "SimpleQueue[list[Request] | None]") -> None:
    """Pass on a worker's requests, and None at their end."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            asked.put(pipe.recv())
    asked.put(None)


def _become_worker() -> None:
    global _is_worker
    _is_worker = True
    torch.set_num_threads(1)  # one worker, one core
    cv2.setNumThreads(0)
    # Ctrl-C and a scheduler's signals reach every process. A worker ignores them, because the training process may
    # still want its batches; it is killed by that process, or ends after it.
    signal.set_wakeup_fd(-1)
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    sys.excepthook = _tell_unless_left
    threading.Thread(target=follow_parent, daemon=True).start()


def _tell_unless_left(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print no traceback if the training process was interrupted while it received a batch.

    multiprocessing passes on a tensor's memory in a thread of its own, which reports every failure here.
    """
    if not issubclass(kind, EOFError | OSError | multiprocessing.ProcessError):
        sys.__excepthook__(kind, error, trace)
