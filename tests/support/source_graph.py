"""The package's source as a graph: which module imports which, which name uses which."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

Name = tuple[str, str]
"""(module, top-level name in it); ("vitascope.x", "") is what the module does on import."""

_HOME = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)")
_DOTTED = re.compile(r"vitascope((?:\.\w+)+)")
_CODE = re.compile(r"```.*?```|`[^`]+`", re.DOTALL)
_IMPORT = re.compile(r"from (vitascope[\w.]*) import \(?([^)\n]*(?:\n[^)\n]*)*?)\)?$", re.MULTILINE)


class SourceGraph:
    """Modules, imports and uses of a package, read as text; nothing is imported.

    Args:
        root: folder of the package.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.trees = {self.module_of(p): ast.parse(p.read_text("utf-8")) for p in _files(root)}

    def module_of(self, path: Path) -> str:
        """Dotted name of a file."""
        parts = (self.root.name, *path.relative_to(self.root).with_suffix("").parts)
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def module_in(self, dotted: str) -> str | None:
        """The longest beginning of a dotted name that is a module."""
        while dotted and dotted not in self.trees:
            dotted = dotted.rpartition(".")[0]
        return dotted or None

    @cached_property
    def imports(self) -> dict[str, set[str]]:
        """Module -> modules that it imports, anywhere in the file."""
        return {m: set(self._imported(tree)) for m, tree in self.trees.items()}

    def _imported(self, tree: ast.AST) -> Iterator[str]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                found = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for dotted in found:
                if dotted.split(".")[0] == self.root.name and (m := self.module_in(dotted)):
                    yield m

    def circles(self) -> list[list[str]]:
        """Groups of modules each of which imports all others, directly or not."""
        return [sorted(group) for group in _strong(self.imports) if len(group) > 1]

    @cached_property
    def public(self) -> dict[Name, ast.stmt]:
        """Public functions and classes at the top of each module."""
        return {
            (module, node.name): node
            for module, tree in self.trees.items()
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        }

    @cached_property
    def uses(self) -> dict[Name, set[Name]]:
        """Name -> names that its code speaks of, also as "module:name" in a table."""
        return {k: v for module in self.trees for k, v in self._uses_in(module).items()}

    def _uses_in(self, module: str) -> dict[Name, set[Name]]:
        tree = self.trees[module]
        known = dict(self._bindings(module))
        found: dict[Name, set[Name]] = {(module, ""): set()}
        for node in tree.body:
            names = _defined(node)
            # What the module does when it is imported, tables included, counts for all of it.
            for name in names or [""]:
                used = found.setdefault((module, name), set())
                used |= set(self._spoken_of(node, known, module))
                used.add((module, ""))
        return found

    def _bindings(self, module: str) -> Iterator[tuple[str, Name]]:
        for node in ast.walk(self.trees[module]):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    home = (full, "") if full in self.trees else (node.module, alias.name)
                    if self.module_in(full):
                        yield alias.asname or alias.name, home
        for node in self.trees[module].body:
            for name in _defined(node):
                yield name, (module, name)

    def _spoken_of(self, node: ast.AST, known: dict[str, Name], module: str) -> Iterator[Name]:
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and part.id in known:
                yield known[part.id]
            elif isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
                home = known.get(part.value.id)
                if home and home[1] == "":
                    yield home[0], part.attr
            elif isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield from self._in_text(part.value, module)
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            yield from self._lazy(node.value, module)

    def _in_text(self, text: str, module: str) -> Iterator[Name]:
        """Names in a text "module:name", the module whole or below the package or the folder."""
        for home, name in _HOME.findall(text):
            for base in ("", f"{self.root.name}.", f"{module}.", f"{module.rpartition('.')[0]}."):
                if base + home in self.trees:
                    yield base + home, name

    def _lazy(self, table: ast.Dict, module: str) -> Iterator[Name]:
        """Names of a table {"name": "module that holds it"}."""
        for key, value in zip(table.keys, table.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(value, ast.Constant):
                for base in ("", f"{module}."):
                    if f"{base}{value.value}" in self.trees:
                        yield f"{base}{value.value}", str(key.value)

    def named_in(self, text: str) -> Iterator[Name]:
        """Names of the package that a page mentions: dotted, or imported in a code block."""
        for tail in _DOTTED.findall(text):
            yield from self._split(f"{self.root.name}{tail}")
            # A page about a module calls its names by what they are called there.
            module = self.module_in(f"{self.root.name}{tail}")
            if module is not None:
                words = set(re.findall(r"\w+", "".join(_CODE.findall(text))))
                yield from ((m, n) for m, n in self.public if m == module and n in words)
        for module, names in _IMPORT.findall(text):
            for name in re.split(r"[,\s]+", names):
                yield from self._split(f"{module}.{name}")

    def programs(self) -> Iterator[Name]:
        """What the modules do that are run by themselves (`python -m`)."""
        for module, tree in self.trees.items():
            for node in tree.body:
                if isinstance(node, ast.If) and "__main__" in ast.dump(node.test):
                    yield module, ""

    def _split(self, dotted: str) -> Iterator[Name]:
        module = self.module_in(dotted)
        if module is not None:
            name = dotted[len(module) + 1 :].partition(".")[0]
            # A package may lend a name of a module below it.
            yield from ((m, n) for m, n in self._lent(module, name))

    def _lent(self, module: str, name: str) -> Iterator[Name]:
        yield module, name
        home = dict(self._bindings(module)).get(name)
        if home is not None and home != (module, name):
            yield from self._lent(*home)
        yield from (n for n in self.uses.get((module, "_LAZY"), ()) if n[1] == name)

    def reached(self, roots: Iterable[Name]) -> set[Name]:
        """Everything that the code of the roots comes to speak of."""
        seen: set[Name] = set()
        waiting = list(roots)
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting += self.uses.get(name, ())
                lent = self._lenders.get(name)
                waiting += [lent] if lent else []
        return seen

    @cached_property
    def _lenders(self) -> dict[Name, Name]:
        """Name that a package took from one of its modules -> where it is defined."""
        return {
            (module, name): home
            for module in self.trees
            for name, home in self._bindings(module)
            if home[1] and home != (module, name)
        }


def _files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.py"))


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    return [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]


def _strong(graph: dict[str, set[str]]) -> list[set[str]]:
    """Strongly connected groups: from each node of a group every other can be reached."""

    def reach(start: str, edges: dict[str, set[str]]) -> set[str]:
        seen, waiting = set(), [start]
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen.add(node)
                waiting += edges.get(node, ())
        return seen

    back: dict[str, set[str]] = {}
    for node, others in graph.items():
        for other in others:
            back.setdefault(other, set()).add(node)
    groups, left = [], set(graph)
    while left:
        node = min(left)
        group = reach(node, graph) & reach(node, back)
        groups.append(group)
        left -= group
    return groups
