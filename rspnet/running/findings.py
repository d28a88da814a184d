"""What an evaluation writes to its folder beside the result: per-video lines, a confusion matrix, features."""

from typing import TYPE_CHECKING, Any

from rspnet.console import is_main, say
from rspnet.disk import write_text
from rspnet.evaluation import features
from rspnet.evaluation.made import made_with
from rspnet.evaluation.near_duplicates import nearest_across, warning
from rspnet.evaluation.predict import Outputs, feature_rows

if TYPE_CHECKING:
    from rspnet.clipspec import ClipSpec
    from rspnet.evaluation.found import Found
    from rspnet.running.folder import Run


def keep_findings(run: "Run", found: "dict[str, Found]") -> None:
    """Write the lines on each test video and the confusion matrix; main process only.

    Args:
        run: The run whose folder it is.
        found: By protocol; with several protocols each file's name ends with its protocol's.
    """
    for name, each in found.items():
        suffix = "" if len(found) == 1 else f"_{name}"
        if each.lines:
            run.write_lines(each.file.replace(".", f"{suffix}."), each.lines)
        if each.confusion and run.team.rank == 0:
            write_text(run.run_dir.joinpath(f"confusion{suffix}.csv"), each.confusion)


def tell_near(outputs: list[Outputs]) -> None:
    """Warn of test videos that are unusually near to a training video, if there are any; main process only.

    Args:
        outputs: Features of the test videos, and of the training videos if there are any.
    """
    if not is_main() or len(outputs) < 2 or not all(map(len, outputs)):
        return
    found = nearest_across(*(each.values.numpy() for each in outputs))
    if text := warning(found, *(each.videos["video"] for each in outputs)):
        say(text)


def keep_features(run: "Run", outputs: list[Outputs], facts: dict[str, Any], *, clip: "ClipSpec") -> None:
    """Write the features of test and training videos to features.parquet; main process only.

    Args:
        run: The run whose folder it is.
        outputs: Features of the test videos, and of the training videos if there are any.
        facts: What the result says of their origin: weights, videos, seed.
        clip: The network's input.
    """
    if run.team.rank:
        return
    splits = ["test", "train"] if len(outputs) > 1 else [None]
    shape = outputs[0].values.shape[1:]
    known = {"shape": list(shape), "videos": facts["data_fingerprint"]}
    known["width"] = run.config["encoder"]["width"]
    known["seed"] = None if facts["weights_sha256"] else facts["seed"]
    made = made_with(clip, facts | known)
    path = str(run.run_dir.joinpath("features.parquet"))
    features.write(path, [feature_rows(outputs, splits)], made, shape=tuple(shape))
