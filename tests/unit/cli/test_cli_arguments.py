"""OpenTofu's spelling of options."""

from __future__ import annotations

import click
import pytest

from hythe.cli import options
from hythe.cli.arguments import Command, normalise, words_apart


@click.command(cls=Command)
@options.planning
@options.read_input
@click.option("--out")
@click.option("--tty", "-t", is_flag=True)
@click.option("--interactive", "-i", is_flag=True)
@click.argument("words", nargs=-1)
def sample(**given: object) -> None:
    """A command like the real ones."""


def normal(*words: str) -> list[str]:
    return normalise(words, sample.params).words


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["-out=f"], ["--out=f"]),
        (["--out", "f"], ["--out=f"]),
        (["-out", "-f"], ["--out=-f"]),
        (["-input=false"], ["--input=false"]),
        (["-input", "x"], ["--input=true", "x"]),
        (["-var", "a=b", "--var=c=-d"], ["--var=a=b", "--var=c=-d"]),
        (["-target=container.web", "-target", 'a.b["x"]'], ["--target=container.web", '--target=a.b["x"]']),
        (["-it", "web", "--", "sh", "-c", "-out=x"], ["-it", "web", "--", "sh", "-c", "-out=x"]),
        (["-", "-5"], ["-", "-5"]),
    ],
)
def test_normalise(given: list[str], wanted: list[str]) -> None:
    assert normal(*given) == wanted


def test_variables_keep_their_order() -> None:
    found = normalise(["-var", "a=1", "-var-file=x.hclvars", "--var=b=2"], sample.params)
    assert found.inputs == [("var", "a=1"), ("file", "x.hclvars"), ("var", "b=2")]


def test_unknown_option_is_refused_with_a_suggestion() -> None:
    with pytest.raises(click.UsageError, match=r'There is no option --refrsh\. Did you mean "refresh"'):
        normal("-refrsh=false")


def test_missing_value_is_refused() -> None:
    with pytest.raises(click.UsageError, match="--out needs a value"):
        normal("-out")


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1m30s", 90), ("500ms", 0.5), ("2", 2), ("1h", 3600)])
def test_durations(text: str, seconds: float) -> None:
    assert options.duration(text) == seconds


def test_bad_duration() -> None:
    with pytest.raises(click.UsageError, match="is not a duration"):
        options.duration("soon")


def request(*words: str, destroy: bool = False) -> options.PlanRequest:
    with sample.make_context("sample", list(words)) as context:
        return options.plan_request(dict(context.params), destroy=destroy)


def test_plan_request() -> None:
    made = request("-refresh=false", "-replace=a.b", "-var", "x=1", "-parallelism=3")
    assert (made.refresh, made.replace, made.inputs, made.parallelism) == (False, ("a.b",), (("var", "x=1"),), 3)


@pytest.mark.parametrize(
    "words", [["-refresh-only", "-refresh=false"], ["-target=a.b", "-exclude=a.c"], ["-refresh-only", "-replace=a.b"]]
)
def test_options_that_exclude_each_other(words: list[str]) -> None:
    with pytest.raises(click.UsageError, match=r"exclude each other|normal plan"):
        request(*words)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["web", "sh", "-c", "exit 3"], ["web", "--", "sh", "-c", "exit 3"]),
        (["-it", "web", "ls", "-out=x"], ["-it", "web", "--", "ls", "-out=x"]),
        (["-out", "f", "web", "ls"], ["-out", "f", "web", "--", "ls"]),
        (["-input", "web", "ls"], ["-input", "web", "--", "ls"]),
        (["web", "-t", "ls", "-t"], ["web", "-t", "--", "ls", "-t"]),
        (["web", "--", "ls", "--", "x"], ["web", "--", "ls", "--", "x"]),
        (["web"], ["web"]),
    ],
)
def test_options_of_a_command_to_run_are_its_own(given: list[str], wanted: list[str]) -> None:
    assert words_apart(given, sample.params, after=1) == wanted
