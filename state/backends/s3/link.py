"""Objects in a bucket: read, written on a condition, and asked for again when the server did not answer."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

from hythe.state.backends.s3 import failures
from hythe.state.backends.s3.driver import make_client
from hythe.state.backends.waiting import Waiting

if TYPE_CHECKING:
    from hythe.state.backends.s3.settings import Target

Result = TypeVar("Result")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_LONGEST_RETRIES = 600.0
_AT_ONCE = 12
_MOST_DELETED = 1000
_WRONG_ETAG = "00000000000000000000000000000000"


class Refused(Exception):
    """The condition of a write did not hold. Or it held, and the answer of the try before was lost."""


class NoConditions(Exception):
    """The server writes whatever the condition says."""


@dataclass(frozen=True, slots=True)
class Found:
    """An object. ``age`` is how long ago it was written by the server's clock, in seconds."""

    body: bytes
    etag: str
    age: float
    modified: float


@dataclass(frozen=True, slots=True)
class Listed:
    """An object in a list; ``modified`` is in seconds since the epoch by the server's clock."""

    key: str
    size: int
    modified: float


class Link:
    """The way to a bucket. Safe for threads.

    ``bare``: whether the server wants an ETag in ``If-Match`` without quotation marks, None while that is not known.
    Ceph's gateways of some years do, and take every other for one that does not match.
    """

    def __init__(self, target: Target, waiting: Waiting | None = None) -> None:
        self.target = target
        self._waiting = waiting or Waiting()
        self.bare: bool | None = None
        self.uncertain = False
        """Whether a write may have come through, or may yet, though it counts as failed."""
        self.troubles = 0
        """How often the server was not there, or could not serve."""
        self._making = threading.Lock()
        self._client: Any = None
        self._seen = False
        self._gave_up = False

    # -- asking again ---------------------------------------------------------------------------

    def run(self, work: Callable[[Any], Result], patience: float = 0.0) -> Result:
        """Do the work with the client; again where the server failed, for up to ``patience`` seconds.

        Without patience it is ``max_retries`` times, with less than none never. Raises what the library raises, and
        DiagnosticError.
        """
        with self._making:
            if self._client is None:
                self._client = make_client(self.target)
        patience = min(patience, 0.0) if self._gave_up else patience
        outage, pause, tries = None, _FIRST_PAUSE, 0
        while True:
            try:
                result = work(self._client)
            except failures.failures() as failure:
                self._seen = self._seen or failures.status_of(failure) > 0
                if not (failures.is_passing(failure) or failures.is_conflict(failure)):
                    # a refusal is an answer too: what was sent before the outage may have come through
                    if failures.status_of(failure) > 0:
                        self._waiting.answered(self.target.server)
                    raise
                self.troubles += 1
                # what could not be reached even once is most likely a mistake in the settings
                if patience < 0 or (not self._seen and failures.was_never_reached(failure)):
                    raise
                tries += 1
                if outage is None:
                    outage = self._waiting.outage(self.target.server, patience or _LONGEST_RETRIES)
                if outage.over or (patience == 0 and tries > self.target.max_retries):
                    self._gave_up = self._gave_up or patience > 0
                    raise
                self._log(failure)
                outage.pause(pause, failures.reason(failure, self.target))
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                self._seen, self._gave_up = True, False
                self._waiting.answered(self.target.server)
                return result

    # -- reading --------------------------------------------------------------------------------

    def get(self, key: str, *, tail: int | None = None, patience: float = 0.0) -> Found | None:
        """An object, or its last ``tail`` bytes; None when there is none."""

        def work(client: Any) -> Found | None:
            given = {"Range": f"bytes=-{tail}"} if tail is not None else {}
            try:
                answer = client.get_object(Bucket=self.target.bucket, Key=key, **given)
                body = answer["Body"].read()
            except failures.failures() as failure:
                if failures.status_of(failure) == 404 and failures.code_of(failure) in ("NoSuchKey", "404"):
                    return None
                if failures.status_of(failure) == 416:
                    # nothing has no tail
                    return self.get(key)
                raise
            modified = answer["LastModified"].timestamp()
            return Found(body, answer["ETag"].strip('"'), _now(answer) - modified, modified)

        return self.run(work, patience)

    def get_all(self, keys: Iterable[str], patience: float = 0.0) -> list[Found | None]:
        """Several objects, some of them at once, in that order."""
        wanted = list(keys)
        if len(wanted) < 2:
            return [self.get(key, patience=patience) for key in wanted]
        with ThreadPoolExecutor(min(_AT_ONCE, len(wanted)), thread_name_prefix="s3") as pool:
            return list(pool.map(lambda key: self.get(key, patience=patience), wanted))

    def keys(self, prefix: str, patience: float = 0.0) -> list[Listed]:
        """What begins with that, by key."""

        def work(client: Any) -> list[Listed]:
            return [
                Listed(o["Key"], o["Size"], o["LastModified"].timestamp())
                for page in self._pages(client, prefix)
                for o in page.get("Contents", ())
            ]

        return sorted(self.run(work, patience), key=lambda o: o.key)

    def folders(self, prefix: str) -> list[str]:
        """What follows ``prefix`` up to the next slash, each once."""

        def work(client: Any) -> list[str]:
            return [
                f["Prefix"][len(prefix) : -1]
                for page in self._pages(client, prefix, Delimiter="/")
                for f in page.get("CommonPrefixes", ())
            ]

        return self.run(work)

    def _pages(self, client: Any, prefix: str, **given: str) -> Iterator[Any]:
        yield from client.get_paginator("list_objects_v2").paginate(Bucket=self.target.bucket, Prefix=prefix, **given)

    # -- writing --------------------------------------------------------------------------------

    def create(self, key: str, body: bytes, patience: float = 0.0) -> str:
        """Write an object that is not there yet; its ETag. Raises Refused when there is one."""
        return self._put(key, body, {"IfNoneMatch": "*"}, patience)

    def replace(self, key: str, body: bytes, etag: str, patience: float = 0.0) -> str:
        """Write in place of the object of that ETag; the new ETag. Raises Refused when it is another by now."""
        if self.bare is not None:
            return self._put(key, body, {"IfMatch": _form(etag, self.bare)}, patience)
        try:
            made = self._put(key, body, {"IfMatch": _form(etag, False)}, patience)
        except Refused:
            found = self.get(key, patience=patience)
            if found is None or found.etag != etag:
                raise
            self._check_bare(key, found.body, patience)
            made = self._put(key, body, {"IfMatch": _form(etag, True)}, patience)
            self.bare = True
            return made
        self.bare = False
        return made

    def check(self, key: str, etag: str, body: bytes) -> None:
        """See that the server refuses what it must. ``body`` is what is there. Raises NoConditions."""
        for condition in ({"IfNoneMatch": "*"}, {"IfMatch": _form(_WRONG_ETAG, bool(self.bare))}):
            try:
                # should it be written after all, nothing is changed by it
                self._put(key, body, condition, 0.0)
            except Refused:
                continue
            except failures.failures() as failure:
                if failures.status_of(failure) in (400, 501):
                    raise NoConditions from failure
                raise
            raise NoConditions

    def copy(self, key: str, etag: str, target: str, patience: float = 0.0) -> None:
        """Copy an object of that ETag on the server. Raises Refused when it is another by now."""

        def work(client: Any, bare: bool) -> None:
            bucket = self.target.bucket
            client.copy_object(
                Bucket=bucket, Key=target, CopySource={"Bucket": bucket, "Key": key},
                CopySourceIfMatch=_form(etag, bare), **self.target.put_options,
            )  # fmt: skip

        try:
            self._refusable(lambda c: work(c, True), patience)
        except Refused:
            # as for writing, only that either form is refused when it does not match
            self._refusable(lambda c: work(c, False), patience)

    def delete(self, keys: Iterable[str], patience: float = 0.0) -> None:
        """Remove objects, whatever is in them; no matter if they are not there."""
        wanted = list(keys)
        for at in range(0, len(wanted), _MOST_DELETED):
            some = wanted[at : at + _MOST_DELETED]
            try:
                done = self.run(lambda c, some=some: self._delete_some(c, some), patience)  # type: ignore[misc]
            except failures.failures() as failure:
                # a server that wants another checksum than the library sends, or does not know this request
                if failures.status_of(failure) not in (400, 405, 501):
                    raise
                done = False
            if not done:
                with ThreadPoolExecutor(min(_AT_ONCE, len(some)), thread_name_prefix="s3") as pool:
                    list(pool.map(lambda key: self.run(lambda c: self._delete_one(c, key), patience), some))

    def _delete_some(self, client: Any, keys: list[str]) -> bool:
        told = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        return not client.delete_objects(Bucket=self.target.bucket, Delete=told).get("Errors")

    def _delete_one(self, client: Any, key: str) -> None:
        client.delete_object(Bucket=self.target.bucket, Key=key)

    def close(self) -> None:
        """Give the connections up."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _check_bare(self, key: str, body: bytes, patience: float) -> None:
        """See that an ETag without quotation marks is not just passed over. Raises NoConditions."""
        try:
            self._put(key, body, {"IfMatch": _form(_WRONG_ETAG, True)}, patience)
        except Refused:
            return
        raise NoConditions

    def _put(self, key: str, body: bytes, condition: dict[str, str], patience: float) -> str:
        more = dict(self.target.put_options)
        if self.target.checksums:
            more["ContentMD5"] = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()

        def work(client: Any) -> str:
            answer = client.put_object(Bucket=self.target.bucket, Key=key, Body=body, **condition, **more)
            return str(answer["ETag"]).strip('"')

        return self._refusable(work, patience)

    def _refusable(self, work: Callable[[Any], Result], patience: float) -> Result:
        try:
            return self.run(work, patience)
        except failures.failures() as failure:
            if failures.is_refused(failure) or failures.is_conflict(failure):
                raise Refused from failure
            self.uncertain = self.uncertain or failures.is_passing(failure)
            raise

    def _log(self, failure: BaseException) -> None:
        import logging

        log = logging.getLogger("hythe.state.s3")
        log.info("%s: %s; trying again", self.target.server, failures.reason(failure, self.target))


def _form(etag: str, bare: bool) -> str:
    return etag if bare else f'"{etag}"'


def _now(answer: Any) -> float:
    """The server's clock; ours where it does not tell."""
    told = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    try:
        return parsedate_to_datetime(told).timestamp() if told else time.time()
    except ValueError:
        return time.time()
