"""What plan and apply tell while they run."""

from __future__ import annotations

import errno
import io
import json

import pytest

from hythe.cli.views.json_ui import JsonLines
from hythe.cli.views.live import LiveProgress
from hythe.cli.views.progress import Progress
from hythe.cli.views.terminal import Paint, Terminal
from hythe.diagnostic import Diagnostic, error
from hythe.event import (
    ApplyStarted,
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
from hythe.planner.plan import Action, Change, ConfigSnapshot, Mode, OutputChange, Plan
from hythe.state.model import OutputState
from hythe.value import STRING, Unknown

EVENTS = (
    RefreshStarted(99, "local", "container", ("container.old",)),
    RefreshFinished(99, "local", "container", ("container.old",), None),
    IntentSettled(99, "container.left", "adopted", "it was created"),
    ApplyStarted(100, 3),
    OperationStarted(100, 'container.web["a"]', "create", None),
    OperationProgress(101, 'container.web["a"]', "create", "waiting\x1b[2J for health"),
    OperationStarted(101, "volume.old", "delete", "v1"),
    OperationFinished(103, 'container.web["a"]', "create", "c1", 3.2),
    OperationFailed(104, "volume.old", "delete", 3.0, (error("In use", "It is in use."),)),
    OperationSkipped(104, "network.old", "delete", "volume.old"),
)


def plain(live: bool = False) -> tuple[Progress, io.StringIO, list[Diagnostic]]:
    stream = io.StringIO()
    reported: list[Diagnostic] = []
    terminal = Terminal(stream, Paint(live), 80, live)
    made = (LiveProgress if live else Progress)(terminal, reported.extend)
    return made, stream, reported


def test_what_is_waited_for_while_settling() -> None:
    progress, stream, _ = plain()
    progress(IntentProgress(1, "vm.left", "VM left: waiting for cloud-init"))
    told = "vm.left: An operation that an earlier run left open: VM left: waiting for cloud-init\n"
    assert stream.getvalue() == told


def test_plain_lines() -> None:
    progress, stream, _ = plain()
    for event in EVENTS:
        progress(event)
    assert stream.getvalue().splitlines() == [
        "container.left: An operation that an earlier run left open: adopted (it was created)",
        'container.web["a"]: Creating...',
        "volume.old: Destroying... [id=v1]",
        'container.web["a"]: Creation complete after 3s [id=c1]',
        "volume.old: Destruction failed after 3s",
        "network.old: Skipped, because volume.old failed",
    ]
    assert (progress.tally.total, progress.tally.done, progress.tally.failed, progress.tally.skipped) == (3, 1, 1, 1)


def test_long_operations_are_told_of_every_ten_seconds() -> None:
    progress, stream, _ = plain()
    progress(OperationStarted(100, "container.web", "create", None))
    progress(OperationProgress(101, "container.web", "create", "waiting for health"))
    for now in range(101, 125):
        progress.tick(now)
    assert stream.getvalue().splitlines()[1:] == [
        "container.web: Still creating... [10s elapsed, waiting for health]",
        "container.web: Still creating... [20s elapsed, waiting for health]",
    ]


def test_notices_are_reported() -> None:
    progress, _, reported = plain()
    told = error("Something", "Happened.")
    progress(Notice(1, told))
    assert reported == [told]


def test_a_reader_that_went_away_does_not_stop_the_apply() -> None:
    progress, stream, _ = plain()
    stream.close()
    progress(OperationStarted(100, "container.web", "create", None))
    assert "container.web" in progress.running


class Closed(io.StringIO):
    """A terminal whose window was closed, or a file on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("live", [False, True])
def test_output_that_fails_does_not_stop_the_apply(live: bool) -> None:
    terminal = Terminal(Closed(), Paint(False), 80, live)
    with pytest.raises(BrokenPipeError):
        terminal.write("x")
    with (LiveProgress if live else Progress)(terminal, lambda found: None) as progress:
        for event in EVENTS:
            progress(event)
        assert progress.tally["create"] == 1


def test_live_area() -> None:
    progress, stream, _ = plain(live=True)
    for event in EVENTS[:6]:
        progress(event)
    progress.tick(105.0)
    drawn = stream.getvalue()
    assert "waiting\\x1b[2J for health" in drawn
    assert "0 of 3 done, 1 running, 2 waiting" in drawn
    for event in EVENTS[6:]:
        progress(event)
    progress.close()
    assert "Creation complete after 3s" in stream.getvalue()


def json_lines(*, show: bool = False) -> tuple[JsonLines, io.StringIO]:
    stream = io.StringIO()
    return JsonLines(Terminal(stream), lambda name: None, show_sensitive=show, now=lambda: 1_700_000_000.5), stream


def read(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_event_lines() -> None:
    lines, stream = json_lines()
    lines.version()
    for event in EVENTS:
        lines(event)
    lines.applied()
    found = read(stream)
    assert [f["type"] for f in found] == [
        "version",
        "refresh_start",
        "refresh_complete",
        "log",
        "apply_start",
        "apply_progress",
        "apply_start",
        "apply_complete",
        "apply_errored",
        "log",
        "change_summary",
    ]
    assert all({"@level", "@message", "@module", "@timestamp"} <= f.keys() for f in found)
    assert found[0]["@timestamp"] == "2023-11-14T22:13:20.500000Z"
    assert found[7]["hook"] == {
        "resource": {
            "addr": 'container.web["a"]',
            "module": "",
            "resource": 'container.web["a"]',
            "implied_provider": "container",
            "resource_type": "container",
            "resource_name": "web",
            "resource_key": "a",
        },
        "action": "create",
        "id_key": "id",
        "id_value": "c1",
        "elapsed_seconds": 3,
    }
    assert found[-1]["changes"] == {"add": 1, "change": 0, "import": 0, "remove": 0, "operation": "apply"}
    assert found[-1]["@message"] == "Apply complete! Resources: 1 added, 0 changed, 0 destroyed."


def make_plan() -> Plan:
    return Plan(
        "1",
        "l",
        1,
        Mode.NORMAL,
        "now",
        ConfigSnapshot("/", {}, {}, {}),
        (
            Change("module.shop[0].container.web", "container", Action.REPLACE, tainted=True),
            Change("container.a", "container", Action.UPDATE_RESTART),
            Change("container.b", "container", Action.NOOP),
        ),
        (Change("container.a", "container", Action.UPDATE, after={}),),
        (OutputChange("url", None, Unknown(STRING), STRING), OutputChange("pw", "a", "b", STRING, True, False, True)),
    )


def test_json_plan_lines() -> None:
    lines, stream = json_lines()
    lines.plan(make_plan())
    found = read(stream)
    assert [f["type"] for f in found] == [
        "resource_drift",
        "planned_change",
        "planned_change",
        "change_summary",
        "outputs",
    ]
    first = found[1]["change"]
    assert isinstance(first, dict)
    assert (first["action"], first["reason"]) == ("replace", "tainted")
    assert first["resource"]["module"] == "module.shop[0]"
    assert first["resource"]["resource"] == "container.web"
    assert found[3]["@message"] == "Plan: 1 to add, 1 to change, 1 to destroy."
    assert found[4]["outputs"] == {
        "url": {"action": "create", "sensitive": False},
        "pw": {"action": "update", "sensitive": True},
    }


def test_json_outputs_hide_sensitive_values() -> None:
    outputs = {"pw": OutputState("hunter2", STRING, True)}
    lines, stream = json_lines()
    lines.outputs(outputs)
    assert "hunter2" not in stream.getvalue()
    lines, stream = json_lines(show=True)
    lines.outputs(outputs)
    assert "hunter2" in stream.getvalue()


def test_json_diagnostics() -> None:
    lines, stream = json_lines()
    lines.report([error("Bad", "Very bad.", address="container.a")])
    (line,) = read(stream)
    assert (line["@level"], line["@message"]) == ("error", "Error: Bad")
    assert line["diagnostic"] == {
        "severity": "error",
        "summary": "Bad",
        "detail": "Very bad.",
        "address": "container.a",
    }
