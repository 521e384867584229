"""Texts that nobody would write: parser, formatter, templates and evaluator must end in values or diagnostics.

``make test`` takes a few seconds of it; HYTHE_SOAK_FUZZ sets the seconds, HYTHE_SEED where to begin.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from hythe.modules import language, loader, syntax
from hythe.planner.program import compile_config
from hythe.provider.registry import Registry

ROOT = Path(__file__).resolve().parents[3]
SECONDS = float(os.environ.get("HYTHE_SOAK_FUZZ") or 6)
SEED = int(os.environ.get("HYTHE_SEED") or time.time())
LONGEST = 20.0
"""Seconds that one text may take, on a busy machine."""
GROWTH_MB = 500

CORPUS = [p.read_text() for p in sorted(ROOT.glob("examples/**/*.hcl")) + sorted(ROOT.glob("modules/library/**/*.hcl"))]
TOKENS = (
    *"{}[]()=<>!?:,.*/+-%&|\"'\\\n\t #",
    *("${", "%{", "~}", "$${", "<<EOT\n", "<<-EOT\n", "\nEOT\n", "/*", "*/", "//", "...", "=>", "==", "&&", "||"),
    *("for", "in", "if", "else", "endif", "endfor", "null", "true", "each", "self", "var.", "local.", "data."),
    *("1e999", "0x1", "9" * 400, "1e-400", "\x00", "\ufeff", "é", "\U0001f600", "\u202e", "module", "dynamic"),
    *('resource "value" "v" {', "count = ", "for_each = ", "range(1e9)", 'regex("(a*)*b", "aaaaaaaaaaaaaaaaaaaaaaaa")'),
)
ATOMS = ("1", "1.5", '"a"', "true", "null", "x", "l", "m", "m.k", "l[0]", '"${x}"', "u", "s", "[]", "{}", "-x", "!true")
CALLS = ("length", "join", "keys", "merge", "concat", "format", "regex", "range", "jsonencode", "yamldecode", "split")
MORE_CALLS = (
    "setproduct",
    "flatten",
    "tolist",
    "toset",
    "tomap",
    "lookup",
    "try",
    "can",
    "templatestring",
    "cidrsubnet",
    "convert",
    "assumeequal",
    "assumenotnull",
    "assumelistlength",
)
TYPES = (
    "string",
    "list(any)",
    'object({ k = optional(string, "d") })',
    "map(number)",
    "tuple([any])",
    "set(nope)",
    "x",
)


class Hang(Exception):
    """A text took too long."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    def give_up(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, give_up)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def mutated(chance: random.Random) -> str:
    text = chance.choice(CORPUS)
    if len(text) > 3000:
        start = chance.randrange(len(text) - 2000)
        text = text[start : start + 2000]
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        at, end = sorted((chance.randrange(len(text) + 1), chance.randrange(len(text) + 1)))
        what = chance.randrange(5)
        if what == 0:
            text = text[:at] + text[min(end, at + 40) :]
        elif what == 1:
            text = text[:at] + text[at : min(end, at + 200)] * chance.choice((2, 3, 50)) + text[at:]
        elif what == 2:
            text = text[:at] + "".join(chance.choices(TOKENS, k=chance.choice((1, 2, 5)))) + text[at:]
        elif what == 3:
            text = text[:at] + chance.choice(TOKENS) * chance.choice((2, 20, 2000)) + text[at:]
        else:
            text = text[:at] + expression(chance, 3) + text[at:]
        text = text[:100_000]
    return text


def expression(chance: random.Random, depth: int) -> str:
    if depth <= 0 or chance.random() < 0.15:
        return chance.choice(ATOMS)

    def inner() -> str:
        return expression(chance, depth - 1)

    match chance.randrange(13):
        case 0:
            return (
                f"({inner()} {chance.choice(('+', '-', '*', '/', '%', '==', '!=', '<', '>=', '&&', '||'))} {inner()})"
            )
        case 1:
            return f"({inner()} ? {inner()} : {inner()})"
        case 2:
            return f"[{inner()}, {inner()}]"
        case 3:
            return f"{{ a = {inner()}, (x) = {inner()} }}"
        case 4:
            return f"[for v in {inner()} : {inner()} if {inner()}]"
        case 5:
            return f"{{ for k, v in {inner()} : k => {inner()}... }}"
        case 6:
            return f"{inner()}[*]"
        case 7:
            return f"{inner()}[{inner()}]"
        case 8:
            return f'"a${{{inner()}}}%{{ if {inner()} }}b%{{ else }}c%{{ endif }}"'
        case 9:
            arguments = ", ".join(inner() for _ in range(chance.randrange(4)))
            return f"{chance.choice((*CALLS, *MORE_CALLS))}({arguments}{chance.choice(('', '', '...'))})"
        case 10:
            return f"{inner()}.k"
        case 11:
            return f"convert({inner()}, {chance.choice(TYPES)})"
        case _:
            return f"<<EOT\n%{{ for v in {inner()} }}${{v}}%{{ endfor }}\nEOT\n"


SCOPE = {
    "x": "a",
    "l": ["a", "b"],
    "m": {"k": 1, "j": [1, 2]},
    "u": language.Unknown("any"),
    "s": language.Sensitive("hidden"),
    "v": 1,
    "k": "k",
}


def read(text: str) -> None:
    syntax.parse(text, "fuzz.hcl")


def written(text: str) -> None:
    once = syntax.format(text)
    # what has errors is left as it is by the command
    assert syntax.parse(text, "fuzz.hcl")[1] or syntax.format(once) == once


def as_template(text: str) -> None:
    syntax.parse_template(text, "fuzz.tpl")
    language.evaluate(text[:2000], SCOPE, template=True)


def as_expression(text: str) -> None:
    value, _ = language.evaluate(text, SCOPE)
    language.to_json(value)


def as_json(text: str) -> None:
    syntax.parse_json(text, "fuzz.hcl.json")


def as_configuration(text: str) -> None:
    config, found = loader.load_texts("/nowhere", {"main.hcl": text})
    if not any(d.is_error for d in found):
        compile_config(config, REGISTRY)


REGISTRY = Registry()
USES: tuple[Callable[[str], None], ...] = (read, written, as_template, as_expression, as_json, as_configuration)


@pytest.mark.timeout(SECONDS + 300)
def test_nothing_but_values_and_diagnostics() -> None:
    chance = random.Random(SEED)
    for use in USES:
        use(CORPUS[0])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    end, count, slowest = time.monotonic() + SECONDS, 0, 0.0
    while time.monotonic() < end:
        use = chance.choice(USES)
        text = expression(chance, 6) if use is as_expression and chance.random() < 0.8 else mutated(chance)
        began = time.process_time()
        try:
            with limited(LONGEST):
                use(text)
        except BaseException as failure:
            place = Path(os.environ.get("TMPDIR") or "/tmp") / f"hythe-fuzz-{SEED}.txt"
            place.write_text(text, errors="surrogatepass")
            pytest.fail(f"seed {SEED}, text {count} ({place}) in {use.__name__}: {type(failure).__name__}: {failure}")
        slowest = max(slowest, time.process_time() - began)
        count += 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    print(f"seed {SEED}: {count:,} texts, the slowest {slowest:.2f} s, {grown:.0f} MB more")
    assert grown < GROWTH_MB
