"""The encryption block: what it may say, what is wrong with it, and where keys come from."""

from __future__ import annotations

import base64
import os
import shutil
import sys
import textwrap
from pathlib import Path

import pytest

from hythe.cli import main
from hythe.modules.config import Config, Module, Settings, SettingsBlock
from hythe.modules.encryption import read_settings, withheld
from hythe.modules.syntax import parse

PASSPHRASE = "correct horse battery staple"
BASE = """
key_provider "pbkdf2" "main" {
  passphrase    = var.passphrase
  iterations    = 200000
  hash_function = "sha256"
}
method "aes_gcm" "new" {
  keys = key_provider.pbkdf2.main
}
state {
  method = method.aes_gcm.new
}
"""
RESOURCE = """
variable "passphrase" {
  type      = string
  sensitive = true
}
resource "value" "a" {
  input = "the-secret-value"
}
"""


def block(text: str) -> SettingsBlock:
    body, found = parse(text, "main.hcl")
    assert not found
    return SettingsBlock("", body, body.source.range(0, 1))


def wrong(text: str, environment: str = "") -> list[str]:
    """The summaries of what is wrong, each detail checked for its form."""
    _, found = read_settings(block(text), environment)
    assert all(d.detail.endswith((".", "?")) and d.range is not None for d in found)
    return [d.summary for d in found]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BASE, []),
        ("", []),
        ('key_provider "kms" "x" {}', ["Unsupported key provider"]),
        ('method "aes_cbc" "x" {}', ["Unsupported encryption method"]),
        ('method "aes_gcm" {}', ["Invalid block labels"]),
        ('method "aes_gcm" "x" {}', ["Missing required argument"]),
        ('key_provider "pbkdf2" "x" {}', ["Missing required argument"]),
        ('key_provider "file" "x" {\n path = "k"\n pth = "k"\n}', ["Unsupported argument"]),
        ('method "aes_gcm" "x" { keys = key_provider.file.none }', ["Reference to undeclared block"]),
        ('method "aes_gcm" "x" { keys = 1 }', ["Invalid reference"]),
        ('method "aes_gcm" "x" { keys = key_provider.file }', ["Invalid reference"]),
        ("state {}", ["Missing required argument"]),
        ("state { enforced = true }", ["Encryption enforced"]),
        ("state { method = method.aes_gcm.none }", ["Reference to undeclared block"]),
        ("state { enforced = var.x }", ["Unsuitable value type", "Missing required argument"]),
        (BASE + "state {}", ["Duplicate block state"]),
        (BASE + 'key_provider "pbkdf2" "main" {}', ["Duplicate block key_provider"]),
        ("remote_state_data_sources {}", ["Unsupported block type"]),
        ("passphrase = 1", ["Unsupported argument"]),
        (BASE + "plan {\n method = method.aes_gcm.new\n fallback {}\n}", ["Missing required argument"]),
        (
            BASE
            + 'method "unencrypted" "m" {}\nplan {\n method = method.aes_gcm.new\n enforced = true\n'
            + "fallback {\n method = method.unencrypted.m\n}\n}",
            ["Encryption enforced"],
        ),
    ],
)
def test_mistakes(text: str, said: list[str]) -> None:
    assert wrong(text) == said


def test_the_environment_wins_and_adds() -> None:
    settings, found = read_settings(
        block(BASE + "plan { enforced = true }"),
        'key_provider "pbkdf2" "main" { iterations = 300000 }\n'
        'key_provider "file" "k" { path = "k" }\n'
        'method "aes_gcm" "new" { keys = key_provider.file.k }\n'
        'method "aes_gcm" "old" { keys = key_provider.pbkdf2.main }\n'
        "state {\n fallback { method = method.aes_gcm.old }\n}\n"
        "plan { method = method.aes_gcm.new }\n",
    )
    assert found == []
    assert settings is not None
    assert [m.address for m in settings.chain("state")] == ["method.aes_gcm.new", "method.aes_gcm.old"]
    assert [getattr(settings.provider_of(m), "address", None) for m in settings.chain("state")] == [
        "key_provider.file.k",
        "key_provider.pbkdf2.main",
    ]
    assert sorted(settings.providers["key_provider.pbkdf2.main"].arguments) == [
        "hash_function",
        "iterations",
        "passphrase",
    ]
    assert settings.purposes["plan"].enforced


@pytest.mark.parametrize("keys", ["${key_provider.file.k}", "key_provider.file.k"])
def test_json_in_the_environment(keys: str) -> None:
    text = (
        '{"key_provider": {"file": {"k": {"path": "k"}}}, "method": {"aes_gcm": {"m": {"keys": "%s"}}},'
        ' "state": {"method": "${method.aes_gcm.m}", "fallback": {"method": "method.aes_gcm.m"}}}'
    )
    settings, found = read_settings(None, text % keys)
    assert found == []
    assert settings is not None
    assert [m.name for m in settings.chain("state")] == ["m", "m"]


def test_broken_text_in_the_environment_is_told() -> None:
    for text in ('key_provider "file" {', "{", "{}}"):
        _, found = read_settings(None, text)
        assert found
        assert all(d.is_error for d in found)
        assert {d.range.filename for d in found if d.range} == {"HYTHE_ENCRYPTION"}


def test_variables_that_keys_are_made_of_are_known() -> None:
    body, _ = parse('locals {\n  salted = "${var.first}-${local.more}"\n  more = var.second\n}', "main.hcl")
    module = Module(".")
    from hythe.modules.declarations import collect

    collect(module, {"main.hcl": body.source.text + '\nvariable "unused" {}'}, [])
    module.settings = Settings(
        encryption=block('key_provider "pbkdf2" "m" { passphrase = "${local.salted}${var.third}" }')
    )
    assert withheld(Config(".", module, {}), "") == {"first", "second", "third"}


# -- commands ---------------------------------------------------------------------------------------


class Shell:
    """Runs commands in a folder and keeps what they printed."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.said = self.out = ""

    def __call__(self, *words: str) -> int:
        code = main.run(words)
        self.out, err = self.capsys.readouterr()
        self.said = " ".join((self.out + err).split())
        assert "bug in Hythe" not in self.said
        assert PASSPHRASE not in self.said
        return code

    def settings(self, text: str, more: str = RESOURCE) -> None:
        (self.folder / "main.hcl").write_text("hythe {\n  encryption {\n" + text + "\n  }\n}\n" + more)

    def apply(self, *words: str) -> int:
        return self("apply", "--auto-approve", *words)

    def begin_anew(self) -> None:
        """Remove the state with all that is left of those before."""
        for path in self.folder.glob("hythe.state.json*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def clear(self) -> list[str]:
        """Files that hold the secret value or the passphrase in clear, the configuration apart."""
        return sorted(
            str(p.relative_to(self.folder))
            for p in self.folder.rglob("*")
            if p.is_file()
            and p.suffix != ".hcl"
            and any(s in p.read_bytes() for s in (b"the-secret-value", PASSPHRASE.encode()))
        )


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    for name in [n for n in os.environ if n.startswith("HYTHE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HYTHE_VAR_passphrase", PASSPHRASE)
    monkeypatch.chdir(tmp_path)
    return Shell(tmp_path, capsys)


def test_nothing_is_in_clear(shell: Shell) -> None:
    shell.settings(BASE + "plan { method = method.aes_gcm.new }")
    assert shell("init") == 0
    assert shell("plan", "--out", "p") == 0
    assert shell("apply", "p") == 0
    assert shell("plan", "--out", "p", "--detailed-exitcode") == 0
    assert shell("plan", "--destroy", "--out", "d") == 0
    assert shell.clear() == []
    assert shell("show", "d") == 0
    assert "value.a will be destroyed" in shell.out
    assert shell("show", "--json", "d") == 0
    assert "the-secret-value" in shell.out
    assert shell("graph", "--type=plan", "--plan", "d") == 0
    assert shell("state", "list") == 0
    assert shell.out == "value.a\n"
    assert shell("state", "pull") == 0
    assert shell.out.startswith('{"hythe_state":')
    (shell.folder / "pulled.txt").write_text(shell.out)
    assert shell("state", "mv", "value.a", "value.b") == 0
    assert shell("state", "push", "--force", "pulled.txt") == 0
    (shell.folder / "pulled.txt").unlink()
    assert shell.clear() == []
    assert shell("state", "push", "hythe.state.json") == 1
    assert "State is encrypted" in shell.said


def test_keys_are_told_apart(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.settings(BASE)
    assert shell.apply() == 0
    before = (shell.folder / "hythe.state.json").read_bytes()
    for command in (("state", "list"), ("plan",), ("output",), ("destroy", "--auto-approve")):
        monkeypatch.setenv("HYTHE_VAR_passphrase", "quite another passphrase")
        assert shell(*command) == 1
        assert "Error: Wrong encryption key" in shell.said
        assert "quite another" not in shell.said
        monkeypatch.delenv("HYTHE_VAR_passphrase")
        assert shell(*command) == 1
        plans = command[0] in ("plan", "destroy")
        assert ("No value for required variable" if plans else "Encryption key not known") in shell.said
    monkeypatch.setenv("HYTHE_VAR_passphrase", "too short")
    assert shell("state", "list") == 1
    assert "at least 16 characters" in shell.said
    monkeypatch.setenv("HYTHE_VAR_passphrase", PASSPHRASE)
    (shell.folder / "main.hcl").write_text(RESOURCE)
    assert shell("state", "list") == 1
    assert "Error: State is encrypted" in shell.said
    (shell.folder / "main.hcl").write_text(RESOURCE + "hythe {\n  encryption {\n    state { method = \n")
    assert shell("state", "rm", "value.a") == 1
    assert (shell.folder / "hythe.state.json").read_bytes() == before


def test_a_variable_from_the_command_line_a_local_and_a_file(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HYTHE_VAR_passphrase")
    shell.settings(BASE.replace("var.passphrase", "local.p"), RESOURCE + 'locals { p = "${var.passphrase}" }')
    assert shell.apply(f"--var=passphrase={PASSPHRASE}") == 0
    assert shell.clear() == []
    assert shell("destroy", "--auto-approve", f"--var=passphrase={PASSPHRASE}") == 0
    (shell.folder / "hythe.hclvars").write_text(f'passphrase = "{PASSPHRASE}"\n')
    assert shell("state", "list") == 0


def test_plans_do_not_carry_the_passphrase(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.settings(BASE)
    assert shell("plan", "--out", "p") == 0
    assert "Warning: Plan is not encrypted" in shell.said
    assert PASSPHRASE.encode() not in (shell.folder / "p").read_bytes()
    assert shell("apply", "p") == 0
    assert shell("state", "list") == 0


def test_plans_are_told_apart_too(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    both = BASE + "plan { method = method.aes_gcm.new }"
    shell.settings(BASE)
    assert shell("plan", "--out", "plain") == 0
    shell.settings(both)
    assert shell("apply", "plain") == 1
    assert "Plan is not encrypted" in shell.said
    assert shell("plan", "--out", "p") == 0
    shell.settings(BASE)
    assert shell("show", "p") == 1
    assert "Error: Plan is encrypted" in shell.said
    shell.settings(both)
    monkeypatch.setenv("HYTHE_VAR_passphrase", "quite another passphrase")
    assert shell("apply", "p") == 1
    assert "Wrong encryption key" in shell.said
    monkeypatch.setenv("HYTHE_VAR_passphrase", PASSPHRASE)
    assert shell.apply() == 0
    assert shell("show", "hythe.state.json") == 0
    (shell.folder / "p").write_bytes((shell.folder / "hythe.state.json").read_bytes())
    assert shell("apply", "p") == 1
    assert "Not a plan file" in shell.said
    assert shell("plan", "--destroy", "--out", "hythe.state.json.copy") == 0
    assert shell("state", "list", "--state=hythe.state.json.copy") == 1
    assert "Not a state file" in shell.said


def test_rotation(shell: Shell) -> None:
    old = BASE.replace("new", "old").replace("main", "first")
    shell.settings(old)
    assert shell.apply() == 0
    both = (
        old[: old.index("state {")]
        + BASE[: BASE.index("state {")].replace("var.passphrase", '"${var.passphrase} again"')
        + "state {\n method = method.aes_gcm.new\n enforced = true\n fallback { method = method.aes_gcm.old }\n}\n"
    )
    shell.settings(both)
    assert shell("plan", "--detailed-exitcode") == 0
    assert shell.apply() == 0
    assert "0 added" in shell.said
    new = BASE.replace("var.passphrase", '"${var.passphrase} again"')
    shell.settings(new)
    assert shell("state", "list") == 0
    assert shell.out == "value.a\n"
    shell.settings(old)
    assert shell("state", "list") == 1
    assert "Wrong encryption key" in shell.said


def test_from_plain_to_sealed_and_back(shell: Shell) -> None:
    shell.settings("")
    assert shell.apply() == 0
    assert "hythe.state.json" in shell.clear()
    shell.settings(BASE)
    assert shell.apply() == 1
    assert "Error: State is not encrypted" in shell.said
    migrate = BASE.replace("  method = method.aes_gcm.new\n", "  method = method.aes_gcm.new\n  fallback {\nX\n}\n")
    migrate = migrate.replace("X", "method = method.unencrypted.migrate") + 'method "unencrypted" "migrate" {}'
    shell.settings(migrate)
    assert shell.apply() == 0
    shell.settings(BASE.replace("state {", "state {\n  enforced = true"))
    assert shell.apply() == 0
    # backup and version of before the migration are what they were
    assert shell.clear() == ["hythe.state.json.backup", "hythe.state.json.history/000001.json"]
    back = migrate.replace("method.unencrypted.migrate", "method.aes_gcm.other")
    back = back.replace("  method = method.aes_gcm.new", "  method = method.unencrypted.migrate")
    shell.settings(back.replace("aes_gcm.other", "aes_gcm.new"))
    assert shell.apply() == 0
    shell.settings("")
    assert shell("state", "list") == 0


def test_the_environment_alone(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.settings("state { enforced = true }", RESOURCE[RESOURCE.index("resource") :])
    monkeypatch.delenv("HYTHE_VAR_passphrase")
    assert shell.apply() == 1
    assert "Encryption enforced" in shell.said
    assert not (shell.folder / "hythe.state.json").exists()
    monkeypatch.setenv("HYTHE_ENCRYPTION", BASE.replace("var.passphrase", f'"{PASSPHRASE}"'))
    assert shell.apply() == 0
    assert shell.clear() == []
    monkeypatch.setenv("HYTHE_ENCRYPTION", BASE.replace("var.passphrase", f'"{PASSPHRASE}" oops'))
    assert shell.apply() == 1


def test_a_passphrase_in_the_file_is_not_quoted(shell: Shell) -> None:
    line = f'key_provider "pbkdf2" "main" {{ passphrase = "{PASSPHRASE}" }}'
    shell.settings(f'{line}\nmethod "aes_gcm" "m" {{ keys = key_provider.pbkdf2.main }}\nstate {{ method = 1 }}')
    assert shell("validate") == 1
    shell.settings(line.replace("passphrase =", "passphrase  =").replace("}", ", iterations = 1 }"))
    assert shell("validate") == 1
    shell.settings(line.replace("key_provider", "key_provder"))
    assert shell("validate") == 1
    assert "*" * len(PASSPHRASE) in shell.said


@pytest.mark.parametrize("form", ["raw", "hex", "base64"])
def test_key_files(shell: Shell, form: str) -> None:
    key = os.urandom(32)
    path = shell.folder / "key.bin"
    path.write_bytes({"raw": key, "hex": key.hex().encode() + b"\n", "base64": base64.b64encode(key)}[form])
    path.chmod(0o644)
    shell.settings(
        'key_provider "file" "k" { path = "key.bin" }\n'
        'method "aes_gcm" "m" { keys = key_provider.file.k }\nstate { method = method.aes_gcm.m }'
    )
    assert shell.apply() == 0
    assert "Warning: Key file not private" in shell.said
    path.chmod(0o600)
    assert shell("state", "list") == 0
    assert "Warning" not in shell.said
    assert shell.clear() == []
    path.write_bytes(b"short")
    assert shell("state", "list") == 1
    assert "Invalid key file" in shell.said
    path.unlink()
    assert shell("plan") == 1
    assert "Key file not readable" in shell.said


PROGRAM = f"#!{sys.executable}\n" + textwrap.dedent(
    """
    import base64, json, sys
    print(json.dumps({"magic": "OpenTofu-External-Key-Provider", "version": 1}), flush=True)
    given = json.load(sys.stdin)
    number = 0 if given is None else given["external_data"]["n"]
    key = lambda n: base64.b64encode(bytes([n]) * 32).decode()
    keys = {"encryption_key": key(number + 1)}
    if given is not None:
        keys["decryption_key"] = key(number)
    print(json.dumps({"keys": keys, "meta": {"external_data": {"n": number + 1}}}))
    """
)


def test_key_programs(shell: Shell) -> None:
    program = shell.folder / "key-program"
    shell.settings(
        'key_provider "external" "k" { command = ["./key-program", "a b"] }\n'
        'method "aes_gcm" "m" { keys = key_provider.external.k }\nstate { method = method.aes_gcm.m }'
    )
    assert shell.apply() == 1
    assert "Key program failed" in shell.said
    program.write_text(PROGRAM)
    program.chmod(0o700)
    assert shell.apply() == 0
    assert shell("state", "mv", "value.a", "value.b") == 0
    assert shell("state", "list") == 0
    assert shell.out == "value.b\n"
    program.write_text("#!/bin/sh\necho no such vault >&2\nexit 3\n")
    assert shell("state", "list") == 1
    assert "exit code 3 (no such vault)" in shell.said
    program.write_text("#!/bin/sh\necho '{}'\n")
    assert shell("state", "list") == 1
    assert "of no use" in shell.said
    shell.begin_anew()
    program.write_text(f'#!/bin/sh\n[ "$1" = "a b" ] && echo {"ab" * 32}\n')
    assert shell.apply() == 0
    assert shell("state", "list") == 0


def test_logs_hold_no_passphrase(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYTHE_LOG", "trace")
    shell.settings(BASE, RESOURCE.replace("sensitive = true", ""))
    assert shell.apply() == 0
    assert "DEBUG" in shell.said


def test_what_the_page_shows_works(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "encryption.md").read_text()
    whole, demand, migrate, rotate = (b.partition("\n```")[0] for b in page.split("```hcl\n")[1:])
    (shell.folder / "main.hcl").write_text(whole)
    assert shell.apply() == 0
    assert shell("output") == 0
    inner = whole[whole.index("key_provider") : whole.index("    state {")]
    monkeypatch.setenv("HYTHE_ENCRYPTION", inner + "state { method = method.aes_gcm.main }")
    (shell.folder / "main.hcl").write_text(demand + RESOURCE)
    assert shell("state", "list") == 0
    assert shell.out == "random.password\n"
    monkeypatch.setenv("HYTHE_ENCRYPTION", inner + rotate)
    monkeypatch.setenv("HYTHE_VAR_new_passphrase", PASSPHRASE[::-1])
    (shell.folder / "main.hcl").write_text(demand + RESOURCE + 'variable "new_passphrase" {}')
    assert shell.apply() == 0
    monkeypatch.setenv("HYTHE_ENCRYPTION", inner + "state { method = method.aes_gcm.main }")
    assert shell("state", "list") == 1
    monkeypatch.setenv("HYTHE_ENCRYPTION", inner + migrate)
    (shell.folder / "main.hcl").write_text(RESOURCE)
    shell.begin_anew()
    assert shell.apply() == 0


def test_what_needs_no_key_works_without(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.settings(BASE + "plan { method = method.aes_gcm.new }")
    (shell.folder / "a.test.hcl").write_text('run "r" {\n  command = apply\n}\n')
    assert shell("test") == 0
    monkeypatch.setenv("HYTHE_ENCRYPTION", "state { method = method.aes_gcm.new }")
    assert shell("test") == 0
    monkeypatch.delenv("HYTHE_ENCRYPTION")
    monkeypatch.delenv("HYTHE_VAR_passphrase")
    assert shell("validate") == 0
    assert shell("force-unlock", "some-id") == 0
    assert "Nobody holds the lock" in shell.said
