"""Extracting features of windows: rspnet against the obvious way, in windows per second.

    python benchmarks/extract.py [VIDEO ...] [--device cpu] [--width 8] [--repeats 3] [--json FILE]

The obvious way takes one video after the other: it reads all frames with PyAV's defaults, crops and resizes them with
torchvision, unfolds them into windows, and gives these to the network, 40 at a time. The tuned way does the same with
FFmpeg's automatic threading and OpenCV, as somebody would who knows both libraries. rspnet reads with one process per
core while the network works, each frame once, and fills batches of 40 across videos; it lays out weights and keeps
freed memory as its stages do. All take turns in one run, each in its own process, and the features are compared. The
network is a ResNet-18: on a GPU the published one, on a CPU one of a few channels, because otherwise the network alone
would set the pace there.

- film: one film, windows of 16 frames, one every 4.
- film, reading alone: the same with a mean over 28 x 28 pixels as the network: what is left if a GPU computes.
- short clips: short videos, non-overlapping windows of 16 frames.

If no videos are given, they are made: about a minute of film in 1920 x 1080, which repeats the same eight seconds, and
40 clips of three seconds in 640 x 360.
"""

import argparse
import copy
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import av
import cv2
import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms import v2

from rspnet import create_encoder
from rspnet.cli import options
from rspnet.clipspec import ClipSpec
from rspnet.data.augment import normaliser
from rspnet.data.index import new_row, to_dataset
from rspnet.data.windows import Length, Windows
from rspnet.evaluation.forward import Forward
from rspnet.evaluation.predict import ViewFeatures
from rspnet.running.layout import lay_out
from rspnet.running.memory import keep_freed_memory
from rspnet.running.team import Team
from rspnet.running.viewing import Viewing
from rspnet.video.reader import encode

SIZE, FRAMES, AT_ONCE = 112, 16, 40


def make_videos(folder: Path) -> tuple[list[Path], list[Path]]:
    """Make a film, and short clips: drifting noise, which costs about as much to decode as a real scene."""
    rng = np.random.default_rng(0)
    ground = cv2.resize(
        rng.integers(0, 256, (270, 480, 3), dtype=np.uint8), (3840, 2160), interpolation=cv2.INTER_CUBIC
    )

    def frames(number: int, start: int, height: int, width: int) -> np.ndarray:
        places = range(start, start + number)
        return np.stack([ground[at % height : at % height + height, at % width : at % width + width] for at in places])

    scene, film = folder / "scene.mp4", folder / "film.mp4"
    encode(scene, frames(200, 0, 1080, 1920), 25)
    repeat(scene, film, 8)
    clips = []
    for number in range(40):
        clips.append(folder / f"clip_{number:02d}.mp4")
        encode(clips[-1], frames(75, 97 * number, 360, 640), 25)
    return [film], clips


def repeat(source: Path, out: Path, times: int) -> None:
    """Write a video several times in a row, copying its packets."""
    with av.open(str(out), "w") as made:
        stream = offset = None
        for _ in range(times):
            with av.open(str(source)) as scene:
                stream = stream or made.add_stream_from_template(scene.streams.video[0])
                length, offset = 0, offset or 0
                for packet in scene.demux(video=0):
                    if packet.size:
                        packet.pts, packet.dts, packet.stream = packet.pts + offset, packet.dts + offset, stream
                        length += packet.duration
                        made.mux(packet)
                offset += length


class Squares(nn.Module):
    """Replaces the network: the means over squares of the clip, in next to no time."""

    def forward(self, views: Tensor) -> Tensor:
        """Map views (N, V, 3, T, H, W) to features (N, 48), of the first view."""
        return functional.adaptive_avg_pool3d(views[:, 0], (1, 4, 4)).flatten(1)


Picture = Callable[[np.ndarray], Tensor]
"""Turns a whole frame, uint8 (h, w, 3), into the network's input, uint8 (3, S, S)."""


def with_torchvision(rgb: np.ndarray) -> Tensor:
    """Crop a frame's central square and resize it, in the obvious way."""
    frame = v2.functional.center_crop(torch.from_numpy(rgb).permute(2, 0, 1), [min(rgb.shape[:2])] * 2)
    return v2.functional.resize(frame, [SIZE, SIZE], antialias=False)


def with_opencv(rgb: np.ndarray) -> Tensor:
    """As `with_torchvision`, in less time."""
    side = min(rgb.shape[:2])
    top, left = ((length - side) // 2 for length in rgb.shape[:2])
    return torch.from_numpy(cv2.resize(rgb[top : top + side, left : left + side], (SIZE, SIZE))).permute(2, 0, 1)


def plainly(
    paths: list[Path], network: nn.Module, clip: ClipSpec, step: int, *, picture: Picture, threads: str, device: str
) -> list[Tensor]:
    """Return the features of the windows of each video, by the obvious or the tuned way."""
    found = []
    mean, std = (torch.tensor(each, device=device).view(3, 1, 1, 1) for each in (clip.mean, clip.std))
    for path in paths:
        with av.open(str(path)) as container:
            container.streams.video[0].thread_type = threads
            film = torch.stack([picture(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)])
        windows = film.unfold(0, FRAMES, step).movedim(-1, 2)
        parts = []
        for at in range(0, len(windows), AT_ONCE):
            clips = (windows[at : at + AT_ONCE].to(device).float() / 255 - mean) / std
            with torch.no_grad():
                parts.append(network(clips[:, None]).cpu())
        found.append(torch.cat(parts))
    return found


def ours(paths: list[Path], network: nn.Module, clip: ClipSpec, step: int, *, folder: str, device: str) -> list[Tensor]:
    """Return the features of the windows of each video, by rspnet."""
    accelerator = Accelerator(cpu=device == "cpu")
    forward = Forward(network, normaliser(clip), accelerator=accelerator, team=Team())
    index = to_dataset([new_row(path.name, str(path.parent)) for path in paths], folder)
    cut = Windows(clip, Length(FRAMES, False), Length(step, False))
    found: list[list[Tensor]] = [[] for _ in paths]
    for window in Viewing(forward, index, cut, team=Team()).in_order(
        range(len(paths)), [], options.Data(), batch=AT_ONCE
    ):
        found[window.row].append(window.value)
    return [torch.stack(values) for values in found]


def begin(keeps: bool) -> None:
    """Set up a spawned process: start others by the default method, as a command does, and keep freed memory or not."""
    multiprocessing.set_start_method(None, force=True)
    if keeps:
        keep_freed_memory()


def process(keeps: bool) -> ProcessPoolExecutor:
    """Return a process for one of the ways."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), begin, (keeps,))


def timed(way: Callable[[], list[Tensor]]) -> tuple[list[Tensor], float]:
    """Return a way's features, and the seconds that they take."""
    began = time.perf_counter()
    found = way()
    return found, time.perf_counter() - began


def compare(
    paths: list[Path], network: nn.Module, clip: ClipSpec, step: int, *, repeats: int, folder: str, device: str
) -> dict[str, float]:
    """Return the windows per second of each way, median of the repeats, and the difference of the features."""
    laid_out = copy.deepcopy(network)
    lay_out(laid_out)
    ways: dict[str, Callable[[], list[Tensor]]] = {
        # SLICE is PyAV's default.
        "obvious": partial(
            plainly, paths, network, clip, step, picture=with_torchvision, threads="SLICE", device=device
        ),
        "tuned": partial(plainly, paths, network, clip, step, picture=with_opencv, threads="AUTO", device=device),
        "rspnet": partial(ours, paths, laid_out, clip, step, folder=folder, device=device),
    }
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    features: dict[str, list[Tensor]] = {}
    with ExitStack() as stack:
        processes = {name: stack.enter_context(process(keeps=name == "rspnet")) for name in ways}
        for _ in range(repeats + 1):
            for name, way in ways.items():
                features[name], seconds = processes[name].submit(timed, way).result()
                speeds[name].append(sum(map(len, features[name])) / seconds)
    # The plain ways leave out the frames after the last whole window.
    apart = [
        float(((one - two[: len(one)]).norm(dim=1) / one.norm(dim=1)).max())
        for one, two in zip(features["obvious"], features["rspnet"])
    ]
    medians = {name: statistics.median(values[1:]) for name, values in speeds.items()}  # the first round warms up
    times = {f"times {name}": medians["rspnet"] / medians[name] for name in ("obvious", "tuned")}
    return medians | times | {"difference": max(apart)}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--width", type=int, help="width of the network (default: 8 on a CPU, as published on a GPU)")
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
        network = ViewFeatures(encoder).eval()
        clip = ClipSpec(FRAMES, SIZE, encoder.clip.mean, encoder.clip.std, views=1)
        kinds: list[tuple[str, list[Path], nn.Module, int]] = [
            ("film", films, network, 4),
            ("film, reading alone", films, Squares(), 4),
            ("short clips", clips, network, 16),
        ]
        for kind, paths, seer, step in kinds:
            results[kind] = found = compare(
                paths, seer, clip, step, repeats=args.repeats, folder=folder, device=args.device
            )
            print(
                f"{kind:19s} {found['rspnet']:7.1f} windows a second: {found['times obvious']:.2f} times the obvious "
                f"way, {found['times tuned']:.2f} times the tuned one; features differ by "
                f"{100 * found['difference']:.2f} %",
                flush=True,
            )
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
