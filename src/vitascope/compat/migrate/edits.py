"""The changes that turn the imports of a program for old packages into those of this one."""

from __future__ import annotations

import ast
import builtins
import re
import warnings
from dataclasses import dataclass, field
from typing import NamedTuple

from vitascope.compat.migrate.scopes import Import, Program, Scope, Use
from vitascope.compat.migrate.text import Edit, ProgramText, aliased, bound_import, from_import
from vitascope.compat.places import PACKAGES, Place, find, module_homes, names_of, star

_PATH = re.compile(r"\b(?:pytorchvideo|decord)(?:\.[A-Za-z_]\w*)+")
_HUB = "facebookresearch/pytorchvideo"
_FINDER = "vitascope.compat.pytorchvideo"


class Leftover(NamedTuple):
    """What has to be looked at by a person: a line and what is to be said about it."""

    line: int
    text: str


@dataclass(eq=False)
class _Binding:
    """A name of the program that stands for an old module.

    Attributes:
        local: the name.
        module: the old module.
        home: the module that the name stands for after the change; None if there is no one such.
        seen: the program uses the name.
        used: it goes on using it after the change.
    """

    local: str
    module: str
    home: str | None
    seen: bool = False
    used: bool = False

    @property
    def stays(self) -> bool:
        """The name is still wanted: for what was not changed, or for whoever imports it."""
        return self.used or not self.seen


@dataclass(eq=False)
class _Statement:
    """An import statement and what it becomes."""

    node: Import
    scope: Scope
    bindings: list[_Binding] = field(default_factory=list)
    extra: dict[str, None] = field(default_factory=dict)


class ImportEdits:
    """The changes of one program.

    Args:
        text: what is changed.
        parsed: the same with lines that are no Python in a notebook replaced by others.

    Attributes:
        edits: in the order of the text, none within another.
        left: what has to be looked at by a person.

    Raises:
        SyntaxError: it is no Python.
    """

    def __init__(self, text: str, parsed: str | None = None) -> None:
        self.edits: list[Edit] = []
        self.left: list[Leftover] = []
        self._source = ProgramText(text)
        tree = _parse(text if parsed is None else parsed, cells=parsed is not None)
        if not any(package in text for package in PACKAGES):
            return
        self._program = Program(tree)
        self._statements = [
            _Statement(node, scope) for node, scope in self._program.imports if _is_old(node)
        ]
        for statement in self._statements:
            self._bind(statement)
        for use in self._program.uses:
            self._follow(use)
        for statement in self._statements:
            self._rewrite(statement)
        self._report()
        self.edits.sort()
        self.left.sort()

    def apply(self) -> str:
        """The text after the changes."""
        text, parts, at = self._source.text, [], 0
        for edit in self.edits:
            assert edit.start >= at, "changes overlap"
            parts += [text[at : edit.start], edit.text]
            at = edit.end
        return "".join([*parts, text[at:]])

    # --- what names stand for ------------------------------------------------------------------

    def _bind(self, statement: _Statement) -> None:
        node = statement.node
        for alias in node.names:
            if isinstance(node, ast.Import):
                if alias.name.partition(".")[0] not in PACKAGES:
                    continue
                module = alias.name if alias.asname else alias.name.partition(".")[0]
                local = alias.asname or module
            else:
                assert node.module is not None
                if alias.name == "*" or find(node.module, alias.name) is not None:
                    continue
                module, local = f"{node.module}.{alias.name}", alias.asname or alias.name
            homes = module_homes(module)
            if homes is None:
                continue
            root = module == PACKAGES[0] and local == PACKAGES[0]
            home = None if root or not homes else homes[0]
            statement.bindings.append(_Binding(local, module, home))

    def _bindings(self, use: Use) -> list[tuple[_Statement, _Binding]]:
        """Those that a use can mean."""
        owner = use.scope.owner(use.name)
        nodes = owner.imports.get(use.name, ())
        return [
            (statement, binding)
            for statement in self._statements
            if statement.node in nodes
            for binding in statement.bindings
            if binding.local == use.name
        ]

    def _follow(self, use: Use) -> None:
        """Changes a use, and notes which modules it needs."""
        meant = self._bindings(use)
        if not meant:
            return
        binding = meant[0][1]
        for _, each in meant:
            each.seen = True
        place, count = _resolve(binding.module, use.attributes)
        if place is None:
            self._follow_module(use, count, meant)
            return
        module, name = place
        written = ".".join((*use.attributes[: count - 1], name))
        if use.attributes[count - 1] == name and f"{binding.home}.{written}" == f"{module}.{name}":
            for _, each in meant:
                each.used = True
            if count == 1 or _is_decord(module):
                return
        elif not self._replace(use, count, f"{module}.{name}", meant):
            return
        self._chosen(use, meant).extra[module] = None

    def _replace(
        self, use: Use, count: int, new: str, meant: list[tuple[_Statement, _Binding]]
    ) -> bool:
        """Writes another path in the place of a use, if nothing but the old path stands there."""
        old = ".".join((use.name, *use.attributes[:count]))
        start, end = self._source.span(use.nodes[0])[0], self._source.span(use.nodes[count])[1]
        if re.sub(r"[\s\\]+", "", self._source.text[start:end]) == old:
            self.edits.append(Edit(start, end, new))
            return True
        for _, each in meant:
            each.used = True
        self.left.append(Leftover(use.line, f"{old} is now {new}; it is written in several parts"))
        return False

    def _follow_module(
        self, use: Use, count: int, meant: list[tuple[_Statement, _Binding]]
    ) -> None:
        """A use of a module as it is, or of a name that there never was."""
        binding = meant[0][1]
        path = ".".join((binding.module, *use.attributes[:count]))
        homes = module_homes(path) or ()
        whole = count == len(use.attributes) and len(homes) == 1
        if whole and (binding.home is None or count):
            if self._replace(use, count, homes[0], meant):
                self._chosen(use, meant).extra[homes[0]] = None
            return
        for _, each in meant:
            each.used = True
        if whole:
            return
        if count < len(use.attributes):
            said = f"{path} has no {use.attributes[count]!r} here"
        else:
            said = f"{path} is used as a whole; its names are in {_listed(homes)}"
        self.left.append(Leftover(use.line, said))

    def _chosen(self, use: Use, meant: list[tuple[_Statement, _Binding]]) -> _Statement:
        """The statement whose module is nearest to what is used."""
        path = ".".join((use.name, *use.attributes))

        def near(statement: _Statement) -> int:
            names = [alias.name for alias in statement.node.names]
            return max((len(n) for n in names if f"{path}.".startswith(f"{n}.")), default=0)

        return max((statement for statement, _ in meant), key=near)

    # --- statements ----------------------------------------------------------------------------

    def _rewrite(self, statement: _Statement) -> None:
        node = statement.node
        new = (
            self._plain(statement, node)
            if isinstance(node, ast.Import)
            else self._from(statement, node)
        )
        if new is None:
            return
        start, end = self._source.span(node)
        self.edits.append(Edit(start, end, self._source.laid_out(node, start, end, new)))

    def _plain(self, statement: _Statement, node: ast.Import) -> list[str]:
        """`import a, b as c`."""
        found: dict[str, None] = {}
        others = [a for a in node.names if a.name.partition(".")[0] not in PACKAGES]
        if others:
            found["import " + ", ".join(aliased(a.name, a.asname) for a in others)] = None
        for alias in node.names:
            if alias in others:
                continue
            homes = module_homes(alias.name)
            local = alias.asname or alias.name.partition(".")[0]
            binding = next((b for b in statement.bindings if b.local == local), None)
            if homes is None or binding is None:
                self.left.append(Leftover(node.lineno, f"there is no module {alias.name} here"))
                found[f"import {aliased(alias.name, alias.asname)}"] = None
            elif binding.home is not None and binding.stays:
                found[bound_import(binding.home, local)] = None
            elif binding.used:
                found[f"import {aliased(alias.name, alias.asname)}"] = None
            elif not binding.seen:
                found.update(dict.fromkeys(f"import {home}" for home in homes or ("vitascope",)))
        found.update(dict.fromkeys(f"import {module}" for module in sorted(statement.extra)))
        return list(found)

    def _from(self, statement: _Statement, node: ast.ImportFrom) -> list[str] | None:
        """`from a import b as c`; None where the change is made word by word."""
        assert node.module is not None
        groups: dict[str, list[str]] = {}
        for alias in node.names:
            if alias.name == "*":
                self._star(node, statement, groups)
                continue
            local = alias.asname or alias.name
            place = find(node.module, alias.name)
            binding = next((b for b in statement.bindings if b.local == local), None)
            if binding is not None and binding.home is not None and binding.stays:
                place = Place(*binding.home.rsplit(".", 1))
            elif binding is not None and not binding.used:
                if not binding.seen:
                    homes = module_homes(binding.module) or ("vitascope",)
                    statement.extra.update(dict.fromkeys(homes))
                continue
            elif place is None:
                if binding is None:
                    self.left.append(
                        Leftover(node.lineno, f"{node.module} has no {alias.name!r} here")
                    )
                place = Place(node.module, alias.name)
            as_name = local if local != place.name or alias.asname == alias.name else None
            groups.setdefault(place.module, []).append(aliased(place.name, as_name))
        if len(groups) == 1 and not statement.extra and node.names[0].name != "*":
            self._in_place(node, *next(iter(groups.items())))
            return None
        indent = node.col_offset
        new = [from_import(module, names, indent) for module, names in groups.items()]
        return [
            *self._source.comments(node),
            *new,
            *(f"import {m}" for m in sorted(statement.extra)),
        ]

    def _star(
        self, node: ast.ImportFrom, statement: _Statement, groups: dict[str, list[str]]
    ) -> None:
        """Everything of a module: its home, or what of it the program uses."""
        assert node.module is not None
        names = names_of(node.module)
        asked = {use.name for use in self._program.uses if use.name not in statement.scope.bound}
        homes = module_homes(node.module)
        if homes is None:
            self.left.append(Leftover(node.lineno, f"there is no module {node.module} here"))
            groups[node.module] = ["*"]
            return
        wanted = sorted(
            name
            for name in asked
            if not name.startswith("_")
            and not hasattr(builtins, name)
            and (name in names or find(node.module, name) is not None)
        )
        if not names and not wanted:
            statement.extra["vitascope"] = None
            return
        places = {name: find(node.module, name) for name in (wanted or names)}
        if homes and all(
            place == Place(homes[0], name) and name in star(homes[0])
            for name, place in places.items()
        ):
            groups.setdefault(homes[0], []).append("*")
        elif wanted:
            for name in wanted:
                place = places[name]
                assert place is not None
                groups.setdefault(place.module, []).append(
                    aliased(place.name, None if place.name == name else name)
                )
        else:
            groups.update({home: ["*"] for home in homes})
            self.left.append(
                Leftover(node.lineno, f"import * from {node.module}: nothing here uses it")
            )

    def _in_place(self, node: ast.ImportFrom, module: str, names: list[str]) -> None:
        """Changes the module and the names of a statement, and nothing between them."""
        start, _ = self._source.span(node)
        first, _ = self._source.span(node.names[0])
        match = re.match(r"from(?:\s|\\\r?\n)+([\w.]+)", self._source.text[start:first])
        if match is None:  # a path with spaces in it
            _, end = self._source.span(node)
            line = from_import(module, names, node.col_offset)
            self.edits.append(Edit(start, end, self._source.laid_out(node, start, end, [line])))
            return
        if match[1] != module:
            self.edits.append(Edit(start + match.start(1), start + match.end(1), module))
        for alias, new in zip(node.names, names, strict=True):
            begin, end = self._source.span(alias)
            if re.sub(r"\s+", " ", self._source.text[begin:end]) != new:
                self.edits.append(Edit(begin, end, new))

    # --- the rest ------------------------------------------------------------------------------

    def _report(self) -> None:
        """Notes strings that name old paths, and the finder where it is no longer needed."""
        for string in self._program.strings:
            assert isinstance(string.value, str)
            if _HUB in string.value:
                self.left.append(Leftover(
                    string.lineno,
                    f"{string.value!r}: vitascope.create_model(NAME, pretrained=True) builds "
                    "the same models without torch.hub",
                ))  # fmt: skip
            for match in _PATH.finditer(string.value):
                self._report_path(string.lineno, match[0])
        if not self._statements:
            return
        for node, _ in self._program.imports:
            named = [a.name for a in node.names if isinstance(node, ast.Import)]
            if _FINDER in named:
                self.left.append(Leftover(node.lineno, f"import {_FINDER} is no longer needed"))

    def _report_path(self, line: int, path: str) -> None:
        package, *attributes = path.split(".")
        place, count = _resolve(package, tuple(attributes))
        if place is not None:
            new = ".".join((*place, *attributes[count:]))
            self.left.append(Leftover(line, f"a string has {path!r}, now {new!r}"))
        elif count == len(attributes):
            homes = module_homes(path) or ()
            self.left.append(Leftover(line, f"a string has {path!r}, now {_listed(homes)}"))


def _parse(code: str, cells: bool) -> ast.Module:
    """The syntax tree; cells of notebooks may await anywhere.

    Raises:
        SyntaxError: it is no Python.
    """
    flags = ast.PyCF_ONLY_AST | (ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if cells else 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what the program says, which is not our business
        try:
            tree = compile(code, "<program>", "exec", flags, dont_inherit=True)
        except (ValueError, RecursionError, MemoryError) as error:
            raise SyntaxError(str(error) or "it is nested too deeply") from error
    assert isinstance(tree, ast.Module)
    return tree


def _is_old(node: Import) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name.partition(".")[0] in PACKAGES for alias in node.names)
    return not node.level and (node.module or "").partition(".")[0] in PACKAGES


def _is_decord(module: str) -> bool:
    """Whether a module is there as soon as its package is."""
    return module.startswith("vitascope.compat.decord")


def _resolve(module: str, attributes: tuple[str, ...]) -> tuple[Place | None, int]:
    """The first name that is no module, and how many attributes lead to it.

    Without one, how many of them are modules.
    """
    for count, attribute in enumerate(attributes):
        place = find(module, attribute)
        if place is not None:
            return place, count + 1
        if module_homes(f"{module}.{attribute}") is None:
            return None, count
        module = f"{module}.{attribute}"
    return None, len(attributes)


def _listed(homes: tuple[str, ...]) -> str:
    return ", ".join(homes) or "several modules"
