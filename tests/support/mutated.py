"""Video files with random damage: bits flipped; blocks zeroed, overwritten, cut out or doubled."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.support.numbered import write_numbered

LENGTH = 24
KINDS = {
    "front.mp4": {"container_options": {"movflags": "faststart"}},
    "tail.mp4": {},
    "fragmented.mp4": {"gop": 6, "container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "h264.mkv": {},
    "mpeg4.avi": {"codec": "mpeg4"},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime"}},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none", "preset": "ultrafast"}},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "mpeg2.mpg": {"codec": "mpeg2video"},
    "mpeg2.ts": {"codec": "mpeg2video"},
}

EXTREMES = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1")


def write_kinds(folder: Path) -> dict[str, bytes]:
    """Return an undamaged file of each kind, as bytes."""
    return {name: write_numbered(folder / name, LENGTH, **how).read_bytes() for name, how in KINDS.items()}


def mutants(whole: dict[str, bytes], seeds: range) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of a damaged file for each seed, going through the kinds; both ends are hit more often."""
    names = list(whole)
    for seed in seeds:
        name, rng = names[seed % len(names)], np.random.default_rng(seed)
        content = bytearray(whole[name])
        for _ in range(rng.integers(1, 5)):
            span = len(content) if rng.random() < 0.5 else min(len(content), 1500)
            place = int(rng.integers(span)) if rng.random() < 0.7 else len(content) - 1 - int(rng.integers(span))
            size = int(2 ** rng.uniform(0, 9))
            match rng.integers(6):
                case 0:
                    content[place] ^= 1 << rng.integers(8)
                case 1:
                    content[place : place + size] = bytes(size)
                case 2:
                    content[place : place + 4] = EXTREMES[rng.integers(3)]
                case 3:
                    content[place : place + size] = rng.bytes(size)
                case 4:
                    del content[place : place + size]
                case _:
                    content[place:place] = content[place : place + size]
            content = content or bytearray(1)
        yield f"{seed}_{name}", bytes(content)
