"""Random values: made once, kept, and as the arguments say."""

from __future__ import annotations

import base64
import io
import re
import string
import uuid
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from hythe.cli import main
from hythe.provider.generated.random_kind import SPECIAL, Random
from hythe.provider.generated.words import ADJECTIVES, ADVERBS, NAMES
from hythe.provider.protocol import ProviderError

KIND = Random()


def make(**arguments: Any) -> dict[str, Any]:
    desired, problems = KIND.schema.decode(arguments)
    assert problems == []
    return KIND.create(None, desired)  # type: ignore[arg-type]


def test_a_password_is_made_of_what_is_asked_for() -> None:
    made = make(type="password", length=40, min_upper=10, min_numeric=10, min_special=10, override_special="_-")
    text = made["password"]
    assert len(text) == 40
    assert made["result"] == text
    assert sum(c in string.ascii_uppercase for c in text) >= 10
    assert sum(c in string.digits for c in text) >= 10
    assert sum(c in "_-" for c in text) >= 10
    assert not set(text) & set(SPECIAL) - set("_-")
    assert bcrypt.checkpw(text.encode(), made["bcrypt_hash"].encode())
    assert make(type="password", length=40) != make(type="password", length=40)


def test_a_long_password_has_a_hash_too() -> None:
    assert make(type="password", length=200)["bcrypt_hash"].startswith("$2b$")


@pytest.mark.parametrize("off", ["lower", "upper", "numeric", "special"])
def test_a_class_of_characters_is_left_out(off: str) -> None:
    alphabet = {
        "lower": string.ascii_lowercase,
        "upper": string.ascii_uppercase,
        "numeric": string.digits,
        "special": SPECIAL,
    }[off]
    assert not set(make(type="string", length=500, **{off: False})["result"]) & set(alphabet)


def test_an_id_in_all_its_forms() -> None:
    made = make(type="id", byte_length=5, prefix="x-")
    data = bytes.fromhex(made["hex"].removeprefix("x-"))
    assert len(data) == 5
    assert made["dec"] == f"x-{int.from_bytes(data)}"
    assert base64.b64decode(made["b64_std"].removeprefix("x-")) == data
    assert made["result"] == made["b64_url"] == "x-" + base64.urlsafe_b64encode(data).decode().rstrip("=")


def test_numbers_names_orders() -> None:
    assert {make(type="integer", min=-1, max=1)["result"] for _ in range(200)} == {-1, 0, 1}
    assert make(type="integer", min=1, max=10**30, seed="s") == make(type="integer", min=1, max=10**30, seed="s")
    pet = make(type="pet", length=3, prefix="p", separator="_")["result"].split("_")
    assert pet[0] == "p"
    assert (pet[1] in ADVERBS, pet[2] in ADJECTIVES, pet[3] in NAMES) == (True, True, True)
    assert re.fullmatch(r"[a-z]+-[a-z]+", make(type="pet")["result"])
    assert make(type="pet", length=1)["result"] in NAMES
    given = [str(n) for n in range(30)]
    assert sorted(make(type="shuffle", input=given)["result"]) == sorted(given)
    assert len(make(type="shuffle", input=given, result_count=70)["result"]) == 70
    assert len(set(make(type="shuffle", input=given, result_count=20)["result"])) == 20
    assert uuid.UUID(make(type="uuid")["result"]).version == 4


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"type": "password"}, "needs `length`"),
        ({"type": "pet", "byte_length": 3}, "`byte_length` is for type id, and this is of type"),
        ({"type": "integer", "min": 3, "max": 2}, "larger than `max`"),
        ({"type": "string", "length": 3, "min_upper": 2, "min_lower": 2}, "add up to 4"),
        ({"type": "string", "length": 3, "upper": False, "min_upper": 2}, "rules out"),
        (
            {"type": "string", "length": 3, **dict.fromkeys(("lower", "upper", "numeric", "special"), False)},
            "has to be true",
        ),
        ({"type": "shuffle", "input": [], "result_count": 2}, "nothing in `input`"),
        ({"type": "string", "length": 0}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_made(arguments: dict[str, Any], word: str) -> None:
    _, problems = KIND.schema.decode(arguments)
    assert word in " ".join(map(str, problems))


@pytest.mark.parametrize(
    ("id", "wanted"),
    [
        ("string/a/b", {"type": "string", "length": 3, "result": "a/b"}),
        ("integer/-5", {"type": "integer", "min": -5, "max": -5, "result": -5}),
        ("id/AAE", {"byte_length": 2, "hex": "0001", "dec": "1"}),
        ("pet/a-b", {"result": "a-b"}),
        ("password/hunter2", {"password": "hunter2", "length": 7}),
        ("uuid/x", None),
        ("integer/x", None),
        ("shuffle/x", None),
        ("hunter2", None),
    ],
)
def test_imported(id: str, wanted: dict[str, Any] | None) -> None:
    if wanted is None:
        with pytest.raises(ProviderError, match="Not a random value"):
            KIND.import_object(None, id)  # type: ignore[arg-type]
    else:
        assert wanted.items() <= KIND.import_object(None, id).items()  # type: ignore[arg-type]


CONFIG = """\
variable "release" { default = "1" }
resource "random" "db" {
  type    = "password"
  length  = 20
  keepers = { release = var.release }
}
resource "random" "name" { type = "pet" }
output "name" { value = random.name.result }
output "password" {
  value     = random.db.password
  sensitive = true
}
"""


def test_kept_from_apply_to_apply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    (tmp_path / "main.hcl").write_text(CONFIG)

    def output(name: str) -> str:
        capsys.readouterr()
        assert main.run(["output", "--raw", name]) == 0
        return capsys.readouterr().out

    assert main.run(["apply", "--auto-approve"]) == 0
    told = capsys.readouterr()
    before = output("password"), output("name")
    assert before[0] not in told.out + told.err
    assert main.run(["plan", "--detailed-exitcode"]) == 0
    assert before[0] not in capsys.readouterr().out
    assert main.run(["apply", "--auto-approve", "--var", "release=2"]) == 0
    after = output("password"), output("name")
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_what_another_type_has_is_known_to_be_missing_before_it_is_made(terminal: Any) -> None:
    terminal.write(
        """
resource "random" "name" { type = "pet" }
resource "value" "v" { input = "<${random.name.hex}>" }
"""
    )
    assert "The expression result is null" in terminal.refused("apply", "--auto-approve")
    assert terminal.fine("state", "list") == ""


def test_the_result_of_a_password_is_as_secret_as_the_password(terminal: Any) -> None:
    terminal.write(
        """
variable "type" { default = "password" }
resource "random" "r" {
  type   = var.type
  length = 20
}
resource "value" "v" { input = random.r.result }
output "result" {
  value     = random.r.result
  sensitive = true
}
"""
    )
    terminal.fine("apply", "--auto-approve")
    text = terminal.fine("output", "--raw", "result")
    assert len(text) == 20
    shown = terminal.fine("show") + terminal.fine("plan") + terminal.fine("state", "show", "value.v")
    assert "(sensitive value)" in shown
    assert text not in shown
    terminal.write((terminal.folder / "main.hcl").read_text().replace("  sensitive = true", ""))
    assert "refers to sensitive values" in terminal.refused("plan")
    terminal.fine("apply", "--auto-approve", "--var=type=string")
    assert terminal.fine("output", "--raw", "result") in terminal.fine("show")


def test_a_password_of_the_first_version_has_a_result_too() -> None:
    old = {"type": "password", "length": 3, "password": "abc", "bcrypt_hash": "x"}
    assert Random().upgrade(old, 1)["result"] == "abc"
