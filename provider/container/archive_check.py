"""Whether an archive may be unpacked: no name in it may lead out of where it is unpacked."""

from __future__ import annotations

import tarfile

from hythe.diagnostic import Diagnostic, error


def unsafe_member(member: tarfile.TarInfo) -> str | None:
    """What is wrong with a member, as the rest of a sentence, or None."""
    if _leads_out(member.name):
        return f'has a member "{member.name}" that leads out of it'
    if member.islnk() and _leads_out(member.linkname):
        return f'has a hard link "{member.name}" to "{member.linkname}", which leads out of it'
    return None


def _leads_out(name: str) -> bool:
    return name.startswith("/") or ".." in name.split("/")


def refuse_unsafe(path: str, member: tarfile.TarInfo, what: str) -> Diagnostic | None:
    """The diagnostic of an unsafe member of the archive at ``path``, or None."""
    wrong = unsafe_member(member)
    if wrong is None:
        return None
    return error(
        "Unsafe archive",
        f"{what}: the archive {path} {wrong}. Hythe unpacks only archives whose names are relative and have no "
        "`..` in them: pack it again with such names.",
    )


def unreadable_archive(path: str, what: str, failure: Exception) -> Diagnostic:
    """The diagnostic of a file that is no archive or is damaged."""
    return error(
        "Archive not readable",
        f"{what}: {path} cannot be read as a tar archive ({failure}). A tar file is needed, plain or compressed with "
        "gzip, bzip2 or xz.",
    )
