"""A pretended GPU: operations on it are checked and counted, but nothing is computed.

Tensors on the pretended device have shape, type and device, but no contents; CPU tensors are as usual. What would fail
on a GPU fails here: tensors of two devices in one operation, a shape that depends on contents. Whatever would make the
host wait for a GPU is noted with the line that does it. Copies from the device hold ones.

The device cannot be removed again, so use it in a process of its own.
"""

import contextlib
import inspect
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from tests.support import REPO

NAME = "pretend"
PAGEABLE = 1 << 16
"""Largest copy from pageable memory, in bytes, that does not make the host wait; a larger one needs pinned memory."""

aten = torch.ops.aten
_INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._unsafe_index.Tensor}
_LOWER = ("conv3d", "linear", "matmul", "mm", "bmm", "addmm")
"""Operations of the networks that autocast runs in half precision; below, those in single precision."""
_SINGLE = ("cross_entropy_loss", "margin_ranking_loss", "log_softmax.int", "softmax.int", "norm.Scalar")


@dataclass(frozen=True)
class Wait:
    """An operation that makes the host wait for the device.

    Attributes:
        what: the operation.
        where: the line of this repository that calls it, as ``rspnet/method/draws.py:39``.
        within: names of the functions on the call stack, the outermost first.
    """

    what: str
    where: str
    within: list[str]


@dataclass
class Told:
    """The record: waits, launches of kernels and copies by operation, and the bytes that they read and write."""

    waits: list[Wait] = field(default_factory=list)
    launches: Counter = field(default_factory=Counter)
    bytes: int = 0


class _Device(TorchDispatchMode):
    def __init__(self, told: Told) -> None:
        super().__init__()
        self.told = told
        self.fake = FakeTensorMode(allow_non_fake_inputs=True)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        there = any(isinstance(each, FakeTensor) for each in leaves)
        to = kwargs.get("device")
        if not there and (to is None or torch.device(to).type != NAME):
            return func(*args, **kwargs)
        if there and func in (aten._local_scalar_dense.default, aten.equal.default, aten.is_nonzero.default):
            self.wait(func)
            return torch.ones((), dtype=args[0].dtype if func is aten._local_scalar_dense.default else bool).item()
        if func is aten._to_copy.default and there and to is not None and torch.device(to).type != NAME:
            assert not kwargs.get("non_blocking"), "a copy to the host that nobody waits for: what is read is anything"
            self.wait(func)
            return torch.ones(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        if func is aten.copy_.default and not isinstance(args[0], FakeTensor):
            assert not (args[2] if len(args) > 2 else kwargs.get("non_blocking")), "a copy that nobody waits for"
            self.wait(func)
            return args[0].fill_(1)
        if func is aten._to_copy.default and not there:
            return self._fetched(args[0], kwargs)
        if func is aten.copy_.default and not isinstance(args[1], FakeTensor):
            self._sent(args[1], args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
        if func in _INDEXED and any(isinstance(each, torch.Tensor) for each in args[1] if not _there(each)):
            self.wait(func)  # the operation sends an index on the CPU to the device
        with self.fake:
            result = func(*args, **kwargs)
        self._count(func, leaves, result)
        return result

    def wait(self, func: object) -> None:
        frame, where, within = inspect.currentframe(), "", list[str]()
        while frame is not None:  # the traceback module would read the source files, which is slow
            name = frame.f_code.co_filename
            if not where and name.startswith(f"{REPO}/") and ".venv" not in name and name != __file__:
                where = f"{name.removeprefix(f'{REPO}/')}:{frame.f_lineno}"
            within.append(frame.f_code.co_name)
            frame = frame.f_back
        self.told.waits.append(Wait(str(func), where, within[::-1]))

    def _fetched(self, value: torch.Tensor, kwargs: dict[str, Any]) -> torch.Tensor:
        self._sent(value, kwargs.get("non_blocking", False))
        with self.fake:
            like = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype)
            return aten._to_copy.default(like, **kwargs)

    def _sent(self, value: torch.Tensor, non_blocking: bool) -> None:
        self.told.launches["copy to the device"] += 1
        if not non_blocking or (value.nbytes > PAGEABLE and value.untyped_storage().data_ptr() not in _pinned):
            self.wait("copy to the device")

    def _count(self, func: Any, leaves: list[Any], result: Any) -> None:
        """Count an operation: a view launches nothing, and one on a list of tensors counts as a single launch."""
        names = func._schema.name, func._schema.overload_name
        mutates = any(each.alias_info is not None and each.alias_info.is_write for each in func._schema.arguments)
        views = func.is_view or names[0] in ("aten::detach", "aten::_unsafe_view", "aten::alias")
        made = names[0] in ("aten::empty", "aten::empty_strided", "aten::empty_like", "aten::new_empty_strided")
        if (views and not mutates) or made:
            return
        self.told.launches[names[0].removeprefix("aten::")] += 1
        tensors = [each for each in (*leaves, *tree_leaves(result)) if isinstance(each, FakeTensor)]
        self.told.bytes += sum(each.nbytes for each in tensors)


class _Calls(TorchFunctionMode):
    """Handle what never reaches `_Device`: tensors made from Python numbers, and pinned memory."""

    def __init__(self, device: _Device) -> None:
        super().__init__()
        self.device = device

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or "cpu").type == NAME:
            to = kwargs.pop("device")
            return func(*args, **kwargs).to(to)  # blocking, as on a GPU
        if func is torch.Tensor.pin_memory:
            _pinned.add(args[0].untyped_storage().data_ptr())
            return args[0]
        return func(*args, **kwargs)


_pinned: set[int] = set()


def _there(value: object) -> bool:
    return isinstance(value, FakeTensor)


class _Module(backend_registration._DummyBackendModule):
    """`torch.pretend`."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]

    def set_device(self, device: object) -> None:
        pass


def _register() -> list[torch.library.Library]:
    backend_registration._setup_privateuseone_for_python_backend(NAME, _Module())
    # Moving a module keeps its parameters the same objects, so that an optimiser made before still has them.
    torch.__future__.set_swap_module_params_on_conversion(True)
    torch.utils.weakref = SimpleNamespace(getweakrefs=lambda tensor: ())  # ignores the weak reference of a fake's memo
    others, autocast = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
    others.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    for name in (*_LOWER, *_SINGLE):
        packet, _, overload = name.partition(".")
        operation = getattr(getattr(aten, packet), overload or "default")
        autocast.impl(name, _in_type(operation, lower=name in _LOWER), "AutocastPrivateUse1")
    return [others, autocast]


def _in_type(operation: Callable, lower: bool) -> Callable:
    off = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)

    def called(*args: Any, **kwargs: Any) -> Any:
        dtype = torch.get_autocast_dtype(NAME) if lower else torch.float32

        def cast(value: Any) -> Any:
            return value.to(dtype) if isinstance(value, torch.Tensor) and value.is_floating_point() else value

        with torch._C._ExcludeDispatchKeyGuard(off):
            return operation(*map(cast, args), **{key: cast(value) for key, value in kwargs.items()})

    return called


@contextlib.contextmanager
def pretending() -> Iterator[Told]:
    """Record what is done on the device in the block."""
    told = Told()
    device = _Device(told)
    waits_for_all = torch.accelerator.synchronize
    torch.accelerator.synchronize = lambda *_: device.wait("synchronize")
    try:
        with device, _Calls(device):
            yield told
    finally:
        torch.accelerator.synchronize = waits_for_all


def _save(contents: object, *args: Any, **kwargs: Any) -> None:
    """`torch.save` with tensors on the device copied to the CPU, because it cannot write tensors without contents."""
    _torch_save(tree_map_only(FakeTensor, lambda each: each.cpu(), contents), *args, **kwargs)


_torch_save = torch.save


def begin() -> list[torch.library.Library]:
    """Make this the device of this process for good, for accelerate too; keep a reference to what is returned."""
    os.environ.pop("ACCELERATE_USE_CPU", None)
    os.environ["ACCELERATE_TORCH_DEVICE"] = f"{NAME}:0"
    from rspnet.data import loader

    loader.has_gpu = lambda: True
    torch.save = _save
    return _register()
