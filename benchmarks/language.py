"""Rows on the language alone, inside one process: reading a large configuration, evaluating many instances."""

from __future__ import annotations

import gc
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness import Row, timed

from hythe.modules import loader
from hythe.modules.language.functions.registry import Environment
from hythe.planner.edge import project_of
from hythe.planner.expand import Evaluation
from hythe.planner.inputs import RecordingReader
from hythe.planner.program import CompiledBlock, compile_config
from hythe.provider.registry import Registry
from hythe.value import ANY, Unknown, Value

BLOCKS = 5_000
INSTANCES = 10_000


class _Nowhere:
    """A world in which nothing exists yet."""

    def instance(self, block: CompiledBlock, at: object) -> Value:
        """Unknown."""
        return Unknown(ANY)


def rows(runs: int) -> Iterator[Row]:
    """Parsing and evaluation."""
    yield from _parsing(runs)
    yield _evaluation(runs, "ten expressions", _EXPRESSIONS, 1.0)
    yield _evaluation(runs, "ten other expressions", _OTHER_EXPRESSIONS, None)


def _parsing(runs: int) -> Iterator[Row]:
    block = """resource "container" "c{0}" {{
  name    = "web-{0}"
  image   = image.base.name
  command = ["sleep", "${{var.seconds + {0}}}"]
  env     = {{ A = "x${{local.b}}", N = {0} }}
  mount {{
    volume = volume.data
    target = "/data"
  }}
}}
"""
    text = "".join(block.format(n) for n in range(BLOCKS))
    what = f"a configuration of {len(text) / 1e6:.1f} MB, {BLOCKS:,} blocks"
    with tempfile.TemporaryDirectory(prefix="hythe-bench-") as name:
        root = Path(name)
        (root / "main.hcl").write_text(text)
        cold = []
        for _ in range(runs):
            shutil.rmtree(root / ".hythe", ignore_errors=True)
            cold.append(timed(lambda: loader.load(name)))
        found = statistics.median(cold)
        yield Row(f"reading {what}", found, 3.0, "s", f"{found / len(text) * 1e6:.2f} s a MB, with keeping the tree")
        found = statistics.median(timed(lambda: loader.load(name)) for _ in range(runs))
    yield Row(f"reading again {what}", found, 0.3 * len(text) / 1e6, "s", f"{found / len(text) * 1e6:.2f} s a MB")


_EXPRESSIONS = (
    '"item-${each.key}"',
    "upper(each.key)",
    "each.value + 1",
    "each.value > 100 ? local.big : local.small",
    '[for w in local.words : "${w}-${each.key}"]',
    "{ for i, w in local.words : w => i }",
    'lookup(local.table, each.key, "none")',
    'format("%04d", each.value)',
    "local.words[each.value % 3]",
    'join(",", concat(local.words, [each.key]))',
)
_OTHER_EXPRESSIONS = (
    "{ name = each.key, size = { cpus = each.value % 4 + 1, disk = each.value * 1.5 } }",
    'merge(local.table, { owner = each.key, "x-${each.key}" = true })',
    'try(local.table[each.key], "none")',
    'each.value > 10 && each.key != "k77" || contains(local.words, each.key)',
    "concat(local.rows, [{ name = each.key, n = each.value }])[*].name",
    "[for r in local.rows : { name = r.name, n = r.n + each.value } if r.n > 1]",
    'trimspace(replace(lower(each.key), "k", " item "))',
    "jsonencode({ name = each.key, words = local.words })",
    'regex("[0-9]+", each.key)',
    '"%{ for w in local.words }${w}${each.value},%{ endfor }"',
)
"""Other sorts of expressions, so that what is made faster is not only what the first ten do."""


def _evaluation(runs: int, what: str, texts: tuple[str, ...], budget: float | None) -> Row:
    expressions = "\n".join(f"    e{n} = {text}" for n, text in enumerate(texts))
    text = f"""locals {{
  big   = "big"
  small = "small"
  words = ["a", "b", "c"]
  table = {{ k1 = "one" }}
  rows  = [{{ name = "a", n = 1 }}, {{ name = "b", n = 2 }}]
}}
resource "value" "v" {{
  for_each = {{
    for n in flatten([for i in range({INSTANCES // 100}) : [for j in range(100) : i * 100 + j]]) : "k${{n}}" => n
  }}
  input = {{
{expressions}
  }}
}}
"""
    config, found = loader.load_texts("/nowhere", {"main.hcl": text})
    assert not found, found
    program, found = compile_config(config, Registry())
    assert not found, found
    reader = RecordingReader("/nowhere")
    times = []
    for _ in range(runs):
        evaluation = Evaluation(
            program,
            {},
            Environment(reader=reader, base_dir="/nowhere"),
            _Nowhere(),
            project=project_of(config),
            reader=reader,
            lock={},
        )
        (block,) = program.blocks.values()
        keys = evaluation.expansion(block).keys
        assert len(keys) == INSTANCES

        def all_of_them(evaluation: Evaluation = evaluation, block: CompiledBlock = block) -> None:
            for key in evaluation.expansion(block).keys:
                assert evaluation.desired(block, key) is not None

        # as while a plan is made
        gc.disable()
        try:
            times.append(timed(all_of_them))
        finally:
            gc.enable()
        assert not evaluation.diagnostics, evaluation.diagnostics
    value = statistics.median(times)
    note = f"{value / INSTANCES / len(texts) * 1e6:.1f} microseconds an expression"
    return Row(f"evaluating {INSTANCES:,} instances with {what} each", value, budget, "s", note)
