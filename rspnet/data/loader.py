"""The batches of a pass, made ahead by processes that may be lost.

Not torch's DataLoader: its workers share a queue and locks, so that one killed at the wrong moment stops them all, and
its handler of SIGCHLD raises wherever the training process is at, in the middle of a checkpoint too. Here each has a
pipe of its own. One that is gone is replaced, and makes the same batches again, which are functions of what is asked.
"""

import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count, cycle, islice
from typing import Generic

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.data import Sampler

from rspnet.console import say, some
from rspnet.data.workers import (
    PREFETCH,
    SLOTS,
    Batch,
    LostError,
    Readable,
    Request,
    Worker,
    free_memory,
    no_room,
)
from rspnet.disk import megabytes
from rspnet.errors import RSPNetError, WorkerError
from rspnet.shortage import check_fits

TRIES = 3
"""Workers in a row that may be lost over one batch."""

_SPARE = 250_000  # bytes of shared memory for what is not clips, with every process that reads


class Loader(Generic[Request, Batch]):
    """The batches of a data set, such as `rspnet.data.clip_dataset.ClipDataset`, for one consumer.

    The consumer uses each batch before it takes the next but one. With workers the memory of a batch is used again (see
    `rspnet.data.workers.BatchMemory`): who keeps one longer is told so by an error before it is overwritten. Copy what
    is to be kept.

    Args:
        dataset: makes whole batches itself.
        batches: yields the requests of each batch, the same ones every time; or what depends on the answers, each of
            which it is told by its method ``answered`` before it is asked again, for the same process.
        num_workers: processes that read; 0 reads in this one.
        keep_workers: let them outlive an iteration, for the next.
    """

    def __init__(
        self,
        dataset: Readable[Request, Batch],
        batches: Sampler[list[Request]],
        num_workers: int,
        *,
        keep_workers: bool = False,
    ) -> None:
        self.dataset = dataset
        self.keep_workers = keep_workers
        self._sampler = batches
        self.num_workers = min(num_workers, max(1, len(self)))
        self._pins = has_gpu()
        # To take a batch lets its worker begin another one, in the memory of the one two of its own before.
        self._last: deque[StorageWeakRef] = deque(maxlen=2 * self.num_workers)
        self._workers: list[Worker[Request, Batch]] = []
        self._answered: Callable[[Batch], None] = getattr(batches, "answered", lambda _: None)
        weakref.finalize(self, _end, self._workers)

    @property
    def pids(self) -> list[int]:
        """Process numbers of the workers there are."""
        return [worker.pid for worker in self._workers]

    def close(self) -> None:
        """End the workers at once, whatever they are at."""
        _end(self._workers)

    def __len__(self) -> int:
        return len(self._sampler)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Batch]:
        """Let the workers begin; their batches come from what is returned.

        Raises:
            ConfigError: shared memory cannot hold them, or no memory could hold one.
            RSPNetError: from there, what a worker raised.
            WorkerError: from there, workers are lost again and again.
            RuntimeError: from there, if one is still in use that lasted until now.
        """
        if any(worker.tasks for worker in self._workers):  # of a pass that was broken off
            self.close()
        if self.num_workers and not self._workers:  # workers that are kept have theirs
            self._check_room()
            self._workers += [Worker(self.dataset) for _ in range(self.num_workers)]
        elif not self.num_workers:
            self._check_batch()
        return self._made_ahead() if self.num_workers else self._made_here()

    def _check_room(self) -> None:
        """Before the workers begin: so it is known how much is missing in all."""
        first = self._check_batch()
        at_once = min(len(self), SLOTS * self.num_workers)
        needed = at_once * self.dataset.batch_bytes(first) + self.num_workers * _SPARE
        if first and needed > free_memory():
            raise no_room(f"the {megabytes(needed)} of {at_once} batches that {self.num_workers} processes read ahead")

    def _check_batch(self) -> list[Request]:
        """The first batch's requests; what no memory could hold is not begun."""
        first = next(iter(self._sampler), [])
        if first:
            named = "test.batch or optim.total_batch, clips.views, clips.num_frames, clips.size"
            check_fits(self.dataset.batch_bytes(first), f"{named}: the clips of {some(len(first), 'video')} take")
        return first

    def _made_here(self) -> Iterator[Batch]:
        for requests in self._sampler:
            batch = self.dataset.__getitems__(requests)
            self._answered(batch)
            yield self._handed_over(batch)

    def _made_ahead(self) -> Iterator[Batch]:
        """Batch n comes from worker n modulo their number, which answers in order."""
        tasks = enumerate(self._sampler)

        def ask(batches: int) -> None:
            for number, requests in islice(tasks, batches):
                self._workers[number % self.num_workers].ask(requests)

        try:
            ask(PREFETCH * self.num_workers)
            for place in cycle(range(self.num_workers)):
                if not self._workers[place].tasks:
                    return
                self._check_kept()
                batch = self._answer(place)
                self._answered(batch)
                ask(1)
                yield self._handed_over(batch)
                del batch  # or its memory would seem to be in use
        finally:
            if not self.keep_workers:
                self.close()

    def _handed_over(self, batch: Batch) -> Batch:
        """The batch where a GPU can fetch it by itself, or as it is, with a note of its memory."""
        if self._pins and batch.get("clips"):
            batch["clips"] = [view.pin_memory() for view in batch["clips"]]
        elif batch.get("clips") and batch["clips"][0].is_shared():
            self._last.append(StorageWeakRef(batch["clips"][0].untyped_storage()))
        return batch

    def _check_kept(self) -> None:
        if self._last and len(self._last) == self._last.maxlen and not self._last[0].expired():
            raise RuntimeError(
                "a batch is kept while its memory is about to be used again; use each batch before the next, or "
                "copy what is to be kept"
            )

    def _answer(self, place: int) -> Batch:
        """The next batch of a worker, or of those that follow it."""
        for times in count(1):
            worker = self._workers[place]
            try:
                return worker.answer()
            except LostError as lost:
                worker.kill()
                if times == TRIES:
                    raise self._given_up(list(worker.tasks[0]), lost) from None
                say(f"a process that reads was lost ({lost}); another makes its batches again", everywhere=True)
                time.sleep(times - 1)  # what took the memory may have let go of it by then
                self._workers[place] = Worker(self.dataset)
                for requests in worker.tasks:
                    self._workers[place].ask(requests)
        raise AssertionError("not reached")

    def _given_up(self, requests: list[Request], lost: LostError) -> WorkerError:
        """What to say of a batch over which workers are lost again and again."""
        self.close()
        told = f"lost {TRIES} times over one batch ({lost})"
        if lost.killed:
            return WorkerError(
                f"data.num_workers: a process that reads was {told}, most likely because memory ran out; lower it from "
                f"{self.num_workers}, or give the job more memory, and give the same command again"
            )
        remedy = "find such videos with stages/verify.py --depth decode --out index.jsonl, and leave them out"
        if culprit := self._culprit(requests):
            return WorkerError(f"{self.dataset.path_of(culprit)}: a process that reads it was {told}; {remedy}")
        first, more = self.dataset.path_of(requests[0]), some(len(requests) - 1, "other")
        return WorkerError(f"{first} and {more}: a process that reads them was {told}; {remedy}")

    def _culprit(self, requests: list[Request]) -> Request | None:
        """The video that takes a worker with it when it is read alone."""
        worker = Worker(self.dataset)
        try:
            for request in requests:
                worker.ask([request])
                with suppress(RSPNetError):
                    worker.answer()
        except LostError:
            return request
        finally:
            worker.kill()
        return None


def has_gpu() -> bool:
    """Whether there is a GPU that could fetch batches by itself."""
    return torch.cuda.is_available()


def _end(workers: list[Worker[Request, Batch]]) -> None:
    for worker in workers:
        worker.kill(wait=False)  # all at once
    for worker in workers:
        worker.kill()
    workers.clear()
