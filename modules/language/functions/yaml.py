"""YAML."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from decimal import Decimal

import yaml

from hythe.modules.language import conversions
from hythe.modules.language.functions.registry import FunctionError, Param, function
from hythe.modules.language.functions.text import normalized
from hythe.modules.language.functions.timestamps import Timestamp, TimestampError
from hythe.modules.language.numbers import number_to_string, parse_number
from hythe.value import ANY, STRING, Reference, Unknown, Value, is_known, is_null

MAX_NODES = 1_000_000
"""Values that one document may stand for; aliases can make much of little."""

_TAG = "tag:yaml.org,2002:"
_BOOLS = {
    **dict.fromkeys(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"], True),
    **dict.fromkeys(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"], False),
}
_NULLS = dict.fromkeys(["", "~", "null", "Null", "NULL"])
_WORDS = {**_BOOLS, **_NULLS}
_TYPED = frozenset({"str", "bool", "int", "float", "null", "timestamp", "binary"})
_PRINTABLE = re.compile("[ !#-\\[\\]-~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd]")
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_TELLING = frozenset("yYnNtTfFoO~.+-0123456789")
"""What a text begins with that may be more than a text."""
_DATE = re.compile(
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    r"(?:[Tt]([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})"
    r"| ([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:\.[0-9]+)?)?"
)


@function(
    "yamlencode",
    [Param("value", ANY, allow_null=True, allow_unknown=True, dynamic=True)],
    returns=STRING,
    description="The value as YAML in block style.",
    examples=['yamlencode({ a = "b" }) == "\\"a\\": \\"b\\"\\n"'],
)
def yamlencode(value: Value) -> Value:
    if not is_known(value):
        return Unknown(STRING)
    text: str = yaml.emit(_document(value), Dumper=_Dumper, allow_unicode=True, width=80)
    return text


class _Dumper(yaml.Dumper):
    """Breaks long lines as libyaml does: at a space, which the line break then stands for."""

    def check_empty_document(self) -> bool:
        return False  # libyaml puts no --- before an empty text

    def check_simple_key(self) -> bool:
        # to libyaml an empty text is a key like any other
        empty = isinstance(self.event, yaml.ScalarEvent) and not self.event.value
        return empty or bool(super().check_simple_key())

    def write_double_quoted(self, text: str, split: bool = True) -> None:
        self.write_indicator('"', True)
        after_space = False
        for index, char in enumerate(text):
            may_break = char == " " and split and not after_space and 0 < index < len(text) - 1
            if may_break and self.column > self.best_width:
                self.write_indent()
                if text[index + 1] == " ":
                    self._put("\\")
            else:
                self._put(_escaped(char))
            after_space = char == " "
        self.write_indicator('"', False)

    def _put(self, text: str) -> None:
        self.column += len(text)
        self.stream.write(text)


def _escaped(char: str) -> str:
    if _PRINTABLE.fullmatch(char):
        return char
    short = yaml.emitter.Emitter.ESCAPE_REPLACEMENTS.get(char)
    if short is not None:
        return f"\\{short}"
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def _document(value: Value) -> Iterator[yaml.Event]:
    yield yaml.StreamStartEvent()
    yield yaml.DocumentStartEvent(explicit=False)
    yield from _events(value)
    yield yaml.DocumentEndEvent(explicit=False)
    yield yaml.StreamEndEvent()


def _events(value: Value) -> Iterator[yaml.Event]:
    if is_null(value):
        yield _plain("null")
    elif isinstance(value, bool):
        yield _plain("true" if value else "false")
    elif isinstance(value, (int, Decimal)):
        yield _plain(number_to_string(value))
    elif isinstance(value, str):
        # a block has no escapes, and the field's emitter escapes what lies beyond 16 bits
        style = "|" if "\n" in value and not _ASTRAL.search(value) else '"'
        yield yaml.ScalarEvent(None, None, (False, True), value, style=style)
    elif isinstance(value, dict):
        yield yaml.MappingStartEvent(None, None, True, flow_style=False)
        for key in sorted(value):
            yield yaml.ScalarEvent(None, None, (False, True), key, style='"')
            yield from _events(value[key])
        yield yaml.MappingEndEvent()
    elif isinstance(value, (list, tuple)):
        yield yaml.SequenceStartEvent(None, None, True, flow_style=False)
        for item in value:
            yield from _events(item)
        yield yaml.SequenceEndEvent()
    else:
        what = "a reference" if isinstance(value, Reference) else "this value"
        raise FunctionError(f"{what} cannot be represented as YAML", 0)


def _plain(text: str) -> yaml.Event:
    return yaml.ScalarEvent(None, None, (True, False), text, style="")


@function(
    "yamldecode",
    [Param("src", STRING)],
    returns=ANY,
    description="The value that the YAML document stands for.",
    examples=['yamldecode("a: [1, true]").a[0] == 1'],
)
def yamldecode(value: str) -> Value:
    try:
        documents = list(yaml.compose_all(value, Loader=_Loader))
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        place = f"on line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise FunctionError(f"{place}{exc.problem or exc.context}".replace("{", "(").replace("}", ")"), 0) from None
    except yaml.YAMLError:
        raise FunctionError("the string has characters that YAML does not allow", 0) from None
    if len(documents) > 1:
        raise FunctionError("unexpected extra content after value: there is more than one document", 0)
    if not documents:
        raise FunctionError("on line 1, column 1: missing start of document", 0)
    return _Decoder().value(documents[0])


class _Loader(yaml.BaseLoader):
    """Takes tabs for blanks between tokens, as libyaml does."""

    def scan_to_next_token(self) -> None:
        super().scan_to_next_token()
        while (self.flow_level or not self.allow_simple_key) and self.peek() == "\t":
            while self.peek() == "\t":
                self.forward()
            super().scan_to_next_token()


class _Decoder:
    def __init__(self) -> None:
        self.count = 0
        self.open: set[int] = set()

    def value(self, node: yaml.Node) -> Value:
        self.count += 1
        if self.count > MAX_NODES:
            raise FunctionError(f"the document stands for more than {MAX_NODES:,} values", 0)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self.open:
            raise self._problem(node, "an alias refers to what it is a part of")
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                self._check_tag(node, "seq")
                return tuple(map(self.value, node.value))
            self._check_tag(node, "map")
            return self._mapping(node)
        finally:
            self.open.discard(id(node))

    def _problem(self, node: yaml.Node, reason: str) -> FunctionError:
        mark = node.start_mark
        return FunctionError(f"on line {mark.line + 1}, column {mark.column + 1}: {reason}", 0)

    def _check_tag(self, node: yaml.Node, wanted: str) -> None:
        if node.tag not in (None, "!", f"{_TAG}{wanted}"):
            raise self._problem(node, "unsupported tag")

    def _mapping(self, node: yaml.Node) -> Value:
        own: dict[str, Value] = {}
        for key_node, value_node in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.value == "<<":
                own.update(self._merged(value_node))  # in their order: what comes later wins
                continue
            try:
                key = conversions.convert(self.value(key_node), STRING)
            except conversions.ConversionError:
                raise self._problem(key_node, "only strings may be keys") from None
            if is_null(key):
                raise self._problem(key_node, "a key must not be null")
            own[key] = self.value(value_node)
        return {key: own[key] for key in sorted(own)}

    def _merged(self, node: yaml.Node) -> dict[str, Value]:
        if isinstance(node, yaml.SequenceNode):
            merged: dict[str, Value] = {}
            for item in node.value:
                merged.update(self._merged(item))
            return merged
        if not isinstance(node, yaml.MappingNode):
            raise self._problem(node, "only mappings can be merged")
        found: dict[str, Value] = self.value(node)
        return found

    def _scalar(self, node: yaml.ScalarNode) -> Value:
        # the loader gives the tag of strings to what has no tag of its own
        tag = node.tag if _has_tag(node) or node.tag not in (None, "!", f"{_TAG}str") else None
        name = None if tag is None else tag.removeprefix(_TAG)
        if name is not None and (name == tag or name not in _TYPED):
            raise self._problem(node, "unsupported tag")
        if name == "str" or (name is None and node.style is not None):
            return normalized(node.value)
        resolved = _resolve(node.value, name, quoted=node.style is not None)
        if resolved is not NotImplemented:
            return resolved
        if name is None:
            return normalized(node.value)
        raise self._problem(node, f"the text is no value of the tag {name}")


def _has_tag(node: yaml.ScalarNode) -> bool:
    buffer = node.start_mark.buffer
    return buffer is not None and buffer[node.start_mark.pointer] in "!"


def _resolve(source: str, name: str | None, *, quoted: bool) -> Value:
    """The value of a scalar with the tag ``name``, None for none; NotImplemented when it is none of the tag.

    As in OpenTofu, what a text looks like counts for more than a tag, and quotes for more than either.
    """
    if name != "binary" and (not source or source[0] in _TELLING):
        if quoted:
            return normalized(source)
        if source in _WORDS:
            return _WORDS[source]
        if source.lower() in (".nan", ".inf", "+.inf", "-.inf"):
            raise FunctionError("infinities and NaN are not supported", 0)
        if name in (None, "timestamp") and _DATE.fullmatch(source):
            return _timestamp(source)
        if _INTEGER.fullmatch(source) or _FLOAT.fullmatch(source):
            return _number(source)
    if name in ("int", "float"):
        return _number(source.replace("_", ""))
    if name == "null":
        return None
    if name == "binary":
        try:
            base64.b64decode(source, validate=True)
        except (binascii.Error, ValueError):
            return NotImplemented
        return source
    return NotImplemented


def _number(source: str) -> Value:
    try:
        return parse_number(source)
    except OverflowError:
        raise FunctionError("a number has too many digits", 0) from None
    except ValueError:
        pass
    try:
        value = int(source, 0)
    except ValueError:
        return NotImplemented
    return value if -(1 << 63) <= value < 1 << 64 else NotImplemented


def _timestamp(source: str) -> Value:
    found = _DATE.fullmatch(source)
    assert found is not None
    year, month, day = (int(part) for part in found.groups()[:3])
    clock = found.groups()[3:6] if found[4] else found.groups()[7:10]
    hour, minute, second = (int(part or 0) for part in clock)
    text = f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{found[7] or 'Z'}"
    try:
        return Timestamp.parse(text).text()
    except TimestampError:
        return NotImplemented
