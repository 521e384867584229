"""Looking for marks on machines, and for what the configuration wants: what a state is rebuilt from.

At the edge: machines are looked at, and nothing is changed.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hythe.diagnostic import Diagnostic, DiagnosticError, error
from hythe.planner.build import PlanOptions
from hythe.planner.edge import Outcome, Session, make_plan, project_of
from hythe.planner.plan import Action, Change
from hythe.provider.guard import diagnostics_of
from hythe.provider.protocol import (
    ANY_LINEAGE,
    Attributes,
    Host,
    HostUnreachable,
    Kind,
    Owned,
    ReadContext,
    ReadRequest,
)
from hythe.provider.schema import storable
from hythe.state.model import InstanceState, State
from hythe.value import Reference, is_known


@dataclass(frozen=True, slots=True)
class Sighting:
    """An object with a mark, and the machine that it is on."""

    kind: str
    host: str | None
    owned: Owned

    @property
    def id(self) -> str:
        """Its instance id."""
        return self.owned.identity.id


@dataclass(frozen=True, slots=True)
class Unseen:
    """What could not be looked at: the objects of a kind on a machine, all of them where ``kind`` is None."""

    host: str | None
    kind: str | None
    diagnostics: tuple[Diagnostic, ...]


@dataclass(slots=True)
class Survey:
    """What was seen on machines.

    ``likely`` is the one lineage that has objects of the names that the configuration gives, None where that is none
    or several.
    """

    sightings: list[Sighting] = field(default_factory=list)
    unseen: list[Unseen] = field(default_factory=list)
    looked: list[str | None] = field(default_factory=list)
    likely: str | None = None

    def note(self, unseen: Unseen) -> None:
        """Remember what could not be looked at, once."""
        if not any(u.host == unseen.host and u.kind in (None, unseen.kind) for u in self.unseen):
            self.unseen.append(unseen)

    def lineages(self) -> dict[str, list[Sighting]]:
        """What was seen, by lineage; the one with most first."""
        found: dict[str, list[Sighting]] = {}
        for sighting in self.sightings:
            found.setdefault(sighting.owned.identity.lineage, []).append(sighting)
        return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


# -- looking --------------------------------------------------------------------------------------


def survey(session: Session) -> Survey:
    """Look for marks of any lineage on this machine, and on those that the configuration declares.

    Raises DiagnosticError when the configuration is wrong.
    """
    found = Survey()
    lost = State(ANY_LINEAGE)
    wanted = wanted_by(planned(session, lost))
    machines: dict[str | None, Mapping[str, Any] | None] = {None: None}
    declared = {a: c for a, c in wanted.items() if session.registry.kind(c.kind).is_machine}
    machines |= {made.address: made.attributes for made in recognised(session, lost, declared, found)}
    for address, attributes in machines.items():
        look(session, found, address, attributes, ANY_LINEAGE, uris_of(wanted, address))
    found.likely = _likely(found, wanted)
    return found


def _likely(found: Survey, wanted: Mapping[str, Change]) -> str | None:
    # a name is given once on a machine, so nobody else can have an object that the configuration names
    named = {(c.kind, c.host, name) for c in wanted.values() if isinstance(name := (c.after or {}).get("name"), str)}
    fitting = {
        s.owned.identity.lineage for s in found.sightings if (s.kind, s.host, s.owned.attributes.get("name")) in named
    }
    return fitting.pop() if len(fitting) == 1 else None


def look(
    session: Session,
    found: Survey,
    address: str | None,
    attributes: Mapping[str, Any] | None,
    lineage: str,
    uris: tuple[str | None, ...],
) -> None:
    """All marked objects on a machine."""
    found.looked.append(address)
    try:
        host = session.hosts.get(address, attributes)
    except Exception as failure:
        found.unseen.append(Unseen(address, None, diagnostics_of(failure, "host", "find")))
        return
    context = context_on(session, host, lineage, uris)
    for name in session.registry.names():
        try:
            owned = session.registry.kind(name).find_owned(context)
        except NotImplementedError:
            continue
        except Exception as failure:
            found.unseen.append(Unseen(address, name, diagnostics_of(failure, name, "find")))
            continue
        found.sightings += [Sighting(name, address, o) for o in owned]


def context_on(
    session: Session,
    host: Host,
    lineage: str,
    uris: tuple[str | None, ...] = (None,),
) -> ReadContext:
    """What reads of a lineage's objects are given."""
    project = project_of(session.config)
    return ReadContext(host, session.hosts.local, lineage, session.config.root, project, uris=uris)


def uris_of(wanted: Mapping[str, Change], host: str | None) -> tuple[str | None, ...]:
    """The hypervisors of a machine that the configuration names, and the usual one."""
    named = {c.after.get("uri") for c in wanted.values() if c.host == host and c.after is not None}
    return (None, *sorted(u for u in named if isinstance(u, str)))


# -- what the configuration wants -----------------------------------------------------------------


def planned(session: Session, state: State, *, refresh: bool = False) -> Outcome:
    """A plan for its wishes, whatever they would do. Raises DiagnosticError when the configuration is wrong."""
    outcome = make_plan(session, state, PlanOptions(refresh=refresh, skip_protected=True, unlimited=True))
    if outcome.plan is None:
        raise DiagnosticError(*outcome.diagnostics)
    return outcome


def wanted_by(outcome: Outcome) -> dict[str, Change]:
    """Managed instances that the configuration has, by address."""
    assert outcome.plan is not None
    ends = (Action.DELETE, Action.FORGET)
    return {
        c.address: c
        for c in outcome.plan.changes
        if c.mode == "managed" and not c.deposed and c.after is not None and c.action not in ends
    }


def known_part(attributes: Mapping[str, Any] | None) -> Attributes:
    """The attributes that are wholly known, references among them."""
    return {name: value for name, value in (attributes or {}).items() if is_known(value) and _is_bound(value)}


def _is_bound(value: Any) -> bool:
    """Whether every reference in a value means something that is there."""
    if isinstance(value, Reference):
        return isinstance(value.id, str)
    if isinstance(value, dict):
        return all(map(_is_bound, value.values()))
    return all(map(_is_bound, value)) if isinstance(value, list) else True


# -- what carries no mark --------------------------------------------------------------------------


def reach(session: Session, state: State, address: str | None) -> Host:
    """The machine at an address, as the state has it. Raises ProviderError."""
    instance = state.instances.get(address) if address is not None else None
    return session.hosts.get(address, instance.attributes if instance is not None else None)


def recognised(
    session: Session,
    state: State,
    wanted: Mapping[str, Change],
    seen: Survey,
    new_ids: dict[str, str] | None = None,
) -> list[InstanceState]:
    """Objects without a mark that are what the configuration wants, where that is certain."""
    ids = new_ids if new_ids is not None else {}
    groups: dict[tuple[str | None, str], list[ReadRequest]] = {}
    for address, change in wanted.items():
        there = change.host is None or change.host in state.instances
        if there and change.import_id is None and change.after is not None:
            id = ids.setdefault(address, str(uuid.uuid4()))
            request = ReadRequest(id, address, known_part(change.after))
            groups.setdefault((change.host, change.kind), []).append(request)
    out: list[InstanceState] = []
    for (host, name), requests in groups.items():
        kind = session.registry.kind(name)
        whole = [r for r in requests if _is_whole(kind, wanted[r.address], r.attributes)]
        try:
            context = context_on(session, reach(session, state, host), state.lineage)
            found = kind.recognise(context, whole) if whole else []
        except HostUnreachable as failure:
            seen.note(Unseen(host, name, diagnostics_of(failure, name, "find")))
            continue
        except Exception as failure:
            raise DiagnosticError(*diagnostics_of(failure, name, "find")) from failure
        for told in context.notices:
            # a machine that the configuration declares, and that cannot be reached
            seen.note(Unseen(told.address, None, (told,)))
        for owned in found:
            address = owned.identity.address
            out.append(instance_of(kind, address, owned.identity.id, host, owned.attributes, wanted[address]))
    return out


def _is_whole(kind: Kind, change: Change, known: Mapping[str, Any]) -> bool:
    """Whether all that is configured is known: something that is half known cannot be recognised."""
    told = {n for n, a in kind.schema.attributes.items() if a.computed or a.engine_default}
    return all(name in known or name in told for name in change.after or {})


def instance_of(
    kind: Kind, address: str, id: str, host: str | None, attributes: Mapping[str, Any], change: Change | None
) -> InstanceState:
    kept = known_part(storable(kind.schema, attributes))
    if change is None:
        return InstanceState(
            address, id, kind.name, kept, kind.schema.sensitive_paths(kept), (), host, schema_version=kind.version
        )
    return InstanceState(
        address,
        id,
        kind.name,
        kept,
        tuple(dict.fromkeys((*change.after_sensitive, *kind.schema.sensitive_paths(kept)))),
        change.depends_on,
        host,
        change.create_before_destroy,
        change.prevent_destroy,
        schema_version=kind.version,
        skip_destroy=change.skip_destroy,
    )


def no_marks(survey: Survey) -> Diagnostic:
    """Why nothing can be rebuilt."""
    where = ", ".join(address or "this machine" for address in survey.looked)
    text = f"No object with a mark of Hythe was found on {where}."
    told = [d for u in survey.unseen for d in u.diagnostics]
    if told:
        text += " Not all could be looked at: " + " ".join(f"{d.summary}: {d.detail}" for d in dict.fromkeys(told))
    return error("Nothing to rebuild", text)
