"""Who reads which windows of which videos: each goes on with what it reads, and nobody is idle beside a long film."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from torch.utils.data import Sampler

from rspnet.data.parts import Part, PartRequest
from rspnet.data.workers import PREFETCH


class Lanes(Sampler[list[PartRequest]]):
    """What each process that reads is asked for next.

    `rspnet.data.loader.Loader` asks in turn, and after each answer the one that gave it: so each of the turns is a
    lane, which reads a video from its beginning to its end. One for which no video is left takes over the second half
    of what another has before it. To begin there costs as many frames more as it is behind a key frame. So that nobody
    waits for long, one window is asked for first where there are fewer videos than lanes; and what the first answer
    says of the file goes with all further requests.

    Args:
        rows: of the index, in the order in which they are begun.
        missing: row -> ranges (first, stop) of windows that are wanted, where that is not all of them.
        parts: that there are in all, about, if films are to be shared; None: each video stays in one lane.
    """

    def __init__(
        self,
        rows: Sequence[int],
        missing: Mapping[int, Sequence[tuple[int, int]]] | None = None,
        parts: int | None = None,
    ) -> None:
        everything: list[tuple[int, int | None]] = [(0, None)]
        self._wanted = [(row, *span) for row in rows for span in (missing or {}).get(row, everything)]
        self._parts = parts
        self._turns = 1
        self._waiting: deque[PartRequest] = deque()
        self._lanes: list[PartRequest | None] = []
        self._sizes: dict[int, int] = {}  # windows in a part of a video
        self._plans: dict[int, str] = {}

    def __len__(self) -> int:
        return max(self._parts or 0, len(self._wanted))

    def turns(self, processes: int) -> None:
        """Serve so many processes that read; 0: the one that asks."""
        self._turns = max(1, PREFETCH * processes)

    def __iter__(self) -> Iterator[list[PartRequest]]:
        self._waiting = deque(PartRequest(*wanted, 0) for wanted in self._wanted)
        self._lanes, self._sizes, self._plans = [None] * self._turns, {}, {}
        while True:
            for lane in range(self._turns):
                request = self._lanes[lane] = self._lanes[lane] or self._another(lane)
                if request is None and not any(self._lanes):
                    return
                yield [] if request is None else [self._told(request)]

    def answered(self, part: Part) -> None:
        """Go on behind a part that has come, before the next request is taken."""
        row, lane, reached = part["row"], part["lane"], part["first"] + len(part["spans"])
        if row < 0:
            return
        request = self._lanes[lane]
        assert request is not None
        stop = min(request.stop or part["total"], part["total"])
        self._sizes[row] = part["size"]
        if part["plan"]:
            self._plans[row] = part["plan"]
        self._lanes[lane] = request._replace(first=reached, stop=stop) if reached < stop else None
        if part["status"] != "ok":
            self._lanes[lane] = None
            self._end(row, reached)
        read = {request.row for request in self._lanes if request}
        self._plans = {row: plan for row, plan in self._plans.items() if row in read}

    def _told(self, request: PartRequest) -> PartRequest:
        """What is asked for, with all that is known; of a video that others are to share one window, for a start."""
        is_new = request.stop is None and request.row not in self._sizes
        if is_new and self._parts is not None and len(self._waiting) < self._lanes.count(None):
            request = request._replace(stop=request.first + 1)
        return request._replace(plan=self._plans.get(request.row))

    def _end(self, row: int, reached: int) -> None:
        """Ask for nothing behind a window that cannot be read."""
        self._waiting = deque(request for request in self._waiting if request.row != row or request.first < reached)
        for lane, request in enumerate(self._lanes):
            if request and request.row == row and request.first > reached:
                self._lanes[lane] = request._replace(stop=request.first)  # what is asked for already is the last

    def _another(self, lane: int) -> PartRequest | None:
        """What a lane that has nothing to read is to read."""
        if self._waiting:
            return self._waiting.popleft()._replace(lane=lane)
        if self._parts is None:
            return None
        victim = max(filter(None, self._lanes), key=self._parts_of, default=None)
        if victim is None or (parts := self._parts_of(victim)) < 2:
            return None
        middle = victim.first + self._sizes[victim.row] * (parts - parts // 2)
        self._lanes[victim.lane] = victim._replace(stop=middle)
        return victim._replace(first=middle, lane=lane)

    def _parts_of(self, request: PartRequest) -> int:
        """Parts that a lane has before it, with the one that is asked for; 0: not known yet."""
        size = self._sizes.get(request.row, 0)
        return -(-(request.stop - request.first) // size) if size and request.stop is not None else 0
