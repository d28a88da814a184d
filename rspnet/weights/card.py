"""The model card of an exported network: README.md, with the metadata for the Hub at its head.

It repeats what the files say about the network, and names what they do not say.
"""

import json
import re
from collections.abc import Sequence
from html import escape
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from rspnet.console import percent, some
from rspnet.encoders import encoder_spec
from rspnet.terminal import visible

_PAPER = "[RSPNet](https://arxiv.org/abs/2011.07949) (Chen et al., AAAI 2021)"
_PROTOCOLS = {
    "classify": "classification by the fine-tuned network",
    "knn": "classification by the 20 nearest training videos",
    "linear": "classification by logistic regression on the features",
    "retrieval": "retrieval of training videos of the same class",
    "few_shot": "classification by logistic regression on the features of a few videos",
    "cluster": "k-means clusters of the features",
    "speed": "which of two clips plays faster, by a linear probe on the features",
    "arrow_of_time": "which of two clips plays backwards, by a linear probe on the features",
    "pretext": "the tasks of the pretraining",
}
_OVER_DRAWS = ("few_shot", "cluster")
_CITATION = """```bibtex
@inproceedings{chen2021rspnet,
  title = {RSPNet: Relative Speed Perception for Unsupervised Video Representation Learning},
  author = {Chen, Peihao and Huang, Deng and He, Dongliang and Long, Xiang and Zeng, Runhao and Wen, Shilei and
            Tan, Mingkui and Gan, Chuang},
  booktitle = {AAAI},
  year = {2021}
}
```"""


def model_card(name: str, said: dict[str, Any], *, weights_license: str | None, repo: str | None) -> str:
    """Return the text of README.md.

    Args:
        name: Name of the network.
        said: Contents of config.json under the keys of encoder.json, with `recipe` and `results`.
        weights_license: A licence identifier of the Hub; None if it is left open, which the card then says.
        repo: Repository on the Hub, ORG/NAME; None if it is not known yet.
    """
    results = said.get("results") or []
    classifies = bool(said["num_classes"])
    data = ModelCardData(
        license=weights_license,
        library_name="rspnet",
        pipeline_tag="video-classification" if classifies else "feature-extraction",
        tags=["rspnet", "timm", "video", "self-supervised-learning"],
        model_name=name if results else None,
        eval_results=[_eval_result(each) for each in results] or None,
    )
    parts = [
        f"# {name}",
        _summary(said),
        "## How to load it",
        _loading(repo or "ORG/NAME", said),
        "## Input clips",
        _clip(said),
        "## How it was trained",
        _training(said),
        "## Results",
        _results(results, said),
        "## Licence",
        _licence(weights_license),
        "## Citation",
        _CITATION,
    ]
    text = f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n"
    ModelCard(text)  # raises if its metadata cannot be read
    return text


def _eval_result(measured: dict[str, Any]) -> EvalResult:
    # huggingface_hub groups results by task type, data set and split, and takes task name and dataset arguments from
    # the first of a group: so the protocol is in the metric's name, and what else may differ in its arguments.
    named = measured["data"] or "unnamed videos"
    kind = {"retrieval": "recall", "cluster": "v_measure"}.get(measured["protocol"], "accuracy")
    how = _PROTOCOLS.get(measured["protocol"], measured["protocol"])
    return EvalResult(
        task_type="video-classification" if kind == "accuracy" else "other",
        dataset_type=re.sub(r"[^\w.-]+", "-", named),
        dataset_name=named,
        dataset_split="test",
        metric_type=kind,
        metric_value=measured["value"],
        metric_name=f"{measured['metric']}, {how} (percent; {_interval(measured)})",
        metric_args={name: measured[name] for name in ("fold", "data_fingerprint", "num_videos", "views")},
    )


def _interval(measured: dict[str, Any]) -> str:
    if measured["interval"] is None:
        return "interval unknown"
    return f"95 % interval {' to '.join(map(percent, measured['interval']))}"


def _summary(said: dict[str, Any]) -> str:
    spec, stage = encoder_spec(said["arch"]), said["provenance"].get("stage")
    here = "" if "converted_from" in said["provenance"] else f", with rspnet, the tool for {_PAPER}"
    origin = {
        "pretrain": f"pretrained without labels by relative speed perception, {_PAPER}",
        "finetune": f"fine-tuned to distinguish {some(said['num_classes'], 'class', 'classes')}{here}",
    }
    width = said["kwargs"]["width"]
    narrow = "" if width == 64 else f" of width {width}, where the published one has 64"
    gives = f"logits of {said['num_classes']}" if said["num_classes"] else f"features of {said['num_features']}"
    return (
        f"{spec.about}{narrow}; {origin.get(stage, 'its file does not say how it was trained')}. A clip becomes "
        f"{gives} values."
    )


def _loading(repo: str, said: dict[str, Any]) -> str:
    classify = "\nclassifier = rspnet.load_classifier(folder)\nclassifier.predict('video.mp4')" * bool(
        said["num_classes"]
    )
    return f"""```python
import rspnet, torch
from huggingface_hub import snapshot_download

folder = snapshot_download('{repo}')  # or where this folder lies
encoder = rspnet.load_encoder(folder)
clips = rspnet.read_clips('video.mp4', encoder)  # normalised, (clips, 3, frames, height, width)
with torch.no_grad():
    feature = encoder(clips).mean(0)  # ({said["num_features"]},){classify}
```

timm knows the network once rspnet is imported: `timm.create_model('hf-hub:{repo}', pretrained=True)`, or `local-dir:`
with the folder."""


def _clip(said: dict[str, Any]) -> str:
    clip = said["clip"]
    rate = "as the video has them" if clip["frame_rate"] is None else f"resampled to {clip['frame_rate']:g} a second"
    spread = "spread over the whole video" if clip["sampling"] == "cover" else f"one in {clip['stride']} of the video's"
    spread = "consecutive" if clip["sampling"] == "clip" and clip["stride"] == 1 else spread
    rows = [
        ("frames of a clip", f"{clip['num_frames']}, {spread}"),
        ("frames per second", rate),
        ("height and width", f"{clip['size']} pixels: the central square of the frame, resized"),
        ("channels", f"{clip['channels']}, scaled to 0-1, minus {_colour(clip['mean'])}, over {_colour(clip['std'])}"),
        ("clips of a video", f"{clip['views']}, evenly spaced; their outputs are averaged"),
    ]
    text = _table(("", ""), rows)
    if said.get("clip_unknown"):
        text += "\n\nThe weights came without this information: these are the clips that the network is made for."
    if said["num_classes"]:
        names = [escape(visible(name), quote=False) for name in said.get("class_names") or ()]
        listed = ", ".join(names) if names else "not named by the file; they are numbered"
        text += f"\n\nThe {some(said['num_classes'], 'class', 'classes')}: {listed}."
    return text


def _colour(values: list[float]) -> str:
    return f"({', '.join(f'{value:g}' for value in values)})"


def _training(said: dict[str, Any]) -> str:
    known, recipe = said["provenance"], said.get("recipe")
    lines = []
    if data := known.get("data"):
        hours = f", {data['hours']:g} hours" if data.get("hours") else ""
        named = f"{recipe['data']}, " if recipe and recipe.get("data") else ""
        tested = ", the test videos included" if known.get("stage") == "finetune" else ""
        lines.append(
            f"Data: {named}{some(data['num_videos'], 'video')}{hours}{tested}; fingerprint {data['fingerprint']}."
        )
    if known.get("weights"):
        lines.append(f"Training began with the weights {known['weights']}.")
    if source := known.get("source", known.get("converted_from")):
        layout = f"{source['layout']}; " if "layout" in source else ""
        lines.append(f"The weights come from {source['file']} ({layout}SHA-256 {source['sha256']}).")
    if "step" in known:
        planned, epoch = (recipe or {}).get("optim", {}).get("epochs"), known.get("epoch", 0)
        of = f" of {planned}" if planned else ""
        going = "" if planned in (None, epoch) else "; training had not ended then"
        lines.append(f"It is the checkpoint of step {known['step']}, after {epoch}{of} epochs{going}.")
    elif known.get("epoch") is not None:
        lines.append(f"It is from epoch {known['epoch']}" + (f" of {known['epochs']}." if "epochs" in known else "."))
    if known.get("device_hours") is not None:
        processes = some(known["processes"], "process", "processes")
        how = f"{known['device']}, {processes}, mixed precision {known['precision']}"
        lines.append(f"Cost: {known['device_hours']:g} device hours ({how}).")
    if recipe:
        lines.append(f"\nThe recipe:\n\n```json\n{json.dumps(recipe, indent=2)}\n```")
    return "\n".join(lines) or "The file does not say."


def _results(results: list[dict[str, Any]], said: dict[str, Any]) -> str:
    if not results:
        return "The files hold no results."
    rows = [
        (
            _PROTOCOLS.get(each["protocol"], each["protocol"]),
            each["data"] or "",
            each["metric"],
            f"{percent(each['value'])} %",
            " to ".join(map(percent, each["interval"] or ())),
            "" if each["chance"] is None else f"{percent(each['chance'])}",
            str(each["num_videos"]),
        )
        for each in results
    ]
    text = _table(("how", "data", "metric", "value", "95 % interval", "chance", "videos"), rows)
    drawn = dict.fromkeys(_PROTOCOLS[each["protocol"]] for each in results if each["protocol"] in _OVER_DRAWS)
    text += "\n\nThe intervals take these videos as a sample of many; they do not cover other seeds or folds."
    if drawn:
        text += f" Those of {' and of '.join(drawn)} are over draws of these videos, and say nothing about others."
    if failed := max(each.get("num_failed") or 0 for each in results):
        text += f" Up to {some(failed, 'video')} could not be read and {'is' if failed == 1 else 'are'} not counted."
    if said["provenance"].get("stage") == "finetune":
        text += " As in the published code, the best epoch was chosen on the test videos themselves."
    return text


def _licence(weights_license: str | None) -> str:
    weights = (
        f"The weights: {weights_license}."
        if weights_license
        else "The licence of the weights is left open: their author has not named one, and the videos that they were "
        "trained on may have terms of their own. Ask before you use them."
    )
    return f"The code, rspnet: Apache-2.0. {weights}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
