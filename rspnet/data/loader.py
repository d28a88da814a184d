"""The batches of a pass, made ahead by worker processes that may be lost.

torch's DataLoader is not used because its workers share a queue and locks, so that one killed at the wrong moment stops
them all, and because its SIGCHLD handler raises wherever the training process happens to be, even in the middle of a
checkpoint. Here each worker has its own pipe. A lost one is replaced, and the new one makes the same batches again,
because they depend on the requests alone.
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
"""How many workers in a row are lost over one batch before it is given up."""

_SPARE = 250_000  # bytes of shared memory per worker for everything but clips


class Loader(Generic[Request, Batch]):
    """The batches of a data set, such as `rspnet.data.clip_dataset.ClipDataset`, for one consumer.

    The consumer must be done with each batch before it takes the next but one. With workers the memory of a batch is
    reused (see `rspnet.data.workers.BatchMemory`); keeping a batch for longer is an error, raised before it is
    overwritten. Copy what has to be kept.

    Args:
        dataset: makes whole batches itself.
        batches: yields the requests of each batch, the same ones in every pass. They may depend on earlier batches: its
            method ``answered``, if any, receives each batch before the next requests for the same worker are taken.
        num_workers: number of worker processes; 0 reads in this one.
        keep_workers: keep the workers after an iteration, for the next one.
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
        # Taking a batch lets its worker begin another one, in the memory of the batch that it made two before this one.
        self._last: deque[StorageWeakRef] = deque(maxlen=2 * self.num_workers)
        self._workers: list[Worker[Request, Batch]] = []
        self._answered: Callable[[Batch], None] = getattr(batches, "answered", lambda _: None)
        weakref.finalize(self, _end, self._workers)

    @property
    def pids(self) -> list[int]:
        """Process ids of the running workers."""
        return [worker.pid for worker in self._workers]

    def close(self) -> None:
        """End the workers at once, whatever they are doing."""
        _end(self._workers)

    def __len__(self) -> int:
        return len(self._sampler)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Batch]:
        """Start the workers and return an iterator over their batches.

        Raises:
            ConfigError: the batches do not fit in shared memory, or one does not fit in the machine's memory.
            RSPNetError: from the iterator, what a worker raised.
            WorkerError: from the iterator, if workers are lost again and again.
            RuntimeError: from the iterator, if a batch is still in use whose memory is needed, or a worker failed.
        """
        if any(worker.tasks for worker in self._workers):  # left from an interrupted pass
            self.close()
        if self.num_workers and not self._workers:  # kept workers have their memory already
            self._check_room()
            self._workers += [Worker(self.dataset) for _ in range(self.num_workers)]
        elif not self.num_workers:
            self._check_batch()
        return self._made_ahead() if self.num_workers else self._made_here()

    def _check_room(self) -> None:
        """Check that shared memory holds all batches before the workers start, to report how much is needed in all."""
        first = self._check_batch()
        at_once = min(len(self), SLOTS * self.num_workers)
        needed = at_once * self.dataset.batch_bytes(first) + self.num_workers * _SPARE
        if first and needed > free_memory():
            raise no_room(f"the {megabytes(needed)} of {at_once} batches that {self.num_workers} processes read ahead")

    def _check_batch(self) -> list[Request]:
        """Return the first batch's requests, after checking that its clips fit in the machine's memory."""
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
        """Batch n comes from worker n modulo the number of workers; each worker answers in order."""
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
                del batch  # otherwise its memory would seem to be in use
        finally:
            if not self.keep_workers:
                self.close()

    def _handed_over(self, batch: Batch) -> Batch:
        """Return the batch in pinned memory if there is a GPU, otherwise unchanged after recording its memory."""
        if self._pins and batch.get("clips"):
            batch["clips"] = [view.pin_memory() for view in batch["clips"]]
        elif batch.get("clips") and batch["clips"][0].is_shared():
            self._last.append(StorageWeakRef(batch["clips"][0].untyped_storage()))
        return batch

    def _check_kept(self) -> None:
        if self._last and len(self._last) == self._last.maxlen and not self._last[0].expired():
            raise RuntimeError(
                "a batch is still in use, but its memory is about to be reused; be done with each batch before the "
                "next, or copy what has to be kept"
            )

    def _answer(self, place: int) -> Batch:
        """Return the next batch of a worker, or of the workers that replace it when it is lost."""
        for times in count(1):
            worker = self._workers[place]
            try:
                return worker.answer()
            except LostError as lost:
                worker.kill()
                if times == TRIES:
                    raise self._given_up(list(worker.tasks[0]), lost) from None
                say(f"a reading process was lost ({lost}); another one makes its batches again", everywhere=True)
                time.sleep(times - 1)  # whatever took the memory may have released it by then
                self._workers[place] = Worker(self.dataset)
                for requests in worker.tasks:
                    self._workers[place].ask(requests)
        raise AssertionError("not reached")

    def _given_up(self, requests: list[Request], lost: LostError) -> WorkerError:
        """Return the error for a batch over which workers are lost again and again."""
        self.close()
        told = f"lost {TRIES} times over one batch ({lost})"
        if lost.killed:
            return WorkerError(
                f"data.num_workers: a reading process was {told}, most likely because memory ran out; lower it from "
                f"{self.num_workers}, or give the job more memory, and give the same command again"
            )
        remedy = "find such videos with stages/verify.py --depth decode --out index.jsonl, and leave them out"
        if culprit := self._culprit(requests):
            return WorkerError(f"{self.dataset.path_of(culprit)}: the process reading it was {told}; {remedy}")
        first, more = self.dataset.path_of(requests[0]), some(len(requests) - 1, "other")
        return WorkerError(f"{first} and {more}: the process reading them was {told}; {remedy}")

    def _culprit(self, requests: list[Request]) -> Request | None:
        """Return the request whose video crashes a worker even when read alone, or None."""
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
    """Return whether there is a GPU, which fetches batches from pinned memory by itself."""
    return torch.cuda.is_available()


def _end(workers: list[Worker[Request, Batch]]) -> None:
    for worker in workers:
        worker.kill(wait=False)  # all at once
    for worker in workers:
        worker.kill()
    workers.clear()
