"""What each name of a program stands for: scopes, bindings and uses, off its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
Import = ast.Import | ast.ImportFrom


@dataclass(eq=False)
class Scope:
    """A module, class, function or comprehension.

    Attributes:
        parent: the scope around it.
        is_class: its names are not seen by functions in it.
        bound: names that something in it binds.
        outer: names that it declares global or nonlocal.
        imports: import statements that bind a name, in order.
    """

    parent: Scope | None = None
    is_class: bool = False
    bound: set[str] = field(default_factory=set)
    outer: set[str] = field(default_factory=set)
    imports: dict[str, list[Import]] = field(default_factory=dict)

    def owner(self, name: str) -> Scope:
        """The scope whose name is meant here; the outermost if none binds it."""
        scope: Scope = self
        while True:
            own = name in scope.bound and name not in scope.outer
            if own and (scope is self or not scope.is_class):
                return scope
            if scope.parent is None:
                return scope
            scope = scope.parent


@dataclass(frozen=True, eq=False)
class Use:
    """A name and the attributes that are asked of it: `a.b.c`.

    Attributes:
        scope: where.
        name: the first part.
        attributes: the others.
        nodes: the expressions `a`, `a.b`, `a.b.c`.
    """

    scope: Scope
    name: str
    attributes: tuple[str, ...]
    nodes: tuple[ast.expr, ...]

    @property
    def line(self) -> int:
        """Line of its beginning."""
        return self.nodes[0].lineno


class Program(ast.NodeVisitor):
    """Scopes, imports and uses of a module.

    Attributes:
        imports: import statements with their scopes, in order.
        uses: in order.
        strings: constants that are no docstrings.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.imports: list[tuple[Import, Scope]] = []
        self.uses: list[Use] = []
        self.strings: list[ast.Constant] = []
        self._scope = self.top = Scope()
        self.visit(tree)

    def visit_Import(self, node: ast.Import) -> None:
        """Notes a statement."""
        self._import(node, [alias.asname or alias.name.partition(".")[0] for alias in node.names])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Notes a statement."""
        self._import(node, [alias.asname or alias.name for alias in node.names])

    def _import(self, node: Import, names: list[str]) -> None:
        self.imports.append((node, self._scope))
        for name in names:
            self._bind(name)
            self._target(name).imports.setdefault(name, []).append(node)

    def _bind(self, name: str) -> None:
        self._target(name).bound.add(name)

    def _target(self, name: str) -> Scope:
        """The scope in which this one binds a name."""
        scope = self._scope
        while name in scope.outer and scope.parent is not None:
            scope = scope.parent
        return scope

    def _inside(self, scope: Scope, nodes: Iterator[ast.AST]) -> None:
        self._scope = scope
        for node in nodes:
            self.visit(node)
        assert scope.parent is not None
        self._scope = scope.parent

    def _function(self, node: Function) -> None:
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
        for outside in (*arguments.defaults, *arguments.kw_defaults):
            if outside is not None:
                self.visit(outside)
        for argument in every:
            if argument.annotation is not None:
                self.visit(argument.annotation)
        inner = Scope(self._scope, bound={argument.arg for argument in every})
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        self._inside(inner, iter(_without_docstring(body)))

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """A scope."""
        self._function(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """A name and a scope."""
        self._bind(node.name)
        for outside in (*node.decorator_list, node.returns):
            if outside is not None:
                self.visit(outside)
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        """A name and a scope."""
        self.visit_FunctionDef(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """A name and a scope."""
        self._bind(node.name)
        for outside in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(outside)
        self._inside(Scope(self._scope, is_class=True), iter(_without_docstring(node.body)))

    def visit_Module(self, node: ast.Module) -> None:
        """The outermost scope."""
        for child in _without_docstring(node.body):
            self.visit(child)

    def _comprehension(self, node: Comprehension) -> None:
        self._inside(Scope(self._scope), ast.iter_child_nodes(node))

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_Global(self, node: ast.Global | ast.Nonlocal) -> None:
        """Names of other scopes."""
        self._scope.outer.update(node.names)

    visit_Nonlocal = visit_Global

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        """A name for the error."""
        if node.name is not None:
            self._bind(node.name)
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        """A binding or a use."""
        if isinstance(node.ctx, ast.Load):
            self.uses.append(Use(self._scope, node.id, (), (node,)))
        else:
            self._bind(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """A use, if it begins with a name."""
        nodes: list[ast.expr] = [node]
        while isinstance(nodes[-1], ast.Attribute):
            nodes.append(nodes[-1].value)
        first = nodes[-1]
        if not isinstance(first, ast.Name):
            self.visit(first)
            return
        nodes.reverse()
        attributes = tuple(n.attr for n in nodes if isinstance(n, ast.Attribute))
        self.uses.append(Use(self._scope, first.id, attributes, tuple(nodes)))

    def visit_Constant(self, node: ast.Constant) -> None:
        """A string, perhaps."""
        if isinstance(node.value, str):
            self.strings.append(node)


def _without_docstring(body: list[ast.stmt] | list[ast.expr]) -> list[ast.AST]:
    """Statements but a string at their beginning."""
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        return [*body[1:]]
    return [*body]
