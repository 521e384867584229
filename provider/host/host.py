"""The ``host`` kind: an existing machine and its engine."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from hythe.diagnostic import Diagnostic, error, warning
from hythe.provider.host.facts import Facts, gather
from hythe.provider.host.host_model import HostData, HostModel
from hythe.provider.host.setup import answers, install, missing
from hythe.provider.hosts import LOCAL, open_host
from hythe.provider.protocol import (
    Attributes,
    Context,
    Found,
    Host,
    HostUnreachable,
    Identity,
    Kind,
    Observed,
    Owned,
    PrepareContext,
    ProviderError,
    ReadContext,
    ReadRequest,
)
from hythe.provider.schema import Effect, Path

_SSH_FILES = ("key_file", "known_hosts")
_AT_ONCE = 8


class HostKind(Kind):
    """An existing machine that other resources are made on with `host = host.NAME`.

    It is this machine, or one that is reached over SSH: one connection, with strict host keys, carries engine, commands
    and files. Applying connects, installs what `install` asks for, and reads facts; deleting forgets the machine, on
    which everything stays as it is. A machine without an engine can hold files.
    """

    name = "host"
    rebuild_note = "It comes back with the configuration, and what is on it by its marks, if it can be reached."
    is_machine = True
    model = HostModel
    data_model = HostData
    on_host = False
    unique_name = False

    def prepare(self, desired: Attributes, context: PrepareContext) -> tuple[Attributes, list[Diagnostic]]:
        """Make the paths of files absolute, so that they mean the same from any folder."""
        from hythe.provider.container.inputs import located

        def absolute(block: Attributes, names: Sequence[str]) -> Attributes:
            return block | {n: located(context.base_dir, block[n]) for n in names if isinstance(block.get(n), str)}

        out = dict(desired)
        engine, ssh = desired.get("engine"), desired.get("ssh")
        if isinstance(engine, dict):
            out["engine"] = absolute(engine, ("ca", "cert", "key"))
        if isinstance(ssh, dict):
            out["ssh"] = absolute(ssh, _SSH_FILES)
            if isinstance(ssh.get("jump"), list):
                out["ssh"]["jump"] = [absolute(j, _SSH_FILES) if isinstance(j, dict) else j for j in ssh["jump"]]
        return out, []

    def hint(self, path: Path, before: Any, after: Any, old: Attributes, new: Attributes) -> Any:
        """Another engine is another host; other certificates for the same one are not."""
        from hythe.provider.protocol import Hint

        if path != ("engine",):
            return None
        if _which(before) == _which(after):
            return Hint(Effect.LIVE)
        return Hint(Effect.REPLACE, "another engine")

    def create(self, context: Context, desired: Attributes) -> Attributes:
        """Connect, install what is asked for, and read facts."""
        return _set_up(context, desired, None)

    def update(self, context: Context, before: Attributes, desired: Attributes, changed: Sequence[str]) -> Attributes:
        """The same; another way to reach it must lead to the same machine."""
        return _set_up(context, desired, before.get("machine_id"))

    def delete(self, context: Context, before: Attributes) -> None:
        """Nothing to do: the machine stays as it is, and its record goes."""

    def read_many(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Observed]:
        """Read facts again; a host that is out of reach keeps those it had, with a warning."""

        def read(request: ReadRequest) -> Observed:
            settings = dict(request.attributes)
            try:
                shared = _shared(context, request)
                return _observe_on(shared, settings) if shared is not None else _observe(request.address, settings)
            except HostUnreachable as failure:
                # not raised: one host out of reach must not keep the others from being read
                context.notices += [warning(d.summary, d.detail, address=request.address) for d in failure.diagnostics]
                return settings

        if len(requests) == 1:
            return {requests[0].id: read(requests[0])}
        # each waits for its own machine, some for one that does not answer
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="host") as pool:
            return dict(zip((r.id for r in requests), pool.map(read, requests), strict=True))

    def find(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Found]:
        """Nothing is left behind by a killed run, as nothing is made."""
        return {}

    def find_owned(self, context: ReadContext) -> list[Owned]:
        """None: nothing on a machine tells that it is a host."""
        return []

    def recognise(self, context: ReadContext, requests: Sequence[ReadRequest]) -> list[Owned]:
        """Machines that can be reached the way the configuration says."""
        out: list[Owned] = []
        for request in requests:
            try:
                attributes = _observe(request.address, dict(request.attributes))
            except HostUnreachable as failure:
                context.notices += [warning(d.summary, d.detail, address=request.address) for d in failure.diagnostics]
                continue
            out.append(Owned(Identity(context.lineage, request.address, request.id), attributes))
        return out

    def import_object(self, context: Context, object_id: str) -> Attributes:
        """The local machine, as ``local``, one over SSH as ``ssh://user@host``, or an engine by its endpoint."""
        if object_id.startswith("ssh://"):
            return _observe(context.identity.address, {"connection": object_id})
        engine = {} if object_id == LOCAL else {"engine": {"type": "auto", "endpoint": object_id}}
        return _observe(context.identity.address, {"connection": LOCAL} | engine)

    def read_data(self, context: ReadContext, desired: Attributes) -> Attributes:
        """The facts of a machine."""
        return _observe("data.host", desired)


def _which(engine: Any) -> tuple[Any, Any]:
    found = engine or {}
    return found.get("type", "auto"), found.get("endpoint")


def _shared(context: ReadContext, request: ReadRequest) -> Host | None:
    """The connection that what is on the host is read by as well, so that one login does for all."""
    if (request.attributes.get("connection") or LOCAL) == LOCAL or context.resolve_host is None:
        return None
    shared, own = context.resolve_host(request.address), open_host(request.address, request.attributes)
    # an instance that waits for its removal has the address of the one in its place
    return shared if _way_of(shared) == _way_of(own) else None


def _way_of(host: Host) -> tuple[Any, ...]:
    """What tells a connection over SSH from others."""
    return type(host), getattr(host, "settings", None), getattr(host, "engine_settings", None)


def _set_up(context: Context, desired: Attributes, machine_id: str | None) -> Attributes:
    address = context.identity.address
    with closing(open_host(address, desired)) as host:
        found = gather(host)
        if machine_id and found.machine_id and found.machine_id != machine_id:
            raise ProviderError(
                error(
                    "Another machine",
                    f"{address} is reached in another way now, and that leads to another machine (machine id "
                    f"{found.machine_id} in place of {machine_id}). What is recorded as being on it would be taken for "
                    "gone. Declare it as another host, or take the change back.",
                )
            )
        if desired.get("install"):
            install(host, desired["install"], context.progress, context.check)
        return _observe_on(host, desired)


def _observe(address: str, settings: Attributes) -> Attributes:
    with closing(open_host(address, settings)) as host:
        return _observe_on(host, settings)


def _observe_on(host: Host, settings: Attributes) -> Attributes:
    given = {k: v for k, v in settings.items() if k in HostModel.model_fields and k not in FACTS}
    if given.get("install"):
        given["install"] = _installed(host, given["install"])
    facts = _facts(gather(host)) | _engine(host, required=bool(settings.get("engine")))
    return given | facts | _hypervisor(host, settings)


def _installed(host: Host, wanted: Attributes) -> Attributes:
    """What of ``install`` is there."""
    out = dict(wanted)
    gone = missing(host, wanted.get("packages") or [])
    if gone:
        out["packages"] = [p for p in wanted["packages"] if p not in gone]
    if wanted.get("engine") and not answers(host, wanted["engine"]):
        del out["engine"]
    return out


def _hypervisor(host: Host, settings: Attributes) -> Attributes:
    """The hypervisor's version. One that does not answer at once is not there."""
    if (settings.get("connection") or LOCAL) == LOCAL:
        import os

        if not os.path.exists("/var/run/libvirt/libvirt-sock"):
            return {}
    try:
        return {"hypervisor_version": host.hypervisor().version()}
    except (HostUnreachable, ProviderError):
        return {}


def _facts(found: Facts) -> Attributes:
    named = {
        "os": found.os,
        "arch": found.arch,
        "kernel": found.kernel,
        "distribution": found.distribution,
        "distribution_version": found.distribution_version,
        "hostname": found.hostname,
        "cpus": found.cpus,
        "memory": found.memory,
        "machine_id": found.machine_id,
    }
    return {name: value for name, value in named.items() if value}


def _engine(host: Host, *, required: bool) -> Attributes:
    try:
        engine = host.engine()
        return {"engine_name": engine.kind, "engine_version": engine.info.version, "engine_endpoint": engine.endpoint}
    except HostUnreachable:
        if required:
            raise
        return {}


FACTS = frozenset(name for name, spec in HostKind().schema.attributes.items() if spec.computed)
"""The attributes that are read from the machine."""
