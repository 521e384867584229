"""The ``volume`` kind: volumes of the container engine.

Engines make a volume idempotently by its name and cannot change one. So a name is looked up before it is
taken, and every change of what the engine keeps replaces the volume with the loss of its content, which
the plan refuses unless ``allow_data_loss`` is set. What state cannot recover: the ``seed`` a volume was
made with, and any mark on an imported one (labels cannot be added).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hythe.diagnostic import Diagnostic, error
from hythe.provider.container import usage
from hythe.provider.container.client import Engine, EngineError, refused, segment
from hythe.provider.container.inputs import digest
from hythe.provider.container.labels import filters, identity_of, mark, strip, whose
from hythe.provider.container.volume_model import VolumeData, VolumeModel
from hythe.provider.container.volume_seed import put_content, remove_helpers, seed_archive
from hythe.provider.protocol import (
    Attributes,
    Context,
    Found,
    Hint,
    Host,
    Kind,
    Observed,
    Owned,
    PrepareContext,
    Presence,
    ProviderError,
    ReadContext,
    ReadRequest,
)
from hythe.provider.schema import Effect, Path
from hythe.value import STRING, Unknown, is_known

_FROM_STATE = ("type", "host", "seed", "protected", "allow_data_loss", "content_hash", "imported")


class Volume(Kind):
    """A volume of the engine.

    It outlives the containers that use it. Replacing it loses what is in it, and needs `allow_data_loss`;
    removing it is refused while it is `protected`.
    """

    name = "volume"
    model = VolumeModel
    data_model = VolumeData
    lag = 10.0

    def prepare(self, desired: Attributes, context: PrepareContext) -> tuple[Attributes, list[Diagnostic]]:
        """Give it a name when it has none, and hash what it is seeded with."""
        out = {"name": context.default_name()} | desired
        seed = desired.get("seed")
        if not seed:
            return out, []
        if not is_known(seed):
            return out | {"content_hash": Unknown(STRING)}, []
        argument = "source" if "source" in seed else "archive"
        found, problems = digest(context, seed[argument], f"seed.{argument}")
        return (out if found is None else out | {"content_hash": found}), problems

    def hint(self, path: Path, before: Any, after: Any, old: Attributes, new: Attributes) -> Hint | None:
        """Why a change loses data."""
        if path == ("host",):
            return Hint(Effect.REPLACE, "content does not move with it", data_loss=True)
        if path == ("seed",):
            return Hint(Effect.REPLACE, "a volume is seeded only when it is made", data_loss=True)
        if path == ("content_hash",):
            return Hint(Effect.REPLACE, "the content of the seed changed", data_loss=True)
        if path == ("labels",):
            return Hint(Effect.REPLACE, "engines cannot change labels of a volume", data_loss=True)
        return None

    # -- making and removing -------------------------------------------------------------------

    def create(self, context: Context, desired: Attributes) -> Attributes:
        """Make and seed the volume; one that an earlier, interrupted call made is finished."""
        engine: Engine = context.host.engine()
        name = desired["name"]
        what = f'Creating volume "{name}"'
        there = _inspect(engine, name)
        if there is not None and identity_of(there.get("Labels")) != context.identity:
            raise ProviderError(_taken(name, there, context.identity.lineage))
        context.progress(f"creating volume {name}")
        body = {
            "Name": name,
            "Driver": desired["driver"],
            "DriverOpts": desired.get("driver_options") or {},
            "Labels": {**(desired.get("labels") or {}), **mark(context.identity)},
        }
        try:
            engine.request("POST", "/volumes/create", json=body)
            if desired.get("seed"):
                self._seed(context, engine, desired, what)
        except EngineError as failure:
            _discard(engine, name)
            raise refused(failure, what) from failure
        except ProviderError:
            _discard(engine, name)
            raise
        made = _inspect(engine, name)
        if made is None:
            raise ProviderError(error("Volume vanished", f"{what}: the engine made it and no longer has it."))
        return _observe(made, desired)

    def _seed(self, context: Context, engine: Engine, desired: Attributes, what: str) -> None:
        remove_helpers(engine, context.identity.id)
        with seed_archive(desired["seed"], context.base_dir, what) as content:
            context.progress(f"filling volume {desired['name']}")
            context.check()
            put_content(engine, desired["name"], content, context.identity.id)

    def update(self, context: Context, before: Attributes, desired: Attributes, changed: Sequence[str]) -> Attributes:
        """Only ``protected`` and ``allow_data_loss`` change in place, and the engine knows nothing of them."""
        there = _inspect(context.host.engine(), before["name"])
        if there is None:
            raise ProviderError(
                error(
                    "Volume not found",
                    f'Changing volume "{before["name"]}": the engine no longer has it. Plan again.',
                )
            )
        known = {k: v for k, v in before.items() if k not in changed}
        return _observe(there, known | {k: desired[k] for k in changed if k in desired})

    def delete(self, context: Context, before: Attributes) -> None:
        """Remove the volume and its content."""
        engine: Engine = context.host.engine()
        name = before["name"]
        what = f'Removing volume "{name}"'
        if before.get("protected"):
            raise ProviderError(
                error(
                    "Protected volume",
                    f"{what}: it is protected, so that its content cannot be lost by mistake. "
                    "Set `protected = false`, apply that, and then remove it.",
                )
            )
        there = _inspect(engine, name)
        if there is None or not _is_ours(there, context.identity.id, before):
            return
        remove_helpers(engine, context.identity.id)
        users = [u for u in usage.containers(engine, volume=[name]) if u.state != "removing"]
        if users:
            raise ProviderError(
                error(
                    "Volume still in use",
                    f"{what}: {usage.listed(users)} still uses it. Remove what uses it and apply again.",
                )
            )
        try:
            usage.when_free(lambda: _remove(engine, name), context.check)
        except EngineError as failure:
            if failure.status != 404:
                raise refused(failure, what) from failure

    # -- looking -------------------------------------------------------------------------------

    def read_many(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Observed]:
        """Observe volumes with one list call."""
        by_name = {item["Name"]: item for item in _listed(context.host.engine())}
        out: dict[str, Observed] = {}
        for request in requests:
            item = by_name.get(request.attributes.get("name", ""))
            ours = item is not None and _is_ours(item, request.id, request.attributes)
            out[request.id] = _observe(item, request.attributes) if item and ours else Presence.ABSENT
        return out

    def find(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Found]:
        """Volumes that carry the ids asked for. Whether a seed got in whole cannot be told, so that is no."""
        items = _listed(context.host.engine())
        marked = {i.id: item for item in items if (i := identity_of(item.get("Labels"))) is not None}
        return {
            r.id: Found(_observe(marked[r.id], r.attributes), complete=not r.attributes.get("seed"))
            for r in requests
            if r.id in marked
        }

    def find_owned(self, context: ReadContext) -> list[Owned]:
        """Every volume that carries the lineage."""
        found = _listed(context.host.engine(), filters(lineage=context.lineage))
        pairs = [(identity_of(item.get("Labels")), item) for item in found]
        return [Owned(i, _observe(item, {})) for i, item in pairs if i is not None and context.is_mine(i)]

    def import_object(self, context: Context, object_id: str) -> Attributes:
        """A volume by name. It carries no mark afterwards either: the state alone says that it is ours."""
        return _selected(context.host, object_id, "Importing") | {"imported": True}

    def read_data(self, context: ReadContext, desired: Attributes) -> Attributes:
        """A volume by name."""
        found = _selected(context.host, desired["name"], "Reading")
        return {k: v for k, v in found.items() if k in VolumeData.model_fields}


def _selected(host: Host, name: str, doing: str) -> Attributes:
    engine: Engine = host.engine()
    item = _inspect(engine, name)
    if item is None:
        raise ProviderError(
            error(
                "Volume not found",
                f'{doing} volume "{name}": the engine of {host.name} has none of that name. '
                f"`{engine.kind} volume ls` shows those it has.",
            )
        )
    return _observe(item, {})


def _inspect(engine: Engine, name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = engine.request("GET", f"/volumes/{segment(name)}").json()
    except EngineError as failure:
        if failure.status == 404:
            return None
        raise refused(failure, f'Looking for volume "{name}"') from failure
    return found


def _listed(engine: Engine, wanted: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = engine.request("GET", "/volumes", query={"filters": wanted}).json()["Volumes"]
    except EngineError as failure:
        raise refused(failure, "Listing volumes") from failure
    return found or []


def _observe(item: Mapping[str, Any], known: Mapping[str, Any]) -> Attributes:
    kept = {k: known[k] for k in _FROM_STATE if k in known}
    out: Attributes = {"type": "engine", "protected": False, "allow_data_loss": False} | kept
    out |= {"name": item["Name"], "driver": item.get("Driver") or "local"}
    if item.get("Options"):
        out["driver_options"] = {k: str(v) for k, v in sorted(item["Options"].items())}
    labels = strip(item.get("Labels"))
    if labels:
        out["labels"] = labels
    for ours, theirs in (("mountpoint", "Mountpoint"), ("created", "CreatedAt")):
        if item.get(theirs):
            out[ours] = item[theirs]
    return out


def _is_ours(item: Mapping[str, Any], id: str, known: Mapping[str, Any]) -> bool:
    # a volume's engine id is its name, so one that somebody made again under that name must not pass
    identity = identity_of(item.get("Labels"))
    return bool(known.get("imported")) or (identity is not None and identity.id == id)


def _taken(name: str, item: Mapping[str, Any], lineage: str) -> Diagnostic:
    return error(
        "Name already taken",
        f'Creating volume "{name}": the engine has a volume of that name already. '
        f"{whose(identity_of(item.get('Labels')), lineage)} "
        "Choose another name, remove that volume, or take it into the state with `hythe import`.",
    )


def _remove(engine: Engine, name: str) -> None:
    engine.request("DELETE", f"/volumes/{segment(name)}")


def _discard(engine: Engine, name: str) -> None:
    try:
        _remove(engine, name)
    except EngineError as failure:
        if failure.status != 404:
            raise refused(failure, f'Removing the unfinished volume "{name}"') from failure
