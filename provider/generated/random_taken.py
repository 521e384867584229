"""Random values that were made elsewhere and are taken in. Pure, but for the salt of a hash."""

from __future__ import annotations

import json
import uuid
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from hythe.provider.protocol import Attributes

Forms = Callable[[bytes, str], Attributes]


def taken(kind: str, value: str, secret: Callable[[str], Attributes], forms: Forms) -> Attributes | None:
    """The attributes of a value of that type, as far as it tells them; None when it is none of that type.

    ``secret`` and ``forms`` give what is computed of a password and of an id's bytes and prefix.
    """
    try:
        match kind:
            case "password":
                return {"length": len(value), **secret(value)}
            case "string":
                return {"length": len(value), "result": value}
            case "uuid":
                return {"result": str(uuid.UUID(value))}
            case "integer":
                return {"min": int(value), "max": int(value), "result": int(value)}
            case "pet":
                return {"result": value}
            case "shuffle":
                return _shuffled(json.loads(value))
            case "id":
                prefix, comma, text = value.rpartition(",")
                data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
                known = {"byte_length": len(data), **({"prefix": prefix} if comma else {})}
                return {**known, **forms(data, prefix)} if data else None
    except ValueError:
        return None
    return None


def _shuffled(value: Any) -> Attributes | None:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        return None
    return {"input": sorted(value), "result": value}


def fits(seen: Mapping[str, Any], wanted: Mapping[str, Any], alphabets: Mapping[str, str]) -> bool:
    """Whether a value that was taken in could have been made with the arguments that are wanted.

    ``alphabets`` are the characters of each class, for passwords and strings.
    """
    if seen.get("type") != wanted.get("type"):
        return False
    result = seen.get("result")
    match seen["type"]:
        case "password" | "string":
            text = str(seen.get("password", result))
            return len(text) == wanted.get("length") and _has_classes(text, wanted, alphabets)
        case "integer":
            low, high = wanted.get("min"), wanted.get("max")
            return all(isinstance(n, int) for n in (low, high, result)) and low <= result <= high  # type: ignore[operator]
        case "pet":
            return _is_pet(str(result), wanted)
        case "shuffle":
            return _is_shuffled(list(result or ()), wanted)
        case "id":
            return all(seen.get(n) == wanted.get(n) for n in ("byte_length", "prefix"))
    return True


def _has_classes(text: str, wanted: Mapping[str, Any], alphabets: Mapping[str, str]) -> bool:
    for name, letters in alphabets.items():
        count = sum(1 for c in text if c in letters)
        if count < (wanted.get(f"min_{name}") or 0) or (count and wanted.get(name) is False):
            return False
    return True


def _is_pet(text: str, wanted: Mapping[str, Any]) -> bool:
    separator = wanted.get("separator")
    separator = "-" if separator is None else str(separator)
    prefix = f"{wanted['prefix']}{separator}" if wanted.get("prefix") else ""
    words = text.removeprefix(prefix).split(separator) if separator else []
    return text.startswith(prefix) and (not separator or len(words) == (wanted.get("length") or 2))


def _is_shuffled(result: list[str], wanted: Mapping[str, Any]) -> bool:
    given = list(wanted.get("input") or ())
    count = wanted.get("result_count")
    count = len(given) if count is None else count
    rounds = -(-count // len(given)) if given else 0
    most = {word: times * rounds for word, times in Counter(given).items()}
    return len(result) == count and all(times <= most.get(word, 0) for word, times in Counter(result).items())
