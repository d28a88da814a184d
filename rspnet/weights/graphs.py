"""A network as a graph that runs without its code: torch.export's, and ONNX; any number of clips at a time.

N clips of T frames and S pixels; D features, K classes. The input is `clips` (N, 3, T, S, S), normalised float32; the
output `logits` (N, K) of a classifier, else `features` (N, D).
"""

import io
import json
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim, ExportedProgram

from rspnet.encoders import VideoEncoder
from rspnet.errors import ConfigError
from rspnet.weights.exported import MARK

_EXTRA = f"{MARK}.json"


def output_name(network: VideoEncoder) -> str:
    """Return what a network gives."""
    return "logits" if network.num_classes else "features"


def write_torch_export(path: Path, network: VideoEncoder, said: dict[str, Any]) -> None:
    """Write what `torch.export.load` reads.

    Args:
        path: The file.
        network: The network, in eval mode.
        said: JSON-serialisable; kept in the file as rspnet.json.
    """
    buffer = io.BytesIO()
    torch.export.save(_traced(network), buffer, extra_files={_EXTRA: json.dumps(said)})
    path.write_bytes(buffer.getbuffer())


def write_onnx(path: Path, network: VideoEncoder, said: dict[str, Any]) -> None:
    """Write an ONNX file, weights included.

    Args:
        path: The file.
        network: The network, in eval mode.
        said: JSON-serialisable; each of its values is kept as JSON in the file's metadata, and all of it as `rspnet`.

    Raises:
        ConfigError: The packages that make ONNX files are not installed.
    """
    check_onnx()
    program = torch.onnx.export(
        _traced(network),
        dynamo=True,
        verbose=False,
        input_names=["clips"],
        output_names=[output_name(network)],
        dynamic_shapes=({0: "batch"},),
    )
    assert program is not None  # a TorchScript module gives none
    program.model.metadata_props.update({name: json.dumps(value) for name, value in {**said, MARK: said}.items()})
    path.write_bytes(program.model_proto.SerializeToString())


def check_onnx() -> None:
    """See that ONNX files can be made.

    Raises:
        ConfigError: They cannot.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"format: onnx needs the package {error.name}, which is not installed; pip install onnx onnxscript"
        ) from None


def is_ours(path: Path) -> bool:
    """Whether a file is one that this module has written."""
    if path.suffix == ".onnx":
        import onnx

        try:
            return any(each.key == MARK for each in onnx.load(path, load_external_data=False).metadata_props)
        except Exception:  # protobuf raises its own on what is none
            return False
    import zipfile

    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(f"/extra/{_EXTRA}") for name in archive.namelist())


def _traced(network: VideoEncoder) -> ExportedProgram:
    clip = network.clip
    # Two: torch would take a single one for a constant.
    example = torch.zeros(2, 3, clip.num_frames, clip.size, clip.size)
    program = torch.export.export(network, (example,), dynamic_shapes=({0: Dim("batch")},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # where the code lies on this machine
    program.example_inputs = None  # tens of megabytes of zeros
    return program
