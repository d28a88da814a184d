"""One process at a time, with locks and without."""

import errno
import fcntl

import pytest

from rspnet.lock import exclusive


@pytest.mark.parametrize("number", [None, errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_only_one_holds_it(tmp_path, monkeypatch, number):
    """Where the file system has no locks, the processes of one machine are kept apart all the same."""

    def refuse(*args):
        raise OSError(number, "no locks here")

    if number is not None:
        monkeypatch.setattr(fcntl, "flock", refuse)
    path = tmp_path / "file"
    with open(path, "a+") as one, open(path, "a+") as other:
        with exclusive(one.fileno()) as lacking:
            assert lacking == (None if number is None else "no locks here")
            with pytest.raises(BlockingIOError), exclusive(other.fileno()):
                pass
        with exclusive(other.fileno()):
            pass
