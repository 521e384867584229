"""What an engine answers when it will not, and what that means to a user."""

from __future__ import annotations

import re
from collections.abc import Callable

from hythe.diagnostic import Diagnostic, error
from hythe.provider.protocol import HostUnreachable, ProviderError


class EngineError(Exception):
    """The engine refused a request. ``status`` is the HTTP status, ``message`` the engine's own words."""

    def __init__(self, status: int, message: str, request: str = "") -> None:
        super().__init__(f"{request}: {status} {message}" if request else f"{status} {message}")
        self.status = status
        self.message = message.strip()
        self.request = request


class EngineRequestLost(HostUnreachable):
    """The connection broke while a request that changes something was under way: its outcome is not known."""


def _port(found: re.Match[str], what: str) -> Diagnostic:
    address = found["address"]
    return error(
        "Port already in use",
        f"{what}: {address} on the host is taken by another program or container, so it cannot be published. "
        "Choose another host port, or stop what listens there "
        f"(`ss -ltnp 'sport = :{address.rpartition(':')[2]}'` or `docker ps` shows it).",
    )


def _name(found: re.Match[str], what: str) -> Diagnostic:
    return error(
        "Name already taken",
        f'{what}: the name "{found["name"].lstrip("/")}" is in use by another object. '
        "Choose another name, remove that object, or take it into the state with `hythe import`.",
    )


def _image(found: re.Match[str], what: str) -> Diagnostic:
    return error(
        "Image not found",
        f'{what}: there is no image "{found["image"].rstrip(":")}" on this engine. Declare it as an `image` resource '
        "and refer to that (it is then pulled, built or carried before it is needed), or check the name.",
    )


def _apparmor(found: re.Match[str], what: str) -> Diagnostic:
    return error(
        "AppArmor stands in the way",
        f"{what}: the engine wants to load an AppArmor profile and cannot ({found[0].strip()}). The host's kernel has "
        "AppArmor switched on but its tools are missing: install the `apparmor` package there and restart the engine.",
    )


def _space(found: re.Match[str], what: str) -> Diagnostic:
    return error(
        "No space left on the host",
        f"{what}: the disk that holds the engine's data is full. Free some space there "
        "(`docker system df` shows what takes it) and apply again.",
    )


def _subnet(found: re.Match[str], what: str) -> Diagnostic:
    return error(
        "Subnet already in use",
        f"{what}: its addresses overlap with those of another network on the host ({found[0].strip()}). Choose "
        "another `cidr`, or leave it out so that the engine picks a free one.",
    )


def _program(found: re.Match[str], what: str) -> Diagnostic:
    return error(
        "Program not found in the image",
        f'{what}: the image has no runnable program "{found["program"]}". Check `entrypoint` and `command`: the first '
        "word is the program, and a shell is used only when you name one.",
    )


def _cgroup(found: re.Match[str], what: str) -> Diagnostic:
    return error(
        "Resource limit not possible on this host",
        f"{what}: {found[0].strip()}. The kernel or the cgroup version of the host lacks what the limit needs; leave "
        "the argument out there.",
    )


_CAUSES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], str], Diagnostic]], ...] = (
    (re.compile(r"Bind for (?P<address>\S+:\d+) failed: port is already allocated"), _port),
    (re.compile(r"listen \w+ (?P<address>\S*:\d+): bind: address already in use"), _port),
    (re.compile(r'"?[Cc]ontainer name "(?P<name>[^"]+)" is already in use'), _name),
    (re.compile(r"the container name \"(?P<name>[^\"]+)\" is already in use"), _name),
    (re.compile(r"network with name (?P<name>\S+) already exists"), _name),
    (re.compile(r"network name (?P<name>\S+) already used"), _name),
    (re.compile(r"[Nn]o such image: ?(?P<image>\S+)"), _image),
    (re.compile(r"(?P<image>\S+): image not known"), _image),
    (re.compile(r"[^:]*apparmor[^:]*(:[^:]*)?", re.IGNORECASE), _apparmor),
    (re.compile(r"no space left on device", re.IGNORECASE), _space),
    (re.compile(r"Pool overlaps with other one on this address space"), _subnet),
    (re.compile(r"subnet \S+ (is )?already (used|being used)[^:]*"), _subnet),
    (re.compile(r'exec: "(?P<program>[^"]+)":[^:]*(:.*)?(not found|no such file|permission denied)'), _program),
    (re.compile(r"executable file [`\"]?(?P<program>[^\"'` ]+)[`'\"]? not found"), _program),
    (re.compile(r"Your kernel does not support[^.]*"), _cgroup),
)


def explain(failure: EngineError, what: str) -> Diagnostic:
    """The diagnostic of a refused request; ``what`` begins its detail (``Creating container "web"``)."""
    for pattern, make in _CAUSES:
        found = pattern.search(failure.message)
        if found is not None:
            return make(found, what)
    return error("The engine refused", f"{what}: {failure.message or 'no reason given'} (HTTP {failure.status}).")


def refused(failure: EngineError, what: str) -> ProviderError:
    """The same as something to raise."""
    return ProviderError(explain(failure, what))
