"""The one place where the command line meets the other rooms: configuration, state, registry, hosts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import chain
from typing import TYPE_CHECKING, Any

from hythe.cli.context import Cli, fail, raise_errors
from hythe.cli.logs_setup import remember_secrets
from hythe.cli.views.diagnostics import sources_of
from hythe.cli.views.values import Layout
from hythe.diagnostic import Diagnostic, DiagnosticError
from hythe.event import Sink, ignore
from hythe.state.backends.base import DEFAULT_WORKSPACE

if TYPE_CHECKING:
    from hythe.cli.options import PlanRequest
    from hythe.modules.config import Config
    from hythe.planner.apply import ApplyResult, StopSignal
    from hythe.planner.build import PlanOptions
    from hythe.planner.edge import Outcome, Session
    from hythe.planner.plan import Plan
    from hythe.provider.hosts import Hosts
    from hythe.provider.registry import Registry
    from hythe.state.backends.base import Storage
    from hythe.state.model import State
    from hythe.state.settle import Settled
    from hythe.state.store import Loaded, StateStore
    from hythe.value import Value


_COMMANDS = {"normal": "apply", "destroy": "destroy", "refresh-only": "refresh"}
"""What a plan's mode is called in the state's history."""


class Workspace:
    """One configuration's folder with the state of one workspace, ``name``. Opens things when they are first needed."""

    def __init__(self, cli: Cli, state_path: str | None = None) -> None:
        self.cli = cli
        self.root = cli.root
        self.name = DEFAULT_WORKSPACE
        self._given_state = state_path
        self._config: Config | None = None
        self._registry: Registry | None = None
        self._hosts: Hosts | None = None
        self._storage: Storage | None = None
        self._store: StateStore | None = None

    # -- configuration --------------------------------------------------------------------------

    def load(self) -> tuple[Config, list[Diagnostic]]:
        """The configuration with everything found wrong in it."""
        from hythe.modules.loader import load

        config, found = load(self.root)
        self.use(config)
        return config, found

    def use(self, config: Config) -> None:
        """Work with this configuration; diagnostics quote its texts."""
        self._config = config
        self.cli.sources = sources_of(config.files, config.root)

    def config(self) -> Config:
        """The configuration; warnings are shown. Raises DiagnosticError when it has errors."""
        if self._config is None:
            config, found = self.load()
            raise_errors(found)
            self.cli.report(found)
            self._config = config
        return self._config

    def install(self, *, upgrade: bool) -> tuple[Config, list[Diagnostic]]:
        """The configuration, its modules fetched where they are not there yet."""
        from hythe.modules.install import install

        config, found = install(self.root, self.cli.say, upgrade=upgrade)
        self.use(config)
        return config, found

    def validate(self, *, fetch: bool = False, upgrade: bool = False) -> list[Diagnostic]:
        """Everything wrong with the configuration that shows without values and without the world.

        ``fetch`` fetches modules that are missing, ``upgrade`` all of them anew.
        """
        from hythe.planner.program import compile_config

        config, found = self.install(upgrade=upgrade) if fetch else self.load()
        if not any(d.is_error for d in found):
            _, more = compile_config(config, self.registry)
            found = [*found, *more]
        return found

    def variables(self, inputs: Sequence[tuple[str, str]], *, ask: bool) -> Mapping[str, Value]:
        """The root variables' values; missing ones are asked for where ``ask``. Raises DiagnosticError."""
        from hythe.cli.variables import prompt_missing, rule_check
        from hythe.modules import variables

        config = self.config()
        given, found = variables.collect(config, inputs, self.cli.environment)
        raise_errors(found)
        missing = variables.missing(config, given)
        if missing and ask and self.cli.interactive:
            inputs = [*inputs, *prompt_missing(self.cli, missing)]
            given, found = variables.collect(config, inputs, self.cli.environment)
            raise_errors(found)
        values, more = variables.resolve(config, given, rule_check(config.root))
        raise_errors([*found, *more])
        self.cli.report([*found, *more])
        _, hidden = variables.storable(config, values)
        remember_secrets(_plain(values[n]) for n in hidden)
        return values

    # -- state ----------------------------------------------------------------------------------

    @property
    def storage(self) -> Storage:
        """Where the states of this configuration's workspaces are kept."""
        from hythe.cli.storage import open_storage

        if self._storage is None:
            config = self._config
            if config is None and self._given_state is None:
                from hythe.modules.loader import load

                config = load(self.root)[0]
            self._storage = open_storage(self.cli, config, self._given_state)
        return self._storage

    @property
    def store(self) -> StateStore:
        """The state store. Its connections are closed when the command ends."""
        from hythe.state.store import StateStore

        if self._store is None:
            self._store = StateStore(self.storage.backend(self.name))
            self.cli.closing.callback(self._store.close)
        return self._store

    @contextmanager
    def locked(self, operation: str, lock: bool = True, timeout: float = 0.0) -> Iterator[StateStore]:
        """The store, nobody else writing meanwhile (unless ``lock`` is off). Raises DiagnosticError."""
        store = self.store
        with store.lock(operation, timeout) if lock else nullcontext():
            yield store

    def read_state(self) -> State:
        """The state as it is now, without a lock. Raises DiagnosticError."""
        state = self.store.load()
        remember_state_secrets(state)
        return state

    def read_objects(self) -> State:
        """Like :meth:`read_state`, with attributes as today's kinds have them, for whoever makes use of these."""
        from hythe.state.upgrade import upgrade_instances

        loaded = self.store.read()
        upgrade_instances(loaded, self.registry)
        remember_state_secrets(loaded.state)
        return loaded.state

    # -- kinds and hosts ------------------------------------------------------------------------

    @property
    def registry(self) -> Registry:
        """The kinds."""
        if self._registry is None:
            from hythe.provider.registry import Registry

            self._registry = Registry()
        return self._registry

    @registry.setter
    def registry(self, registry: Registry) -> None:
        """Work with these kinds: tests keep some in memory."""
        self._registry = registry

    @contextmanager
    def hosts(self) -> Iterator[Hosts]:
        """The machines, their connections closed at the end."""
        from hythe.provider.hosts import Hosts

        hosts = Hosts()
        try:
            yield hosts
        finally:
            hosts.close()

    def layout(self, kind: str) -> Layout:
        """How a kind's values are shown."""
        from hythe.cli.layouts import layout_of

        return layout_of(self.registry, kind)

    def use_plan(self, plan: Plan, inputs: Sequence[tuple[str, str]]) -> Mapping[str, Value]:
        """Work with a saved plan's own configuration; gives its variables.

        Ephemeral ones are not in it and are taken from ``inputs`` and the environment. Raises DiagnosticError.
        """
        from hythe.modules import variables
        from hythe.modules.config import InputValue
        from hythe.modules.loader import load_texts
        from hythe.modules.parsecache import ParseCache

        config, found = load_texts(plan.config.root, plan.config.files, ParseCache(self.root).parse)
        raise_errors(found)
        self.use(config)
        given, problems = variables.collect(config, inputs, self.cli.environment)
        fixed = [name for name, _ in _named(inputs) if name in plan.config.variables]
        if fixed:
            names = ", ".join(sorted(set(fixed)))
            text = f"The saved plan holds the values of {names} already. Make a new plan to change them."
            raise fail("Variable is part of the plan", text)
        ephemeral = {n: v for n, v in given.items() if n not in plan.config.variables}
        raise_errors([d for d in problems if d.is_error])
        stored = {n: InputValue(v, "the plan") for n, v in plan.config.variables.items()}
        values, more = variables.resolve(config, {**stored, **ephemeral}, lambda *unused: [])
        raise_errors(more)
        return _mark_sensitive(values, plan.config.sensitive_variables)

    # -- plan and apply -------------------------------------------------------------------------

    def session(
        self, hosts: Hosts, variables: Mapping[str, Value], sink: Sink = ignore, parallelism: int = 10
    ) -> Session:
        """What planning and applying share."""
        from hythe.modules import lockfile
        from hythe.planner.edge import Session

        lock, found = lockfile.load(self.root)
        raise_errors(found)
        self.cli.report(found)
        return Session(
            config=self.config(),
            variables=variables,
            registry=self.registry,
            hosts=hosts,
            lock=lock,
            sink=sink,
            parallelism=parallelism,
            remember_secrets=remember_secrets,
        )

    def settle(self, hosts: Hosts, loaded: Loaded, sink: Sink = ignore) -> Settled:
        """What became of operations that an earlier run left open. Nothing is written.

        Before that, what was loaded is brought to what today's kinds expect. Raises DiagnosticError.
        """
        from hythe.planner.edge import project_of
        from hythe.state.settle import settle
        from hythe.state.upgrade import upgrade_instances

        upgrade_instances(loaded, self.registry)
        config = self.config()
        return settle(
            loaded.state,
            loaded.pending,
            self.registry,
            hosts,
            project=project_of(config),
            base_dir=config.root,
            last_record=loaded.last_record,
            sink=sink,
        )

    def plan(self, session: Session, state: State, request: PlanRequest) -> Outcome:
        """Make a plan. The garbage collector rests meanwhile: a plan makes much and drops little."""
        import gc

        from hythe.planner.edge import make_plan

        was_on = gc.isenabled()
        gc.disable()
        try:
            return make_plan(session, state, plan_options(request))
        finally:
            if was_on:
                gc.enable()

    def apply(
        self,
        session: Session,
        store: StateStore,
        loaded: Loaded,
        settled: Settled,
        plan: Plan,
        outcome: Outcome | None,
        stop: StopSignal,
    ) -> ApplyResult:
        """Carry a plan out. What it learns for the lock file is kept, whatever else fails."""
        from hythe.modules import lockfile
        from hythe.planner.apply import apply
        from hythe.planner.edge import make_evaluator, project_of

        evaluator = make_evaluator(session, plan, outcome)
        writing = store.begin(loaded, _COMMANDS[plan.mode.value])
        settled.record(writing)
        learnt: dict[str, str] = {}
        result = apply(
            plan,
            writing,
            session.registry,
            session.hosts,
            evaluator,
            project=project_of(session.config),
            base_dir=session.config.root,
            lock=session.lock,
            remember_lock=learnt.__setitem__,
            parallelism=session.parallelism,
            stop=stop,
            sink=session.sink,
        )
        if learnt.items() - session.lock.items():
            try:
                lockfile.save(self.root, {**session.lock, **learnt})
            except DiagnosticError as failure:
                result.diagnostics += failure.diagnostics
        return result


def check_fresh(plan: Plan, state: State) -> None:
    """Refuse a saved plan that the world has overtaken. Raises DiagnosticError."""
    from hythe.planner.inputs import verify

    if plan.lineage != state.lineage and plan.serial == 0:
        raise fail(
            "Stale plan",
            "The plan was made when there was no state yet, and now there is one: another apply came first. Make a "
            "new plan.",
        )
    if plan.lineage != state.lineage:
        raise fail(
            "Plan for another state",
            f"The plan was made for the state with lineage {plan.lineage}, and this one has {state.lineage}. Apply it "
            "where it was made, or name that state with --state.",
        )
    if plan.serial != state.serial:
        raise fail(
            "Stale plan",
            f"The state has changed since the plan was made (serial {plan.serial} then, {state.serial} now), so what "
            "it says may no longer be right. Make a new plan.",
        )
    raise_errors(verify(plan.config.inputs))


def plan_options(request: PlanRequest) -> PlanOptions:
    """The planner's options for what the user asked."""
    from hythe.planner.build import PlanOptions
    from hythe.planner.plan import Mode

    mode = Mode.DESTROY if request.destroy else Mode.REFRESH_ONLY if request.refresh_only else Mode.NORMAL
    return PlanOptions(
        mode=mode,
        targets=request.targets,
        excludes=request.excludes,
        replace=request.replace,
        skip_protected=request.skip_protected,
        fail_on_unknown=request.fail_on_unknown,
        generate=request.generate,
        refresh=request.refresh,
    )


def _plain(value: Any) -> Any:
    from hythe.value import unmark_deep

    return unmark_deep(value)[0]


def remember_state_secrets(state: State) -> None:
    """Keep the state's sensitive values out of logs."""
    instances = chain(state.instances.values(), state.deposed.values())
    remember_secrets(o.value for o in state.outputs.values() if o.sensitive)
    remember_secrets(value_at(i.attributes, path) for i in instances for path in i.sensitive)


def _named(inputs: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for sort, text in inputs:
        if sort == "var":
            name, _, value = text.partition("=")
            yield name.strip(), value


def _mark_sensitive(values: Mapping[str, Value], names: Sequence[str]) -> dict[str, Value]:
    from hythe.value import Sensitive

    return {n: Sensitive(v) if n in names else v for n, v in values.items()}


def value_at(value: Any, path: Sequence[str | int]) -> Any:
    """What lies at a path, None where there is nothing."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def remember_plan_secrets(plan: Plan) -> None:
    """Keep the plan's sensitive values out of logs."""
    remember_secrets(value_at(c.before, p) for c in plan.changes for p in c.before_sensitive)
    remember_secrets(value_at(c.after, p) for c in plan.changes for p in c.after_sensitive)
    remember_secrets(plan.config.variables.get(n) for n in plan.config.sensitive_variables)


def require_folder(cli: Cli) -> None:
    """Refuse to work in a folder without configuration. Raises DiagnosticError."""
    from hythe.modules.files import is_configuration

    try:
        names = os.listdir(cli.root)
    except OSError as failure:
        raise fail("Folder not readable", f"{cli.root} cannot be listed: {failure.strerror}.") from None
    if not any(is_configuration(n) for n in names):
        raise fail(
            "No configuration files",
            f"There is no configuration (*.hcl) in {cli.root}. Write one there, or name another folder with --chdir.",
        )
