"""Encryption as a user has it: nothing in clear on the disk, also after a kill in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.scenarios.conftest import Run

PASSPHRASE = "correct horse battery staple"
ROTATED = "another horse, another staple"
SECRET = "wJalrXUtnFEMI"
ENCRYPTION = """
    key_provider "pbkdf2" "main" {
      passphrase = var.passphrase
      iterations = 200000
    }
    method "aes_gcm" "main" {
      keys = key_provider.pbkdf2.main
    }
"""
PURPOSES = """
    state {
      method   = method.aes_gcm.main
      enforced = true
    }
    plan {
      method   = method.aes_gcm.main
      enforced = true
    }
"""
CONFIGURATION = """
variable "passphrase" {
  type      = string
  sensitive = true
}

resource "random" "password" {
  type   = "password"
  length = 24
}

resource "value" "secret" {
  count = COUNT
  input = "%s-${count.index}"
}

output "password" {
  value     = random.password
  sensitive = true
}
""" % (SECRET)  # noqa: UP031 - braces mean something else here


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, ENCRYPTION + PURPOSES)
    return tmp_path


def write(folder: Path, encryption: str, count: int = 20) -> None:
    more = CONFIGURATION.replace("COUNT", str(count))
    (folder / "main.hcl").write_text(f"hythe {{\n  encryption {{{encryption}}}\n}}\n{more}")


def in_clear(folder: Path, *more: str) -> list[str]:
    """Files but the configuration that hold a secret, or the address of anything."""
    secrets = [s.encode() for s in (SECRET, PASSPHRASE, "value.secret", *more)]
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix != ".hcl"]
    assert files
    return [str(p.relative_to(folder)) for p in files if any(s in p.read_bytes() for s in secrets)]


def test_from_plan_to_rotation(run: Run, folder: Path) -> None:
    given = {"passphrase": PASSPHRASE}
    assert run(folder, "init", variables=given).code == 0
    assert run(folder, "plan", "--out", "first.plan", variables=given).code == 0
    assert run(folder, "apply", "first.plan", variables=given).code == 0
    assert run(folder, "plan", "--detailed-exitcode", variables=given).code == 0
    password = run(folder, "output", "--json", "password", variables=given).out
    assert in_clear(folder) == []

    wrong = run(folder, "plan", variables={"passphrase": ROTATED})
    assert wrong.code == 1
    assert "Error: Wrong encryption key" in wrong.err
    missing = run(folder, "state", "list")
    assert missing.code == 1
    assert "HYTHE_VAR_passphrase" in missing.err
    state = (folder / "hythe.state.json").read_bytes()

    fallback = "fallback {\n        method = method.aes_gcm.old\n      }\n    }\n    plan"
    old = ENCRYPTION.replace('"main"', '"old"').replace("pbkdf2.main", "pbkdf2.old")
    old = old.replace("var.passphrase", f'"{PASSPHRASE}"')
    write(folder, ENCRYPTION + old + PURPOSES.replace("}\n    plan", fallback))
    given = {"passphrase": ROTATED}
    assert run(folder, "plan", "--detailed-exitcode", variables=given).code == 0
    assert (folder / "hythe.state.json").read_bytes() == state
    assert run(folder, "apply", "--auto-approve", variables=given).code == 0
    write(folder, ENCRYPTION + PURPOSES)
    assert run(folder, "plan", "--detailed-exitcode", variables=given).code == 0
    assert run(folder, "output", "--json", "password", variables=given).out == password
    assert run(folder, "state", "list", variables={"passphrase": PASSPHRASE}).code == 1
    assert in_clear(folder, ROTATED) == []


def test_killed_in_the_middle(run: Run, folder: Path) -> None:
    write(folder, ENCRYPTION + PURPOSES, 2000)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HYTHE_")}
    environment["HYTHE_VAR_passphrase"] = PASSPHRASE
    journal = folder / "hythe.state.json.journal"
    process = subprocess.Popen(
        [sys.executable, "-m", "hythe", "apply", "--auto-approve"],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not (journal.exists() and journal.stat().st_size > 20_000):
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.001)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert journal.exists()
    assert in_clear(folder) == []
    given = {"passphrase": PASSPHRASE}
    assert "Wrong encryption key" in run(folder, "plan", variables={"passphrase": ROTATED}).err
    assert run(folder, "plan", "--detailed-exitcode", variables=given).code == 2
    assert run(folder, "apply", "--auto-approve", variables=given).code == 0
    assert run(folder, "plan", "--detailed-exitcode", variables=given).code == 0
    assert len(run(folder, "state", "list", variables=given).out.split()) == 2001
    assert not journal.exists()
    assert in_clear(folder) == []


def test_settings_from_the_environment(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration asks for encryption, and only the environment says how."""
    write(folder, "\n    state {\n      enforced = true\n    }\n")
    refused = run(folder, "apply", "--auto-approve", variables={"passphrase": "unused and long enough"})
    assert refused.code == 1
    assert "Encryption enforced" in refused.err
    text = (ENCRYPTION + PURPOSES).replace("var.passphrase", f'"{PASSPHRASE}"')
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HYTHE_")}
    environment |= {"HYTHE_ENCRYPTION": text, "HYTHE_VAR_passphrase": "unused and long enough"}
    for command, code in (("apply --auto-approve", 0), ("plan --detailed-exitcode", 0), ("state list", 0)):
        done = subprocess.run(
            [sys.executable, "-m", "hythe", *command.split()],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == code, done.stderr
        assert PASSPHRASE not in done.stdout + done.stderr
    assert in_clear(folder) == []
