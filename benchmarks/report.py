"""Put the tables of results/*.json into the pages of docs/, below the line that names the file.

    python benchmarks/decode.py ORIGINALS --json results/decode.json
    python benchmarks/loader.py ORIGINALS --json results/loader.json
    python benchmarks/transcode.py ORIGINALS --json results/transcode.json
    python benchmarks/extract.py --json results/extract.json
    python benchmarks/report.py

No number of these tables is typed by hand; tests/test_report.py holds the pages against the files.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
PAGES = {
    "results/decode.json": HERE / "docs/benchmarks.md",
    "results/loader.json": HERE / "docs/benchmarks.md",
    "results/transcode.json": HERE / "docs/transcoding.md",
    "results/extract.json": HERE / "docs/benchmarks.md",
}
PEERS = {
    "torchcodec + cv2": "torchcodec, resized by OpenCV",
    "torchcodec": "torchcodec alone",
    "decord": "decord as published",
    "PyAV": "PyAV, written plainly",
}


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table."""
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def decode(found: dict) -> str:
    """Reading: rspnet's CPU time, over the bound's, and what the others take times that."""
    peers = [name for name in PEERS if name in found["cpu_seconds"]["P1"]]

    def row(what: str, seconds: dict[str, float]) -> Iterator[str]:
        yield what
        yield f"{1e3 * seconds['rspnet']:.1f} ms"
        yield f"{seconds['rspnet'] / seconds['bound']:.2f}"
        for name in peers:
            yield f"{seconds[name] / seconds['rspnet']:.2f}"

    rows = [row(f"{name}: {found['patterns'][name]}", seconds) for name, seconds in found["cpu_seconds"].items()]
    if found["all_cores"]:
        rows.append(row(f"P1 on {found['cores']} cores at once, wall clock", found["all_cores"]))
    return markdown(["a sample", "rspnet", "over the decoder alone", *(PEERS[name] for name in peers)], rows)


def loader(found: dict) -> str:
    """Batches: what they cost beside the reader, and memory."""
    rows = []
    for name in ("in_process", "workers_1", "workers_2"):
        spent = found[name]
        outside = f"{100 * (spent['batch'] / spent['reader'] - 1):.1f} %"
        if name == "in_process":
            rows.append(["no worker", outside, "", ""])
        else:
            own, batches = (f"{spent[key] / 1e6:.0f} MB" for key in ("memory_own", "memory_batches"))
            workers = name.removeprefix("workers_")
            rate = f"{1 / spent['wall']:.0f}"
            who = f"{workers} worker{'s' * (workers != '1')}"
            rows.append([who, outside, rate, f"{own}, and {batches} of batches"])
    return markdown(["", "CPU time outside the reader", "videos a second", "memory of a worker"], rows)


def transcode(found: dict) -> str:
    """Settings of transcoding, relative to the published one."""
    base, rows = found["results"]["published"], []
    for name, result in found["results"].items():
        ratios = [f"{result[column] / base[column]:.2f}" for column in ("read", "decode", "size", "encode")]
        shown = f"**{name}**" if name in ("match", "fast") else name
        rows.append([shown, *ratios, f"{result['psnr']:.1f}", f"{result['ssim']:.3f}"])
    return markdown(["setting", "reading", "decoding alone", "size", "encoding", "PSNR, dB", "SSIM"], rows)


def extract(found: dict) -> str:
    """Features of windows a second, against the obvious way."""
    rows = [
        [name, f"{each['obvious']:.0f}", f"{each['rspnet']:.0f}", f"{each['times']:.2f}"]
        for name, each in found.items()
    ]
    return markdown(["windows a second", "PyAV, written plainly", "rspnet", "times"], rows)


def main() -> None:
    """Rewrite the pages."""
    for name, table in tables().items():
        marked = re.compile(rf"(<!-- {name} -->\n)(\|.*\n)*")
        page = PAGES[name].read_text()
        PAGES[name].write_text(marked.sub(lambda match, table=table: match[1] + table, page))


def tables() -> dict[str, str]:
    """File below the repository -> its table."""
    made = dict(zip(PAGES, (decode, loader, transcode, extract), strict=True))
    return {name: make(json.loads((HERE / name).read_text())) for name, make in made.items()}


if __name__ == "__main__":
    main()
