"""Arguments of the ``host`` kind."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, model_validator

from hythe.provider.connection.discovery import AUTO
from hythe.provider.hosts import LOCAL
from hythe.provider.schema import Effect, Model, Number, Size, attr, block

SSH = "ssh"


def _connection(value: str) -> str:
    if value in (LOCAL, SSH):
        return value
    if value.startswith("ssh://"):
        parts = urlsplit(value)
        try:
            port = parts.port
        except ValueError as failure:
            raise ValueError(f'"{value}": the port is no number') from failure
        if not parts.hostname or parts.path.strip("/") or parts.password or port == 0:
            raise ValueError(f'"{value}" is no SSH address: write ssh://user@host:port')
        return value
    raise ValueError(f'"{value}" is no connection: write "local", "ssh" (with an ssh block), or ssh://user@host:port')


def _endpoint(value: str) -> str:
    if value.startswith("/"):
        return f"unix://{value}"
    if not value.startswith(("unix:///", "tcp://")):
        raise ValueError(
            f'"{value}" is no engine endpoint: write unix:///path/of/socket or tcp://host:port. An engine behind '
            'SSH is that of a host with connection = "ssh"'
        )
    return value


class EngineBlock(Model):
    """Which engine of the machine is meant."""

    type: Literal["auto", "docker", "podman"] = attr(AUTO, description="docker, podman or auto.")
    endpoint: Annotated[str, AfterValidator(_endpoint)] | None = attr(
        description="Where it listens, as the machine sees it: unix:///path or tcp://host:port. By default it is "
        "looked for."
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


class Jump(Model):
    """A machine that the connection goes through."""

    address: str = attr(..., description="Address or name.", min_length=1)
    port: int = attr(22, description="Port.", ge=1, le=65535)
    user: str = attr("root", description="Login name.")
    key_file: str | None = attr(description="File of the private key. By default the agent and the user's own keys.")
    private_key: str | None = attr(description="The private key itself, in OpenSSH's form.", sensitive=True)
    password: str | None = attr(description="Password.", sensitive=True)
    agent: bool = attr(True, description="Whether keys of the SSH agent are tried.")
    host_key: str | None = attr(description='The machine\'s public key, like "ssh-ed25519 AAAA...".')
    known_hosts: str | None = attr(description="File in which its key is looked up. By default ~/.ssh/known_hosts.")


class Ssh(Jump):
    """How to log in."""

    jump: list[Jump] = block(description="Machines to go through, in order.")


class Install(Model):
    """What is installed on the machine when it is not there."""

    engine: Literal["docker", "podman"] | None = attr(description="Container engine to install and start.")
    packages: list[Annotated[str, AfterValidator(lambda v: _package(v))]] | None = attr(
        description="Packages of its distribution.", unordered=True
    )


def _package(value: str) -> str:
    import re

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+._:~-]*", value):
        raise ValueError(f'"{value}" is not the name of a package')
    return value


class Reserved(Model):
    """What is kept back on the machine."""

    cpus: Number | None = attr(description="Processors, parts of one too.", ge=0)
    memory: Size | None = attr(description="Memory.")


def _fact(description: str) -> Any:
    return attr(description=description, computed=True, volatile=True)


class HostModel(Model):
    """An existing machine."""

    connection: Annotated[str, AfterValidator(_connection)] = attr(
        LOCAL,
        description="How to reach it: local, ssh (with an `ssh` block), or ssh://user@host:port.",
        effect=Effect.LIVE,
    )
    ssh: Ssh | None = block(description="How to log in over SSH.", repeated=False, effect=Effect.LIVE)
    engine: EngineBlock | None = block(
        description="Its container engine. Without this block it is looked for.", repeated=False
    )
    install: Install | None = block(
        description="What is installed when it is not there. It stays when the host is removed from the configuration.",
        repeated=False,
        effect=Effect.LIVE,
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
    machine_id: str | None = _fact("What tells the machine from others, from /etc/machine-id.")
    engine_name: str | None = _fact("Engine that was found: docker or podman. Not set when there is none.")
    engine_version: str | None = _fact("Version of the engine.")
    engine_endpoint: str | None = _fact("Where the engine listens.")
    hypervisor_version: str | None = _fact("Version of libvirt. Not set when there is none.")

    @model_validator(mode="after")
    def _one_way(self) -> HostModel:
        if (self.connection == SSH) != (self.ssh is not None):
            raise ValueError('connection = "ssh" and an `ssh` block belong together')
        return self


class HostData(HostModel):
    """The facts of a machine."""
