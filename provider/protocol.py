"""What a kind is, and what it is given.

A kind is one file: a schema (:class:`~hythe.provider.schema.Model`), pure hints for the planner, and
the calls that read and change the world. The planner decides; a kind's calls only carry out. All calls
may run in any thread, several at once, and must be safe to repeat: a call may have been cut short by
a crash at any point, and :meth:`Kind.find` is how the next run learns what became of it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias

from hythe.address import Key
from hythe.diagnostic import Diagnostic
from hythe.provider.schema import Effect, Model, Path, Schema, schema_of
from hythe.value import Reference

Attributes: TypeAlias = dict[str, Any]
"""Canonical attributes of one instance (see :mod:`hythe.provider.schema`)."""


class ProviderError(Exception):
    """A provider call failed. ``diagnostics`` say what and what to do.

    ``partial`` holds the attributes of an object that exists but is not as it should be: it is kept in
    state as tainted and replaced by the next apply. Without it nothing was left behind.
    """

    def __init__(self, *diagnostics: Diagnostic, partial: Attributes | None = None) -> None:
        super().__init__("; ".join(f"{d.summary}: {d.detail}" for d in diagnostics))
        self.diagnostics = diagnostics
        self.partial = partial


class HostUnreachable(ProviderError):
    """The host or its engine cannot be reached: nothing is known of what is on it."""


class Interrupted(Exception):
    """The user asked to stop at once; raised out of waits by :meth:`Context.check`."""


class Reader(Protocol):
    """Injected and recorded access to files below the configuration, for pure steps."""

    def read(self, path: str) -> bytes:
        """The content of a file. Raises OSError."""

    def exists(self, path: str) -> bool:
        """Whether a regular file is there."""

    def glob(self, base: str, pattern: str) -> list[str]:
        """Files below ``base`` that match, sorted, relative to it."""

    def digest(self, path: str, ignore_file: str | None = None) -> str:
        """``sha256:...`` over a file, or over a tree's names, modes and contents.

        ``ignore_file`` names a .dockerignore whose patterns leave files out. Raises OSError.
        """


@dataclass(frozen=True, slots=True)
class Project:
    """Who asks: names that defaults are made of. ``suffix`` tells checkouts and workspaces of a name apart."""

    name: str
    suffix: str
    root: str
    workspace: str = "default"


class PrepareContext(NamedTuple):
    """What :meth:`Kind.prepare` may use; all of it is recorded in the plan."""

    reader: Reader
    project: Project
    base_dir: str
    block: str
    key: Key
    lock: Mapping[str, str]

    def default_name(self) -> str:
        """The name of an object whose configuration gives none: project, block, key, suffix."""
        import re

        parts = [self.project.name, self.block, *([] if self.key is None else [str(self.key)])]
        end = f"-{self.project.suffix}"
        name = re.sub(r"[^a-z0-9_.-]+", "-", "-".join(parts).lower()).strip("-._")
        # what is too long loses its middle: the suffix tells it from those of other checkouts and workspaces
        return name[: 63 - len(end)].rstrip("-._") + end


@dataclass(frozen=True, slots=True)
class Identity:
    """The ownership mark of an object."""

    lineage: str
    address: str
    id: str


@dataclass(frozen=True, slots=True)
class Referent:
    """What a reference points at, as state has it when the call is made."""

    kind: str
    address: str
    id: str
    attributes: Mapping[str, Any]
    host: str | None


class Host(Protocol):
    """A machine that things are made on. ``name`` is ``local`` or the address of a host instance."""

    name: str

    def engine(self) -> Any:
        """The engine client (:class:`hythe.provider.container.client.Engine`).

        Raises :class:`HostUnreachable`.
        """

    def hypervisor(self, uri: str | None = None) -> Any:
        """The libvirt client (:class:`hythe.provider.vm.client.Hypervisor`) for a URI; None is the machine's own.

        Its calls raise :class:`HostUnreachable`.
        """

    def files(self) -> Any:
        """Access to the machine's files (:class:`hythe.provider.connection.files.HostFiles`)."""

    def run(self, argv: Sequence[str], *, stdin: bytes | None = None, timeout: float | None = None) -> Completed:
        """Run a program without a shell. Raises :class:`HostUnreachable`."""

    def close(self) -> None:
        """Give up connections."""


class HostSource(Protocol):
    """Where hosts come from, by the address of the instance that a host is."""

    @property
    def local(self) -> Host:
        """The machine Hythe runs on."""

    def get(self, address: str | None, attributes: Mapping[str, Any] | None = None) -> Host:
        """The host whose instance has these attributes in state; None is the local machine.

        Raises :class:`ProviderError`.
        """


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that ended."""

    argv: tuple[str, ...]
    code: int
    stdout: bytes
    stderr: bytes


@dataclass(slots=True)
class Context:
    """What a call is given besides attributes.

    ``resolve`` gives what a reference points at. ``progress`` tells the user what is being done.
    ``check`` raises :class:`Interrupted` when the user wants to stop at once; call it in waits.
    ``local`` is the machine Hythe runs on, for kinds that make things there and carry them; ``others`` gives the
    machines of the state that stay, to which they may have been carried.
    """

    host: Host
    local: Host
    identity: Identity
    resolve: Callable[[Reference], Referent]
    progress: Callable[[str], None]
    check: Callable[[], None]
    base_dir: str
    project: Project
    lock: Mapping[str, str]
    remember_lock: Callable[[str, str], None]
    others: Callable[[], Iterable[Host]] = tuple


class Presence(enum.Enum):
    """What a read found where there are no attributes to give."""

    ABSENT = "absent"


Observed: TypeAlias = Attributes | Presence
"""What reading gave: attributes in the configuration's terms, or ABSENT."""


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """One object to read. ``attributes`` are those in state: what cannot be observed is taken from them."""

    id: str
    address: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """An object that carries an instance id asked for. ``complete`` when its creation had finished."""

    attributes: Attributes
    complete: bool


@dataclass(frozen=True, slots=True)
class Owned:
    """An object that carries this lineage's mark (for ``state rebuild`` and orphan checks)."""

    identity: Identity
    attributes: Attributes


ANY_LINEAGE = ""
"""In place of a lineage: whatever carries a mark."""


@dataclass(frozen=True, slots=True)
class Hint:
    """A kind's word on one changed path: its effect, whether data is lost, and why."""

    effect: Effect
    reason: str = ""
    data_loss: bool = False


@dataclass(slots=True)
class ReadContext:
    """What reads are given: the host, and who asks. ``progress`` tells what is waited for, and for which address."""

    host: Host
    local: Host
    lineage: str
    base_dir: str
    project: Project
    resolve_host: Callable[[str], Host] | None = None
    notices: list[Diagnostic] = field(default_factory=list)
    progress: Callable[[str, str], None] = lambda address, text: None
    address: str = ""
    """The data source that is read, "" for anything else."""
    uris: tuple[str | None, ...] = (None,)
    """Hypervisors of the host that :meth:`Kind.find_owned` looks at, None for the usual one."""

    def is_mine(self, identity: Identity | None) -> bool:
        """Whether a mark is of the lineage, or of any where none is given."""
        return identity is not None and self.lineage in (ANY_LINEAGE, identity.lineage)


class Kind:
    """Base of kinds. Subclasses set ``name`` and ``model`` and override what differs.

    ``on_host``: instances live on a host (``host`` argument). ``unique_name``: two cannot exist at
    once under one name, so create_before_destroy needs :meth:`swap`, or is refused at plan time when
    the kind has none. ``bulk``: reading several at once is one call.
    """

    name: ClassVar[str]
    model: ClassVar[type[Model]]
    data_model: ClassVar[type[Model] | None] = None
    ephemeral_model: ClassVar[type[Model] | None] = None
    """What an ``ephemeral`` block takes and gives; None where the kind has nothing to give that is not kept."""
    version: ClassVar[int] = 1
    """Of the schema. It grows when attributes in a state need :meth:`upgrade` to be understood."""
    on_host: ClassVar[bool] = True
    unique_name: ClassVar[bool] = True
    is_machine: ClassVar[bool] = False
    """Whether other instances can have an instance of it as their ``host``."""
    carried: ClassVar[bool] = False
    """Whether copies of an instance without ``host`` can be on other machines: they go with it, before the machines."""
    takes_along: ClassVar[bool] = False
    """Whether an instance is a machine with which everything on it ends, as it does with a VM."""
    has_swap: ClassVar[bool] = False
    observed: ClassVar[bool] = True
    """False for kinds that have no object outside state (``value``): they are never read."""
    mirrors: ClassVar[Mapping[str, str]] = {}
    """Attributes that :meth:`prepare` copies from an argument: what is sensitive in one is in the other."""
    holds_data: ClassVar[bool] = False
    """Whether deleting an object loses data that it cannot be made again with."""
    concurrency: ClassVar[int] = 10
    """How many calls of this kind may run at once on one host."""
    marked: ClassVar[bool] = False
    """Whether every object that was made carries a mark, so that one which is not found is not there."""
    rebuild_note: ClassVar[str] = ""
    """What `state rebuild` does with objects of the kind, and what it cannot bring back: whole sentences."""
    foretells: ClassVar[bool] = False
    """Whether :meth:`foretell` has something to tell."""
    lag: ClassVar[float] = 0.0
    """Seconds for which a creation may go on after the Hythe that asked for it was killed."""

    @property
    def schema(self) -> Schema:
        """The compiled schema."""
        return schema_of(self.model)

    @property
    def data_schema(self) -> Schema:
        """The compiled schema of ``data`` blocks and of what they give."""
        return self.schema if self.data_model is None else schema_of(self.data_model)

    @property
    def ephemeral_schema(self) -> Schema | None:
        """The compiled schema of ``ephemeral`` blocks and of what they give; None where there are none."""
        return None if self.ephemeral_model is None else schema_of(self.ephemeral_model)

    # -- pure: the planner calls these; no IO but through the recorded reader ------------------

    def upgrade(self, attributes: Attributes, from_version: int) -> Attributes:
        """Attributes that a state holds of an older version of the schema, as this version has them.

        Called once for each such instance whenever the state is read for a plan.
        """
        return attributes

    def prepare(self, desired: Attributes, context: PrepareContext) -> tuple[Attributes, list[Diagnostic]]:
        """Complete configured attributes: default names, digests of files and build contexts.

        Attributes may hold Unknown. Called for every instance at each plan; must be cheap.
        """
        return desired, []

    def part(self, attributes: Mapping[str, Any]) -> str:
        """What of a host an instance needs, where kinds have several: one may be out of reach without the other."""
        return ""

    def hint(self, path: Path, before: Any, after: Any, old: Attributes, new: Attributes) -> Hint | None:
        """What changing ``path`` (top-level argument) does, where it depends on the values.

        None: as the schema says. ``before`` and ``after`` are None where not set.
        """
        return None

    def created_first(self, attributes: Attributes) -> bool:
        """Whether a replacement is made before the old object goes, without create_before_destroy too.

        For what takes time to make, may fail, and disturbs nobody while both are there.
        """
        return False

    def equal(self, path: Path, before: Any, after: Any, old: Attributes, new: Attributes) -> bool:
        """Whether two different canonical values of a top-level argument mean the same."""
        return False

    def fitted(self, seen: Attributes, wanted: Mapping[str, Any]) -> Attributes:
        """What an import gave, with arguments that nobody can see of an object taken from the configuration.

        ``wanted`` may hold Unknown. Only where the object may well be what is wanted: the rest then shows as a change.
        """
        return seen

    def linked(self, attributes: Attributes, seen: Attributes) -> Attributes:
        """What an import gave, once references stand where ``seen`` has the names of what they mean."""
        return attributes

    # -- impure --------------------------------------------------------------------------------

    def latest(self, host: Host, attributes: Attributes) -> tuple[str, str] | None:
        """The lock file's key and newest value of what an instance was resolved to, for ``init --upgrade``.

        None where nothing is resolved through the lock file. Raises :class:`ProviderError`.
        """
        return None

    def foretell(self, host: Host, wanted: Sequence[Attributes]) -> list[Attributes]:
        """Computed values that the host tells of each object before it is made, for the plan.

        What is wanted may hold Unknown. Called where ``foretells`` is set and the host is there. May raise anything;
        then the values are not known yet.
        """
        return [{} for _ in wanted]

    def create(self, context: Context, desired: Attributes) -> Attributes:
        """Make the object, marked with ``context.identity``; return its attributes, computed ones too.

        Fails when the name is taken by something that is not ours. Raises :class:`ProviderError`.
        """
        raise NotImplementedError

    def read_many(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Observed]:
        """Observe objects, by instance id. Only what carries the id, or the engine id in state, is ours.

        Raises :class:`HostUnreachable`.
        """
        raise NotImplementedError

    def update(self, context: Context, before: Attributes, desired: Attributes, changed: Sequence[str]) -> Attributes:
        """Change the object in place; return its attributes. Raises :class:`ProviderError`."""
        raise NotImplementedError

    def delete(self, context: Context, before: Attributes) -> None:
        """Remove the object; no error when it is gone already. Raises :class:`ProviderError`."""
        raise NotImplementedError

    def swap(self, context: Context, old: Identity, before: Attributes, desired: Attributes) -> Attributes:
        """Replace create-before-destroy as one resumable operation; ``context.identity`` is the new one.

        Only where ``has_swap``. Running it again after a crash at any point goes on from there. On
        failure the old object is as it was and :class:`ProviderError` is raised without ``partial``.
        """
        raise NotImplementedError

    def find(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Found]:
        """Look for objects of pending intents by instance id; those not there are left out.

        ``attributes`` of a request are those that the intent wanted to make.
        """
        raise NotImplementedError

    def find_owned(self, context: ReadContext) -> list[Owned]:
        """Every object on the host that carries ``context.lineage``, or any mark where that is ANY_LINEAGE."""
        raise NotImplementedError

    def recover(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Attributes]:
        """Attributes of objects that :meth:`find_owned` told of, by instance id, for ``state rebuild``.

        ``attributes`` of a request are what the configuration wants, as far as it is known: what cannot be observed is
        taken from it. Nothing is changed, and nothing is waited for.
        """
        return {id: found.attributes for id, found in self.find(context, requests).items()}

    def recognise(self, context: ReadContext, requests: Sequence[ReadRequest]) -> list[Owned]:
        """Objects that the configuration wants and that carry no mark, where it is certain that they are those.

        For ``state rebuild``. The ids of the requests are new ones; an object may be given another one. Nothing is
        changed.
        """
        return []

    def import_object(self, context: Context, object_id: str) -> Attributes:
        """Attributes of an existing object, named as its engine names it, to be taken into state.

        Raises :class:`ProviderError` when there is none.
        """
        raise NotImplementedError

    def read_data(self, context: ReadContext, desired: Attributes) -> Attributes:
        """Attributes for a ``data`` block that selects an existing object. Raises :class:`ProviderError`."""
        raise NotImplementedError

    def open(self, context: ReadContext, desired: Attributes) -> Attributes:
        """Attributes for an ``ephemeral`` block: a value made anew, or read and not kept.

        Nothing is renewed or closed: it must not leave anything behind. Raises :class:`ProviderError`.
        """
        return self.read_data(context, desired)
