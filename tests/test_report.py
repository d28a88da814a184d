"""The tables of the documentation are those of results/*.json."""

import sys
from xml.etree import ElementTree

import pytest

from tests.support.pages import REPO

sys.path.insert(0, str(REPO / "benchmarks"))
from report import PAGES, PLOTS, cpu, epochs, gpu, gradients, main, plots, tables
from study_plot import plot

TABLES = tables()
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_the_measured_ones(name):
    assert f"<!-- {name} -->\n{TABLES[name]}\n" in PAGES[name].read_text()


@pytest.mark.parametrize("name", PLOTS)
def test_plots_are_the_measured_ones(name):
    assert plots()[name] == PLOTS[name].read_text()


def test_a_plot_has_every_seed_and_means_where_they_are():
    """Two seeds at 10 and 30 have their mean half way; what a row was not measured by is not drawn."""
    runs = [{"row": "base", "measures": {"knn": {"top1": value}}} for value in (10.0, 30.0)]
    drawn = plot({"runs": [*runs, {"row": "<other>", "measures": {"linear": {"top1": 5.0}}}]})
    circles = [element.attrib for element in ElementTree.fromstring(drawn).iter(f"{SVG}circle")]
    rings, dots = ([float(each["cx"]) for each in circles if each["class"] == kind] for kind in ("ring", "dot"))
    assert rings[0] < dots[0] < rings[1]
    assert dots[0] == pytest.approx((rings[0] + rings[1]) / 2, abs=0.1)
    assert len(rings) == 3
    assert len(dots) == 2
    assert "&lt;other&gt;" in drawn


def test_another_measurement_takes_the_place_of_the_last(tmp_path, monkeypatch):
    for name in PAGES:
        monkeypatch.setitem(PAGES, name, tmp_path / "page.md")
    for name, path in list(PLOTS.items()):
        monkeypatch.setitem(PLOTS, name, tmp_path / path.name)
    old = "".join(f"\n<!-- {name} -->\n| old |\n| --- |\n" for name in PAGES)
    (tmp_path / "page.md").write_text(f"before\n{old}\nafter\n")
    main()
    new = "".join(f"\n<!-- {name} -->\n{table}" for name, table in TABLES.items())
    assert (tmp_path / "page.md").read_text() == f"before\n{new}\nafter\n"
    assert all(path.read_text() == (REPO / "docs" / path.name).read_text() for path in PLOTS.values())


def test_what_a_gpu_has_told_so_far_is_shown():
    """A way that failed has no row, a part that is not there no numbers."""
    step = {"videos": 32, "videos_per_second": 100.0, "flops": 4e13, "share_of_peak": 0.4, "peak_memory": 3.2e10}
    fast = step | {"videos_per_second": 250.0, "kernels": 812, "host_waits": {"rspnet/method/pretext.py:7": 2}}
    found = {
        "c3d": {
            "steps": {"literal": step, "ours+tf32": {"error": "no time was left"}},
            "compiled": {"ours+bf16": fast},
        },
        "s3dg": {"ending": "out of time"},
    }
    rows = gpu(found).splitlines()[2:]
    assert rows == [
        "| c3d | literal | 32 | 100 | 1.00 | 40 | 40 % | 32.0 GB |  |  |",
        "| c3d | ours, bf16 | 32 | 250 | 2.50 | 40 | 40 % | 32.0 GB | 812 | 2 |",
    ]
    assert cpu({"networks": {"c3d": {"literal": step}}}).splitlines()[-1] == rows[0].removesuffix("  |  |")
    found["s3dg"]["precision"] = {"fresh": {"bf16": {"cosine": 0.5412}}, "trained": {"bf16": {"cosine": 0.7}}}
    found["c3d"]["precision"] = {"fresh": {"bf16": {"cosine": 0.9}, "fp16": {"cosine": 0.99}}}
    assert gradients(found).splitlines() == [
        "| cosine, fresh and trained | c3d | s3dg |",
        "| --- | --- | --- |",
        "| bf16 | 0.900 | 0.541, 0.700 |",
        "| fp16 | 0.990 |  |",
    ]


def test_epochs_say_what_bounds_them():
    each = {"videos_per_second": 12.345, "step": 0.65, "waited": 0.1, "reading_alone": 0.2, "training_alone": 0.5}
    lines = epochs({"ways": {"literal": each, "ours+keep": each | {"reading_alone": 0.6}}}).splitlines()
    assert lines[2:] == [
        "| literal | 12.3 | 0.650 s | 0.100 s | 0.200 s | 0.500 s | training |",
        "| ours, keep | 12.3 | 0.650 s | 0.100 s | 0.600 s | 0.500 s | reading |",
    ]
