"""Strict YAML without surprises: repeated keys, absurdly large values and invalid text are refused in one line."""

import re
from collections.abc import Hashable
from typing import Any

import yaml

_LONGEST = 4096
"""Most characters of a value; a path may be that long."""


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML that refuses repeated keys, and reads ``1e-3`` as a number, as in YAML 1.2.

    ``010`` stays text, from which the parser makes 10 for a number; YAML 1.1 would read it as 8.
    """

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> Any:
        if kind is yaml.ScalarNode and _OCTAL.fullmatch(value):
            return self.DEFAULT_SCALAR_TAG
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # <<: *other
                continue
            key, line = self.construct_object(key_node, deep=True), key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise yaml.YAMLError(f"line {line}: key {key!r} is not the name of an option")
            if key in seen:
                raise yaml.YAMLError(f"line {line}: key '{key}' is given twice; keep one")
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> str:
        value = super().construct_scalar(node)
        if len(value) > _LONGEST:
            raise yaml.YAMLError(
                f"line {node.start_mark.line + 1}: a value of {len(value)} characters; at most {_LONGEST} are allowed"
            )
        if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in value):
            raise yaml.YAMLError(f"line {node.start_mark.line + 1}: the text holds a NUL, or is not UTF-8")
        return value


class _Dumper(yaml.SafeDumper):
    """Quotes text that `_StrictLoader` would read as a number."""


_OCTAL = re.compile(r"[-+]?0[\d_]+")
_FLOAT = re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
for _kind in (_StrictLoader, _Dumper):
    _kind.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def read_yaml(text: str) -> object:
    """Parse YAML text strictly (see `_StrictLoader`).

    Raises:
        YAMLError: the text is not valid YAML, or is absurd: thousands of digits, or nested too deeply.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise yaml.YAMLError(f"{place}{error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise yaml.YAMLError(f"line {line}: character #x{error.character:04x} is not allowed") from None
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    except (ValueError, OverflowError) as error:  # of a number or a date
        raise yaml.YAMLError(str(error).split(";")[0]) from None


def write_yaml(content: dict[str, Any]) -> str:
    """Return YAML text that `read_yaml` can read."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
