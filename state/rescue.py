"""What a user can do about a state that cannot be read."""

from __future__ import annotations

from shlex import quote

import orjson

from hythe.diagnostic import DiagnosticError
from hythe.state.backends.base import Backend, Records
from hythe.state.codec import BadSnapshot, Snapshot, decode_snapshot
from hythe.state.journal import JournalDamaged

_VERSIONS = (
    "`hythe state history` lists the versions that are kept, and `hythe state history --restore` brings one back"
)


def put_back(backend: Backend, digest: str) -> str:
    """How to bring back the snapshot of that digest, as the end of a sentence; empty where there is no way."""
    backup = _backup(backend)
    if backup is None or backup.digest != digest or backend.paths is None:
        return ""
    return (
        f" (`{_copy(backend.paths.backup, backend.paths.state)}`: the backup is the file that the journal goes on from)"
    )


def rescue(backend: Backend) -> str:
    """What to do about a snapshot that cannot be used, in sentences."""
    paths = backend.paths
    if paths is None:
        return backend.rescue or f"{_VERSIONS}."
    backup = _backup(backend)
    # without a backup, a journal that goes on from nothing holds all that was ever done
    digest = backup.digest if backup is not None else "" if _read_backup(backend) is None else None
    back = (
        f"mv {quote(paths.state)} {quote(paths.state + '.bad')}" if backup is None else _copy(paths.backup, paths.state)
    )
    for path, read in ((paths.journal, backend.read_journal), (paths.old_journal, backend.read_old_journal)):
        try:
            header = _header(read())
        except (OSError, JournalDamaged, DiagnosticError):
            continue
        if header is not None and digest is not None and header == digest:
            move = "" if path == paths.journal else f" && {_copy(path, paths.journal)}"
            return (
                f"Nothing is lost: `{back}{move}` brings back the state before, with the record of what was done "
                "since; then run the command again."
            )
    if backup is None and _has_versions(backend):
        return f"There is no usable backup beside it, and there are versions from before: {_VERSIONS}."
    if backup is None:
        return (
            "There is no usable backup beside it. Restore the file from a copy; or move it away, and take the "
            "objects back into a new state with `hythe state rebuild` or `hythe import`."
        )
    return (
        f"The state before is in {paths.backup} (serial {backup.state.serial}, {len(backup.state.instances)} "
        f"instances): `{back}` brings it back. What was made since is not in it; `hythe plan` shows the "
        "difference, and `hythe import` takes objects in."
    )


def put_back_lost(backend: Backend) -> str | None:
    """How to bring back a state whose file and journal are gone, in sentences; None where nothing is left of it."""
    paths = backend.paths
    if paths is None:
        return None
    backup = _backup(backend)
    try:
        header = _header(backend.read_old_journal())
    except (OSError, JournalDamaged, DiagnosticError):
        header = None
    steps = [] if backup is None else [_copy(paths.backup, paths.state)]
    whole = header is not None and header == (backup.digest if backup is not None else "")
    if whole:
        steps.append(_copy(paths.old_journal, paths.journal))
    if not steps:
        return f"{_VERSIONS}." if _has_versions(backend) else None
    less = "" if whole else " What was done after that is not in it; `hythe plan` then shows the difference."
    return f"`{' && '.join(steps)}` brings it back as it was{'' if whole else ' one change before'}.{less}"


def _copy(source: str, target: str) -> str:
    return f"cp {quote(source)} {quote(target)}"


def _header(journal: Records) -> str | None:
    """The digest of the snapshot that a journal goes on from; None without a journal."""
    try:
        return str(orjson.loads(journal.records[0])["snapshot"])
    except (IndexError, ValueError, KeyError, TypeError):
        return None


def _read_backup(backend: Backend) -> bytes | None:
    try:
        return backend.read_backup()
    except (OSError, DiagnosticError):
        return b""


def _has_versions(backend: Backend) -> bool:
    try:
        return bool(backend.versions())
    except OSError:
        return False


def read_backup_snapshot(backend: Backend) -> Snapshot | None:
    """The snapshot before, None when there is none. Raises OSError and :class:`~hythe.state.codec.BadSnapshot`."""
    data = backend.read_backup()
    return None if data is None else decode_snapshot(data)


def _backup(backend: Backend) -> Snapshot | None:
    try:
        return read_backup_snapshot(backend)
    except (OSError, BadSnapshot, DiagnosticError):
        return None
