"""Evaluation in process at toy size: the protocols against plain computations, broken and unlabelled videos."""

import json
import multiprocessing
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import rspnet
from rspnet.cli import options
from rspnet.cli.config import parse
from rspnet.data import sampling
from rspnet.data.augment import normalise
from rspnet.data.index import write_rows
from rspnet.data.layouts import scan
from rspnet.errors import CheckpointError, ConfigError, VideoError
from rspnet.evaluation import protocols
from rspnet.evaluation.found import Found, check_some
from rspnet.evaluation.linear import linear_probe
from rspnet.running import folder as run_folder
from rspnet.running.measured import measured
from rspnet.running.table import read
from rspnet.video.reader import Video, encode
from stages import export
from stages.evaluate import Config, default_run_dir, main
from tests.support import mac, tiny
from tests.support.pages import README, REPO, blocks


@pytest.fixture(scope="module")
def plain(motions, finetuned):
    """By pooling: features and classes of the test and the training videos, computed a clip at a time."""
    encoder = rspnet.load_encoder(finetuned)
    found = {"average": {}, "max": {}}
    for split in ("test", "train"):
        maps, labels = [], []
        for video in sorted((motions / split).rglob("*.mp4")):
            views = []
            for frames in sampling.even_clips(24, 8, 1, n=2):
                with Video(video) as opened:
                    clip = opened.read(frames, (0, (opened.width - 32) // 2, 32, 32), 48)
                with torch.no_grad():
                    views.append(encoder.forward_features(normalise(torch.from_numpy(clip)[None]))[0])
            maps.append(torch.stack(views).double().flatten(2))
            labels.append(("down", "right", "still").index(video.parent.name))
        maps = torch.stack(maps)
        found["average"][split] = maps.mean(3).mean(1).numpy(), np.array(labels)
        found["max"][split] = maps.amax(3).mean(1).numpy(), np.array(labels)
    return found


def run(root, run_dir, weights, protocol, **changes):
    result = main(tiny.evaluate(root, run_dir, weights, protocol, **changes))
    assert json.loads((run_dir / "result.json").read_text()) == result
    assert result == result | {"stage": "evaluate", "protocol": protocol, "weights": str(weights), "arch": "resnet18"}
    return result


def test_classify_repeats_the_final_test_of_fine_tuning(tmp_path, motions, finetuned, capsys):
    result = run(motions, tmp_path, finetuned, "classify")
    out, err = capsys.readouterr()
    assert json.loads(out) == result
    before = json.loads((finetuned / "result.json").read_text())
    for name in ("top1", "top5", "num_videos", "num_failed", "views", "chance_top1"):
        assert result[name] == before[name]
    assert tiny.read_lines(tmp_path / "predictions.jsonl") == tiny.read_lines(finetuned / "predictions.jsonl")
    assert "loaded 122 of the network's 122 entries" in err
    assert "classify: 5 videos, 2 clips of 8 frames each, central crop 48" in err
    assert {path.name for path in tmp_path.iterdir()} == {
        *("config.yaml", "environment.json", "index.parquet", ".lock"),
        *("result.json", "predictions.jsonl", "confusion.csv", "manifest.json", "report.html"),
    }
    assert (tmp_path / "confusion.csv").read_text() == (finetuned / "confusion.csv").read_text()
    assert result["class_accuracy"] == before["class_accuracy"]


@pytest.mark.parametrize("pooling", ["average", "max"])
def test_retrieval(tmp_path, motions, finetuned, plain, pooling, capsys):
    result = run(motions, tmp_path, finetuned, "retrieval", pooling=pooling)
    assert f"central crop 48, {pooling} pooling" in capsys.readouterr().err
    assert (result["num_queries"], result["num_gallery"], result["num_failed"]) == (5, 18, 0)
    assert result["pooling"] == pooling
    (queries, query_labels), (gallery, gallery_labels) = plain[pooling]["test"], plain[pooling]["train"]
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, gallery)]
    cosines = unit[0] @ unit[1].T
    order = np.argsort(-cosines, axis=1)
    for k in (1, 5, 10, 20, 50):
        hits = (gallery_labels[order[:, :k]] == query_labels[:, None]).any(axis=1)
        assert result["recall"][str(k)] == pytest.approx(100 * hits.mean())
    # Six of eighteen are of the query's class: 1 - (12 over k) / (18 over k).
    assert result["chance"]["1"] == 33.33
    assert result["chance"]["5"] == round(100 * (1 - 792 / 8568), 2)
    assert result["chance"]["20"] == 100
    lines = tiny.read_lines(tmp_path / "neighbours.jsonl")
    assert len(lines) == 5
    names = [str(path.relative_to(motions)) for path in sorted((motions / "train").rglob("*.mp4"))]
    for line, ranked, row in zip(lines, order, cosines):
        assert [found["video"] for found in line["neighbours"]] == [names[place] for place in ranked[:10]]
        assert [found["similarity"] for found in line["neighbours"]] == pytest.approx(row[ranked[:10]], abs=2e-4)
        assert line["video"].split("/")[1] == line["label"]


def test_knn(tmp_path, motions, finetuned, plain):
    result = run(motions, tmp_path, finetuned, "knn")
    (queries, query_labels), (gallery, gallery_labels) = plain["average"]["test"], plain["average"]["train"]
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, gallery)]
    votes = np.exp(unit[0] @ unit[1].T / 0.07) @ np.eye(3)[gallery_labels]  # of all 18: there are no 20
    assert result["top1"] == pytest.approx(100 * (votes.argmax(axis=1) == query_labels).mean())
    shares = votes / votes.sum(axis=1, keepdims=True)
    for line, share in zip(tiny.read_lines(tmp_path / "predictions.jsonl"), shares):
        assert line["predicted"] == [("down", "right", "still")[number] for number in np.argsort(-share)]
        assert line["probability"] == pytest.approx(np.sort(share)[::-1], abs=2e-3)


def test_linear(tmp_path, motions, finetuned, plain):
    result = run(motions, tmp_path, finetuned, "linear")
    (queries, query_labels), (gallery, gallery_labels) = plain["average"]["test"], plain["average"]["train"]
    logits = linear_probe(*map(torch.from_numpy, (gallery, gallery_labels, queries)), num_classes=3).numpy()
    assert result["top1"] == pytest.approx(100 * (logits.argmax(axis=1) == query_labels).mean())
    assert (result["top5"], result["num_videos"], result["num_gallery"]) == (100, 5, 18)


@pytest.mark.parametrize("batch", [1, 3, 5])
def test_an_uneven_last_batch_is_counted_once(tmp_path, motions, finetuned, batch):
    result = run(motions, tmp_path, finetuned, "classify", test=options.Test(batch))
    assert result["num_videos"] == 5
    one, two = (tiny.read_lines(folder / "predictions.jsonl") for folder in (tmp_path, finetuned))
    assert [line["video"] for line in one] == [line["video"] for line in two]
    for mine, theirs in zip(one, two):
        assert mine["probability"] == pytest.approx(theirs["probability"], abs=2e-4)


def test_broken_videos_are_left_out_and_named(tmp_path, motions, finetuned, capsys):
    root = tmp_path / "data"
    shutil.copytree(motions, root)
    for video in ("test/down/18.mp4", "train/down/00.mp4", "train/right/01.mp4"):
        (root / video).write_bytes(b"no video" * 50)
    result = run(root, tmp_path / "classify", finetuned, "classify")
    assert (result["num_videos"], result["num_failed"]) == (4, 1)
    assert len(tiny.read_lines(tmp_path / "classify/predictions.jsonl")) == 4
    assert f"could not read {root}/test/down/18.mp4: " in capsys.readouterr().err
    more = options.DataSet(root=str(root), num_workers=0, max_failures=12)
    result = run(root, tmp_path / "retrieval", finetuned, "retrieval", data=more)
    assert (result["num_queries"], result["num_gallery"], result["num_failed"]) == (4, 16, 3)
    assert f"could not read {root}/train/right/01.mp4: " in capsys.readouterr().err
    lines = tiny.read_lines(tmp_path / "retrieval/neighbours.jsonl")
    seen = {near["video"] for line in lines for near in line["neighbours"]}
    assert not seen & {"train/down/00.mp4", "train/right/01.mp4"}


@pytest.mark.parametrize("protocol", ["retrieval", "knn", "linear"])
def test_too_many_broken_videos_stop_an_evaluation(tmp_path, motions, finetuned, protocol):
    """Of the gallery too, and each list against its own number: two of eighteen are too many, one of five is not."""
    root = tmp_path / "data"
    shutil.copytree(motions, root)
    for video in ("test/down/18.mp4", "train/down/00.mp4", "train/right/01.mp4"):
        (root / video).write_bytes(b"no video" * 50)
    data = options.DataSet(root=str(root), num_workers=0, max_failures=11)
    message = r"^training videos: 2 of the 18 videos could not be read so far; more than 11 % \(data\.max_failures\)"
    with pytest.raises(VideoError, match=message):
        run(root, tmp_path / "run", finetuned, protocol, data=data)
    assert not (tmp_path / "run/result.json").exists()


def test_videos_too_short_to_resample_are_failures(tmp_path, motions, finetuned, capsys):
    """24 frames at 25 a second are none at 0.9."""
    clips = options.TestedClips(num_frames=8, size=48, views=2, frame_rate=0.9)
    with pytest.raises(VideoError, match=r"^test videos: 2 of the 5 videos could not be read so far; "):
        run(motions, tmp_path / "run", finetuned, "classify", clips=clips)
    assert "18.mp4: too short to resample to 0.9 frames per second; it is left out" in capsys.readouterr().err


def test_videos_without_labels_get_a_list_of_neighbours(tmp_path, motions, pretrained):
    (tmp_path / "data").mkdir()
    for video in motions.rglob("*.mp4"):
        shutil.copy(video, tmp_path / "data")
    result = run(tmp_path / "data", tmp_path / "run", pretrained, "retrieval")
    assert (result["num_queries"], result["num_gallery"]) == (23, 23)
    assert not result.keys() & {"recall", "chance", "top1"}
    lines = tiny.read_lines(tmp_path / "run/neighbours.jsonl")
    assert len(lines) == 23
    for line in lines:
        found = [near["video"] for near in line["neighbours"]]
        assert len(set(found)) == 10
        assert line["video"] not in found
        assert line["label"] is None
    for protocol in ("classify", "knn", "linear"):
        with pytest.raises(ConfigError, match="no test or val split: sort a plain folder into train/CLASS/"):
            main(tiny.evaluate(tmp_path / "data", tmp_path / protocol, pretrained, protocol))


@pytest.mark.parametrize(("protocol", "total"), [("classify", 5), ("retrieval", 23)])
def test_some_videos_without_labels(tmp_path, motions, protocol, total):
    """Each video counts once, also where those that are tested are the only ones."""
    rows = [row | ({"label": None} if row["video"].endswith("/18.mp4") else {}) for row in scan(motions)]
    write_rows(rows, tmp_path / "index.jsonl")
    data = options.DataSet(index=str(tmp_path / "index.jsonl"), num_workers=0)
    with pytest.raises(ConfigError, match=rf"^1 of {total} videos have no label: \S+/18\.mp4; "):
        main(tiny.evaluate(motions, tmp_path / "run", protocol=protocol, data=data))


def test_fresh_weights_come_from_the_seed(tmp_path, motions, capsys):
    recalls = []
    for number, seed in enumerate((0, 0, 1)):
        run(motions, tmp_path / str(number), "none", "retrieval", run=options.Evaluation(seed))
        recalls.append(tiny.read_lines(tmp_path / str(number) / "neighbours.jsonl"))
    assert recalls[0] == recalls[1] != recalls[2]
    assert "loaded" not in capsys.readouterr().err


def test_a_published_checkpoint(tmp_path, motions, pretrained):
    """Of the published code's pretraining: the encoder among two heads, a key encoder and a queue."""
    ours = {f"encoder_q.encoder.{name}": value for name, value in rspnet.load_encoder(pretrained).state_dict().items()}
    model = ours | {f"encoder_q.fc{head}.2.weight": torch.zeros(4, 512) for head in (1, 2)}
    torch.save({"epoch": 200, "arch": "resnet18", "model": model}, tmp_path / "published.pth.tar")
    result = run(motions, tmp_path / "theirs", tmp_path / "published.pth.tar", "retrieval")
    assert result["recall"] == run(motions, tmp_path / "ours", pretrained, "retrieval")["recall"]
    one, two = (tiny.read_lines(tmp_path / name / "neighbours.jsonl") for name in ("theirs", "ours"))
    assert one == two


@pytest.mark.parametrize("form", ["file", "hub"])
def test_a_classifier_that_does_not_name_its_classes(tmp_path, motions, finetuned, form, capsys):
    """As published ones do not, nor what they are exported to: it is said which they are taken to be."""
    torch.save(rspnet.load_classifier(finetuned).state_dict(), tmp_path / "tuned.pth")
    weights = tmp_path / "tuned.pth"
    if form == "hub":
        export.main(export.Config(str(weights), str(tmp_path / "exported")))
        weights = tmp_path / "exported"
    result = run(motions, tmp_path / "run", weights, "classify")
    assert result["top1"] == json.loads((finetuned / "result.json").read_text())["top1"]
    said = f"{weights}: does not name its classes; assuming those of these videos, in alphabetical order"
    assert said in capsys.readouterr().err


def test_weights_are_looked_at_before_the_videos(tmp_path):
    (tmp_path / "w.pth").write_text("<html>")
    with pytest.raises(CheckpointError, match=r"w\.pth"):
        main(tiny.evaluate(tmp_path, tmp_path / "run", tmp_path / "w.pth"))


def test_a_finished_evaluation_is_left_alone(tmp_path, motions, pretrained, monkeypatch, capsys):
    """Unless what it was measured on is not what it was: weights under the same name, videos in the same folder."""
    shutil.copytree(pretrained, tmp_path / "weights")
    shutil.copytree(motions, tmp_path / "data")
    config = tiny.evaluate(tmp_path / "data", tmp_path / "run", tmp_path / "weights", "knn")
    result = main(config)
    capsys.readouterr()
    monkeypatch.setattr(run_folder, "Run", lambda *args: pytest.fail("the work was begun"))
    assert main(config) == result
    out, err = capsys.readouterr()
    assert json.loads(out) == result
    assert "this was done before; remove the folder to do it again" in err
    with pytest.raises(ConfigError, match="holds a run with protocol=knn, not linear"):
        main(tiny.evaluate(motions, tmp_path / "run", pretrained, "linear"))
    shutil.copy(tmp_path / "data/test/down/18.mp4", tmp_path / "data/test/down/99.mp4")
    with pytest.raises(ConfigError, match=r"holds a run with other videos: 1 more \(test/down/99\.mp4\); "):
        main(config)
    with (tmp_path / "weights/encoder.safetensors").open("ab") as weights:
        weights.write(b"0")
    with pytest.raises(ConfigError, match=r"holds a run with other weights: SHA-256 "):
        main(config)


def test_where_it_writes_unless_told(tmp_path, monkeypatch):
    """Beside the weights, and every evaluation in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some/run").mkdir(parents=True)
    places = {
        str(default_run_dir(Config(weights=weights, protocol=protocol, **changes), Path(weights)))
        for weights in ("none", "some/run", "one/model_best.pth.tar", "two/model_best.pth.tar")
        for protocol in ("knn", "retrieval")
        for changes in ({}, {"clips": options.TestedClips(views=3)}, {"data": options.DataSet(root="videos")})
    }
    assert len(places) == 4 * 2 * 3
    homes = ("runs/none", "some/run", "runs/model_best", "runs/model_best")
    expected = {f"{home}/{protocol}" for home in homes for protocol in ("knn", "retrieval")}
    assert {place.rsplit("_", 1)[0] for place in places} == expected
    here = default_run_dir(Config(weights="some/run", protocol="knn"), Path("some/run"))
    same = Config(weights=str(tmp_path / "some/run"), protocol="knn", data=options.DataSet(num_workers=1))
    assert default_run_dir(same, tmp_path / "some/run") == tmp_path / here


def test_weights_alone_are_enough(tmp_path, monkeypatch, motions, finetuned, pretrained, capsys):
    """Of a fine-tuned run, of a pretraining run, and of a published file: network, clips and their number."""
    monkeypatch.chdir(tmp_path)
    data = ["--data.root", str(motions), "--data.num_workers", "0"]
    before = json.loads((finetuned / "result.json").read_text())
    weights = tmp_path / "run"
    shutil.copytree(finetuned, weights, ignore=shutil.ignore_patterns("checkpoints"))
    result = main(parse(Config, ["--weights", str(weights), *data]))
    assert result == result | {name: before[name] for name in ("top1", "top5", "num_videos", "views")}
    (folder,) = weights.glob("classify_*")
    assert tiny.read_lines(folder / "predictions.jsonl") == tiny.read_lines(finetuned / "predictions.jsonl")
    assert "other clips" not in capsys.readouterr().err

    by_config = parse(Config, ["--config", str(finetuned / "config.yaml"), "--weights", str(weights)])
    assert by_config == parse(Config, ["--weights", str(weights), *data])
    by_config = parse(Config, ["--config", str(pretrained / "config.yaml"), "--weights", str(pretrained)])
    assert (by_config.clips.size, by_config.encoder.width, by_config.run_dir) == (48, 16, None)

    argv = ["--protocol", "retrieval", "--run_dir", "retrieval", *data, "--clips.views", "2"]
    result = main(parse(Config, ["--weights", str(pretrained), *argv]))
    assert result["recall"] == run(motions, tmp_path / "config", pretrained, "retrieval")["recall"]
    assert "other clips" not in capsys.readouterr().err

    torch.save(rspnet.load_encoder(pretrained).state_dict(), "model.pth")
    config = parse(Config, ["--weights", "model.pth", *argv])
    assert config.encoder == options.Encoder("resnet18", 16)


def test_clips_that_differ_from_the_weights_are_said(tmp_path, motions, finetuned, capsys):
    clips = options.TestedClips(num_frames=8, size=32, views=1)
    run(motions, tmp_path / "classify", finetuned, "classify", clips=clips)
    text = "clips.size 32, not 48, clips.views 1, not 2"
    assert (
        f"warning: this classifier was trained on other clips than it is tested on: {text}" in capsys.readouterr().err
    )
    run(motions, tmp_path / "knn", finetuned, "knn", clips=clips)
    assert f"other clips than the weights were trained on, as the options say: {text}" in capsys.readouterr().err


def test_the_examples_of_the_pages_give_the_features_that_are_measured(tmp_path, monkeypatch, motions, finetuned):
    """Also where the weights say another normalisation, and for a video shorter than a clip."""
    root, weights = tmp_path / "data", tmp_path / "run"
    shutil.copytree(motions, root)
    with Video(root / "test/down/18.mp4") as video:
        encode(root / "test/down/18.mp4", list(video.read(range(5))), fps=25, crf=0)
    weights.mkdir()
    shutil.copy(finetuned / "encoder.safetensors", weights)
    said = json.loads((finetuned / "encoder.json").read_text())
    said["clip"] |= {"mean": [0.1, 0.5, 0.9], "std": [0.5, 0.2, 0.3], "channels": "BGR"}
    (weights / "encoder.json").write_text(json.dumps(said))
    measured, real = [], protocols.neighbours
    monkeypatch.setattr(protocols, "neighbours", lambda *args, **named: measured.append(args) or real(*args, **named))
    main(parse(Config, ["--weights", str(weights), "--protocol", "retrieval", "--data.root", str(root)]))

    ((features, *_),) = measured
    (code,) = blocks(README, "python")
    for video, feature in zip(sorted((root / "test").rglob("*.mp4")), features, strict=True):
        found = {}
        exec(code.replace("runs/c3d_ucf101", str(weights)).replace("video.mp4", str(video)), found)
        torch.testing.assert_close(found["feature"], feature, rtol=1e-5, atol=1e-6)
        assert not found["feature"].requires_grad
        likeliest = [name for name, _ in found["classifier"].predict(str(video))]
        assert sorted(likeliest) == ["down", "right", "still"] == found["classifier"].class_names

    (code,) = blocks(REPO / "docs/weights.md", "python")
    monkeypatch.chdir(tmp_path)
    exec(code.replace("runs/c3d_ucf101", str(weights)).replace('"videos"', '"data/test"'), {})
    kept = torch.load("features.pt")
    assert list(kept) == [path.relative_to(tmp_path).as_posix() for path in sorted((root / "test").rglob("*.mp4"))]
    torch.testing.assert_close(torch.stack(list(kept.values())), features, rtol=1e-5, atol=1e-6)


def test_weights_that_do_not_serve(tmp_path, motions, pretrained, finetuned):
    with pytest.raises(ConfigError, match=r"^--weights: name a run folder or a weight file"):
        main(parse(Config, []))
    with pytest.raises(ConfigError, match=r"^pooling: max; a classifier is tested as it was trained, with average"):
        parse(Config, ["--pooling", "max"])
    with pytest.raises(CheckpointError, match="has no classifier; fine-tune this encoder first"):
        main(tiny.evaluate(motions, tmp_path / "a", pretrained, "classify"))
    root = tmp_path / "data"
    shutil.copytree(motions, root)
    for split in ("train", "test"):
        (root / split / "down").rename(root / split / "up")
    with pytest.raises(CheckpointError, match=r"was trained on other classes than these videos have: \['down', "):
        main(tiny.evaluate(root, tmp_path / "b", finetuned, "classify"))


def test_without_what_only_linux_has(monkeypatch, tmp_path, motions):
    """As on a Mac, where processes that decode start anew instead of being copies of this one."""
    expected = run(motions, tmp_path / "linux", "none", "classify")
    for module, name in mac.LINUX_ONLY:
        monkeypatch.delattr(module, name, raising=False)
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)
    try:
        data = options.DataSet(root=str(motions), num_workers=1)
        result = run(motions, tmp_path / "mac", "none", "classify", data=data)
    finally:
        multiprocessing.set_start_method(before, force=True)
    assert result == expected


def test_several_protocols_in_one_pass_and_from_a_file(tmp_path, motions, finetuned, monkeypatch, capsys):
    """The videos are looked at once, or not at all; every number is that of the protocol alone."""
    from rspnet.running import looking
    from stages import extract

    alone = {name: run(motions, tmp_path / name, finetuned, name) for name in ("retrieval", "knn", "linear")}
    passes, real = [], looking.predict
    monkeypatch.setattr(looking, "predict", lambda *args: passes.append(args[2]) or real(*args))
    names = "retrieval,knn,linear"
    together = run(motions, tmp_path / "all", finetuned, names)
    assert passes == ["test videos", "training videos"]
    extract.main(tiny.extract(motions, out=tmp_path / "f", weights=finetuned))
    for place, features in enumerate((tmp_path / "all" / "features.parquet", tmp_path / "f")):
        capsys.readouterr()
        config = Config(features=str(features), protocol=names, run_dir=str(tmp_path / f"from_{place}"))
        stored = main(config)
        assert "5 videos, features of" in capsys.readouterr().err
        shared = {"weights", "weights_sha256", "arch", "views", "pooling", "precision", "fold", "num_failed"}
        shared |= {"data_fingerprint"}  # the videos are the same
        for name in alone:
            assert stored[name] == together[name] == {key: alone[name][key] for key in together[name]}
        assert {key: stored[key] for key in shared} == {key: together[key] for key in shared}
        assert main(config) == stored  # it was done before
        encoder = yaml.safe_load((tmp_path / f"from_{place}" / "config.yaml").read_text())["encoder"]
        assert (encoder["name"], encoder["width"]) == (together["arch"], 16)
        for file in ("neighbours_retrieval.jsonl", "predictions_knn.jsonl", "predictions_linear.jsonl"):
            lines = (tmp_path / f"from_{place}" / file).read_text()
            assert lines == (tmp_path / "all" / file).read_text()
            kind, _, name = file.removesuffix(".jsonl").partition("_")
            assert lines == (tmp_path / name / f"{kind}.jsonl").read_text()
    assert len(passes) == 2
    for folder in ("retrieval", "knn", "linear", "all"):
        assert (tmp_path / folder / "features.parquet").is_file()
    extract.main(tiny.extract(motions, out=tmp_path / "f"))
    with pytest.raises(ConfigError, match="holds a run with other features: SHA-256"):
        main(config)


def test_features_say_how_they_were_made(tmp_path, motions, finetuned, capsys):
    """Not the options, which nobody gave: neither in the folder nor in a table of several."""
    from rspnet.running import table
    from stages import extract

    extract.main(tiny.extract(motions, out=tmp_path / "f", weights=finetuned, layer="layer2", pooling="max"))
    config = Config(features=str(tmp_path / "f"), protocol="knn", run_dir=str(tmp_path / "run"))
    result = main(config)
    assert [result[name] for name in ("arch", "views", "layer", "pooling")] == ["resnet18", 2, "layer2", "max"]
    assert "f, of clips of 8 x 48², stage layer2, max pooling" in capsys.readouterr().err
    (row,) = table.rows(table.read(tmp_path / "run"), any_weights=False)
    known = row.results[0].options
    assert [known[name] for name in ("clips.size", "clips.num_frames", "layer", "pooling")] == [48, 8, "layer2", "max"]
    other = {**vars(config), "clips": options.TestedClips(num_frames=8, size=64), "run_dir": str(tmp_path / "other")}
    with pytest.raises(ConfigError, match=r"^clips\.size: 64; .*f was made with 48: leave it out$"):
        main(Config(**other))
    assert not (tmp_path / "other").exists()
    shutil.rmtree(tmp_path / "f")
    assert main(config) == result
    assert "f: no longer exists; whether the result is of these features is unknown" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": "knn,classify"}, "protocol: knn,classify; can be combined: retrieval, knn, linear"),
        ({"protocol": "knn,knn"}, "protocol: knn,knn; can be combined: "),
        ({"protocol": "knn, svm"}, "protocol: 'svm'; choose from classify, retrieval, knn"),
        ({"protocol": ""}, "protocol: ''; choose from"),
        ({"features": "f.parquet"}, "--features: a classifier is tested on videos"),
        ({"features": "f.parquet", "protocol": "knn", "weights": "none"}, "--features: replaces --weights"),
    ],
)
def test_protocols_and_features_that_do_not_go_together(changes, message):
    with pytest.raises(ConfigError, match=message):
        Config(**changes)


def test_features_that_are_of_no_use(tmp_path, motions, finetuned):
    from stages import extract

    def measured(path):
        main(Config(features=str(path), protocol="knn", run_dir=str(tmp_path / "run")))

    with pytest.raises(ConfigError, match=r"--features: .*none\.parquet: no such file or folder"):
        measured(tmp_path / "none.parquet")
    (tmp_path / "other.parquet").write_bytes(b"PAR1")
    with pytest.raises(ConfigError, match=r"other\.parquet: holds no features of rspnet, or damaged ones"):
        measured(tmp_path / "other.parquet")
    extract.main(tiny.extract(motions, out=tmp_path / "w.parquet", weights=finetuned, window="12f"))
    with pytest.raises(ConfigError, match=r"w\.parquet: its features are of windows; give those of whole videos"):
        measured(tmp_path / "w.parquet")
    assert not (tmp_path / "run").exists()


def test_what_training_taught(tmp_path, motions, finetuned, capsys):
    """--compare random gives what --weights none gives, and the difference."""
    names = "retrieval,knn,linear,few_shot,cluster"
    command = ["--protocol", names, "--data.root", str(motions), "--run.seed", "3", "--run_dir"]
    found = main(parse(Config, ["--weights", str(finetuned), *command, str(tmp_path / "a"), "--compare", "random"]))
    err = capsys.readouterr().err
    assert err.count("\n  ahead of fresh weights by: ") == 5
    like = ["--encoder.width", "16", "--clips.num_frames", "8", "--clips.size", "48", "--clips.views", "2"]
    fresh = main(parse(Config, ["--weights", "none", *like, *command, str(tmp_path / "b")]))
    for name in names.split(","):
        other = found[name].pop("random")
        for each, value in found[name].get("recall", {"top1": found[name].get("top1")}).items():
            if isinstance(value, float):
                theirs = other.get("recall", other)[each]
                assert other["difference"][each] == pytest.approx(value - theirs, abs=0.011)
        del other["difference"], other["difference_interval"]
        assert other == {key: value for key, value in fresh[name].items() if key != "class_accuracy"}


@pytest.mark.parametrize("words", [["--weights", "none", "--protocol", "knn"], ["--weights", "W"], ["--features", "F"]])
def test_comparisons_that_make_no_sense(words):
    with pytest.raises(ConfigError, match="--compare: is for the features of a network with weights"):
        parse(Config, [*words, *([] if "--weights" in words else ["--protocol", "knn"]), "--compare", "random"])


def flat(motions, folder):
    """The videos without classes and splits."""
    folder.mkdir()
    for video in motions.rglob("*.mp4"):
        shutil.copy(video, folder)
    return folder


def test_probes_of_clips_need_no_labels(tmp_path, motions, pretrained, capsys, monkeypatch):
    """One pass for both, each as it is alone, whoever reads; halves without a split; fresh weights beside."""
    from rspnet.running import looking

    root, names = flat(motions, tmp_path / "data"), "speed,arrow_of_time"
    passes, real = [], looking.play_videos
    monkeypatch.setattr(looking, "play_videos", lambda *args, desc: passes.append(desc) or real(*args, desc=desc))
    found = run(root, tmp_path / "both", pretrained, names, compare="random")
    assert passes == ["test videos", "training videos"] * 2
    err = capsys.readouterr().err
    assert re.search(r"\nno split: 1[12] of 23 videos are tested, drawn with run\.seed\n", err)
    assert "clips of 8 frames at several speeds, central crop 48" in err
    assert err.count("23 of 23 videos are shorter than a clip at 4x, 29 frames, and compared at lower speeds only") == 1
    assert (
        err.count("\n  without motion: frames shuffled ") == err.count("\n  ahead of fresh weights by: accuracy ") == 2
    )
    data = options.DataSet(root=str(root), num_workers=1)
    for name in names.split(","):
        alone = run(root, tmp_path / name, pretrained, name, data=data, test=options.Test(7), compare="random")
        assert {key: alone[key] for key in found[name]} == found[name]
        assert found[name]["num_videos"] + found[name]["num_gallery"] == 23
        assert set(found[name]["controls"]) == {"shuffled", "still"} == set(found[name]["random"]["controls"])
        assert found[name]["chance_top1"] == 50
    assert list(found["speed"]["pairs"]) == ["1x 2x"]
    other = run(root, tmp_path / "seed", pretrained, "speed", run=options.Evaluation(seed=5))
    assert other["seed"] == 5
    assert {key: other[key] for key in found["speed"] if key != "random"} != found["speed"]


def test_what_cannot_be_measured_takes_nothing_along(tmp_path, motions, pretrained, capsys):
    """Videos of 24 frames, and clips of 16: no clip at 2x, which speed and the pretraining's tasks need."""
    clips = options.TestedClips(num_frames=16, stride=1, size=48, views=1)
    found = run(motions, tmp_path / "run", pretrained, "speed,arrow_of_time,pretext,knn", clips=clips, compare="random")
    assert found["speed"] == {
        "not_measured": "only 0 videos to learn from and 0 to test are as long as a clip at 2x, 31 frames: give at "
        "least 4 of each, or a smaller --clips.num_frames or --clips.stride"
    }
    assert list(found["pretext"]) == ["not_measured"]
    assert set(found["knn"]["random"]["difference"]) == {"top1", "top5"}
    assert found["arrow_of_time"]["num_videos"] == 5
    assert (tmp_path / "run/predictions_knn.jsonl").is_file()
    err = capsys.readouterr().err
    assert "\nspeed: not measured: only 0 videos to learn from" in err
    assert [one.what for one in read(tmp_path / "run")] == ["arrow_of_time", "knn"]
    assert {each["protocol"] for each in measured(tmp_path, {}, found["weights_sha256"])} == {"arrow_of_time", "knn"}
    report = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "Not measured: speed probe (only 0 videos to learn from" in report
    with pytest.raises(ConfigError, match="protocol: speed; only 0 videos to learn from and 0 to test are as long"):
        check_some({"speed": Found(found["speed"]), "pretext": Found(found["pretext"])})


def test_probes_beside_other_protocols(tmp_path, motions, finetuned):
    """Of the official split; broken videos count once."""
    root = tmp_path / "data"
    shutil.copytree(motions, root)
    (root / "test/down/18.mp4").write_bytes(b"no video" * 50)
    more = options.DataSet(root=str(root), num_workers=0)
    found = run(root, tmp_path / "run", finetuned, "knn,speed", data=more)
    assert (found["speed"]["num_videos"], found["speed"]["num_gallery"]) == (4, 18)
    assert (found["knn"]["num_videos"], found["num_failed"]) == (4, 1)
    assert found["knn"]["chance_top5"] == 100


def test_the_tasks_of_the_pretraining(tmp_path, motions, pretrained, capsys):
    result = run(motions, tmp_path / "run", pretrained, "pretext", compare="random")
    assert (result["num_videos"], result["num_negatives"], result["left_out"]) == (5, 4, 0)
    assert result["chance"] == result["random"]["chance"] == {"rsp_accuracy": 50, "avid_top1": 20}
    assert set(result["random"]["difference"]) == {"rsp_accuracy", "avid_top1"}
    err = capsys.readouterr().err
    assert err.count("two heads of 16, and the key encoder") == 1
    assert "\npretext: RSP " in err
    torch.save(rspnet.load_encoder(pretrained).state_dict(), tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match=r"model\.pth: is an encoder alone, without the two heads of pretraining"):
        main(tiny.evaluate(motions, tmp_path / "other", tmp_path / "model.pth", "pretext"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": "knn,speed", "features": "f"}, "--features: speed is measured on videos; choose from retrieval"),
        ({"protocol": "pretext", "weights": "none"}, "protocol: pretext; fresh weights have learnt no task"),
        ({"protocol": "speed", "clips": options.TestedClips(num_frames=1)}, r"clips\.num_frames: 1; speed is measured"),
        ({"protocol": "speed,classify"}, "can be combined: retrieval"),
    ],
)
def test_probes_that_make_no_sense(changes, message):
    with pytest.raises(ConfigError, match=message):
        Config(**changes)


def test_videos_with_classes_and_no_split_look_among_the_others(tmp_path, motions, pretrained):
    root = tmp_path / "data"
    for split in ("train", "test"):
        shutil.copytree(motions / split, root, dirs_exist_ok=True)
    result = run(root, tmp_path / "run", pretrained, "retrieval", compare="random")
    assert (result["num_queries"], result["num_gallery"]) == (23, 23)
    labels = [line["label"] for line in tiny.read_lines(tmp_path / "run/neighbours.jsonl")]
    assert result["chance"]["1"] == pytest.approx(
        100 * np.mean([(labels.count(each) - 1) / 22 for each in labels]), abs=0.01
    )
    hits = [
        line["neighbours"][0]["label"] == line["label"] for line in tiny.read_lines(tmp_path / "run/neighbours.jsonl")
    ]
    assert result["recall"]["1"] == pytest.approx(100 * np.mean(hits), abs=0.01)
    assert result["random"]["difference_interval"].keys() == result["recall"].keys()
