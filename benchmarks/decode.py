"""The cost of reading clips, compared with other readers: CPU time per sample, and its ratio to the bound.

    python benchmarks/decode.py [VIDEO ...] [--repeats 5] [--only P1,P2] [--json FILE]

The bound is libavcodec decoding exactly the packets that a sample needs, already in memory, and nothing else. The other
readers are rspnet with and without a plan from the index; torchcodec, decord and decord2 if they are installed (they
are never requirements); and PyAV with torch, in the most obvious way. Each does the whole work: open, decode, crop,
resize. Readers take turns, each with all samples one after another, as a worker reads them; each number is the median
of the repeats, so that other jobs on the machine affect all readers alike. Videos with a key frame every 16 frames
count as transcoded; if none is given, the originals are transcoded as by stages/transcode.py, and if no video is given,
originals are made.
The last table runs one process per core at once and gives the wall-clock seconds per sample.
"""

import argparse
import contextlib
import importlib
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import av
import numpy as np
import torch

from rspnet.data import sampling
from rspnet.running.machine import cores
from rspnet.video.inspection import inspect
from rspnet.video.opening import ODD_TEXT, open_video
from rspnet.video.packets import unpacked
from rspnet.video.plan import Plan
from rspnet.video.reader import Video
from rspnet.video.writer import transcode

PATTERNS = {
    "P1": "two 32-frame clips, random crops to 112, transcoded",
    "P1-step": "the same, the 16 and 24 frames that a pretraining step shows",
    "P1-224": "as P1, to 224",
    "P2": "ten 16-frame clips, central square to 112, transcoded",
    "P3-avi": "as P1 from original avi",
    "P3-mp4": "as P1 from original mp4",
    "P4": "16 frames spread over an original, 112",
    "P5": "one 64-frame clip to 224, transcoded",
}
Clips = list[tuple[np.ndarray, tuple[int, int, int, int]]]


@dataclass
class Sample:
    """A video with facts from its index, the clips to read from it (frames, crop), and their side in pixels."""

    path: str
    facts: dict
    clips: Clips
    size: int


# Readers: each returns, for a sample, a function that reads it.


def batch_memory(sample: Sample) -> list[np.ndarray]:
    """Allocate memory for clips once, like a training batch's (for readers that can resize into it)."""
    return [np.empty((len(frames), sample.size, sample.size, 3), np.uint8) for frames, _ in sample.clips]


def bound(sample: Sample) -> Callable[[], object]:
    """Decode the needed packets, nothing else."""
    plan = Plan.from_text(sample.facts["plan"])
    container, stream = open_video(sample.path)
    packets = list(enumerate(container.demux(stream)))
    work = []
    for run in plan.runs(sorted({int(frame) for frames, _ in sample.clips for frame in frames})):
        needed = [(number, packet) for number, packet in packets[run.first : run.last + 1] if packet.size]
        work.append((run.wanted, list(unpacked(needed)) if plan.packed else needed))
    decoder = stream.codec_context

    def read() -> None:
        for wanted, needed in work:
            decoder.flush_buffers()
            for number, packet in needed:
                decoder.skip_frame = "DEFAULT" if number in wanted else "NONREF"
                decoder.decode(packet)
            if decoder.has_b_frames:
                decoder.decode(None)

    return read


def rspnet(sample: Sample, with_plan: bool = True) -> Callable[[], object]:
    """Read by rspnet, with the plan from a verified data set's index, or with only the number of frames."""
    plan = sample.facts["plan"] if with_plan else None

    out = batch_memory(sample)

    def read() -> list[np.ndarray]:
        with Video(sample.path, sample.facts["num_frames"], plan=plan) as video:
            return video.read_clips(sample.clips, sample.size, out)

    return read


def torchcodec_own(sample: Sample) -> Callable[[], object]:
    """Approximate seeking, one call for each crop, torchcodec's own crop (its place does not matter here), resize."""
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import RandomCrop, Resize

    groups: dict = {}
    for frames, crop in sample.clips:
        groups.setdefault(crop, []).extend(frames.tolist())

    def read() -> None:
        for crop, frames in groups.items():
            steps = [RandomCrop(crop[2:]), Resize((sample.size, sample.size))]
            VideoDecoder(sample.path, seek_mode="approximate", transforms=steps).get_frames_at(sorted(set(frames)))

    return read


def torchcodec_cv2(sample: Sample) -> Callable[[], object]:
    """Approximate seeking, one call, resize by OpenCV."""
    import cv2
    from torchcodec.decoders import VideoDecoder

    cv2.setNumThreads(0)
    wanted = sorted({int(frame) for frames, _ in sample.clips for frame in frames})
    places = {frame: place for place, frame in enumerate(wanted)}
    out, side = batch_memory(sample), (sample.size, sample.size)

    def read() -> list[np.ndarray]:
        decoder = VideoDecoder(sample.path, seek_mode="approximate", dimension_order="NHWC")
        pictures = decoder.get_frames_at(wanted).data.numpy()
        for clip, (frames, (top, left, height, width)) in zip(out, sample.clips):
            for picture, frame in zip(clip, frames.tolist()):
                part = pictures[places[frame], top : top + height, left : left + width]
                cv2.resize(part, side, dst=picture, interpolation=cv2.INTER_LINEAR)
        return out

    return read


def decord(sample: Sample) -> Callable[[], object]:
    """Read like the published loader: whole frames clip by clip, then F.interpolate on float."""
    from decord import VideoReader, cpu

    def read() -> list[torch.Tensor]:
        reader, out = VideoReader(sample.path, ctx=cpu(0), num_threads=1), []
        for frames, (top, left, height, width) in sample.clips:
            clip = torch.from_numpy(reader.get_batch(frames.tolist()).asnumpy()).permute(3, 0, 1, 2).float()
            part = clip[:, :, top : top + height, left : left + width].transpose(0, 1)
            out.append(torch.nn.functional.interpolate(part, (sample.size, sample.size), mode="bilinear"))
        return out

    return read


def plain_pyav(sample: Sample) -> Callable[[], object]:
    """Seek by time, decode from there, convert the needed frames, F.interpolate on float."""

    def read() -> list[torch.Tensor]:
        out = []
        with av.open(sample.path, **ODD_TEXT) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            step = 1 / (stream.average_rate * stream.time_base)
            start = stream.start_time or 0
            for frames, (top, left, height, width) in sample.clips:
                container.seek(int(start + frames[0] * step), stream=stream)
                wanted, found = set(frames.tolist()), []
                for frame in container.decode(stream):
                    index = round((frame.pts - start) / step)
                    if index in wanted:
                        found.append(torch.from_numpy(frame.to_ndarray(format="rgb24", threads=1)))
                    if index >= frames[-1]:
                        break
                part = torch.stack(found)[:, top : top + height, left : left + width].permute(0, 3, 1, 2).float()
                out.append(torch.nn.functional.interpolate(part, (sample.size, sample.size), mode="bilinear"))
        return out

    return read


READERS = {
    "bound": (bound, ()),
    "rspnet": (rspnet, ()),
    "rspnet, no plan": (partial(rspnet, with_plan=False), ()),
    "torchcodec + cv2": (torchcodec_cv2, ("torchcodec.decoders", "cv2")),
    "torchcodec": (torchcodec_own, ("torchcodec.decoders",)),
    "decord": (decord, ("decord",)),
    "PyAV": (plain_pyav, ()),
}


def missing(packages: tuple[str, ...]) -> str:
    """Return the packages that cannot be imported; decord and decord2 share a name."""
    out = []
    for package in packages:
        try:
            importlib.import_module(package)
        except (ImportError, OSError, RuntimeError):  # torchcodec raises RuntimeError if it finds no FFmpeg
            out.append(package.split(".")[0])
    return ", ".join(out)


# Samples


def make_originals(folder: Path) -> Iterator[str]:
    """Make a moving scene encoded as in Kinetics (H.264, B-frames, a key frame every 250) and as in UCF101 (xvid)."""
    rng = np.random.default_rng(0)
    kinds = {"kinetics.mp4": ("libx264", 340, 256, {"bf": "3"}, 250), "ucf.avi": ("mpeg4", 320, 240, {"q": "5"}, 12)}
    for name, (codec, width, height, options, gop) in kinds.items():
        coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, height // 6, width // 6))).float()
        scene = torch.nn.functional.interpolate(coarse, (2 * height, 2 * width), mode="bicubic").clamp(0, 255)[0]
        scene = scene.permute(1, 2, 0).byte().numpy()
        with av.open(str(folder / name), "w") as output:
            stream = output.add_stream(codec, rate=30, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.gop_size = gop
            if codec == "mpeg4":
                stream.codec_context.bit_rate = 700_000
            for index in range(300):
                top, left = (int(side * (0.5 + 0.45 * np.sin(index / 23 + side))) for side in (height, width))
                picture = np.ascontiguousarray(scene[top : top + height, left : left + width])
                picture = np.clip(picture + rng.normal(0, 3, (height, width, 1)), 0, 255).astype(np.uint8)
                output.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
            output.mux(stream.encode(None))
        yield str(folder / name)


def make_samples(pattern: str, files: dict[str, dict], draws: int) -> list[Sample]:
    """Draw a few samples of a pattern from each file."""
    size = 224 if pattern in ("P1-224", "P5") else 112
    samples = []
    for seed, (path, facts) in enumerate(files.items()):
        count, height, width = facts["num_frames"], facts["height"], facts["width"]
        for draw in range(draws):
            rng = np.random.default_rng([seed, draw])
            square = sampling.centre_square_crop(height, width)
            if pattern == "P2":
                clips = [(frames, square) for frames in sampling.even_clips(count, 16, n=10)]
            elif pattern == "P4":
                clips = [(sampling.cover_clip(rng, count, 16), square)]
            elif pattern == "P5":
                clips = [(sampling.sample_clip(rng, count, 64), square)]
            else:
                draw_crop = sampling.random_area_crop
                clips = [(sampling.sample_clip(rng, count, 32), draw_crop(rng, height, width)) for _ in range(2)]
                if pattern == "P1-step":
                    shown = (1 + draw % 2,), (1, 2)  # query at one speed, key at both
                    clips = [(frames[sampling.shown_frames(16, at)], crop) for (frames, crop), at in zip(clips, shown)]
            samples.append(Sample(path, facts, clips, size))
    return samples


# Measuring


def measure(samples: list[Sample], readers: list[str], repeats: int) -> dict[str, float]:
    """Return the CPU seconds per sample of each reader, median over the repeats."""
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    work = {name: [READERS[name][0](sample) for sample in samples] for name in readers}
    for repeat in range(repeats + 1):
        for name, reads in work.items():
            start = time.process_time()
            for read in reads:
                read()
            if repeat:  # the first round warms up
                seconds[name].append((time.process_time() - start) / len(samples))
    return {name: statistics.median(values) for name, values in seconds.items()}


def work_all(
    name: str, samples: list[Sample], start: "multiprocessing.Barrier", answers: "multiprocessing.Queue"
) -> None:
    """Read samples in one of many processes that read the same at once."""
    torch.set_num_threads(1)
    reads = [READERS[name][0](sample) for sample in samples]
    for read in reads:
        read()
    start.wait()
    began = time.perf_counter()
    for read in reads:
        read()
    answers.put((time.perf_counter() - began) / len(samples))


def measure_all_cores(samples: list[Sample], readers: list[str], repeats: int, cores: int) -> dict[str, float]:
    """Return the wall-clock seconds per sample with one process on each core, median over the repeats."""
    context = multiprocessing.get_context("spawn")
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(repeats):
        for name in readers:
            start, answers = context.Barrier(cores), context.Queue()
            workers = [context.Process(target=work_all, args=(name, samples, start, answers)) for _ in range(cores)]
            for worker in workers:
                worker.start()
            seconds[name].append(statistics.mean(answers.get() for _ in workers) / cores)
            for worker in workers:
                worker.join()
    return {name: statistics.median(values) for name, values in seconds.items()}


def table(title: str, seconds: dict[str, float]) -> None:
    """Print milliseconds, the ratio to the bound, and how many times slower than rspnet."""
    print(f"\n{title}")
    for name, value in seconds.items():
        ratio, times = value / seconds["bound"], value / seconds["rspnet"]
        print(f"  {name:24s} {1000 * value:8.2f} ms {ratio:7.2f} x bound {times:7.2f} x rspnet")
    sys.stdout.flush()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", help="originals: avi and mp4")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--draws", type=int, default=2, help="samples from each video")
    parser.add_argument("--only", default=",".join(PATTERNS), help="patterns, separated by commas")
    parser.add_argument("--cores", type=int, default=cores(), help="processes at once (1: leave this table out)")
    parser.add_argument("--json", help="file for the numbers")
    args = parser.parse_args()
    torch.set_num_threads(1)
    absent = {name: missing(needed) for name, (_, needed) in READERS.items()}
    for name, packages in absent.items():
        if packages:
            print(f"{name}: not installed ({packages})")
    readers = [name for name, packages in absent.items() if not packages]
    results: dict = {"patterns": PATTERNS, "cpu_seconds": {}, "all_cores": {}, "cores": args.cores}
    results["versions"] = {"av": av.__version__, "torch": torch.__version__}
    for name in ("torchcodec", "decord", "cv2"):
        with contextlib.suppress(ImportError, OSError, RuntimeError):
            results["versions"][name] = importlib.import_module(name).__version__
    with tempfile.TemporaryDirectory() as folder:
        files = {path: inspect(path, "decode") for path in args.videos or make_originals(Path(folder))}
        gops = {path: set(np.diff(Plan.from_text(facts["plan"]).keys)) for path, facts in files.items()}
        small = {path: facts for path, facts in files.items() if gops[path] == {16}}
        originals = {path: facts for path, facts in files.items() if path not in small}
        for number, path in enumerate(originals if not small else ()):
            copy = f"{folder}/{number}.mp4"
            small[copy] = transcode(path, copy)
        for pattern in args.only.split(","):
            chosen = small
            if pattern in ("P3-avi", "P3-mp4", "P4"):
                wanted = {"P3-avi": ".avi", "P3-mp4": ".mp4"}.get(pattern, "")
                chosen = {path: facts for path, facts in originals.items() if path.endswith(wanted)}
            if samples := make_samples(pattern, chosen, args.draws):
                seconds = measure(samples, readers, args.repeats)
                results["cpu_seconds"][pattern] = seconds
                table(f"{pattern}: {PATTERNS[pattern]}; one core, CPU time", seconds)
        if args.cores > 1:
            samples = make_samples("P1", small, args.draws)
            results["all_cores"] = measure_all_cores(samples, readers, max(3, args.repeats // 2), args.cores)
            table(f"P1 on {args.cores} cores at once, wall clock per sample", results["all_cores"])
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
