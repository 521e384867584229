"""Arguments of the ``image`` kind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, model_validator

from hythe.provider.container.image_reference import parse_name
from hythe.provider.container.place import HostReference, host_argument
from hythe.provider.schema import Effect, Model, Schema, Size, attr, block, schema_of

_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_PLATFORM = re.compile(r"[a-z0-9]+(?:/[a-z0-9_]+){0,2}")
_PACKAGE = re.compile(r"[a-zA-Z0-9?~][a-zA-Z0-9+.:=~!_()/ ,-]*")
_SUITE = re.compile(r"[a-z][a-z0-9/.-]*")


def _reference(value: str) -> str:
    parse_name(value)
    return value


def _tag(value: str) -> str:
    if not _WORD.fullmatch(value):
        if "@" in value:
            raise ValueError(f'"{value}" names a digest, and a digest cannot be given to an image')
        parse_name(value)
    return value


def _platform(value: str) -> str:
    if not _PLATFORM.fullmatch(value):
        raise ValueError(f'"{value}" is not a platform: write it like linux/amd64 or linux/arm64/v8')
    return value


def _package(value: str) -> str:
    if not _PACKAGE.fullmatch(value):
        raise ValueError(f'"{value}" is not the name of a package')
    return value


def _suite(value: str) -> str:
    if not _SUITE.fullmatch(value):
        raise ValueError(f'"{value}" is not the name of a suite: write it like bookworm')
    return value


def _file_path(value: str) -> str:
    if not value.startswith("/") or value.endswith("/") or ".." in value.split("/"):
        raise ValueError(f'"{value}" is not the absolute path of a file')
    return value


class Auth(Model):
    """A login at a registry. Without one the login that `docker login` stored is used."""

    username: str = attr(..., description="Name of the account.", effect=Effect.LIVE)
    password: str = attr(
        ..., description="Password or token. Never stored.", effect=Effect.LIVE, sensitive=True, write_only=True
    )
    server: str | None = attr(
        description="Registry that the login is for. By default the one of the image's name.", effect=Effect.LIVE
    )


class Build(Model):
    """An image built from a Dockerfile."""

    context: str = attr(..., description="Folder that the build may read, relative to the configuration.")
    dockerfile: str = attr("Dockerfile", description="The Dockerfile, relative to the context.")
    args: dict[str, str] | None = attr(description="Values of the Dockerfile's ARG instructions.")
    target: str | None = attr(description="Stage to build, of a Dockerfile with several.")
    labels: dict[str, str] | None = attr(description="Labels added to the image.")
    network: str | None = attr(description="Network of RUN instructions: default, host or none.")
    extra_hosts: dict[str, str] | None = attr(description="Addresses of host names, for RUN instructions.")
    shm_size: Size | None = attr(description="Size of /dev/shm for RUN instructions.")
    no_cache: bool = attr(False, description="Whether every instruction is run again.")
    pull: bool = attr(False, description="Whether newer base images are looked for.")
    cache_from: list[str] | None = attr(description="Images whose layers may be used again.")
    secrets: dict[str, str] | None = attr(
        description="Values by the id that RUN --mount=type=secret names. Never stored, never in a layer. "
        "A changed value does not rebuild the image.",
        sensitive=True,
        write_only=True,
    )
    ssh: list[str] | None = attr(description="SSH agents or keys for RUN --mount=type=ssh, like default.")
    builder: Literal["auto", "classic", "buildkit"] = attr(
        "auto", description="Which of Docker's builders: auto takes BuildKit only where the Dockerfile needs it."
    )


class Packages(Model):
    """An image made of a distribution's packages, with mmdebstrap."""

    suite: Annotated[str, AfterValidator(_suite)] = attr(..., description="Release, like bookworm.")
    include: list[Annotated[str, AfterValidator(_package)]] | None = attr(
        description="Packages to install besides those of the variant.", unordered=True
    )
    components: list[Annotated[str, AfterValidator(_suite)]] | None = attr(
        description="Parts of the archive. By default main."
    )
    mirror: str | None = attr(description="Where packages come from. By default the distribution's own servers.")
    variant: Literal[
        "extract", "custom", "essential", "apt", "minbase", "buildd", "important", "debootstrap", "standard"
    ] = attr("minbase", description="Which packages there are besides `include`.")
    files: dict[Annotated[str, AfterValidator(_file_path)], str] | None = attr(
        description="Contents of files by their absolute path, put there before `setup`."
    )
    setup: list[str] | None = attr(description="Shell commands that run inside, as root, after the installation.")


class Config(Model):
    """What the image does when a container is started, for images that are not built from a Dockerfile."""

    cmd: list[str] | None = attr(description="Command, or arguments of the entrypoint.")
    entrypoint: list[str] | None = attr(description="Program that always runs.")
    env: dict[str, str] | None = attr(description="Environment variables.")
    workdir: str | None = attr(description="Working folder.")
    user: str | None = attr(description="User, by name or number, and group after a colon.")
    labels: dict[str, str] | None = attr(description="Labels of the image.")
    expose: list[str] | None = attr(description="Ports that it listens on, like 80 or 53/udp.", unordered=True)
    volumes: list[str] | None = attr(description="Folders that become volumes.", unordered=True)
    stop_signal: str | None = attr(description="Signal that ends it, like SIGTERM.")


class Push(Model):
    """A registry that the image is sent to."""

    registry: str = attr(..., description="Registry, like registry.example.org:5000, with a path if wanted.")
    name: str | None = attr(description="Repository and tag there. By default those of the image's name.")
    auth: Auth | None = block(description="Login at the registry.", repeated=False, effect=Effect.LIVE)

    @model_validator(mode="after")
    def _valid(self) -> Push:
        parse_name(f"{self.registry}/{self.name or 'x'}")
        first = self.registry.partition("/")[0]
        if not ("." in first or ":" in first or first == "localhost"):
            raise ValueError(f'"{self.registry}" is not a registry: write host:port or a name with a dot')
        return self


class ImageModel(Model):
    """An OCI image."""

    name: Annotated[str, AfterValidator(_reference)] | None = attr(
        description="Name and tag. With nothing else given it is pulled. By default made of the project's and the "
        "block's name.",
        engine_default=True,
    )
    build: Build | None = block(description="Build it from a Dockerfile.", repeated=False)
    archive: str | None = attr(
        description="Make it from a tar: of a root file system, or of an image (docker save, OCI layout)."
    )
    packages: Packages | None = block(description="Make it from a distribution's packages.", repeated=False)
    config: Config | None = block(
        description="What it does when started, for `packages` and for an archive of a root file system.",
        repeated=False,
    )
    tags: list[Annotated[str, AfterValidator(_tag)]] | None = attr(
        description="More names for it. A bare word is a tag of the same repository.",
        effect=Effect.LIVE,
        unordered=True,
    )
    platform: Annotated[str, AfterValidator(_platform)] | None = attr(description="Platform, like linux/arm64.")
    pull: Literal["missing", "always"] = attr(
        "missing", description="When a pulled image is asked for at the registry.", effect=Effect.LIVE
    )
    auth: Auth | None = block(
        description="Login at the registry that it, or what it is built from, is pulled from.",
        repeated=False,
        effect=Effect.LIVE,
    )
    push: list[Push] = block(description="Send it to a registry.", effect=Effect.LIVE, unordered=True)
    keep: bool = attr(False, description="Whether it stays on the engine when it is destroyed.", effect=Effect.LIVE)
    host: HostReference = host_argument()
    content_hash: str | None = attr(description="Digest of the files it is made from.", computed=True)
    id: str | None = attr(description="The engine's id of the image.", computed=True)
    digest: str | None = attr(
        description="Digest at the registry that it was pulled from or pushed to.", computed=True, volatile=True
    )
    repo_digests: list[str] | None = attr(
        description="Names with digests that the engine knows.", computed=True, volatile=True
    )
    size: int | None = attr(description="Size in bytes.", computed=True, volatile=True)
    owned: bool | None = attr(
        description="Whether Hythe brought it to the engine. One that was there before is left there.", computed=True
    )
    stages: list[str] | None = attr(
        description="Images without a name that building it left of earlier stages. They go with it.", computed=True
    )

    @model_validator(mode="after")
    def _one_source(self) -> ImageModel:
        given = [n for n in ("build", "archive", "packages") if getattr(self, n) is not None]
        if len(given) > 1:
            raise ValueError(f"an image comes from one place: keep only one of {', '.join(f'`{n}`' for n in given)}")
        if not given and self.name is None:
            raise ValueError("say where the image comes from: `name` to pull it, `build`, `archive` or `packages`")
        if given and self.name is not None and "@" in self.name:
            raise ValueError("a name with a digest can only be pulled: leave out the digest")
        if self.config is not None and not {"archive", "packages"} & set(given):
            raise ValueError("`config` belongs to `archive` and `packages`: what is built says it in its Dockerfile")
        return self


class ImageData(Model):
    """An existing image, selected by name or id."""

    name: str = attr(..., description="Name or id of the image on the engine.")
    host: HostReference = host_argument()
    id: str | None = attr(description="The engine's id of the image.", computed=True)
    tags: list[str] | None = attr(description="All its names.", computed=True)
    digest: str | None = attr(description="Digest at the registry it came from.", computed=True)
    repo_digests: list[str] | None = attr(description="Names with digests that the engine knows.", computed=True)
    size: int | None = attr(description="Size in bytes.", computed=True)


def source_of(attributes: object) -> Literal["pull", "build", "archive", "packages"]:
    """Where an image of these canonical attributes comes from."""
    assert isinstance(attributes, dict)
    for name in ("build", "archive", "packages"):
        if attributes.get(name):
            return name
    return "pull"


def storable(attributes: Mapping[str, Any], schema: Schema = schema_of(ImageModel)) -> dict[str, Any]:  # noqa: B008
    """The attributes without write-only values at any depth: passwords and secrets never reach the state."""
    out: dict[str, Any] = {}
    for name, value in attributes.items():
        spec = schema.attributes.get(name)
        if spec is not None and spec.write_only:
            continue
        nested = spec.nested if spec is not None else None
        if nested is not None and isinstance(value, list):
            value = [storable(item, nested) for item in value]
        elif nested is not None and isinstance(value, dict):
            value = storable(value, nested)
        out[name] = value
    return out
