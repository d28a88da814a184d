"""Plans: what they say, how short they are, and what becomes of one that does not fit."""

import shutil

import av
import numpy as np
import pytest

from rspnet.errors import VideoError
from rspnet.video.plan import Plan, _pack, _unpack
from rspnet.video.reader import Video, inspect
from rspnet.video.survey import Survey
from tests.support.numbered import number, write_numbered

B_FRAMES = {"bf": "3", "b_strategy": "0"}
FILES = {
    "plain.mp4": {"options": {"bf": "0"}},
    "b_frames.mp4": {"options": B_FRAMES},
    "edit_list.mp4": {"options": B_FRAMES, "times": [index - 7 for index in range(300)]},
    "b_frames.mkv": {"options": B_FRAMES},
    "mpeg4.avi": {"codec": "mpeg4"},
    "b_frames.ts": {"options": B_FRAMES},
}


def plan_of(path):
    return Plan.from_text(inspect(path, "decode")["plan"])


@pytest.mark.parametrize("name", FILES)
def test_a_plan_is_short_text(tmp_path, name):
    path = write_numbered(tmp_path / name, 300, **FILES[name])
    text = inspect(path, "decode")["plan"]
    plan = Plan.from_text(text)
    assert plan.to_text() == text
    assert len(text) <= 160
    assert len(text) <= 80 or name.endswith("mkv")  # which keeps times in whole milliseconds
    assert len(plan.shown) == (293 if name == "edit_list.mp4" else 300)
    assert (plan.height, plan.width, plan.rate) == (64, 80, 25)
    assert plan.can_jump == (not name.endswith("ts"))
    assert (plan.times is not None) == name.endswith("mkv")
    if plan.can_jump:
        assert plan.keys[0] == 0
        assert np.all(np.diff(plan.keys) <= 12)


def test_text_from_packets_and_from_frames_agree(tmp_path):
    for name in ("plain.mp4", "b_frames.mp4", "edit_list.mp4", "b_frames.mkv"):
        path = write_numbered(tmp_path / name, 60, **FILES[name] | {"times": None})
        decoded = plan_of(path)
        with Video(path) as video:
            assert video.num_frames == 60
            made = video._plan
        for fact in ("file_size", "stream", "rate", "depth", "num_packets", "header"):
            assert getattr(made, fact) == getattr(decoded, fact), fact
        assert np.array_equal(made.shown, decoded.shown)
        assert np.array_equal(made.keys, decoded.keys)
        assert np.array_equal(made.times, decoded.times)


def test_numbers_in_bytes():
    numbers = [0, 1, -1, 63, 64, -64, -65, 2**40, -(2**40), 0]
    assert _unpack(_pack(numbers)).tolist() == numbers


def test_only_needed_packets_are_fed(tmp_path):
    """Key frames every 12: from the last one before a frame to the frame; near runs become one."""
    plan = plan_of(write_numbered(tmp_path / "a.mp4", 60, options={"x264-params": "scenecut=0:bframes=0"}))
    runs = [(run.first, run.last, run.wanted) for run in plan.runs([3, 5, 30, 59, 50])]
    assert runs == [(0, 5, {3: 3, 5: 5}), (24, 30, {30: 30}), (48, 59, {50: 50, 59: 59})]
    assert [(run.first, run.last) for run in plan.runs([11, 12])] == [(0, 12)]


def test_a_start_lies_before_its_frame_in_display_order(tmp_path):
    options = {"bf": "5", "x264-params": "open-gop=1:b-pyramid=normal:scenecut=0"}
    plan = plan_of(write_numbered(tmp_path / "a.mp4", 60, options=options))
    for frame in range(60):
        (run,) = plan.runs([frame])
        assert plan.places[run.first] <= frame
        assert run.first in plan.keys
    assert any(plan.runs([frame])[0].first < plan.keys[plan.keys <= plan.shown[frame]][-1] for frame in range(60))


def test_a_plan_of_another_file_is_passed_over(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", 40)
    plan = inspect(path, "decode")["plan"]
    other = write_numbered(tmp_path / "b.mp4", 30, gop=7)
    for promised in (None, 30):
        with Video(other, promised, plan=plan) as video:
            assert video.num_frames == 30
            assert [number(frame) for frame in video.read([29, 7])] == [29, 7]
    with Video(path, 39, plan=plan) as video:
        assert [number(frame) for frame in video.read([38, 7])] == [38, 7]


def test_a_file_that_was_damaged_since(tmp_path):
    """Its size is the same, and so is its table: what cannot be read by the plan is counted from the start."""
    path = write_numbered(tmp_path / "a.mp4", 40, size=(160, 128))
    plan = inspect(path, "decode")["plan"]
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    path.write_bytes(content)
    with Video(path, plan=plan) as video:
        assert number(video.read([2])[0]) == 2
        with pytest.raises(VideoError, match="promised 40 frames, but only"):
            video.read(range(40))


@pytest.mark.parametrize("text", ["x", "AAAA", "Y2dk", "é", "no plan at all"])
def test_what_is_no_plan(tmp_path, text):
    path = write_numbered(tmp_path / "a.mp4", 4)
    with pytest.raises(VideoError, match=r"a\.mp4: '.*' is not the plan of a video .*verify --depth decode"):
        Video(path, plan=text)


@pytest.mark.parametrize("data", [b"\x00\x00\x01\xb1", b"no key at all \x00\x00\x01\xb6"])
def test_mpeg4_that_ends_without_a_picture(tmp_path, data):
    """Such a packet says nothing about the others, and the plan can still be written down."""
    path = write_numbered(tmp_path / "a.mp4", 20, codec="mpeg4")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        survey = Survey(container, stream)
        last = av.Packet(data)
        last.pts, last.is_keyframe = 10**6, True
        packets = [packet for packet in container.demux(stream) if packet.size]
        shown = [packet.pts for packet in survey([*packets, last])][:-1]
        plan = Plan.from_text(survey.plan(shown).to_text())
    assert not plan.packed
    assert (plan.num_packets, plan.shown.tolist()) == (21, list(range(20)))


def test_a_missing_file(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", 4)
    plan = inspect(path, "decode")["plan"]
    shutil.move(path, tmp_path / "b.mp4")
    with pytest.raises(VideoError, match="cannot be opened as a video"):
        Video(path, plan=plan)
