"""Videos shorter than a clip: counted as they will be read, and said in one sentence."""

import pytest

from rspnet.cli import options
from rspnet.data import lengths
from rspnet.data.clip_dataset import ClipDataset
from rspnet.data.index import new_row, to_dataset
from rspnet.data.picker import Picker
from rspnet.errors import ConfigError
from rspnet.running.loop import TrainLoop
from stages import evaluate, finetune, pretrain
from tests.support import tiny
from tests.support.clips import index_of

RANDOM = {"crop_area": (0.5, 1.0)}


@pytest.mark.parametrize(
    ("picker", "described"),
    [
        (Picker(16), (16, "16 frames")),
        (Picker(16, **RANDOM, top_speed=2), (32, "32 frames (16 at speed 2)")),
        (Picker(8, 4), (29, "29 frames (8, 4 apart)")),
        (Picker(8, 2, **RANDOM, top_speed=3), (47, "47 frames (8, 2 apart at speed 3)")),
        (Picker(8, sampling="cover", **RANDOM, top_speed=2), (16, "16 frames (8 at speed 2)")),
    ],
)
def test_how_far_a_clip_reaches(picker, described):
    assert lengths.clip_span(picker) == described


@pytest.mark.parametrize(
    ("frames", "picker", "said"),
    [
        (
            [40] * 10,
            Picker(8, 4, **RANDOM, top_speed=2),
            "--clips.stride 2 makes it 31 frames, for which none of the videos are too short",
        ),
        (
            [20] * 9 + [12],
            Picker(16, 2, **RANDOM, top_speed=2),
            "--clips.num_frames 8 --clips.stride 1 makes it 16 frames, for which 1 of the videos is too short",
        ),
        ([60] * 9 + [30], Picker(16, 1, **RANDOM, top_speed=2), None),  # one in ten
        (
            [15] * 10,
            Picker(16, 1, **RANDOM, top_speed=2),
            "no clip of 8 frames is short enough for 90% of the videos",
        ),
        ([20] * 10, Picker(16, 2), None),  # a test's clip is that of its weights
    ],
)
def test_a_shorter_clip_is_proposed_where_many_videos_are_short(root, capsys, frames, picker, said):
    rows = [new_row(f"{place}.mp4", str(root), num_frames=number) for place, number in enumerate(frames)]
    lengths.tell_short(ClipDataset(to_dataset(rows), picker, 40), "videos")
    shown = [line for line in capsys.readouterr().err.splitlines() if "reveals little" in line]
    assert shown == ([] if said is None else [f"a looped clip reveals little of its speed: {said}"])


@pytest.mark.parametrize(
    ("rates", "frame_rate", "said"),
    [
        (
            [24.0, 24.0] + [30.0] * 6 + [50.0, 50.0],
            None,
            "24 a second or less in 10% of the videos, 50 or more in another 10%",
        ),
        ([24.0, 24.0] + [30.0] * 6 + [50.0, 50.0], 24.0, None),
        ([15.0] + [25.0] * 20 + [60.0], None, None),  # a few
        ([25.0] * 5 + [30.0] * 5, None, None),
        ([None] * 3, None, None),
    ],
)
def test_frame_rates_that_differ_are_named(root, capsys, rates, frame_rate, said):
    rows = [new_row(f"{place}.mp4", str(root), fps=rate) for place, rate in enumerate(rates)]
    lengths.tell_rates(ClipDataset(to_dataset(rows), Picker(8, **RANDOM, top_speed=2), 40, frame_rate=frame_rate))
    shown = capsys.readouterr().err
    if said is None:
        assert shown == ""
    else:
        assert f"frame rates differ: {said}" in shown.replace("\n", " ")
        assert "--clips.frame_rate 24 " in shown.replace("\n", " ")


def test_frame_rates_of_a_folder_are_those_of_its_headers(root, capsys, monkeypatch):
    rates = iter([25.0, 50.0])
    monkeypatch.setattr(lengths, "inspect", lambda *_, **__: {"num_frames": 40, "duration": 1.0, "fps": next(rates)})
    rows = [new_row(f"{place}.mp4", str(root)) for place in range(2)]
    lengths.tell_rates(ClipDataset(to_dataset(rows), Picker(8, **RANDOM, top_speed=2), 40))
    said = "frame rates differ: 25 a second or less in 10% of the videos, 50 or more"
    assert said in capsys.readouterr().err.replace("\n", " ")


def test_headers_are_read_once_for_all_that_is_said(root, monkeypatch):
    asked = []
    facts = {"num_frames": 40, "duration": 1.0, "fps": 25.0}
    monkeypatch.setattr(lengths, "inspect", lambda path, *_, **__: asked.append(path.name) or facts)
    rows = [new_row(f"{place}.mp4", str(root)) for place in range(2)]
    lengths.tell_speeds(ClipDataset(to_dataset(rows), Picker(8, **RANDOM, top_speed=2), 40))
    assert asked == ["0.mp4", "1.mp4"]


def stopped(*_args, **_kwargs):
    raise KeyboardInterrupt


def test_the_stages_say_it(motions, tmp_path, capsys, monkeypatch):
    """Each before it reads the first clip; all these videos have 24 frames."""
    monkeypatch.setattr(TrainLoop, "__init__", stopped)
    clips = options.Clips(num_frames=8, size=48, stride=4)
    short = "are shorter than a clip of 29 frames (8, 4 apart), and are looped, or their frames lie closer together"
    with pytest.raises(KeyboardInterrupt):
        pretrain.main(tiny.pretrain(motions, tmp_path / "1", clips=clips))
    assert (
        "\n18 of 18 videos are shorter than a clip of 93 frames (8, 4 apart at speed 3), and "
        in capsys.readouterr().err
    )
    clips = options.TestedClips(num_frames=8, size=48, stride=4, views=1)
    with pytest.raises(KeyboardInterrupt):
        finetune.main(tiny.finetune(motions, tmp_path / "2", clips=clips))
    assert f"\n18 of 18 training videos {short}\n5 of 5 test videos {short}\n" in capsys.readouterr().err
    evaluate.main(tiny.evaluate(motions, tmp_path / "3", protocol="knn", clips=clips))
    said = capsys.readouterr().err
    assert f"5 of 5 test videos {short}\n" in said
    assert f"18 of 18 training videos {short}\n" in said


def test_the_stages_refuse_clips_that_the_network_cannot_take(motions, tmp_path):
    """The first before it has listed a video."""
    c3d = {"encoder": options.Encoder("c3d", width=4)}
    with pytest.raises(ConfigError, match=r"^clips.num_frames: 4, clips.size: 32, 3 in a batch: too little for c3d, "):
        pretrain.main(tiny.pretrain(motions, tmp_path / "1", **c3d, clips=options.Clips(num_frames=4, size=32)))
    assert not (tmp_path / "1/index.parquet").exists()
    clips = {"clips": options.TestedClips(num_frames=4, size=32)}
    with pytest.raises(ConfigError, match=r"^clips.num_frames: 4, clips.size: 32, 6 in a batch: too little for c3d, "):
        finetune.main(tiny.finetune(motions, tmp_path / "2", **c3d, **clips))
    with pytest.raises(ConfigError, match=r"^clips.num_frames: 4, clips.size: 32: too little for c3d, "):
        evaluate.main(tiny.evaluate(motions, tmp_path / "3", **c3d, **clips))


def told(index, capsys, picker, **kwargs):
    lengths.tell_short(ClipDataset(index, picker, 40, **kwargs), "test videos")
    return capsys.readouterr().err


def test_frame_counts_of_the_index(root, capsys):
    """No file is opened: there is none."""
    rows = [new_row(f"none/{number}.mp4", str(root), num_frames=number, fps=25.0) for number in range(30, 50)]
    index = to_dataset(rows, root / "cache")
    assert told(index, capsys, Picker(30)) == ""
    assert told(index, capsys, Picker(31)) == "1 of 20 test videos is shorter than a clip of 31 frames, and is looped\n"
    assert told(index, capsys, Picker(200, sampling="cover")).startswith(
        "20 of 20 test videos are shorter than a clip of 2"
    )
    assert told(index, capsys, Picker(10, 4)) == (
        "7 of 20 test videos are shorter than a clip of 37 frames (10, 4 apart), and are looped, or their frames lie "
        "closer together\n"
    )
    assert told(index, capsys, Picker(16), frame_rate=10.0) == (
        "10 of 20 test videos are shorter than a clip of 16 frames at 10 frames a second, and are looped\n"
    )


def test_where_the_index_does_not_know_them_headers_are_read(root, capsys, monkeypatch):
    """Eight videos of 20 to 55 frames, and one that cannot be read: another message is about that."""
    index = index_of(root, "012345678")
    assert told(index, capsys, Picker(31)).startswith(
        "3 of 8 test videos looked at (there are 9) are shorter than a clip"
    )
    assert told(index_of(root), capsys, Picker(31)).startswith(
        "3 of 8 test videos are shorter than a clip of 31 frames"
    )
    monkeypatch.setattr(lengths, "LOOKED_AT", 2)
    assert told(index_of(root), capsys, Picker(31)).startswith("1 of 2 test videos looked at (there are 8) is shorter")


@pytest.mark.parametrize(("given", "limit"), [(60.0, lengths.SECONDS), (2.0, 2.0)])
def test_a_header_that_takes_long_is_given_up(root, capsys, monkeypatch, given, limit):
    def inspect(path, depth, time_limit):
        asked.append((depth, time_limit))
        return {"num_frames": None, "fps": None, "duration": None}  # as where there was no time to see it

    asked = []
    monkeypatch.setattr(lengths, "inspect", inspect)
    assert told(index_of(root), capsys, Picker(31), time_limit=given) == ""
    assert asked == [("probe", limit)] * 8


def test_the_main_process_alone_counts(root, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(lengths, "frame_counts", lambda clips: pytest.fail("counted"))
    assert told(index_of(root), capsys, Picker(31)) == ""
