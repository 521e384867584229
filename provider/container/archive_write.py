"""Writing archives that an engine unpacks into a container.

Podman copies such an archive into a process of its own that stops reading at the two empty blocks of the end
mark. What follows them, and tar programs fill up to a record of 10,240 bytes, may then meet a closed pipe,
and the engine refuses an archive that it has unpacked whole ("passing bulk input to subprocess: broken
pipe", buildah issue 6573). So nothing follows the mark.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


@contextmanager
def packed(out: IO[bytes]) -> Iterator[tarfile.TarFile]:
    """A tar archive to write into ``out``, an empty file. Then ``out`` ends at the mark, and stands at its start."""
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as target:
        yield target
    out.truncate(target.offset)  # which counts the end mark, and not what fills the record
    out.seek(0)
