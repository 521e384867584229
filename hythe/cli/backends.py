"""The backends that there are, the one that was chosen, and what is remembered of it in ``.hythe/backend.json``.

A backend is a module with

* ``Settings``, a pydantic model of the arguments that its block takes; those that are secret are SecretStr, or
  declared with ``repr=False`` or ``json_schema_extra={"sensitive": True}``,
* ``open_storage(settings, root, environment)``, which gives the :class:`~hythe.state.backends.base.Storage`,
* where that is worth it ``place(settings)``: what of the settings decides where the states are. By default that is
  everything but the secrets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, get_args

from hythe.cli.context import Cli, fail
from hythe.cli.folder import drop, keep, read_kept
from hythe.cli.logs_setup import remember_secrets
from hythe.state.backends.base import DEFAULT_WORKSPACE

if TYPE_CHECKING:
    from types import ModuleType

    from pydantic import BaseModel

    from hythe.state.backends.base import Storage

BACKENDS = {
    "http": "hythe.state.backends.http",
    "local": "hythe.state.backends.local",
    "pg": "hythe.state.backends.pg",
    "s3": "hythe.state.backends.s3",
}
"""The module of each backend, imported when it is used."""

ALIASES = {"postgres": "pg", "postgresql": "pg"}
FILE = "backend.json"
_FORMAT = 1
_SECRET_NAMES = re.compile(r"(^|_)(password|passphrase|token|secret)$")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A backend with its arguments as plain values.

    ``given`` are those of the arguments that ``hythe init --backend-config`` was given, ``workspace`` is the one that
    the block was evaluated in. ``unkept`` names arguments that must not be written down.
    """

    label: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    workspace: str = DEFAULT_WORKSPACE
    unkept: frozenset[str] = frozenset()

    @property
    def is_default(self) -> bool:
        """Whether this is what those have who set nothing."""
        return self.label == "local" and not self.arguments


def backend_module(label: str) -> ModuleType:
    """The module of a backend. Raises DiagnosticError where this Hythe has none."""
    import importlib

    name = BACKENDS[label]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as failure:
        if failure.name != name:
            raise
        text = f'The backend "{label}" is not in this version of Hythe. Use another one, or a newer Hythe.'
        raise fail("Backend not available", text) from None


def settings_of(chosen: Chosen) -> BaseModel | None:
    """The arguments as the backend's settings; None for whoever sets nothing. Raises pydantic.ValidationError."""
    if chosen.is_default:
        return None
    model: type[BaseModel] = backend_module(chosen.label).Settings
    return model.model_validate(fitted(model, chosen.arguments))


def open_chosen(cli: Cli, chosen: Chosen) -> Storage:
    """Where that backend keeps states. Raises DiagnosticError."""
    from pydantic_core import ValidationError

    try:
        settings = settings_of(chosen)
    except ValidationError as failure:
        names = ", ".join(sorted({str(e["loc"][0]) for e in failure.errors() if e["loc"]})) or "its arguments"
        text = (
            f'The backend "{chosen.label}" that was used last, as .hythe/{FILE} has it, cannot be opened any more: '
            f"{names} would be refused now. `hythe init --reconfigure` goes on without it."
        )
        raise fail("Backend not usable", text) from None
    storage: Storage = backend_module(chosen.label).open_storage(settings, cli.root, cli.environment)
    # what the backend found in addresses and in the environment
    remember_secrets(getattr(storage, "secrets", ()))
    return storage


# -- one place or another -----------------------------------------------------------------------


def place_of(chosen: Chosen) -> Mapping[str, Any]:
    """What decides where the states are: the same for two that differ in spelling or in secrets only."""
    from pydantic_core import ValidationError

    try:
        settings = settings_of(chosen)
    except ValidationError:
        # it was written by another version, so it cannot be told what the arguments meant
        return {"backend": chosen.label, **chosen.arguments}
    module = backend_module(chosen.label)
    own = getattr(module, "place", None)
    if own is not None:
        return {"backend": chosen.label, **own(settings)}
    assert settings is not None
    secret = secret_arguments(module.Settings)
    values = settings.model_dump(mode="json", exclude_defaults=True)
    plain = {n: without_passwords(v) for n, v in values.items() if n not in secret}
    return {"backend": chosen.label, **plain}


def same_place(one: Chosen, other: Chosen) -> bool:
    """Whether both mean the same states. What must not be written down cannot be compared."""
    unkept = one.unkept | other.unkept
    if unkept:
        one, other = (replace(c, arguments=_without(c.arguments, unkept)) for c in (one, other))
    return one.label == other.label and place_of(one) == place_of(other)


def _without(arguments: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {n: v for n, v in arguments.items() if n not in names}


def described(chosen: Chosen) -> str:
    """A backend for a message: nothing that could be a secret."""
    if chosen.label != "local":
        return f'the backend "{chosen.label}"'
    place = place_of(chosen)
    beside = f" (other workspaces in {place['workspace_dir']})" if chosen.arguments.get("workspace_dir") else ""
    return f"local files, {place['path']}{beside}"


def difference(old: Chosen, new: Chosen) -> str:
    """In which arguments two of one backend differ, as a sentence; values are not told."""
    if old.label != new.label or old.label == "local":
        return ""
    one, other = place_of(old), place_of(new)
    names = sorted(n for n in one.keys() | other.keys() if one.get(n) != other.get(n))
    return f" What differs: {', '.join(names)}."


def secret_arguments(model: type[BaseModel]) -> frozenset[str]:
    """The arguments that must not be shown."""
    return frozenset(name for name, spec in model.model_fields.items() if _is_secret(name, spec))


def _is_secret(name: str, spec: Any) -> bool:
    extra = spec.json_schema_extra
    if spec.repr is False:
        return True
    if isinstance(extra, dict) and (extra.get("sensitive") or extra.get("hythe", {}).get("sensitive")):
        return True
    return "Secret" in str(spec.annotation) or _SECRET_NAMES.search(name) is not None


def without_passwords(value: Any) -> Any:
    """A value without the passwords in addresses (``scheme://user:password@host``) and connection strings."""
    if not isinstance(value, str):
        return value
    value = re.sub(r"(://[^:/?#@\s]*):[^/?#\s]*@", r"\1@", value)
    return re.sub(r"(?i)(password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]*)", r"\1", value)


def fitted(model: type[BaseModel], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with numbers and bools as text where text is wanted, as the language converts them."""
    out = dict(arguments)
    for name, spec in model.model_fields.items():
        value = out.get(name)
        if isinstance(value, (bool, int, float, Decimal)) and _wants_text(spec.annotation):
            out[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return out


def _wants_text(annotation: Any) -> bool:
    kinds = {annotation, *get_args(annotation)}
    return not kinds & {bool, int, float, Decimal} and any(k is str or "Secret" in str(k) for k in kinds)


def secrets_in(label: str, arguments: Mapping[str, Any], marked: Iterable[str]) -> list[Any]:
    """What must not come into logs: marked and secret arguments, and passwords inside of others."""
    hidden = {*marked, *secret_arguments(backend_module(label).Settings)}
    out = [v for n, v in arguments.items() if n in hidden]
    for value in arguments.values():
        if isinstance(value, str):
            out += re.findall(r"://[^:/?#@\s]*:([^/?#\s]+)@", value)
            out += [found.strip("'") for found in re.findall(r"(?i)password\s*=\s*('[^']+'|[^\s&']+)", value)]
    return out


# -- memory -------------------------------------------------------------------------------------


def remembered(root: str) -> Chosen | None:
    """The backend that was used last; None for that of whoever sets nothing. Raises DiagnosticError."""
    data = read_kept(root, FILE)
    if data is None:
        return None
    import orjson

    try:
        found = orjson.loads(data)
        if found["hythe_backend"] == _FORMAT and found["backend"] in BACKENDS:
            return Chosen(
                found["backend"],
                dict(found["arguments"]),
                dict(found["given"]),
                str(found["workspace"]),
                frozenset(found["unkept"]),
            )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        pass
    raise fail(
        "Remembered backend not readable",
        f".hythe/{FILE}, which tells where the state was kept last, is damaged or was written by another version. "
        "`hythe init --reconfigure` writes it anew from the configuration.",
    )


def remember(root: str, chosen: Chosen) -> None:
    """Keep it for later commands, if it is not what everyone has. Raises DiagnosticError."""
    if chosen.is_default:
        drop(root, FILE)
        return
    import orjson

    content = {
        "hythe_backend": _FORMAT,
        "backend": chosen.label,
        "arguments": _without(chosen.arguments, chosen.unkept),
        "given": dict(chosen.given),
        "workspace": chosen.workspace,
        "unkept": sorted(chosen.unkept),
    }
    data = orjson.dumps(content, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2) + b"\n"
    if data != read_kept(root, FILE):
        keep(root, FILE, data)
