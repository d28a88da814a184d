"""docs/runs.md names what lies in a run folder and what stands in a result: all of it, and nothing else."""

import json
import re

from tests.support import tiny
from tests.support.pages import REPO


def first_cells(title):
    """The names in the first column of the table below a heading."""
    section = (REPO / "docs/runs.md").read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w[\w./]*)`", row.split("|")[1])}


def test_results_and_folders(pretrained, finetuned, motions, tmp_path):
    from stages.evaluate import main

    results = [json.loads((run / "result.json").read_text()) for run in (pretrained, finetuned)]
    for protocol in ("classify", "retrieval"):
        results.append(main(tiny.evaluate(motions, tmp_path / protocol, finetuned, protocol)))
    arch_and_protocol = {"arch", "protocol"}  # named in the row of `stage`
    # of speed, arrow_of_time and pretext
    others = {"controls", "left_out", "pairs", "num_negatives", "not_measured"}
    others |= {"features_sha256", "layer"}  # of a file of features
    assert {key for result in results for key in result} | others == first_cells("Results") | arch_and_protocol

    runs = (pretrained, finetuned, tmp_path / "retrieval")
    names = {path.name for run in runs for path in run.iterdir() if not path.name.startswith(".")}
    assert names | {"tensorboard", "labelled.parquet"} == {name.rstrip("/") for name in first_cells("The folder")}
