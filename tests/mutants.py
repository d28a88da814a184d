"""Change one thing at a time in the method's files, run their tests, and report the changes that no test notices.

    python -m tests.mutants [--jobs 2] [--only losses ...]

Each mutant has one comparison, operator, number, argument, call, condition, statement or decorator changed, and is
tested in a fork of a process that has imported the slow packages; the checkout is never written to. The mutants in
tests/equivalent_mutants.txt, each under the reason why no test here can tell it from the original, may survive. Any
other survivor is printed and the exit status is 1, also if a mutant in that file is killed or does not exist.

Tests that are slow, start processes or need the shared fixtures are left out, so that the outcome is the same on every
machine.

Why no library: mutmut (3.8) skips decorated functions, here the momentum update, the queue and the shuffling;
cosmic-ray (8.7) starts Python and torch again for each of more than a thousand mutants, and edits the checkout.
"""

import argparse
import ast
import copy
import gc
import importlib.util
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import REPO

MIRRORS = {
    "rspnet.method.pretext": ["method/test_pretext.py"],
    "rspnet.method.draws": ["method/test_draws.py", "data/test_distributions.py"],
    "rspnet.method.losses": ["method/test_losses.py"],
    "rspnet.method.momentum": ["method/test_momentum.py"],
    "rspnet.method.exchange": ["method/test_exchange.py"],
    "rspnet.method.steps": ["method/test_steps.py", "method/test_pretext.py"],
    "rspnet.method.heads": ["method/test_heads.py"],
    "rspnet.method.optim": ["method/test_optim.py"],
    "rspnet.method.classifier": ["method/test_classifier.py"],
    "rspnet.data.sampling": ["data/test_sampling.py", "data/test_distributions.py"],
}
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.txt")
SAME = "(lambda same: same)"  # a decorator that does nothing
OPERATORS = {
    ast.Lt: [ast.LtE, ast.GtE],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.LtE],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div],
    ast.Div: [ast.Mult],
    ast.FloorDiv: [ast.Div],
    ast.Mod: [ast.Mult],
    ast.Pow: [ast.Mult],
    ast.BitOr: [ast.BitAnd],
    ast.BitAnd: [ast.BitOr],
    ast.And: [ast.Or],
    ast.Or: [ast.And],
}


class Mutant(NamedTuple):
    """A module with one change: its line number, the changed line, and the whole changed text."""

    module: str
    number: int
    line: str
    text: str

    def __str__(self) -> str:
        return f"{self.module}: {self.line}"


def other(node: ast.AST, **fields: object) -> ast.AST:
    """Return a copy of the node with some fields changed."""
    made = copy.copy(node)
    vars(made).update(fields)
    return made


def changed_call(call: ast.Call) -> Iterator[ast.AST]:
    """Yield the call without its last or a keyword argument, with two arguments swapped, and ``a`` for ``a.b()``."""
    args = call.args
    if args:
        yield other(call, args=args[:-1])
    symmetric = isinstance(call.func, ast.Name) and call.func.id in ("min", "max")
    for place in range(1, 1 if symmetric else len(args)):
        yield other(call, args=[*args[: place - 1], args[place], args[place - 1], *args[place + 1 :]])
    for gone in call.keywords:
        yield other(call, keywords=[keyword for keyword in call.keywords if keyword is not gone])
    if isinstance(call.func, ast.Attribute):
        yield call.func.value


def changed(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes to put in a node's place."""
    match node:
        case ast.Compare(ops=operators):
            for place, operator in enumerate(operators):
                for swap in OPERATORS.get(type(operator), ()):
                    yield other(node, ops=[*operators[:place], swap(), *operators[place + 1 :]])
        case ast.BinOp(op=operator) | ast.BoolOp(op=operator):
            yield from (other(node, op=swap()) for swap in OPERATORS.get(type(operator), ()))
        case ast.UnaryOp(operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield from (ast.Constant(value + step) for step in (1, -1) if value + step >= 0)
        case ast.Call():
            yield from changed_call(node)
        case ast.Raise() | ast.AugAssign() | ast.Expr(value=ast.Call()):
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()


def places(tree: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Yield each node of executed code with each of its replacements; types and messages are left alone."""
    match tree:
        case ast.JoinedStr() | ast.ClassDef(bases=[ast.Name(id="Protocol")]):
            return
        case ast.If(test=test) | ast.IfExp(test=test):
            yield test, ast.UnaryOp(ast.Not(), test)
        case ast.comprehension(ifs=[test]):
            yield test, ast.UnaryOp(ast.Not(), test)
        case ast.FunctionDef(decorator_list=decorators):
            yield from ((decorator, ast.Name(SAME)) for decorator in decorators)
    yield from ((tree, instead) for instead in changed(tree))
    for name, value in ast.iter_fields(tree):
        if name not in ("annotation", "returns", "decorator_list"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from places(child)


def mutants(module: str) -> Iterator[Mutant]:
    """Yield all mutants of a module, from its first line to its last."""
    source = (REPO / f"{module.replace('.', '/')}.py").read_bytes()
    starts = [0, *(place + 1 for place, byte in enumerate(source) if byte == ord("\n"))]
    binding = (ast.BinOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.UnaryOp)
    for node, instead in places(ast.parse(source)):
        first = starts[node.lineno - 1]
        begin, end = first + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        text = ast.unparse(ast.fix_missing_locations(instead))
        if isinstance(instead, binding) and type(instead) is not type(node):
            text = f"({text})"
        elif text in ("pass", SAME):
            text += f"  # {' '.join(source[begin:end].decode().split())}"  # so that no two mutants have the same line
        text = (source[:begin] + text.encode() + source[end:]).decode()
        if text.encode() != source:  # it is the same if two equal arguments were swapped
            yield Mutant(module, node.lineno, text.splitlines()[node.lineno - 1].strip(), text)


class Quick:
    """Leaves out the tests that are too slow to run a thousand times, or do not run on every machine."""

    @staticmethod
    def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
        items[:] = [
            item
            for item in items
            if not (item.get_closest_marker("slow") or item.get_closest_marker("gpu"))
            and "shared" not in item.fixturenames
            and "run_ranks" not in item.function.__code__.co_names
        ]


def ask(mutant: Mutant) -> int:
    """Return pytest's exit status for the module's tests, with the mutant in the module's place."""
    resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
    resource.setrlimit(resource.RLIMIT_DATA, (8 << 30, 8 << 30))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    spec = importlib.util.find_spec(mutant.module)
    sys.modules[mutant.module] = module = importlib.util.module_from_spec(spec)
    exec(compile(mutant.text, spec.origin, "exec"), vars(module))
    options = ["-x", "--assert=plain", "-p", "no:cacheprovider", "-o", "addopts=", "-o", "timeout=20"]
    files = (str(REPO / "tests" / file) for file in MIRRORS[mutant.module])
    return next((told for file in files if (told := pytest.main([*options, file], plugins=[Quick]))), 0)


def survivors(tried: list[Mutant], jobs: int) -> Iterator[Mutant]:
    """Test each mutant in a process of its own, `jobs` at a time, and yield those that no test noticed."""
    running: dict[int, Mutant] = {}
    for mutant in [*tried, *[None] * jobs]:
        while len(running) == jobs or (mutant is None and running):
            pid, status = os.wait()
            survivor = running.pop(pid)
            if status == 0:
                yield survivor
        if mutant is None:
            return
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = ask(mutant)
            finally:
                os._exit(status)
        running[pid] = mutant


def main() -> str | None:
    """Print the survivors, and return what is wrong, or None."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="mutants at a time")
    parser.add_argument("--only", nargs="*", choices=[name.split(".")[-1] for name in MIRRORS], help="modules to test")
    args = parser.parse_args()
    modules = [name for name in MIRRORS if not args.only or name.split(".")[-1] in args.only]
    known = {line for line in EQUIVALENT.read_text().splitlines() if line and not line.startswith("#")}
    known = {line for line in known if line.split(":")[0] in modules}
    tried = [mutant for module in modules for mutant in mutants(module)]
    with tempfile.TemporaryDirectory(prefix="rspnet-mutants-") as folder:
        tempfile.tempdir = os.environ["HF_DATASETS_CACHE"] = folder
        os.environ["OMP_NUM_THREADS"] = "1"
        for slow in ("torch", "torchvision", "timm", "datasets"):
            importlib.import_module(slow)
        gc.freeze()  # otherwise garbage collection in each mutant's pytest goes through these packages' objects again
        unchanged = [Mutant(name, 0, "", (REPO / f"{name.replace('.', '/')}.py").read_text()) for name in modules]
        passing = {mutant.module for mutant in survivors(unchanged, args.jobs)}
        if passing != set(modules):
            return f"the tests fail without any change: {', '.join(sorted(set(modules) - passing))}"
        found = set()
        for mutant in survivors(tried, args.jobs):
            found.add(str(mutant))
            if str(mutant) not in known:
                print(f"{mutant.module.replace('.', '/')}.py:{mutant.number}: {mutant.line}", flush=True)
    for line in sorted(known - found):
        print(f"{EQUIVALENT.name} names one that does not survive: {line}")
    if known != found:
        return f"{len(tried)} mutants; {len(found - known)} survive, {len(known & found)} more are equivalent"
    print(f"{len(tried)} mutants, all killed but {len(found)} equivalent")
    return None


if __name__ == "__main__":
    sys.exit(main())
