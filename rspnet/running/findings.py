"""What an evaluation leaves in its folder beside the result: lines on videos, a confusion matrix, features."""

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
    """Write what is said of each test video, and which classes are taken for which.

    Args:
        run: Whose folder it is.
        found: By protocol; of several each file has the protocol's name.
    """
    for name, each in found.items():
        suffix = "" if len(found) == 1 else f"_{name}"
        if each.lines:
            run.write_lines(each.file.replace(".", f"{suffix}."), each.lines)
        if each.confusion and run.team.rank == 0:
            write_text(run.run_dir.joinpath(f"confusion{suffix}.csv"), each.confusion)


def tell_near(outputs: list[Outputs]) -> None:
    """Say which test videos are next to a training video, if some are; the main process does.

    Args:
        outputs: Features of the test videos, and of the training videos where there are some.
    """
    if not is_main() or len(outputs) < 2 or not all(map(len, outputs)):
        return
    found = nearest_across(*(each.values.numpy() for each in outputs))
    if text := warning(found, *(each.videos["video"] for each in outputs)):
        say(text)


def keep_features(run: "Run", outputs: list[Outputs], facts: dict[str, Any], *, clip: "ClipSpec") -> None:
    """Write the features of test and training videos; the first process does.

    Args:
        run: Whose folder it is.
        outputs: Of the test videos, and of the training videos where there are some.
        facts: What the result says of where they come from.
        clip: What the network was fed with.
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
