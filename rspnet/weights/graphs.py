"""Write a network as a graph that runs without its code, by torch.export or as ONNX, for any number of clips at a time.

N clips of T frames and S x S pixels; D features, K classes. The input is `clips` (N, 3, T, S, S), normalised float32;
the output is `logits` (N, K) for a classifier, else `features` (N, D).
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
    """Return the name of a network's output: `logits` or `features`."""
    return "logits" if network.num_classes else "features"


def write_torch_export(path: Path, network: VideoEncoder, said: dict[str, Any]) -> None:
    """Write an archive for `torch.export.load`.

    Args:
        path: The file.
        network: The network, in eval mode.
        said: Description of the network, JSON-serialisable; kept in the file as rspnet.json.
    """
    buffer = io.BytesIO()
    torch.export.save(_traced(network), buffer, extra_files={_EXTRA: json.dumps(said)})
    path.write_bytes(buffer.getbuffer())


def write_onnx(path: Path, network: VideoEncoder, said: dict[str, Any]) -> None:
    """Write an ONNX file, weights included.

    Args:
        path: The file.
        network: The network, in eval mode.
        said: Description of the network, JSON-serialisable; the file's metadata get each of its values as JSON, and
            all of them together under `rspnet`.

    Raises:
        ConfigError: If the packages that make ONNX files are not installed.
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
    assert program is not None  # it would be None for a TorchScript module
    program.model.metadata_props.update({name: json.dumps(value) for name, value in {**said, MARK: said}.items()})
    path.write_bytes(program.model_proto.SerializeToString())


def check_onnx() -> None:
    """Check that ONNX files can be written.

    Raises:
        ConfigError: If a package for that is not installed.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"format: onnx needs the package {error.name}, which is not installed; pip install onnx onnxscript"
        ) from None


def is_ours(path: Path) -> bool:
    """Return whether this module has written a file.

    Raises:
        ConfigError: If it may be an ONNX file, and a package for these is not installed.
    """
    if path.suffix == ".onnx":
        check_onnx()
        import onnx

        try:
            return any(each.key == MARK for each in onnx.load(path, load_external_data=False).metadata_props)
        except Exception:  # protobuf's own, for a file that is not ONNX
            return False
    import zipfile

    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(f"/extra/{_EXTRA}") for name in archive.namelist())


def _traced(network: VideoEncoder) -> ExportedProgram:
    clip = network.clip
    # Two clips: torch.export treats a size of 1 as a constant.
    example = torch.zeros(2, 3, clip.num_frames, clip.size, clip.size)
    program = torch.export.export(network, (example,), dynamic_shapes=({0: Dim("batch")},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it holds paths on this machine
    program.example_inputs = None  # tens of megabytes of zeros
    return program
