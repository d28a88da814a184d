"""A folder that several processes write to: one by itself, or several side by side, one of which is the last.

They may be on different machines that share a network disk: the lock is that of a file in the folder, because a
folder's own does not reach other machines.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from rspnet.disk import make_folder, refusal
from rspnet.errors import ConfigError
from rspnet.lock import exclusive, is_still, shared

LOCK = "lock"
"""Name of the lock file."""

_WAIT, _LOOK = 60.0, 0.05  # seconds: for another process to begin or end its work; between two tries


class Hold:
    """A process's lock on a folder: its own, or shared with others.

    Args:
        folder: its path; `beside` creates it if missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held = ExitStack()

    def alone(self) -> None:
        """Lock the folder for this process alone.

        Raises:
            BlockingIOError: others have locked it, or it is gone.
        """
        self._take(exclusive)

    def beside(self, begin: Callable[[], None], has_begun: Callable[[], bool]) -> None:
        """Share the lock with other processes, once one of them has begun their common work.

        Args:
            begin: begins the work; the first process calls it while it is alone.
            has_begun: whether the work has begun.

        Raises:
            ConfigError: another process keeps the folder to itself.
        """
        until = time.monotonic() + _WAIT
        while True:
            make_folder(self.folder, "choose another --out")
            with suppress(BlockingIOError):
                self.alone()
                if not has_begun():
                    begin()
            with suppress(BlockingIOError):
                self._take(shared)
                if has_begun():
                    return
            if time.monotonic() > until:
                raise ConfigError(f"{self.folder}: another process is at it; wait for it")
            time.sleep(_LOOK)

    def release(self) -> None:
        """Release the lock."""
        self._held.close()

    def _take(self, how: Callable[[int], AbstractContextManager[object]]) -> None:
        self.release()
        with ExitStack() as stack:
            descriptor = stack.enter_context(_opened(self.folder / LOCK))
            stack.enter_context(how(descriptor))
            if not is_still(self.folder / LOCK, descriptor):  # its last holder removed it
                raise BlockingIOError
            self._held = stack.pop_all()


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except FileNotFoundError:  # the folder is gone
        raise BlockingIOError from None
    except OSError as error:
        raise refusal(path.parent, error) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)
