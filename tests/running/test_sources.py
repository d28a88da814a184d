"""A run is the same one if its weights, videos and precision are; else it is said what differs."""

import json
import shutil

import pytest

from rspnet.data.index import read_rows, write_rows
from rspnet.data.layouts import scan
from rspnet.errors import CheckpointError, ConfigError
from rspnet.running import sources


@pytest.fixture
def data(videos, tmp_path):
    """A copy of two classes of the `videos`, to change files in."""
    classes = sorted({path.parent for path in videos.rglob("*.*") if path.suffix == ".mp4"})
    for folder in classes[:2]:
        shutil.copytree(folder, tmp_path / "data" / folder.name)
    return tmp_path / "data"


@pytest.fixture
def again(tmp_path, data):
    """A run that began; `again(option=value)` asks for it once more."""
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/encoder.safetensors").write_bytes(b"1")

    def config(weights=tmp_path / "weights", root=data, index=None):
        named = {name: None if value is None else str(value) for name, value in {"root": root, "index": index}.items()}
        return {"weights": str(weights), "run": {"seed": 0}, "data": {**named, "layout": "auto", "fold": 1}}

    facts = sources.begin(run_dir, config(), "no")
    facts["data_fingerprint"] = sources.keep_videos(run_dir / "index.parquet", config())
    (run_dir / "environment.json").write_text(json.dumps({"sources": facts}))

    def ask(result=None, precision="no", **changes):
        assert sources.compare(run_dir, config(**changes), precision, result=result) == facts

    return ask


@pytest.mark.parametrize(
    ("weights", "root", "mistake", "message"),
    [
        ("none", "nowhere", ConfigError, r"^data\.root: .*nowhere: no such folder; "),
        ("gone", ".", CheckpointError, "gone: no such file or folder; give a run folder or a weight file"),
        (".", ".", CheckpointError, r"no encoder\.safetensors in this folder"),
    ],
)
def test_what_a_new_run_names_is_looked_for(weights, root, mistake, message, tmp_path):
    named = {"root": str(tmp_path / root), "index": None}
    with pytest.raises(mistake, match=message):
        sources.check_named({"weights": weights if weights == "none" else str(tmp_path / weights), "data": named})
    sources.check_named({"data": named | {"root": str(tmp_path)}})  # a pretraining has no weights


def refused(again, message, **changes):
    for result in (None, {"top1": 1.0}):
        with pytest.raises(
            ConfigError, match=rf"/run: holds a run with {message}; choose another --run_dir, or remove"
        ):
            again(result, **changes)


def test_nothing_changed(again, data, monkeypatch, capsys):
    again()
    again(root=f"{data}/../data/")
    monkeypatch.chdir(data.parent)
    again(root="data", weights="weights/encoder.safetensors")
    assert capsys.readouterr().err == ""


def test_other_weights_under_the_same_name(again, tmp_path):
    (tmp_path / "weights/encoder.safetensors").write_bytes(b"2")
    refused(again, r"other weights: SHA-256 \w{12}\.\.\., now SHA-256 \w{12}\.\.\. \(.*/weights\)")
    refused(again, r"other weights: SHA-256 \w{12}\.\.\., now none \(none\)", weights="none")


def test_the_same_weights_under_another_name(again, tmp_path):
    (tmp_path / "weights").rename(tmp_path / "moved")
    again(weights=tmp_path / "moved")


def test_another_precision(again):
    refused(again, "mixed precision no, not bf16", precision="bf16")


def test_videos_that_came_and_went(again, data):
    videos = sorted(path for path in data.rglob("*.*"))
    shutil.copy(videos[0], videos[0].with_name("new.mp4"))
    refused(again, r"other videos: 1 more \(\w+/new\.mp4\)")
    videos[0].unlink()
    videos[1].unlink()
    name = videos[0].relative_to(data)
    refused(again, rf"other videos: 1 more \(\w+/new\.mp4\), 2 fewer \({name}\)")


def test_a_video_that_was_replaced(again, data):
    """As its size tells, without a look inside."""
    video = sorted(data.rglob("*.*"))[3]
    size = video.stat().st_size
    video.write_bytes(video.read_bytes() + b"0")
    refused(again, rf"other videos: 1 changed \({video.relative_to(data)}: bytes {size}, now {size + 1}\)")


def test_a_video_of_another_class(again, data):
    one, two = sorted(data.iterdir())
    video = sorted(one.iterdir())[0]
    video.rename(two / "moved.mp4")
    refused(again, r"other videos: 1 more .*, 1 fewer .*")


def test_an_index_for_a_folder_and_another_index(again, data, tmp_path):
    """What an index says beside the same files counts as well."""
    rows = list(scan(data))
    write_rows(rows, tmp_path / "index.jsonl")
    again(root=None, index=tmp_path / "index.jsonl")
    rows[2]["status"] = "broken"
    write_rows(rows, tmp_path / "index.jsonl")
    refused(again, r"other videos: 1 changed \(.*: usable True, now False\)", root=None, index=tmp_path / "index.jsonl")


def test_videos_that_moved(again, data, tmp_path):
    """The run's index then says where they are; its rows, and what it knows of them, stay as they were."""
    kept = tmp_path / "run/index.parquet"
    before = list(read_rows(kept))
    write_rows(before[::-1], kept)
    data.rename(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"^data\.root: .*/data: no such folder; name the one that the videos are in"):
        again()
    again(root=tmp_path / "elsewhere")
    assert list(read_rows(kept)) == [row | {"root": str(tmp_path / "elsewhere")} for row in before[::-1]]


def test_weights_that_cannot_be_read(again, tmp_path):
    """By one of several processes, which tells the others: a mistake, and no error of the system."""
    (tmp_path / "weights/encoder.safetensors").unlink()
    (tmp_path / "weights/encoder.safetensors").symlink_to("/proc/self/mem")
    with pytest.raises(CheckpointError, match=r"/encoder\.safetensors: cannot be read \(Input/output error\)$"):
        again()


def test_a_result_outlives_what_it_was_measured_on(again, data, tmp_path, capsys):
    shutil.rmtree(data)
    shutil.rmtree(tmp_path / "weights")
    again({"top1": 1.0})
    weights, videos = capsys.readouterr().err.splitlines()
    assert weights.endswith("/weights: no longer exists; whether the result is of these weights is unknown")
    assert videos.startswith(f"data.root: {data}: no such folder; ")
    assert videos.endswith("; whether the result is of these videos is unknown")


def test_another_data_set_where_the_result_is_known(again, data, tmp_path):
    """None of its videos is there; an empty folder is one that is not mounted."""
    for name in ("train", "test"):
        shutil.rmtree(data / name, ignore_errors=True)
    for path in [*data.iterdir()]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    again({"top1": 1.0})
    (data / "others").mkdir()
    with pytest.raises(ConfigError, match=rf"holds a run with other videos: none of those looked for is in {data}; "):
        again({"top1": 1.0})


def test_a_folder_that_lost_what_tells_its_sources(again, tmp_path):
    (tmp_path / "run/index.parquet").unlink()
    refused(again, r"no index\.parquet any more, which listed its videos")
    damaged = {
        "": "it is empty",
        "[]": "it holds values of the wrong type",
        '{\n  "sour': "invalid JSON at line 2, column 3",
        '{"sources": {}}': "it lacks precision",
        "[" * 99_999: "it is nested too deeply",
    }
    for text, why in damaged.items():
        (tmp_path / "run/environment.json").write_text(text)
        refused(again, rf"an environment\.json that does not name its sources \({why}\)")
    (tmp_path / "run/environment.json").unlink()
    refused(again, r"an environment\.json that does not name its sources .*")


@pytest.mark.parametrize(("said", "known"), [(None, "no"), ("FP16", "fp16"), ("fp8", None), ("half", None)])
def test_precisions(monkeypatch, said, known):
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    if said:
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", said)
    if known:
        assert sources.precision() == known
    else:
        with pytest.raises(
            ConfigError, match=f"^mixed precision {said}: not supported; launch with one of no, fp16, bf16"
        ):
            sources.precision()
