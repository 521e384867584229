"""The plan: a frozen, serialisable account of what would be done and why."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hythe.diagnostic import Range
from hythe.value import Type

Path = tuple[str | int, ...]


class Action(enum.Enum):
    """What is done to one instance."""

    CREATE = "create"
    UPDATE = "update"
    UPDATE_RESTART = "update-restart"
    REPLACE = "replace"
    DELETE = "delete"
    FORGET = "forget"
    ADOPT = "adopt"
    READ = "read"
    NOOP = "no-op"


class Disruption(enum.IntEnum):
    """What users of the object notice, mildest first."""

    NONE = 0
    RESTART = 1
    REPLACE = 2
    DATA_LOSS = 3


class Mode(enum.Enum):
    """What a plan is for."""

    NORMAL = "normal"
    DESTROY = "destroy"
    REFRESH_ONLY = "refresh-only"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why: a sentence part (``image forces replacement``), and the place that brought it about.

    ``drift`` when the world changed rather than the configuration.
    """

    text: str
    path: Path = ()
    range: Range | None = None
    drift: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one instance.

    ``before`` is reality as refreshed (None: nothing there), ``after`` the wish, with Unknown inside
    (None: nothing shall be there). ``id`` is the existing instance's id. ``changed`` are the top-level
    arguments that differ, ``replace_paths`` those that force a replacement. ``depends_on`` are
    instances whose operations must end before this one's begins. ``host`` is the address of the
    instance that is its host (None: the local machine). ``deposed``: an old object left by a
    replacement. ``unknown_host``: the host could not be reached, so the instance is kept as it is.
    ``moved_from`` is its address until now, where that is another one.
    ``skip_destroy``: when it is to go one day, it is only forgotten.
    ``of_check``: a data source of a check block, whose failure is only a warning.
    ``with_host``: the old object ends with the machine that it is on, without a call of its own.
    """

    address: str
    kind: str
    action: Action
    disruption: Disruption = Disruption.NONE
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    before_sensitive: tuple[Path, ...] = ()
    after_sensitive: tuple[Path, ...] = ()
    id: str | None = None
    changed: tuple[str, ...] = ()
    replace_paths: tuple[Path, ...] = ()
    causes: tuple[Cause, ...] = ()
    depends_on: tuple[str, ...] = ()
    host: str | None = None
    create_before_destroy: bool = False
    prevent_destroy: bool = False
    deposed: bool = False
    tainted: bool = False
    unknown_host: bool = False
    with_host: bool = False
    mode: str = "managed"
    range: Range | None = None
    import_id: str | None = None
    moved_from: str | None = None
    skip_destroy: bool = False
    of_check: bool = False


@dataclass(frozen=True, slots=True)
class OutputChange:
    """A root output before and after. ``after`` may be Unknown; None with ``removed``.

    ``revised``: its type changes, or whether it is sensitive, though its value looks the same.
    """

    name: str
    before: Any
    after: Any
    type: Type
    sensitive: bool = False
    removed: bool = False
    existed: bool = False
    revised: bool = False

    @property
    def changed(self) -> bool:
        """Whether there is anything to tell."""
        return self.removed or not self.existed or self.revised or self.before != self.after


@dataclass(frozen=True, slots=True)
class ConfigSnapshot:
    """The configuration a plan was built from, so that apply evaluates just that.

    ``files`` maps paths (relative to ``root``) to text; ``inputs`` are the digests of other files that
    evaluation read; ``variables`` are the root variables' values (never ephemeral ones).
    """

    root: str
    files: Mapping[str, str]
    inputs: Mapping[str, str]
    variables: Mapping[str, Any]
    sensitive_variables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that apply needs, and what a person decides on.

    ``serial`` is that of the state it was built on; apply refuses when it moved on. ``changes`` are in
    display order and hold no-ops too; ``drift`` tells what changed in the world since the last apply.
    ``moves`` are pairs of an old and a new address.
    ``deferred`` lists blocks whose instances are only known during apply.
    ``workspace`` is the one it was made in, and the only one that it is for.
    """

    version: str
    lineage: str
    serial: int
    mode: Mode
    created: str
    config: ConfigSnapshot
    changes: tuple[Change, ...] = ()
    drift: tuple[Change, ...] = ()
    outputs: tuple[OutputChange, ...] = ()
    targets: tuple[str, ...] = ()
    deferred: tuple[str, ...] = ()
    prior: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = True
    moves: tuple[tuple[str, str], ...] = ()
    workspace: str = "default"

    @property
    def actions(self) -> tuple[Change, ...]:
        """The changes that do something."""
        return tuple(c for c in self.changes if c.action is not Action.NOOP)

    @property
    def is_empty(self) -> bool:
        """Whether applying would change nothing (not even outputs)."""
        return not self.actions and not self.moves and not any(o.changed for o in self.outputs)
