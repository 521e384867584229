"""Files and paths. What is read comes from the environment's reader."""

from __future__ import annotations

import base64
import hashlib
import os
import posixpath

from hythe.modules.language.functions import text
from hythe.modules.language.functions.globbing import PatternError, compile_pattern
from hythe.modules.language.functions.registry import Environment, FunctionError, Param, function
from hythe.modules.language.sets import make_set
from hythe.value import BOOL, STRING, Value, set_of

_PATH = Param("path", STRING)


def expand(path: str, env: Environment) -> str:
    """``path`` with a leading ``~`` replaced by the home folder. Raises FunctionError."""
    if not path.startswith("~"):
        return path
    if len(path) > 1 and path[1] not in "/\\":
        raise FunctionError("cannot expand user-specific home dir", 0)
    return (env.home or os.path.expanduser("~")) + path[1:]


def resolve(path: str, env: Environment) -> str:
    """Where the file is that a function's argument names. Raises FunctionError."""
    if "\0" in path:
        raise FunctionError("a path must not have a null character", 0)
    expanded = expand(path, env)
    if not posixpath.isabs(expanded):
        expanded = posixpath.join(env.base_dir, expanded)
    return posixpath.normpath(expanded)


def read_bytes(path: str, env: Environment, index: int = 0) -> bytes:
    """The content of the file. Raises FunctionError."""
    try:
        return env.reader.read(resolve(path, env))
    except FileNotFoundError:
        raise FunctionError(
            "no file exists at {}; functions read files that are there before anything is made, "
            "so this cannot be a file that a resource creates",
            index,
            shown=(path,),
        ) from None
    except IsADirectoryError:
        raise FunctionError("{} is a directory, not a file", index, shown=(path,)) from None
    except OSError as exc:
        raise FunctionError(f"failed to read {{}}: {exc.strerror or 'unknown error'}", index, shown=(path,)) from None


def read_text(path: str, env: Environment, index: int = 0) -> str:
    """The content of the file, which must be UTF-8. Raises FunctionError."""
    refusal = FunctionError(
        "contents of {} are not valid UTF-8; use the filebase64 function to obtain the Base64 encoded contents "
        "or the other file functions (e.g. filemd5, filesha256) to obtain file hashing results instead",
        index,
        shown=(path,),
    )
    return text.decoded(read_bytes(path, env, index), refusal)


@function(
    "file",
    [_PATH],
    returns=STRING,
    description="The content of a UTF-8 file.",
    examples=['file("hello.txt") == "hello"'],
)
def file(path: str, *, env: Environment) -> Value:
    return read_text(path, env)


@function(
    "filebase64",
    [_PATH],
    returns=STRING,
    description="The content of a file, in Base64.",
    examples=['filebase64("hello.txt") == "aGVsbG8="'],
)
def filebase64(path: str, *, env: Environment) -> Value:
    return base64.b64encode(read_bytes(path, env)).decode()


@function(
    "fileexists",
    [_PATH],
    returns=BOOL,
    description="Tells whether there is a file; a directory is an error.",
    examples=['fileexists("hello.txt") && !fileexists("nothing.txt")'],
)
def fileexists(path: str, *, env: Environment) -> Value:
    try:
        return env.reader.exists(resolve(path, env))
    except IsADirectoryError:
        raise FunctionError("{} is a directory, not a file", 0, shown=(path,)) from None
    except OSError as exc:
        raise FunctionError(f"failed to look for {{}}: {exc.strerror or 'unknown error'}", 0, shown=(path,)) from None


@function(
    "fileset",
    [_PATH, Param("pattern", STRING)],
    returns=set_of(STRING),
    description="The files under a folder whose paths match a pattern.",
    examples=['fileset(".", "*.txt") == toset(["hello.txt"])'],
)
def fileset(path: str, pattern: str, *, env: Environment) -> Value:
    try:
        expression = compile_pattern(posixpath.normpath(pattern))
    except PatternError as exc:
        raise FunctionError(f"failed to glob pattern {{}}: {exc}", 1, shown=(pattern,)) from None
    try:
        found = env.reader.glob(resolve(path, env), posixpath.normpath(pattern))
    except OSError as exc:
        raise FunctionError(f"failed to glob pattern {{}}: {exc.strerror or exc}", 1, shown=(pattern,)) from None
    return make_set((text.normalized(name) for name in found if expression.fullmatch(name)), STRING)


def _declare_file_hash(algorithm: str, in_base64: bool) -> None:
    prefix = "filebase64" if in_base64 else "file"

    @function(
        f"{prefix}{algorithm}",
        [_PATH],
        returns=STRING,
        description=f"The {algorithm.upper()} hash of a file, in {'Base64' if in_base64 else 'hexadecimal'}.",
        examples=[f'{prefix}{algorithm}("hello.txt") == {prefix.removeprefix("file")}{algorithm}("hello")'],
    )
    def digest(path: str, *, env: Environment) -> Value:
        found = hashlib.new(algorithm, read_bytes(path, env), usedforsecurity=False).digest()
        return base64.b64encode(found).decode() if in_base64 else found.hex()


for _algorithm in ("md5", "sha1", "sha256", "sha512"):
    _declare_file_hash(_algorithm, in_base64=False)
for _algorithm in ("sha256", "sha512"):
    _declare_file_hash(_algorithm, in_base64=True)


@function(
    "abspath",
    [_PATH],
    returns=STRING,
    description="The path from the root folder on.",
    examples=['abspath("/srv/../etc") == "/etc"'],
)
def abspath(path: str, *, env: Environment) -> Value:
    return os.path.abspath(posixpath.join(env.base_dir, path))


@function(
    "pathexpand",
    [_PATH],
    returns=STRING,
    description="The path with a leading ~ replaced by the home folder.",
    examples=['pathexpand("/etc/hosts") == "/etc/hosts"'],
)
def pathexpand(path: str, *, env: Environment) -> Value:
    return expand(path, env)


@function(
    "dirname",
    [_PATH],
    returns=STRING,
    description="The path without its last element.",
    examples=['dirname("foo/bar/baz.txt") == "foo/bar"'],
)
def dirname(path: str) -> Value:
    return posixpath.normpath(path[: path.rfind("/") + 1] or ".")


@function(
    "basename",
    [_PATH],
    returns=STRING,
    description="The last element of the path.",
    examples=['basename("foo/bar/baz.txt") == "baz.txt"'],
)
def basename(path: str) -> Value:
    if not path:
        return "."
    return path.rstrip("/").rpartition("/")[2] or "/"
