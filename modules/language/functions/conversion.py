"""Type conversion, and functions about marks and types."""

from __future__ import annotations

from collections.abc import Callable

from hythe.modules.language import conversions, types
from hythe.modules.language.functions.registry import FunctionError, Param, conversion_failure, function
from hythe.value import (
    ANY,
    BOOL,
    EPHEMERAL,
    NUMBER,
    SENSITIVE,
    STRING,
    List,
    Map,
    Null,
    Set,
    Type,
    Unknown,
    Value,
    is_null,
    list_of,
    map_of,
    mark,
    set_of,
    unmark,
    unmark_deep,
)

_ANYTHING = Param("v", ANY, allow_null=True, allow_unknown=True, allow_marked=True, dynamic=True)
_EXPRESSION = Param("expression", ANY, allow_null=True, allow_unknown=True, allow_marked=True, dynamic=True)


def _conversion(target: Type) -> Callable[..., Value]:
    wanted = types.describe(types.without_optional(target))

    def implementation(value: Value) -> Value:
        plain, marks = unmark(value)
        try:
            converted = conversions.convert(value, target)
            # what the elements will be is not said before they are known
            return mark(Unknown(target), marks) if type(plain) is Unknown else converted
        except conversions.ConversionError as exc:
            raise _refusal(plain, target, wanted, exc, secret=bool(marks)) from None

    return implementation


def _refusal(plain: Value, target: Type, wanted: str, exc: conversions.ConversionError, secret: bool) -> FunctionError:
    kind = types.type_of(plain)
    if isinstance(plain, str) and not secret:
        if target is BOOL:
            return FunctionError(
                'cannot convert {} to bool; only the strings "true" or "false" are allowed', 0, shown=(plain,)
            )
        if target is NUMBER:
            return FunctionError(
                "cannot convert {} to number; given string must be a decimal representation of a number",
                0,
                shown=(plain,),
            )
    if isinstance(plain, str) or not types.convertible(kind, target):
        hidden = "this sensitive string" if secret and isinstance(plain, str) else types.describe(kind)
        reason = "" if target.element is None else f": {exc.message}"
        return FunctionError(f"cannot convert {hidden} to {wanted}{reason}", 0)
    return FunctionError(f"cannot convert {types.describe(kind)} to {wanted}: {exc.message}", 0)


_CONVERSIONS = {
    "tostring": (STRING, "Converts the argument to a string.", ['tostring(5) == "5"']),
    "tonumber": (NUMBER, "Converts the argument to a number.", ['tonumber("5") == 5']),
    "tobool": (BOOL, "Converts the argument to a bool.", ['tobool("true") == true']),
    "tolist": (list_of(ANY), "Converts the argument to a list.", ['tolist(["a", 1])[1] == "1"']),
    "toset": (set_of(ANY), "Converts the argument to a set.", ["length(toset([1, 1])) == 1"]),
    "tomap": (map_of(ANY), "Converts the argument to a map.", ['tomap({ a = 1, b = "x" }).a == "1"']),
}

for _name, (_target, _description, _examples) in _CONVERSIONS.items():
    function(_name, [_ANYTHING], returns=ANY, description=_description, examples=_examples)(_conversion(_target))


@function(
    "convert",
    [
        Param("value", ANY, allow_null=True, allow_unknown=True, allow_marked=True, dynamic=True),
        Param("type"),
    ],
    special=True,
    description=(
        "Converts the value to a type, which is written as in the `type` of a variable: with `any` where the value "
        "says it, and with `optional()` attributes, whose defaults are constants."
    ),
    examples=[
        'convert("8080", number) == 8080',
        'convert([1, "a"], list(string))[0] == "1"',
        'convert({}, object({ name = optional(string, "web") })).name == "web"',
    ],
)
def convert(value: Value, target: Type) -> Value:
    try:
        return conversions.convert(value, target)
    except conversions.ConversionError as exc:
        raise conversion_failure(exc, 0) from None


@function(
    "sensitive",
    [_ANYTHING],
    description="Marks the value as sensitive: no output shows it.",
    examples=['issensitive(sensitive("hello"))'],
)
def sensitive(value: Value) -> Value:
    return mark(value, frozenset({SENSITIVE}))


@function(
    "nonsensitive",
    [_ANYTHING],
    description="Takes the sensitive mark off the value.",
    examples=['!issensitive(nonsensitive(sensitive("hello")))'],
)
def nonsensitive(value: Value) -> Value:
    plain, marks = unmark(value)
    return mark(plain, marks - {SENSITIVE})


@function(
    "issensitive",
    [_ANYTHING],
    returns=BOOL,
    description="Tells whether the value is marked as sensitive.",
    examples=["issensitive(sensitive(1)) == true"],
)
def issensitive(value: Value) -> Value:
    plain, marks = unmark(value)
    if SENSITIVE in marks:
        return True
    # the mark of an unknown value may still come with what it turns out to be
    return Unknown(BOOL) if type(plain) is Unknown else False


@function(
    "ephemeralasnull",
    [_ANYTHING],
    returns=lambda args: types.type_of(args[0]),
    description="Replaces every ephemeral part of the value by a null of its type.",
    examples=['ephemeralasnull("kept") == "kept"'],
)
def ephemeralasnull(value: Value) -> Value:
    plain, marks = unmark(value)
    if EPHEMERAL in marks:
        kind = types.type_of(plain)
        return mark(None if kind is ANY else Null(kind), marks - {EPHEMERAL})
    return mark(_without_ephemeral(plain), marks)


def _without_ephemeral(plain: Value) -> Value:
    if EPHEMERAL not in unmark_deep(plain)[1]:
        return plain
    if isinstance(plain, dict):
        items = {key: ephemeralasnull(item) for key, item in plain.items()}
        return Map(items, plain.element) if isinstance(plain, Map) else items
    if isinstance(plain, (List, Set)):
        return type(plain)([ephemeralasnull(item) for item in plain], plain.element)
    return tuple(ephemeralasnull(item) for item in plain)


def _is_absent(value: Value) -> bool:
    return is_null(unmark(value)[0])


@function(
    "type",
    [_ANYTHING],
    returns=STRING,
    description="The type of the value, as text; meant for the console.",
    examples=['type([1]) == "tuple([number])"'],
)
def type_name(value: Value) -> Value:
    if _is_absent(value) and types.type_of(value) is ANY:
        return "dynamic"
    return str(types.type_of(value))


@function(
    "try",
    [],
    variadic=_EXPRESSION,
    special=True,
    description="The value of the first expression that has no error.",
    examples=['try({}.a, "b") == "b"'],
)
def try_(*values: Value) -> Value:
    if not values:
        raise FunctionError("at least one argument is required")
    return values[0]


@function(
    "can",
    [_EXPRESSION],
    returns=BOOL,
    special=True,
    description="Tells whether the expression has no error.",
    examples=["can({}.a) == false"],
)
def can(value: Value) -> Value:
    return True
