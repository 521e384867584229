"""The ``host`` kind: an existing machine and its engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, model_validator

from hythe.diagnostic import Diagnostic, warning
from hythe.provider.host.facts import Facts, gather
from hythe.provider.hosts import LOCAL, open_host
from hythe.provider.protocol import (
    Attributes,
    Context,
    Found,
    Host,
    HostUnreachable,
    Kind,
    Observed,
    Owned,
    PrepareContext,
    ReadContext,
    ReadRequest,
)
from hythe.provider.schema import Effect, Model, Number, Path, Size, attr, block


def _connection(value: str) -> str:
    if value == LOCAL:
        return value
    if value == "ssh" or value.startswith("ssh://"):
        raise ValueError(
            'SSH connections come with a later version of Hythe: write connection = "local", and name an engine that '
            "runs elsewhere by `endpoint` in the engine block"
        )
    raise ValueError(f'"{value}" is no connection: write "local"')


def _endpoint(value: str) -> str:
    if value.startswith("ssh:"):
        raise ValueError("endpoints behind SSH come with a later version of Hythe: use unix:// or tcp://")
    if value.startswith("/"):
        return f"unix://{value}"
    if not value.startswith(("unix:///", "tcp://")):
        raise ValueError(f'"{value}" is no engine endpoint: write unix:///path/of/socket or tcp://host:port')
    return value


class EngineBlock(Model):
    """Which engine of the machine is meant."""

    type: Literal["auto", "docker", "podman"] = attr("auto", description="docker, podman or auto.")
    endpoint: Annotated[str, AfterValidator(_endpoint)] | None = attr(
        description="Where it listens: unix:///path or tcp://host:port. By default it is looked for."
    )
    ca: str | None = attr(description="PEM file of the authority that signed the engine's certificate.")
    cert: str | None = attr(description="PEM file of the client certificate.")
    key: str | None = attr(description="PEM file of the client certificate's key.")

    @model_validator(mode="after")
    def _tls(self) -> EngineBlock:
        if (self.cert is None) != (self.key is None):
            raise ValueError("`cert` and `key` belong together: write both or none")
        if (self.ca or self.cert) and not (self.endpoint or "").startswith("tcp://"):
            raise ValueError("TLS files are for a tcp:// endpoint: write `endpoint` as well")
        return self


class Reserved(Model):
    """What is kept back on the machine."""

    cpus: Number | None = attr(description="Processors, parts of one too.", ge=0)
    memory: Size | None = attr(description="Memory.")


def _fact(description: str) -> Any:
    return attr(description=description, computed=True, volatile=True)


class HostModel(Model):
    """An existing machine."""

    connection: Annotated[str, AfterValidator(_connection)] = attr(LOCAL, description="How to reach it: local.")
    engine: EngineBlock | None = block(
        description="Its container engine. Without this block it is looked for.", repeated=False
    )
    labels: dict[str, str] | None = attr(description="Labels to select hosts by.", effect=Effect.LIVE)
    reserved: Reserved | None = block(
        description="Capacity that is kept back for other things.", repeated=False, effect=Effect.LIVE
    )
    os: str | None = _fact("Operating system, like linux.")
    arch: str | None = _fact("Processor architecture, as `uname -m` gives it.")
    kernel: str | None = _fact("Release of the kernel.")
    distribution: str | None = _fact("Distribution, like debian.")
    distribution_version: str | None = _fact("Version of the distribution, like 12.")
    hostname: str | None = _fact("Name that the machine gives itself.")
    cpus: int | None = _fact("Number of processors.")
    memory: Size | None = _fact("Memory in bytes.")
    engine_name: str | None = _fact("Engine that was found: docker or podman. Not set when there is none.")
    engine_version: str | None = _fact("Version of the engine.")
    engine_endpoint: str | None = _fact("Where the engine listens.")


class HostData(HostModel):
    """The facts of a machine."""


class HostKind(Kind):
    """An existing machine that other resources are made on with `host = host.NAME`.

    Nothing is made on the machine itself: applying connects and reads facts, and deleting forgets it.
    A machine without an engine can hold files.
    """

    name = "host"
    model = HostModel
    data_model = HostData
    on_host = False
    unique_name = False

    def prepare(self, desired: Attributes, context: PrepareContext) -> tuple[Attributes, list[Diagnostic]]:
        """Make the paths of TLS files absolute, so that they mean the same from any folder."""
        from hythe.provider.container.inputs import located

        engine = desired.get("engine")
        if not isinstance(engine, dict):
            return desired, []
        files = {
            n: located(context.base_dir, engine[n]) for n in ("ca", "cert", "key") if isinstance(engine.get(n), str)
        }
        return desired | {"engine": engine | files}, []

    def hint(self, path: Path, before: Any, after: Any, old: Attributes, new: Attributes) -> Any:
        """Another engine is another host; other certificates for the same one are not."""
        from hythe.provider.protocol import Hint

        if path != ("engine",):
            return None
        if _which(before) == _which(after):
            return Hint(Effect.LIVE)
        return Hint(Effect.REPLACE, "another engine")

    def create(self, context: Context, desired: Attributes) -> Attributes:
        """Connect and read facts."""
        return _observe(context.identity.address, desired)

    def update(self, context: Context, before: Attributes, desired: Attributes, changed: Sequence[str]) -> Attributes:
        """Connect and read facts."""
        return _observe(context.identity.address, desired)

    def delete(self, context: Context, before: Attributes) -> None:
        """Nothing to do: the machine stays as it is, and its record goes."""

    def read_many(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Observed]:
        """Read facts again; a host that is out of reach keeps those it had, with a warning."""
        out: dict[str, Observed] = {}
        for request in requests:
            try:
                out[request.id] = _observe(request.address, dict(request.attributes))
            except HostUnreachable as failure:
                # not raised: one host out of reach must not keep the others from being read
                out[request.id] = dict(request.attributes)
                context.notices += [warning(d.summary, d.detail, address=request.address) for d in failure.diagnostics]
        return out

    def find(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Found]:
        """Nothing is left behind by a killed run, as nothing is made."""
        return {}

    def find_owned(self, context: ReadContext) -> list[Owned]:
        """None: nothing on a machine tells that it is a host."""
        return []

    def import_object(self, context: Context, object_id: str) -> Attributes:
        """The local machine, as ``local``, or an engine by its endpoint."""
        engine = {} if object_id == LOCAL else {"engine": {"type": "auto", "endpoint": object_id}}
        return _observe(context.identity.address, {"connection": LOCAL} | engine)

    def read_data(self, context: ReadContext, desired: Attributes) -> Attributes:
        """The facts of a machine."""
        return _observe("data.host", desired)


def _which(engine: Any) -> tuple[Any, Any]:
    found = engine or {}
    return found.get("type", "auto"), found.get("endpoint")


def _observe(address: str, settings: Attributes) -> Attributes:
    host = open_host(address, settings)
    try:
        schema = HostModel.model_fields
        given = {k: v for k, v in settings.items() if k in schema and k not in FACTS}
        return given | _facts(gather(host)) | _engine(host, required=bool(settings.get("engine")))
    finally:
        host.close()


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
