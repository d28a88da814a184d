"""Whatever a torch file holds, as JSON and named tensors, and back without a difference.

JSON knows one mapping, whose keys are text, and one sequence. So what it cannot tell from those is written as an object
whose first key names the kind: `{"OrderedDict": [[key, value], ...]}`, `{"tuple": [...]}`, `{"float": "inf"}`, and
`{"tensor": NAME}` in the place of a tensor.
"""

import math
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_MAPPINGS = {kind.__name__: kind for kind in (dict, OrderedDict, Counter)}
_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_DTYPES = (*_FLOATS, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)


def take_apart(contents: Any) -> tuple[Any, dict[str, Tensor]]:
    """Return contents as what JSON can hold, and the tensors in them by name (their place: `optimizer.state.0. ...`).

    Raises:
        ValueError: If something would not come back as it was; the message names it.
    """
    tensors: dict[str, Tensor] = {}
    try:
        return _outline(contents, "", tensors), tensors
    except RecursionError:
        raise ValueError("holds itself, or is nested too deeply") from None


def put_together(outline: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return what `take_apart` was given.

    Raises:
        ValueError: If the outline is none, or names a tensor that is not there.
    """
    if isinstance(outline, list):
        return [put_together(item, tensors) for item in outline]
    if not isinstance(outline, dict):
        return outline
    match outline:
        case {"tensor": str(name)} if name in tensors:
            return tensors[name]
        case {"float": str(text)}:
            return float(text)
        case {"tuple": list(items)}:
            return tuple(put_together(item, tensors) for item in items)
    kind = next(iter(outline), "")
    if kind not in _MAPPINGS:
        raise ValueError(f"{str(outline)[:60]} stands for nothing")
    mapping = _MAPPINGS[kind]()
    for key, value in outline[kind]:
        mapping[put_together(key, tensors)] = put_together(value, tensors)
    if "attributes" in outline:
        vars(mapping).update(put_together(outline["attributes"], tensors))
    return mapping


def _outline(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    kind = type(value)  # exactly: a subclass would come back as its base
    if kind in (type(None), bool, int, str):
        return value
    if kind is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if kind in (list, tuple):
        items = [_outline(item, _join(place, number), tensors) for number, item in enumerate(value)]
        return items if kind is list else {"tuple": items}
    if kind in _MAPPINGS.values():
        entries = [[_key(key, place), _outline(item, _join(place, key), tensors)] for key, item in value.items()]
        attributes = getattr(value, "__dict__", {})  # a state dict keeps its modules' versions there
        return {kind.__name__: entries} | ({"attributes": _outline(attributes, place, {})} if attributes else {})
    if kind is not Tensor:
        raise ValueError(f"{place or 'it'} is of type {kind.__name__}")
    if value.layout is not torch.strided or value.dtype not in _DTYPES or value.requires_grad:
        raise ValueError(f"{place} is a tensor of a kind that safetensors cannot hold ({value.dtype})")
    if place in tensors:
        raise ValueError(f"{place} is the name of two tensors")
    tensors[place] = value
    return {"tensor": place}


def _key(key: Any, place: str) -> Any:
    if type(key) not in (type(None), bool, int, str):
        raise ValueError(f"{place or 'it'} has a key of type {type(key).__name__}")
    return key


def _join(place: str, key: object) -> str:
    return f"{place}.{key}" if place else str(key)
