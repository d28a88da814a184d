"""Write the tables of results/*.json into README.md and docs/, below the lines that name the files, and draw plots.

    python benchmarks/decode.py ORIGINALS --json results/decode.json
    python benchmarks/loader.py ORIGINALS --json results/loader.json
    python benchmarks/transcode.py ORIGINALS --json results/transcode.json
    python benchmarks/extract.py --json results/extract.json
    python benchmarks/gpu.py
    python benchmarks/train_step.py --device cpu --json results/train_step.json
    python benchmarks/train.py VIDEOS --json results/train.json
    python benchmarks/launches.py --json results/launches.json
    python benchmarks/scaling.py --json results/scaling.json
    python benchmarks/study.py small_data --data jhmdb=JHMDB
    python benchmarks/study.py recipe --data jhmdb=JHMDB
    python benchmarks/study.py finetuning --data jhmdb=JHMDB
    python benchmarks/study.py jhmdb --data jhmdb=JHMDB
    python benchmarks/study.py fresh --data jhmdb=JHMDB
    python benchmarks/study.py fresh_training --data jhmdb=JHMDB
    python benchmarks/study.py hockey --data hockey=HOCKEY more=MORE
    python benchmarks/study.py probes --data jhmdb=JHMDB
    python benchmarks/study.py demo --data motions=runs/demo/motions
    python benchmarks/controls.py runs/studies/data/jhmdb_inner_*[0-9a-f].jsonl --json results/controls.json
    python benchmarks/report.py

No number of these tables is typed by hand; tests/test_report.py checks the pages against the files.
"""

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from study_plot import plot
from study_tables import DEMO, FEW, FRESH, PROBED, against, gain, joined, markdown, over_seeds, study

HERE = Path(__file__).resolve().parents[1]
PAGES = {
    "results/decode.json": HERE / "docs/benchmarks.md",
    "results/loader.json": HERE / "docs/benchmarks.md",
    "results/transcode.json": HERE / "docs/transcoding.md",
    "results/extract.json": HERE / "docs/benchmarks.md",
    "results/gpu.json": HERE / "docs/benchmarks.md",
    "results/gpu.json, gradients": HERE / "docs/benchmarks.md",
    "results/train_step.json": HERE / "docs/benchmarks.md",
    "results/train.json": HERE / "docs/benchmarks.md",
    "results/launches.json": HERE / "docs/benchmarks.md",
    "results/scaling.json": HERE / "docs/scaling.md",
    "results/controls.json": HERE / "docs/small_data.md",
    "results/small_data.json": HERE / "docs/small_data.md",
    "results/recipe.json, results/fresh_training.json": HERE / "docs/small_data.md",
    "results/recipe.json, results/fresh_training.json, 500 epochs": HERE / "docs/small_data.md",
    "results/recipe.json, both tasks or one": HERE / "docs/small_data.md",
    "results/finetuning.json": HERE / "docs/small_data.md",
    "results/jhmdb.json, results/fresh.json": HERE / "docs/small_data.md",
    "results/hockey.json": HERE / "docs/small_data.md",
    "results/probes.json": HERE / "docs/small_data.md",
    "results/demo.json": HERE / "README.md",
}
PLOTS = {
    "results/small_data.json": HERE / "docs/small_data.svg",
    "results/recipe.json, results/fresh_training.json": HERE / "docs/small_data_recipe.svg",
}
LONGEST, ALONE = "500 epochs of it", ("500 epochs of RSP alone", "500 epochs of A-VID alone")
PEERS = {
    "torchcodec + cv2": "torchcodec, resized by OpenCV",
    "torchcodec": "torchcodec alone",
    "decord": "decord as published",
    "PyAV": "PyAV, written plainly",
}


def decode(found: dict) -> str:
    """Tabulate reading: rspnet's CPU time, its ratio to the bound, and the other readers' ratios to rspnet."""
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
    """Tabulate batches: their cost outside the reader, and memory."""
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
    """Tabulate settings of transcoding, relative to the published one."""
    base, rows = found["results"]["published"], []
    for name, result in found["results"].items():
        ratios = [f"{result[column] / base[column]:.2f}" for column in ("read", "decode", "size", "encode")]
        shown = f"**{name}**" if name in ("match", "fast") else name
        rows.append([shown, *ratios, f"{result['psnr']:.1f}", f"{result['ssim']:.3f}"])
    return markdown(["setting", "reading", "decoding alone", "size", "encoding", "PSNR, dB", "SSIM"], rows)


def extract(found: dict) -> str:
    """Tabulate windows per second of extracting features, against the obvious way and a tuned one."""
    ways = ("obvious", "tuned", "rspnet")
    rows = [
        [name, *(f"{each[way]:.0f}" for way in ways), *(f"{each[f'times {way}']:.2f}" for way in ways[:2])]
        for name, each in found.items()
        if isinstance(each, dict)
    ]
    head = ["windows a second", "the obvious way", "tuned", "rspnet", "times obvious", "times tuned"]
    return markdown(head, rows)


def steps(networks: dict[str, dict[str, dict]]) -> str:
    """Tabulate steps of each network and way: their speed, against the literal step, and their use of the device."""
    rows = []
    for network, ways in networks.items():
        base = ways.get("literal", {}).get("videos_per_second")
        for way, step in ways.items():
            if "videos_per_second" not in step:
                continue
            waits = sum(step["host_waits"].values()) if "host_waits" in step else ""
            rows.append([
                network,
                way.replace("+", ", "),
                f"{step['videos']}",
                f"{step['videos_per_second']:.3g}",
                f"{step['videos_per_second'] / base:.2f}" if base else "",
                f"{step['flops'] / 1e12:.2g}",
                f"{100 * step['share_of_peak']:.0f} %",
                f"{step['peak_memory'] / 1e9:.1f} GB",
                f"{step.get('kernels', '')}",
                f"{waits}",
            ])  # fmt: skip
    head = "network, way, videos a step, videos a second, times literal, TFLOP/s, of the matrix peak, peak memory"
    told = [*head.split(", "), "kernels", "host waits"]
    shown = len(told) if any(row[-2] for row in rows) else -2
    return markdown(told[:shown], (row[:shown] for row in rows))


def gpu(found: dict) -> str:
    """Tabulate steps on a GPU."""
    return steps({network: {**each.get("steps", {}), **each.get("compiled", {})} for network, each in found.items()})


def cpu(found: dict) -> str:
    """Tabulate steps on a CPU."""
    return steps(found["networks"])


def epochs(found: dict) -> str:
    """Tabulate whole epochs, and what bounds them."""
    rows = [
        [
            way.replace("+", ", "),
            f"{each['videos_per_second']:.3g}",
            *(f"{each[name]:.3f} s" for name in ("step", "waited", "reading_alone", "training_alone")),
            "reading" if each["reading_alone"] > each["training_alone"] else "training",
        ]
        for way, each in found["ways"].items()
    ]
    head = "way, videos a second, a step, of it waiting, reading alone, training alone, bound by"
    return markdown(head.split(", "), rows)


def gradients(found: dict) -> str:
    """Tabulate the cosine of gradients with float32's, of fresh and of trained networks."""
    networks = [name for name, each in found.items() if "fresh" in each.get("precision", {})]
    ways = dict.fromkeys(way for name in networks for way in found[name]["precision"]["fresh"])

    def cell(name: str, way: str) -> str:
        states = [found[name]["precision"].get(state, {}).get(way) for state in ("fresh", "trained")]
        return ", ".join(f"{state['cosine']:.3f}" for state in states if state)

    rows = [[way.replace("+", ", "), *(cell(name, way) for name in networks)] for way in ways]
    return markdown(["cosine, fresh and trained", *networks], rows)


def launches(found: dict) -> str:
    """Tabulate the launches of a step: now, and before they were optimised if that was counted."""
    parts = ("augmentation", "MB a video", "forward", "backward", "SGD", "log", "in all", "waits")
    rows = []
    for name, counts in found.items():
        before, now = counts.get("before", {}), counts["now"]
        rows.append([name, *(f"{before[part]} → {now[part]}" if part in before else f"{now[part]}" for part in parts)])
    return markdown(["network", *parts[:-1], "waits of the host"], rows)


def scaling(found: dict) -> str:
    """Tabulate predicted runs on larger machines."""
    rows = [
        [
            row["run"],
            row["network"],
            f"{row['gpus']}",
            f"{row['hours']:.1f} h" if row["hours"] < 48 else f"{row['hours'] / 24:.1f} d",
            row["bound"],
            f"{row['cores_needed']}",
            f"{row['bytes_per_second'] / 1e9:.2f} GB/s",
            row["step_basis"],
        ]
        for row in found["rows"]
    ]
    head = ["run", "network", "GPUs", "takes", "bound by", "cores a GPU that would keep up", "read from disk", "step"]
    return markdown(head, rows)


def controls(found: dict) -> str:
    """Tabulate what is reached without learning."""
    columns = {"RSP": "rsp_accuracy", "A-VID": "avid_top1", "R@1": "retrieval", "kNN": "knn", "linear": "linear"}
    rows = [[name, *(f"{each[key]:.1f}" for key in columns.values())] for name, each in found.items()]
    return markdown(["", *columns], rows)


def recipes(found: dict, fresh: dict) -> str:
    """Tabulate all rows against many networks with fresh weights."""
    return study(joined(found, fresh), against=FRESH)


def tasks(found: dict) -> str:
    """Tabulate what each of the two tasks gives alone, and how far it is behind both together."""
    runs = [run for run in found["runs"] if run["row"] in (LONGEST, *ALONE)]
    return study(found | {"runs": runs}, against=LONGEST)


def gains(found: dict, fresh: dict) -> str:
    """Tabulate what pretraining gains over many networks with fresh weights."""
    return gain(joined(found, fresh))


def main() -> None:
    """Rewrite the tables of the pages, and the plots."""
    for name, table in tables().items():
        marked = re.compile(rf"(<!-- {name} -->\n)(\|.*\n)*")
        page = PAGES[name].read_text()
        PAGES[name].write_text(marked.sub(lambda match, table=table: match[1] + table, page))
    for name, drawing in plots().items():
        PLOTS[name].write_text(drawing)


def tables() -> dict[str, str]:
    """Return the table of each name in `PAGES`."""
    benchmarks = (decode, loader, transcode, extract, gpu, gradients, cpu, epochs, launches, scaling)
    few = partial(study, against=FRESH, columns=FEW)
    longest = partial(against, row=LONGEST)
    of_seeds = (partial(over_seeds, columns=columns) for columns in (PROBED, DEMO))
    makers = (*benchmarks, controls, study, recipes, longest, tasks, few, gains, gain, *of_seeds)
    made = dict(zip(PAGES, makers, strict=True))
    found = {name: read(name) for name in made}
    unmeasured = markdown(["not measured yet"], [])
    return {name: make(*found[name]) if all(found[name]) else unmeasured for name, make in made.items()}


def plots() -> dict[str, str]:
    """Return the plot of each name in `PLOTS`."""
    return {name: plot(joined(*found) if len(found := read(name)) > 1 else found[0]) for name in PLOTS}


def read(name: str) -> list[dict]:
    """Return the contents of the files in a name of `PAGES` or `PLOTS`."""
    return [json.loads((HERE / file).read_text()) for file in name.split(", ") if file.endswith(".json")]


if __name__ == "__main__":
    main()
