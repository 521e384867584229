"""Saved plans come back as they were."""

from __future__ import annotations

import os
import signal
import threading
import time
from decimal import Decimal

import pytest

from hythe.cli.context import fail
from hythe.cli.freshness import check_fresh
from hythe.cli.interrupt import StopSwitch
from hythe.cli.planfile import decode_plan, encode_plan, write_plan
from hythe.diagnostic import DiagnosticError, Range
from hythe.planner.plan import Action, Cause, Change, ConfigSnapshot, Disruption, Mode, OutputChange, Plan
from hythe.state.model import State
from hythe.value import STRING, List, Map, Reference, Set, Unknown, object_of

PLAN = Plan(
    "0.1.0",
    "lineage",
    5,
    Mode.NORMAL,
    "2026-01-31T08:00:00Z",
    ConfigSnapshot("/srv", {"main.hcl": "x = 1\n"}, {"file:/srv/a": "absent"}, {"v": (1, "a")}, ("v",)),
    (
        Change(
            'container.web["a"]',
            "container",
            Action.REPLACE,
            Disruption.DATA_LOSS,
            {"cpus": Decimal("0.5"), "big": 2**80, "$odd": 1, "none": None},
            {
                "image": Reference("image", "image.web", Unknown(STRING)),
                "list": List(["a"], STRING),
                "set": Set(["a"], STRING),
                "map": Map({"k": "v"}, STRING),
                "later": Unknown(object_of({"a": STRING})),
                "port": [{"container": 80}],
            },
            (("env", "A"),),
            (("port", 0, "host"),),
            "id",
            ("image",),
            (("image",), ("port", 0)),
            (Cause("image forces replacement", ("image",), Range("main.hcl", 1, 2, 3, 4, 5, 6), True),),
            ("image.web",),
            "host.rack1",
            create_before_destroy=True,
            tainted=True,
            range=Range("main.hcl", 1, 2, 3, 4, 5, 6),
        ),
        Change("value.b", "value", Action.NOOP, mode="data"),
    ),
    (Change("value.b", "value", Action.UPDATE),),
    (OutputChange("o", 1, Unknown(STRING), STRING, True, False, True), OutputChange("p", None, None, STRING)),
    ("container.web",),
    ("container.later",),
    complete=False,
)


def listed(value: object) -> object:
    """Tuples of the language come back as lists, which mean the same."""
    return list(value) if isinstance(value, tuple) else value


def test_round_trip() -> None:
    back = decode_plan(encode_plan(PLAN))
    assert back.changes == PLAN.changes
    assert back.drift == PLAN.drift
    assert back.outputs == PLAN.outputs
    assert back.config.variables == {k: listed(v) for k, v in PLAN.config.variables.items()}
    assert (back.targets, back.deferred, back.complete, back.mode) == (PLAN.targets, PLAN.deferred, False, Mode.NORMAL)
    after = back.changes[0].after
    assert after is not None
    assert (type(after["list"]), type(after["set"]), type(after["map"])) == (List, Set, Map)


@pytest.mark.parametrize("at", [0, 5, 40, 200, -2])
def test_any_flipped_bit_is_noticed(at: int) -> None:
    data = bytearray(encode_plan(PLAN))
    data[at] ^= 1
    with pytest.raises(ValueError):
        decode_plan(bytes(data))


def test_truncated_plan_is_noticed() -> None:
    data = encode_plan(PLAN)
    for end in range(0, len(data) - 1, 97):
        with pytest.raises(ValueError):
            decode_plan(data[:end])


def test_a_plan_that_cannot_be_written_is_a_diagnostic() -> None:
    with pytest.raises(DiagnosticError, match="Plan not saved"):
        write_plan(PLAN, "/no/such/folder/plan")


@pytest.mark.parametrize(
    ("state", "said"),
    [(State("lineage", 6), "Stale plan"), (State("another", 5), "Plan for another state")],
)
def test_stale_plans_are_refused(state: State, said: str) -> None:
    with pytest.raises(DiagnosticError, match=said):
        check_fresh(PLAN, state)


def wait_for(event: threading.Event) -> None:
    assert event.wait(5)


def test_first_signal_stops_softly_second_at_once_third_interrupts() -> None:
    said: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    with StopSwitch(said.append) as stop:
        assert not stop.pressed
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(stop.soft)
        assert not stop.hard.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        wait_for(stop.hard)
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - the signal may take a moment
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
    deadline = time.monotonic() + 5
    while len(said) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "what runs is finished" in said[0]
    assert "at once" in said[1]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("ignored", [False, True])
def test_a_closed_terminal_stops_softly_unless_that_is_ignored(ignored: bool) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        with StopSwitch(lambda text: None) as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.soft.wait(0.2) is not ignored
    finally:
        signal.signal(signal.SIGHUP, before)


def test_fail_is_an_error() -> None:
    assert fail("Summary", "Detail.").diagnostics[0].is_error
