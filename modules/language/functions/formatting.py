"""``format`` and ``formatlist``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache

from hythe.modules.language import conversions, numbers, types
from hythe.modules.language.functions import text
from hythe.modules.language.functions.json import encode
from hythe.modules.language.functions.numberformat import NumberFormat, format_integer, format_real, format_shortest
from hythe.modules.language.functions.registry import FunctionError, Param, function
from hythe.value import (
    ANY,
    BOOL,
    NUMBER,
    STRING,
    List,
    Set,
    Type,
    Unknown,
    Value,
    is_known,
    is_null,
    list_of,
)

MAX_WIDTH = 1_000_000
"""Characters that one verb may ask for."""

_VERB = re.compile(
    r"%(?P<flags>[0#+\- ]*)(?P<width>[0-9]{0,10})(?:(?P<dot>\.)(?P<precision>[0-9]{0,10}))?"
    r"(?:\[(?P<argument>[0-9]{1,10})\])?(?P<mode>.)?",
    re.DOTALL,
)

_FORMAT = Param("format", STRING)
_ARGS = Param("args", ANY, allow_null=True, allow_unknown=True, dynamic=True)


@dataclass(frozen=True)
class _Verb:
    raw: str
    offset: int
    mode: str
    flags: str
    width: int
    precision: int | None
    argument: int

    @cached_property
    def style(self) -> NumberFormat:
        """What it says of numbers."""
        return NumberFormat(self.mode, self.flags, self.width, self.precision)

    @cached_property
    def specifier(self) -> str | None:
        """What says the same of whole numbers to Python's own ``format``, for what most templates have; None else."""
        if self.mode != "d" or self.precision is not None or self.flags not in ("", "0"):
            return None
        return f"{self.flags}{self.width}d" if self.width else "d"

    def refusal(self, reason: str) -> FunctionError:
        return FunctionError(f'unsupported value for "{self.raw}" at {self.offset}: {reason}', 0)


@function(
    "format",
    [_FORMAT],
    variadic=_ARGS,
    returns=STRING,
    description="Fills values into a text with verbs such as %s, %d, %q and %v.",
    examples=['format("Hello, %s!", "Ander") == "Hello, Ander!"', 'format("%03d", 7) == "007"'],
)
def format_(template: str, *args: Value) -> Value:
    if not (_ATOMS.issuperset(map(type, args)) or all(map(is_known, args))):
        return Unknown(STRING)
    return text.normalized(_fill(template, args))


@function(
    "formatlist",
    [_FORMAT],
    variadic=_ARGS,
    returns=list_of(STRING),
    description="format() for each element of the lists among the arguments.",
    examples=['formatlist("%s-%d", ["a", "b"], 1) == tolist(["a-1", "b-1"])'],
)
def formatlist(template: str, *args: Value) -> Value:
    unknown = Unknown(list_of(STRING))
    length, chooser = -1, -1
    undecided = False
    for index, arg in enumerate(args, start=1):
        count = _length(arg)
        undecided = undecided or _may_have_many(arg) or (count is None and isinstance(arg, Set))
        if count is None:
            continue
        if length < 0:
            length, chooser = count, index
        elif count != length:
            raise FunctionError(
                f"argument {index} has length {count}, which is inconsistent with "
                f"argument {chooser} of length {length}",
                index,
            )
    if undecided:
        return unknown
    results: list[Value] = []
    for position in range(1 if length < 0 else length):
        row = [arg if _length(arg) is None else _element(arg, position) for arg in args]
        if not all(map(is_known, row)):
            results.append(Unknown(STRING))
            continue
        try:
            results.append(text.normalized(_fill(template, row)))
        except FunctionError as exc:
            raise FunctionError(f"error on format iteration {position}: {exc.message}", 0) from None
    return List(results, STRING)


def _may_have_many(arg: Value) -> bool:
    return type(arg) is Unknown and arg.type.name in ("any", "list", "set", "tuple")


def _length(arg: Value) -> int | None:
    """How many elements an argument is gone through for; None when it is one value, or unknown."""
    if type(arg) is Unknown:
        return len(arg.type.elements) if arg.type.name == "tuple" else None
    if is_null(arg) or isinstance(arg, dict) or not isinstance(arg, (list, tuple)):
        return None
    if isinstance(arg, Set) and len(arg) > 1 and not is_known(arg):
        return None
    return len(arg)


def _element(arg: Value, index: int) -> Value:
    return Unknown(arg.type.elements[index]) if type(arg) is Unknown else arg[index]


_ATOMS = frozenset({str, int, bool, Decimal})
_SHORT = 200
"""Templates up to this size are remembered, as each is used for many instances."""


def _fill(template: str, args: tuple[Value, ...] | list[Value]) -> str:
    parts: list[str] = []
    size = highest = 0
    for piece in (_known_pieces if len(template) <= _SHORT else _pieces)(template):
        if type(piece) is str:
            parts.append(piece)
            continue
        if type(piece) is not _Verb:
            assert isinstance(piece, _Fault)
            raise FunctionError(piece.message, 0)
        if piece.argument > len(args):
            raise FunctionError(
                f'not enough arguments for "{piece.raw}" at {piece.offset}: '
                f"need index {piece.argument} but have {len(args)} total",
                0,
            )
        rendered = _render(piece, args[piece.argument - 1])
        parts.append(rendered)
        size += len(rendered)
        if size > text.MAX_STRING:
            text.check_length(size)
        if piece.argument > highest:
            highest = piece.argument
    if highest < len(args):
        used = "no verbs in format string" if not highest else f"only {highest} used by format string"
        raise FunctionError(f"too many arguments; {used}", highest + 1)
    return "".join(parts)


@dataclass(frozen=True)
class _Fault:
    """Where a template is no template; what stands before may fail first, when it is filled."""

    message: str


def _pieces(template: str) -> tuple[str | _Verb | _Fault, ...]:
    """The literal parts and the verbs of a template, up to what is no verb."""
    found: list[str | _Verb | _Fault] = []
    position = 0
    following = 1
    while (start := template.find("%", position)) >= 0:
        if start > position:
            found.append(template[position:start])
        if template.startswith("%%", start):
            found.append("%")
            position = start + 2
            continue
        try:
            verb = _parse_verb(template, start, following)
        except FunctionError as exc:
            return (*found, _Fault(exc.message))
        found.append(verb)
        following = verb.argument + 1
        position = start + len(verb.raw)
    return (*found, template[position:]) if position < len(template) else tuple(found)


_known_pieces = lru_cache(maxsize=1024)(_pieces)


def _parse_verb(template: str, start: int, following: int) -> _Verb:
    found = _VERB.match(template, start)
    offset = len(template[:start].encode())
    if found is None or found["mode"] is None:
        raise FunctionError(f"invalid format string starting at offset {offset}", 0)
    if found["mode"] not in "vtbdoxXeEfgGsq":
        raise FunctionError(f"unrecognized format character at offset {offset + len(found[0]) - 1}", 0)
    argument = int(found["argument"]) if found["argument"] else following
    if argument < 1:
        raise FunctionError(f"the argument numbers of format verbs begin at 1, at offset {offset}", 0)
    width, precision = int(found["width"] or "0"), int(found["precision"] or "0")
    if max(width, precision) > MAX_WIDTH:
        raise FunctionError(f"the verb at offset {offset} asks for more than {MAX_WIDTH:,} characters", 0)
    return _Verb(found[0], offset, found["mode"], found["flags"], width, precision if found["dot"] else None, argument)


def _render(verb: _Verb, arg: Value) -> str:
    if type(arg) is int and verb.specifier is not None:
        return format(arg, verb.specifier)
    if verb.mode == "v":
        return _render_as_is(verb, arg)
    if is_null(arg):
        raise verb.refusal("null value cannot be formatted")
    return _RENDERERS[verb.mode](verb, arg)


def _render_as_is(verb: _Verb, arg: Value) -> str:
    if "#" not in verb.flags:
        if isinstance(arg, str):
            return _padded(verb, arg)
        if isinstance(arg, (int, Decimal)) and not isinstance(arg, bool):
            return _padded(verb, format_shortest(arg))
    return _padded(verb, encode(arg))


def _converted(verb: _Verb, arg: Value, kind: Type) -> Value:
    try:
        return conversions.convert(arg, kind)
    except conversions.ConversionError:
        raise verb.refusal(f"{types.describe(kind)} required") from None


def _render_bool(verb: _Verb, arg: Value) -> str:
    return "true" if _converted(verb, arg, BOOL) else "false"


def _render_string(verb: _Verb, arg: Value) -> str:
    value: str = _converted(verb, arg, STRING)
    if verb.precision:
        value = "".join(text.graphemes(value)[: verb.precision])
    return _padded(verb, encode(value) if verb.mode == "q" else value)


def _render_number(verb: _Verb, arg: Value) -> str:
    number = _converted(verb, arg, NUMBER)
    if verb.mode not in "bdoxX":
        return format_real(number, verb.style)
    number = numbers.canonical(number)
    if not isinstance(number, int):
        raise verb.refusal("an integer is required")
    return format_integer(number, verb.style)


def _padded(verb: _Verb, value: str) -> str:
    missing = verb.width - text.length(value) if verb.width else 0
    if missing <= 0:
        return value
    padding = ("0" if "0" in verb.flags else " ") * missing
    return value + padding if "-" in verb.flags else padding + value


_RENDERERS: dict[str, Callable[[_Verb, Value], str]] = {
    "t": _render_bool,
    "s": _render_string,
    "q": _render_string,
    **dict.fromkeys("bdoxXeEfgG", _render_number),
}
