"""Write src/jobyard/sync.py, the blocking twin of the service; `--check` only compares.

Each public method of the asynchronous classes gets a twin with the same parameters and the same
words, which runs it in an event loop of its own and blocks. What differs stands in sync.txt.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from jobyard.handle import Job
from jobyard.queue import Queue
from jobyard.service import QueueService
from jobyard.service.fetching import ClaimedJob

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "src" / "jobyard" / "sync.py"
PARTS = Path(__file__).with_name("sync.txt")

OWN = {
    # Written by hand.
    QueueService: {"open", "close", "run", "worker", "transaction", "job", "queue", "job_for",
                   "ready", "stand_on", "abandon"},
    Job: {"packed_options", "portable_payload"},
    ClaimedJob: set(vars(Job)),
    Queue: set(),
}  # fmt: skip

IN_LOOP = {"on", "off"}
"""Plain methods that have to run in the event loop."""


def methods(kind: type) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, str]]:
    """Give the public methods of a class, its bases' too, and the modules they stand in."""
    seen = set(OWN[kind])
    for base in kind.__mro__:
        if not base.__module__.startswith("jobyard"):
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        for node in tree.body[0].body:  # type: ignore[attr-defined]
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if node.name.startswith("_") or node.name in seen:
                continue
            seen.add(node.name)
            yield node, base.__module__


def twin(kind: type, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Write the twin of a method."""
    doc = ast.get_docstring(node, clean=False) or ""
    returns = ast.unparse(node.returns) if node.returns is not None else "None"
    is_property = any(ast.unparse(each) == "property" for each in node.decorator_list)
    is_generator = "AsyncIterator[" in returns
    returns = returns.replace("AsyncIterator[", "Iterator[").replace("Self", node_self(kind))
    head = "    @property\n" if is_property else ""
    head += f"    def {node.name}({ast.unparse(node.args)}) -> {returns}:\n"
    head += f'        """{doc}"""\n'
    call = f"self._inner.{node.name}"
    if is_property:
        return f"{head}        return {call}\n"
    given = ", ".join(arguments(node.args))
    function = f"lambda: {call}({given})" if given else call
    call += f"({given})"
    if is_generator:
        return head + f"        yield from self._caller.iterate({function})\n"
    if isinstance(node, ast.FunctionDef):
        if node.name in IN_LOOP:
            body = f"self._caller.in_loop({function})"
            return head + result(returns, body)
        return head + (f"        {call}\n" if returns == "None" else f"        return {call}\n")
    within = ", within" if any(each.arg == "within" for each in node.args.kwonlyargs) else ""
    return head + result(returns, f"self._block({function}{within})")


def node_self(kind: type) -> str:
    """Name the class in its twin."""
    return kind.__name__


def result(returns: str, body: str) -> str:
    """Write how a call's result is given back, with its type."""
    if returns == "None":
        return f"        {body}\n"
    if returns == "Any":
        return f"        return {body}\n"
    return f"        found: {returns} = {body}\n        return found\n"


def arguments(args: ast.arguments) -> Iterator[str]:
    """Write the arguments that pass parameters on."""
    for each in (*args.posonlyargs, *args.args)[1:]:
        yield each.arg
    if args.vararg is not None:
        yield f"*{args.vararg.arg}"
    for each in args.kwonlyargs:
        yield f"{each.arg}={each.arg}"
    if args.kwarg is not None:
        yield f"**{args.kwarg.arg}"


def names_in(module: str) -> dict[str, str]:
    """Tell where a module has its names from: `name -> import statement`."""
    found: dict[str, str] = {}
    tree = ast.parse(Path(sys.modules[module].__file__ or "").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for each in node.names:
                found[each.asname or each.name] = f"from {node.module} import {each.name}" + (
                    f" as {each.asname}" if each.asname else ""
                )
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.ClassDef):
            targets = (
                [node.name]
                if isinstance(node, ast.ClassDef)
                else [t.id for t in getattr(node, "targets", [getattr(node, "target", None)])
                      if isinstance(t, ast.Name)]
            )  # fmt: skip
            for name in targets:
                found.setdefault(name, f"from {module} import {name}")
    return found


TEXT = dict(
    re.findall(
        r"^# == (\w+)\n(.*?)(?=^# == |\Z)", PARTS.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL
    )
)
"""What is written by hand: the heads of the classes, and the methods that differ."""

WORD = re.compile(r"\b[A-Za-z_]\w*")


def build() -> str:
    """Write the module."""
    imports: set[str] = set()
    parts: list[str] = []
    for kind, name in ((Job, "JOB"), (ClaimedJob, "CLAIMED"), (Queue, "QUEUE")):
        parts.append(TEXT[name] + body_of(kind, imports))
    parts.append(TEXT["DEFINITION"])
    parts.append(with_parameters(TEXT["SERVICE"], imports) + body_of(QueueService, imports))
    local = {"Job", "ClaimedJob", "Queue", "Definition", "QueueService", "Define", "Worker"}
    lines = [*TEXT["IMPORTS"].strip().splitlines(), *sorted(imports)]
    kept = list({
        name: line
        for line in reversed(lines)
        if (name := line.rsplit(" ", 1)[-1]) not in local or "blocking" in line
    }.values())  # fmt: skip
    names = '__all__ = ["ClaimedJob", "Define", "Definition", "Job", "Queue", "QueueService"]'
    text = "\n".join([TEXT["HEAD"].strip(), *kept, "", names, "", 'P = TypeVar("P")', *parts])
    return formatted(text)


def body_of(kind: type, imports: set[str]) -> str:
    """Write the twins of a class's methods, noting what they need imported."""
    texts: list[str] = []
    for node, module in methods(kind):
        known = names_in(module)
        written = twin(kind, node)
        signature = written.split('"""', 1)[0]
        imports.update(known[name] for name in WORD.findall(signature) if name in known)
        texts.append(written)
    return "\n" + "\n".join(texts)


def with_parameters(template: str, imports: set[str]) -> str:
    """Give the twin of the service the parameters of the service."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(QueueService)))
    init = next(
        node
        for node in tree.body[0].body  # type: ignore[attr-defined]
        if isinstance(node, ast.FunctionDef) and node.name == "__init__"
    )
    pairs = zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True)
    written = [
        f"{each.arg}: {ast.unparse(each.annotation)} = {ast.unparse(default)}"
        for each, default in pairs
        if each.annotation is not None and default is not None
    ]
    known = names_in(QueueService.__module__)
    imports.update(known[name] for line in written for name in WORD.findall(line) if name in known)
    given = [f"            {each.arg}={each.arg}," for each in init.args.kwonlyargs]
    return template.replace(
        "__INIT_PARAMETERS__", "\n".join(f"        {line}," for line in written)
    ).replace("__INIT_ARGUMENTS__", "\n".join(given))


def formatted(text: str) -> str:
    """Sort the imports, drop those not needed, and lay the text out."""
    for arguments_of_ruff in (
        ["check", "--select", "I,F401,RUF022", "--fix", "--quiet"],
        ["format", "--quiet"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments_of_ruff, f"--stdin-filename={TARGET}", "-"],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
        if not done.stdout:
            sys.exit(f"ruff {arguments_of_ruff[0]} could not read what was written:\n{done.stderr}")
        text = done.stdout
    return text


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(description="Write the blocking twin of the service.")
    parser.add_argument("--check", action="store_true", help="only compare")
    text = build()
    if not parser.parse_args().check:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.exists() and TARGET.read_text(encoding="utf-8") == text:
        return 0
    print("src/jobyard/sync.py is not what tools/sync.py writes: run it")
    return 1


if __name__ == "__main__":
    sys.exit(main())
