"""Rules of the whole tree that a reader relies on: who imports whom, sizes, names."""

from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
MODULES = {
    ".".join(path.relative_to(REPO / "rspnet").with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((REPO / "rspnet").rglob("*.py"))
    if path != REPO / "rspnet/__init__.py"
}
STAGES = {path.stem: path for path in sorted((REPO / "stages").glob("*.py"))}
PRODUCT = [REPO / "rspnet/__init__.py", *MODULES.values(), *STAGES.values(), *sorted(REPO.glob("*.py"))]


def test_files_stay_small_and_have_names():
    for path in PRODUCT:
        assert len(path.read_text().splitlines()) <= 400, f"{path} is too long to be one idea"
        assert path.stem not in ("utils", "util", "misc", "common", "helpers", "tools", "base"), path


def test_the_product_knows_nothing_of_where_it_was_made():
    text_files = [*PRODUCT, *REPO.glob("*.md"), *REPO.glob("*.toml"), *REPO.glob("*.txt"), REPO / "Makefile"]
    text_files += [*(REPO / "configs").rglob("*.yaml"), *(REPO / "accelerate_configs").glob("*.yaml")]
    for path in text_files:
        text = path.read_text()
        for word in ("../shared", "/work/", "/tmp/"):
            assert word not in text, f"{path} mentions {word}"
