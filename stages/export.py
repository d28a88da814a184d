"""Export a trained network to other people's tools.

    python stages/export.py runs/c3d exported/c3d --license cc-by-4.0 --push ORG/c3d
    python stages/export.py runs/c3d exported/c3d.onnx --format onnx

WEIGHTS is a run folder, a published checkpoint, another weight file, or a folder exported before; weights with a
classifier are exported with it. The formats:

    hub           a folder for the Hugging Face Hub: model.safetensors,
                  config.json with the clips that the network takes, and
                  README.md, the model card
    timm          the same without the card
    onnx          an ONNX file, for any number of clips at a time
    torch_export  an archive for torch.export.load, likewise
    published     a .pth.tar for the published code, as stages/convert.py
                  makes it from a run or an encoder

rspnet.load_encoder, load_classifier, --weights and, once rspnet is imported, timm.create_model("local-dir:DST",
pretrained=True) read the folders. The last three formats are written to DST if it ends in .onnx, .pt2 or .pth.tar,
otherwise to a file in the folder DST. An earlier export in the same place is replaced, unless it is a published file;
nothing else is. The last line on stdout is the result as JSON.
"""

if __name__ == "__main__":  # before the slow imports
    from rspnet.signals import end_at_once

    end_at_once()

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rspnet import console
from rspnet.cli.command import run
from rspnet.errors import CheckpointError, ConfigError
from rspnet.stdout import print_json
from rspnet.weights.description import NAME, find_weights, settled
from rspnet.weights.manifest import STATE

if TYPE_CHECKING:
    from rspnet.weights.read import WeightFile


@dataclass
class Config:
    """What is exported, and where it goes."""

    weights: str
    """Network to export: a run folder, a weight file, or a folder exported before."""
    dst: str
    """Folder or file that is written."""
    format: Literal["hub", "timm", "onnx", "torch_export", "published"] = "hub"
    """For which tools; the formats are explained above."""
    license: str | None = None
    """Licence of the weights, by its identifier on the Hub: apache-2.0, cc-by-4.0, other, ... (null: left open, and the
    model card says so)."""
    push: str | None = None
    """ORG/NAME on the Hugging Face Hub to which the complete folder is pushed; created if it does not exist."""

    def __post_init__(self) -> None:
        if self.push is not None and self.format != "hub":
            raise ConfigError(f"push: {self.push}; only --format hub can be pushed: use that, or leave --push out")
        if self.license is not None and self.format == "published":
            raise ConfigError(f"license: {self.license}; a published file has no place for it: leave it out")
        if self.license is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", self.license):
            raise ConfigError(
                f"license: {self.license!r} is no identifier of the Hub's; give one such as apache-2.0 or cc-by-nc-4.0"
            )


def main(config: Config) -> dict[str, Any]:
    """Export, and return the result that is also printed as the last line."""
    from rspnet.weights import graphs, hub
    from rspnet.weights.export import ENDINGS, package, place, write
    from rspnet.weights.read import read_weights

    config = dataclasses.replace(config, weights=settled(config.weights))
    path = place(config.dst, config.format, config.weights)
    if config.push is not None:
        hub.check_repo(config.push)
    if config.format == "published":
        return told(config, path, published(config, path))
    if config.format == "onnx":
        graphs.check_onnx()
    file = read_weights(settled(config.weights))
    what = package(file, *known_of(file))
    if config.format in ENDINGS:
        console.say(f"tracing {file.arch}, which can take some minutes")
    notes = write(path, config.format, what, weights_license=config.license, repo=config.push)
    for line in (*(f"{file.path}: {note}" for note in what.notes), *(f"{path}: {note}" for note in notes)):
        console.say(line)
    return told(config, path, {"arch": file.arch, "num_classes": file.num_classes})


def known_of(file: "WeightFile") -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Return the recipe of the training and the results that the run folder of these weights holds."""
    from rspnet.running import measured

    if file.path.name not in (NAME, STATE) or "weights" not in file.description:
        return None, []
    provenance = file.description.get("provenance", {})
    home = file.path.parent if file.path.name == NAME else file.path.parents[2]  # of checkpoints/step_N/state.pt
    return measured.recipe(home), measured.measured(home, provenance, file.description["weights"]["sha256"])


def published(config: Config, path: Path) -> dict[str, Any]:
    """Write the network as a published file, and return facts for the result."""
    from rspnet.running.finished import run_at
    from rspnet.weights.convert import convert

    found = find_weights(config.weights)
    if found.suffix != ".safetensors" and found.name != STATE:
        raise CheckpointError(
            f"{config.weights}: is neither a run nor an encoder of rspnet; a published file needs no export"
        )
    done = convert(config.weights, path, run_at)
    for note in done.notes:
        console.say(note)
    return {"arch": done.arch, "lacks": done.lacks}


def told(config: Config, path: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Push the folder if --push is given, then print and return the result."""
    from rspnet.weights import hub

    console.say(f"{config.weights} ({facts['arch']}) -> {path} ({config.format})")
    pushed = None if config.push is None else hub.push(path, config.push)
    if pushed:
        console.say(f"pushed: {pushed}")
    result = {"stage": "export", "weights": config.weights, "dst": str(path), "format": config.format, **facts}
    result |= {} if pushed is None else {"pushed": pushed}
    print_json(result)
    return result


if __name__ == "__main__":
    run(main, Config)
