"""Schemas of kinds: pydantic models whose fields say how a change of them is carried out.

A kind's arguments are a :class:`Model`; each field is declared with :func:`attr` (or :func:`block`
for nested blocks). :func:`schema_of` compiles the model once into a :class:`Schema`, the light form
that planner, views and documentation read.

Canonical attributes, as stored in state and compared by the planner, are plain Python values: str,
int, Decimal, bool, list, dict, :class:`~hythe.value.Reference`; what is not set is left out. Inside a
plan there may also be :class:`~hythe.value.Unknown`.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from hythe.provider.units import duration_seconds, format_duration, parse_size
from hythe.value import ANY, BOOL, NUMBER, STRING, Reference, Type, Unknown, is_known, list_of, map_of, object_of

Path: TypeAlias = tuple[str | int, ...]
"""Where in the attributes a value stands: ``("port", 0, "host")``."""


class Effect(enum.IntEnum):
    """What changing a field does to the running object, mildest first."""

    LIVE = 0
    RESTART = 1
    REPLACE = 2


@dataclass(frozen=True, slots=True)
class Attribute:
    """One field of a schema.

    ``type`` is the language type its argument is converted to. ``computed``: set by the provider
    only. ``engine_default``: when left out the provider chooses, and the choice is kept. ``volatile``:
    a computed value that any change may alter. ``reference`` lists the kinds whose instances it takes
    (strings are taken too). ``nested`` is the schema of a block; ``repeated`` says it may stand
    several times. ``types`` are the values of the argument ``type`` with which a computed value is there at all, and
    ``secret_types`` those with which it is sensitive; empty means all, and none.
    """

    name: str
    type: Type
    required: bool
    description: str
    default: Any = None
    effect: Effect = Effect.LIVE
    computed: bool = False
    engine_default: bool = False
    volatile: bool = False
    sensitive: bool = False
    write_only: bool = False
    unordered: bool = False
    data_loss: bool = False
    types: tuple[str, ...] = ()
    secret_types: tuple[str, ...] = ()
    reference: tuple[str, ...] = ()
    nested: Schema | None = None
    repeated: bool = False
    display: str = ""


class Model(BaseModel):
    """Base of all argument models."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True)


def attr(
    default: Any = None,
    *,
    description: str,
    effect: Effect = Effect.REPLACE,
    computed: bool = False,
    engine_default: bool = False,
    volatile: bool = False,
    sensitive: bool = False,
    write_only: bool = False,
    unordered: bool = False,
    data_loss: bool = False,
    types: tuple[str, ...] = (),
    secret_types: tuple[str, ...] = (),
    **constraints: Any,
) -> Any:
    """Declare an argument. Pass ``...`` as default for a required one.

    ``constraints`` are pydantic's (``ge``, ``pattern``, ...). A change replaces the object unless
    ``effect`` says otherwise.
    """
    flags: dict[str, Any] = {
        "effect": effect,
        "computed": computed,
        "engine_default": engine_default,
        "volatile": volatile,
        "sensitive": sensitive,
        "write_only": write_only,
        "unordered": unordered,
        "data_loss": data_loss,
        "types": types,
        "secret_types": secret_types,
    }
    return Field(default, description=description, json_schema_extra={"hythe": flags}, **constraints)


def block(
    *,
    description: str,
    effect: Effect = Effect.REPLACE,
    unordered: bool = False,
    repeated: bool = True,
    computed: bool = False,
    volatile: bool = False,
) -> Any:
    """Declare a nested block: ``list[Model]`` when ``repeated``, else ``Model | None``.

    A ``computed`` one is the provider's, and cannot be configured.
    """
    flags: dict[str, Any] = {"effect": effect, "unordered": unordered, "block": True, "repeated": repeated}
    flags |= {"computed": computed, "volatile": volatile}
    if repeated:
        return Field(default_factory=list, description=description, json_schema_extra={"hythe": flags})
    return Field(None, description=description, json_schema_extra={"hythe": flags})


@dataclass(frozen=True, slots=True)
class RefTo:
    """Metadata of a field that takes an instance of one of ``kinds`` or a plain string."""

    kinds: tuple[str, ...]

    def check(self, value: Any) -> Any:
        """Accept a reference of the right kind, or a string."""
        if isinstance(value, Reference):
            if value.kind not in self.kinds:
                wanted = " or ".join(self.kinds)
                raise ValueError(f"{value.address} is of kind {value.kind}, and one of kind {wanted} is needed here")
            return value
        if not isinstance(value, str) or not value:
            wanted = " or ".join(self.kinds)
            raise ValueError(f"a reference to one of kind {wanted} (like {self.kinds[0]}.name) or its name is needed")
        return value


def Ref(*kinds: str) -> Any:
    """Field type: a reference to an instance of one of ``kinds``, or a string naming one."""
    spec = RefTo(kinds)
    return Annotated[Any, spec, BeforeValidator(spec.check)]


def _canonical_duration(value: Any) -> str:
    return format_duration(duration_seconds(value))


@dataclass(frozen=True, slots=True)
class Display:
    """How views show the value: ``bytes``."""

    form: str


def _exact(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise ValueError("a number is needed")
    return int(value) if value == int(value) else value.normalize() if isinstance(value, Decimal) else value


Size = Annotated[int, BeforeValidator(parse_size), Display("bytes")]
"""Field type: a size, canonically an int of bytes."""
Duration = Annotated[str, BeforeValidator(_canonical_duration), Display("duration")]
"""Field type: a duration, canonically text like ``1m30s``."""
Number = Annotated[Any, BeforeValidator(_exact), Display("number")]
"""Field type: an exact number, canonically an int, or a Decimal where it is no integer."""


_REQUIRED = "this argument is required"


class Schema:
    """The compiled form of a model: attributes by name, in declaration order."""

    __slots__ = ("_adapters", "_blocks", "_secret", "attributes", "engine_defaults", "model", "write_only")

    def __init__(self, model: type[Model]) -> None:
        self.model = model
        self.attributes = {name: _attribute(name, info) for name, info in model.model_fields.items()}
        self.engine_defaults = tuple(a.name for a in self.attributes.values() if a.engine_default or a.computed)
        self._blocks = tuple((a.name, a.nested) for a in self.attributes.values() if a.nested is not None)
        self._secret = tuple(
            a for a in self.attributes.values() if a.sensitive or a.write_only or a.secret_types or a.nested is not None
        )
        self.write_only: bool = any(a.nested.write_only if a.nested is not None else a.write_only for a in self._secret)
        """Whether there are values, at any depth, that are never stored."""
        self._adapters: dict[str, TypeAdapter[Any]] = {}

    def decode(self, raw: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[Path, str]]]:
        """Canonical attributes of configured values, and what is wrong with them.

        ``raw`` holds plain values, References and Unknowns; None and missing mean not set. Where a
        value is unknown, only the rules that do not need it are checked. What is taken as it is may be
        part of the result, and not a copy of it.
        """
        given = self._without_unset(raw)
        if is_known(given):
            try:
                return dump(self.model.model_validate(given), given), []
            except ValidationError as failure:
                return {}, [_message(e) for e in failure.errors(include_url=False, include_context=False)]
        return self._decode_partial(given)

    def _without_unset(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        given = {k: v for k, v in raw.items() if v is not None}
        for name, nested in self._blocks:
            value = given.get(name)
            if isinstance(value, Mapping):
                given[name] = nested._without_unset(value)
            elif isinstance(value, (list, tuple)):
                given[name] = [nested._without_unset(v) if isinstance(v, Mapping) else v for v in value]
        return given

    def _decode_partial(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[Path, str]]]:
        out: dict[str, Any] = {}
        problems: list[tuple[Path, str]] = []
        for name, spec in self.attributes.items():
            if name not in given:
                if spec.required:
                    problems.append(((name,), _REQUIRED))
                elif spec.default is not None:
                    out[name] = plain(spec.default)
                continue
            value = given[name]
            if spec.nested is not None and not isinstance(value, type(None)) and not _is_unknown(value):
                out[name], found = _decode_blocks(spec, value)
                problems += [((name, *path), text) for path, text in found]
            elif _is_unknown(value) or not (spec.reference or is_known(value)):
                out[name] = value
            else:
                try:
                    out[name] = plain(self._adapter(name).validate_python(value))
                except ValidationError as failure:
                    problems += [((name, *p), t) for p, t in map(_message, failure.errors(include_url=False))]
        problems += [((name,), "no such argument") for name in given if name not in self.attributes]
        return out, problems

    def check_stored(self, attributes: Mapping[str, Any]) -> list[tuple[Path, str]]:
        """What is wrong with attributes as the state has them, by path.

        That one is missing is not wrong: write-only values are never stored, and of an object that was made in part
        little is known.
        """
        _, problems = self._decode_partial(attributes)
        return [(path, text) for path, text in problems if text != _REQUIRED]

    def _adapter(self, name: str) -> TypeAdapter[Any]:
        found = self._adapters.get(name)
        if found is None:
            info = self.model.model_fields[name]
            annotation: Any = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
            found = TypeAdapter(annotation)
            self._adapters[name] = found
        return found

    def stable_path(self, path: Path) -> Path:
        """The path, cut off at a list without order: where in it a value stands changes from read to read."""
        attributes = self.attributes
        for at, step in enumerate(path):
            spec = attributes.get(step) if isinstance(step, str) else None
            if isinstance(step, int):
                continue
            if spec is None:
                return path
            if spec.unordered:
                return path[: at + 1]
            if spec.nested is None:
                return path
            attributes = spec.nested.attributes
        return path

    def gives(self, name: str, attributes: Mapping[str, Any]) -> bool:
        """Whether a computed value can be there, as far as the object's ``type`` tells."""
        types, own = self.attributes[name].types, attributes.get("type")
        return not types or not isinstance(own, str) or own in types

    def sensitive_paths(self, attributes: Mapping[str, Any]) -> tuple[Path, ...]:
        """Paths of values that the schema itself declares sensitive."""
        out: list[Path] = []
        for spec in self._secret:
            name = spec.name
            if name not in attributes:
                continue
            if spec.sensitive or spec.write_only or self._is_secret(spec, attributes.get("type")):
                out.append((name,))
            elif spec.nested is not None:
                value = attributes[name]
                if isinstance(value, list):
                    for at, item in enumerate(value):
                        if isinstance(item, dict):
                            out += [(name, at, *p) for p in spec.nested.sensitive_paths(item)]
                elif isinstance(value, dict):
                    out += [(name, *p) for p in spec.nested.sensitive_paths(value)]
        return tuple(out)

    @staticmethod
    def _is_secret(spec: Attribute, own: Any) -> bool:
        # a type that is not known yet may be a secret one
        return bool(spec.secret_types) and (not isinstance(own, str) or own in spec.secret_types)


def _is_unknown(value: Any) -> bool:
    return type(value) is Unknown


def _decode_blocks(spec: Attribute, value: Any) -> tuple[Any, list[tuple[Path, str]]]:
    assert spec.nested is not None
    if not isinstance(value, list):
        return spec.nested.decode(value)
    out: list[Any] = []
    problems: list[tuple[Path, str]] = []
    for at, item in enumerate(value):
        if _is_unknown(item):
            out.append(item)
            continue
        decoded, found = spec.nested.decode(item)
        out.append(decoded)
        problems += [((at, *path), text) for path, text in found]
    return out, problems


def _message(failure: Any) -> tuple[Path, str]:
    text = failure["msg"].removeprefix("Value error, ")
    if failure["type"] == "missing":
        text = _REQUIRED
    elif failure["type"] == "extra_forbidden":
        text = "no such argument"
    elif failure["type"] == "literal_error":
        text = "must be " + text.removeprefix("Input should be ").replace("'", '"')
    elif text.startswith("Input should be "):
        text = "must be " + text.removeprefix("Input should be ")
    return tuple(p for p in failure["loc"] if not (isinstance(p, str) and p.startswith("function-"))), text


_ATOMS = frozenset({str, int, bool, Decimal, Reference, NoneType})


def plain(value: Any) -> Any:
    """A validated value in canonical form."""
    if type(value) in _ATOMS:
        return value
    if isinstance(value, dict):
        if _ATOMS.issuperset(map(type, value.values())):
            return dict(value)
        return {k: v if type(v) in _ATOMS else plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        if _ATOMS.issuperset(map(type, value)):
            return list(value)
        return [v if type(v) in _ATOMS else plain(v) for v in value]
    if isinstance(value, BaseModel):
        return dump(value)
    if isinstance(value, enum.Enum):
        return value.value
    return value


def dump(model: BaseModel, canonical: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """The canonical attributes of a validated model: unset arguments and empty block lists left out.

    ``canonical``: values that are in canonical form already, should the model have them as they are.
    """
    out: dict[str, Any] = {}
    for name, value in model.__dict__.items():
        if value is None or (value == [] and name not in model.model_fields_set):
            continue
        out[name] = value if value is canonical.get(name) else plain(value)
    return out


def _strip_optional(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, UnionType):
        left = [a for a in get_args(annotation) if a is not NoneType]
        return left[0] if len(left) == 1 else Union[tuple(left)]  # noqa: UP007 - built at run time
    return annotation


def _metadata(annotation: Any) -> Iterable[Any]:
    if get_origin(annotation) is Annotated:
        yield from get_args(annotation)[1:]
        annotation = get_args(annotation)[0]
    for arg in get_args(annotation) if get_origin(annotation) in (Union, UnionType, list) else ():
        yield from _metadata(arg)


def _language_type(annotation: Any) -> Type:
    annotation = _strip_optional(annotation)
    origin = get_origin(annotation)
    if origin is Annotated:
        if any(isinstance(m, (RefTo, Display)) for m in get_args(annotation)[1:]):
            form = next((m.form for m in get_args(annotation)[1:] if isinstance(m, Display)), "")
            return NUMBER if form == "number" else ANY
        return _language_type(get_args(annotation)[0])
    if origin is list:
        inner = _language_type(get_args(annotation)[0])
        return ANY if inner is ANY else list_of(inner)
    if origin is dict:
        inner = _language_type(get_args(annotation)[1])
        return ANY if inner is ANY else map_of(inner)
    if origin is not None and str(origin).endswith("Literal"):
        return STRING
    if isinstance(annotation, type):
        if issubclass(annotation, bool):
            return BOOL
        if issubclass(annotation, (str, enum.Enum)):
            return STRING
        if issubclass(annotation, (int, float, Decimal)):
            return NUMBER
    return ANY


def _attribute(name: str, info: FieldInfo) -> Attribute:
    extra = info.json_schema_extra
    flags: dict[str, Any] = dict(extra["hythe"]) if isinstance(extra, dict) and "hythe" in extra else {}  # type: ignore[arg-type]
    annotation = info.annotation
    metadata = [*info.metadata, *_metadata(annotation), *_metadata(_strip_optional(annotation))]
    nested: Schema | None = None
    repeated = bool(flags.pop("repeated", False))
    if flags.pop("block", False):
        inner = get_args(annotation)[0] if repeated else _strip_optional(annotation)
        nested = schema_of(inner)
    kinds = next((m.kinds for m in metadata if isinstance(m, RefTo)), ())
    display = next((m.form for m in metadata if isinstance(m, Display)), "")
    if nested is not None:
        language = ANY
    elif display and get_origin(_strip_optional(annotation)) is not list:
        language = NUMBER if display == "number" else ANY
    else:
        language = ANY if kinds else _language_type(annotation)
    default = info.default if info.default is not PydanticUndefined else None
    return Attribute(
        name=name,
        type=language,
        required=info.is_required(),
        description=info.description or "",
        default=default,
        reference=kinds,
        nested=nested,
        repeated=repeated,
        display=display,
        **flags,
    )


@functools.cache
def schema_of(model: type[Model]) -> Schema:
    """The compiled schema of a model."""
    return Schema(model)


def object_type(schema: Schema) -> Type:
    """The language type of an instance of this schema."""
    attributes: dict[str, Type] = {}
    for name, spec in schema.attributes.items():
        if spec.nested is not None:
            inner = object_type(spec.nested)
            attributes[name] = list_of(inner) if spec.repeated else inner
        else:
            attributes[name] = spec.type
    return object_of(attributes)


def storable(schema: Schema, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes without write-only values, at any depth: what may be recorded."""
    if not schema.write_only:
        return dict(attributes)
    out: dict[str, Any] = {}
    for name, value in attributes.items():
        spec = schema.attributes.get(name)
        if spec is None or spec.nested is None:
            if spec is None or not spec.write_only:
                out[name] = value
        elif isinstance(value, list):
            out[name] = [storable(spec.nested, v) if isinstance(v, dict) else v for v in value]
        else:
            out[name] = storable(spec.nested, value) if isinstance(value, dict) else value
    return out
