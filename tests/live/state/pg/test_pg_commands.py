"""The commands with their state in PostgreSQL."""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path

from tests.live.state.pg.conftest import Project, stopped
from tests.live.state.pg.postgres import PASSWORD

WORLD = """
variable "greeting" { default = "hello" }
resource "random" "id" {
  type        = "id"
  byte_length = 8
}
resource "value" "greeting" { input = "${var.greeting} ${random.id.result}" }
resource "file" "greeting" {
  path    = "FOLDER/greeting"
  content = value.greeting.output
}
output "greeting" { value = value.greeting.output }
"""
SLEEPER = """
resource "command" "nap" {
  create = "echo begun >> FOLDER/log; until [ -e FOLDER/go ]; do sleep 0.1; done"
}
"""


def test_the_life_of_a_project(project: Project) -> None:
    project.write(WORLD)
    project.ok("init")
    project.ok("validate")
    assert project.run("plan", "--detailed-exitcode").code == 2
    project.ok("apply", "--auto-approve")
    project.empty()
    greeting = json.loads(project.ok("output", "--json"))["greeting"]["value"]
    assert (project.folder / "greeting").read_text() == greeting
    assert project.ok("state", "list").split() == ["file.greeting", "random.id", "value.greeting"]
    project.ok("apply", "--auto-approve", "--var=greeting=bye")
    assert (project.folder / "greeting").read_text().startswith("bye ")
    project.ok("state", "mv", "random.id", "random.moved")
    assert project.ok("state", "list").split() == ["file.greeting", "random.moved", "value.greeting"]
    project.ok("state", "mv", "random.moved", "random.id")
    project.ok("plan", "--var=greeting=again", "--out=p.plan")
    project.ok("apply", "p.plan")
    stale = project.fails("apply", "p.plan")
    assert "Stale plan" in stale
    project.ok("refresh")
    pulled = project.ok("state", "pull")
    (project.folder / "pushed.json").write_text(pulled)
    project.ok("apply", "--auto-approve", "--destroy", "--target=file.greeting")
    assert "file.greeting" not in project.ok("state", "list")
    project.ok("state", "push", "--force", "pushed.json")
    assert project.state()["instances"] == json.loads(pulled)["instances"]
    # nothing of the state is in the folder
    assert not list(project.folder.glob("hythe.state*"))
    twin = project.twin("twin", WORLD)
    assert twin.ok("state", "list").split() == ["file.greeting", "random.id", "value.greeting"]
    project.ok("destroy", "--auto-approve")
    assert not (project.folder / "greeting").exists()
    assert project.ok("state", "list") == ""
    backend = project.database.backend()
    assert len(backend.versions()) > 5
    assert backend.holder() is None


def test_settings_from_the_environment(project: Project) -> None:
    project.write('resource "value" "x" { input = 1 }')
    text = (project.folder / "main.hcl").read_text().replace(project.database.address, "")
    (project.folder / "main.hcl").write_text(text)
    cluster, name = project.database.cluster, project.database.name
    project.environment = {"PG_CONN_STR": project.database.address}
    project.ok("apply", "--auto-approve")
    project.environment = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(cluster.port),
        "PGUSER": name,
        "PGPASSWORD": PASSWORD,
        "PGDATABASE": name,
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": str(cluster.folder / "ca.crt"),
    }
    assert project.ok("state", "list").split() == ["value.x"]
    # over the socket, without TLS
    project.environment |= {"PGHOST": str(cluster.folder), "PGSSLMODE": "disable"}
    assert project.ok("state", "list").split() == ["value.x"]
    project.environment |= {"PG_SCHEMA_NAME": "another"}
    assert project.ok("state", "list").split() == []


def test_two_at_once_and_the_lock_of_a_plan(project: Project) -> None:
    project.write(SLEEPER)
    apply = project.start("apply", "--auto-approve")
    project.wait_for(lambda: project.lines() == ["begun"])
    for argv in (("plan",), ("apply", "--auto-approve"), ("refresh",)):
        said = project.fails(*argv)
        assert "State is locked" in said
        assert "`hythe apply` of" in said
        assert str(apply.pid) in said
    assert project.run("plan", "--lock=false", "--detailed-exitcode").code == 2
    waiting = project.start("plan", "--lock-timeout=60s", "--detailed-exitcode")
    time.sleep(2)
    (project.folder / "go").touch()
    assert project.end(waiting).code == 0
    assert project.end(apply).code == 0
    assert project.lines() == ["begun"]


def test_forcing_a_lock_open(project: Project) -> None:
    project.write(SLEEPER)
    assert "Nobody holds the lock" in project.ok("force-unlock")
    apply = project.start("apply", "--auto-approve")
    try:
        project.wait_for(lambda: project.lines() == ["begun"])
        told = project.fails("force-unlock")
        assert "Lock ID needed" in told
        holder = project.database.backend().holder()
        assert holder is not None
        assert holder.id in told
        assert "Lock ID does not match" in project.fails("force-unlock", "00000000-0000-0000-0000-000000000000")
        assert "Approval needed" in project.fails("force-unlock", holder.id)
        assert project.database.backend().holder() == holder
        assert "unlocked" in project.ok("force-unlock", "--force", holder.id)
        assert project.database.backend().holder() is None
        assert "Lock not held" in project.fails("force-unlock", "--force", holder.id)
    finally:
        apply.kill()
        apply.communicate()


def test_a_holder_that_was_killed_is_no_obstacle(project: Project) -> None:
    project.settings = '    lease = "1h"'
    project.write(SLEEPER)
    apply = project.start("apply", "--auto-approve")
    project.wait_for(lambda: project.lines() == ["begun"])
    apply.send_signal(signal.SIGKILL)
    # at once: not even waited for, so that it is still in the table of processes
    (project.folder / "go").touch()
    project.ok("apply", "--auto-approve")
    apply.communicate()
    project.empty()


def test_a_long_apply_keeps_its_lease(project: Project) -> None:
    project.settings = '    lease = "2s"'
    project.write(SLEEPER)
    apply = project.start("apply", "--auto-approve")
    project.wait_for(lambda: project.lines() == ["begun"])
    # as if it were on another machine, where nobody here can look
    project.database.sql('UPDATE hythe_state.states SET holder = replace(holder, \'"boot": "\', \'"boot": "not-\')')
    assert "State is locked" in project.fails("plan", "--lock-timeout=4s")
    (project.folder / "go").touch()
    assert project.end(apply).code == 0
    project.empty()
    assert project.lines() == ["begun"]


def test_a_holder_that_was_stopped_overwrites_nothing(project: Project) -> None:
    steps = "".join(
        f'resource "command" "s{n}" {{\n  create = "sleep 0.3; echo WHO{n} >> FOLDER/log"\n'
        f"  depends_on = [{f'command.s{n - 1}' if n else ''}]\n}}\n"
        for n in range(6)
    )
    project.settings = '    lease = "1s"'
    project.write(steps.replace("WHO", "first"))
    apply = project.start("apply", "--auto-approve")
    project.wait_for(lambda: len(project.lines()) == 2)
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
    assert "2 operations were not begun" in said or "operations were not begun" in said
    assert other.state() == after
    other.empty()
    first = [line for line in project.lines() if line.startswith("first")]
    assert len(first) <= 4, "it went on though its lock was lost"


def test_a_lock_that_was_forced_open_is_told_by_that_name(project: Project) -> None:
    """Also by a run that finds it out only with its last records."""
    project.write(SLEEPER + 'output "x" {\n  value = command.nap.exit_code\n}\n')
    apply = project.start("apply", "--auto-approve")
    project.wait_for(lambda: project.lines() == ["begun"])
    told = project.fails("force-unlock")
    taken = told.partition("force-unlock ")[2].split("`")[0]
    project.ok("force-unlock", "--force", taken)
    (project.folder / "go").touch()
    ran = project.end(apply)
    assert ran.code == 1
    said = " ".join(ran.text.split())
    assert "State lock lost" in said
    assert "What became of command.nap is recorded nowhere yet" in said


def test_a_stopped_holder_that_has_only_the_snapshot_to_write(project: Project) -> None:
    """The lock is lost between the last record and the snapshot."""
    project.settings = '    lease = "1s"'
    project.write('resource "value" "x" { input = 1 }')
    program = (
        "import os, signal, sys\n"
        "from hythe.state.backends.pg.backend import PgBackend\n"
        "write = PgBackend.write\n"
        "def late(self, *given, **more):\n"
        "    os.kill(os.getpid(), signal.SIGSTOP)\n"
        "    return write(self, *given, **more)\n"
        "PgBackend.write = late\n"
        "from hythe.cli.main import run\n"
        "sys.exit(run(sys.argv[1:]))\n"
    )
    apply = project.start("apply", "--auto-approve", program=("-c", program))
    project.wait_for(lambda: "T" in Path(f"/proc/{apply.pid}/stat").read_text().rpartition(")")[2].split()[:1])
    other = project.twin("twin", 'resource "value" "x" { input = 1 }\nresource "value" "y" { input = 2 }')
    other.ok("apply", "--auto-approve", "--lock-timeout=20s")
    after = other.state()
    apply.send_signal(signal.SIGCONT)
    ran = project.end(apply)
    assert ran.code == 1
    assert "State lock lost" in ran.text
    assert "State cannot be written" not in ran.text
    assert other.state() == after
    assert {i["address"] for i in after["instances"]} == {"value.x", "value.y"}


# -- a server that is not there, or not for us ------------------------------------------------------


def _with(project: Project, address: str) -> None:
    project.write('resource "value" "x" { input = 1 }')
    path = project.folder / "main.hcl"
    path.write_text(path.read_text().replace(project.database.address, address))


def test_servers_that_do_not_serve_are_told(project: Project) -> None:
    cluster, name = project.database.cluster, project.database.name
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        cases = {
            f"postgres://{name}:hunter2@127.0.0.1:{nobody.getsockname()[1]}/{name}": "State server not reachable",
            f"postgres://{name}:hunter2@nowhere.invalid/{name}": "State server not reachable",
            cluster.address(name, password="hunter2"): "State server refused the login",
            cluster.address(name).replace(f"//{name}:", "//nobody:"): "State server refused the login",
            cluster.address(name).replace(f"/{name}?", "/missing?"): "State database missing",
            cluster.address(name, ca="other.crt"): "State server not trusted",
            cluster.address(name, ca="absent.crt"): "State server not trusted",
            cluster.address(name).replace("127.0.0.1", "localhost"): "State server not trusted",
            f"postgres://{name}:hunter2@127.0.0.1:{cluster.port}/{name}?sslmode=disable": (
                "State server refused the login"
            ),
            f"postgres://{name}:hunter2@ter@127.0.0.1/{name}": "Invalid connection string",
            f"postgres://{name}:hunter2/ter@127.0.0.1/{name}": "Invalid connection string",
            "host=127.0.0.1 hunter2": "Invalid connection string",
        }
        commands = (("plan",), ("state", "list"), ("apply", "--auto-approve"))
        for n, (address, summary) in enumerate(cases.items()):
            _with(project, address)
            for argv in commands if n == 0 else (commands[n % 3],):
                said = project.fails(*argv, HYTHE_LOG="trace")
                assert summary in said, said
                assert "hunter2" not in said, said
                if summary.startswith("State server"):
                    assert "127.0.0.1" in said or "nowhere.invalid" in said or "localhost" in said
