"""OpenTofu's UI event lines: one JSON object a line, for ``plan --json`` and ``apply --json``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from hythe import __version__
from hythe.address import AddressError, parse_address
from hythe.cli.views.diagnostics import Sources
from hythe.cli.views.json_diagnostics import diagnostic_json
from hythe.cli.views.json_values import dumps, plain, resource_json, type_json
from hythe.cli.views.progress import STILL_EVERY, Tally
from hythe.cli.views.reasons import action_reason
from hythe.cli.views.terminal import Terminal
from hythe.cli.views.verbs import elapsed, skipped_because, verb
from hythe.cli.views.wording import counts
from hythe.diagnostic import Diagnostic
from hythe.event import (
    Event,
    IntentProgress,
    IntentSettled,
    Notice,
    OperationFailed,
    OperationFinished,
    OperationProgress,
    OperationSkipped,
    OperationStarted,
    RefreshFinished,
    RefreshStarted,
)
from hythe.planner.plan import Action, Change, OutputChange, Plan
from hythe.state.model import OutputState
from hythe.value import Unknown

UI_VERSION = "1.2"
MODULE = "hythe.ui"
_ACTIONS = {
    Action.UPDATE_RESTART.value: "update",
    Action.NOOP.value: "noop",
    Action.ADOPT.value: "import",
    "deposed-delete": "delete",
}


def ui_action(action: str) -> str:
    """An action as UI events name it."""
    return _ACTIONS.get(action, action)


class JsonLines:
    """Writes event lines; a sink for plan and apply. Use as a context manager for apply_progress lines."""

    def __init__(
        self,
        terminal: Terminal,
        sources: Sources,
        *,
        show_sensitive: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.terminal, self.sources, self.show, self.now = terminal, sources, show_sensitive, now
        self.tally = Tally()
        self._running: dict[str, tuple[str, float, float]] = {}
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._broken = False

    def __enter__(self) -> JsonLines:
        threading.Thread(target=self._tick, name="progress", daemon=True).start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._stop.set()

    def write(self, kind: str, message: str, level: str = "info", **fields: Any) -> None:
        """One line. A reader that went away does not stop the run."""
        head = {
            "@level": level,
            "@message": message,
            "@module": MODULE,
            "@timestamp": datetime.fromtimestamp(self.now(), UTC).isoformat().replace("+00:00", "Z"),
        }
        with self._lock:
            if self._broken:
                return
            try:
                self.terminal.write(dumps({**head, **fields, "type": kind}))
                self.terminal.flush()
            except BrokenPipeError:
                self._broken = True

    def version(self) -> None:
        """The first line."""
        self.write("version", f"Hythe {__version__}", hythe=__version__, terraform=__version__, ui=UI_VERSION)

    def log(self, message: str, level: str = "info") -> None:
        """A sentence for whoever reads along."""
        self.write("log", message, level)

    def report(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Diagnostic lines."""
        for diagnostic in dict.fromkeys(diagnostics):
            word = "Error" if diagnostic.is_error else "Warning"
            level = "error" if diagnostic.is_error else "warn"
            shown = diagnostic_json(diagnostic, self.sources)
            self.write("diagnostic", f"{word}: {diagnostic.summary}", level, diagnostic=shown)

    # -- plans ----------------------------------------------------------------------------------

    def plan(self, plan: Plan, *, operation: str = "plan") -> None:
        """Drift, planned changes, the summary and outputs of a plan."""
        for change in plan.drift:
            shown = self._change(change, "update" if change.after is not None else "delete", drift=True)
            message = f"{change.address}: Drift detected ({shown['action']})"
            self.write("resource_drift", message, change=shown)
        for change in (c for c in plan.changes if c.action is not Action.NOOP or c.moved_from is not None):
            shown = self._change(change, "move" if change.action is Action.NOOP else ui_action(change.action.value))
            message = f"{change.address}: Plan to {shown['action']}"
            self.write("planned_change", message, change=shown)
        self.summary(plan, operation)
        changed = [o for o in plan.outputs if o.changed]
        if changed:
            outputs = {o.name: self._output_change(o) for o in changed}
            self.write("outputs", f"Outputs: {len(outputs)}", outputs=outputs)

    def summary(self, plan: Plan, operation: str) -> None:
        """The change_summary line of a plan."""
        found = counts(plan)
        replaced = found.get("replace", 0)
        self._summary(
            found.get("add", 0) + replaced,
            found.get("change", 0),
            found.get("destroy", 0) + replaced,
            found.get("import", 0) + found.get("adopt", 0),
            operation,
        )

    def applied(self, operation: str = "apply") -> None:
        """The change_summary line of an apply that ended."""
        done = self.tally
        self._summary(
            done["create"] + done["replace"],
            done["update"] + done["update-restart"],
            done["delete"] + done["deposed-delete"] + done["replace"],
            done["adopt"],
            operation,
        )

    def _summary(self, add: int, change: int, remove: int, imported: int, operation: str) -> None:
        also = f"{imported} to import, " if imported else ""
        message = f"Plan: {also}{add} to add, {change} to change, {remove} to destroy."
        if operation == "apply":
            also = f"{imported} imported, " if imported else ""
            message = f"Apply complete! Resources: {also}{add} added, {change} changed, {remove} destroyed."
        elif operation == "destroy":
            message = f"Destroy complete! Resources: {remove} destroyed."
        fields = {"add": add, "change": change, "import": imported, "remove": remove, "operation": operation}
        self.write("change_summary", message, changes=fields)

    def _change(self, change: Change, action: str, *, drift: bool = False) -> dict[str, Any]:
        out: dict[str, Any] = {"resource": _resource(change.address), "action": action}
        reason = None if drift else action_reason(change)
        if reason is not None:
            # UI events say replacement reasons without the prefix that plan representations have
            out["reason"] = reason.removeprefix("replace_because_").replace("by_request", "requested")
        if change.import_id is not None:
            out["importing"] = {"id": change.import_id}
        if change.moved_from is not None:
            out["previous_resource"] = _resource(change.moved_from)
        return out

    def _output_change(self, output: OutputChange) -> dict[str, Any]:
        action = "delete" if output.removed else "update" if output.existed else "create"
        return {"action": action, "sensitive": output.sensitive, **self._value(output.after, output.sensitive)}

    def _value(self, value: Any, sensitive: bool) -> dict[str, Any]:
        if type(value) is Unknown or (sensitive and not self.show):
            return {}
        return {"value": plain(value, show=self.show)}

    def outputs(self, outputs: Mapping[str, OutputState]) -> None:
        """The outputs after an apply."""
        shown = {
            name: {"sensitive": o.sensitive, "type": type_json(o.type), **self._value(o.value, o.sensitive)}
            for name, o in sorted(outputs.items())
        }
        self.write("outputs", f"Outputs: {len(shown)}", outputs=shown)

    # -- events ---------------------------------------------------------------------------------

    def __call__(self, event: Event) -> None:
        """The sink."""
        with self._lock:
            self._take(event)

    def _take(self, event: Event) -> None:
        match event:
            case RefreshStarted(addresses=addresses):
                for address in addresses:
                    self._hook("refresh_start", address, f"{address}: Refreshing state...")
            case RefreshFinished(addresses=addresses, error=None):
                for address in addresses:
                    self._hook("refresh_complete", address, f"{address}: Refresh complete")
            case RefreshFinished(addresses=addresses, host=host, error=failure):
                self.log(f"{host}: {len(addresses)} objects could not be read: {failure}", "warn")
            case OperationStarted(address=address, action=action, id=id):
                self._running[address] = (action, event.time, event.time)
                self._hook("apply_start", address, f"{address}: {verb(action).doing}...", action, id)
            case OperationProgress(address=address, action=action, text=text):
                since = self._running.get(address, (action, event.time, event.time))[1]
                self._progress(address, action, event.time - since, text)
            case OperationFinished(address=address, action=action, id=id, seconds=seconds):
                self._running.pop(address, None)
                self.tally.finished(address, action)
                text = f"{address}: {verb(action).done} complete after {elapsed(seconds)}"
                self._hook("apply_complete", address, text, action, id, elapsed_seconds=int(seconds))
            case OperationFailed(address=address, action=action, seconds=seconds):
                self._running.pop(address, None)
                self.tally.failed += 1
                text = f"{address}: {verb(action).done} errored after {elapsed(seconds)}"
                self._hook("apply_errored", address, text, action, elapsed_seconds=int(seconds))
            case OperationSkipped(address=address, because=because):
                self.tally.skipped += 1
                self.log(f"{address}: Skipped, {skipped_because(because)}", "warn")
            case IntentProgress(address=address, text=text):
                self.log(f"{address}: An operation that an earlier run left open: {text}")
            case IntentSettled(address=address, outcome=outcome, detail=detail):
                self.log(f"{address}: An operation that an earlier run left open: {outcome} ({detail})")
            case Notice(diagnostic=diagnostic):
                self.report([diagnostic])
            case _:
                pass

    def _hook(
        self, kind: str, address: str, message: str, action: str | None = None, id: str | None = None, **more: Any
    ) -> None:
        hook: dict[str, Any] = {"resource": _resource(address)}
        if action is not None:
            hook["action"] = ui_action(action)
        if id is not None:
            hook |= {"id_key": "id", "id_value": id}
        self.write(kind, message, hook={**hook, **more})

    def _progress(self, address: str, action: str, seconds: float, text: str = "") -> None:
        doing = verb(action).doing
        said = f", {text}" if text else ""
        message = f"{address}: Still {doing[0].lower()}{doing[1:]}... [{elapsed(seconds)} elapsed{said}]"
        more = {"status": text} if text else {}
        self._hook("apply_progress", address, message, action, elapsed_seconds=int(seconds), **more)

    def _tick(self) -> None:
        while not self._stop.wait(1.0):
            now = self.now()
            with self._lock:
                for address, (action, since, said) in list(self._running.items()):
                    if now - said >= STILL_EVERY:
                        self._running[address] = (action, since, now)
                        self._progress(address, action, now - since)


def _resource(text: str) -> dict[str, Any]:
    try:
        return resource_json(parse_address(text))
    except AddressError:
        return {"addr": text}
