"""What a machine lacks is no fault of a file."""

import errno
import os
import resource
from contextlib import contextmanager, suppress
from functools import partial

import av
import pytest

from rspnet import shortage
from rspnet.data import verification
from rspnet.data.copying import Task, transcode_row
from rspnet.data.rows import new_row
from rspnet.disk import created, reading
from rspnet.errors import MachineError, VideoError
from rspnet.running.pool import run_parallel
from rspnet.video.inspection import inspect
from rspnet.video.opening import check_file, only_video_errors
from rspnet.video.reader import read_frames

RECIPE = {"codec": "h264", "short_side": 32, "gop": 4, "crf": 30.0, "x264_preset": "veryfast"}


@contextmanager
def files_left(number):
    """So many descriptors more can be had."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[0], 256), before[1]))
    try:
        with suppress(OSError):  # that there are no more
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        for descriptor in taken[:number]:
            os.close(descriptor)
        del taken[:number]
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def video(videos):
    return next(videos.rglob("*.mp4"))


@pytest.mark.parametrize("left", [0, 1, 2])
def test_without_descriptors_no_video_is_called_broken(video, tmp_path, left):
    """Whoever reads it, and at whatever moment the last descriptor is gone: it is read, or the machine is blamed."""
    row = new_row(video.name, str(video.parent), "a", status="ok")
    read = {
        "inspect": lambda: inspect(video, "decode")["status"],
        "verify": lambda: verification.inspect_row(row, "decode", 1)["status"],
        "train": lambda: read_frames(video, [0]).shape and "ok",
        "transcode": lambda: transcode_row(Task(row, "v.mp4"), str(tmp_path), RECIPE).row["status"],
    }
    assert [work() for work in read.values()] == ["ok"] * 4
    (tmp_path / "v.mp4").unlink()
    for name, work in read.items():
        with files_left(left):
            try:
                said = work()
            except MachineError as error:
                said = str(error)
        assert said == "ok" or "may open no more files; raise `ulimit -n`" in said, (name, said)
        assert said != "ok" or left
        assert "\n" not in said


def test_what_is_no_video_is_told_likewise(tmp_path):
    with files_left(0):
        for work in (reading, created):
            with pytest.raises(MachineError, match="may open no more files"), work(tmp_path / "file"):
                (tmp_path / "file").open("w")


def lacks(item):
    if item == 2:
        raise MachineError(f"{item}: cannot be read: lacking")
    return item


def test_a_worker_that_lacks_something_ends_the_work():
    found = []
    with pytest.raises(MachineError, match="2: cannot be read: lacking"):
        found += (pair for pair in run_parallel(lacks, [1, 2, 3], jobs=1, time_limit=60))
    assert found in ([], [(1, 1)])


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENFILE, "Too many open files in system"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        MemoryError(),
        partial(av.error.err_check, -errno.ENOMEM),
        partial(av.error.err_check, -errno.ENFILE),
    ],
)
def test_errors_that_tell_of_the_machine(error, monkeypatch):
    if isinstance(error, partial):
        with pytest.raises(av.FFmpegError) as caught:
            error()
        error = caught.value
    monkeypatch.setattr(shortage, "_has_memory", lambda: False)
    with pytest.raises(MachineError, match=r"^v\.mp4: cannot be read: this machine"), only_video_errors("v.mp4"):
        raise error
    if "files" not in str(error):  # a file that asks for more than any does has itself to blame
        monkeypatch.setattr(shortage, "_has_memory", lambda: True)
        with pytest.raises(VideoError), only_video_errors("v.mp4"):
            raise error


def test_memory_is_asked_for():
    assert shortage._has_memory()
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 2**20, before[1]))
    try:
        has_memory = shortage._has_memory()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert not has_memory


def test_other_errors_are_nobodys(tmp_path):
    with pytest.raises(VideoError, match="No such file"):
        check_file(str(tmp_path / "gone"))
    assert shortage.limit(ValueError("a")) is None
    assert shortage.lacking(OSError(errno.EACCES, "no")) is None
