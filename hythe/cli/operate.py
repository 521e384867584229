"""Planning and applying, as the commands do it: what is opened, in which order, and what is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hythe.cli.context import FAILED, FINE, Cli
from hythe.cli.freshness import check_fresh, check_workspace
from hythe.cli.interrupt import StopSwitch
from hythe.cli.logs_setup import debug, logged
from hythe.cli.options import PlanRequest, plan_request
from hythe.cli.secrets import remember_plan_secrets, remember_state_secrets
from hythe.cli.sources import has_configuration, require_folder
from hythe.cli.views.operation import OperationView, open_operation
from hythe.cli.workspace import Workspace
from hythe.diagnostic import Diagnostic, DiagnosticError, did_you_mean, has_errors, warning
from hythe.planner.containment import is_announced, to_look_at_again
from hythe.planner.explain import explain
from hythe.planner.plan import Action
from hythe.state.backends.base import DEFAULT_WORKSPACE

if TYPE_CHECKING:
    from hythe.planner.edge import Outcome
    from hythe.planner.plan import Plan
    from hythe.provider.hosts import Hosts
    from hythe.state.model import State
    from hythe.state.settle import Settled
    from hythe.state.store import Loaded, StateStore
    from hythe.value import Value


_ROUNDS = 20
"""How often an apply plans what it could not plan before; each round makes something known."""


@dataclass(slots=True)
class Operation:
    """One plan or apply under way."""

    cli: Cli
    workspace: Workspace
    view: OperationView
    request: PlanRequest
    lock: bool
    lock_timeout: float
    ask: bool
    show_sensitive: bool
    _stack: ExitStack = field(default_factory=ExitStack)
    _outcome: Outcome | None = None
    _variables: Mapping[str, Value] | None = None
    _hosts: Hosts | None = None
    _store: StateStore | None = None
    _loaded: Loaded | None = None
    _settled: Settled | None = None

    @classmethod
    def open(cls, cli: Cli, given: dict[str, Any], *, destroy: bool) -> Operation:
        """From a command's options. Raises click.UsageError for those that exclude each other."""
        cli.compact_warnings = given["compact_warnings"]
        show = given["show_sensitive"]
        workspace, request = Workspace(cli, given["state_path"]), plan_request(given, destroy=destroy)
        return cls(
            cli,
            workspace,
            open_operation(cli, json=given["json"], full=given["full"], show_sensitive=show),
            request,
            given["lock"],
            given["lock_timeout"],
            given["input"] and not given["json"],
            show,
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Everything opened meanwhile is closed at the end; diagnostics go to the view."""
        self.view.begin()
        with self._stack:
            try:
                if self.workspace.name != DEFAULT_WORKSPACE:
                    self.view.say(f"Workspace: {self.workspace.name}")
                yield
            except DiagnosticError as failure:
                self.view.report(failure.diagnostics)
                # shown by the view already: whoever is above has only the exit code to tell
                raise DiagnosticError() from None

    def _open_state(self, operation: str, lineage: str | None = None) -> Loaded:
        """Lock and read the state, once. Raises DiagnosticError."""
        if self._loaded is None:
            locked = self.workspace.locked(operation, self.lock, self.lock_timeout)
            self._store = self._stack.enter_context(locked)
            self._loaded = self._store.read(lineage)
            remember_state_secrets(self._loaded.state)
        return self._loaded

    def _open_hosts(self) -> Hosts:
        if self._hosts is None:
            self._hosts = self._stack.enter_context(self.workspace.hosts())
        return self._hosts

    def plan(self) -> Plan | None:
        """Make the plan; None, its errors shown, when there is none. Raises DiagnosticError."""
        workspace = self.workspace
        if not has_configuration(self.cli) and not (self.request.destroy and workspace.read_state().instances):
            # destroying needs no configuration, only something to destroy
            require_folder(self.cli)
        if self._variables is None:
            self._variables = workspace.variables(self.request.inputs, ask=self.ask)
        loaded = self._open_state(_command())
        hosts = self._open_hosts()
        with self.view.watching() as watching:
            sink = logged(watching)
            session = workspace.session(hosts, self._variables, sink, self.request.parallelism)
            self._settled = workspace.settle(hosts, loaded, sink)
            outcome = workspace.plan(session, self._settled.state, self.request)
        self._outcome = outcome
        missed = [] if outcome.plan is None else _missed(outcome.plan, self._settled.state, self.request.targets)
        self.view.report([*self._settled.diagnostics, *outcome.diagnostics, *missed])
        if outcome.plan is not None:
            plan = outcome.plan
            remember_plan_secrets(plan)
            debug("hythe.plan", lambda: explain(plan, needs=True))
        return outcome.plan

    def generated(self) -> list[str]:
        """Blocks for what the last plan looked at, and the configuration has no place for."""
        from hythe.address import parse_address
        from hythe.planner.generate import resource_text
        from hythe.state.model import State

        if self._outcome is None:
            return []
        registry, found = self.workspace.registry, self._outcome.generated
        state = self._settled.state if self._settled is not None else State("")
        # what is on another machine has names of its own
        known = {(i.kind, str(i.attributes.get("name"))): a for a, i in state.instances.items() if i.host is None}
        addresses = [parse_address(a) for a in sorted(found)]
        known |= {(at.kind, str(found[str(at)].get("name"))): str(at) for at in addresses}
        return [resource_text(at, registry.kind(at.kind), found[str(at)], known) for at in addresses]

    def apply(self, plan: Plan, *, saved: bool = False, approve: Callable[[Plan], bool] | None = None) -> int:
        """Carry the plan out; then plan and do what could not be told before. Returns the exit code.

        That is what is on machines that were started, and blocks that had to wait. ``approve`` is asked before
        anything of that is done which the plan did not announce; without it, it is left. Raises DiagnosticError when
        the plan is refused.
        """
        for _ in range(_ROUNDS):
            code = self._apply(plan, saved=saved)
            machines = to_look_at_again(plan, self.workspace.registry)
            if code != FINE or not (machines or plan.deferred):
                return code
            deferred = plan.deferred
            found = self._plan_again(machines, deferred)
            if found is None:
                return FAILED
            plan, saved = found, False
            if plan.is_empty:
                return FINE
            self.view.plan(plan, self.workspace.layout)
            announced = is_announced(plan, machines, deferred)
            if not announced and not (approve is not None and deferred and approve(plan)):
                self.view.report([_more_to_do(machines, deferred)])
                return FINE
        return FINE

    def _plan_again(self, machines: list[str], deferred: Sequence[str]) -> Plan | None:
        """The plan of what is on machines that run (again) only now, and of blocks that can be expanded now."""
        if deferred:
            self.view.say(f"\nExpanding {', '.join(deferred)}, now that what decides it is known.")
        if machines:
            self.view.say(f"\nLooking at what is on {', '.join(machines)}, now that {_they(machines)}.")
        assert self._store is not None
        self._loaded, self._outcome, self._settled = self._store.read(), None, None
        return self.plan()

    def _apply(self, plan: Plan, *, saved: bool = False) -> int:
        """Carry the plan out. Returns the exit code; raises DiagnosticError when it is refused."""
        workspace = self.workspace
        if saved:
            check_workspace(plan, workspace.name)
            self._variables = workspace.use_plan(plan, self.request.inputs)
            remember_plan_secrets(plan)
        loaded = self._open_state("apply", plan.lineage)
        if saved:
            check_fresh(plan, loaded.state)
        hosts = self._open_hosts()
        assert self._variables is not None
        assert self._store is not None
        with StopSwitch(self.cli.err.write) as stop:
            with self.view.watching() as watching:
                self.view.tally.replacing = frozenset(c.address for c in plan.changes if c.action is Action.REPLACE)
                sink = logged(watching)
                session = workspace.session(hosts, self._variables, sink, self.request.parallelism)
                settled = self._settled or workspace.settle(hosts, loaded, sink)
                outcome = None if saved else self._outcome
                result = workspace.apply(session, self._store, loaded, settled, plan, outcome, stop)
            self.view.report([*settled.diagnostics, *result.diagnostics])
        complete = result.complete and not has_errors(settled.diagnostics)
        self.view.applied(plan.mode, complete)
        self.view.outputs(result.outputs)
        return FINE if complete else FAILED


def _missed(plan: Plan, state: State, targets: Sequence[str]) -> list[Diagnostic]:
    """A warning for each targeted instance of a block that has instances, but not this one."""
    from hythe.address import Address, parse_address, parse_target

    out = []
    known = {c.address for c in plan.changes} | state.instances.keys() if targets else set()
    for text in targets:
        at = parse_target(text)
        if not isinstance(at, Address) or at.mode != "managed" or at.key is None or str(at.block) in plan.deferred:
            continue
        if text not in known and str(at) not in known:
            there = [a for a in sorted(known) if parse_address(a).block == at.block]
            hint = did_you_mean(str(at), there)
            out.append(warning("Nothing to target", f"There is no instance {at}, so it makes no difference.{hint}"))
    return out


def _command() -> str:
    """Which command runs: whoever waits for its lock is told."""
    import click

    context = click.get_current_context(silent=True)
    name = context.info_name if context is not None else None
    return (name or "plan").removeprefix("hythe ")


def _they(machines: list[str]) -> str:
    return "it runs" if len(machines) == 1 else "they run"


def _more_to_do(machines: Sequence[str], deferred: Sequence[str]) -> Diagnostic:
    if machines:
        what = f"What is on {', '.join(machines)} could be looked at only now"
    else:
        what = f"{', '.join(deferred)} could be expanded only now"
    text = (
        f"{what}, and it needs more than to be started or made, as shown above. Nothing of that was done: run `hythe "
        "apply` again."
    )
    return warning("Plan again", text)
