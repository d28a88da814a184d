"""What was run, as far as the folder tells."""

from rspnet.report.made import cost, made, origin
from rspnet.report.record import Record
from tests.support.run_folders import write_run


def test_where_the_numbers_come_from_and_what_they_took(tmp_path):
    record = Record.read(write_run(tmp_path / "f", "finetune", weights_sha256="0123456789abcdef", processes=4))
    facts = dict([*origin(record), *cost(record)])
    assert facts["network"] == "resnet18, width 16"
    assert facts["weights at the start"] == "runs/p (0123456789ab)"
    assert facts["clips"] == "8 frames, 1 apart, of 48 × 48 pixels"
    assert facts["videos"] == "30 videos (15 test, 15 train) of 3 classes"
    assert (facts["fingerprint"], facts["precision"]) == ("1699525a8b479227", "float32")
    assert facts["made with"] == "rspnet 0.1.0, torch 2.14.1 (commit 0123456789ab)"
    assert (facts["devices"], facts["cost"]) == ("4 × cpu", "0.25 device-hours (4 min on these)")
    html = made(record).html
    assert "Options that differ from the defaults" in html
    assert "<td>48</td>" in html


def test_what_is_not_told_is_left_out(tmp_path):
    folder = write_run(tmp_path / "f", "finetune", result=None)
    for name in ("environment.json", "index.parquet", "config.yaml"):
        (folder / name).unlink()
    section = made(Record.read(folder))
    assert section.note.startswith("Its options cannot be read")
    assert "fingerprint" not in section.html
