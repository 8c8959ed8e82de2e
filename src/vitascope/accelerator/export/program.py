"""What an exported program consists of, as rules for the JSON in which PyTorch writes it.

A rule returns what a value was understood as, and nothing else of it is copied. The entries are
those of `torch._export.serde.schema`.
"""

from __future__ import annotations

import json
import keyword
import math
import re
from collections.abc import Callable
from typing import Any

from vitascope.accelerator.export.operators import is_harmless

Rule = Callable[[Any, str], Any]
"""Returns what a JSON value was understood as; the second argument is its place."""


class RefusedError(Exception):
    """The file holds what an exported model does not consist of."""


# Rules for single values.


def _wrong(where: str, value: Any, expected: str) -> RefusedError:
    return RefusedError(f"{where} is {value!r:.100}, where {expected} is expected")


def _whole(value: Any, where: str) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise _wrong(where, value, "a whole number")
    return value


def _number(value: Any, where: str) -> float | str:
    if value in ("Infinity", "-Infinity", "NaN"):
        return str(value)
    if type(value) not in (int, float) or not abs(value) < 1e300:
        raise _wrong(where, value, "a number")
    return float(value)


def _truth(value: Any, where: str) -> bool:
    if type(value) is not bool:
        raise _wrong(where, value, "true or false")
    return value


def _text(pattern: str, expected: str) -> Rule:
    compiled = re.compile(pattern, re.ASCII)

    def rule(value: Any, where: str) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise _wrong(where, value, expected)
        return value

    return rule


# Words that mean something else in the source into which PyTorch pastes names.
_TAKEN = {
    "self",
    "torch",
    "device",
    "inf",
    "nan",
    "math",
    "operator",
    "pytree",
    "fx_pytree",
    "args",
}
_identifier = _text(r"(?!__)[A-Za-z_]\w{0,299}", "an identifier")


def _name(value: Any, where: str) -> str:
    if isinstance(value, str) and (keyword.iskeyword(value) or value in _TAKEN):
        raise _wrong(where, value, "the name of a value")
    return str(_identifier(value, where))


def _operator(value: Any, where: str) -> str:
    if not isinstance(value, str) or not is_harmless(value):
        raise RefusedError(f"{where} calls {value!r:.100}, which is not on the list of operators")
    return value


_LETTER = r"[su]\d{1,5}"
_SUM = re.compile(
    rf"(?:Symbol\('{_LETTER}'(?:, (?:positive|integer|nonnegative|nonzero)=(?:True|False))*\)"
    rf"|Integer\(-?\d{{1,15}}\)|-?\d{{1,15}}|(?:Add|Mul|FloorDiv|Mod|Max|Min)\(|{_LETTER}"
    r"|[()]|, | |\+|-|\*(?!\*))+",
    re.ASCII,
)


def _size_text(value: Any, where: str) -> str:
    if not isinstance(value, str) or len(value) > 500 or not _SUM.fullmatch(value):
        raise _wrong(where, value, "a sum or product of sizes")
    return value


# Rules for what consists of others.


def _record(**fields: Rule) -> Rule:
    """An object with these entries; others are not copied."""

    def rule(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong(where, value, "an object")
        return {name: known(value.get(name), f"{where}.{name}") for name, known in fields.items()}

    return rule


def _one_of(**kinds: Rule) -> Rule:
    """An object with one entry, which says of what kind it is."""

    def rule(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict) or len(value) != 1 or not kinds.keys() >= value.keys():
            raise _wrong(where, value, f"one of {', '.join(kinds)}")
        ((kind, content),) = value.items()
        return {kind: kinds[kind](content, f"{where}.{kind}")}

    return rule


def _each(known: Rule) -> Rule:
    def rule(value: Any, where: str) -> list[Any]:
        if not isinstance(value, list):
            raise _wrong(where, value, "a list")
        return [known(item, f"{where}[{i}]") for i, item in enumerate(value)]

    return rule


def _table(key: Rule, known: Rule) -> Rule:
    def rule(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong(where, value, "an object")
        return {key(name, where): known(item, f"{where}.{name}") for name, item in value.items()}

    return rule


def _maybe(known: Rule) -> Rule:
    return lambda value, where: None if value is None else known(value, where)


def _nothing(value: Any, where: str) -> Any:
    if value:
        raise _wrong(where, value, "nothing")
    return {}


def _fixed(made: Any) -> Rule:
    """A value that is not copied: this one stands in its place."""
    return lambda value, where: made


def _tree(value: Any, where: str) -> str:
    """How arguments nest, which is JSON as text inside of JSON: tuples, lists and tables."""
    if not isinstance(value, str) or len(value) > 100_000:
        raise _wrong(where, value, "a tree of arguments")
    try:
        version, content = json.loads(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise _wrong(where, value, "a tree of arguments") from error
    return json.dumps([_whole(version, where), _branch(content, where, 8)])


_LEAF: dict[str, Any] = {"type": None, "context": None, "children_spec": []}
_kind = _text(r"builtins\.(tuple|list|dict)", "a tuple, list or table")


def _branch(value: Any, where: str, depth: int) -> dict[str, Any]:
    if value == _LEAF:
        return dict(_LEAF)
    if not isinstance(value, dict) or depth == 0:
        raise _wrong(where, value, "a tree of arguments")
    kind, context, children = (value.get(n) for n in ("type", "context", "children_spec"))
    names = None if context == "null" else _each(_name)(_json_text(context, where), where)
    return {
        "type": _kind(kind, where),
        "context": json.dumps(names),
        "children_spec": _each(lambda v, w: _branch(v, w, depth - 1))(children, where),
    }


def _json_text(value: Any, where: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise _wrong(where, value, "names as JSON") from error


# Setup of a program.

_path = _text(r"(?!__)\w{1,200}(\.(?!__)\w{1,200}){0,40}", "a path of identifiers")
_word = _text(r"[\w ,.;:>()-]{0,200}", "a word")
_device = _record(type=_text("cpu", "cpu"), index=_maybe(_whole))
_tensor = _record(name=_name)
_hint = _maybe(_one_of(as_int=_whole, as_bool=_truth, as_float=_number))
_expression = _record(expr_str=_size_text, hint=_hint)
_size = _one_of(as_expr=_expression, as_int=_whole)
_size_argument = _one_of(as_name=_name, as_int=_whole)
_optional_tensor = _one_of(as_tensor=_tensor, as_none=_truth)
_argument = _one_of(
    as_none=_truth, as_tensor=_tensor, as_tensors=_each(_tensor), as_int=_whole,
    as_ints=_each(_whole), as_float=_number, as_floats=_each(_number), as_string=_word,
    as_sym_int=_size_argument, as_sym_ints=_each(_size_argument), as_scalar_type=_whole,
    as_memory_format=_whole, as_layout=_whole, as_device=_device, as_bool=_truth,
    as_bools=_each(_truth), as_optional_tensors=_each(_optional_tensor),
)  # fmt: skip
_LARGEST = 2**31  # numbers of a tensor, at the size of batch that was exported
_tensor_fields = _record(
    dtype=_whole, sizes=_each(_size), requires_grad=_truth, device=_device, strides=_each(_size),
    storage_offset=_size, layout=_whole,
)  # fmt: skip


def _tensor_facts(value: Any, where: str) -> Any:
    facts = _tensor_fields(value, where)
    if math.prod(size.get("as_int", 1) for size in facts["sizes"]) > _LARGEST:
        raise RefusedError(f"{where} has more than {_LARGEST} numbers")
    return facts


_node = _record(
    target=_operator,
    inputs=_each(_record(name=_identifier, arg=_argument, kind=_maybe(_whole))),
    outputs=_each(_argument), metadata=_fixed({}), is_hop_single_tensor_return=_maybe(_truth),
    name=_maybe(_name),
)  # fmt: skip
_graph = _record(
    inputs=_each(_one_of(as_tensor=_tensor)), outputs=_each(_argument), nodes=_each(_node),
    tensor_values=_table(_name, _tensor_facts), sym_int_values=_table(_name, _size),
    sym_bool_values=_nothing, sym_float_values=_nothing, custom_obj_values=_nothing,
    is_single_tensor_return=_truth,
)  # fmt: skip
_input = _one_of(
    user_input=_record(arg=_one_of(as_tensor=_tensor)),
    parameter=_record(arg=_tensor, parameter_name=_path),
    buffer=_record(arg=_tensor, buffer_name=_path, persistent=_truth),
    tensor_constant=_record(arg=_tensor, tensor_constant_name=_path),
)
_call = _record(
    inputs=_each(_argument), outputs=_each(_argument), in_spec=_tree, out_spec=_tree,
    forward_arg_names=_maybe(_each(_name)),
)  # fmt: skip


def _calls(value: Any, where: str) -> list[Any]:
    """Of the modules' calls that of the model itself, the first."""
    entry = value[0] if isinstance(value, list) and value else None
    return [_record(fqn=_text("", "the model itself"), signature=_call)(entry, where)]


_symbol = _text(_LETTER, "a size")
EXPORTED = _record(
    graph_module=_record(
        graph=_graph,
        signature=_record(
            input_specs=_each(_input),
            output_specs=_each(_one_of(user_output=_record(arg=_one_of(as_tensor=_tensor)))),
        ),
        module_call_graph=_calls, metadata=_fixed({}), treespec_namedtuple_fields=_fixed({}),
    ),
    opset_version=_table(_identifier, _whole),
    range_constraints=_table(
        _symbol, _record(min_val=_maybe(_whole), max_val=_maybe(_whole))
    ),
    schema_version=_record(major=_whole, minor=_whole),
    verifiers=_each(_text("[A-Z_]{1,30}", "a dialect")),
    torch_version=_text(r"[\w.+<= -]{1,50}", "a version"),
    guards_code=_fixed([]),
)  # fmt: skip

BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 12: 1, 13: 2}
"""Bytes of a number, by PyTorch's number of its type."""
_fixed_size = _one_of(as_int=_whole)
_stored = _record(
    dtype=_whole, sizes=_each(_fixed_size), requires_grad=_truth, device=_device,
    strides=_each(_fixed_size), storage_offset=_fixed_size, layout=_whole,
)  # fmt: skip
PAYLOAD = _record(
    config=_table(
        _path,
        _record(
            path_name=_text(r"(weight|tensor)_\d+", "a stored tensor"),
            is_param=_truth,
            use_pickle=_truth,
            tensor_meta=_stored,
        ),
    )
)
"""The table of stored tensors."""
