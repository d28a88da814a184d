"""A whole video in one pass: the frames that random access gives, each decoded once."""

import av
import numpy as np
import pytest

from rspnet.errors import VideoError
from rspnet.video import feed, streaming
from rspnet.video.reader import Video, inspect
from rspnet.video.streaming import AT_ONCE, stream
from tests.support.numbered import number, write_numbered
from tests.video.test_plan import FILES

SQUARE = {"size": (80, 80)}
CROP = (0, 0, 80, 80)


def shown(video, wanted):
    return [number(picture) for part in stream(video, np.array(wanted), crop=CROP, size=80) for picture in part]


@pytest.mark.parametrize("name", FILES)
def test_every_wanted_frame_comes_in_order(tmp_path, name):
    path = write_numbered(tmp_path / name, 300, **FILES[name] | SQUARE)
    for wanted in (range(290), range(3, 290, 50), [288], [0, 1, 70, 71, 200]):
        with Video(path) as video:
            expected = [number(frame) for frame in video.read(list(wanted))]
        with Video(path, plan=inspect(path, "decode")["plan"]) as video:
            assert shown(video, wanted) == expected
        with Video(path) as video:
            parts = list(stream(video, np.array(wanted), crop=CROP, size=32))
            again = list(stream(video, np.array(wanted), crop=CROP, size=32))
        assert [len(part) for part in parts[:-1]] == [AT_ONCE] * (len(parts) - 1)
        assert np.array_equal(np.concatenate(parts), np.concatenate(again))


def test_each_frame_is_decoded_once(tmp_path, monkeypatch):
    path = write_numbered(tmp_path / "v.mp4", 300, options={"bf": "3"}, **SQUARE)
    plan = inspect(path, "decode")["plan"]
    decoded, real = [], feed._decode_run

    def counted(*args, **kwargs):
        for frame in real(*args, **kwargs):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(feed, "_decode_run", counted)
    with Video(path, plan=plan) as video:
        assert shown(video, range(300)) == list(range(300))
    assert len(decoded) == len(set(decoded)) == 300


class Twice:
    """A video whose packets prove to be other than they seemed after some frames."""

    def __init__(self, video, after, changed=None):
        self.video, self.after, self.changed = video, after, changed
        self.path, self.clock, self.converter = video.path, video.clock, video.converter

    def frames(self, wanted):
        first = list(self.video.frames(wanted))
        yield from first[: self.after]
        if self.changed is not None:
            first[self.changed] = (first[self.changed][0], first[self.changed + 9][1])
        yield from first


@pytest.mark.parametrize("after", [0, 1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 150])
def test_going_back_to_the_start_is_seen_by_nobody(tmp_path, after):
    with Video(write_numbered(tmp_path / "v.mp4", 200, **SQUARE)) as video:
        assert shown(Twice(video, after), range(200)) == list(range(200))


def test_frames_that_were_given_and_prove_wrong_are_told(tmp_path):
    with Video(write_numbered(tmp_path / "v.mp4", 200, **SQUARE)) as video:
        with pytest.raises(VideoError, match=rf"frames 64 to {63 + AT_ONCE} differ when it is decoded from its start"):
            shown(Twice(video, 150, changed=70), range(200))
        found = shown(Twice(video, AT_ONCE - 4, changed=3), range(70))
        assert found == [0, 1, 2, 12, *range(4, 70)]  # nobody had been given any


def test_mistakes_are_video_errors(tmp_path, monkeypatch):
    path = write_numbered(tmp_path / "v.mp4", 40, **SQUARE)
    with Video(path, num_frames=50) as video, pytest.raises(VideoError, match="promised 50 frames, but only 40"):
        shown(video, range(50))

    def fails(*_):
        raise av.FFmpegError(1, "odd")
        yield

    monkeypatch.setattr(streaming.Video, "frames", fails)
    with Video(path) as video, pytest.raises(VideoError, match=r"v\.mp4: cannot be read"):
        shown(video, range(5))
