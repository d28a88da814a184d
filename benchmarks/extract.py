"""Features of windows: stages/extract.py's way against the obvious one, in windows a second.

    python benchmarks/extract.py [VIDEO ...] [--device cpu] [--width 8] [--repeats 3] [--json FILE]

The obvious way takes one video after the other: it reads all frames with PyAV (as many threads as it likes), crops and
resizes each, stacks them, unfolds them into windows, and gives these to the network, 40 at a time. rspnet reads with
one process a core while the network works, each frame once, and fills batches of 40 from whatever video comes. Both
take turns in one run; the features are compared. The network is a ResNet-18: on a GPU the published one, on a CPU one
of a few channels, since otherwise the network alone sets the pace there.

- film: one film, windows of 16 frames, one every 4.
- short clips: short videos, windows of 16 frames side by side.

Where no videos are given, they are made: half a minute of a film in 1920 x 1080, and 40 clips of three
seconds in 640 x 360.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import av
import cv2
import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from rspnet import create_encoder
from rspnet.cli import options
from rspnet.clipspec import ClipSpec
from rspnet.data.augment import normaliser
from rspnet.data.index import new_row, to_dataset
from rspnet.data.windows import Length, Windows
from rspnet.evaluation.forward import Forward
from rspnet.evaluation.predict import ViewFeatures
from rspnet.running.team import Team
from rspnet.running.viewing import Viewing
from rspnet.video.reader import encode

SIZE, FRAMES, AT_ONCE = 112, 16, 40


def make_videos(folder: Path) -> tuple[list[Path], list[Path]]:
    """A film, and short clips: noise that drifts, which costs about as much to decode as a scene."""
    rng = np.random.default_rng(0)
    ground = cv2.resize(
        rng.integers(0, 256, (270, 480, 3), dtype=np.uint8), (3840, 2160), interpolation=cv2.INTER_CUBIC
    )

    def frames(number: int, start: int, height: int, width: int) -> np.ndarray:
        places = range(start, start + number)
        return np.stack([ground[at % height : at % height + height, at % width : at % width + width] for at in places])

    film = folder / "film.mp4"
    encode(film, frames(750, 0, 1080, 1920), 25)
    clips = []
    for number in range(40):
        clips.append(folder / f"clip_{number:02d}.mp4")
        encode(clips[-1], frames(75, 97 * number, 360, 640), 25)
    return [film], clips


def obvious(paths: list[Path], network: nn.Module, clip: ClipSpec, step: int) -> list[Tensor]:
    """For each video the features of its windows."""
    found = []
    device = next(network.parameters()).device
    mean, std = torch.tensor(clip.mean, device=device), torch.tensor(clip.std, device=device)
    for path in paths:
        pictures = []
        with av.open(str(path)) as container:
            container.streams.video[0].thread_type = "AUTO"
            for frame in container.decode(video=0):
                rgb = frame.to_ndarray(format="rgb24")
                side = min(rgb.shape[:2])
                top, left = ((length - side) // 2 for length in rgb.shape[:2])
                pictures.append(cv2.resize(rgb[top : top + side, left : left + side], (SIZE, SIZE)))
        film = torch.from_numpy(np.stack(pictures))
        windows = film.unfold(0, FRAMES, step).movedim(-1, 1)
        parts = []
        for at in range(0, len(windows), AT_ONCE):
            clips = (windows[at : at + AT_ONCE].to(device).float() / 255 - mean) / std
            with torch.no_grad():
                parts.append(network(clips.movedim(-1, 1)[:, None]).cpu())
        found.append(torch.cat(parts))
    return found


def ours(paths: list[Path], network: nn.Module, clip: ClipSpec, step: int, folder: str) -> list[Tensor]:
    """The same."""
    accelerator = Accelerator(cpu=next(network.parameters()).device.type == "cpu")
    forward = Forward(network, normaliser(clip), accelerator=accelerator, team=Team())
    index = to_dataset([new_row(path.name, str(path.parent)) for path in paths], folder)
    cut = Windows(clip, Length(FRAMES, False), Length(step, False))
    found: list[list[Tensor]] = [[] for _ in paths]
    for window in Viewing(forward, index, cut, team=Team()).in_order(
        range(len(paths)), [], options.Data(), batch=AT_ONCE
    ):
        found[window.row].append(window.value)
    return [torch.stack(values) for values in found]


def compare(paths: list[Path], encoder: nn.Module, step: int, *, repeats: int, folder: str) -> dict[str, float]:
    """Windows a second of both ways, median of the repeats, and how far the features are apart."""
    clip = ClipSpec(FRAMES, SIZE, encoder.clip.mean, encoder.clip.std, views=1)
    network = ViewFeatures(encoder).eval()
    ways: dict[str, Callable[[], list[Tensor]]] = {
        "obvious": lambda: obvious(paths, network, clip, step),
        "rspnet": lambda: ours(paths, network, clip, step, folder),
    }
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    features: dict[str, list[Tensor]] = {}
    for _ in range(repeats + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            features[name] = way()
            speeds[name].append(sum(map(len, features[name])) / (time.perf_counter() - began))
    # The obvious way leaves out the rest behind the last whole window.
    apart = [
        float(((one - two[: len(one)]).norm(dim=1) / one.norm(dim=1)).max())
        for one, two in zip(features["obvious"], features["rspnet"])
    ]
    medians = {name: statistics.median(values[1:]) for name, values in speeds.items()}  # the first round warms up
    return medians | {"times": medians["rspnet"] / medians["obvious"], "difference": max(apart)}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--width", type=int, help="of the network; else 8 on a CPU, and as published on a GPU")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json")
    args = parser.parse_args()
    name, width = ("cpu", 8) if args.device == "cpu" else (torch.cuda.get_device_name(), 64)
    width = args.width or width
    results: dict[str, object] = {"device": name, "cores": os.cpu_count(), "width": width}
    torch.manual_seed(0)
    encoder = create_encoder("resnet18", width=width).to(args.device)
    with tempfile.TemporaryDirectory() as folder:
        films, clips = (args.videos, args.videos) if args.videos else make_videos(Path(folder))
        for kind, paths, step in (("film", films, 4), ("short clips", clips, 16)):
            results[kind] = found = compare(paths, encoder, step, repeats=args.repeats, folder=folder)
            print(
                f"{kind:12s} rspnet {found['rspnet']:7.1f} windows a second, obvious {found['obvious']:7.1f}: "
                f"{found['times']:.2f} times; features differ by {100 * found['difference']:.2f} %",
                flush=True,
            )
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
