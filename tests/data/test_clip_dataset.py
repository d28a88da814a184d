"""Clips: the drawn frames and crops, the same for the same draw; broken videos replaced or left black."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from rspnet.data import clip_dataset, sampling
from rspnet.data.batches import Request
from rspnet.data.clip_dataset import ClipDataset
from rspnet.data.index import new_row, to_dataset
from rspnet.data.picked import read_picked
from rspnet.data.picker import Picker
from rspnet.errors import ConfigError, VideoError
from rspnet.video.reader import Video, inspect, read_frames
from tests.support.clips import PICKER, SIZE, index_of, same
from tests.support.numbered import number, write_numbered


def frames_shown(clip):
    return [number(frame) for frame in clip.numpy()]


# Clips


def test_an_item(root):
    clips = ClipDataset(index_of(root), PICKER, SIZE, seed=5)
    item = clips[Request(3, 17, 4)]
    assert [view.shape for view in item["clips"]] == [(6, SIZE, SIZE, 3)] * 2
    assert {view.dtype for view in item["clips"]} == {torch.uint8}
    assert (item["seeds"].shape, item["seeds"].dtype) == ((2,), torch.int64)
    assert (item["label"], item["row"], item["failed"], item["reason"], item["status"]) == (1, 4, -1, "", "ok")
    assert len(clips) == 8


def test_clips_show_the_drawn_frames(root):
    """Whole frames, so that the number drawn into each can be read: a gap of 2, in range, starts all over the video."""
    clips = ClipDataset(index_of(root), Picker(6, 2, views=1, crop_area=(1.0, 1.0)), 80)
    starts = set()
    for position in range(30):
        numbers = frames_shown(clips[Request(0, position, 0)]["clips"][0])
        assert np.diff(numbers).tolist() == [2] * 5
        starts.add(numbers[0])
    assert starts <= set(range(10))
    assert len(starts) >= 6


def test_frames_that_no_speed_shows_are_not_read(root):
    """The others are those of the whole clip, of the same draws."""
    picker = Picker(4, 1, views=2, crop_area=(0.5, 1.0), top_speed=3)
    clips = ClipDataset(index_of(root), picker, SIZE, seed=5)
    whole = clips[Request(1, 2, 3)]
    assert [view.shape for view in whole["clips"]] == [(12, SIZE, SIZE, 3)] * 2
    for query, frames in (((1,), [0, 1, 2, 3]), ((3,), [0, 3, 6, 9])):
        item = clips[Request(1, 2, 3, (query, (1, 3)))]
        assert torch.equal(item["clips"][0], whole["clips"][0][frames])
        assert torch.equal(item["clips"][1], whole["clips"][1][[0, 1, 2, 3, 6, 9]])
        assert torch.equal(item["seeds"], whole["seeds"])


def test_a_draw_depends_on_seed_epoch_and_position_alone(root):
    clips = ClipDataset(index_of(root), PICKER, SIZE, seed=5)
    item = clips[Request(1, 2, 3)]
    assert same(item, clips[Request(1, 2, 3)])
    assert same(item, ClipDataset(index_of(root), PICKER, SIZE, seed=5)[Request(1, 2, 3)])
    others = [clips[Request(0, 2, 3)], clips[Request(1, 0, 3)]]
    others.append(ClipDataset(index_of(root), PICKER, SIZE, seed=6)[Request(1, 2, 3)])
    for one, two in combinations([item, *others], 2):
        assert not torch.equal(one["seeds"], two["seeds"])
        assert not same(one["clips"], two["clips"])
    assert item["seeds"][0] != item["seeds"][1]
    assert not torch.equal(item["clips"][0], item["clips"][1])


def test_evenly_spaced_views_of_the_central_square(root):
    clips = ClipDataset(index_of(root), Picker(6, 1, views=3), 64)
    item = clips[Request(0, 0, 0)]
    assert [len(view) for view in item["clips"]] == [6] * 3
    starts = [even[0] for even in sampling.even_clips(20, 6, 1, n=3)]
    with Video(root / "0.mp4") as video:
        first = torch.stack([view[0] for view in item["clips"]])
        np.testing.assert_array_equal(first.numpy(), video.read(starts, (0, 8, 64, 64), 64))
    assert same(item, clips[Request(0, 0, 0)])


def test_frames_that_cover_the_video(root):
    clips = ClipDataset(index_of(root), Picker(5, sampling="cover", views=2), 80)
    expected = sampling.cover_clips(20, 5, 2).tolist()
    assert [frames_shown(view) for view in whole_frames(clips, expected)] == expected
    drawn = ClipDataset(index_of(root), Picker(5, sampling="cover", views=1, crop_area=(1.0, 1.0)), 80)
    numbers = {tuple(frames_shown(drawn[Request(0, position, 0)]["clips"][0])) for position in range(20)}
    assert numbers <= {tuple(range(start, 20, 4)) for start in range(4)}
    assert len(numbers) > 1


def whole_frames(clips, expected):
    """The views of video 0, checked to be the central square of the expected frames, as whole frames."""
    item = clips[Request(0, 0, 0)]["clips"]
    whole = read_frames(Path(clips.index[0]["root"]) / clips.index[0]["video"], [i for view in expected for i in view])
    with Video(Path(clips.index[0]["root"]) / clips.index[0]["video"]) as video:
        for view, frames in zip(item, expected):
            assert np.array_equal(view.numpy(), video.read(frames, (0, 8, 64, 64), 80))
    for view, frames in zip(item, whole.reshape(len(expected), -1, 64, 80, 3)):
        square = torch.from_numpy(frames[:, :, 8:72].copy()).permute(0, 3, 1, 2).float()
        scaled = torch.nn.functional.interpolate(square, size=(80, 80), mode="bilinear").permute(0, 2, 3, 1)
        assert (view - scaled).abs().median() <= 1
        assert (view - scaled).mean(dim=(0, 1, 2)).abs().max() < 2
    return torch.from_numpy(whole).view(len(expected), -1, 64, 80, 3)


def test_resampled_to_another_frame_rate(root):
    """25 frames per second as 12.5: every second frame, and a stride of 2 of those."""
    picker = Picker(4, 2, views=1, crop_area=(1.0, 1.0))
    clips = ClipDataset(index_of(root), picker, 80, frame_rate=12.5)
    for position in range(5):
        numbers = frames_shown(clips[Request(0, position, 7)]["clips"][0])
        assert np.diff(numbers).tolist() == [4] * 3
        assert numbers[0] % 2 == 0


def test_resampled_by_time_where_the_rate_varies(tmp_path):
    """25 frames per second that become 5: what a viewer sees every tenth of a second, with the plan and without."""
    times = [*range(20), *range(20, 120, 5)]
    path = write_numbered(tmp_path / "a.mp4", 40, times=times)
    facts = inspect(path, "decode")
    expected = [max(frame for frame in range(40) if times[frame] <= tick * 2.5) for tick in range(48)]
    for known in (facts, {}):
        rows = [new_row("a.mp4", str(tmp_path)) | known]
        index = to_dataset(rows, tmp_path / "cache")
        clips = ClipDataset(index, Picker(48, views=1, crop_area=(1.0, 1.0)), 80, frame_rate=10.0)
        assert frames_shown(clips[Request(0, 0, 0)]["clips"][0]) == expected


def test_frame_counts_of_the_index_are_believed(root):
    """And where nobody has counted yet, the reader does."""
    rows = [new_row("0.mp4", str(root), num_frames=12), new_row("1.mp4", str(root))]
    clips = ClipDataset(to_dataset(rows, root / "cache"), Picker(6, 1, views=1, crop_area=(1.0, 1.0)), 80)
    shown = [{n for p in range(15) for n in frames_shown(clips[Request(0, p, row)]["clips"][0])} for row in (0, 1)]
    assert max(shown[0]) <= 11
    assert max(shown[1]) > 20
    assert clips[Request(0, 0, 0)]["label"] == -1


def test_a_video_shorter_than_its_clip_is_looped(root):
    clips = ClipDataset(index_of(root, ["single"]), Picker(3, views=1, crop_area=(1.0, 1.0)), 80)
    assert frames_shown(clips[Request(0, 0, 0)]["clips"][0]) == [0, 0, 0]


@pytest.mark.parametrize("replace", [True, False])
def test_videos_are_read_by_the_plans_of_the_index(root, monkeypatch, replace):
    """In training and in tests; else each is looked through again, and a damaged one may be read another way."""
    given = []

    class Watched(Video):
        def __init__(self, path, **kwargs):
            given.append((Path(path).name, kwargs["num_frames"], kwargs["plan"]))
            super().__init__(path, **kwargs)

    facts = {name: inspect(root / name, "decode") for name in ("1.mp4", "2.mp4")}
    assert None not in {fact["plan"] for fact in facts.values()}
    rows = [new_row(name, str(root)) | fact for name, fact in facts.items()]
    monkeypatch.setattr(clip_dataset, "Video", Watched)
    clips = ClipDataset(to_dataset(rows, root / "cache"), Picker(6), SIZE, replace=replace)
    clips.__getitems__([Request(0, row, row) for row in (0, 1)])
    assert given == [(name, fact["num_frames"], fact["plan"]) for name, fact in facts.items()]


# Broken videos


@pytest.mark.parametrize("replace", [True, False])
def test_a_broken_video(root, replace):
    clips = ClipDataset(index_of(root, "01238"), PICKER, SIZE, replace=replace)
    item = clips[Request(0, 3, 4)]
    assert (item["failed"], item["status"]) == (4, "broken")
    assert item["reason"].startswith(f"{root}/8.mp4: ")
    if replace:
        assert item["row"] in range(4)
        assert all(view.any() for view in item["clips"])
        assert item["label"] == clips.index[item["row"]]["label"]
        assert same(item, clips[Request(0, 3, 4)])
    else:
        assert item["row"] == 4
        assert not any(view.any() for view in item["clips"])
        assert [view.shape for view in item["clips"]] == [(6, SIZE, SIZE, 3)] * 2
        assert item["label"] == clips.index[4]["label"]


def test_only_broken_videos(root):
    clips = ClipDataset(index_of(root, "8"), PICKER, SIZE, replace=True)
    with pytest.raises(VideoError, match=r"^8 videos in a row could not be read, the last: .*/8\.mp4: "):
        clips[Request(0, 0, 0)]


@pytest.mark.parametrize(
    ("settings", "names", "facts", "message"),
    [
        ({}, ["missing"], {}, r"^{root}/missing\.mp4: "),
        ({}, ["0"], {"num_frames": 0}, r"^{root}/0\.mp4: holds no frames"),
        ({}, ["0"], {"num_frames": 500}, r"^{root}/0\.mp4: "),
        ({"frame_rate": 2.0}, ["single"], {}, r"^{root}/single\.mp4: too short to resample to 2 frames per second"),
    ],
)
def test_why_a_video_cannot_be_read(root, settings, names, facts, message):
    clips = ClipDataset(index_of(root, names, **facts), Picker(6, views=3), SIZE, **settings)
    with pytest.raises(VideoError, match=message.format(root=root)):
        clips._read(
            clips.index[0], np.random.default_rng(0), [view.numpy() for view in clips[Request(0, 0, 0)]["clips"]]
        )


def test_a_video_that_does_not_say_its_rate(root, monkeypatch):
    class Rateless(clip_dataset.Video):
        fps = property(lambda self: 0.0, lambda self, value: None)

    monkeypatch.setattr(clip_dataset, "Video", Rateless)
    clips = ClipDataset(index_of(root), PICKER, SIZE, frame_rate=10)
    with pytest.raises(VideoError, match=rf"^{root}/0\.mp4: does not say its frame rate"):
        clips._read(
            clips.index[0], np.random.default_rng(0), [view.numpy() for view in clips[Request(0, 0, 0)]["clips"]]
        )
    assert clips[Request(0, 0, 0)]["failed"] == 0


# The split of the results


@pytest.mark.parametrize(
    ("splits", "found"), [(["train", "test", "val"], "test"), (["train", "val", None], "val"), (["test"], "test")]
)
def test_where_results_are_measured(tmp_path, splits, found):
    rows = [new_row(f"{number}.mp4", "/", "a", split=split) for number, split in enumerate(splits)]
    assert clip_dataset.test_split(to_dataset(rows, tmp_path)) == found


def test_a_test_split_without_labels_measures_nothing(tmp_path):
    """As Something-Something's official one."""
    rows = [
        new_row("0.mp4", "/", "a", split="train"),
        new_row("1.mp4", "/", "a", split="val"),
        new_row("2.mp4", "/", None, split="test"),
    ]
    assert clip_dataset.test_split(to_dataset(rows, tmp_path / "some")) == "val"
    rows = [row | {"label": None} for row in rows]
    assert clip_dataset.test_split(to_dataset(rows, tmp_path / "none")) == "test"


def test_nowhere_to_measure(tmp_path):
    with pytest.raises(ConfigError, match="no test or val split: sort a plain folder"):
        clip_dataset.test_split(to_dataset([new_row("a.mp4", "/", split="train")], tmp_path))


def test_a_rate_or_times_that_would_take_all_memory(root, tmp_path, monkeypatch):
    """A header of one frame in two thousand million seconds, or a clock that was set: one video fails, and is named."""
    out = [np.empty((6, SIZE, SIZE, 3), np.uint8)]
    path = write_numbered(tmp_path / "a.mkv", 40, times=[number * 90 * 60 * 25 for number in range(40)])  # 90 minutes
    with Video(path) as video, pytest.raises(VideoError, match=r"a\.mkv: cannot be resampled \(40 frames would last"):
        read_picked(video, lambda length, sides: [], SIZE, out=out, frame_rate=100.0)
    monkeypatch.setattr(Video, "fps", 4.7e-10)
    with Video(root / "0.mp4") as video, pytest.raises(VideoError, match=r"0\.mp4: cannot be resampled"):
        read_picked(video, lambda length, sides: [], SIZE, out=out, frame_rate=25.0)


@pytest.mark.parametrize("num_frames", [2**62, 10**10, -1])
def test_a_promise_of_more_frames_than_bytes(root, num_frames):
    clips = ClipDataset(index_of(root, ["0"], num_frames=num_frames), Picker(6), SIZE)
    assert "frames are promised, but it has" in clips[Request(0, 0, 0)]["reason"]
