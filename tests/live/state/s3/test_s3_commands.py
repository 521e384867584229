"""The commands with their state in a bucket."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from hythe.state.backends.s3.lease import decode
from tests.conftest import Shell
from tests.live.state.pg.conftest import stopped
from tests.live.state.pg.test_pg_commands import SLEEPER, WORLD
from tests.live.state.s3.conftest import KEY, Bucket, Project
from tests.live.state.s3.radosgw import SECRET_KEY


def _project(place: Bucket, terminal: Shell, text: str, head: str = "", /, **more: Any) -> None:
    """Write a configuration whose state is in the bucket into the folder of the terminal."""
    for name, value in place.environment.items():
        terminal.patch.setenv(name, value)
    arguments = {**place.arguments, **more}
    lines = "".join(f"    {name} = {json.dumps(value)}\n" for name, value in arguments.items())
    block = f'hythe {{\n{head}  backend "s3" {{\n{lines}  }}\n}}\n'
    terminal.write(block + text.replace("FOLDER", str(terminal.folder)))


def test_the_life_of_a_project(bucket: Bucket, terminal: Shell) -> None:
    _project(bucket, terminal, WORLD)
    terminal.fine("init")
    assert terminal("plan", "--detailed-exitcode") == 2
    terminal.fine("apply", "--auto-approve")
    terminal.fine("plan", "--detailed-exitcode")
    greeting = json.loads(terminal.fine("output", "--json"))["greeting"]["value"]
    assert (terminal.folder / "greeting").read_text() == greeting
    terminal.fine("apply", "--auto-approve", "--var=greeting=bye")
    terminal.fine("state", "mv", "random.id", "random.moved")
    assert terminal.fine("state", "list").split() == ["file.greeting", "random.moved", "value.greeting"]
    terminal.fine("state", "mv", "random.moved", "random.id")
    terminal.fine("plan", "--var=greeting=again", "--out=p.plan")
    terminal.fine("apply", "p.plan")
    assert "Stale plan" in terminal.refused("apply", "p.plan")
    pulled = terminal.fine("state", "pull")
    terminal.write(pulled, "pushed.json")
    terminal.fine("apply", "--auto-approve", "--destroy", "--target=file.greeting")
    terminal.fine("state", "push", "--force", str(terminal.folder / "pushed.json"))
    assert json.loads(terminal.fine("state", "pull"))["instances"] == json.loads(pulled)["instances"]
    terminal.fine("state", "check")
    # nothing of the state is in the folder
    assert not list(terminal.folder.glob("hythe.state*"))
    versions = bucket.backend().versions()
    assert len(versions) > 5
    terminal.fine("state", "history", "--show", versions[-1].id)
    terminal.fine("state", "history", "--restore", versions[-1].id, "--auto-approve")
    terminal.fine("destroy", "--auto-approve")
    assert terminal.fine("state", "list") == ""
    assert bucket.backend().holder() is None


def test_workspaces(bucket: Bucket, terminal: Shell) -> None:
    _project(bucket, terminal, 'resource "value" "x" { input = hythe.workspace }')
    terminal.fine("apply", "--auto-approve")
    terminal.fine("workspace", "new", "staging")
    terminal.fine("apply", "--auto-approve")
    assert f"env:/staging/{KEY}" in bucket.listed()
    assert terminal.fine("workspace", "list").split() == ["default", "*", "staging"]
    terminal.fine("workspace", "select", "default")
    terminal.fine("workspace", "delete", "--force", "staging")
    assert terminal.fine("workspace", "list").split() == ["*", "default"]
    assert bucket.listed("env:/") == []
    terminal.fine("plan", "--detailed-exitcode")


def test_an_encrypted_state(bucket: Bucket, terminal: Shell) -> None:
    key = '  encryption {\n    key_provider "pbkdf2" "p" { passphrase = "correct horse battery staple" }\n'
    key += '    method "aes_gcm" "m" { keys = key_provider.pbkdf2.p }\n    state { method = method.aes_gcm.m }\n  }\n'
    text = 'resource "value" "x" { input = "in the clear" }'
    _project(bucket, terminal, text, key)
    terminal.fine("apply", "--auto-approve")
    terminal.fine("plan", "--detailed-exitcode")
    for each in bucket.listed():
        found = bucket.link.get(each)
        assert found is not None
        assert b"in the clear" not in found.body
    assert "in the clear" in terminal.fine("state", "pull")
    _project(bucket, terminal, text)
    assert "State is encrypted" in terminal.refused("plan")


def test_two_at_once_and_a_lock_forced_open(project: Project) -> None:
    project.write(SLEEPER)
    assert "Nobody holds the lock" in project.ok("force-unlock")
    apply = project.start("apply", "--auto-approve")
    try:
        project.wait_for(lambda: project.lines() == ["begun"], 60)
        said = project.fails("plan")
        assert "State is locked" in said
        assert "`hythe apply` of" in said
        assert project.run("plan", "--lock=false", "--detailed-exitcode").code == 2
        holder = project.bucket.backend().holder()
        assert holder is not None
        assert holder.id in project.fails("force-unlock")
        assert "unlocked" in project.ok("force-unlock", "--force", holder.id)
        assert "Lock not held" in project.fails("force-unlock", "--force", holder.id)
    finally:
        (project.folder / "go").touch()
        apply.kill()
        apply.communicate()


def test_a_holder_that_was_killed_is_no_obstacle(project: Project) -> None:
    project.settings = '    lease = "1h"'
    project.write(SLEEPER)
    apply = project.start("apply", "--auto-approve")
    project.wait_for(lambda: project.lines() == ["begun"], 60)
    apply.send_signal(signal.SIGKILL)
    (project.folder / "go").touch()
    # at once: not even waited for, so that it is still in the table of processes
    project.ok("apply", "--auto-approve")
    apply.communicate()
    project.empty()


def _elsewhere(bucket: Bucket) -> None:
    """Let the lock look as if its holder, which must be dead, were on another machine, where nobody can look."""
    link = bucket.link
    found = link.get(f"{KEY}.hythelock")
    assert found is not None
    told = json.loads(found.body)
    told["process"]["boot"] = "of-another-machine"
    link.replace(f"{KEY}.hythelock", json.dumps(told).encode(), found.etag)
    assert decode(json.dumps(told).encode(), link.target).held


def test_a_holder_that_was_killed_elsewhere_has_its_lease(project: Project) -> None:
    project.settings = '    lease = "3s"'
    project.write(SLEEPER)
    apply = project.start("apply", "--auto-approve")
    project.wait_for(lambda: project.lines() == ["begun"], 60)
    apply.kill()
    apply.communicate()
    (project.folder / "go").touch()
    _elsewhere(project.bucket)
    project.ok("apply", "--auto-approve", "--lock-timeout=20s")
    project.empty()


def test_a_holder_that_was_stopped_overwrites_nothing(project: Project) -> None:
    steps = "".join(
        f'resource "command" "s{n}" {{\n  create = "sleep 0.3; echo WHO{n} >> FOLDER/log"\n'
        f"  depends_on = [{f'command.s{n - 1}' if n else ''}]\n}}\n"
        for n in range(6)
    )
    project.settings = '    lease = "1s"'
    project.write(steps.replace("WHO", "first"))
    apply = project.start("apply", "--auto-approve")
    project.wait_for(lambda: len(project.lines()) == 2, 60)
    with stopped(apply):
        other = project.twin("twin", steps.replace("WHO", "second"))
        # it is there, so only its lease can end
        other.ok("apply", "--auto-approve", "--lock-timeout=20s")
        after = other.state()
        assert len(after["instances"]) == 6
    ran = project.end(apply)
    assert ran.code == 1
    said = " ".join(ran.text.split())
    assert "State lock lost" in said
    assert "operations were not begun" in said
    assert other.state() == after
    other.empty()
    first = [line for line in project.lines() if line.startswith("first")]
    assert len(first) <= 4, "it went on though its lock was lost"


PAUSED = """
import os, signal, sys
from hythe.state.backends.s3.link import Link
put = Link._put
def late(self, key, *given):
    if WHEN in key + "#":
        os.kill(os.getpid(), signal.SIGSTOP)
    return put(self, key, *given)
Link._put = late
from hythe.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.parametrize("when", ["/00000000", "/00000001", "state.json#"], ids=["header", "record", "snapshot"])
def test_stopped_with_a_write_about_to_be_sent(project: Project, when: str) -> None:
    """The last thing before the request goes out: whatever was checked before is of no help then."""
    project.settings = '    lease = "1s"'
    project.write('resource "value" "x" { input = 1 }')
    project.ok("apply", "--auto-approve")
    project.write('resource "value" "x" { input = 2 }')
    apply = project.start("apply", "--auto-approve", program=("-c", PAUSED.replace("WHEN", repr(when))))
    project.wait_for(lambda: "T" in Path(f"/proc/{apply.pid}/stat").read_text().rpartition(")")[2].split()[:1], 60)
    other = project.twin("twin", 'resource "value" "x" { input = 1 }\nresource "value" "y" { input = 2 }')
    other.ok("apply", "--auto-approve", "--lock-timeout=20s")
    after = other.state()
    apply.send_signal(signal.SIGCONT)
    project.wait_for(lambda: apply.poll() is not None or _resume(apply.pid))
    ran = project.end(apply)
    assert ran.code == 1
    assert "lock lost" in ran.text or "was lost" in ran.text
    assert other.state() == after
    assert {i["address"] for i in after["instances"]} == {"value.x", "value.y"}
    other.empty()


def _resume(pid: int) -> bool:
    """Let a process go on that stopped once more. Always False."""
    if "T" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]:
        os.kill(pid, signal.SIGCONT)
    return False


def test_the_log_tells_nothing_of_what_is_kept(project: Project) -> None:
    text = 'variable "v" {\n  default = "for-nobody-to-see"\n  sensitive = true\n}\n'
    project.write(text + 'resource "value" "x" { input = var.v }')
    ran = project.run("apply", "--auto-approve", HYTHE_LOG="trace")
    assert ran.code == 0, ran.text
    assert "urllib3" in ran.text
    assert "for-nobody-to-see" not in ran.text
    assert "Signature" not in ran.text


# -- a server that is not there, or not for us ------------------------------------------------------


def test_servers_that_do_not_serve_are_told(bucket: Bucket, terminal: Shell) -> None:
    gateway, text = bucket.gateway, 'resource "value" "x" { input = 1 }'
    ca, other = str(gateway.folder / "ca.crt"), str(gateway.folder / "other.crt")
    tls = {"endpoint": gateway.tls_address}
    gateway.user("stranger", "STRANGERACCESS", "hunter2hunter2")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        cases = [
            ({"endpoint": f"http://127.0.0.1:{nobody.getsockname()[1]}"}, "State server not reachable"),
            ({"endpoint": "http://nowhere.invalid"}, "State server not reachable"),
            ({"bucket": "missing-bucket"}, "State bucket missing"),
            ({"access_key": "NOBODY", "secret_key": "hunter2hunter2"}, "State server refused the credentials"),
            ({"access_key": "HYTHETESTACCESS", "secret_key": "hunter2hunter2"}, "State server refused the credentials"),
            ({"access_key": "STRANGERACCESS", "secret_key": "hunter2hunter2"}, "State bucket not permitted"),
            ({"profile": "nobody"}, "No credentials for the state server"),
            (tls, "State server not trusted"),
            ({**tls, "custom_ca_bundle": other}, "State server not trusted"),
            ({**tls, "custom_ca_bundle": "/nowhere.pem"}, "Invalid S3 backend"),
        ]
        for arguments, summary in cases:
            for argv in (("plan",), ("state", "list"), ("apply", "--auto-approve"), ("workspace", "list")):
                _project(bucket, terminal, text, **arguments)
                said = terminal.refused(*argv)
                assert summary in said, said
                assert "hunter2" not in said, said
    _project(bucket, terminal, text, **tls, custom_ca_bundle=ca)
    terminal.fine("apply", "--auto-approve")
    _project(bucket, terminal, text, **tls, insecure=True)
    terminal.fine("plan")


def test_a_server_that_does_not_answer_is_told(bucket: Bucket, terminal: Shell) -> None:
    terminal.patch.setattr("hythe.state.backends.s3.driver._READ_TIMEOUT", 1)
    _project(bucket, terminal, 'resource "value" "x" { input = 1 }', max_retries=1)
    with bucket.gateway.frozen():
        assert "State server does not answer" in terminal.refused("plan")
    terminal.fine("apply", "--auto-approve")


def test_settings_from_the_environment(bucket: Bucket, terminal: Shell) -> None:
    """Endpoint and credentials from where AWS's tools have them, a profile in a file among these."""
    lines = f'    bucket = "{bucket.name}"\n    key = "{KEY}"\n    use_path_style = true\nMORE'
    text = f'hythe {{\n  backend "s3" {{\n{lines}  }}\n}}\nresource "value" "x" {{ input = 1 }}\n'
    terminal.write(text.replace("MORE", ""))
    assert 'argument "region" is missing' in terminal.refused("plan")
    for name, value in {**bucket.environment, "AWS_ENDPOINT_URL_S3": bucket.gateway.address}.items():
        terminal.patch.setenv(name, value)
    terminal.fine("apply", "--auto-approve")
    for name in (*bucket.environment, "AWS_ENDPOINT_URL_S3"):
        terminal.patch.delenv(name)
    file = f"[team]\naws_access_key_id = HYTHETESTACCESS\naws_secret_access_key = {SECRET_KEY}\n"
    terminal.write(file, "credentials")
    terminal.write(text.replace("MORE", '    shared_credentials_files = ["credentials"]\n    profile = "team"\n'))
    terminal.patch.setenv("AWS_ENDPOINT_URL", bucket.gateway.address)
    terminal.fine("plan", "--detailed-exitcode")
