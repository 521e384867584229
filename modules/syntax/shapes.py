"""The memory of shapes: each kind of item is checked and given to the grammar once."""

from __future__ import annotations

from collections.abc import Callable

from hythe.modules.syntax.check_body import check_item, mask_header
from hythe.modules.syntax.cursor import Masked
from hythe.modules.syntax.scanner import EOF, Tokens
from hythe.modules.syntax.shape import Shape

# Bounded both ways: programs that parse without end must not grow, and long shapes seldom come back.
_MOST = 20_000
_LONGEST = 4_000
_known: dict[str, Shape | None] = {}


def parse_masked(masked: Masked) -> Shape | None:
    """The one item of a masked copy; None when the grammar refuses it."""
    from hythe.modules.syntax import grammar

    try:
        items = grammar.parse(masked)
    except grammar.GrammarError:
        return None
    return items[0] if len(items) == 1 else None


def _remembered(key: str, make: Callable[[], Shape | None]) -> Shape | None:
    if key in _known:
        return _known[key]
    shape = make()
    if len(key) <= _LONGEST:
        if len(_known) >= _MOST:
            _known.clear()
        _known[key] = shape
    return shape


def item_shape(tokens: Tokens, first: int, last: int) -> Shape | None:
    """The shape of an argument or one-line block in the tokens from ``first`` to ``last`` (exclusive).

    None when there is a mistake in it.
    """

    def make() -> Shape | None:
        checker = check_item(tokens.part(first, last))
        return None if checker.faults else parse_masked(checker.masked())

    kinds = tokens.kinds[first:last]
    # Whether two indexes touch decides what they mean after a splat; kinds do not tell, so these are made anew.
    return make() if ".0.0" in kinds else _remembered(kinds, make)


def header_shape(tokens: Tokens, first: int, last: int) -> Shape | None:
    """The shape of a block's header up to and with its opening brace; None when there is a mistake in it."""

    def make() -> Shape | None:
        masked = mask_header(tokens.part(first, last))
        return parse_masked(masked) if masked else None

    # An unclosed block can be spelled like a header, so headers have keys of their own.
    return _remembered(EOF + tokens.kinds[first:last], make)
