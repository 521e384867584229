"""What the documentation shows works: each configuration in it is planned as it stands there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hythe.provider.units import duration_seconds, parse_size

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_PART = "<!-- part -->"
"""Stands above a block that is no complete configuration."""


_FILE = re.compile(r"# (\S+/\S+\.hcl)\n")
"""The first line of a block that is a file of a module; it is there for all configurations of its page."""


@dataclass(frozen=True)
class Snippet:
    """A configuration on a page."""

    page: Path
    line: int
    text: str

    @property
    def file(self) -> str | None:
        """The module's file that it is, None for a configuration."""
        found = _FILE.match(self.text)
        return found[1] if found else None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def _snippets() -> list[Snippet]:
    out: list[Snippet] = []
    for page in PAGES:
        lines = page.read_text().splitlines()
        start: int | None = None
        for number, line in enumerate(lines, 1):
            if line == "```hcl":
                start = number
            elif line == "```" and start is not None:
                if _PART not in lines[max(start - 3, 0) : start]:
                    out.append(Snippet(page, start + 1, "\n".join(lines[start : number - 1]) + "\n"))
                start = None
    return out


def test_there_are_snippets() -> None:
    pages = {s.page.relative_to(ROOT).as_posix() for s in _snippets()}
    assert {"README.md", "docs/language.md", "docs/kinds/container.md"} <= pages


@pytest.mark.parametrize("snippet", [s for s in _snippets() if s.file is None], ids=str)
def test_snippet_is_a_configuration_that_can_be_planned(snippet: Snippet, tmp_path: Path, run: Any) -> None:
    (tmp_path / "main.hcl").write_text(snippet.text)
    for other in _snippets():
        if other.page == snippet.page and other.file is not None:
            (tmp_path / other.file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / other.file).write_text(other.text)
    # what snippets build is not the point
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "Dockerfile").write_text("FROM scratch\n")
    done = run(tmp_path, "plan", "--input=false")
    assert done.code == 0, f"{snippet}\n{done.err}"
    assert done.err == "", f"{snippet}\n{done.err}"
    assert re.match(r"Plan: [1-9]\d* to add, 0 to change, 0 to replace, 0 to destroy\.\n", done.out), done.out


def test_sizes_mean_what_the_language_page_says() -> None:
    assert {parse_size(text) for text in (1048576, "1MiB", "1m", "1M", "1Mi")} == {1024 * 1024}
    assert parse_size("1MB") == 1000 * 1000
    assert parse_size("1.5GiB") == 3 * 1024**3 // 2
    given = {"30s": "30", "1m30s": "90", "500ms": "0.5", "2h": "7200", "1d": "86400"}
    assert {text: duration_seconds(text) for text in given} == {t: Decimal(s) for t, s in given.items()}
    assert duration_seconds(90) == 90


def test_what_there_is_not_is_refused(tmp_path: Path, run: Any) -> None:
    (tmp_path / "main.hcl").write_text("provider {}\n")
    done = run(tmp_path, "validate")
    assert done.code == 1
    assert 'There are no blocks of type "provider".' in done.err
    assert "| `provider`" in (ROOT / "docs" / "language.md").read_text()


def test_precedence_of_variables_is_as_the_language_page_says(tmp_path: Path, run: Any) -> None:
    (tmp_path / "main.hcl").write_text('variable "x" { default = "default" }\noutput "x" { value = var.x }\n')

    def planned(*argv: str, **variables: str) -> str:
        done = run(tmp_path, "plan", *argv, variables=variables)
        assert done.code == 0, done.err
        return str(re.search(r'x = "(.*)"', done.out)[1])  # type: ignore[index]

    assert planned() == "default"
    assert planned(x="environment") == "environment"
    (tmp_path / "hythe.hclvars").write_text('x = "file"\n')
    assert planned(x="environment") == "file"
    (tmp_path / "hythe.hclvars.json").write_text('{"x": "json"}\n')
    assert planned(x="environment") == "json"
    (tmp_path / "b.auto.hclvars").write_text('x = "b"\n')
    (tmp_path / "a.auto.hclvars").write_text('x = "a"\n')
    assert planned() == "b"
    (tmp_path / "given.hclvars").write_text('x = "given"\n')
    assert planned("--var", "x=one", "--var-file=given.hclvars") == "given"
    assert planned("--var-file=given.hclvars", "--var", "x=one") == "one"
