"""Values of the language as Python values.

=============  =================================================================
language       Python
=============  =================================================================
null           None, or ``Null(type)`` where the type is known
string, bool   str, bool
number         int, or Decimal for what is no integer; never float
list, set      ``List``, ``Set`` (a sorted list without duplicates); both know their element type
map            ``Map`` (knows its element type)
tuple          tuple (a plain Python list is read as one too)
object         dict
unknown        ``Unknown(type)``
=============  =================================================================

Marks (sensitive, ephemeral) wrap a value: ``Marked(value, marks)``. They may stand at any depth.
Everything here is immutable by convention: nobody changes a value that somebody else made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import MAX_PREC, Context, Decimal
from typing import Any, ClassVar, TypeAlias

Value: TypeAlias = Any
"""Any language value as listed above."""


def normalized(text: str) -> str:
    """``text`` in Unicode's normal form C, as all strings of the language are."""
    if text.isascii():
        return text
    import unicodedata

    return unicodedata.normalize("NFC", text)


_IDENTIFIER = re.compile(r"[^\W\d][\w-]*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


def _spell_name(name: str) -> str:
    """An attribute name as types spell it: in quotes where it is no identifier."""
    if _IDENTIFIER.fullmatch(name):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class Type:
    """A type or type constraint, interned: equal types are the same object.

    ``name`` is string, number, bool, any, list, set, map, tuple or object. ``element`` belongs to
    list, set and map; ``elements`` to tuple; ``attributes`` to object; ``optional`` (names, with
    defaults where given) only to constraints.
    """

    __slots__ = ("_text", "attributes", "element", "elements", "name", "optional")

    name: str
    element: Type | None
    elements: tuple[Type, ...]
    attributes: dict[str, Type]
    optional: dict[str, Value]
    _text: str

    _interned: ClassVar[dict[object, Type]] = {}

    def __new__(
        cls,
        name: str,
        element: Type | None = None,
        elements: tuple[Type, ...] = (),
        attributes: Mapping[str, Type] | None = None,
        optional: Mapping[str, Value] | None = None,
    ) -> Type:
        """Make or find the type. ``optional`` maps attribute names to defaults (None for none)."""
        # most types are asked for again and again, and most of those have no attributes
        ident: object = (name, element, elements)
        if not attributes and not optional:
            found = cls._interned.get(ident)
            if found is not None:
                return found
        attrs = dict(sorted(attributes.items())) if attributes else {}
        opts = {k: optional[k] for k in sorted(optional)} if optional else {}
        if attrs or opts:
            ident = (name, element, elements, tuple(attrs.items()), repr(opts) if opts else "")
            found = cls._interned.get(ident)
            if found is not None:
                return found
        self = super().__new__(cls)
        self.name, self.element, self.elements = name, element, elements
        self.attributes, self.optional = attrs, opts
        self._text = self._spell()
        # setdefault: two threads may race here, and both must end with the same object
        return cls._interned.setdefault(ident, self)

    def _spell(self) -> str:
        if self.element is not None:
            return f"{self.name}({self.element})"
        if self.name == "tuple":
            return f"tuple([{', '.join(map(str, self.elements))}])"
        if self.name == "object":
            inner = ", ".join(
                f"{_spell_name(k)} = optional({t})" if k in self.optional else f"{_spell_name(k)} = {t}"
                for k, t in self.attributes.items()
            )
            return f"object({{{inner}}})"
        return self.name

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<type {self._text}>"

    def __reduce__(self) -> tuple[object, ...]:
        return (Type, (self.name, self.element, self.elements, self.attributes, self.optional))


STRING, NUMBER, BOOL, ANY = Type("string"), Type("number"), Type("bool"), Type("any")
"""Primitive types; ``ANY`` is also the type of a value whose type is not known yet."""


def list_of(element: Type) -> Type:
    """``list(element)``."""
    return Type("list", element)


def set_of(element: Type) -> Type:
    """``set(element)``."""
    return Type("set", element)


def map_of(element: Type) -> Type:
    """``map(element)``."""
    return Type("map", element)


def tuple_of(elements: Iterable[Type]) -> Type:
    """``tuple([...])``."""
    return Type("tuple", elements=tuple(elements))


def object_of(attributes: Mapping[str, Type], optional: Mapping[str, Value] | None = None) -> Type:
    """``object({...})``; ``optional`` only for constraints."""
    return Type("object", attributes=attributes, optional=optional)


class Unknown:
    """A value that is known only after apply. ``type`` is what is known of it (ANY if nothing)."""

    __slots__ = ("type",)

    def __init__(self, type: Type | str = ANY) -> None:
        self.type = type if isinstance(type, Type) else parse_type_text(type)

    def __repr__(self) -> str:
        return f"Unknown({str(self.type)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unknown) and other.type is self.type

    def __hash__(self) -> int:
        return hash((Unknown, id(self.type)))


class Null:
    """A null whose type is known. A null of no particular type is plain None."""

    __slots__ = ("type",)

    def __init__(self, type: Type) -> None:
        self.type = type

    def __repr__(self) -> str:
        return f"Null({str(self.type)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Null) and other.type is self.type

    def __hash__(self) -> int:
        return hash((Null, id(self.type)))

    def __bool__(self) -> bool:
        return False


class List(list[Value]):
    """A ``list(element)``."""

    __slots__ = ("element",)

    def __init__(self, items: Iterable[Value] = (), element: Type = ANY) -> None:
        list.__init__(self, items)  # super() takes half as long again, and there are many of these
        self.element = element


class Set(list[Value]):
    """A ``set(element)``: made sorted and without duplicates by whoever makes it."""

    __slots__ = ("element",)

    def __init__(self, items: Iterable[Value] = (), element: Type = ANY) -> None:
        super().__init__(items)
        self.element = element


class Map(dict[str, Value]):
    """A ``map(element)``."""

    __slots__ = ("element",)

    def __init__(self, items: Mapping[str, Value] | Iterable[tuple[str, Value]] = (), element: Type = ANY) -> None:
        super().__init__(items)
        self.element = element


SENSITIVE, EPHEMERAL = "sensitive", "ephemeral"
"""The marks: not to be shown, and not to be stored."""

_SENSITIVE_ONLY = frozenset({SENSITIVE})


class Marked:
    """A value with marks. Never nested directly: use :func:`mark`."""

    __slots__ = ("marks", "value")

    def __init__(self, value: Value, marks: frozenset[str]) -> None:
        self.value = value
        self.marks = marks

    def __repr__(self) -> str:
        return f"Marked(..., {sorted(self.marks)})"  # never the value: reprs end up in logs

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Marked) and other.marks == self.marks and bool(other.value == self.value)

    def __hash__(self) -> int:
        return hash((Marked, self.marks))


def mark(value: Value, marks: frozenset[str]) -> Value:
    """``value`` with ``marks`` added (unchanged when there are none to add)."""
    if not marks:
        return value
    if type(value) is Marked:
        return value if marks <= value.marks else Marked(value.value, value.marks | marks)
    return Marked(value, marks)


def Sensitive(value: Value) -> Marked:
    """``value`` marked sensitive."""
    marked = mark(value, _SENSITIVE_ONLY)
    assert isinstance(marked, Marked)
    return marked


_NO_MARKS: frozenset[str] = frozenset()


def unmark(value: Value) -> tuple[Value, frozenset[str]]:
    """The value without its outermost mark, and the marks it had."""
    if type(value) is Marked:
        return value.value, value.marks
    return value, _NO_MARKS


_ATOMS = frozenset({str, int, bool, Decimal, type(None)})
"""Classes of values that are known, hold nothing and have no marks."""


def is_marked(value: Value) -> bool:
    """Whether there is any mark at any depth."""
    kind = type(value)
    if kind in _ATOMS:
        return False
    if kind is Marked:
        return True
    items: Iterable[Value] = ()
    if isinstance(value, dict):
        items = value.values()
    elif isinstance(value, (tuple, list)):
        items = value
    if _ATOMS.issuperset(map(type, items)):
        return False
    # run for every value, so without any() and a generator, which take three times as long
    for item in items:  # noqa: SIM110
        if type(item) not in _ATOMS and is_marked(item):
            return True
    return False


def unmark_deep(value: Value) -> tuple[Value, frozenset[str]]:
    """The value without any mark at any depth, and all marks found."""
    found: set[str] = set()
    plain = _strip(value, found)
    return plain, frozenset(found)


def _strip(value: Value, found: set[str]) -> Value:
    kind = type(value)
    if kind is Marked:
        found |= value.marks
        return _strip(value.value, found)
    if isinstance(value, dict):
        items = {k: _strip(v, found) for k, v in value.items()}
        return Map(items, value.element) if isinstance(value, Map) else items
    if kind is tuple:
        return tuple(_strip(v, found) for v in value)
    if isinstance(value, list):
        stripped = [_strip(v, found) for v in value]
        return kind(stripped, value.element) if isinstance(value, (List, Set)) else stripped
    return value


def is_null(value: Value) -> bool:
    """Whether the value is null, typed or not (marks are not looked through)."""
    return value is None or type(value) is Null


def is_known(value: Value) -> bool:
    """Whether nothing in the value, at any depth, is unknown."""
    kind = type(value)
    if kind in _ATOMS:
        return True
    if kind is Unknown:
        return False
    if kind is Marked:
        return is_known(value.value)
    items: Iterable[Value] | None = None
    if isinstance(value, dict):
        items = value.values()
    elif isinstance(value, (tuple, list)):
        items = value
    if items is not None:
        if _ATOMS.issuperset(map(type, items)):
            return True
        for item in items:  # noqa: SIM110
            if type(item) not in _ATOMS and not is_known(item):
                return False
        return True
    if isinstance(value, Reference):
        return type(value.id) is not Unknown
    return True


class Reference:
    """What an argument holds that names another instance (``host = vm.node["a"]``).

    Compared by address and instance id, not by the referent's values; ``id`` is Unknown while the
    referent does not exist or is about to be replaced. ``kind`` is the referent's kind.
    """

    __slots__ = ("address", "id", "kind")

    def __init__(self, kind: str, address: str, id: str | Unknown) -> None:
        self.kind, self.address, self.id = kind, address, id

    def __repr__(self) -> str:
        return f"Reference({self.address})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and (other.address, other.id) == (self.address, self.id)

    def __hash__(self) -> int:
        return hash((Reference, self.address))


class Instance(dict[str, Value]):
    """The value of one resource instance: an object that remembers whose it is.

    Where a schema wants a reference, this becomes a :class:`Reference`; everywhere else it is a
    plain object of the instance's attributes.
    """

    __slots__ = ("address", "id", "kind")

    def __init__(self, attributes: Mapping[str, Value], kind: str, address: str, id: str | Unknown) -> None:
        super().__init__(attributes)
        self.kind, self.address, self.id = kind, address, id

    def reference(self) -> Reference:
        """The reference to this instance."""
        return Reference(self.kind, self.address, self.id)


class Lazy:
    """A value that notes what was read of it.

    Root objects of a scope (``vm``, ``local``, ``each``) and whole blocks (``vm.node``) are lazy, so
    that reading ``vm.node["a"].name`` depends on that one instance. The evaluator calls :meth:`get`
    for each attribute or index step, and :meth:`force` when it needs the value as a whole. ``reads``
    collects the addresses of the instances that were really read.
    """

    __slots__ = ()

    def get(self, key: str | int, reads: set[str]) -> Value:
        """The element, which may be lazy again. Raises KeyError when there is none."""
        raise NotImplementedError

    def force(self, reads: set[str]) -> Value:
        """The whole value, noting everything in it as read."""
        raise NotImplementedError

    def keys(self) -> Iterator[str]:
        """Names that :meth:`get` takes, for messages ("did you mean")."""
        return iter(())

    def elements(self) -> Iterable[tuple[str | int, Value]] | None:
        """The elements with their keys, each possibly lazy, so that a ``for`` reads them one by one.

        Strings as keys stand for a map or object, numbers from 0 for a tuple. None (the default)
        when this is no collection or its keys are not known yet: then it is read with :meth:`force`.
        """
        return None


def parse_type_text(text: str) -> Type:
    """Parse a type as :class:`Type` spells it (not the language's full type expressions).

    Raises ValueError.
    """
    kind, rest = _parse_type(text.strip())
    if rest.strip():
        raise ValueError(f"not a type: {text!r}")
    return kind


def _parse_type(text: str) -> tuple[Type, str]:
    for name, primitive in (("string", STRING), ("number", NUMBER), ("bool", BOOL), ("any", ANY)):
        if text.startswith(name):
            return primitive, text[len(name) :].lstrip()
    for name in ("list", "set", "map"):
        if text.startswith(name + "("):
            element, rest = _parse_type(text[len(name) + 1 :].lstrip())
            return Type(name, element), _expect(rest, ")")
    if text.startswith("tuple(["):
        elements: list[Type] = []
        rest = text[7:].lstrip()
        while not rest.startswith("]"):
            element, rest = _parse_type(rest)
            elements.append(element)
            rest = rest.removeprefix(",").lstrip()
        return tuple_of(elements), _expect(rest, "])")
    if text.startswith("object({"):
        attributes: dict[str, Type] = {}
        optional: dict[str, Value] = {}
        rest = text[8:].lstrip()
        while not rest.startswith("}"):
            name, rest = _parse_name(rest)
            if rest.startswith("optional("):
                optional[name] = None
                attributes[name], rest = _parse_type(rest[9:].lstrip())
                rest = _expect(rest, ")")
            else:
                attributes[name], rest = _parse_type(rest)
            rest = rest.removeprefix(",").lstrip()
        return object_of(attributes, optional), _expect(rest, "})")
    raise ValueError(f"not a type: {text!r}")


def _parse_name(text: str) -> tuple[str, str]:
    """An attribute name, quoted or not, and what follows its equals sign."""
    quoted = _QUOTED.match(text)
    if quoted is not None:
        return re.sub(r"\\(.)", r"\1", quoted[1]), _expect(text[quoted.end() :].lstrip(), "=")
    name, _, rest = text.partition("=")
    return name.strip(), rest.lstrip()


def _expect(text: str, token: str) -> str:
    if not text.startswith(token):
        raise ValueError(f"expected {token!r} at {text!r}")
    return text[len(token) :].lstrip()


_EXACT = Context(prec=MAX_PREC)


def number(value: Decimal | int) -> Decimal | int:
    """The number in its one canonical form: int where it is an integer, else a trimmed Decimal."""
    if isinstance(value, int):
        return value
    if value == value.to_integral_value():
        return int(value)
    # the default context would round to 28 digits
    return _EXACT.normalize(value)
