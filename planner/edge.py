"""Making a plan: the edge that does the reads which the pure step names."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256

from hythe import __version__
from hythe.diagnostic import Diagnostic, Severity, error, has_errors, warning
from hythe.event import Sink, ignore
from hythe.modules.config import Config
from hythe.modules.language.functions.registry import Environment
from hythe.modules.language.rendering import with_templates
from hythe.modules.variables import storable
from hythe.planner.build import Builder, BuildResult, Observe, PlanOptions
from hythe.planner.evaluator import ApplyEvaluator
from hythe.planner.expand import Evaluation
from hythe.planner.foretold import foretold
from hythe.planner.imports import ImportRequest, Seen, context_of, own_identity
from hythe.planner.inputs import RecordingReader
from hythe.planner.moves import Moved, moved
from hythe.planner.plan import Change, ConfigSnapshot, Plan
from hythe.planner.planned import DataRequest
from hythe.planner.program import Program, compile_config
from hythe.planner.refresh import Refreshed, Unreachable, refresh
from hythe.provider.guard import diagnostics_of
from hythe.provider.hosts import Hosts
from hythe.provider.protocol import Attributes, Observed, Project, ReadContext
from hythe.provider.registry import Registry
from hythe.state.backends.base import DEFAULT_WORKSPACE
from hythe.state.model import InstanceState, State
from hythe.value import Value

MAX_ROUNDS = 50
_NO_SECRETS = frozenset({"mode", "owner", "group"})
"""What ephemeral files have that logs need."""


def project_of(config: Config, workspace: str = DEFAULT_WORKSPACE) -> Project:
    """The project's name: as set, else that of its folder; its suffix tells checkouts and workspaces apart."""
    root = os.path.realpath(config.root)
    name = config.settings.project or os.path.basename(root) or "root"
    name = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "project"
    whose = root if workspace == DEFAULT_WORKSPACE else f"{root}\n{workspace}"
    return Project(name[:32], sha256(whose.encode()).hexdigest()[:6], root, workspace)


@dataclass(slots=True)
class Session:
    """What planning and applying one configuration share."""

    config: Config
    variables: Mapping[str, Value]
    registry: Registry
    hosts: Hosts
    lock: Mapping[str, str] = field(default_factory=dict)
    sink: Sink = ignore
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    parallelism: int = 10
    remember_secrets: Callable[[Iterable[object]], None] = lambda values: None
    """Is told values that no log may show and that the plan does not have."""
    workspace: str = DEFAULT_WORKSPACE

    @property
    def project(self) -> Project:
        """Who asks."""
        return project_of(self.config, self.workspace)


@dataclass(slots=True)
class Outcome:
    """A finished plan with what apply needs to go on without loading everything again."""

    plan: Plan | None
    diagnostics: list[Diagnostic]
    program: Program | None = None
    refreshed: Refreshed | None = None
    reader: RecordingReader | None = None
    started: datetime | None = None
    generated: Mapping[str, Attributes] = field(default_factory=dict)
    """Objects to be taken in that the configuration has no place for."""


def make_plan(session: Session, state: State, options: PlanOptions) -> Outcome:
    """Refresh, read data sources in as many rounds as it takes, and build the plan."""
    program, found = compile_config(session.config, session.registry)
    if has_errors(found):
        return Outcome(None, found, program)
    started = session.now()
    project = session.project
    moving = moved(session.config.module, state)
    found += moving.diagnostics
    state = moving.state
    refreshed = _refresh(session, state, options, project)
    observe = _observer(refreshed)
    reader = RecordingReader(session.config.root)
    environment = _environment(reader, session.config.root, started, unknown_impure=True)

    def evaluation(builder: Builder) -> Evaluation:
        return Evaluation(
            program,
            session.variables,
            environment,
            builder,
            project=project,
            reader=reader,
            lock=session.lock,
            defer=True,
        )

    data: dict[str, Attributes | Diagnostic] = {}
    seen: dict[str, Seen | Diagnostic] = {}
    for _ in range(MAX_ROUNDS):
        builder = Builder(program, evaluation, state, observe, session.registry, options, data, seen)
        result = builder.build()
        if not (result.requests or result.imports) or has_errors(result.diagnostics):
            break
        for request in result.requests:
            data[request.address] = _read_data(session, state, request, project)
        for wanted in result.imports:
            seen[wanted.address] = _look_at(session, state, wanted, project)
    else:
        result.diagnostics.append(error("Data sources do not settle", "Their reads kept asking for further reads."))
    found += result.diagnostics
    found += _unreachable(refreshed, options)
    outcome = Outcome(None, found, program, refreshed, reader, started, result.generated)
    if not has_errors(found):
        outcome.plan = _assemble(session, moving, options, result, reader, started)
    return outcome


def _environment(reader: RecordingReader, root: str, started: datetime, *, unknown_impure: bool) -> Environment:
    home = os.path.expanduser("~")
    return with_templates(
        Environment(reader=reader, base_dir=root, now=started, unknown_impure=unknown_impure, home=home)
    )


def _refresh(session: Session, state: State, options: PlanOptions, project: Project) -> Refreshed:
    if not options.refresh:
        return Refreshed()
    return refresh(
        state,
        session.registry,
        session.hosts,
        parallelism=session.parallelism,
        sink=session.sink,
        project=project,
        base_dir=session.config.root,
    )


def _observer(refreshed: Refreshed) -> Observe:
    def observe(prior: InstanceState) -> Observed | Unreachable:
        found = refreshed.get(prior.id)
        return dict(prior.attributes) if found is None else found

    return observe


def _read_data(session: Session, state: State, request: DataRequest, project: Project) -> Attributes | Diagnostic:
    kind = session.registry.kind(request.kind)
    try:
        owner = state.instances.get(request.host) if request.host is not None else None
        host = session.hosts.get(request.host, owner.attributes if owner is not None else None)
        context = ReadContext(
            host, session.hosts.local, state.lineage, session.config.root, project, address=request.address
        )
        if not request.ephemeral:
            return kind.read_data(context, request.attributes)
        given = kind.open(context, request.attributes)
        session.remember_secrets(v for n, v in given.items() if n not in request.attributes and n not in _NO_SECRETS)
        return given
    except NotImplementedError:
        return error("No data source", f"The kind {request.kind} cannot be read as data.")
    except Exception as failure:
        return diagnostics_of(failure, request.kind, "read", request.address)[0]


def _look_at(session: Session, state: State, wanted: ImportRequest, project: Project) -> Seen | Diagnostic:
    """An object that is to be taken in."""
    kind = session.registry.kind(wanted.kind)
    identity = str(uuid.uuid4())
    try:
        context = context_of(
            state,
            session.hosts,
            wanted.host,
            wanted.address,
            identity,
            project=project,
            base_dir=session.config.root,
            lock=session.lock,
        )
        attributes = kind.import_object(context, wanted.id)
        return Seen(attributes, own_identity(state, kind, context, attributes))
    except NotImplementedError:
        return error("Import not supported", f"Objects of the kind {wanted.kind} cannot be imported.")
    except Exception as failure:
        return diagnostics_of(failure, wanted.kind, "import", wanted.address)[0]


def _unreachable(refreshed: Refreshed, options: PlanOptions) -> list[Diagnostic]:
    """What refreshing had to say. What could not be read blocks nothing else, unless that is asked for."""
    make, severity = (error, Severity.ERROR) if options.fail_on_unknown else (warning, Severity.WARNING)
    out = [replace(d, severity=severity) if d.is_error else d for d in refreshed.diagnostics]
    told = {d.detail for d in out}
    for found in refreshed.unreachable():
        text = "; ".join(f"{d.summary}: {d.detail}" for d in found.diagnostics)
        if text in told or all(d.detail in told for d in found.diagnostics):
            continue
        told.add(text)
        out.append(make("Host not reachable", f"What is on {found.host} is not known and stays as recorded. {text}"))
    return out


def _assemble(
    session: Session,
    moving: Moved,
    options: PlanOptions,
    result: BuildResult,
    reader: RecordingReader,
    started: datetime,
) -> Plan:
    values, sensitive = storable(session.config, session.variables)
    changes = result.changes
    if options.refresh:
        # without it no host is asked for anything
        changes = foretold(changes, moving.state, session.registry, session.hosts)
    state, came = moving.state, {new: old for old, new in moving.names.items()}
    return Plan(
        version=__version__,
        lineage=state.lineage,
        serial=state.serial,
        mode=options.mode,
        created=started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        config=ConfigSnapshot(session.config.root, dict(session.config.files), dict(reader.inputs), values, sensitive),
        changes=tuple(_from(c, came) for c in changes) if came else tuple(changes),
        drift=tuple(result.drift),
        outputs=tuple(result.outputs),
        targets=options.targets,
        complete=not (options.targets or options.excludes),
        moves=tuple(sorted(moving.names.items())),
        deferred=result.deferred,
        workspace=session.workspace,
    )


def _from(change: Change, came: Mapping[str, str]) -> Change:
    old = None if change.deposed else came.get(change.address)
    return change if old is None else replace(change, moved_from=old)


def make_evaluator(session: Session, plan: Plan, outcome: Outcome | None = None) -> ApplyEvaluator:
    """What apply evaluates with: the plan's own program, or one compiled from its configuration."""
    program = outcome.program if outcome is not None else None
    reader = outcome.reader if outcome is not None else None
    if program is None:
        program, _ = compile_config(session.config, session.registry)
    reader = reader or RecordingReader(session.config.root)
    started = datetime.fromisoformat(plan.created.replace("Z", "+00:00"))
    environment = _environment(reader, session.config.root, started, unknown_impure=False)
    project = session.project

    def open_(state: State, request: DataRequest) -> Attributes | Diagnostic:
        return _read_data(session, state, request, project)

    return ApplyEvaluator(
        plan,
        program,
        session.variables,
        environment,
        project=project,
        reader=reader,
        lock=session.lock,
        open_=open_,
    )
