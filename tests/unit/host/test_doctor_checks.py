"""What doctor finds on machines that lack things."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hythe.provider.connection.checks import Check, Status, healthy, is_static, run_checks
from hythe.provider.connection.discovery import Machine


def bare(root: Path) -> dict[str, Check]:
    environment = {"HOME": str(root), "PATH": str(root)}
    return {c.name: c for c in run_checks(str(root), Machine(environment, lambda name: None, str(root)))}


def test_a_bare_machine_is_told_what_to_install(tmp_path: Path) -> None:
    found = bare(tmp_path)
    wanted = {
        "engine in use": "sudo apt-get install docker.io",
        "docker engine": "sudo apt-get install docker.io",
        "docker command": "sudo apt-get install docker.io",
        "podman": "sudo apt-get install podman",
        "git": "sudo apt-get install git",
        "mmdebstrap": "sudo apt-get install mmdebstrap",
        "busybox-static": "sudo apt-get install busybox-static",
    }
    assert {name: found[name].fix for name in wanted} == wanted
    assert {found[name].status for name in wanted} == {Status.MISSING}
    assert not healthy(list(found.values()))
    assert all(c.why for c in found.values())


def test_a_docker_that_is_down_is_told_how_to_start(tmp_path: Path) -> None:
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    programs = {"dockerd": "/usr/sbin/dockerd"}
    machine = Machine({"HOME": str(tmp_path), "PATH": str(tmp_path)}, programs.get, str(tmp_path))
    found = {c.name: c for c in run_checks(str(tmp_path), machine)}
    assert (found["docker engine"].status, found["docker engine"].found) == (Status.WARN, "/usr/sbin/dockerd")
    assert found["docker engine"].fix == "sudo systemctl start docker"
    assert found["engine in use"].fix == "sudo systemctl start docker"


def test_the_state_folder(tmp_path: Path) -> None:
    assert bare(tmp_path)["disk space"].status is Status.OK
    missing = {c.name: c for c in run_checks(str(tmp_path / "none"))}["disk space"]
    assert missing.status is Status.WARN
    assert "No such file" in missing.found


def test_kvm_needs_a_processor_that_can(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "proc").mkdir()
    (tmp_path / "dev/kvm").touch()
    (tmp_path / "proc/cpuinfo").write_text("flags : fpu sse\n")
    assert bare(tmp_path)["kvm"].found == "a device without vmx or svm"
    (tmp_path / "proc/cpuinfo").write_text("flags : fpu vmx sse\n")
    assert bare(tmp_path)["kvm"].status is Status.OK


def test_static_programs_are_told_from_others(tmp_path: Path) -> None:
    assert not is_static(os.path.realpath(sys.executable))
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    assert not is_static(str(script))
