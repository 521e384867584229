"""Base64, URLs, other character sets and CSV."""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import zlib
from urllib.parse import quote_plus, unquote_to_bytes

from hythe.modules.language.functions import text
from hythe.modules.language.functions.csv import CsvError, read_rows
from hythe.modules.language.functions.registry import FunctionError, Param, function
from hythe.value import ANY, STRING, List, Value, object_of

_STR = Param("str", STRING)

_NOT_UTF8 = "the result of decoding the provided string is not valid UTF-8"

# codecs that are no character set known to IANA, or that only Python has
_NO_CHARACTER_SET = re.compile(
    r"idna|punycode|palmos|mbcs|oem|undefined|raw.unicode.escape|unicode.escape|utf.?8.?sig|utf.?7|base64.*|rot.*"
)


def _from_base64(value: str, index: int = 0) -> bytes:
    try:
        return base64.b64decode(value.replace("\r", "").replace("\n", ""), validate=True)
    except (binascii.Error, ValueError):
        raise FunctionError("failed to decode base64 data", index) from None


@function(
    "base64encode",
    [_STR],
    returns=STRING,
    description="The string's UTF-8 bytes in Base64.",
    examples=['base64encode("Hello World") == "SGVsbG8gV29ybGQ="'],
)
def base64encode(value: str) -> Value:
    return base64.b64encode(value.encode()).decode()


@function(
    "base64decode",
    [_STR],
    returns=STRING,
    description="The text that the Base64 string stands for; it must be UTF-8.",
    examples=['base64decode("SGVsbG8gV29ybGQ=") == "Hello World"'],
)
def base64decode(value: str) -> Value:
    return text.decoded(_from_base64(value), FunctionError(_NOT_UTF8, 0))


@function(
    "base64gzip",
    [_STR],
    returns=STRING,
    description="The string compressed with gzip, in Base64.",
    examples=['base64gunzip(base64gzip("hello")) == "hello"'],
)
def base64gzip(value: str) -> Value:
    compressor = zlib.compressobj(wbits=31)
    return base64.b64encode(compressor.compress(value.encode()) + compressor.flush()).decode()


@function(
    "base64gunzip",
    [_STR],
    returns=STRING,
    description="Decompresses what base64gzip() compressed.",
    examples=['base64gunzip(base64gzip("hello")) == "hello"'],
)
def base64gunzip(value: str) -> Value:
    # a few bytes of gzip can stand for gigabytes
    decompressor = zlib.decompressobj(wbits=31)
    try:
        content = decompressor.decompress(_from_base64(value), text.MAX_STRING + 1)
    except zlib.error:
        raise FunctionError("failed to decompress: the data is not gzip's", 0) from None
    text.check_length(len(content))
    if not decompressor.eof:
        raise FunctionError("failed to decompress: the data ends too early", 0)
    return text.decoded(content, FunctionError(_NOT_UTF8, 0))


@function(
    "urlencode",
    [_STR],
    returns=STRING,
    description="The string escaped for the query of a URL.",
    examples=['urlencode("a b&c") == "a+b%26c"'],
)
def urlencode(value: str) -> Value:
    return quote_plus(value, safe="")


@function(
    "urldecode",
    [_STR],
    returns=STRING,
    description="Undoes urlencode().",
    examples=['urldecode("a+b%26c") == "a b&c"'],
)
def urldecode(value: str) -> Value:
    broken = re.search(r"%(?![0-9A-Fa-f]{2}).{0,2}", value)
    if broken is not None:
        raise FunctionError("invalid URL escape {}", 0, shown=(broken[0],))
    return text.decoded(unquote_to_bytes(value.replace("+", " ")), FunctionError(_NOT_UTF8, 0))


def _character_set(name: str) -> codecs.CodecInfo:
    refusal = FunctionError("{} is not a supported IANA encoding name or alias", 1, shown=(name,))
    if _NO_CHARACTER_SET.fullmatch(name.lower()) or not name.isascii():
        raise refusal
    try:
        # bytes-to-bytes codecs refuse this
        "".encode(name)
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        raise refusal from None
    if _NO_CHARACTER_SET.fullmatch(found.name):
        raise refusal
    return found


@function(
    "textencodebase64",
    [Param("string", STRING), Param("encoding", STRING)],
    returns=STRING,
    description="The string in another character set, in Base64.",
    examples=['textencodebase64("Hello", "UTF-16LE") == "SABlAGwAbABvAA=="'],
)
def textencodebase64(value: str, encoding: str) -> Value:
    character_set = _character_set(encoding)
    name = character_set.name
    try:
        # without a byte order in the name, the big end comes first, after a mark that says so
        content = codecs.BOM_UTF16_BE + value.encode("utf-16-be") if name == "utf-16" else value.encode(name)
    except UnicodeEncodeError:
        raise FunctionError(
            f"the given string contains characters that cannot be represented in {encoding}", 0
        ) from None
    return base64.b64encode(content).decode()


@function(
    "textdecodebase64",
    [Param("source", STRING), Param("encoding", STRING)],
    returns=STRING,
    description="The text that Base64 stands for in another character set.",
    examples=['textdecodebase64("SABlAGwAbABvAA==", "UTF-16LE") == "Hello"'],
)
def textdecodebase64(value: str, encoding: str) -> Value:
    character_set = _character_set(encoding)
    try:
        content = base64.b64decode(value.replace("\r", "").replace("\n", ""), validate=True)
    except (binascii.Error, ValueError):
        raise FunctionError("the given value is not a valid base64 string", 0) from None
    name = character_set.name
    if name == "utf-16" and content[:2] not in (codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE):
        name = "utf-16-be"
    try:
        return text.normalized(content.decode(name))
    except UnicodeDecodeError:
        raise FunctionError(f"the given string contains symbols that are not defined for {encoding}", 0) from None


@function(
    "csvdecode",
    [_STR],
    returns=ANY,
    description="A list of objects from CSV with a header line.",
    examples=['csvdecode("a,b\\n1,2")[0].a == "1"'],
)
def csvdecode(value: str) -> Value:
    try:
        rows = list(read_rows(value))
    except CsvError as exc:
        raise FunctionError(str(exc), 0) from None
    if not rows:
        raise FunctionError("missing header line", 0)
    header = [text.normalized(name) for _, row in rows[:1] for name in row]
    for index, name in enumerate(header):
        if name in header[:index]:
            raise FunctionError("duplicate column name {}", 0, shown=(name,))
    objects: list[Value] = []
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise FunctionError(f"line {line} has {len(row)} fields, but the header line has {len(header)}", 0)
        cells = dict(zip(header, map(text.normalized, row), strict=True))
        objects.append({name: cells[name] for name in sorted(header)})
    return List(objects, object_of(dict.fromkeys(header, STRING)))
