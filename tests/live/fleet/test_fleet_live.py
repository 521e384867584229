"""VMs and the containers inside them: one configuration, one plan, one apply. The tests go on from each other."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
from typing import Any

import pytest

# emulated guests take their time on a busy machine
pytestmark = pytest.mark.timeout(1800)


def virsh(*argv: str) -> str:
    return subprocess.run(["virsh", "-c", "qemu:///system", *argv], capture_output=True, text=True, check=True).stdout


def rebuilds(fleet: Any, node: str) -> None:
    """The state is lost and rebuilt; nothing is touched, and nothing is left to do."""
    before = set(fleet.ok("state", "list").out.split("\n"))
    booted = fleet.ok("exec", 'vm.node["a"]', "--", "cat", "/proc/sys/kernel/random/boot_id").out
    visits = int(fleet.visit("a").split()[-1].rstrip("."))
    fleet.lose_state()
    assert not os.path.exists(fleet.folder / "hythe.state.json")
    shown = fleet.ok("state", "rebuild", "--auto-approve")
    assert "hythe plan finds nothing to do" in shown.out, shown.text
    assert set(fleet.ok("state", "list").out.split("\n")) == before
    plan = fleet.run("plan", "--detailed-exitcode")
    assert plan.code == 0, plan.text
    assert fleet.ok("exec", 'vm.node["a"]', "--", "cat", "/proc/sys/kernel/random/boot_id").out == booted
    assert fleet.visit("a") == f"Hello from a container on {node}: visit {visits + 1}.\n"


def test_one_apply_brings_up_machines_and_what_is_inside(fleet: Any) -> None:
    plan = fleet.ok("plan").out
    assert "Plan: 14 to add, 0 to change, 0 to replace, 0 to destroy." in plan
    assert re.search(r'memory += "64MiB"', plan), plan
    # how the VMs will run is known before they are made
    told = set(re.findall(r'accelerated_by += "(\w+)"', plan))
    ran = fleet.apply()
    shown = fleet.ok("state", "show", 'vm.node["a"]').out
    assert told == set(re.findall(r'accelerated_by += "(\w+)"', shown)), plan
    assert len(told) == 1
    for node in ("a", "b"):
        assert fleet.visit(node) == f"Hello from a container on {node}: visit 1.\n"
    # each began when its own machine was ready
    order = ran.out.splitlines()
    for node in ("a", "b"):
        ready = next(i for i, line in enumerate(order) if line.startswith(f'vm.node["{node}"]: Creation complete'))
        begun = next(i for i, line in enumerate(order) if line.startswith(f'network.front["{node}"]: Creating'))
        assert ready < begun
    assert len(fleet.there()["domains"]) == 2


def test_hands_on_the_fleet(fleet: Any) -> None:
    assert fleet.ok("exec", 'container.web["a"]', "--", "cat", "/data/visits").out == "1\n"
    assert fleet.ok("ssh", 'vm.node["b"]', "docker", "ps", "--format", "{{.Names}}").out.split() == ["watch", "web"]
    assert fleet.run("exec", 'vm.node["a"]', "--", "sh", "-c", "exit 7").code == 7
    assert "Linux" in fleet.ok("serial", "--log", 'vm.node["a"]').out
    logs = fleet.ok("logs", 'container.watch["a"]', 'container.watch["b"]')
    assert logs.code == 0
    told = fleet.run("ssh", "vm.nod")
    assert told.code == 1
    assert 'Did you mean "vm.node' in told.text
    for shown in (fleet.ok("show").out, fleet.ok("state", "show", 'vm.node["a"]').out):
        assert "PRIVATE KEY" not in shown


def test_a_container_replaced_keeps_its_volume(fleet: Any) -> None:
    main = fleet.folder / "main.hcl"
    main.write_text(main.read_text().replace("env      = { NODE = each.key }", "env      = { NODE = upper(each.key) }"))
    fleet.apply()
    assert fleet.visit("a") == "Hello from a container on A: visit 2.\n"


def test_what_was_removed_inside_is_made_again(fleet: Any) -> None:
    fleet.ok("ssh", 'vm.node["a"]', "docker", "rm", "-f", "watch")
    plan = fleet.ok("plan").out
    assert 'container.watch["a"] will be created' in plan
    assert "Plan: 1 to add, 0 to change, 0 to replace, 0 to destroy." in plan
    fleet.apply()


def test_a_machine_with_another_host_key_is_not_talked_to(fleet: Any) -> None:
    key = "/etc/ssh/ssh_host_ed25519_key"
    script = f"rm {key}*; ssh-keygen -q -t ed25519 -N '' -f {key}; systemctl restart ssh"
    fleet.ok("exec", 'vm.node["b"]', "--", "sh", "-ec", script)
    ran = fleet.run("exec", 'vm.node["b"]', "--", "true")
    assert ran.code == 1
    assert "Host key is not the one expected" in ran.text
    plan = fleet.ok("plan")
    assert "Host key is not the one expected" in plan.text
    assert 'container.web["b"]' in plan.out.partition("Could not be reached")[2]
    assert "0 to destroy" in plan.out or "No changes" in plan.out


def test_a_machine_that_is_off_holds_nobody_up_and_takes_its_contents_along(fleet: Any) -> None:
    name = next(d for d in fleet.there()["domains"] if "node-b" in d)
    virsh("destroy", name)
    main = fleet.folder / "main.hcl"
    text = main.read_text()
    main.write_text(text.replace('memory   = "64MiB"', 'memory   = "96MiB"'))
    plan = fleet.ok("plan")
    assert "is shut off" in " ".join(plan.err.split())
    assert 'container.web["a"] will be changed in place' in plan.out
    assert 'container.web["b"]' in plan.out.partition("Could not be reached")[2]
    fleet.nodes = '["a"]'
    plan = fleet.ok("plan").out
    assert plan.count('it goes with vm.node["b"]') >= 1
    fleet.apply()
    assert len(fleet.there()["domains"]) == 1
    assert fleet.visit("a").endswith("visit 3.\n")


def test_a_machine_replaced_keeps_mac_and_address_and_gets_its_contents_back(fleet: Any) -> None:
    def facts() -> tuple[str, str]:
        [name] = fleet.there()["domains"]
        mac = re.search(r"mac address='([0-9a-f:]+)'", virsh("dumpxml", name))
        assert mac is not None
        return mac[1], fleet.output("addresses")["a"]

    before = facts()
    booted = fleet.ok("exec", 'vm.node["a"]', "--", "cat", "/proc/sys/kernel/random/boot_id").out
    # the plug is pulled while it is made anew; test_fleet_kills.py does that at many more moments
    process = fleet.start("apply", "--auto-approve", "--replace", 'vm.node["a"]')
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(random.Random(int(os.environ.get("HYTHE_SEED") or 3)).uniform(12, 45))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    fleet.apply()
    assert facts() == before
    assert fleet.ok("exec", 'vm.node["a"]', "--", "cat", "/proc/sys/kernel/random/boot_id").out != booted
    assert fleet.visit("a") == "Hello from a container on A: visit 1.\n"


def test_a_lost_state_comes_back_with_machines_and_what_is_inside(fleet: Any) -> None:
    rebuilds(fleet, "A")


def test_destroy_leaves_nothing(fleet: Any) -> None:
    fleet.ok("destroy", "--auto-approve")
    assert not any(fleet.there().values())
