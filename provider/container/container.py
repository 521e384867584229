"""The ``container`` kind: containers on Docker and Podman."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, ParamSpec, TypeVar

from hythe.diagnostic import Diagnostic, error
from hythe.provider.container import container_hints, container_make, container_swap
from hythe.provider.container.client import Engine, EngineError, refused, segment
from hythe.provider.container.container_files import digests
from hythe.provider.container.container_find import inspect_many, marked, observe_full, ours, read_many
from hythe.provider.container.container_links import links, moved_reference
from hythe.provider.container.container_make import never_started
from hythe.provider.container.container_networks import linked_ids, recalled_ids, reconnect
from hythe.provider.container.container_observe import UPDATABLE, refresh
from hythe.provider.container.container_run import inspect, remove, settle, start, stop
from hythe.provider.container.container_schema import ContainerData, ContainerModel
from hythe.provider.container.container_spec import limits_body, restart_body
from hythe.provider.container.labels import identity_of
from hythe.provider.container.shared_network import withdraw
from hythe.provider.protocol import (
    Attributes,
    Context,
    Found,
    Hint,
    Identity,
    Kind,
    Observed,
    Owned,
    PrepareContext,
    ProviderError,
    ReadContext,
    ReadRequest,
)
from hythe.provider.schema import Model, Path
from hythe.value import is_known

_REFERENCES = ("image", "mount")
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Container(Kind):
    """A container on Docker or Podman.

    Limits, the restart policy, networks and whether it runs change in place; the rest replaces it. It
    carries its ownership mark in labels. What `file` blocks put into it is not read back; their digests are
    compared instead.
    """

    name: ClassVar[str] = "container"
    marked = True
    rebuild_note = (
        "It is recovered by its mark. What only Hythe knows of it, like how long it waits for it, is what the "
        "configuration says."
    )
    model: ClassVar[type[Model]] = ContainerModel
    data_model: ClassVar[type[Model] | None] = ContainerData
    unique_name: ClassVar[bool] = True
    has_swap: ClassVar[bool] = True
    lag: ClassVar[float] = 10.0

    # -- pure ------------------------------------------------------------------------------

    def prepare(self, desired: Attributes, context: PrepareContext) -> tuple[Attributes, list[Diagnostic]]:
        """Default name, absolute paths of bound folders, digests of files."""
        out = dict(desired)
        problems: list[Diagnostic] = []
        if "name" not in out:
            out["name"] = context.default_name()
        if isinstance(out.get("mount"), list):
            out["mount"] = [_absolute_source(block, context.base_dir) for block in out["mount"]]
        if isinstance(out.get("file"), list):
            out["file"], problems = digests(out["file"], context)
        if out.get("file") and out.get("read_only") is True:
            problems.append(
                error(
                    "File on a read-only container",
                    "The engine puts no files into a container whose root file system is read-only. Leave out "
                    "`read_only`, or bring the files in by the image or a volume.",
                )
            )
        return out, problems

    def hint(self, path: Path, before: Any, after: Any, old: Attributes, new: Attributes) -> Hint | None:
        """What a change does, where it depends on the values or on the engine."""
        return container_hints.hint(path, before, after, old, new)

    def equal(self, path: Path, before: Any, after: Any, old: Attributes, new: Attributes) -> bool:
        """Whether two values mean the same to the engine."""
        return container_hints.equal(path, before, after, old, new)

    def linked(self, attributes: Attributes, seen: Attributes) -> Attributes:
        """The ids of networks under what the blocks call these now, as when it is made."""
        return attributes | linked_ids(attributes, seen)

    # -- one object ------------------------------------------------------------------------

    def create(self, context: Context, desired: Attributes) -> Attributes:
        """Make and start a container, and wait for its health where it is checked."""
        return _explained("Creating a container", container_make.create, context, desired)

    def update(self, context: Context, before: Attributes, desired: Attributes, changed: Sequence[str]) -> Attributes:
        """Change name, limits, restart policy, networks, and whether it runs."""
        return _explained("Changing a container", _update, context, before, desired, changed)

    def swap(self, context: Context, old: Identity, before: Attributes, desired: Attributes) -> Attributes:
        """Replace it, the old one kept until the new one is well."""
        return _explained("Replacing a container", container_swap.swap, context, old, before, desired)

    def delete(self, context: Context, before: Attributes) -> None:
        """Stop it with its grace and remove it with its unnamed volumes."""
        _explained("Removing a container", _delete, context, before)

    def import_object(self, context: Context, object_id: str) -> Attributes:
        """A container by name or engine id."""
        return _explained("Importing a container", _select, context.host.engine(), object_id)

    # -- many ------------------------------------------------------------------------------

    def read_many(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Observed]:
        """Observe containers: one inspection each over kept-alive connections."""
        return _explained("Reading containers", read_many, context.host.engine(), context.lineage, requests)

    def find(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Found]:
        """Containers that carry the instance ids; complete when started, or not meant to run."""
        return _explained("Looking for containers", _find, context, requests)

    def find_owned(self, context: ReadContext) -> list[Owned]:
        """Containers that carry the lineage."""
        return _explained("Looking for containers", _find_owned, context)

    def read_data(self, context: ReadContext, desired: Attributes) -> Attributes:
        """An existing container by name or id."""
        selected = str(desired.get("name") or desired.get("id"))
        return _explained("Reading a container", _select, context.host.engine(), selected)


def _explained(what: str, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call, with refusals that nobody foresaw turned into diagnostics."""
    try:
        return call(*args, **kwargs)
    except EngineError as failure:
        raise refused(failure, what) from failure


def _absolute_source(block: Any, base_dir: str) -> Any:
    source = block.get("source") if isinstance(block, dict) else None
    if not isinstance(source, str) or not source.startswith("."):
        return block
    return {**block, "source": os.path.normpath(os.path.join(os.path.abspath(base_dir), source))}


def _update(context: Context, before: Attributes, desired: Attributes, changed: Sequence[str]) -> Attributes:
    engine: Engine = context.host.engine()
    what = f'Changing container "{before.get("name")}"'
    told = ours(engine, context.identity, before.get("id"))
    if told is None:
        raise ProviderError(error("Container is gone", f"{what}: it was removed meanwhile. Plan and apply again."))
    if any(name in changed for name in _REFERENCES):
        moved_reference(context, engine, before, desired, what)
    _change_limits(engine, told, desired, changed, what)
    if "network" in changed:
        reconnect(engine, told, links(context, engine, desired, what).networks, what)
    if "name" in changed:
        container_swap.rename(engine, told["Id"], desired["name"], what)
    if "running" in changed or "must_run" in changed:
        _run_or_stop(context, engine, told, before, desired, what)
    after = inspect(engine, told["Id"])
    if after is None:
        raise ProviderError(error("Container is gone", f"{what}: it was removed meanwhile. Plan and apply again."))
    return container_make.made(engine, desired, links(context, engine, desired, what), after)


def _change_limits(
    engine: Engine, told: dict[str, Any], desired: Attributes, changed: Sequence[str], what: str
) -> None:
    body = limits_body(desired, [name for name in changed if name in UPDATABLE])
    if "memory_swap" in changed and "memory_swap" not in desired and "memory" in desired:
        body |= limits_body(desired, ["memory"])
    if "pids_limit" in changed and "pids_limit" not in desired:
        body["PidsLimit"] = -1
    if "restart" in changed:
        body["RestartPolicy"] = restart_body(desired.get("restart", "no"))
    if body:
        try:
            engine.request("POST", f"/containers/{told['Id']}/update", json=body)
        except EngineError as failure:
            raise refused(failure, what) from failure


def _run_or_stop(
    context: Context, engine: Engine, told: dict[str, Any], before: Attributes, desired: Attributes, what: str
) -> None:
    running = told["State"].get("Running")
    if not desired.get("running", True):
        if running:
            stop(engine, told, before, what)
        return
    if told["State"].get("Paused"):
        engine.request("POST", f"/containers/{told['Id']}/unpause")
    elif not running and (desired.get("must_run", True) or never_started(told)):
        start(engine, told["Id"], what)
    settle(context, engine, told["Id"], desired)


def _delete(context: Context, before: Attributes) -> None:
    engine: Engine = context.host.engine()
    what = f'Removing container "{before.get("name")}"'
    told = ours(engine, context.identity, before.get("id"))
    if told is None:
        return
    if told["State"].get("Running"):
        withdraw(context, before, told)
        stop(engine, told, before, what)
    remove(engine, told["Id"], what, force=True)


def _find(context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Found]:
    engine: Engine = context.host.engine()
    by_mark = marked(engine, lineage=context.lineage)
    wanted = {r.id: by_mark[r.id][0] for r in requests if r.id in by_mark}
    found = inspect_many(engine, wanted.values())
    out: dict[str, Found] = {}
    for request in requests:
        told = found.get(wanted.get(request.id, ""))
        if told is not None:
            intended = dict(request.attributes)
            # the engine's ids are not known to an intent; the container remembers its networks itself
            seen = {**intended, "id": told["Id"], "network_ids": recalled_ids(told)} if intended else {}
            attributes = refresh(seen, told, engine.info) if seen else observe_full(engine, told)
            out[request.id] = Found(attributes, _complete(intended, told))
    return out


def _complete(intended: Attributes, told: dict[str, Any]) -> bool:
    """Whether its creation had come to the end: everything is in place before the start, and the name is last."""
    if intended.get("name") not in (None, told["Name"].lstrip("/")):
        return False
    if (told["State"].get("Health") or {}).get("Status") == "unhealthy":
        return False
    if intended.get("running", True):
        return not never_started(told) and (bool(told["State"].get("Running")) or not intended.get("must_run", True))
    return not intended.get("file") and len(intended.get("network", ())) < 2


def _find_owned(context: ReadContext) -> list[Owned]:
    engine: Engine = context.host.engine()
    by_mark = marked(engine, lineage=context.lineage)
    images: dict[str, Any] = {}
    out: list[Owned] = []
    for told in inspect_many(engine, [i for ids in by_mark.values() for i in ids]).values():
        identity = identity_of(told["Config"].get("Labels"))
        if identity is not None:
            out.append(Owned(identity, observe_full(engine, told, images)))
    return sorted(out, key=lambda o: (o.identity.address, o.identity.id))


def _select(engine: Engine, name_or_id: str) -> Attributes:
    told = inspect(engine, segment(name_or_id))
    if told is None:
        raise ProviderError(
            error("Container not found", f'There is no container with the name or id "{name_or_id}" on this engine.')
        )
    return {k: v for k, v in observe_full(engine, told).items() if is_known(v)}
