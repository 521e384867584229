"""The pages on functions are what their declarations say, and what these say is true."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from hythe.modules.language import evaluate
from hythe.modules.language.functions import registry
from hythe.modules.language.functions.registry import Environment
from hythe.modules.language.rendering import with_templates
from hythe.planner.inputs import RecordingReader

ROOT = Path(__file__).resolve().parents[2]


def test_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "functiondocs.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_function_is_on_a_page() -> None:
    told = "".join(path.read_text() for path in (ROOT / "docs" / "functions").glob("*.md"))
    assert [name for name in registry.names() if f"\n## {name}\n" not in told] == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("files")
    (made / "hello.txt").write_text("hello")
    (made / "greeting.tftpl").write_text("Hello, ${name}!")
    key = rsa.generate_private_key(65537, 2048)
    form, plain = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    (made / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    (made / "secret.bin").write_bytes(key.public_key().encrypt(b"hello", padding.PKCS1v15()))
    return made


@pytest.mark.parametrize("name", registry.names())
def test_it_is_described_and_its_examples_are_true(name: str, folder: Path) -> None:
    function = registry.lookup(name)
    assert function is not None
    assert function.description.endswith("."), name
    assert function.examples, name
    files = Environment(reader=RecordingReader(str(folder)), base_dir=str(folder), now=datetime.now(UTC))
    for example in function.examples:
        value, found = evaluate(example, {}, environment=with_templates(files))
        assert found == [], example
        assert value is True, example
