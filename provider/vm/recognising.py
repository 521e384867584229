"""Which volumes of pools are a state's own, when the state that knew them is lost."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hythe.provider.protocol import Found, Identity, Owned, ReadContext, ReadRequest
from hythe.provider.vm.vm_read import files_of

Find = Callable[[ReadContext, Sequence[ReadRequest]], dict[str, Found]]


def recognise(
    context: ReadContext, requests: Sequence[ReadRequest], ending: str, find: Find, *, below: bool
) -> list[Owned]:
    """Those whose files the state's VMs use, by their names: these carry the beginning of the id that they had.

    ``ending`` is a pattern for what a file's name has after name and id. ``below``: the VMs' disks are layers on
    such files. ``find`` finds the volumes with the ids that were recognised.
    """
    wanted: list[tuple[ReadRequest, str]] = []
    used: dict[Any, tuple[set[str], set[str]]] = {}
    for request in requests:
        uri = request.attributes.get("uri")
        if uri not in used:
            used[uri] = files_of(context.host.hypervisor(uri), context.lineage)
        form = re.compile(rf"{re.escape(str(request.attributes['name']))}\.([0-9a-f]{{8}})\.{ending}")
        ids = {m[1] for path in used[uri][below] if (m := form.fullmatch(os.path.basename(path)))}
        if len(ids) == 1:
            wanted.append((request, ids.pop() + request.id[8:]))
    found = find(context, [ReadRequest(id, r.address, r.attributes) for r, id in wanted])
    addresses: Mapping[str, str] = {id: r.address for r, id in wanted}
    return [Owned(Identity(context.lineage, addresses[id], id), f.attributes) for id, f in found.items()]
