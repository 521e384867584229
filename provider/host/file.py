"""The ``file`` kind: content, permissions and owner of a file on a host.

A file carries no mark. It is Hythe's because the state says so: creating refuses a path where something
is already, and what a killed run had begun is recognised by its content. ``state rebuild`` cannot find
files again.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from hythe.diagnostic import Diagnostic, error
from hythe.provider.connection.files import FileFacts, HostFiles, files_of
from hythe.provider.container.inputs import digest, located, unreadable
from hythe.provider.host.file_model import CONTENT, FileData, FileModel
from hythe.provider.protocol import (
    Attributes,
    Context,
    Found,
    Identity,
    Kind,
    Observed,
    Owned,
    PrepareContext,
    Presence,
    ProviderError,
    ReadContext,
    ReadRequest,
)
from hythe.value import STRING, Unknown

SHOWN_BYTES = 1 << 20
"""Content up to this size is read to be shown when it was changed by somebody else."""


class File(Kind):
    """A file on a host, with its content, permissions and owner.

    The file is put in place in one step, so that nobody ever reads half of it. Changes made to it behind
    Hythe's back are seen and mended. A path where somebody else's file is already is refused, unless
    `overwrite` allows to replace it. Deleting the resource deletes the file, whatever it holds by then.
    """

    name = "file"
    rebuild_note = (
        "It has no mark: a file that holds exactly what is declared, with its permissions, is taken in. Take "
        "others in with `hythe import`, as the next apply refuses to write over them."
    )
    model = FileModel
    data_model = ephemeral_model = FileData
    unique_name = False

    def prepare(self, desired: Attributes, context: PrepareContext) -> tuple[Attributes, list[Diagnostic]]:
        """Fill in the mode, and the digest of what is copied."""
        out = dict(desired)
        out.setdefault("mode", "0600" if "sensitive_content" in out else "0644")
        source = out.get("source")
        if source is None:
            return out, []
        if isinstance(source, Unknown):
            out["source_hash"] = Unknown(STRING)
            return out, []
        try:
            if not context.reader.exists(located(context.base_dir, source)):
                return out, [_no_source(source, context.base_dir)]
        except OSError as failure:
            return out, [unreadable("source", source, located(context.base_dir, source), failure)]
        found, problems = digest(context, source, "source")
        if found is not None:
            out["source_hash"] = found
        return out, problems

    def fitted(self, seen: Attributes, wanted: Mapping[str, Any]) -> Attributes:
        """The content in the way the configuration gives it, where it is the same."""
        out = seen | {n: wanted[n] for n in ("create_folders", "overwrite") if n in wanted}
        given = next((n for n in CONTENT if n in wanted), None)
        if given is None or _expected(dict(wanted)) != _sha256(_content(seen, "")):
            return out
        told = {n: wanted[n] for n in (given, "source_hash") if n in wanted}
        return {n: v for n, v in out.items() if n not in CONTENT} | told

    # -- making, changing, removing ------------------------------------------------------------

    def create(self, context: Context, desired: Attributes) -> Attributes:
        """Write the file where nothing is yet."""
        path, files = desired["path"], files_of(context.host)
        content = _content(desired, context.base_dir)
        made: list[str] = []
        with _explained(f"Creating {path}", path):
            there = files.facts(path)
            if there is not None and not desired.get("overwrite"):
                raise ProviderError(_taken(path, there))
            context.progress(f"writing {path}")
            if desired.get("create_folders", True):
                made = files.make_folders(os.path.dirname(path))
            try:
                _write(files, desired, content, replace=bool(desired.get("overwrite")))
            except BaseException:
                files.remove_empty(made)
                raise
            return _observe(files, desired | ({"folders": made} if made else {}))

    def update(self, context: Context, before: Attributes, desired: Attributes, changed: Sequence[str]) -> Attributes:
        """Write the file anew when its content differs, else only change its access."""
        path, files = desired["path"], files_of(context.host)
        content = _content(desired, context.base_dir)
        kept = {"folders": before["folders"]} if before.get("folders") else {}
        with _explained(f"Changing {path}", path):
            there = files.facts(path)
            if there is not None and there.type == "file" and files.digest(path) == _sha256(content):
                files.set_access(path, int(desired["mode"], 8), desired.get("owner"), desired.get("group"))
            else:
                context.progress(f"writing {path}")
                _write(files, desired, content, replace=True)
            return _observe(files, desired | kept)

    def delete(self, context: Context, before: Attributes) -> None:
        """Remove the file, and folders that were made for it when they are empty."""
        path, files = before["path"], files_of(context.host)
        with _explained(f"Deleting {path}", path):
            files.remove(path)
            files.remove_empty(before.get("folders") or [])

    # -- looking -------------------------------------------------------------------------------

    def read_many(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Observed]:
        """Look at each file; content is read only where its digest has changed."""
        files = files_of(context.host)
        out: dict[str, Observed] = {}
        for request in requests:
            path = request.attributes["path"]
            with _explained(f"Reading {path}", path):
                there = files.facts(path) is not None
                out[request.id] = _observe(files, dict(request.attributes)) if there else Presence.ABSENT
        return out

    def find(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Found]:
        """Files that hold exactly what was to be written: they appear whole or not at all."""
        files = files_of(context.host)
        out: dict[str, Found] = {}
        for request in requests:
            wanted = dict(request.attributes)
            path = wanted["path"]
            with _explained(f"Reading {path}", path):
                there = files.facts(path)
                expected = _expected(wanted)
                if there is None or there.type != "file" or expected is None:
                    continue
                if files.digest(path) == expected and f"{there.mode:04o}" == wanted.get("mode"):
                    out[request.id] = Found(_observe(files, wanted), complete=True)
        return out

    def find_owned(self, context: ReadContext) -> list[Owned]:
        """None: files carry no mark."""
        return []

    def recognise(self, context: ReadContext, requests: Sequence[ReadRequest]) -> list[Owned]:
        """Files that hold exactly what is wanted, with the permissions that are wanted."""
        found = self.find(context, requests)
        addresses = {r.id: r.address for r in requests}
        return [Owned(Identity(context.lineage, addresses[id], id), f.attributes) for id, f in found.items()]

    def import_object(self, context: Context, object_id: str) -> Attributes:
        """The file at a path, with its content as text or base64."""
        if not object_id.startswith("/"):
            raise ProviderError(
                error("Not an absolute path", f'Files are imported by absolute path, and "{object_id}" is none.')
            )
        path = os.path.normpath(object_id)
        content, there = _existing(files_of(context.host), path, "Importing")
        access = {"mode": f"{there.mode:04o}", "owner": there.owner, "group": there.group}
        settings = {"create_folders": True, "overwrite": False}
        return {"path": path} | _as_content(content) | access | settings

    def read_data(self, context: ReadContext, desired: Attributes) -> Attributes:
        """The file at a path."""
        path = desired["path"]
        content, there = _existing(files_of(context.host), path, "Reading")
        access = {"mode": f"{there.mode:04o}", "owner": there.owner, "group": there.group}
        encoded = {"content_base64": base64.b64encode(content).decode()}
        return desired | _as_content(content) | encoded | access | {"hash": _sha256(content)}


def _content(desired: Attributes, base_dir: str) -> bytes:
    if "content_base64" in desired:
        return base64.b64decode(desired["content_base64"])
    if "source" not in desired:
        text: str = desired["content"] if "content" in desired else desired["sensitive_content"]
        return text.encode()
    source = located(base_dir, desired["source"])
    try:
        with open(source, "rb") as file:
            content = file.read()
    except OSError as failure:
        raise ProviderError(unreadable("source", desired["source"], source, failure)) from failure
    if desired.get("source_hash") not in (None, _sha256(content)):
        raise ProviderError(
            error(
                "File changed since the plan",
                f"{source} is not what it was when the plan was made, so it was not copied. Plan again.",
            )
        )
    return content


def _expected(attributes: Attributes) -> str | None:
    if "source" in attributes:
        found = attributes.get("source_hash")
        return found if isinstance(found, str) else None
    if any(isinstance(attributes.get(name), Unknown) for name in CONTENT):
        return None
    return _sha256(_content(attributes, ""))


def _sha256(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


def _write(files: HostFiles, desired: Attributes, content: bytes, *, replace: bool) -> None:
    mode = int(desired["mode"], 8)
    files.write(desired["path"], content, mode, desired.get("owner"), desired.get("group"), replace=replace)


def _observe(files: HostFiles, known: Attributes) -> Attributes:
    """What is at the path, in the terms of ``known`` attributes: those say which kind of content to report."""
    path = known["path"]
    there = files.facts(path)
    if there is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    out = dict(known)
    out["mode"] = f"{there.mode:04o}"
    out["owner"] = _as_named(known.get("owner"), str(there.uid), there.owner)
    out["group"] = _as_named(known.get("group"), str(there.gid), there.group)
    found = files.digest(path) if there.type == "file" else f"{there.type}:"
    if found != _expected(known):
        _report_drift(files, out, there, found)
    return out


def _as_named(known: object, number: str, name: str) -> str:
    return number if isinstance(known, str) and known.isdigit() else name


def _report_drift(files: HostFiles, out: Attributes, there: FileFacts, found: str) -> None:
    argument = next(name for name in CONTENT if name in out)
    if argument == "source":
        out["source_hash"] = found
    elif there.type != "file":
        out[argument] = f"(a {there.type} is there)"
    elif there.size > SHOWN_BYTES:
        out[argument] = f"(other content, {there.size} bytes, {found})"
    else:
        content = files.read(out["path"])
        if argument == "content_base64":
            out[argument] = base64.b64encode(content).decode()
        else:
            out[argument] = content.decode("utf-8", "backslashreplace")


def _as_content(content: bytes) -> Attributes:
    try:
        return {"content": content.decode()}
    except UnicodeDecodeError:
        return {"content_base64": base64.b64encode(content).decode()}


def _existing(files: HostFiles, path: str, doing: str) -> tuple[bytes, FileFacts]:
    with _explained(f"{doing} {path}", path):
        there = files.facts(path)
        if there is None or there.type != "file":
            what = "nothing" if there is None else f"a {there.type}"
            raise ProviderError(
                error("File not found", f"{doing} {path}: there is {what} at that path. Check how it is written.")
            )
        return files.read(path), there


def _no_source(source: str, base_dir: str) -> Diagnostic:
    missing = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return unreadable("source", source, located(base_dir, source), missing)


def _taken(path: str, there: FileFacts) -> Diagnostic:
    what = {"file": "a file", "folder": "a folder", "link": "a symbolic link"}.get(there.type, "something")
    return error(
        "File already exists",
        f"There is {what} at {path} already, and this state did not make it. Move it away, choose another path, take "
        "it into the state with `hythe import`, or set overwrite = true to replace it.",
    )


@contextlib.contextmanager
def _explained(doing: str, path: str) -> Iterator[None]:
    try:
        yield
    except FileExistsError as failure:
        raise ProviderError(
            error("File already exists", f"{doing}: somebody else put something there just now. Plan again.")
        ) from failure
    except LookupError as failure:
        name = str(failure).rpartition(": ")[2].strip("'\"")
        raise ProviderError(
            error(
                "No such user or group",
                f"{doing}: the host has no user or group {name}. Make it first, or give a number.",
            )
        ) from failure
    except OSError as failure:
        raise ProviderError(_failed(doing, path, failure)) from failure


def _failed(doing: str, path: str, failure: OSError) -> Diagnostic:
    if isinstance(failure, PermissionError):
        return error(
            "File not permitted",
            f"{doing}: this user may not do that ({failure.filename or path}: {failure.strerror}). Run Hythe as a user "
            "that may, or choose another path or owner.",
        )
    if isinstance(failure, IsADirectoryError):
        return error("A folder is in the way", f"{doing}: a folder is at that path. Remove it, or choose another path.")
    if isinstance(failure, (FileNotFoundError, NotADirectoryError)):
        return error(
            "Folder missing",
            f"{doing}: the folder {os.path.dirname(path)} does not exist or is no folder. "
            "Make it, or set create_folders = true.",
        )
    if failure.errno == errno.ENOSPC:
        return error("No space left on the host", f"{doing}: the disk is full. Free some space and apply again.")
    return error("File operation failed", f"{doing}: {failure.strerror or failure}.")
