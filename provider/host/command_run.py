"""Running one command of a user on a host, with environment, folder and user of its own.

The words of the command and its settings never become part of a shell's text: words are arguments, and the
environment goes through standard input, where no other user of the machine sees it.
"""

from __future__ import annotations

import math
import secrets
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hythe.diagnostic import error
from hythe.provider.protocol import Completed, Host, ProviderError
from hythe.provider.units import duration_seconds

LAST_LINES = 12
KEPT_BYTES = 1 << 20
_GRACE_SECONDS = 30.0
_TIMED_OUT = 124
_MASK = "(sensitive value)"

# As the user that was asked for: root needs no password for that, others have sudo
_AS_USER = """\
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
hythe_user=$1; shift
if [ "$(id -un)" = "$hythe_user" ]; then exec "$@"; fi
if [ "$(id -u)" != 0 ]; then exec sudo -n -u "$hythe_user" -- "$@"; fi
if command -v runuser >/dev/null; then exec runuser -u "$hythe_user" -- "$@"; fi
exec su -s /bin/sh "$hythe_user" -c 'exec "$@"' -- sh "$@"
"""
# Reads settings up to the line that ends them; the rest of standard input is the command's
_RUN = """\
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
hythe_end=$1 hythe_folder=$2 hythe_seconds=$3 hythe_user=$4; shift 4
hythe_all=
while IFS= read -r hythe_line && [ "$hythe_line" != "$hythe_end" ]; do hythe_all="$hythe_all$hythe_line
"; done
if [ -n "$hythe_user" ]; then
  eval "HOME=~$hythe_user"; USER=$hythe_user LOGNAME=$hythe_user; export HOME USER LOGNAME
fi
eval "$hythe_all"
if [ -n "$hythe_folder" ]; then cd -- "$hythe_folder" || exit 1; fi
if command -v timeout >/dev/null; then set -- timeout -k 10 "$hythe_seconds" "$@"; fi
unset hythe_end hythe_folder hythe_seconds hythe_user hythe_all hythe_line
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that ended. Outputs are text without the values of ``sensitive_environment``."""

    code: int
    stdout: str
    stderr: str


def run(host: Host, attributes: Mapping[str, Any], name: str, *, stdin: bool = True) -> Ran:
    """Run the command that the argument ``name`` holds. Raises ProviderError when its time is up."""
    script = attributes[name]
    words = ["sh", "-c", script] if isinstance(script, str) else list(script)
    seconds = math.ceil(duration_seconds(attributes["timeout"]))
    user = attributes.get("user") or ""
    end = secrets.token_hex(16)
    argv = ["sh", "-c", _RUN, "sh", end, attributes.get("directory") or "", str(seconds), user, *words]
    if user:
        argv = ["sh", "-c", _AS_USER, "sh", user, *argv]
    given = _settings(attributes, end) + (str(attributes.get("stdin") or "").encode() if stdin else b"")
    start = time.monotonic()
    done = host.run(argv, stdin=given, timeout=seconds + _GRACE_SECONDS)
    ran = _ran(done, attributes)
    if done.code == _TIMED_OUT and time.monotonic() - start >= seconds:
        raise ProviderError(
            error(
                "Command took too long",
                f"`{name}` on {host.name} did not end within {attributes['timeout']} and was stopped"
                f"{_last_lines(ran)}\nGive it more time with `timeout`, or look why it does not end.",
            )
        )
    return ran


def succeeded(ran: Ran, attributes: Mapping[str, Any]) -> bool:
    """Whether its exit code is one that means success."""
    return ran.code in (attributes.get("exit_codes") or (0,))


def require(host: Host, ran: Ran, attributes: Mapping[str, Any], name: str, partial: Any = None) -> None:
    """Raise ProviderError with the last lines of a command that failed."""
    if succeeded(ran, attributes):
        return
    raise ProviderError(
        error(
            "Command failed",
            f"`{name}` on {host.name} ended with code {ran.code}{_last_lines(ran)}\n{_advice(ran, attributes, name)}",
        ),
        partial=partial,
    )


def _advice(ran: Ran, attributes: Mapping[str, Any], name: str) -> str:
    if ran.code == 127:
        return "The program is not there: install it on the host, or write its whole path."
    if ran.code == 126:
        return "It may not be run by this user: make it executable, or name another `user`."
    if attributes.get("user") and "sudo:" in ran.stderr:
        return f"Log in as root, or let the user of the connection run sudo as {attributes['user']} without a password."
    return f"Mend what it says, or `{name}`, and apply again; a code that is no failure belongs into `exit_codes`."


def _settings(attributes: Mapping[str, Any], end: str) -> bytes:
    found = {**(attributes.get("environment") or {}), **(attributes.get("sensitive_environment") or {})}
    lines = [f"export {name}={shlex.quote(str(found[name]))}\n" for name in sorted(found)]
    return ("".join(lines) + end + "\n").encode()


def _ran(done: Completed, attributes: Mapping[str, Any]) -> Ran:
    secret = sorted((attributes.get("sensitive_environment") or {}).values(), key=len, reverse=True)

    def text(output: bytes) -> str:
        out = output[-KEPT_BYTES:].decode("utf-8", "replace").replace("\0", "\ufffd")
        for value in secret:
            if value.strip():
                out = out.replace(value, _MASK)
        return out

    return Ran(done.code, text(done.stdout), text(done.stderr))


def _last_lines(ran: Ran) -> str:
    text = ran.stderr.strip() or ran.stdout.strip()
    if not text:
        return " and printed nothing."
    return ". It printed last:" + "".join(f"\n  {line}" for line in text.splitlines()[-LAST_LINES:])
