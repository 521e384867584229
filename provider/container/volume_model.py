"""Arguments of the ``volume`` kind."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, model_validator

from hythe.provider.container.place import HostReference, host_argument
from hythe.provider.schema import Effect, Model, attr, block

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            f'"{value}" is not the name of a volume: it has two or more letters, digits, "_", "." and "-", '
            "and begins with a letter or digit"
        )
    return value


def _type(value: str) -> str:
    if value == "disk":
        raise ValueError(
            'volumes of type "disk" belong to the hypervisor, and this version of Hythe makes only volumes of the '
            'container engine: leave `type` out or write "engine"'
        )
    if value != "engine":
        raise ValueError(f'"{value}" is not a type of volume: write "engine" or leave it out')
    return value


class Seed(Model):
    """What a new volume holds at first."""

    source: str | None = attr(description="Folder whose content is copied in, relative to the configuration.")
    archive: str | None = attr(description="Tar archive that is unpacked into it, plain or compressed.")
    uid: int | None = attr(description="Owner of the files. By default 0 for a folder, as packed for an archive.", ge=0)
    gid: int | None = attr(description="Group of the files. By default 0 for a folder, as packed for an archive.", ge=0)

    @model_validator(mode="after")
    def _one(self) -> Seed:
        if (self.source is None) == (self.archive is None):
            raise ValueError("write either `source` (a folder) or `archive` (a tar file)")
        return self


class VolumeModel(Model):
    """A volume of the container engine."""

    name: Annotated[str, AfterValidator(_name)] | None = attr(
        description="Name on the engine. By default made of the project's and the block's name.",
        engine_default=True,
        data_loss=True,
    )
    type: Annotated[str, AfterValidator(_type)] = attr("engine", description="What it is: engine.", data_loss=True)
    driver: str = attr("local", description="Volume driver.", data_loss=True)
    driver_options: dict[str, str] | None = attr(
        description="Options of the driver; for local those of mount: type, device, o.", data_loss=True
    )
    labels: dict[str, str] | None = attr(
        description="Labels on the engine's object. Engines cannot change them in place.", data_loss=True
    )
    seed: Seed | None = block(description="Content of the volume when it is made.", repeated=False)
    protected: bool = attr(False, description="Whether it must never be deleted.", effect=Effect.LIVE)
    allow_data_loss: bool = attr(
        False, description="Whether a change may replace the volume and so lose its content.", effect=Effect.LIVE
    )
    host: HostReference = host_argument()
    content_hash: str | None = attr(description="Digest of the seed's content.", computed=True, data_loss=True)
    mountpoint: str | None = attr(description="Where the engine keeps the content on its host.", computed=True)
    created: str | None = attr(description="When it was made, as the engine tells.", computed=True, volatile=True)
    imported: bool | None = attr(description="Whether it was imported, so that no mark is on it.", computed=True)

    @model_validator(mode="after")
    def _labels(self) -> VolumeModel:
        reserved = [k for k in self.labels or {} if k.startswith("dev.hythe.")]
        if reserved:
            raise ValueError(f'the label "{reserved[0]}" is reserved: dev.hythe. is how Hythe marks its objects')
        return self


class VolumeData(Model):
    """An existing volume, selected by name."""

    name: str = attr(..., description="Name of the volume on the engine.")
    host: HostReference = host_argument()
    driver: str | None = attr(description="Volume driver.", computed=True)
    driver_options: dict[str, str] | None = attr(description="Options of the driver.", computed=True)
    labels: dict[str, str] | None = attr(description="Labels of the volume.", computed=True)
    mountpoint: str | None = attr(description="Where the engine keeps the content on its host.", computed=True)
    created: str | None = attr(description="When it was made, as the engine tells.", computed=True)
