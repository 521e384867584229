"""Every kind can be imported, and what was imported as it is declared leaves nothing to do."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hythe.cli import main
from hythe.provider.protocol import Kind
from hythe.provider.registry import Registry

UUID = "0f0e0d0c-0000-4000-8000-000000000000"
HERE = "FOLDER"

CASES: dict[str, tuple[str, str]] = {
    "value, a text": ('resource "value" "x" { input = "text" }', "text"),
    "value, a number": ('resource "value" "x" { input = 5 }', "5"),
    "value, a tree": ('resource "value" "x" {\n input = { a = ["x", 1.5] }\n triggers = ["t"]\n}', '{"a":["x",1.5]}'),
    "random, a password": (
        'resource "random" "x" {\n type = "password"\n length = 7\n special = false\n min_numeric = 1\n}',
        "password/hunter2",
    ),
    "random, a text": (
        'resource "random" "x" {\n type = "string"\n length = 3\n keepers = { a = "b" }\n}',
        "string/abc",
    ),
    "random, a uuid": ('resource "random" "x" { type = "uuid" }', f"uuid/{UUID}"),
    "random, an integer": ('resource "random" "x" {\n type = "integer"\n min = 1\n max = 10\n}', "integer/5"),
    "random, a name": (
        'resource "random" "x" {\n type = "pet"\n length = 3\n prefix = "web"\n}',
        "pet/web-so-cool-cat",
    ),
    "random, an id": ('resource "random" "x" {\n type = "id"\n byte_length = 4\n}', "id/AAAAAQ"),
    "random, an id with a prefix": (
        'resource "random" "x" {\n type = "id"\n byte_length = 4\n prefix = "web-"\n}',
        "id/web-,AAAAAQ",
    ),
    "random, an order": (
        'resource "random" "x" {\n type = "shuffle"\n input = ["a", "b", "c"]\n result_count = 2\n}',
        'shuffle/["c","a"]',
    ),
    "tls, a key as it is by default": ('resource "tls" "x" { type = "private_key" }', "key.pem"),
    "tls, another key": ('resource "tls" "x" {\n type = "private_key"\n algorithm = "ECDSA"\n}', "ec.pem"),
    "file, by text": ('resource "file" "x" {\n path = "FOLDER/there"\n content = "hello"\n}', "FOLDER/there"),
    "file, by source": (
        'resource "file" "x" {\n path = "FOLDER/there"\n source = "there"\n overwrite = true\n}',
        "FOLDER/there",
    ),
    "file, secret": (
        'resource "file" "x" {\n path = "FOLDER/there"\n sensitive_content = "hello"\n mode = "0644"\n}',
        "FOLDER/there",
    ),
    "command, a script": (
        'resource "command" "x" {\n create = "touch FOLDER/ran"\n environment = { A = "b" }\n delete = "true"\n}',
        "touch FOLDER/ran",
    ),
    "command, a list": (
        'resource "command" "x" { create = ["sh", "-c", "touch FOLDER/ran"] }',
        "sh -c 'touch FOLDER/ran'",
    ),
    "host": ('resource "host" "x" {}', "local"),
}
LIVE = {"container", "image", "network", "volume", "disk_image", "vm"}
"""Kinds whose imports are tested with engines, for each of their arguments (tests/live)."""

MISFITS = {
    "random, too long": ('resource "random" "x" {\n type = "password"\n length = 8\n}', "password/hunter2"),
    "random, forbidden": (
        'resource "random" "x" {\n type = "string"\n length = 3\n upper = false\n}',
        "string/aBc",
    ),
    "random, out of range": ('resource "random" "x" {\n type = "integer"\n min = 6\n max = 10\n}', "integer/5"),
    "random, another order": (
        'resource "random" "x" {\n type = "shuffle"\n input = ["a", "b"]\n}',
        'shuffle/["a","a"]',
    ),
    "tls": ('resource "tls" "x" {\n type = "private_key"\n algorithm = "RSA"\n}', "key.pem"),
    "file": ('resource "file" "x" {\n path = "FOLDER/there"\n content = "bye"\n}', "FOLDER/there"),
    "command": ('resource "command" "x" { create = "false" }', "true"),
    "value": ('resource "value" "x" { input = 6 }', "5"),
}
"""What was imported and is not as declared: the plan must say so."""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    (tmp_path / "there").write_text("hello")
    (tmp_path / "there").chmod(0o644)
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str]:
        code = main.run([w.replace(HERE, str(tmp_path)) for w in words])
        told = capsys.readouterr()
        return code, told.out + told.err

    def write(text: str) -> str:
        (tmp_path / "main.hcl").write_text(text.replace(HERE, str(tmp_path)) + "\n")
        return text.split('"')[1]

    run.write = write  # type: ignore[attr-defined]
    return run


def make_keys() -> None:
    for argv in (
        ("ed25519", "key.pem"),
        ("EC", "ec.pem", "-pkeyopt", "ec_paramgen_curve:P-256"),
    ):
        algorithm, name, *more = argv
        command = ["openssl", "genpkey", "-algorithm", algorithm, "-out", name, *more]
        subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("case", sorted(CASES))
def test_what_is_imported_as_declared_leaves_nothing_to_do(shell: Any, tmp_path: Path, case: str) -> None:
    make_keys()
    text, id = CASES[case]
    kind = shell.write(text)
    code, told = shell("import", f"{kind}.x", id)
    assert code == 0, told
    code, told = shell("plan", "-detailed-exitcode")
    assert code == 0, told
    assert not (tmp_path / "ran").exists()
    # and by a block, in one step with its approval
    (tmp_path / "hythe.state.json").unlink()
    shell.write(text + f"\nimport {{\n to = {kind}.x\n id = {json.dumps(id)}\n}}")
    code, told = shell("apply", "-auto-approve")
    assert code == 0, told
    assert "1 imported, 0 added, 0 changed" in told.replace("Imported", "imported"), told
    assert shell("plan", "-detailed-exitcode")[0] == 0


@pytest.mark.parametrize("case", sorted(MISFITS))
def test_what_is_not_as_declared_shows(shell: Any, case: str) -> None:
    make_keys()
    text, id = MISFITS[case]
    kind = shell.write(text)
    code, told = shell("import", f"{kind}.x", id)
    assert code == 0, told
    assert shell("plan", "-detailed-exitcode")[0] == 2


def test_what_is_declared_secret_stays_so(shell: Any) -> None:
    shell.write('resource "value" "x" { input = sensitive("hunter2") }')
    assert shell("import", "value.x", "hunter2")[0] == 0
    assert "hunter2" not in shell("state", "show", "value.x")[1]


def test_every_kind_has_a_case() -> None:
    registry = Registry()
    for name in registry.names():
        kind = type(registry.kind(name))
        assert kind.import_object is not Kind.import_object, f"{name} cannot be imported"
    tested = {text.split('"')[1] for text, _ in CASES.values()}
    assert tested | LIVE == set(registry.names())


def test_every_kind_says_what_a_rebuild_brings_back() -> None:
    registry = Registry()
    for name in registry.names():
        assert registry.kind(name).rebuild_note.endswith("."), name
