"""Accuracy of --estimate: the time that it predicts for a run, against the time that the run takes.

    python benchmarks/estimate.py [--stage pretrain] [--json FILE] -- --config configs/demo.yaml --data.root VIDEOS

Options of the stage follow after "--". The run's time is counted from its index.parquet, which it writes when its
network is made, to its result.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]


def run(stage: str, options: list[str], *more: str) -> dict:
    """Run a stage, and return its result."""
    command = [sys.executable, str(HERE / "stages" / f"{stage}.py"), *options, *more]
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Estimate, run and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", choices=("pretrain", "finetune"), default="pretrain")
    parser.add_argument("--json")
    parser.add_argument("options", nargs="+", help="options of the stage")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        began, where = time.perf_counter(), f"--run_dir={folder}/run"
        estimated = run(args.stage, args.options, where, "--estimate")
        cost = time.perf_counter() - began
        run(args.stage, args.options, where)
        first, last = (Path(folder, "run", name).stat().st_mtime for name in ("index.parquet", "result.json"))
    seconds = last - first
    found = {"estimated": estimated, "seconds": seconds, "ratio": estimated["seconds"] / seconds, "cost": cost}
    print(
        f"{args.stage}: estimated {estimated['seconds']:.0f} s, took {seconds:.0f} s: {found['ratio']:.2f}; "
        f"the estimate itself took {cost:.0f} s"
    )
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
