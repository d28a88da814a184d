"""Which windows of a video count: those up to the first that cannot be read, and what is said of that one."""

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Seen(Generic[T]):
    """What has come of a video; iterated over, what counts of it, each window once.

    Processes that share a film read on behind what another one cannot read; one alone would not.
    """

    def __init__(self) -> None:
        self._windows: dict[int, T] = {}
        self._reached = 0
        self._failures: dict[int, T] = {}
        self._total = 0

    def add(self, number: int, window: T, *, failed: bool, total: int = 0) -> None:
        """Take another one, in any order; of one number the first that comes.

        Args:
            number: of the window.
            window: what came.
            failed: whether it is what is said of a window that cannot be read.
            total: windows of the video; 0: not known.
        """
        (self._failures if failed else self._windows).setdefault(number, window)
        self._total = total or self._total
        while self._reached in self._windows:
            self._reached += 1

    @property
    def is_whole(self) -> bool:
        """Whether nothing that matters can come."""
        return self._reached in self._failures or 0 < self._reached == self._total

    def __iter__(self) -> Iterator[T]:
        yield from (self._windows[number] for number in range(self._reached))
        if self._reached in self._failures:
            yield self._failures[self._reached]
