"""The lock: an object that names its holder, and that the holder writes anew as long as it lives.

No clock of a client is compared with another's. Whoever waits takes the lock over when it has seen the object
unchanged for a whole lease, by a write that only goes through on what it saw, so that one of many succeeds.
"""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hythe.diagnostic import Diagnostic, DiagnosticError, error
from hythe.state.backends.base import LeaseLost
from hythe.state.backends.s3.failures import failures, reading
from hythe.state.backends.s3.link import Found, Link, NoConditions, Refused
from hythe.state.lock import Holder, describe_process
from hythe.state.processes import ProcessName, is_dead, this_process

if TYPE_CHECKING:
    from hythe.state.backends.s3.settings import Target

_POLL = 0.8
_RELEASE_PATIENCE = 2.0
_SLOW = 1.0
_UNASKED = 30.0
"""How many seconds an old lock is watched by one who asked for no patience."""
_AGE_MARGIN = 5.0
"""By how many seconds more than its lease a lock must be old by the server's clock to count as left alone."""


@dataclass(frozen=True, slots=True)
class Note:
    """What is in the lock's object.

    ``clean``: nobody who had it before can still be about to write. ``server`` is where conditions were seen to be
    honoured, ``bare`` how ETags are written there. ``nonce`` is another one with each write.
    """

    token: int = 0
    held: bool = False
    clean: bool = True
    lease: float = 30.0
    holder: Holder | None = None
    process: ProcessName | None = None
    server: str = ""
    bare: bool | None = None
    nonce: str = ""

    @property
    def gone(self) -> bool:
        """Whether the holder has certainly ended."""
        return self.process is not None and is_dead(self.process)

    def is_of(self, holder: Holder) -> bool:
        """Whether that holder has the lock."""
        return self.held and self.holder is not None and self.holder.id == holder.id

    def encode(self) -> bytes:
        """The object's bytes, as no other write has them."""
        told: dict[str, Any] = {"hythe_lock": 1, **{f.name: getattr(self, f.name) for f in fields(self)}}
        told["holder"] = asdict(self.holder) if self.holder is not None else None
        told["process"] = self.process.as_json() if self.process is not None else None
        told["nonce"] = uuid.uuid4().hex
        return json.dumps(told, indent=1).encode() + b"\n"


def decode(body: bytes, target: Target) -> Note:
    """What the bytes say; one that cannot be read is held by nobody knows whom."""
    try:
        told = json.loads(body)
        holder = told["holder"]
        return Note(
            int(told["token"]),
            bool(told["held"]),
            bool(told["clean"]),
            float(told["lease"]),
            Holder(**holder) if holder is not None else None,
            ProcessName.from_json(told["process"]),
            str(told["server"]),
            told["bare"],
            str(told["nonce"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return Note(held=True, clean=False, lease=target.lease)


def look(link: Link, key: str, patience: float = 0.0) -> tuple[Note, Found] | None:
    """The lock as it is. Raises what the library raises."""
    found = link.get(key, patience=patience)
    return (decode(found.body, link.target), found) if found is not None else None


def holder_of(link: Link, key: str, patience: float = 0.0) -> Holder | None:
    """Who holds the lock now, as far as that can be told at once."""
    seen = look(link, key, patience)
    if seen is None or not seen[0].held or seen[0].gone or seen[1].age > seen[0].lease + _AGE_MARGIN:
        return None
    return seen[0].holder


class Lease:
    """A lock that is held. A context manager; :meth:`release` may be called twice.

    A thread renews it. Once it is ``lost`` it stays so.
    """

    def __init__(self, link: Link, key: str, note: Note, etag: str, begun: float) -> None:
        assert note.holder is not None
        self.holder, self.token = note.holder, note.token
        self.given_up = False
        """Whether it was held to the end, and released."""
        self.lost = False
        self.vanish = False
        """Whether the lock's object is to go with the state that it belonged to."""
        self._link, self._key, self._note, self._etag = link, key, note, etag
        self._renewed = begun
        self._end = threading.Event()
        self._beat = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._beat.start()

    def release(self, *, clean: bool = True) -> None:
        """Give it up. Never raises: one that cannot be given up ends by itself.

        ``clean``: nothing of what was written under it can still be on its way.
        """
        if self._end.is_set():
            return
        self._end.set()
        self._beat.join()
        if self.lost:
            return
        clean = clean and not self._link.uncertain
        free = Note(
            token=self.token, clean=clean, lease=self._note.lease, server=self._note.server, bare=self._link.bare
        )
        try:
            self._etag = _swap(self._link, self._key, free, self._etag, _RELEASE_PATIENCE)
            self.given_up = True
            if self.vanish and clean:
                self._link.delete([self._key])
        except Refused:
            self.lost = True
        except failures():
            pass

    def still_ours(self) -> None:
        """See that nobody can have taken it over. Raises LeaseLost, and what the library raises.

        The server is asked only when this process was stopped, or cut off, for a whole lease.
        """
        if not self.lost and _now() - self._renewed < self._note.lease:
            return
        seen = look(self._link, self._key, self._link.target.retry_for)
        if seen is None or not seen[0].is_of(self.holder):
            self.lost = True
            raise LeaseLost(f"the lock was lost: {how_lost(seen[0] if seen is not None else None)}")

    def _renew(self) -> None:
        usual = self._note.lease / 3
        pause = usual
        while not self._end.wait(pause):
            begun = _now()
            try:
                self._etag = _swap(self._link, self._key, self._note, self._etag, -1.0)
            except Refused:
                self.lost = True
                return
            except failures():
                # as soon as the server is back: it may be that nobody took it meanwhile
                pause = min(1.0, usual)
                continue
            self._renewed, pause = begun, usual

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


@dataclass(slots=True)
class Watch:
    """For how long the lock was seen to be unchanged, by a clock that nobody else reads."""

    etag: str = ""
    since: float = 0.0
    troubles: int = 0

    def seen(self, etag: str, now: float, troubles: int) -> float:
        """Note what is there now; gives for how long it was the same."""
        # while the server was away or slow no holder could renew anything
        if (etag, troubles) != (self.etag, self.troubles):
            self.etag, self.since, self.troubles = etag, now, troubles
        return now - self.since


def acquire(
    link: Link,
    key: str,
    where: str,
    operation: str,
    timeout: float,
    fence: Callable[[bool], None],
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Lease:
    """Take the lock, waiting up to ``timeout`` seconds. Raises DiagnosticError, which names its holder.

    ``fence`` is called when whoever had it before may still be about to write, and sees to it that this is refused;
    with False when there was no lock at all.
    """
    target, watch, slow, deadline = link.target, Watch(), 0, clock() + timeout
    mine = Note(1, True, True, target.lease, describe_process(operation), this_process())
    while True:
        with reading(target):
            begun = clock()
            seen = look(link, key, max(deadline - begun, 0.0))
            note, found = seen if seen is not None else (None, None)
            # one that takes its time is as good as away
            slow += clock() - begun > max(_SLOW, (note.lease if note is not None else target.lease) / 6)
            unchanged = watch.seen(found.etag if found is not None else "", clock(), link.troubles + slow)
            wait = 0.0
            if note is not None and found is not None and note.held and not note.gone:
                wait, ended = note.lease - unchanged, deadline
                if found.age > note.lease + _AGE_MARGIN:
                    # by the server's clock it is old; one who renews it would be seen to do so in this time
                    watched = note.lease / 3 + 2.0
                    wait = min(wait, watched - unchanged)
                    if watched <= _UNASKED:
                        ended += watched + _AGE_MARGIN
                if wait > 0 and clock() >= ended:
                    raise DiagnosticError(_taken(where, note, timeout))
            if wait <= 0:
                lease = _take(link, key, mine, seen, where)
                if lease is not None:
                    _begin(lease, note, fence)
                    return lease
                wait = _POLL
        # not all at the same moment
        time.sleep(min(max(wait, 0.05), _POLL) * (0.5 + random.random() / 2))  # noqa: S311


def break_it(link: Link, key: str, where: str, lock_id: str) -> None:
    """Take the lock of that id away from its holder. Raises DiagnosticError when there is none."""
    with reading(link.target):
        for _ in range(20):
            seen = look(link, key)
            if seen is None or not seen[0].held or seen[0].holder is None or seen[0].holder.id != lock_id:
                break
            note, found = seen
            free = Note(note.token, clean=False, lease=note.lease, server=note.server, bare=note.bare)
            try:
                _swap(link, key, free, found.etag, 0.0)
                return
            except Refused:
                # it was renewed meanwhile
                continue
    text = f"There is no lock {lock_id} on the state in {where}: it has ended, or the id is another."
    raise DiagnosticError(error("Lock not held", text))


def how_lost(note: Note | None) -> str:
    """How a lock was lost, from what is there now."""
    if note is None:
        return "its object was removed"
    if not note.held:
        return "it was taken over or forced open, and is free now"
    by = str(note.holder) if note.holder is not None else "another process"
    return f"it is held by {by} now (lock {note.holder.id if note.holder is not None else 'unknown'})"


def _take(link: Link, key: str, mine: Note, seen: tuple[Note, Found] | None, where: str) -> Lease | None:
    """Take the lock as it was seen; None when another was quicker."""
    target, begun = link.target, _now()
    here = f"{target.endpoint or target.region} {target.bucket}"
    note = seen[0] if seen is not None else Note()
    if note.server == here:
        link.bare = note.bare if note.bare is not None else link.bare
    mine = replace(mine, token=note.token + 1, server=note.server, bare=link.bare)
    try:
        etag = _swap(link, key, mine, seen[1].etag if seen is not None else None, 0.0)
        if note.server != here:
            found = link.get(key)
            if found is None or found.etag != etag:
                return None
            link.check(key, etag, found.body)
            etag = _swap(link, key, replace(mine, server=here), etag, 0.0)
            mine = replace(mine, server=here)
    except Refused:
        return None
    except NoConditions:
        # what another server of before may have left there is for nobody here
        link.delete([key])
        raise DiagnosticError(_unsafe(target, where)) from None
    return Lease(link, key, replace(mine, bare=link.bare), etag, begun)


def _begin(lease: Lease, note: Note | None, fence: Callable[[bool], None]) -> None:
    if note is not None and not note.held and note.clean:
        return
    try:
        fence(note is not None)
    except BaseException:
        lease.release(clean=False)
        raise


def _swap(link: Link, key: str, note: Note, etag: str | None, patience: float) -> str:
    """Write the lock in place of what was seen; the new ETag. Raises Refused when another was quicker."""
    body = note.encode()
    try:
        if etag is None:
            return link.create(key, body, patience)
        return link.replace(key, body, etag, patience)
    except Refused:
        found = link.get(key, patience=patience)
        if found is not None and found.body == body:
            # the answer of the try before was lost
            return found.etag
        raise


def _now() -> float:
    """Seconds, those in which the machine was suspended too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _unsafe(target: Target, where: str) -> Diagnostic:
    text = (
        f"This is about {where}. The server does not honour conditions: it wrote an object that it should have left "
        "alone (If-None-Match, If-Match). Without them two runs could hold the lock at once, so nothing was begun. Use "
        f"a server with conditional writes (Amazon S3, Ceph's gateway since Octopus, MinIO), a newer version of what "
        f"runs on {target.host}, or another backend."
    )
    return error("State server cannot lock", text)


def _taken(where: str, note: Note, timeout: float) -> Diagnostic:
    waited = f" {timeout:g} seconds of waiting did not change that." if timeout else ""
    who = "Another process holds it."
    if note.holder is not None:
        who = f"It is held by {note.holder} (lock {note.holder.id})."
    return error(
        "State is locked",
        f"This is about {where}. {who}{waited} Two at once would overwrite each other's work. Wait for it to end "
        "(--lock-timeout=60s waits by itself). A holder that ended without a word loses the lock by itself, at once "
        "on this machine and when its lease runs out elsewhere; `hythe force-unlock ID` takes it from one that hangs.",
    )
