"""Measure the code of a tree: sizes of files and functions, lengths of parameter lists, share of documented functions.

    python -m tests.support.measures rspnet stages

Code lines are lines that are neither blank nor comment nor docstring.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


class Function:
    """A function of a file, measured."""

    def __init__(self, path: Path, node: FunctionNode, lines: list[str], inner: bool) -> None:
        given = [argument.arg for argument in node.args.posonlyargs + node.args.args]
        self.path = path
        self.name = node.name
        self.where = f"{path}:{node.lineno} {node.name}"
        self.public = not inner and not node.name.startswith("_")
        self.by_place = len(given) - (given[:1] in (["self"], ["cls"]))
        self.width = self.by_place + len(node.args.kwonlyargs)
        self.documented = ast.get_docstring(node) is not None
        body = node.body[1:] if self.documented else node.body
        code = lines[body[0].lineno - 1 : node.end_lineno] if body else []
        self.code_lines = sum(bool(line.strip()) and not line.strip().startswith("#") for line in code)


def functions(paths: list[Path]) -> Iterator[Function]:
    """Yield every function of these files, including methods and inner functions."""
    for path in paths:
        text = path.read_text()
        nodes = list(ast.walk(ast.parse(text)))
        found = [node for node in nodes if isinstance(node, FunctionNode)]
        private = [node for node in nodes if isinstance(node, ast.ClassDef) and node.name.startswith("_")]
        inner = {below for node in [*found, *private] for below in ast.walk(node) if below is not node}
        yield from (Function(path, node, text.splitlines(), node in inner) for node in found)


def main(folders: list[str]) -> None:
    """Print the measures of all .py files in these folders."""
    paths = [path for folder in folders for path in sorted(Path(folder).rglob("*.py"))]
    sizes = sorted((len(path.read_text().splitlines()), str(path)) for path in paths)
    found = list(functions(paths))
    public = [function for function in found if function.public]
    longest = max(found, key=lambda function: function.code_lines)
    widest = max(found, key=lambda function: function.width)
    by_place = sum(function.by_place > 3 for function in found)
    documented = sum(function.documented for function in public)
    print(f"{len(paths)} files, {sum(size for size, _ in sizes)} lines, median {median(size for size, _ in sizes):g}")
    print(f"over 200 lines: {sum(size > 200 for size, _ in sizes)}; largest {sizes[-1][0]} ({sizes[-1][1]})")
    print(f"{len(found)} functions, median {median(function.code_lines for function in found):g} code lines")
    print(f"longest function: {longest.code_lines} code lines ({longest.where})")
    print(f"widest: {widest.width} parameters ({widest.where}); more than three by place: {by_place}")
    print(f"public functions documented: {documented} of {len(public)}")


if __name__ == "__main__":
    main(sys.argv[1:])
