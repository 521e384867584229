"""The value kind, and what of the host kind needs no engine."""

from __future__ import annotations

import time
from typing import Any

import pytest

from hythe.planner.diff import compare
from hythe.provider.host.facts import gather, parse
from hythe.provider.host.host import HostKind
from hythe.provider.host.value import ValueKind
from hythe.provider.hosts import Hosts
from hythe.provider.protocol import PrepareContext, Project, ReadContext, ReadRequest
from hythe.provider.registry import Registry
from hythe.provider.schema import Effect
from hythe.value import Unknown

PREPARE = PrepareContext(None, Project("p", "s", "/conf"), "/conf", "x", None, {})  # type: ignore[arg-type]


def test_both_are_registered() -> None:
    registry = Registry()
    assert isinstance(registry.kind("value"), ValueKind)
    assert isinstance(registry.kind("host"), HostKind)


@pytest.mark.parametrize("given", ["text", 5, True, ["a", {"b": None}], Unknown("string")])
def test_output_is_input(given: Any) -> None:
    attributes, problems = ValueKind().schema.decode({"input": given})
    assert problems == []
    prepared, found = ValueKind().prepare(attributes, PREPARE)
    assert (prepared, found) == ({"input": given, "output": given}, [])


def test_a_new_input_is_taken_in_place_and_a_new_trigger_replaces() -> None:
    kind = ValueKind()
    before = {"input": 1, "output": 1, "triggers": ["a"]}
    changes = compare(kind, before, kind.prepare({"input": 2, "triggers": ["a"]}, PREPARE)[0])
    assert {c.name: c.effect for c in changes} == {"input": Effect.LIVE, "output": Effect.LIVE}
    changes = compare(kind, before, kind.prepare({"input": 1, "triggers": ["b"]}, PREPARE)[0])
    assert {c.name: c.effect for c in changes} == {"triggers": Effect.REPLACE}


def test_ten_thousand_values_are_cheap() -> None:
    kind = ValueKind()
    start = time.process_time()
    for number in range(10_000):
        attributes, _ = kind.schema.decode({"input": number})
        kind.prepare(attributes, PREPARE)
    assert time.process_time() - start < 1.0


def host(**arguments: Any) -> tuple[dict[str, Any], list[str]]:
    attributes, problems = HostKind().schema.decode(arguments)
    return attributes, [text for _, text in problems]


def test_arguments_in_their_one_form() -> None:
    attributes, problems = host(
        engine={"endpoint": "/run/x.sock"}, labels={"rack": "1"}, reserved={"memory": "1GiB", "cpus": 1}
    )
    assert problems == []
    assert attributes == {
        "connection": "local",
        "engine": {"type": "auto", "endpoint": "unix:///run/x.sock"},
        "labels": {"rack": "1"},
        "reserved": {"memory": 1 << 30, "cpus": 1},
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"connection": "ssh"}, "belong together"),
        ({"ssh": {"address": "x"}}, "belong together"),
        ({"connection": "ssh://root@x/etc"}, "is no SSH address"),
        ({"connection": "ssh://root@x:99999"}, "port is no number"),
        ({"install": {"packages": ["curl; rm -rf /"]}}, "is not the name of a package"),
        ({"connection": "telnet"}, "is no connection"),
        ({"engine": {"endpoint": "ssh://x"}}, "An engine behind SSH is that of a host"),
        ({"engine": {"endpoint": "nowhere"}}, "is no engine endpoint"),
        ({"engine": {"type": "lxc"}}, '"auto", "docker" or "podman"'),
        ({"engine": {"endpoint": "tcp://x:1", "cert": "a"}}, "belong together"),
        ({"engine": {"ca": "a"}}, "are for a tcp:// endpoint"),
    ],
)
def test_mistakes_are_told(arguments: dict[str, Any], words: str) -> None:
    _, problems = host(**arguments)
    assert [words in text for text in problems] == [True]


def test_another_engine_replaces_and_other_certificates_do_not() -> None:
    kind = HostKind()
    tls = {"type": "auto", "endpoint": "tcp://x:2376", "ca": "a.pem"}
    before = {"connection": "local", "engine": tls}
    [change] = compare(kind, before, before | {"engine": tls | {"ca": "b.pem"}})
    assert change.effect is Effect.LIVE
    [change] = compare(kind, before, before | {"engine": tls | {"endpoint": "tcp://y:2376"}})
    assert change.effect is Effect.REPLACE


def test_certificates_are_found_from_any_folder() -> None:
    prepared, _ = HostKind().prepare({"engine": {"ca": "tls/ca.pem"}}, PREPARE)
    assert prepared["engine"]["ca"] == "/conf/tls/ca.pem"


def test_facts_of_this_machine() -> None:
    facts = gather(Hosts().local)
    assert facts.os == "linux"
    assert facts.cpus > 0
    assert facts.memory > 1 << 26
    assert facts.arch
    assert facts.hostname


def test_facts_that_are_missing() -> None:
    facts = parse('os=Linux\ncpus=\nrelease_ID="debian"\n')
    assert (facts.os, facts.cpus, facts.distribution, facts.hostname) == ("linux", 0, "debian", "")


def test_a_host_out_of_reach_keeps_its_facts_and_is_told() -> None:
    local = Hosts().local
    context = ReadContext(local, local, "lineage", "/conf", PREPARE.project)
    known = {"connection": "local", "engine": {"type": "auto", "endpoint": "unix:///no/such.sock"}, "cpus": 4}
    seen = HostKind().read_many(context, [ReadRequest("id1", "host.x", known)])
    assert seen == {"id1": known}
    assert [(d.summary, d.address) for d in context.notices] == [("Engine not reachable", "host.x")]
