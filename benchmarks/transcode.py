"""Cost and quality of transcoding by each setting: the numbers behind the presets of stages/transcode.py.

    python benchmarks/transcode.py [VIDEO ...] [--repeats 7] [--draws 2] [--json FILE]

Every original is transcoded with every setting; if no video is given, originals are made. Times and sizes are relative
to the published setting:

    read    CPU time of reading a pretraining sample with rspnet: two random 32-frame clips, random crops to 112 pixels
    decode  the part of it that no reader can save: decoding the needed packets (the bound of benchmarks/decode.py)
    size    bytes of the copies
    encode  CPU time of making them: decoding the original, scaling, encoding, and inspecting the result
    PSNR    dB, RGB, of the 112-pixel crops against those of the original: the mean over the clips
    SSIM    of the luma of the same crops (Wang et al. 2004, doi 10.1109/TIP.2003.819861; 11 x 11 Gaussian, sigma 1.5)

The same frames and exactly the same part of the picture are compared, resized as in training: bilinear, without
antialiasing. Settings take turns sample by sample, in random order, and each time is the median of the repeats;
encoding is timed once. The published setting is encoded by rspnet, too, which does not enlarge smaller videos.
"""

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import decode
import numpy as np
import torch
from torch.nn.functional import conv2d, grid_sample

from rspnet.data import sampling
from rspnet.video.inspection import inspect
from rspnet.video.reader import Video
from rspnet.video.recipe import PRESETS
from rspnet.video.writer import transcode

SIZE, LENGTH = 112, 32  # pixels, frames
MATCH, FAST = PRESETS["match"], PRESETS["fast"]
NO_FASTDECODE = "cabac=1:deblock=0,0:weightp=2"  # back to x264's defaults
SETTINGS: dict[str, dict[str, Any]] = {
    "published": MATCH | {"crf": 23.0, "x264_params": "mbtree=1"},
    "match": MATCH,
    "match, crf 17": MATCH | {"crf": 17.0},
    "match, crf 22": MATCH | {"crf": 22.0},
    "match, crf 23": MATCH | {"crf": 23.0},
    "match, veryfast": MATCH | {"x264_preset": "veryfast"},
    "match, GOP 4": MATCH | {"gop": 4},
    "match, GOP 8": MATCH | {"gop": 8},
    "match, GOP 32": MATCH | {"gop": 32},
    "match, GOP 250": MATCH | {"gop": 250},
    "match, CABAC and deblocking": MATCH | {"x264_params": NO_FASTDECODE},
    "fast": FAST,
    "fast, medium": FAST | {"x264_preset": "medium"},
    "fast, crf 17": FAST | {"crf": 17.0},
    "fast, crf 23": FAST | {"crf": 23.0},
    "fast, GOP 8": FAST | {"gop": 8},
    "fast, side 128": FAST | {"short_side": 128},
    "fast, side 192": FAST | {"short_side": 192},
}

Clip = tuple[np.ndarray, tuple[float, float, float, float]]
"""Numbers of the frames; top, left, height and width of the crop as shares of the picture."""


def draw_clips(seed: list[int], facts: dict) -> list[Clip]:
    """Draw two clips like pretraining."""
    rng = np.random.default_rng(seed)
    clips = []
    for _ in range(2):
        crop = sampling.random_area_crop(rng, facts["height"], facts["width"], area=(0.4, 1.0))
        shares = np.divide(crop, [facts["height"], facts["width"]] * 2)
        clips.append((sampling.sample_clip(rng, facts["num_frames"], LENGTH), tuple(shares)))
    return clips


def sample_of(path: str, facts: dict, clips: list[Clip]) -> decode.Sample:
    """Return what to read of a copy, with crops in its own pixels."""
    sides = [facts["height"], facts["width"]] * 2
    whole = [(frames, tuple(int(share * side) for share, side in zip(crop, sides))) for frames, crop in clips]
    return decode.Sample(path, facts, whole, SIZE)


def crop_exactly(path: str, facts: dict, clips: list[Clip]) -> list[torch.Tensor]:
    """Return the clips (32, 3, 112, 112), 0 to 255, cropped at fractions of pixels: rounding would shift copies."""
    out = []
    with Video(path, facts["num_frames"], plan=facts["plan"]) as video:
        for frames, (top, left, height, width) in clips:
            pictures = torch.from_numpy(video.read(frames)).permute(0, 3, 1, 2).float()
            centres = (torch.arange(SIZE) + 0.5) / SIZE
            across, down = 2 * (left + width * centres) - 1, 2 * (top + height * centres) - 1
            grid = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1)
            grid = grid.expand(len(pictures), -1, -1, -1)
            out.append(grid_sample(pictures, grid, "bilinear", "border", align_corners=False))
    return out


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return the PSNR in decibels over all pixels and colours of two clips."""
    return float(10 * torch.log10(255**2 / (a - b).square().mean()))


def ssim(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return the mean structural similarity of two clips' luma (BT.601), as defined by Wang et al."""
    offsets = torch.arange(11) - 5.0
    window = torch.exp(-(offsets**2) / (2 * 1.5**2))
    window = torch.outer(window, window)[None, None] / window.sum() ** 2
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    x, y = ((clip * weights).sum(dim=1, keepdim=True) for clip in (a, b))
    mx, my, xx, yy, xy = (conv2d(plane, window) for plane in (x, y, x * x, y * y, x * y))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    above = (2 * mx * my + c1) * (2 * (xy - mx * my) + c2)
    return float((above / ((mx**2 + my**2 + c1) * (xx - mx**2 + yy - my**2 + c2))).mean())


def measure_times(samples: dict[str, list[decode.Sample]], repeats: int) -> dict[str, dict[str, float]]:
    """Return the CPU seconds per sample, `read` and `decode`, of each setting, median over the repeats."""
    readers = {"read": decode.rspnet, "decode": decode.bound}
    seconds = {name: {kind: [] for kind in readers} for name in samples}
    rng = random.Random(0)
    for repeat in range(repeats + 1):
        spent = {name: dict.fromkeys(readers, 0.0) for name in samples}
        for row in zip(*samples.values()):
            turns = list(zip(samples, row))
            rng.shuffle(turns)  # the setting that ran just before has an effect
            for name, sample in turns:
                for kind, reader in readers.items():
                    read = reader(sample)
                    start = time.process_time()
                    read()
                    spent[name][kind] += (time.process_time() - start) / len(samples[name])
        for name in samples if repeat else ():  # the first round warms up
            for kind in readers:
                seconds[name][kind].append(spent[name][kind])
    return {name: {kind: statistics.median(each[kind]) for kind in readers} for name, each in seconds.items()}


def main() -> None:
    """Transcode, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", help="originals")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--draws", type=int, default=2, help="samples from each video")
    parser.add_argument("--json", help="file for the numbers")
    args = parser.parse_args()
    torch.set_num_threads(1)
    results = {name: dict.fromkeys(("size", "encode", "psnr", "ssim"), 0.0) for name in SETTINGS}
    samples: dict[str, list[decode.Sample]] = {name: [] for name in SETTINGS}
    with tempfile.TemporaryDirectory() as folder:
        videos = args.videos or list(decode.make_originals(Path(folder)))
        originals = {path: inspect(path, "decode") for path in videos}
        for path, facts in originals.items():
            if facts["status"] != "ok":
                parser.exit(2, f"{path}: {facts['status']}: {facts['reason']}; give videos that are ok\n")
        for number, (path, facts) in enumerate(originals.items()):
            draws = [draw_clips([number, draw], facts) for draw in range(args.draws)]
            wanted = [clip for clips in draws for clip in clips]
            truth = crop_exactly(path, facts, wanted)
            for place, (name, setting) in enumerate(SETTINGS.items()):
                copy, start = f"{folder}/{number}_{place}.mp4", time.process_time()
                new, result = transcode(path, copy, **setting), results[name]
                result["encode"] += (time.process_time() - start) / len(videos)
                result["size"] += new["bytes"] / len(videos)
                for ours, theirs in zip(crop_exactly(copy, new, wanted), truth):
                    result["psnr"] += psnr(ours, theirs) / len(wanted) / len(videos)
                    result["ssim"] += ssim(ours, theirs) / len(wanted) / len(videos)
                samples[name] += [sample_of(copy, new, clips) for clips in draws]
        for name, times in measure_times(samples, args.repeats).items():
            results[name] |= times
    base, columns = results["published"], ("read", "decode", "size", "encode")
    print(f"{len(videos)} videos; the published setting reads a sample in {1000 * base['read']:.1f} ms", end="")
    print(f", and makes {base['size'] / 1000:.0f} kB of a video in {base['encode']:.2f} s")
    print(f"{'':28s}" + "".join(f"{column:>8s}" for column in (*columns, "PSNR", "SSIM")))
    for name, result in results.items():
        ratios = "".join(f"{result[column] / base[column]:8.2f}" for column in columns)
        print(f"{name:28s}{ratios}{result['psnr']:8.1f}{result['ssim']:8.3f}")
    if args.json:
        report = {"videos": len(videos), "settings": SETTINGS, "results": results}
        Path(args.json).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
