"""What the grammar says about a stretch of text, free of names, numbers and offsets.

A shape speaks of tokens by their index within the stretch, so one shape serves every stretch with the same
kinds of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """One construct: its first and last token, its parts, and the tokens that name something in it.

    ========================  ===================================  =============================================
    kind                      parts                                marks
    ========================  ===================================  =============================================
    literal, number, name     none                                 none
    key                       none (a bare key of an object)       none
    string                    text, interpolation, directives      none
    interpolation, if         the expression                       none
    for_directive             the collection                       the names
    else, endif, endfor       none                                 none
    tuple                     the items                            none
    object                    keys and values in turn              none
    call                      the arguments                        last token of the name, then "..." if there
    steps                     the base, then the steps             none
    attribute, index, legacy  none; the key for index              none
    attribute_splat           the steps it holds                   none
    full_splat                the steps that follow it             none
    unary, binary             the operands                         the operator
    conditional, parentheses  the expressions                      none
    for                       collection, key?, value, condition?  the names, see :attr:`flags`
    argument                  the expression                       the name
    block                     the body's items                     the type and the labels
    ========================  ===================================  =============================================

    ``flags`` of a for expression: ``k`` when it has a key, ``c`` a condition, ``g`` groups; of a call: ``e``
    when the last argument is expanded.
    """

    kind: str
    first: int
    last: int
    parts: tuple[Shape, ...] = ()
    marks: tuple[int, ...] = ()
    flags: str = ""
    depth: int = 1
