"""What every function has in common: declaration, lookup and the rules of a call."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol, TypeAlias, TypeVar

from hythe.modules.language import conversions
from hythe.modules.language.functions.families import FAMILIES
from hythe.modules.language.quote import quoted
from hythe.value import (
    ANY,
    BOOL,
    EPHEMERAL,
    NUMBER,
    SENSITIVE,
    STRING,
    List,
    Map,
    Marked,
    Set,
    Type,
    Unknown,
    Value,
    is_marked,
    is_null,
    mark,
    unmark,
    unmark_deep,
)

_SECRET = frozenset({SENSITIVE, EPHEMERAL})
TOO_DEEP = "the arguments are nested too deeply"
"""Why a function failed that ran out of stack."""


class FunctionError(Exception):
    """A call has no result.

    ``message`` is a sentence without full stop. ``argument_index`` tells which argument is to
    blame, None when it is none in particular. Values of arguments never stand in ``message``
    itself: they are ``shown`` in place of its ``{}``, strings in quotes, unless an argument of the call is secret.
    """

    def __init__(self, message: str, argument_index: int | None = None, shown: Sequence[str | int] = ()) -> None:
        super().__init__(message)
        self.argument_index = argument_index
        self._template = message
        self._shown = tuple(shown)

    @property
    def message(self) -> str:
        """The message with the values filled in."""
        return self._template.format(*map(_spelled, self._shown)) if self._shown else self._template

    def __str__(self) -> str:
        return self.message

    def redacted(self) -> FunctionError:
        """The same error with every value replaced by a note."""
        if not self._shown:
            return self
        notes = ["(sensitive value)"] * len(self._shown)
        return FunctionError(self._template.format(*notes), self.argument_index)


def _spelled(value: str | int) -> str:
    return quoted(value) if isinstance(value, str) else str(value)


class Reader(Protocol):
    """Where functions get file contents from. Paths are absolute or relative to the process's folder."""

    def read(self, path: str) -> bytes:
        """The content of a file. Raises OSError."""

    def exists(self, path: str) -> bool:
        """Whether there is a regular file. Raises OSError where that cannot be told."""

    def glob(self, base: str, pattern: str) -> list[str]:
        """Files under the folder ``base``, relative to it, with slashes: those that ``pattern``
        (see :mod:`hythe.modules.language.functions.globbing`) matches, or more. Raises OSError."""


class RandomSource(Protocol):
    """Where functions get randomness from."""

    def bytes(self, count: int) -> bytes:
        """``count`` random bytes."""


class _NoFiles:
    def read(self, path: str) -> bytes:
        raise FileNotFoundError(path)

    def exists(self, path: str) -> bool:
        return False

    def glob(self, base: str, pattern: str) -> list[str]:
        return []


class _SystemRandom:
    def bytes(self, count: int) -> bytes:
        import secrets

        return secrets.token_bytes(count)


def _no_templates(source_text: str, filename: str, variables: Map | dict[str, Value]) -> Value:
    raise FunctionError("templates cannot be evaluated here")


@dataclass(frozen=True)
class Environment:
    """What functions may know of the world.

    ``base_dir`` is the folder that relative paths start from, ``home`` the user's home folder
    (for ``~``), ``now`` the time of planning. With ``unknown_impure`` the functions that give
    another result each time give an unknown value. ``evaluate_template(source_text, filename,
    vars)`` evaluates a template with no other names than those in ``vars``; it raises
    FunctionError when that fails.
    """

    reader: Reader = field(default_factory=_NoFiles)
    base_dir: str = "."
    now: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    random: RandomSource = field(default_factory=_SystemRandom)
    unknown_impure: bool = False
    evaluate_template: Callable[[str, str, dict[str, Value]], Value] = _no_templates
    home: str = ""
    template_depth: int = 0

    def within_template(self) -> Environment:
        """The environment for the functions that a template calls."""
        return replace(self, template_depth=self.template_depth + 1)


_EXACT: Mapping[type, Type] = {str: STRING, int: NUMBER, Decimal: NUMBER, bool: BOOL}
_PLAIN_COLLECTIONS = frozenset({dict, tuple, List, Set, Map})
Classes: TypeAlias = frozenset[type]


@dataclass(frozen=True)
class Param:
    """A parameter. ``type`` is what arguments are converted to; ANY takes them as they are.

    ``allow_null``: null is no error. ``allow_unknown``: the implementation gets unknown arguments,
    instead of the result being unknown. ``allow_marked``: it gets marks, instead of their being
    taken off at any depth and put on the result. ``dynamic``: it gets arguments whose type is not
    known, instead of the result being of unknown type.
    """

    name: str
    type: Type = ANY
    allow_null: bool = False
    allow_unknown: bool = False
    allow_marked: bool = False
    dynamic: bool = False
    description: str = ""
    ready: Classes = field(init=False, repr=False, compare=False)
    """The classes of arguments that are taken as they are: their values are of the parameter's type, known and not
    null, and have no mark that it does not want."""
    items: Classes = field(init=False, repr=False, compare=False)
    """The classes of a tuple's elements with which it makes the list that is wanted just so."""

    def __post_init__(self) -> None:
        """Find out what is ``ready``."""
        ready = frozenset(kind for kind, exact in _EXACT.items() if self.type in (exact, ANY))
        if self.type is ANY and self.allow_marked:
            ready |= _PLAIN_COLLECTIONS
        object.__setattr__(self, "ready", ready)
        wanted = self.type.element if self.type.name == "list" else None
        items = frozenset(kind for kind, exact in _EXACT.items() if exact is wanted)
        object.__setattr__(self, "items", items)


Returns = Type | Callable[[Sequence[Value]], Type]


@dataclass(frozen=True)
class Function:
    """A function of the language. ``special`` ones are evaluated by the compiler, not called.

    ``keywords`` are what the implementation asks for beside the arguments. One that is ``checking`` refuses by itself
    what ``returns`` refuses.
    """

    name: str
    params: tuple[Param, ...]
    variadic: Param | None
    returns: Returns
    implementation: Callable[..., Value]
    description: str
    examples: tuple[str, ...]
    special: bool = False
    checking: bool = False
    keywords: frozenset[str] = frozenset()
    accepting: dict[int, tuple[Param, ...]] = field(default_factory=dict, repr=False, compare=False)
    """The parameters that so many arguments go to, as far as they were asked for."""
    simple: bool = field(init=False, repr=False, compare=False)
    """Whether there is nothing to a call but the arguments: no keywords, and no type to be found first."""

    def __post_init__(self) -> None:
        """Find out whether it is ``simple``."""
        object.__setattr__(self, "simple", not self.keywords and (self.checking or not callable(self.returns)))

    def params_for(self, count: int) -> tuple[Param, ...]:
        """The parameter of each of ``count`` arguments. Raises FunctionError when that is no number of them."""
        found = self.accepting.get(count)
        if found is None:
            _check_count(self, count)
            found = self.accepting[count] = tuple(self.param(index) for index in range(count))
        return found

    def takes(self, count: int) -> bool:
        """Whether that may be the number of arguments."""
        return count == len(self.params) or (self.variadic is not None and count > len(self.params))

    def param(self, index: int) -> Param:
        """The parameter that takes the argument at ``index``."""
        if index < len(self.params):
            return self.params[index]
        assert self.variadic is not None
        return self.variadic

    def signature(self) -> str:
        """The call as documentation shows it: ``name(a, b...)``."""
        names = [param.name for param in self.params]
        if self.variadic is not None:
            names.append(self.variadic.name + "...")
        return f"{self.name}({', '.join(names)})"


_functions: dict[str, Function] = {}

Implementation = TypeVar("Implementation", bound=Callable[..., Value])


def function(
    name: str,
    params: Sequence[Param] = (),
    *,
    variadic: Param | None = None,
    returns: Returns = ANY,
    description: str = "",
    examples: Iterable[str] = (),
    special: bool = False,
    checking: bool = False,
) -> Callable[[Implementation], Implementation]:
    """Declare a function of the language, implemented by what is decorated.

    The implementation gets the arguments in order, and by keyword what it asks for: ``env`` (the
    Environment) and ``returns`` (the result type of this very call). ``returns`` is a type, or is
    called with the arguments, some of which may be unknown, to find it. With ``checking`` the implementation refuses
    itself what ``returns`` refuses, so that this need not be called when all is known.
    """

    def declare(implementation: Implementation) -> Implementation:
        keywords = {
            key
            for key, param in inspect.signature(implementation).parameters.items()
            if param.kind is inspect.Parameter.KEYWORD_ONLY
        }
        _functions[name] = Function(
            name,
            tuple(params),
            variadic,
            returns,
            implementation,
            description,
            tuple(examples),
            special,
            checking,
            frozenset(keywords),
        )
        return implementation

    return declare


def names() -> list[str]:
    """The names of all functions, sorted."""
    return sorted(FAMILIES)


def lookup(name: str) -> Function | None:
    """The function of that name; the prefix ``core::`` is allowed. None when there is none."""
    name = name.removeprefix("core::")
    found = _functions.get(name)
    if found is None and name in FAMILIES:
        importlib.import_module(f"hythe.modules.language.functions.{FAMILIES[name]}")
        found = _functions[name]
    return found


def call(name: str, args: Sequence[Value], env: Environment) -> Value:
    """The result of a call.

    Arguments are converted to their parameters' types. Raises FunctionError.
    """
    found = lookup(name)
    if found is None:
        raise FunctionError(f'there is no function named "{name}"')
    return call_function(found, args, env)


def call_function(found: Function, args: Sequence[Value], env: Environment, *, ready: bool = False) -> Value:
    """As :func:`call`, of a function that was looked up already.

    ``ready``: there are as many arguments as there may be, each of a class in its :attr:`Param.ready`.
    """
    try:
        return _result(found, args, env) if ready else _call(found, args, env)
    except FunctionError as exc:
        raise without_secrets(exc, args) from None
    except RecursionError:
        raise FunctionError(TOO_DEEP) from None


def without_secrets(failure: FunctionError, args: Iterable[Value]) -> FunctionError:
    """A call's failure without the values of its arguments, where one of them is secret."""
    secret = any(not unmark_deep(arg)[1].isdisjoint(_SECRET) for arg in args)
    return failure.redacted() if secret else failure


def _call(found: Function, args: Sequence[Value], env: Environment) -> Value:
    """The rules of a call: conversion, nulls, unknown arguments, and marks."""
    converted = list(args)
    marks: frozenset[str] = frozenset()
    undetermined = unknown = False
    for index, param in enumerate(found.params_for(len(args))):
        arg = args[index]
        kind = type(arg)
        if kind in param.ready or (param.type is ANY and kind in _PLAIN_COLLECTIONS and not is_marked(arg)):
            continue
        if kind is tuple and param.items and param.items.issuperset(map(type, arg)):
            converted[index] = List(arg, param.type.element or ANY)
            continue
        value, more = _accept(arg, param, index)
        marks |= more
        converted[index] = value
        plain = value.value if type(value) is Marked else value
        if type(plain) is Unknown:
            unknown = unknown or not param.allow_unknown
        undetermined = undetermined or (not param.dynamic and _is_untyped(plain))
    if undetermined:
        return mark(Unknown(ANY), marks.union(*(unmark_deep(value)[1] for value in converted)))
    if unknown:
        result_type = found.returns(converted) if callable(found.returns) else found.returns
        return mark(Unknown(result_type), marks.union(*(unmark_deep(value)[1] for value in converted)))
    result = _result(found, converted, env)
    return mark(result, marks) if marks else result


def _result(found: Function, args: Sequence[Value], env: Environment) -> Value:
    if found.simple:
        return found.implementation(*args)
    # asked for in any case: it also tells what is wrong with the arguments
    result_type = found.returns(args) if callable(found.returns) else found.returns
    if not found.keywords:
        return found.implementation(*args)
    keywords: dict[str, Any] = {}
    if "env" in found.keywords:
        keywords["env"] = env
    if "returns" in found.keywords:
        keywords["returns"] = result_type
    return found.implementation(*args, **keywords)


def _is_untyped(value: Value) -> bool:
    return value is None or (is_null(value) and value.type is ANY) or (type(value) is Unknown and value.type is ANY)


def _accept(arg: Value, param: Param, index: int) -> tuple[Value, frozenset[str]]:
    """The argument as the parameter wants it, and the marks that were taken off."""
    try:
        value = conversions.convert(arg, param.type)
    except conversions.ConversionError as exc:
        raise conversion_failure(exc, index) from None
    marks: frozenset[str] = frozenset()
    if not param.allow_marked and is_marked(value):
        # where there are no marks the value is kept: it may be an instance, which remembers whose it is
        value, marks = unmark_deep(value)
    if not param.allow_null and is_null(unmark(value)[0]):
        raise FunctionError("argument must not be null", index)
    return value, marks


def conversion_failure(exc: conversions.ConversionError, index: int) -> FunctionError:
    """What to raise when the argument at ``index`` does not convert."""
    steps = [f"element {step}: " if isinstance(step, int) else f'"{step}": ' for step in exc.path]
    return FunctionError("".join(steps) + exc.message, index)


def _check_count(found: Function, given: int) -> None:
    required = len(found.params)
    if given < required:
        least = "at least " if found.variadic is not None else ""
        missing = ", ".join(f'"{param.name}"' for param in found.params[given:])
        raise FunctionError(f"{found.name}() needs {least}{required} arguments, {given} given: missing {missing}")
    if found.variadic is None and given > required:
        raise FunctionError(f"{found.name}() takes {required} arguments, {given} given", required)
