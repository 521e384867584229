"""One SSH connection that carries commands, files and the engine's API, with strict host keys."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hythe.provider.connection.discovery import EngineSettings
from hythe.provider.connection.ssh import SshHost, SshSettings
from hythe.provider.host.facts import gather
from hythe.provider.protocol import HostUnreachable, ProviderError
from hythe.provider.vm.keys import make_pair, public_of


@pytest.fixture
def host(servers: Any, docker: Any) -> Iterator[SshHost]:
    made = SshHost("host.x", SshSettings.of(servers[0].block()), EngineSettings("docker"))
    yield made
    made.close()


def refusal(block: dict[str, Any]) -> tuple[str, str]:
    """Summary and detail of why a login fails."""
    made = SshHost("host.x", SshSettings.of(block))
    with pytest.raises(HostUnreachable) as failure:
        made.run(["true"])
    made.close()
    return failure.value.diagnostics[0].summary, failure.value.diagnostics[0].detail


def test_programs_run_as_they_are_written(host: SshHost) -> None:
    argv = ["printf", "%s|", "a b", "$HOME", "it's; rm -rf /", '"', "", "*"]
    done = host.run(argv)
    assert done.stdout.decode() == "a b|$HOME|it's; rm -rf /|\"||*|"
    assert host.run(["cat"], stdin=b"x" * 3_000_000).stdout == b"x" * 3_000_000
    # one that reads slowly is given all of it too
    slow = host.run(["sh", "-c", "sleep 2; wc -c"], stdin=b"x" * 5_000_000, timeout=60)
    assert slow.stdout.split() == [b"5000000"]
    failed = host.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (failed.code, failed.stdout, failed.stderr) == (3, b"out\n", b"err\n")
    assert host.run(["no-such-program"]).code == 127
    with pytest.raises(ProviderError, match="did not end within"):
        host.run(["sleep", "30"], timeout=0.5)
    assert gather(host).os == "linux"


def test_files_are_put_there_whole(host: SshHost, tmp_path: Path) -> None:
    files, path = host.files(), str(tmp_path / "a" / "b" / "file")
    assert files.make_folders(os.path.dirname(path)) == [str(tmp_path / "a"), str(tmp_path / "a" / "b")]
    files.write(path, b"one" * 500_000, 0o640, "nobody", "nogroup", replace=False)
    with pytest.raises(FileExistsError):
        files.write(path, b"two", 0o600, None, None, replace=False)
    facts = files.facts(path)
    assert facts is not None
    assert (facts.type, facts.mode, facts.owner, facts.group) == ("file", 0o640, "nobody", "nogroup")
    assert files.read(path) == b"one" * 500_000
    files.write(path, b"two", 0o600, "root", "root", replace=True)
    assert Path(path).read_bytes() == b"two"
    assert os.listdir(os.path.dirname(path)) == ["file"]
    with pytest.raises(LookupError):
        files.write(path, b"", 0o600, "nobody-of-that-name", None, replace=True)
    files.remove(path)
    files.remove(path)
    assert files.facts(path) is None


def test_many_at_once_over_one_connection(host: SshHost, servers: Any, docker: Any) -> None:
    before = servers[0].sessions()

    def work(at: int) -> str:
        if at % 3:
            return str(host.engine().request("GET", "/version").json()["Version"])
        return host.run(["sh", "-c", f"sleep 0.1; echo {at}"]).stdout.decode().strip()

    with ThreadPoolExecutor(30) as pool:
        found = list(pool.map(work, range(90)))
        open_now = servers[0].sessions()
    version = docker.engine.info.version
    assert found == [str(i) if i % 3 == 0 else version for i in range(90)]
    assert open_now - before <= 1


def test_a_container_through_the_connection(host: SshHost, docker: Any) -> None:
    name = docker.name("ssh")
    engine = host.engine()
    made = engine.request(
        "POST",
        "/containers/create",
        query={"name": name},
        json={"Image": docker.image, "Cmd": ["sh", "-c", "echo hello; sleep 60"]},
    ).json()
    engine.request("POST", f"/containers/{made['Id']}/start")
    try:
        with engine.stream("GET", f"/containers/{made['Id']}/logs", query={"stdout": True, "follow": True}) as answer:
            assert b"hello" in next(answer.chunks())
    finally:
        engine.request("DELETE", f"/containers/{made['Id']}", query={"force": True})


def test_through_another_machine(servers: Any) -> None:
    first, second = servers
    with pytest.raises(HostUnreachable):
        SshHost("host.y", SshSettings.of(second.block())).run(["true"])
    made = SshHost("host.y", SshSettings.of(second.block(jump=[first.block()])))
    assert made.run(["echo", "there"]).stdout == b"there\n"
    made.close()
    wrong = second.block(jump=[first.block(host_key=public_of(make_pair("x").private))])
    assert refusal(wrong)[0] == "Host key is not the one expected"
    detail = refusal(second.block(port=2223, jump=[first.block()]))[1]
    assert f"The jump host root@{first.address}:22 cannot reach root@127.0.0.1:2223" in detail


def test_a_host_key_is_never_taken_on_trust(servers: Any, tmp_path: Path) -> None:
    server = servers[0]
    known = tmp_path / "known"
    known.write_text("")
    summary, detail = refusal(server.block(host_key=None, known_hosts=str(known)))
    assert summary == "Host key not known"
    told = subprocess.run(
        ["ssh-keygen", "-lf", "-"], input=server.host_key, capture_output=True, text=True, check=True
    ).stdout.split()[1]
    assert told in detail
    known.write_text(f"{server.address} {server.host_key}\n")
    made = SshHost("host.x", SshSettings.of(server.block(host_key=None, known_hosts=str(known))))
    assert made.run(["true"]).code == 0
    made.close()
    other = public_of(make_pair("x").private)
    assert refusal(server.block(host_key=other))[0] == "Host key is not the one expected"
    known.write_text(f"{server.address} {other}\n")
    assert refusal(server.block(host_key=None, known_hosts=str(known)))[0] == "Host key is not the one expected"


def test_why_a_login_fails(servers: Any, tmp_path: Path) -> None:
    server = servers[0]
    assert "refuses connections on port 23" in refusal(server.block(port=23))[1]
    assert "no machine of the name" in refusal(server.block(address="nowhere.invalid"))[1]
    summary, detail = refusal(server.block(private_key=make_pair("x").private))
    assert summary == "Login refused"
    assert "authorized_keys" in detail
    missing = refusal(server.block(private_key=None, key_file=str(tmp_path / "none"), agent=False))
    assert "which is not there" in missing[1]


def test_keys_of_an_agent(servers: Any, tmp_path: Path, monkeypatch: Any) -> None:
    key = tmp_path / "key"
    key.write_text(servers[0].private_key)
    key.chmod(0o600)
    started = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    facts = dict(part.split("=", 1) for part in started.replace("\n", "").split(";") if "=" in part)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", facts["SSH_AUTH_SOCK"])
        subprocess.run(["ssh-add", "-q", str(key)], check=True)
        block = servers[0].block(private_key=None, key_file=str(tmp_path / "none"))
        made = SshHost("host.x", SshSettings.of(block))
        assert made.run(["true"]).code == 0
        made.close()
    finally:
        os.kill(int(facts["SSH_AGENT_PID"]), signal.SIGTERM)


def test_a_connection_that_breaks_is_opened_again(host: SshHost, servers: Any) -> None:
    assert host.run(["true"]).code == 0
    shell = int(host.run(["sh", "-c", "echo $PPID"]).stdout)
    os.kill(shell, signal.SIGKILL)
    assert host.run(["echo", "again"]).stdout == b"again\n"
