"""The one place where the command line meets the other rooms: configuration, state, registry, hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from hythe.cli.context import Cli, fail, raise_errors
from hythe.cli.logs_setup import remember_secrets
from hythe.cli.secrets import remember_state_secrets
from hythe.cli.views.diagnostics import sources_of
from hythe.cli.views.values import Layout
from hythe.diagnostic import Diagnostic, DiagnosticError, warning
from hythe.event import Sink, ignore
from hythe.state.backends.base import DEFAULT_WORKSPACE

if TYPE_CHECKING:
    from hythe.cli.encryption import Encryption
    from hythe.cli.options import PlanRequest
    from hythe.modules.config import Config
    from hythe.modules.early import Early
    from hythe.planner.apply import ApplyResult, StopSignal
    from hythe.planner.build import PlanOptions
    from hythe.planner.edge import Outcome, Session
    from hythe.planner.plan import Plan
    from hythe.provider.hosts import Hosts
    from hythe.provider.registry import Registry
    from hythe.state.backends.base import Backend, Storage
    from hythe.state.model import State
    from hythe.state.settle import Settled
    from hythe.state.store import Loaded, StateStore
    from hythe.value import Value


_COMMANDS = {"normal": "apply", "destroy": "destroy", "refresh-only": "refresh"}
"""What a plan's mode is called in the state's history."""


class Workspace:
    """One configuration's folder with the state of one workspace, ``name``. Opens things when they are first needed."""

    def __init__(
        self, cli: Cli, state_path: str | None = None, *, encrypted: bool = True, to_be_there: bool = False
    ) -> None:
        """``encrypted`` is off for those that look at no state, or at one that is nobody's.

        ``to_be_there``: the file that --state names is only read, so one that is not there is a mistake.
        """
        self.cli = cli
        self.root = cli.root
        self.given_state = state_path
        self._to_be_there = to_be_there
        self.values: Mapping[str, Value] | None = None
        """The root variables, once they are known."""
        self.from_plan = False
        """Whether the configuration is that of a saved plan."""
        self.to_remember: Callable[[], None] | None = None
        """Notes which backend is used, for when it has answered."""
        self._name: str | None = None
        self._config: Config | None = None
        self._peeked: Config | None = None
        self._registry: Registry | None = None
        self._hosts: Hosts | None = None
        self._storage: Storage | None = None
        self._store: StateStore | None = None
        self._encryption: Encryption | None = None
        self._encryption_known = not encrypted

    @property
    def name(self) -> str:
        """Which workspace it is: as HYTHE_WORKSPACE says, else as chosen by ``workspace select``.

        Raises DiagnosticError for what cannot be a name.
        """
        if self._name is None:
            from hythe.cli.folder import chosen_workspace

            self._name = chosen_workspace(self.cli)[0]
        return self._name

    # -- configuration --------------------------------------------------------------------------

    def load(self) -> tuple[Config, list[Diagnostic]]:
        """The configuration with everything found wrong in it."""
        from hythe.modules.loader import load

        config, found = load(self.root, self._early())
        self.use(config)
        return config, found

    def use(self, config: Config) -> None:
        """Work with this configuration; diagnostics quote its texts."""
        self._config = config
        self.cli.sources = sources_of(config.files, config.root)

    def peek(self) -> tuple[Config, list[Diagnostic]]:
        """The configuration as far as it can be read, for what needs its settings only."""
        if self._config is not None:
            return self._config, []
        from hythe.modules.loader import load

        return load(self.root, self._early())

    def _early(self) -> Early:
        """What sources of modules may be made of."""
        from hythe.cli.variables import early_of

        return early_of(self.cli, lambda: self.name)

    def config(self) -> Config:
        """The configuration; warnings are shown. Raises DiagnosticError when it has errors."""
        if self._config is None:
            config, found = self.load()
            raise_errors(found)
            self.cli.report(found)
            self._config = config
        return self._config

    def install(self, *, upgrade: bool, read_only: bool = False) -> tuple[Config, list[Diagnostic]]:
        """The configuration, its modules fetched where they are not there yet."""
        from hythe.modules.install import install

        config, found = install(self.root, self.cli.say, upgrade=upgrade, read_only=read_only, early=self._early())
        self.use(config)
        return config, found

    def validate(self, *, fetch: bool = False, upgrade: bool = False, read_only: bool = False) -> list[Diagnostic]:
        """Everything wrong with the configuration that shows without values and without the world.

        ``fetch`` fetches modules that are missing, ``upgrade`` all of them anew; ``read_only`` leaves the lock file.
        """
        from hythe.cli.storage import check_block
        from hythe.planner.program import compile_config

        config, found = self.install(upgrade=upgrade, read_only=read_only) if fetch else self.load()
        found = [*found, *self._check_encryption(config)]
        if not any(d.is_error for d in found):
            _, more = compile_config(config, self.registry)
            found = [*found, *more, *check_block(self, config)]
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
        self.values = values
        return values

    # -- state ----------------------------------------------------------------------------------

    @property
    def storage(self) -> Storage:
        """Where the states of this configuration's workspaces are kept."""
        from hythe.cli.storage import open_storage

        if self._storage is None:
            self._storage = self.prepared(open_storage(self))
        return self._storage

    def prepared(self, storage: Storage) -> Storage:
        """A storage as this configuration uses it: whatever is to be around all of its states goes here."""
        encryption = self.encryption
        if encryption is None or encryption.state is None:
            return storage
        from hythe.state.encryption.sealed import SealedStorage

        return SealedStorage(storage, encryption.state)

    def _folder(self) -> Config:
        """The folder's configuration as far as it can be read, for its settings alone. Raises DiagnosticError."""
        if self._config is not None:
            return self._config
        if self._peeked is None:
            from hythe.cli.folder_encryption import read_folder

            self._peeked = read_folder(self.root)
        return self._peeked

    @property
    def encryption(self) -> Encryption | None:
        """What seals states and plans, None where nothing does. It is the folder's, also for a saved plan.

        Raises DiagnosticError.
        """
        if not self._encryption_known:
            from hythe.cli.folder_encryption import encryption_of
            from hythe.cli.options import inputs_now

            self._encryption = encryption_of(self.cli, self._folder(), inputs_now(), self.values, self.name)
            self._encryption_known = True
        return self._encryption

    def _check_encryption(self, config: Config) -> list[Diagnostic]:
        from hythe.cli.folder_encryption import check

        return check(self.cli, config)

    def read_plan(self, path: str) -> Plan:
        """A saved plan, opened if it is encrypted. Raises DiagnosticError."""
        from hythe.cli.planfile import read_plan

        encryption = self.encryption
        return read_plan(path, encryption.plan if encryption is not None else None)

    def write_plan(self, plan: Plan, path: str) -> None:
        """Save a plan, encrypted if the settings say so. Raises DiagnosticError."""
        from hythe.cli.planfile import write_plan

        state, target = (None, None) if self.encryption is None else (self.encryption.state, self.encryption.plan)
        if state is not None and state.seals and target is None:
            text = (
                f"The state is encrypted, and {path} holds much of it in clear: the encryption settings have no block "
                "for plans. Add one, or keep the file as safe as the state."
            )
            self.cli.report([warning("Plan is not encrypted", text)])
        write_plan(plan, path, target)

    @property
    def store(self) -> StateStore:
        """The state store of this workspace; a file that --state names belongs to whichever it is."""
        if self._store is None:
            name = self.name if self.given_state is None else DEFAULT_WORKSPACE
            self._store = self.store_in(self.storage.backend(name))
            if self.given_state is not None and self._to_be_there:
                from hythe.cli.storage import require_file

                require_file(self._store.backend, self.given_state)
            if self.to_remember is not None:
                # one that does not answer may be a mistake, and to mend that is no change of backend
                self._store.on_read = self.to_remember
        return self._store

    def store_in(self, backend: Backend) -> StateStore:
        """The store in a backend. Its connections are closed when the command ends."""
        from hythe.state.store import StateStore

        store = StateStore(backend)
        self.cli.closing.callback(store.close)
        return store

    @contextmanager
    def locked(self, operation: str, lock: bool = True, timeout: float = 0.0) -> Iterator[StateStore]:
        """The store, nobody else writing meanwhile (unless ``lock`` is off). Raises DiagnosticError."""
        from hythe.cli.waiting import told_to_wait

        store = self.store
        with told_to_wait(self.cli, timeout if lock else 0.0):
            held = store.lock(operation, timeout) if lock else nullcontext()
        try:
            with held:
                yield store
        finally:
            self.cli.report(getattr(held, "problems", ()))

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
        self.from_plan = True
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
        self.values = _mark_sensitive(values, plan.config.sensitive_variables)
        return self.values

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
            config=self._without_keys(self.config()),
            variables=variables,
            registry=self.registry,
            hosts=hosts,
            lock=lock,
            sink=sink,
            parallelism=parallelism,
            remember_secrets=remember_secrets,
            workspace=self.name,
        )

    def _without_keys(self, config: Config) -> Config:
        """The configuration, told which variables no plan may carry."""
        from hythe.cli.folder_encryption import without_keys

        return without_keys(self.cli, config)

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
            project=project_of(config, self.name),
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
        from hythe.planner.edge import make_evaluator

        evaluator = make_evaluator(session, plan, outcome)
        writing = store.begin(loaded, _COMMANDS[plan.mode.value])
        settled.record(writing)
        learnt: dict[str, str] = {}
        with _watched(store, session.sink, stop):
            result = apply(
                plan,
                writing,
                session.registry,
                session.hosts,
                evaluator,
                project=session.project,
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


def _watched(store: StateStore, sink: Sink, stop: StopSignal) -> AbstractContextManager[None]:
    """Meanwhile the user hears when the state's server is waited for, and ends that with whatever runs."""
    import time

    from hythe.event import Notice

    waiting = store.backend.waiting
    if waiting is None:
        return nullcontext()
    return waiting.watched(lambda text: sink(Notice(time.time(), warning("State server", text))), stop.hard)


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


def _named(inputs: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for sort, text in inputs:
        if sort == "var":
            name, _, value = text.partition("=")
            yield name.strip(), value


def _mark_sensitive(values: Mapping[str, Value], names: Sequence[str]) -> dict[str, Value]:
    from hythe.value import Sensitive

    return {n: Sensitive(v) if n in names else v for n, v in values.items()}
