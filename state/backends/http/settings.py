"""The arguments of ``backend "http"``, by OpenTofu's names, from the block and from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import orjson
from pydantic import BaseModel, ConfigDict, Field

from hythe.diagnostic import Diagnostic, DiagnosticError, error

PREFIX = "HYTHE_HTTP_"
PLACEHOLDER = "{workspace}"
_SHORTEST_SECRET = 4
_RESERVED = ("content-type", "content-md5", "content-length", "host", "connection", "transfer-encoding")


class Settings(BaseModel):
    """The block's arguments. What is None here is looked for in the environment, as ``HYTHE_HTTP_<NAME>``."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    address: str | None = None
    update_method: str | None = None
    lock_address: str | None = None
    lock_method: str | None = None
    unlock_address: str | None = None
    unlock_method: str | None = None
    username: str | None = None
    password: str | None = Field(default=None, repr=False)
    skip_cert_verification: bool | None = None
    retry_max: int | None = Field(default=None, ge=0, le=1000)
    retry_wait_min: float | None = Field(default=None, ge=0)
    retry_wait_max: float | None = Field(default=None, ge=0)
    client_ca_certificate_pem: str | None = None
    client_certificate_pem: str | None = None
    client_private_key_pem: str | None = Field(default=None, repr=False)
    headers: dict[str, str] | None = Field(default=None, repr=False)


def place(settings: Settings) -> dict[str, str]:
    """What of the arguments decides where the states are; what is left to the environment is not in it."""
    if settings.address is None:
        return {}
    query = urlsplit(settings.address).query
    # it may name the state, or hold a secret
    more = {"query": sha256(query.encode()).hexdigest()[:16]} if query else {}
    return {"address": shown(settings.address), **more}


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a server, checked. ``authorization`` and ``headers`` go to the configured hosts only.

    ``secrets`` are never shown. Waits are in seconds.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    credentials: tuple[str, str] | None = field(default=None, repr=False)
    verify: bool = True
    authority: str | None = None
    certificate: str | None = field(default=None, repr=False)
    retries: int = 2
    wait_min: float = 1.0
    wait_max: float = 30.0
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the states are, ``{workspace}`` not filled in yet. Without ``lock`` nothing is locked on the server."""

    address: str
    update_method: str
    lock: str | None
    lock_method: str
    unlock: str | None
    unlock_method: str

    @property
    def has_workspaces(self) -> bool:
        """Whether each workspace has an address of its own."""
        return PLACEHOLDER in self.address

    def of(self, workspace: str) -> Endpoints:
        """Those of one workspace."""
        name = quote(workspace, safe="")

        def filled(address: str | None) -> str | None:
            return address.replace(PLACEHOLDER, name) if address is not None else None

        return Endpoints(
            self.address.replace(PLACEHOLDER, name),
            self.update_method,
            filled(self.lock),
            self.lock_method,
            filled(self.unlock),
            self.unlock_method,
        )


def shown(address: str) -> str:
    """An address as it may be shown: without name, password and query, which may hold secrets."""
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def resolve(settings: Settings, environment: Mapping[str, str]) -> tuple[Endpoints, Access]:
    """Settings and environment together, checked. Raises DiagnosticError with all that is wrong."""
    found: list[Diagnostic] = []
    given = _given(settings, environment, found)
    endpoints, userinfo = _endpoints(given, found)
    credentials = _credentials(given, userinfo)
    headers = _headers(given.headers or {}, credentials is not None, found)
    certificate = _certificate(given, found)
    low = given.retry_wait_min if given.retry_wait_min is not None else 1.0
    high = given.retry_wait_max if given.retry_wait_max is not None else max(30.0, low)
    if high < low:
        _wrong(found, f"retry_wait_max ({high:g} seconds) is less than retry_wait_min ({low:g} seconds)")
    if found or endpoints is None:
        raise DiagnosticError(*found)
    proxies = _proxies(environment)
    access = Access(
        headers=headers,
        credentials=credentials,
        verify=not given.skip_cert_verification,
        authority=given.client_ca_certificate_pem or None,
        certificate=certificate,
        retries=2 if given.retry_max is None else given.retry_max,
        wait_min=low,
        wait_max=high,
        proxies=proxies,
        secrets=_secrets(credentials, headers, given, proxies),
    )
    return endpoints, access


def _wrong(found: list[Diagnostic], text: str) -> None:
    found.append(error("Invalid HTTP backend", f"{text}."))


def _given(settings: Settings, environment: Mapping[str, str], found: list[Diagnostic]) -> Settings:
    """The settings, what is missing taken from the environment."""
    values: dict[str, Any] = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        variable = PREFIX + name.upper()
        if value is None and environment.get(variable):
            text = environment[variable]
            try:
                told = {name: orjson.loads(text) if name == "headers" else text}
                value = getattr(Settings.model_validate(told), name)
            except ValueError:
                form = "a JSON object of texts" if name == "headers" else "what this argument takes"
                _wrong(found, f"The environment variable {variable} is not {form}")
                value = None
        values[name] = value
    return Settings(**values)


def _endpoints(given: Settings, found: list[Diagnostic]) -> tuple[Endpoints | None, str]:
    """The endpoints without names and passwords in them, and those of the address."""
    if not given.address:
        text = f'The argument "address" is missing: write the URL of the state, or set {PREFIX}ADDRESS'
        _wrong(found, text)
        return None, ""
    userinfo, plain = "", dict[str, str | None]()
    for name in ("address", "lock_address", "unlock_address"):
        address = getattr(given, name) or None
        if address is not None:
            own, address = _checked(name, address, found)
            userinfo = userinfo or own
        plain[name] = address
    lock, unlock = plain["lock_address"], plain["unlock_address"]
    if (lock is None) != (unlock is None):
        have, lack = ("lock_address", "unlock_address") if unlock is None else ("unlock_address", "lock_address")
        _wrong(found, f"There is a {have} without {lack}: the state is locked and unlocked at both, or not at all")
    _check_placeholders(plain, found)
    methods = {
        name: (getattr(given, f"{name}_method") or usual).upper()
        for name, usual in (("update", "POST"), ("lock", "LOCK"), ("unlock", "UNLOCK"))
    }
    for name, method in methods.items():
        if not re.fullmatch(r"[A-Z]{1,32}", method):
            _wrong(found, f'{name}_method is no method of HTTP: write a word like "{name.upper()}" or "PUT"')
    made = Endpoints(plain["address"] or "", methods["update"], lock, methods["lock"], unlock, methods["unlock"])
    return made, userinfo


def _checked(name: str, address: str, found: list[Diagnostic]) -> tuple[str, str]:
    """The name and password in an address, and the address without."""
    try:
        parts = urlsplit(address)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_fine = urlsplit(""), False
    # a brace or a blank is a slip of the pen, and control characters could end the request's line
    rest = address.replace(PLACEHOLDER, "")
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_fine:
        _wrong(found, f"{name} must be a URL like https://states.example.com/shop")
        return "", ""
    if not rest.isascii() or not rest.isprintable() or any(c in rest for c in ' {}<>"\\^`|'):
        text = f"{name} has characters that a URL cannot have; {PLACEHOLDER} is the only name in braces that counts"
        _wrong(found, text)
        return "", ""
    userinfo, _, netloc = parts.netloc.rpartition("@")
    if PLACEHOLDER in parts.netloc:
        _wrong(found, f"{name} has {PLACEHOLDER} in the name of the server: it belongs into the path")
    return userinfo, urlunsplit((parts.scheme, netloc, parts.path, parts.query, ""))


def _check_placeholders(plain: Mapping[str, str | None], found: list[Diagnostic]) -> None:
    has = {name: PLACEHOLDER in address for name, address in plain.items() if address is not None}
    if len(set(has.values())) > 1:
        with_, without = (sorted(n for n, h in has.items() if h is wanted) for wanted in (True, False))
        text = (
            f"{' and '.join(with_)} has {PLACEHOLDER} and {' and '.join(without)} has not, so workspaces would share "
            "one but not the other. Write it in all of them, or in none"
        )
        _wrong(found, text)


def _credentials(given: Settings, userinfo: str) -> tuple[str, str] | None:
    if given.username:
        return given.username, given.password or ""
    if userinfo:
        name, _, password = userinfo.partition(":")
        return unquote(name), unquote(password)
    return None


def _headers(given: Mapping[str, str], has_name: bool, found: list[Diagnostic]) -> dict[str, str]:
    for name in sorted(given):
        value = given[name]
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            _wrong(found, f'The header "{name}" has a name with other characters than letters, digits, - and _')
        elif name.lower() in _RESERVED:
            _wrong(found, f'The header "{name}" is set by Hythe itself')
        elif name.lower() == "authorization" and has_name:
            _wrong(found, f'The header "{name}" and username exclude each other: both tell the server who asks')
        elif not value or not value.isascii() or not value.isprintable():
            _wrong(found, f'The header "{name}" must have a value of printable ASCII characters')
    return dict(given)


def _certificate(given: Settings, found: list[Diagnostic]) -> str | None:
    certificate, key = given.client_certificate_pem, given.client_private_key_pem
    if bool(certificate) != bool(key):
        have, lack = ("client_certificate_pem", "client_private_key_pem")[:: 1 if certificate else -1]
        _wrong(found, f"There is a {have} without {lack}: a certificate is shown together with its key")
        return None
    return f"{certificate}\n{key}\n" if certificate and key else None


def _proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """Proxies by scheme; ``no`` lists what is reached without."""
    found = {}
    for scheme in ("http", "https", "no"):
        # as everywhere: HTTP_PROXY may come from a request's header where this runs as a CGI script
        upper = "" if scheme == "http" and "REQUEST_METHOD" in environment else f"{scheme}_proxy".upper()
        value = environment.get(f"{scheme}_proxy") or environment.get(upper)
        if value:
            found[scheme] = value
    return found


def _secrets(
    credentials: tuple[str, str] | None, headers: Mapping[str, str], given: Settings, proxies: Mapping[str, str]
) -> tuple[str, ...]:
    secrets = {given.password, credentials[1] if credentials else None, given.client_private_key_pem, *headers.values()}
    for value in headers.values():
        # the token of "Bearer <token>" may be told without the word before it
        secrets.update(value.split())
    for scheme in ("http", "https"):
        userinfo = urlsplit(proxies.get(scheme, "")).netloc.rpartition("@")[0]
        secrets.update((userinfo, unquote(userinfo.partition(":")[2])))
    for address in (given.address, given.lock_address, given.unlock_address):
        userinfo = urlsplit(address or "").netloc.rpartition("@")[0]
        secrets.update((userinfo, userinfo.partition(":")[2]))
    # what is shorter would blot out half of every text
    return tuple(sorted({s for s in secrets if s and len(s) >= _SHORTEST_SECRET}, key=lambda s: (-len(s), s)))
