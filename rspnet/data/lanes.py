"""Divide the windows of videos among reading processes, so that none is idle while another reads a long video."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from torch.utils.data import Sampler

from rspnet.data.parts import Part, PartRequest
from rspnet.data.workers import PREFETCH


class Lanes(Sampler[list[PartRequest]]):
    """Sampler of the requests for parts of videos, which depend on the answers.

    `rspnet.data.loader.Loader` sends requests to its processes in turn, `PREFETCH` to each at first, and then one after
    each answer to the process that gave it. So there are that many lanes for each process, each of which reads a video
    from beginning to end. If no video is left, a lane takes over the second half of what another lane has still to
    read; starting there costs decoding from the key frame before it. If there are fewer videos than lanes, the first
    request for a video is for one window, so that the others soon learn its length. What its answer tells of the file
    (its plan) goes with all further requests.

    Args:
        rows: of the index, in the order in which they are begun.
        missing: row -> ranges (first, stop) of the windows that are wanted, if not all are.
        parts: about how many parts there are in all, if videos may be shared; None keeps each video in one lane.
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
        """Set the number of reading processes to serve; with 0 the calling process reads."""
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
        """Note that a part was answered, so that its lane goes on after it; called before the next request is taken."""
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
        """Return the request with its video's plan if known; of a new video that others will share, for one window."""
        is_new = request.stop is None and request.row not in self._sizes
        if is_new and self._parts is not None and len(self._waiting) < self._lanes.count(None):
            request = request._replace(stop=request.first + 1)
        return request._replace(plan=self._plans.get(request.row))

    def _end(self, row: int, reached: int) -> None:
        """Drop what is wanted of a video after a window that cannot be read."""
        self._waiting = deque(request for request in self._waiting if request.row != row or request.first < reached)
        for lane, request in enumerate(self._lanes):
            if request and request.row == row and request.first > reached:
                self._lanes[lane] = request._replace(stop=request.first)  # the part already requested is the last

    def _another(self, lane: int) -> PartRequest | None:
        """Return the next request of an idle lane, or None if there is nothing to read."""
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
        """Return how many parts a lane has still to read, with the one requested; 0 if not known yet."""
        size = self._sizes.get(request.row, 0)
        return -(-(request.stop - request.first) // size) if size and request.stop is not None else 0
