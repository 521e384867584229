"""A state made anew from the marks on what is there: for when the state was lost.

At the edge: machines are looked at, and nothing is changed. What carries a mark of the lineage is recovered, its
attributes being those that are seen, filled up by what the configuration wants; what the configuration wants and
carries no mark is recognised where its kind is certain. That goes in rounds, as each object that is known may make
known what others are to be, and each machine what is on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hythe.address import AddressError, parse_address
from hythe.diagnostic import Diagnostic
from hythe.planner.build import PlanOptions
from hythe.planner.edge import Session, make_plan
from hythe.planner.plan import Change, Plan
from hythe.planner.survey import (
    Sighting,
    Survey,
    Unseen,
    context_on,
    instance_of,
    known_part,
    look,
    planned,
    reach,
    recognised,
    uris_of,
    wanted_by,
)
from hythe.provider.guard import diagnostics_of
from hythe.provider.protocol import Attributes, Kind, ReadRequest
from hythe.state.model import InstanceState, OutputState, State
from hythe.value import Reference, is_known

_ROUNDS = 20
"""Each makes something known; machines on machines on machines are few."""


@dataclass(slots=True)
class Rebuilt:
    """The state, and how it came about.

    ``recovered`` and ``recognised`` are addresses of what was found by mark and without one. ``missing`` are those
    that the configuration wants and that were not found. ``stray`` is in the state, and the configuration no longer
    has it. ``stale`` are pairs of the address in a mark and the one it was found to have now. ``plan`` is what comes
    next, and ``refusals`` are why `hythe plan` will refuse it, if it does.
    """

    state: State
    survey: Survey
    plan: Plan
    recovered: list[str] = field(default_factory=list)
    recognised: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    stray: list[str] = field(default_factory=list)
    stale: list[tuple[str, str]] = field(default_factory=list)
    unseen: list[Unseen] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    refusals: list[Diagnostic] = field(default_factory=list)


# -- rebuilding -----------------------------------------------------------------------------------


def rebuild(session: Session, lineage: str, seen: Survey) -> Rebuilt:
    """The state of a lineage. ``seen`` is what :func:`survey` gave. Raises DiagnosticError."""
    return _Rebuilder(session, lineage, seen).run()


class _Rebuilder:
    def __init__(self, session: Session, lineage: str, seen: Survey) -> None:
        self.session, self.lineage = session, lineage
        self.survey = Survey(
            [s for s in seen.sightings if s.owned.identity.lineage == lineage], list(seen.unseen), list(seen.looked)
        )
        self.names: dict[str, str] = {}
        """Addresses now by those in marks, as ``moved`` blocks say."""
        self.new_ids: dict[str, str] = {}
        self.recognised: set[str] = set()

    def run(self) -> Rebuilt:
        """Rounds until nothing more becomes known."""
        state = State(self.lineage)
        wanted: dict[str, Change] = {}
        for _ in range(_ROUNDS):
            outcome = planned(self.session, state)
            wanted = wanted_by(outcome)
            assert outcome.plan is not None
            self.names |= dict(outcome.plan.moves)
            self._look_further(state, wanted)
            made = self._build(state, wanted)
            if made == state:
                break
            state = made
        return self._finished(state, wanted)

    def _look_further(self, state: State, wanted: Mapping[str, Change]) -> None:
        """Look at machines that are known by now."""
        for address, instance in sorted(state.instances.items()):
            if address in self.survey.looked or not self._kind(instance.kind).is_machine:
                continue
            uris = uris_of(wanted, address)
            look(self.session, self.survey, address, instance.attributes, self.lineage, uris)

    def _kind(self, name: str) -> Kind:
        return self.session.registry.kind(name)

    # -- one round ------------------------------------------------------------------------------

    def _build(self, known: State, wanted: Mapping[str, Change]) -> State:
        state = State(self.lineage)
        recovered = self._recovered(known, wanted, state.deposed)
        state.instances = {i.address: i for i in recovered}
        left = {a: c for a, c in wanted.items() if a not in state.instances}
        found = recognised(self.session, known, left, self.survey, self.new_ids)
        self.recognised = {i.address for i in found}
        state.instances |= {i.address: i for i in found}
        state.instances = {a: _settled(i, state) for a, i in sorted(state.instances.items())}
        state.deposed = {id: _settled(i, state) for id, i in sorted(state.deposed.items())}
        return state

    def _recovered(
        self, known: State, wanted: Mapping[str, Change], deposed: dict[str, InstanceState]
    ) -> list[InstanceState]:
        """An instance for each address that objects were seen for; further objects of it go to ``deposed``."""
        by_address: dict[str, list[Sighting]] = {}
        for address, sighting in self._addressed(wanted):
            by_address.setdefault(address, []).append(sighting)
        pairs = [(a, s, wanted.get(a)) for a, several in sorted(by_address.items()) for s in several]
        seen = self._attributes(known, pairs)
        out: list[InstanceState] = []
        for address, several in sorted(by_address.items()):
            change = wanted.get(address)
            ranked = sorted(several, key=lambda s: (-_likeness(seen[s.id], change), s.id))
            for place, sighting in enumerate(ranked):
                kind, (_, attributes) = self._kind(sighting.kind), seen[sighting.id]
                made = instance_of(kind, address, sighting.id, sighting.host, attributes, change)
                if place == 0:
                    out.append(made)
                else:
                    deposed[made.id] = made
        return out

    def _addressed(self, wanted: Mapping[str, Change]) -> Iterator[tuple[str, Sighting]]:
        """Each object once, with its address."""
        chosen: dict[tuple[str, str], Sighting] = {}
        for sighting in self.survey.sightings:
            key = (sighting.kind, sighting.id)
            change = wanted.get(self._address(sighting))
            # a machine may be reached in two ways, and copies of an image are on many
            if key not in chosen or (change is not None and change.host == sighting.host):
                chosen[key] = sighting
        taken = {self._address(s) for s in chosen.values()}
        for sighting in chosen.values():
            address = self._address(sighting)
            if address not in wanted:
                address = _by_name(sighting, wanted, taken) or address
                taken.add(address)
            if _is_managed(address, sighting.kind):
                yield address, sighting

    def _address(self, sighting: Sighting) -> str:
        address = sighting.owned.identity.address
        return self.names.get(address, address)

    def _attributes(
        self, known: State, pairs: Sequence[tuple[str, Sighting, Change | None]]
    ) -> dict[str, tuple[Attributes, Attributes]]:
        """What was seen of each object, and that with what the configuration wants of it, by instance id."""
        out: dict[str, tuple[Attributes, Attributes]] = {}
        groups: dict[tuple[str | None, str], list[ReadRequest]] = {}
        unknown: dict[str, set[str]] = {}
        for address, sighting, change in pairs:
            seen = known_part(sighting.owned.attributes)
            out[sighting.id] = seen, seen
            if change is not None and change.host == sighting.host:
                wish = known_part(change.after)
                unknown[sighting.id] = (change.after or {}).keys() - wish.keys()
                groups.setdefault((sighting.host, sighting.kind), []).append(ReadRequest(sighting.id, address, wish))
        for (host, name), requests in groups.items():
            try:
                context = context_on(self.session, reach(self.session, known, host), self.lineage)
                found = self._kind(name).recover(context, requests)
            except Exception as failure:
                self._unseen(host, name, failure)
                continue
            for request in requests:
                seen, _ = out[request.id]
                if request.id not in found:
                    continue
                # what the configuration could not tell yet is taken as it was seen; what it leaves out is the kind's
                # business, which knows what an image or an engine implies
                untold = unknown[request.id]
                attributes = {k: v for k, v in seen.items() if k in untold} | known_part(found[request.id])
                out[request.id] = seen, attributes
        return out

    def _unseen(self, host: str | None, kind: str, failure: Exception) -> None:
        self.survey.note(Unseen(host, kind, diagnostics_of(failure, kind, "find")))

    # -- the end --------------------------------------------------------------------------------

    def _finished(self, state: State, wanted: Mapping[str, Change]) -> Rebuilt:
        plan = planned(self.session, state, refresh=True).plan
        assert plan is not None
        state.outputs = {
            o.name: OutputState(o.after, o.type, o.sensitive) for o in plan.outputs if _is_output(o.after, o.removed)
        }
        # what the user will see
        outcome = make_plan(self.session, state, PlanOptions())
        plan = outcome.plan or plan
        ids = {i.id: a for a, i in state.instances.items()}
        found = Rebuilt(state, self.survey, plan)
        found.recovered = sorted(a for a in state.instances if a not in self.recognised)
        found.recognised = sorted(self.recognised)
        found.missing = sorted(wanted.keys() - state.instances.keys())
        found.stray = sorted(a for a in state.instances if a not in wanted)
        hints = {s.owned.identity.address: ids.get(s.id) for s in self.survey.sightings}
        found.stale = sorted((old, new) for old, new in hints.items() if new is not None and new != old)
        found.unseen = [u for u in self.survey.unseen if self._matters(u, wanted)]
        found.diagnostics = [d for d in outcome.diagnostics if not d.is_error]
        found.refusals = [d for d in outcome.diagnostics if d.is_error]
        return found

    def _matters(self, unseen: Unseen, wanted: Mapping[str, Change]) -> bool:
        """Whether the configuration has anything there. That a machine without a hypervisor has no VMs is no news."""
        if unseen.kind is None and unseen.host in wanted:
            return True
        return any(c.host == unseen.host and unseen.kind in (None, c.kind) for c in wanted.values())


def _is_output(value: Any, removed: bool) -> bool:
    return not removed and is_known(value)


def _is_managed(address: str, kind: str) -> bool:
    """Whether an address can be one of a resource of the kind: marks can be written by anybody."""
    try:
        at = parse_address(address)
    except AddressError:
        return False
    return at.mode == "managed" and at.kind == kind


def _likeness(seen: tuple[Attributes, Attributes], change: Change | None) -> int:
    """In how many arguments an object is as the configuration wants it."""
    wish = known_part(change.after) if change is not None else {}
    observed, full = seen
    return sum(1 for name, value in wish.items() if full.get(name) == value and name in observed)


def _by_name(sighting: Sighting, wanted: Mapping[str, Change], taken: set[str]) -> str | None:
    """The one instance that has no object, on the same machine and of the same name: the mark's address is stale."""
    name = sighting.owned.attributes.get("name")
    fitting = [
        a
        for a, c in wanted.items()
        if name is not None
        and a not in taken
        and (c.kind, c.host, (c.after or {}).get("name")) == (sighting.kind, sighting.host, name)
    ]
    return fitting[0] if len(fitting) == 1 else None


def _settled(instance: InstanceState, state: State) -> InstanceState:
    """With references to what is in the state by its id there, and dependencies on that alone."""
    attributes = {name: _referring(value, state) for name, value in instance.attributes.items()}
    host = state.instances.get(instance.host) if instance.host is not None else None
    if host is not None:
        attributes["host"] = Reference(host.kind, host.address, host.id)
    return replace(
        instance,
        attributes=attributes,
        dependencies=tuple(a for a in instance.dependencies if a in state.instances),
    )


def _referring(value: Any, state: State) -> Any:
    if isinstance(value, Reference):
        known = state.instances.get(value.address)
        return Reference(value.kind, value.address, known.id) if known is not None else value
    if isinstance(value, dict):
        return {k: _referring(v, state) for k, v in value.items()}
    if isinstance(value, list):
        return [_referring(v, state) for v in value]
    return value
