"""The source as the layout's rules see it: modules, who names whom, claims. Reads files; imports nothing of ours."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).parents[2]
PACKAGES = ("actors", "supervisor", "shell")


def _found(*folders: str) -> dict[str, Path]:
    found = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            found[".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")] = path
    return found


MODULES = _found(*PACKAGES)
TESTS = _found("tests")


@cache
def source(name: str) -> str:
    """The text of a module, ours or a test's."""
    return (MODULES | TESTS)[name].read_text("utf-8")


@cache
def tree(name: str) -> ast.Module:
    """The module, parsed."""
    return ast.parse(source(name))


@cache
def walked(name: str) -> tuple[ast.AST, ...]:
    """All nodes of the module."""
    return tuple(ast.walk(tree(name)))


N = TypeVar("N", bound=ast.AST)


def nodes(name: str, kind: type[N]) -> Iterator[N]:
    """All of this kind in the module."""
    return (node for node in walked(name) if isinstance(node, kind))


def calls(name: str) -> Iterator[ast.Call]:
    """Every call in the module."""
    return nodes(name, ast.Call)


def called(call: ast.Call) -> str:
    """What is called, as it is written: "os.write"."""
    return ast.unparse(call.func)


def at(name: str, node: ast.AST) -> str:
    """Where it is, for the report of a broken rule."""
    return f"{name}:{getattr(node, 'lineno', 0)}"


@cache
def imports(name: str) -> frozenset[str]:
    """All that the module imports, wherever: at the top, late, or for types alone. Ours as modules, if they are."""
    found = set()
    for node in walked(name):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            full = {f"{node.module}.{alias.name}": node.module for alias in node.names}
            found |= {one if one in MODULES or one in TESTS else module for one, module in full.items()}
    return frozenset(found)


_NAMED = re.compile(r"((?:actors|supervisor|shell)(?:\.\w+)+)(?::\w+)?")


@cache
def strings(name: str) -> frozenset[str]:
    """Modules that it names in a string: "module:Class", and what `python -m` starts."""
    found = set()
    for node in walked(name):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and (hit := _NAMED.fullmatch(node.value)):
            program = f"{hit[1]}.__main__"  # of a package
            found.add(program if program in MODULES else hit[1])
    return frozenset(found)


@cache
def arrows(name: str) -> frozenset[str]:
    """The modules of ours that it names in any way."""
    return frozenset(other for other in imports(name) | strings(name) if other in MODULES and other != name)


def cycles() -> list[list[str]]:
    """Each set of modules that reach each other (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    path: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        path.append(name)
        for other in arrows(name):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in path:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            ring = path[path.index(name) :]
            del path[path.index(name) :]
            if len(ring) > 1:
                found.append(sorted(ring))

    for name in MODULES:
        if name not in index:
            visit(name)
    return found


def claims_purity(name: str) -> bool:
    """Whether its docstring begins a sentence with "Pure". "Pure but for ..." is no such claim."""
    doc = ast.get_docstring(tree(name)) or ""
    return re.search(r"(?:^|[.;:?]\s+)Pure\b(?! but)", doc) is not None


def _named(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        full = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (one if one in MODULES else node.module for one in full)


@cache
def imports_at_top(name: str) -> frozenset[str]:
    """What the import of the module imports at once, its packages included."""
    packages = {name.rsplit(".", levels)[0] for levels in range(1, name.count(".") + 1)}
    found, rest = set(packages), list[ast.AST](tree(name).body)
    while rest:
        node = rest.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            rest += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found |= set(_named(node))
            rest += [each for each in ast.iter_child_nodes(node) if isinstance(each, ast.stmt)]
    return frozenset(found)


def imports_late(name: str) -> frozenset[str]:
    """What the module's functions import when they are called."""
    functions = [node for node in walked(name) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return frozenset(each for function in functions for node in ast.walk(function) for each in _named(node))


def imported_with(names: Iterable[str]) -> set[str]:
    """All that is imported with these modules, ours through and through; of foreign ones only what ours name."""
    found: set[str] = set()
    rest = list(names)
    while rest:
        name = rest.pop()
        if name not in found:
            found.add(name)
            rest += imports_at_top(name) if name in MODULES else ()
    return found
