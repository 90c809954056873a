"""Compares the public API with public_api.txt, the snapshot that is committed.

    python tools/public_api.py            # exit code 1 and a diff when they differ
    python tools/public_api.py --write    # write the snapshot anew

The snapshot holds the names, signatures, fields and bases of the documented modules. It is read
from the source and not from imported objects, so that it is the same on every Python.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SNAPSHOT = ROOT / "public_api.txt"
SOURCES = ("src", "conformance/src")
DOCUMENTED = (
    "jobyard",
    "jobyard.backend",
    "jobyard.contract",
    "jobyard.errors",
    "jobyard_conformance",
)

# Methods that Python calls and that say nothing about how a class is used.
SILENT = {"__eq__", "__hash__", "__post_init__", "__repr__", "__str__"}
LONGEST_VALUE = 160

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True)
class Module:
    """A module as its source tells it."""

    name: str
    is_package: bool
    exports: tuple[str, ...]
    definitions: dict[str, tuple[Definition, ...]]
    imports: dict[str, tuple[str, str]]

    def public_names(self) -> set[str]:
        """Gives the names that `__all__` has to list.

        A module lists what it defines. A package is a front: it also lists what it imports
        from its own modules.
        """
        names = {name for name in self.definitions if not name.startswith("_")}
        if self.is_package:
            own = self.name.partition(".")[0]
            names |= {
                name
                for name, (source, _) in self.imports.items()
                if source.partition(".")[0] == own and not name.startswith("_")
            }
        return names


def find(name: str) -> Path | None:
    """Finds the source of one of our modules."""
    relative = Path(*name.split("."))
    for source in SOURCES:
        for path in (relative / "__init__.py", relative.with_suffix(".py")):
            if (ROOT / source / path).is_file():
                return ROOT / source / path
    return None


@cache
def read(name: str) -> Module | None:
    """Reads a module of ours; None for any other."""
    path = find(name)
    if path is None:
        return None
    return parse(name, path.read_text(encoding="utf-8"), is_package=path.name == "__init__.py")


def parse(name: str, source: str, *, is_package: bool) -> Module:
    """Reads the source of a module."""
    definitions: dict[str, tuple[Definition, ...]] = {}
    imports: dict[str, tuple[str, str]] = {}
    exports: tuple[str, ...] = ()
    for node in statements(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            origin = absolute(node, name, is_package=is_package)
            imports |= {alias.asname or alias.name: (origin, alias.name) for alias in node.names}
            continue
        for bound in bound_names(node):
            if bound == "__all__" and isinstance(node, ast.Assign):
                exports = tuple(ast.literal_eval(node.value))
            elif isinstance(node, Definition):
                definitions[bound] = (*definitions.get(bound, ()), node)
    return Module(name, is_package, exports, definitions, imports)


def statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yields the statements of a module, those under an `if` or a `try` too."""
    waiting: list[ast.stmt] = list(reversed(tree.body))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If | ast.Try):
            waiting.extend(reversed(node.body + node.orelse))
        else:
            yield node


def bound_names(node: ast.stmt) -> Iterator[str]:
    """Yields the names that a statement binds."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name
    elif isinstance(node, ast.AnnAssign):
        if isinstance(node.target, ast.Name):
            yield node.target.id
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Name):
                yield target.id


def absolute(node: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    """Spells out where a `from … import` imports from."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    kept = parts[: len(parts) - node.level + is_package]
    return ".".join([*kept, *([node.module] if node.module else [])])


def describe(module: Module, name: str) -> list[str]:
    """Describes one exported name."""
    if name in module.definitions:
        return [line for node in module.definitions[name] for line in describe_definition(node)]
    if name not in module.imports:
        return [f"{name}: not found in the source"]
    origin, original = module.imports[name]
    home = read(origin)
    if origin in DOCUMENTED or home is None:
        return [f"{name} = {origin}.{original}"]
    return describe(home, original)


def describe_definition(node: Definition) -> list[str]:
    """Describes a class, a function or a constant."""
    if isinstance(node, ast.ClassDef):
        return describe_class(node)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return describe_function(node)
    return [describe_value(node)]


def describe_class(node: ast.ClassDef) -> list[str]:
    """Describes a class: its decorators, bases, fields in their order, methods by name."""
    bases = ", ".join(ast.unparse(base) for base in [*node.bases, *node.keywords])
    fields: list[str] = []
    methods: list[tuple[str, list[str]]] = []
    for child in node.body:
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            if is_public(child.name):
                methods.append((child.name, describe_function(child)))
        elif isinstance(child, ast.AnnAssign | ast.Assign) and all(
            is_public(name) for name in bound_names(child)
        ):
            fields.append(describe_value(child))
    methods.sort(key=lambda method: method[0])
    inner = [*fields, *(line for _, lines in methods for line in lines)]
    return [
        *decorators(node),
        f"class {node.name}({bases})" if bases else f"class {node.name}",
        *(f"    {line}" for line in inner),
    ]


def is_public(name: str) -> bool:
    """Whether a member of a class belongs to the API."""
    magic = name.startswith("__") and name.endswith("__")
    return name not in SILENT if magic else not name.startswith("_")


def describe_function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Describes a function: its decorators and its signature."""
    word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return [*decorators(node), f"{word} {node.name}({ast.unparse(node.args)}){result}"]


def decorators(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Describes the decorators of a definition."""
    return [f"@{ast.unparse(decorator)}" for decorator in node.decorator_list]


def describe_value(node: ast.Assign | ast.AnnAssign) -> str:
    """Describes a constant or a field, leaving out a long value."""
    text = ast.unparse(node)
    if node.value is not None and len(text) > LONGEST_VALUE:
        text = text.removesuffix(ast.unparse(node.value)) + "..."
    return text


def snapshot() -> str:
    """Gives the text that public_api.txt has to hold."""
    lines = [
        "# The public API: names, signatures, fields and bases of the documented modules.",
        "# Written by: python tools/public_api.py --write",
    ]
    for name in DOCUMENTED:
        lines += ["", f"## {name}"]
        module = read(name)
        if module is None:
            lines += ["", "not found"]
            continue
        for export in module.exports:
            lines += ["", *describe(module, export)]
    return "\n".join(lines) + "\n"


def difference() -> str:
    """Gives the diff from the committed snapshot to the source; empty when they agree."""
    committed = SNAPSHOT.read_text(encoding="utf-8") if SNAPSHOT.exists() else ""
    return "".join(
        difflib.unified_diff(
            committed.splitlines(keepends=True),
            snapshot().splitlines(keepends=True),
            "public_api.txt",
            "the source",
        )
    )


def main() -> int:
    """Runs the script; returns the exit code."""
    parser = argparse.ArgumentParser(description="Compare the public API with its snapshot.")
    parser.add_argument("--write", action="store_true", help="write the snapshot anew")
    if parser.parse_args().write:
        SNAPSHOT.write_text(snapshot(), encoding="utf-8")
        return 0
    changes = difference()
    if changes:
        print(changes)
        print("The public API has changed. When that is meant, write the snapshot anew:")
        print("    python tools/public_api.py --write")
        return 1
    print("The public API is as public_api.txt says.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
