"""The reference pages are what the schemas say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from hythe.provider.registry import Registry

ROOT = Path(__file__).resolve().parents[2]


def test_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "kinddocs.py"), "--check"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_argument_of_every_kind_has_a_row() -> None:
    registry = Registry()
    for name in registry.names():
        page = (ROOT / "docs" / "kinds" / f"{name}.md").read_text()
        for argument, spec in registry.kind(name).schema.attributes.items():
            assert f"`{argument}`" in page, f"{name}.{argument} is missing"
            assert spec.description.strip().endswith((".", ")")), f"{name}.{argument}: {spec.description!r}"


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"
