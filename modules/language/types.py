"""Types of values, and the one type that several types convert to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from functools import lru_cache

from hythe.modules.language.sets import make_set
from hythe.value import (
    ANY,
    BOOL,
    NUMBER,
    STRING,
    List,
    Map,
    Marked,
    Null,
    Set,
    Type,
    Unknown,
    Value,
    list_of,
    map_of,
    object_of,
    set_of,
    tuple_of,
)

__all__ = [
    "convertible",
    "describe",
    "describe_with_article",
    "equal_types",
    "fill_dynamic",
    "has_dynamic",
    "make_set",
    "primitive_of",
    "type_of",
    "unify",
    "without_optional",
]

_PRIMITIVE = frozenset({"string", "number", "bool"})
_NUMBERS = frozenset({int, Decimal})
_OF_CLASS: dict[type, Type] = {str: STRING, bool: BOOL, int: NUMBER, Decimal: NUMBER, type(None): ANY}


def type_of(value: Value) -> Type:
    """The type of a value; marks are looked through, a null without type is of type any."""
    known = _OF_CLASS.get(type(value))
    if known is not None:
        return known
    if isinstance(value, tuple):
        return tuple_of(map(type_of, value))
    if isinstance(value, Map):
        return map_of(value.element)
    if isinstance(value, dict):
        return object_of(dict(zip(value, map(type_of, value.values()), strict=True)))
    if isinstance(value, Marked):
        return type_of(value.value)
    if isinstance(value, (Unknown, Null)):
        return value.type
    if isinstance(value, List):
        return list_of(value.element)
    if isinstance(value, Set):
        return set_of(value.element)
    if isinstance(value, list):
        return tuple_of(map(type_of, value))
    # what is left are references, of which only their owner knows the attributes
    return ANY


def primitive_of(values: Collection[Value]) -> Type | None:
    """The primitive type that all values have, none being unknown, null or marked; None when they have not."""
    classes = set(map(type, values))
    if len(classes) == 1:
        kind = _OF_CLASS.get(classes.pop())
        return None if kind is ANY else kind
    return NUMBER if classes == _NUMBERS else None


def equal_types(a: Type, b: Type) -> bool:
    """Whether both are the same type. Types are interned, so identity decides."""
    return a is b


@lru_cache(maxsize=8192)
def has_dynamic(kind: Type) -> bool:
    """Whether any part of the type is not known yet."""
    if kind is ANY:
        return True
    if kind.element is not None:
        return has_dynamic(kind.element)
    return any(map(has_dynamic, kind.elements)) or any(map(has_dynamic, kind.attributes.values()))


@lru_cache(maxsize=8192)
def without_optional(kind: Type) -> Type:
    """The type of the values that a constraint accepts: optional attributes are ordinary ones there."""
    if kind.element is not None:
        return Type(kind.name, without_optional(kind.element))
    if kind.elements:
        return tuple_of(map(without_optional, kind.elements))
    if kind.attributes:
        return object_of({name: without_optional(item) for name, item in kind.attributes.items()})
    return kind


@lru_cache(maxsize=8192)
def convertible(source: Type, target: Type) -> bool:
    """Whether values of ``source`` may convert to ``target``; some may still fail, such as "a" to number."""
    if source is target or target is ANY or source is ANY:
        return True
    wanted = target.name
    if wanted in _PRIMITIVE:
        return source.name in _PRIMITIVE and "string" in (wanted, source.name)
    if wanted == "tuple":
        return (
            source.name == "tuple"
            and len(source.elements) == len(target.elements)
            and all(map(convertible, source.elements, target.elements))
        )
    if wanted == "object":
        return _convertible_to_object(source, target)
    if wanted == "map":
        parts = _parts(source) if source.name in ("map", "object") else None
    else:
        parts = _parts(source) if source.name in ("list", "set", "tuple") else None
    if parts is None:
        return False
    element = target.element or ANY
    if element is ANY and source.element is None:
        return not parts or unify(parts) is not None
    return all(convertible(part, element) for part in parts)


def _convertible_to_object(source: Type, target: Type) -> bool:
    if source.name == "map":
        element = source.element or ANY
        return all(
            name in target.optional or convertible(element, wanted) for name, wanted in target.attributes.items()
        )
    if source.name != "object":
        return False
    return all(
        convertible(source.attributes[name], wanted) if name in source.attributes else name in target.optional
        for name, wanted in target.attributes.items()
    )


def _parts(kind: Type) -> tuple[Type, ...]:
    """The types of what a value of the type consists of."""
    if kind.element is not None:
        return (kind.element,)
    return kind.elements if kind.name == "tuple" else tuple(kind.attributes.values())


@lru_cache(maxsize=8192)
def fill_dynamic(source: Type, target: Type) -> Type:
    """``target`` with its any parts replaced by what ``source`` says of them."""
    if source is ANY:
        return target
    if target is ANY:
        return source
    if target.element is not None:
        sequences = ("map", "object") if target.name == "map" else ("list", "set", "tuple")
        parts = _parts(source) if source.name in sequences else ()
        element = unify(parts) if parts else None
        return target if element is None else Type(target.name, fill_dynamic(element, target.element))
    if target.name == "object" and source.name in ("object", "map"):
        known = source.attributes if source.name == "object" else dict.fromkeys(target.attributes, source.element)
        return object_of({name: fill_dynamic(known.get(name) or ANY, item) for name, item in target.attributes.items()})
    if target.name == "tuple" and source.name == "tuple" and len(source.elements) == len(target.elements):
        return tuple_of(map(fill_dynamic, source.elements, target.elements))
    return target


def unify(types: Iterable[Type]) -> Type | None:
    """The type that all the types convert to; None when there is none, or no type was given.

    Tuples and objects of different shape become lists and maps where that is needed.
    """
    return _unify(tuple(types))


@lru_cache(maxsize=8192)
def _unify(types: tuple[Type, ...]) -> Type | None:
    if not types:
        return None
    names = {kind.name for kind in types}
    if len(set(types)) == 1:
        return types[0]
    dynamic = "any" in names
    structural = names - {"any"}
    if len(structural) == 1 and not structural & _PRIMITIVE:
        # nobody can say which way these go before the types are known
        return ANY if dynamic else _unify_alike(next(iter(structural)), types)
    if structural == {"map", "object"} and not dynamic:
        found = _unify_as(map_of, types)
        if found is not None:
            return found
    elif structural == {"list", "tuple"} and not dynamic:
        found = _unify_as(list_of, types)
        if found is not None:
            return found
    elif {"object", "tuple"} <= structural:
        return None
    return _most_preferred(types)


def _unify_alike(name: str, types: tuple[Type, ...]) -> Type | None:
    if name == "object":
        return _unify_objects(types)
    if name == "tuple":
        return _unify_tuples(types)
    element = _unify(tuple(kind.element or ANY for kind in types))
    return None if element is None else Type(name, element)


def _unify_objects(types: tuple[Type, ...]) -> Type | None:
    first = types[0].attributes
    if all(kind.attributes.keys() == first.keys() for kind in types):
        attributes = {name: _unify(tuple(kind.attributes[name] for kind in types)) for name in first}
        complete = {name: kind for name, kind in attributes.items() if kind is not None}
        if len(complete) == len(attributes):
            return object_of(complete)
    element = _unify(tuple(part for kind in types for part in kind.attributes.values()))
    return None if element is None else map_of(element)


def _unify_tuples(types: tuple[Type, ...]) -> Type | None:
    if len({len(kind.elements) for kind in types}) == 1:
        elements = [_unify(parts) for parts in zip(*(kind.elements for kind in types), strict=True)]
        complete = [kind for kind in elements if kind is not None]
        if len(complete) == len(elements):
            return tuple_of(complete)
    element = _unify(tuple(part for kind in types for part in kind.elements))
    return None if element is None else list_of(element)


def _unify_as(collection: object, types: tuple[Type, ...]) -> Type | None:
    """One collection type for collections and the tuples or objects among them, if they allow it."""
    elements: list[Type] = []
    for kind in types:
        parts = _parts(kind)
        if parts:
            element = _unify(parts)
            if element is None:
                return None
            elements.append(element)
    element = _unify(tuple(elements))
    if element is None:
        return None
    return map_of(element) if collection is map_of else list_of(element)


def _most_preferred(types: Sequence[Type]) -> Type | None:
    for wanted in sorted(types, key=_preference):
        if all(convertible(kind, wanted) for kind in types):
            return wanted
    return None


_RANK = {"string": 0, "list": 0, "map": 0, "number": 1, "bool": 1, "tuple": 1, "object": 1, "set": 2, "any": 3}


def _preference(kind: Type) -> tuple[int, ...]:
    """Sort key: types that more types convert to come first."""
    rank = _RANK[kind.name]
    return (rank, *_preference(kind.element)) if kind.element is not None else (rank,)


_ARTICLES = {"string": "a string", "number": "a number", "bool": "a bool", "any": "a value"}


def describe(kind: Type) -> str:
    """The type for messages, without article: ``list of string``."""
    if kind.element is not None:
        return f"{kind.name} of {'any single type' if kind.element is ANY else describe(kind.element)}"
    return "any type" if kind is ANY else kind.name


def describe_with_article(kind: Type) -> str:
    """The type for messages: ``a list of string``."""
    text = _ARTICLES.get(kind.name)
    if text is not None:
        return text
    return ("an " if kind.name == "object" else "a ") + describe(kind)
