"""Registers the encoders with timm once both packages are imported, in either order; neither import loads the other.

timm and torch take seconds to load, and `import rspnet` must not wait for that. So the encoders are registered at once
if timm is loaded already, and else at the end of timm's own import.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_ENCODERS = "rspnet.encoders"  # importing it registers its encoders


def tell_timm() -> None:
    """Make ``timm.create_model("rspnet_c3d")`` and the like work, now or as soon as timm is imported."""
    if "timm" in sys.modules:
        importlib.import_module(_ENCODERS)
    else:
        sys.meta_path.insert(0, _AfterTimm())


class _AfterTimm:  # no subclass of importlib.abc's, which takes longer to load than all else here
    """Finds timm as the other finders do, and imports the encoders after timm."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec that the other finders return; for timm, its loader's ``exec_module`` is wrapped, once."""
        if fullname != "timm":
            return None
        others = [finder for finder in sys.meta_path if not isinstance(finder, _AfterTimm)]
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in others)), None)
        if spec is None or spec.loader is None:
            return spec
        loader = spec.loader

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module  # the instance's attribute, so that the class's own method is back
            loader.exec_module(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            importlib.import_module(_ENCODERS)

        loader.exec_module = exec_module  # type: ignore[method-assign]  # see above
        return spec
