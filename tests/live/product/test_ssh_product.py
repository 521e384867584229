"""A host over SSH with the ``hythe`` command: containers, files and commands on it, from the first apply to the "
"last."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hythe.provider.vm.keys import make_pair, public_of

CONFIG = """\
resource "host" "rack" {
  connection = "ssh"
  ssh {
    address  = "127.0.0.1"
    port     = PORT
    host_key = "HOSTKEY"
    key_file = "key"
  }
  engine {
    type = "docker"
  }
}
resource "network" "n" {
  host = host.rack
  name = "PREFIX-n"
}
resource "volume" "v" {
  host = host.rack
  name = "PREFIX-v"
}
resource "file" "f" {
  host    = host.rack
  path    = "FOLDER/sub/file"
  content = "hello"
}
resource "command" "c" {
  host   = host.rack
  create = "touch FOLDER/made"
  check  = "test -e FOLDER/made"
  delete = "rm FOLDER/made"
}
resource "container" "c" {
  host    = host.rack
  name    = "PREFIX-c"
  image   = "IMAGE"
  command = ["sh", "-c", "echo started; sleep 600"]
  network { network = network.n }
  mount {
    volume = volume.v
    target = "/data"
  }
}
output "os" { value = host.rack.os }
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[int, str, Path]]:
    """An SSH server on loopback: its port, its key, and the file of the key that it lets in."""
    folder = tmp_path / "sshd"
    folder.mkdir()
    host, login = make_pair("host"), make_pair("login")
    for name, text in (
        ("host", host.private),
        ("login", login.private),
        ("authorized", public_of(login.private) + "\n"),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    port = 20000 + os.getpid() % 20000
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        f"PidFile {folder}/pid\nUsePAM no\nStrictModes no\nSubsystem sftp internal-sftp\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    running = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "config")], stderr=subprocess.DEVNULL)
    yield port, " ".join(host.public.split()[:2]), folder / "login"
    running.terminate()
    running.wait(10)


def test_everything_on_a_host_over_ssh(workspace: Any, server: Any, tmp_path: Path) -> None:
    work = workspace
    port, key, login = server
    (work.folder / "key").write_bytes(login.read_bytes())
    (work.folder / "key").chmod(0o600)
    target = tmp_path / "target"
    target.mkdir()
    text = CONFIG.replace("PORT", str(port)).replace("HOSTKEY", key).replace("FOLDER", str(target))
    work.write(text)
    work.apply()
    assert (target / "sub" / "file").read_text() == "hello"
    assert (target / "made").exists()
    assert work.ok("exec", "container.c", "--", "echo", "inside").out == "inside\n"
    assert "started" in work.ok("logs", "container.c").out
    assert work.ok("ssh", "host.rack", "echo", "a  b").out == "a  b\n"
    assert work.run("exec", "host.rack", "--", "sh", "-c", "exit 5").code == 5
    # drift is seen through the connection, and mended
    (target / "made").unlink()
    work.bench.cli("rm", "-f", f"{work.prefix}-c")
    assert set(work.actions()) == {"command.c", "container.c"}
    work.apply()
    # another key at that address is refused, and nothing is lost
    work.write(text.replace(key, " ".join(make_pair("x").public.split()[:2])))
    ran = work.run("apply", "--auto-approve")
    assert ran.code == 1
    assert "Host key is not the one expected" in ran.text
    assert len(work.listed("containers")) == 1
    work.write(text)
    work.empty()
    work.ok("destroy", "--auto-approve")
    assert not any(work.everything().values())
    assert not (target / "made").exists()
    assert not (target / "sub").exists()


def test_docker_host_over_ssh(workspace: Any, server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    work = workspace
    port, key, login = server
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}\n")
    (home / ".ssh" / "config").write_text(
        f"Host box\n  HostName 127.0.0.1\n  Port {port}\n  User root\n  IdentityFile {login}\n"
    )
    monkeypatch.setenv("HOME", str(home))
    original = type(work).environment
    monkeypatch.setattr(type(work), "environment", property(lambda w: {**original.fget(w), "DOCKER_HOST": "ssh://box"}))
    work.write('resource "volume" "v" { name = "PREFIX-v" }\n')
    work.apply()
    assert work.listed("volumes") == {f"{work.prefix}-v"}
    work.ok("destroy", "--auto-approve")


def test_a_connection_that_breaks_in_the_middle(workspace: Any, server: Any, tmp_path: Path) -> None:
    work = workspace
    port, key, login = server
    (work.folder / "key").write_bytes(login.read_bytes())
    (work.folder / "key").chmod(0o600)
    target = tmp_path / "target"
    target.mkdir()
    text = CONFIG.replace("PORT", str(port)).replace("HOSTKEY", key).replace("FOLDER", str(target))
    slow = f"echo ran >>{target}/log; touch {target}/begun; sleep 4; touch {target}/made"
    work.write(text.replace(f'create = "touch {target}/made"', f'create = "{slow}"'))
    process = work.start("apply", "--auto-approve")
    work.eventually(lambda: (target / "begun").exists(), 60)
    listening = subprocess.run(["pgrep", "-f", f"sshd.*{tmp_path}/sshd/config"], capture_output=True, text=True)
    for parent in listening.stdout.split():
        subprocess.run(["pkill", "-9", "-P", parent], check=False)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, out + err
    assert "Traceback" not in out + err
    assert f"The connection to root@127.0.0.1:{port} broke" in out + err
    work.apply()
    assert len(work.listed("containers")) == 1
    # run once more, or found done by what goes on without the connection
    assert set((target / "log").read_text().split()) == {"ran"}
    work.ok("destroy", "--auto-approve")
    assert not any(work.everything().values())


def test_a_terminal_in_a_container_over_ssh(workspace: Any, server: Any, tmp_path: Path) -> None:
    import pty
    import sys

    work = workspace
    port, key, login = server
    (work.folder / "key").write_bytes(login.read_bytes())
    (work.folder / "key").chmod(0o600)
    work.write(CONFIG.replace("PORT", str(port)).replace("HOSTKEY", key).replace("FOLDER", str(tmp_path / "t")))
    work.ok("apply", "--auto-approve", "--target", "container.c")
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "hythe", "exec", "-it", "container.c", "--", "sh"]
    process = subprocess.Popen(argv, cwd=work.folder, env=work.environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)

    def expect(text: bytes) -> None:
        seen = b""
        while text not in seen:
            seen += os.read(ours, 4096)

    try:
        # what is typed before the shell is there is dropped, as with every change of a terminal to raw
        expect(b"# ")
        os.write(ours, b"echo $((6 * 7)); test -t 0 && echo terminal; exit 5\n")
        expect(b"\r\n42\r\nterminal\r\n")
        assert process.wait(30) == 5
    finally:
        process.kill()
        os.close(ours)
    work.ok("destroy", "--auto-approve")
