"""The whole path on a small scale: videos -> pretraining -> fine-tuning -> numbers, by the stage commands themselves.

    make demo                 on ten kinds of motion, generated: four to seven minutes on two cores
    make demo DATA=FOLDER     on your own videos: pretrains on them by configs/small.yaml, as many steps as the demo's
                              own, lists each one's nearest neighbours, and measures whether training taught anything

Each command is shown as you would type it. Everything is written to runs/demo (or to runs/demo_FOLDER_..., one folder
for each set of videos); a second call goes on where the first was stopped, and shows the same table at the end.
"""

import argparse
import glob
import hashlib
import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rspnet.data.layouts import scan
from rspnet.errors import ConfigError
from rspnet.evaluation.taught import sentence, table
from rspnet.terminal import visible

HERE = Path(__file__).resolve().parent
DEMO_STEPS = 800  # steps of pretraining, as many as with configs/demo.yaml on its own data


def stage(*command: object, may_refuse: bool = False) -> dict:
    """Show a command, run it, and return the JSON object on its last line, or an empty one if it prints none.

    A signal to the demo goes to the command alone, which finishes its step, saves it and ends. With `may_refuse`, a
    command that refuses its videos in one line (exit status 2) does not end the demo.
    """
    words = [str(word) for word in command]
    if asked:
        leave()
    print(f"\n$ python {shlex.join(words)}", file=sys.stderr, flush=True)
    # In a process group of its own, so that the terminal's Ctrl-C does not reach it a second time.
    with subprocess.Popen(
        [sys.executable, *words], cwd=HERE, stdout=subprocess.PIPE, text=True, process_group=0
    ) as child:
        running.append(child)
        for number in asked:  # signals that came while it was starting
            child.send_signal(number)
        lines = child.communicate()[0].splitlines()
        running.clear()
    if child.returncode == 2 and may_refuse:
        return {}
    if child.returncode:
        sys.exit(child.returncode if child.returncode > 0 else 128 - child.returncode)
    return json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}


asked: list[int] = []
"""Signals received so far."""
running: list[subprocess.Popen] = []
"""The running command, if any."""


def pass_on(number: int, frame: FrameType | None) -> None:
    """Pass a signal on to the running command."""
    asked.append(number)
    for child in running:
        child.send_signal(number)


def leave() -> NoReturn:
    """End the demo between two commands, because of a signal."""
    print("demo.py: interrupted; the same command goes on from there", file=sys.stderr)
    sys.exit(130)


def main() -> None:
    """Run the demo and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of your own videos")
    options = parser.parse_args()
    started = time.monotonic()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    try:
        if options.data is None:
            labelled(HERE / "runs" / "demo")
        else:
            unlabelled(options.data.resolve(), folder_of(options.data.resolve()))
    except ConfigError as error:
        print(f"demo.py: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    print(f"({time.monotonic() - started:.0f} seconds)")


def folder_of(source: Path) -> Path:
    """Return the demo's folder for a folder of videos: another one for each path, and for each content of it."""
    videos = []
    for row in scan(source):
        path = source / row["video"]
        videos.append((row["video"], path.stat().st_size if path.is_file() else None))
    place, content = (hashlib.sha256(repr(facts).encode()).hexdigest()[:6] for facts in (str(source), videos))
    run = HERE / "runs" / f"demo_{source.name}_{place}_{content}"
    if not run.exists() and any(run.parent.glob(f"demo_{glob.escape(source.name)}_{place}_*")):
        print(f"{source}: other videos than in the last call; beginning anew in {run}", file=sys.stderr)
    return run


def prepare(source: Path, run: Path) -> Path:
    """Verify every video, make small copies that are quick to read, and return the index of these."""
    found, small = run / "found.jsonl", run / "small"
    index = run / "videos.jsonl"
    if not index.exists():
        run.mkdir(parents=True, exist_ok=True)
        stage("stages/verify.py", source, "--depth", "decode", "--out", found)
        stage("stages/transcode.py", found, small, "--short_side", 64, "--out", index)
    return index


def labelled(run: Path) -> None:
    """Pretrain on generated motions, then compare with the same network untrained."""
    stage("stages/synthetic.py", run / "motions")
    index = prepare(run / "motions", run)
    data = ("--data.index", index)
    pretrained = run / "pretrain"
    stage("stages/pretrain.py", "--config", "configs/demo.yaml", *data, "--run_dir", pretrained)
    rows = []
    for name, weights in (("pretrained", pretrained), ("random initialisation", "none")):
        short = "pretrained" if weights == pretrained else "random"
        common = ("--config", "configs/finetune/demo.yaml", *data, "--weights", weights)
        tuned = stage("stages/finetune.py", *common, "--run_dir", run / f"finetune_{short}")
        found = stage("stages/evaluate.py", *common, "--protocol", "retrieval", "--run_dir", run / f"retrieval_{short}")
        rows.append((name, tuned["top1"], found["recall"]["1"], found["recall"]["5"]))
    rows.append(("chance", tuned["chance_top1"], found["chance"]["1"], found["chance"]["5"]))
    print(f"\n{tuned['num_videos']} test videos; percent   fine-tuned top-1   retrieval R@1   R@5")
    for name, *values in rows:
        print(f"{name:28s}{values[0]:14.1f}{values[1]:16.1f}{values[2]:8.1f}")


def sizes(index: Path) -> tuple[str | int, ...]:
    """Return the options of a pretraining that depend on the number of videos, which configs/small.yaml cannot know."""
    usable = [row for row in map(json.loads, index.read_text().splitlines()) if row["status"] == "ok"]
    learnt = sum(row["split"] == "train" for row in usable) or len(usable)
    batch = min(32, learnt // 2 * 2)
    if batch < 4:
        raise ConfigError(f"{index}: {learnt} usable videos to learn from; the demo needs at least 4")
    epochs = max(1, round(DEMO_STEPS / (learnt // batch)))
    queue = min(3, learnt // batch) * batch  # configs/small.yaml's, or as long as the data
    return "--optim.total_batch", batch, "--optim.epochs", epochs, "--pretext.queue_length", queue


def unlabelled(source: Path, run: Path) -> None:
    """Pretrain on the user's videos, list nearest neighbours, and compare the network with fresh weights."""
    index = prepare(source, run)
    common = ("--data.index", index, "--run_dir")
    stage("stages/pretrain.py", "--config", "configs/small.yaml", *sizes(index), *common, run / "pretrain")
    tested = (
        "--config",
        "configs/finetune/demo.yaml",
        "--weights",
        run / "pretrain",
        "--compare",
        "random",
        "--protocol",
    )
    found = run / "neighbours"
    near = stage("stages/evaluate.py", *tested, "retrieval", *common, found)
    told = stage("stages/evaluate.py", *tested, "speed,arrow_of_time", *common, run / "probes", may_refuse=True)
    print("\nNearest neighbours (cosine of the features):")
    lines = (found / "neighbours.jsonl").read_text().splitlines()
    for line in lines[:10]:
        video = json.loads(line)
        others = ", ".join(f"{other['video']} ({other['similarity']:.3f})" for other in video["neighbours"][:3])
        print(visible(f"  {video['video']}: {others}"))
    print(f"all {len(lines)} videos: {found / 'neighbours.jsonl'}")
    results = {name: told[name] for name in ("speed", "arrow_of_time") if told} | {"retrieval": near}
    print("\nWhat training taught:", *table(results), sentence(results), sep="\n")


if __name__ == "__main__":
    main()
