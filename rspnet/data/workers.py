"""Who reads batches, and where they lie."""

import math
import os
import shutil
import signal
import threading
import warnings
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

import cv2
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.data import DataLoader, Sampler, get_worker_info

from rspnet.data.batches import Batch, Request
from rspnet.errors import ConfigError, RSPNetError

if TYPE_CHECKING:
    from rspnet.data.clip_dataset import ClipDataset

T = TypeVar("T")

PREFETCH = 2
"""Batches a worker makes ahead of the training process."""

SHARED_MEMORY = "/dev/shm"
"""The folder that Linux makes of it; a container gets 64 MB unless it is told otherwise."""

_SPARE = 250_000  # bytes of shared memory for what is not clips, with every process that reads

SLOTS = PREFETCH + 2
"""Batches of one worker that can be alive at once: those ahead, the one that is asked for, and the one before it."""


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
        if get_worker_info() is None:
            memory = torch.empty(sum(sizes), dtype=torch.uint8)
        else:
            memory = self._slots.pop(0)
            if len(memory) < sum(sizes):
                try:
                    memory = memory.new_empty(0).set_(torch.UntypedStorage._new_shared(sum(sizes)))
                except RuntimeError:  # torch reserves the pages at once, so it is told here and not by a bus error
                    raise _no_room(f"another {_megabytes(sum(sizes))} for a batch") from None
            self._slots.append(memory)
        return [part.view(shape) for part, shape in zip(memory[: sum(sizes)].split(sizes), shapes)]


def _no_room(wanted: str) -> ConfigError:
    return ConfigError(
        f"data.num_workers: no room for {wanted} in shared memory: {SHARED_MEMORY} has {_megabytes(_free_memory())}; "
        "give a container more of it (docker run --shm-size=8g, or --ipc=host), or take fewer data.num_workers"
    )


def _free_memory() -> float:
    """Bytes left for shared memory; not known where a system has no such folder."""
    return shutil.disk_usage(SHARED_MEMORY).free if os.path.isdir(SHARED_MEMORY) else math.inf


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.1f} MB"


class Loader:
    """The batches of a `rspnet.data.clip_dataset.ClipDataset`, for one consumer.

    The consumer uses each batch before it takes the next but one. With workers the memory of a batch is used again (see
    `BatchMemory`): who keeps one longer is told so by an error before it is overwritten. Copy what is to be kept.

    Args:
        dataset: makes whole batches itself.
        batches: yields the requests of each batch.
        num_workers: processes that read; 0 reads in this one.
        keep_workers: let them outlive an iteration, for the next.
    """

    def __init__(
        self, dataset: "ClipDataset", batches: Sampler[list[Request]], num_workers: int, *, keep_workers: bool = False
    ) -> None:
        self.dataset = dataset
        self._sampler = batches
        self.num_workers = num_workers
        # How many there are is said in one line where it is decided (rspnet/running/machine.py); torch takes six.
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        self._batches = DataLoader(
            dataset,
            batch_sampler=batches,
            num_workers=num_workers,
            prefetch_factor=PREFETCH if num_workers else None,
            persistent_workers=keep_workers and num_workers > 0,
            worker_init_fn=_start_worker,
            collate_fn=_as_it_is,
            pin_memory=torch.cuda.is_available(),
        )
        # To take a batch lets its worker begin another one, in the memory of the one two of its own before.
        self._last: deque[StorageWeakRef] = deque(maxlen=2 * num_workers)
        self.pids: list[int] = []
        """Process numbers of the workers of the latest iteration."""

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        """Let the workers begin; their batches come from what is returned.

        Raises:
            ConfigError: shared memory cannot hold them.
            RSPNetError: from there, what a worker raised.
            RuntimeError: from there, if one is still in use that lasted until now.
        """
        if self.num_workers and not self.pids:  # workers that are kept have theirs
            self._check_room()
        batches = iter(self._batches)
        self.pids = [worker.pid for worker in getattr(batches, "_workers", ())]
        return self._watched(batches)

    def _check_room(self) -> None:
        """Before the workers begin: one that finds no room in the middle of its work may leave all waiting."""
        first = next(iter(self._sampler), [])
        at_once = min(len(self), SLOTS * self.num_workers)
        needed = at_once * self.dataset.batch_bytes(first) + self.num_workers * _SPARE
        if first and needed > _free_memory():
            raise _no_room(
                f"the {_megabytes(needed)} of {at_once} batches that {self.num_workers} processes read ahead"
            )

    def _watched(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        while True:
            if self._last and len(self._last) == self._last.maxlen and not self._last[0].expired():
                raise RuntimeError(
                    "a batch is kept while its memory is about to be used again; use each batch before the next, or "
                    "copy what is to be kept"
                )
            try:
                batch = next(batches, None)
            except RSPNetError as error:
                raise _as_raised(error) from None
            if batch is None:
                return
            if batch.get("clips") and batch["clips"][0].is_shared():
                self._last.append(StorageWeakRef(batch["clips"][0].untyped_storage()))
            yield batch


def _as_raised(error: RSPNetError) -> RSPNetError:
    """A worker's error as it was: a DataLoader hands it on with the worker's traceback in front of its message."""
    traceback, _, message = str(error).rpartition(f"{type(error).__module__}.{type(error).__name__}: ")
    return type(error)(message.rstrip()) if traceback else error


def _as_it_is(batch: T) -> T:
    return batch


def _start_worker(worker: int) -> None:
    cv2.setNumThreads(0)  # one worker, one core
    # Ctrl-C, and a scheduler's SIGTERM, reach every process. The training process decides when its workers end: one
    # that went before would take the run with it before its checkpoint.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "sigwaitinfo"):  # macOS does not tell who sent a signal: there SIGTERM ends a worker at once
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_at_the_parents_word, daemon=True).start()


def _end_at_the_parents_word() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
