"""Write run folders without running anything, for the report to read."""

import json
import math

import yaml

from rspnet.data.index import new_row, write_rows

CLASSES = ("down", "right", "still")
SOURCES = {
    "weights_sha256": None,
    "fold": 1,
    "seed": 1,
    "precision": "no",
    "processes": 1,
    "device": "cpu",
    "data_fingerprint": "1699525a8b479227",
}
_OPTIONS = {
    "pretrain": {"pretext": {"speeds": [2], "queue_length": 16}, "weights": None},
    "finetune": {"weights": "runs/p", "frozen": False},
    "evaluate": {"weights": "runs/p", "protocol": "classify"},
}
_TRAINED = {"epochs": 4, "steps": 24, "device_hours": 0.25}
_ACCURACY = {"top1": 60.0, "top5": 90.0, "num_videos": 5, "num_failed": 0, "chance_top1": 100 / 3}
_RESULTS = {
    "pretrain": _TRAINED | {"loss": 1.2, "rsp_accuracy": 81.0, "avid_top1": 40.0, "num_videos": 18, "spread": 0.7},
    "finetune": _TRAINED | _ACCURACY | {"best_epoch": 3, "views": 2, "arch": "resnet18", "weights": "runs/p"},
    "evaluate": _ACCURACY
    | {"protocol": "classify", "arch": "resnet18", "weights": "runs/p", "views": 2}
    | {"interval": {"top1": [23.1, 88.2]}, "interval_over": "videos"},
}


def write_run(folder, stage, *, metrics=None, videos=None, options=None, **said):
    """Write the folder of a finished run of a stage.

    Args:
        folder: the folder, which must not exist.
        stage: pretrain, finetune or evaluate.
        metrics: lines of metrics.jsonl; None for those of `course` if the stage trains.
        videos: rows of its index; None for `rows()`.
        options: sections of its config besides the usual ones.
        said: entries of its result besides the usual ones; `result=None` if it is not finished.
    """
    folder.mkdir(parents=True)
    common = {"clips": {"num_frames": 8, "size": 48}, "encoder": {"name": "resnet18", "width": 16}}
    common |= {"data": {"root": "videos", "fold": 1}, "run": {"seed": 1}, "run_dir": str(folder)}
    if stage != "evaluate":
        common |= {"optim": {"epochs": 4, "total_batch": 6, "lr": 0.1, "schedule": "cosine"}}
    (folder / "config.yaml").write_text(yaml.safe_dump(common | _OPTIONS[stage] | (options or {})))
    environment = {"python": "3.11.7", "versions": {"torch": "2.14.1", "rspnet": "0.1.0"}, "git_commit": "0123456789ab"}
    environment |= {"host": "vm", "platform": "Linux", "cpus": 2, "command": ["stages/x.py"], "sources": SOURCES}
    (folder / "environment.json").write_text(json.dumps(environment))
    lines = metrics if metrics is not None else [] if stage == "evaluate" else course(stage)
    if lines:
        write_lines(folder / "metrics.jsonl", lines)
    write_rows(videos or rows(), folder / "index.parquet")
    if said.get("result", "") is not None:
        result = {"stage": stage, "run_dir": str(folder)} | SOURCES | _RESULTS[stage] | said
        (folder / "result.json").write_text(json.dumps(result))
    return folder


def rows(names=CLASSES, each=5):
    """Rows of an index with `each` training and `each` test videos of every class; the files do not exist."""
    return [
        new_row(f"{split}/{name}/{number}.mp4", "/nowhere", name, split=split, status="ok", num_frames=24)
        for split in ("train", "test")
        for name in names
        for number in range(each)
    ]


def course(stage, epochs=4, steps=6, **changes):
    """Lines of metrics.jsonl of a training that improves, with `changes` in every line."""
    lines = []
    for step in range(1, epochs * steps + 1):
        done = step / (epochs * steps)
        values = {"loss": 3 - 2 * done, "lr": 0.05 * (1 + math.cos(math.pi * done))}
        if stage == "pretrain":
            values |= {"loss_avid": 4 - 2 * done, "loss_rsp": 2 - 1.5 * done, "avid_top1": 40 * done}
            values |= {"avid_top5": 60 * done, "rsp_accuracy": 50 + 31 * done, "spread": 0.7}
            values |= {"positive_similarity": 10.0, "negative_similarity": 10 - 6 * done}
        else:
            values["train_top1"] = 60 * done
        times = {"data_time": 0.01, "step_time": 0.2, "clips_per_second": 30.0, "seconds_left": 0.0}
        lines.append({"event": "interval", "step": step, "epoch": (step - 1) // steps} | values | times | changes)
        if step % steps == 0:
            tested = {} if stage == "pretrain" else {"val_top1": 60 * done, "val_top5": 90.0, "val_loss": 2 - done}
            epoch = {"event": "epoch", "step": step, "epoch": step // steps, "failed_videos": 0}
            lines.append(epoch | values | tested | changes)
    return lines


def write_lines(path, lines):
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.write_bytes(text.encode("utf-8", "backslashreplace"))  # escapes lone surrogates, as JSON does
