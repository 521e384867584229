"""Running test files: each with a state of its own, in a folder that goes away afterwards."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from typing import Any

from hythe.address import AddressError, parse_address
from hythe.cli.context import Cli, raise_errors
from hythe.cli.interrupt import StopSwitch
from hythe.cli.options import PlanRequest
from hythe.cli.testing.files import Override, RunBlock, TestFile
from hythe.cli.testing.mocks import Values, mocked
from hythe.cli.testing.modules import overridden
from hythe.cli.views.diagnostics import sources_of
from hythe.cli.workspace import Workspace
from hythe.diagnostic import Diagnostic, DiagnosticError, error, has_errors, warning
from hythe.modules.config import Config, InputValue, Located, Settings
from hythe.planner.edge import Outcome, Session, make_evaluator
from hythe.planner.expand import Evaluation
from hythe.planner.plan import Plan
from hythe.planner.program import CompiledRule, compile_rules
from hythe.provider.hosts import Hosts
from hythe.provider.memory import MemoryHosts, MemoryWorld
from hythe.provider.registry import Registry
from hythe.state.model import State
from hythe.value import Unknown, Value, unmark, unmark_deep

PASS, FAIL, ERROR, SKIP = "pass", "fail", "error", "skip"
_ROUNDS = 20
_CONDITIONS = frozenset(
    {
        "Resource precondition failed",
        "Resource postcondition failed",
        "Output precondition failed",
        "Check block assertion failed",
        "Invalid value for variable",
    }
)
"""Summaries of what the configuration's own rules say; only these can be expected."""


@dataclass(slots=True)
class RunResult:
    """What came of one run."""

    name: str
    status: str = PASS
    diagnostics: list[Diagnostic] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(slots=True)
class FileResult:
    """What came of one file. ``diagnostics`` are those of the file and of its tear-down."""

    name: str
    status: str = PASS
    runs: list[RunResult] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)


Tell = Callable[[str, FileResult, RunResult | None], None]
"""Is told what happens: the step (``begin``, ``run``, ``teardown``, ``end``), the file, and the run."""


class FileRunner:
    """Runs one file."""

    def __init__(
        self,
        cli: Cli,
        config: Config,
        file: TestFile,
        inputs: Sequence[tuple[str, str]],
        stop: StopSwitch,
        tell: Tell,
        parallelism: int = 10,
    ) -> None:
        self.cli, self.config, self.file, self.inputs, self.stop, self.tell = cli, config, file, inputs, stop, tell
        self.parallelism = parallelism
        self.result = FileResult(file.name)
        self.outputs: dict[str, Value] = {}
        self._stack = ExitStack()
        self._works: dict[str, _Work] = {}

    def run(self) -> FileResult:
        """Run everything, and remove what was made."""
        self.tell("begin", self.result, None)
        with self._stack:
            folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="hythe-test-"))
            for block in self.file.runs:
                self.result.runs.append(self._one(block, folder))
                self.tell("run", self.result, self.result.runs[-1])
            self.tell("teardown", self.result, None)
            for work in reversed(self._works.values()):
                self.result.diagnostics += self._tear_down(work)
        ranks = [PASS, SKIP, FAIL, ERROR]
        worst = max((r.status for r in self.result.runs), key=ranks.index, default=PASS)
        self.result.status = FAIL if worst != PASS or has_errors(self.result.diagnostics) else PASS
        self.tell("end", self.result, None)
        return self.result

    def _one(self, block: RunBlock, folder: str) -> RunResult:
        result = RunResult(block.name)
        if any(r.status in (ERROR, SKIP) for r in self.result.runs) or self.stop.pressed:
            # what follows rests on what went wrong
            result.status = SKIP
            return result
        began = time.monotonic()
        try:
            self._run(block, folder, result)
        except DiagnosticError as failure:
            result.diagnostics += failure.diagnostics
            result.status = ERROR
        result.seconds = time.monotonic() - began
        return result

    def _run(self, block: RunBlock, folder: str, result: RunResult) -> None:
        work = self._work(block, folder)
        work.prepare(block)
        variables, found = self._variables(work, block)
        if not has_errors(found):
            plan, outcome, session = work.plan(variables, block)
            found += outcome.diagnostics
            if plan is not None:
                if block.plan_only:
                    state = work.state
                else:
                    found += work.apply(session, plan, outcome)
                    state = work.state
                if not has_errors(found):
                    evaluation = make_evaluator(session, plan, outcome).over(state)
                    found += _assertions(block, evaluation, self.outputs)
                    self.outputs[block.name] = _outputs(evaluation)
        told = [d.at(block.range) for d in found if d.is_error or d.summary in _CONDITIONS]
        result.diagnostics, missing = _unexpected(block, told)
        if any(d.is_error and d.summary not in _CONDITIONS and d.summary != _FAILED for d in result.diagnostics):
            result.status = ERROR
        elif result.diagnostics or missing:
            result.status = FAIL
        result.diagnostics += missing

    def _work(self, block: RunBlock, folder: str) -> _Work:
        key = block.source or ""
        found = self._works.get(key)
        if found is None:
            config = self.config if block.source is None else self._other(block)
            hosts = self._stack.enter_context(closing(Hosts()))
            found = _Work(self, config, os.path.join(folder, f"{len(self._works)}.json"), hosts)
            self._works[key] = found
        return found

    def _other(self, block: RunBlock) -> Config:
        from hythe.modules.loader import load

        config, found = load(os.path.normpath(os.path.join(self.config.root, block.source or ".")))
        raise_errors([d.at(block.source_range) for d in found])
        return config

    def _variables(self, work: _Work, block: RunBlock) -> tuple[Mapping[str, Value], list[Diagnostic]]:
        from hythe.cli.variables import rule_check
        from hythe.modules import variables

        declared = work.config.module.variables
        inputs = [(sort, text) for sort, text in self.inputs if sort != "var" or text.partition("=")[0] in declared]
        given, found = variables.collect(work.config, inputs, self.cli.environment)
        told = [d for d in found if d.is_error]
        roots: dict[str, Value] = {"run": self.outputs, "var": {n: v.value for n, v in given.items()}}
        for name, expression in self.file.variables.items():
            value = _evaluate(expression, roots, work, told)
            roots["var"] = {**roots["var"], name: value}
            if name in declared:
                given[name] = InputValue(value, self.file.name, expression.range)
        for name, expression in block.variables.items():
            if name not in declared:
                text = f'The configuration has no variable "{name}", so this value is not used.'
                told.append(warning("Value for undeclared variable", text, expression.range))
            else:
                value = _evaluate(expression, roots, work, told)
                given[name] = InputValue(value, f'run "{block.name}"', expression.range)
        values, more = variables.resolve(work.config, given, rule_check(work.config.root))
        return values, [*told, *more]

    def _tear_down(self, work: _Work) -> list[Diagnostic]:
        if not work.state.instances:
            return []
        try:
            found = work.destroy()
        except DiagnosticError as failure:
            found = list(failure.diagnostics)
        if work.state.instances:
            left = ", ".join(sorted(work.state.instances))
            text = f"These were made by the test and could not be removed: {left}. Remove them by hand."
            found.append(error("Left over after a test", text))
        return [d for d in found if d.is_error]


class _Work:
    """One configuration with the state that a file's runs give it."""

    def __init__(self, runner: FileRunner, config: Config, path: str, hosts: Hosts) -> None:
        self.runner = runner
        name = config.settings.project or os.path.basename(os.path.realpath(config.root)) or "root"
        # what tests make must not be taken for what is really there, nor the other way round
        module = replace(config.module, settings=Settings(project=f"{name}-test"))
        self.config = replace(config, module=module)
        self.workspace = Workspace(runner.cli, path)
        self.workspace.use(self.config)
        known = {**config.files, runner.file.name: runner.file.text}
        runner.cli.sources = sources_of(known, config.root)
        self.hosts: Any = hosts
        self.real = hosts
        self.variables: Mapping[str, Value] = {}
        self.memory: set[str] = set()
        """What was made in memory: it stays there, whatever later runs override."""

    @property
    def state(self) -> State:
        """The state as it is now."""
        return self.workspace.store.load()

    def prepare(self, block: RunBlock) -> None:
        """Put mocks and overrides in place."""
        file = self.runner.file
        registry = Registry()
        kinds = {m.kind for m in file.mocks}
        names = set(registry.names()) if None in kinds else {k for k in kinds if k is not None and k in registry}
        unknown = sorted(k for k in kinds if k is not None and k not in registry)
        if unknown:
            text = f'There is no kind "{unknown[0]}" to mock. "hythe" stands for all kinds.'
            raise DiagnosticError(error("Unknown kind", text, block.range))
        defaults: dict[tuple[str, str], Values] = {}
        found: list[Diagnostic] = []
        overrides = [o for m in file.mocks for o in m.overrides] + file.overrides + list(block.overrides)
        for mock in file.mocks:
            for given in mock.defaults:
                defaults[given.mode, given.kind] = _plain(_evaluate(given.values, {}, self, found))
        values: dict[str, Values] = {}
        for override in overrides:
            if override.mode == "module":
                continue
            content = _plain(_evaluate(override.values, {}, self, found)) if override.values is not None else {}
            values[_address(override)] = content
        self.workspace.use(self._without_overridden(block, found))
        raise_errors(found)
        plain_names = {n for n in names if registry.kind(n).observed}
        self.workspace.registry = mocked(
            registry, plain_names, defaults, values, self.memory, frozenset(self.state.instances)
        )
        self.hosts = MemoryHosts(MemoryWorld()) if None in kinds else self.real

    def _without_overridden(self, block: RunBlock, found: list[Diagnostic]) -> Config:
        """The configuration with the outputs that the run gives for modules."""
        # those of the file are meant for the configuration, not for other modules that runs are of
        overrides = (*(self.runner.file.overrides if block.source is None else ()), *block.overrides)
        given = [
            (o, _evaluate(o.values, {}, self, found) if o.values is not None else None)
            for o in overrides
            if o.mode == "module"
        ]
        return overridden(self.config, given, found)

    def plan(self, variables: Mapping[str, Value], block: RunBlock) -> tuple[Plan | None, Outcome, Session]:
        """Plan a run."""
        self.variables = variables
        request = PlanRequest(
            targets=block.targets,
            replace=block.replace,
            refresh=block.refresh,
            refresh_only=block.mode == "refresh-only",
        )
        return self._plan(request)

    def _plan(self, request: PlanRequest) -> tuple[Plan | None, Outcome, Session]:
        session = self.workspace.session(self.hosts, self.variables, parallelism=self.runner.parallelism)
        loaded = self.workspace.store.read()
        settled = self.workspace.settle(self.hosts, loaded)
        outcome = self.workspace.plan(session, settled.state, request)
        return outcome.plan, outcome, session

    def apply(self, session: Session, plan: Plan, outcome: Outcome) -> list[Diagnostic]:
        """Carry a plan out, and what could only be planned afterwards."""
        found: list[Diagnostic] = []
        current, made = plan, outcome
        for _ in range(_ROUNDS):
            store = self.workspace.store
            with store.lock("test"):
                loaded = store.read(current.lineage)
                settled = self.workspace.settle(self.hosts, loaded)
                stop = self.runner.stop
                result = self.workspace.apply(session, store, loaded, settled, current, made, stop)
            found += result.diagnostics
            if has_errors(found) or not current.deferred:
                break
            again, made, session = self._plan(PlanRequest())
            found += [d for d in made.diagnostics if d.is_error]
            if again is None or again.is_empty:
                break
            current = again
        return found

    def destroy(self) -> list[Diagnostic]:
        """Remove everything that the state has."""
        plan, outcome, session = self._plan(PlanRequest(destroy=True))
        if plan is None:
            return list(outcome.diagnostics)
        return self.apply(session, plan, outcome)


_FAILED = "Test assertion failed"


def _assertions(block: RunBlock, evaluation: Evaluation, runs: Mapping[str, Value]) -> list[Diagnostic]:
    """What of a run's assertions does not hold."""
    outputs = {name: evaluation.output(name).value for name in evaluation.module.outputs}
    # what the outputs have to say was said by the plan
    evaluation.diagnostics.clear()
    found: list[Diagnostic] = []
    for rule in compile_rules(block.assertions):
        found += _assertion(rule, evaluation, {"output": outputs, "run": dict(runs)})
    return found


def _assertion(rule: CompiledRule, evaluation: Evaluation, roots: Mapping[str, Any]) -> list[Diagnostic]:
    evaluation.diagnostics.clear()
    scope = evaluation.scope(None, **roots)
    value, _ = unmark(rule.condition.evaluate(scope))
    if evaluation.diagnostics:
        return list(evaluation.diagnostics)
    if isinstance(value, Unknown):
        text = "The condition rests on what is known only after apply. Let the run have command = apply."
        return [error("Condition not known", text, rule.range)]
    if value is True or value == "true":
        return []
    if value is not False and value != "false":
        return [error("Invalid condition", "The condition must be true or false.", rule.range)]
    message, marks = unmark_deep(rule.message.evaluate(scope))
    hidden = bool(marks) or not isinstance(message, str)
    return [error(_FAILED, "The condition is false." if hidden else str(message), rule.range)]


def _outputs(evaluation: Evaluation) -> Value:
    values = {name: evaluation.output(name).value for name in evaluation.module.outputs}
    evaluation.diagnostics.clear()
    return values


def _unexpected(block: RunBlock, found: Sequence[Diagnostic]) -> tuple[list[Diagnostic], list[Diagnostic]]:
    """What was not expected, and what was and did not happen."""
    left, missing = list(found), []
    for address, place in block.expected:
        seen = [d for d in left if d.summary in _CONDITIONS and _is_of(d, address)]
        if not seen:
            text = f"{address} was expected to fail, and it did not."
            missing.append(error("Expected failure did not happen", text, place))
        left = [d for d in left if d not in seen]
    return left, missing


def _is_of(diagnostic: Diagnostic, address: str) -> bool:
    told = diagnostic.address or ""
    return told == address or told.startswith(f"{address}[")


def _evaluate(expression: Located, roots: Mapping[str, Value], work: _Work, found: list[Diagnostic]) -> Value:
    from hythe.cli.variables import environment_of
    from hythe.modules.language.compile import compile_expression
    from hythe.modules.language.scope import Scope

    scope = Scope(dict(roots), environment_of(work.config.root), source=expression.source)
    value = compile_expression(expression.expression, expression.source).evaluate(scope)
    found += scope.diagnostics
    return value


def _plain(value: Value) -> Values:
    from hythe.planner.exposure import plain

    content = plain(value, (), [], set(), reference=False)
    return content if isinstance(content, dict) else {}


def _address(override: Override) -> str:
    try:
        at = parse_address(override.target)
    except AddressError as failure:
        raise DiagnosticError(error("Invalid override target", f"{failure}.", override.range)) from None
    if at.mode != override.mode:
        text = f"{override.target} is no {'data source' if override.mode == 'data' else 'managed resource'}."
        raise DiagnosticError(error("Invalid override target", text, override.range))
    return str(at)


def results(
    cli: Cli,
    config: Config,
    files: Sequence[TestFile],
    inputs: Sequence[tuple[str, str]],
    tell: Tell,
    parallelism: int,
) -> Iterator[FileResult]:
    """Run files one after the other; what is left after Ctrl-C is skipped."""
    with StopSwitch(cli.err.write) as stop:
        for file in files:
            yield FileRunner(cli, config, file, inputs, stop, tell, parallelism).run()
