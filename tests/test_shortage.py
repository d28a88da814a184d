"""What a machine lacks is no fault of a file."""

import errno
import os
import resource
from contextlib import contextmanager, suppress
from functools import partial

import av
import pytest

from rspnet import shortage
from rspnet.cli import options
from rspnet.data import verification
from rspnet.data.copying import Task, transcode_row
from rspnet.data.loader import Loader
from rspnet.data.rows import new_row
from rspnet.disk import created, reading
from rspnet.encoders import check_clips
from rspnet.errors import ConfigError, MachineError, VideoError
from rspnet.method.momentum import Queue
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


def test_what_no_memory_could_hold_is_named_before_it_is_asked_for(monkeypatch):
    """A network, a queue, clips: each by its options."""
    monkeypatch.setattr(shortage, "machine_memory", lambda: 2e9)
    small, wide = options.Encoder("resnet18", 8), options.Encoder("resnet18", 2000)
    check_clips(small, options.Clips(8, 32))
    with pytest.raises(
        ConfigError, match=r"^encoder\.width: 2000; the network's weights alone take .* GB of memory, and"
    ):
        check_clips(wide, options.Clips(8, 32))
    with pytest.raises(
        ConfigError, match=r"^clips\.num_frames: 1000, clips\.size: 1000, 1 in a batch; these alone take"
    ):
        check_clips(small, options.Clips(1000, 1000))
    with pytest.raises(
        ConfigError, match=r"^pretext\.queue_length: 100000000, pretext\.dim: 128; the queue takes 51\.2 GB"
    ):
        Queue(128, 10**8)


class Huge:
    """Of clips that nobody asks for."""

    def batch_bytes(self, requests):
        return 3e9

    def __getitems__(self, requests):
        raise AssertionError("asked for")


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_batch_that_no_memory_could_hold_is_not_begun(monkeypatch, num_workers):
    monkeypatch.setattr(shortage, "machine_memory", lambda: 2e9)
    with pytest.raises(ConfigError, match=r"clips\.views, .*: the clips of 2 videos take 3\.0 GB of memory"):
        next(iter(Loader(Huge(), [[0, 1]], num_workers)))


def test_the_machines_memory_is_known():
    assert 2**26 < shortage.machine_memory() < 2**50
