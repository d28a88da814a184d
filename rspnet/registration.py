"""timm finds the encoders by name once both packages are imported, in either order, and neither import loads the other.

timm takes seconds to load, and torch with it; `import rspnet` must not wait for that. So timm is told at once where it
is there already, and else at the end of its own import.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_ENCODERS = "rspnet.encoders"  # registers what it holds while it is imported


def tell_timm() -> None:
    """Let ``timm.create_model("rspnet_c3d")`` and its like work, now or as soon as timm is imported."""
    if "timm" in sys.modules:
        importlib.import_module(_ENCODERS)
    else:
        sys.meta_path.insert(0, _AfterTimm())


class _AfterTimm:  # not of importlib.abc, which takes longer to load than all else here
    """Finds timm where the other finders do, and has the encoders imported when it has run."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the others find; the loader's own ``exec_module`` is called by ours, once."""
        if fullname != "timm":
            return None
        others = [finder for finder in sys.meta_path if not isinstance(finder, _AfterTimm)]
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in others)), None)
        if spec is None or spec.loader is None:
            return spec
        loader = spec.loader

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module  # of the instance: the class's own comes forward
            loader.exec_module(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            importlib.import_module(_ENCODERS)

        loader.exec_module = exec_module  # type: ignore[method-assign]  # see above
        return spec
