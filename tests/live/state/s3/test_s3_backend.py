"""What the S3 backend promises, on a real server."""

from __future__ import annotations

import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hythe.diagnostic import DiagnosticError
from hythe.state.backends.base import LeaseLost, ServerFailed
from hythe.state.backends.s3 import journal as journals
from hythe.state.backends.s3.link import Link, Refused
from hythe.state.journal import JournalDamaged
from tests.live.state.contract import BackendContract
from tests.live.state.s3.conftest import KEY, Bucket


class TestContract(BackendContract):
    """What every backend promises."""

    rounds = 25

    @pytest.fixture
    def place(self, bucket: Bucket) -> Bucket:
        """An empty bucket."""
        return bucket

    def journal_size(self, place: Bucket) -> int:
        """The objects of all journals."""
        return len(place.listed(f"{KEY}.hythejournal/"))

    def is_untouched(self, place: Bucket) -> bool:
        """Whether it is empty still."""
        return place.listed() == []


def test_the_server_lets_one_of_many_through(bucket: Bucket) -> None:
    """What all the rest is built on: the bare server, many at the same moment."""
    link = bucket.link

    def outcome(write: Any) -> str:
        try:
            write()
        except Refused:
            return "refused"
        return "written"

    with ThreadPoolExecutor(12) as pool:
        for n in range(12):
            made = Counter(pool.map(lambda i, n=n: outcome(lambda: link.create(f"c{n}", b"%d" % i)), range(12)))
            assert made == {"written": 1, "refused": 11}
            etag = link.create(f"r{n}", b"first")
            made = Counter(
                pool.map(lambda i, n=n, etag=etag: outcome(lambda: link.replace(f"r{n}", b"%d" % i, etag)), range(12))
            )
            assert made == {"written": 1, "refused": 11}
    link.check("r0", "", b"unused")


def test_records_whose_answer_was_lost_are_there_once(bucket: Bucket) -> None:
    """A write that came through though its answer did not: the writer tries again, with more by then."""
    journal = bucket.backend().open_journal(b"head", None)
    journal.write([b"a", b"b"])
    journal._number -= 1
    journal.write([b"a", b"b", b"c"])
    journal.write([b"d"])
    assert bucket.backend().read_journal().records == [b"head", b"a", b"b", b"c", b"d"]


def test_a_snapshot_whose_answer_was_lost_is_there_once(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = bucket.backend()
    backend.write(b"one", serial=1, keep_journal=False)
    put = Link._put

    def deaf(self: Link, *given: Any) -> str:
        put(self, *given)
        return put(self, *given)

    with backend.lock("apply", 0):
        monkeypatch.setattr(Link, "_put", deaf)
        backend.write(b"two", serial=2, keep_journal=False)
        backend.open_journal(b"head", None).write([b"a"])
        monkeypatch.undo()
        backend.write(b"three", serial=3, keep_journal=True)
    assert bucket.backend().read() == b"three"
    assert bucket.backend().read_old_journal().records == [b"head", b"a"]
    assert [v.serial for v in bucket.backend().versions()] == [2, 1]


def test_two_without_a_lock_do_not_mix_what_they_write(bucket: Bucket) -> None:
    bucket.backend().open_journal(b"head", None).write([b"a"])
    backends = [bucket.backend(), bucket.backend()]
    positions = [backend.read_journal().position for backend in backends]
    one, other = (b.open_journal(b"", p) for b, p in zip(backends, positions, strict=True))
    one.write([b"b", b"c"])
    with pytest.raises(ServerFailed, match="without a lock"):
        other.write([b"x", b"y", b"z"])
    assert bucket.backend().read_journal().records == [b"head", b"a", b"b", b"c"]
    backends[0].write(b"first", serial=1, keep_journal=False)
    with pytest.raises(ServerFailed, match="without a lock"):
        backends[1].write(b"second", serial=1, keep_journal=False)
    assert bucket.backend().read() == b"first"


def test_missing_and_damaged_records_are_told(bucket: Bucket) -> None:
    journal = bucket.backend().open_journal(b"head", None)
    for record in (b"a", b"b", b"c"):
        journal.write([record])
    keys, link = bucket.listed(f"{KEY}.hythejournal/"), bucket.link
    found = link.get(keys[2])
    assert found is not None
    for damage in (lambda: link.replace(keys[2], found.body[:-1] + b"x", found.etag), lambda: link.delete([keys[2]])):
        damage()
        backend = bucket.backend()
        backend.read()
        with pytest.raises(JournalDamaged) as caught:
            backend.read_journal()
        assert (caught.value.unit, caught.value.offset) == ("object", 2)


def test_a_file_that_somebody_put_there_is_taken_as_it_is(bucket: Bucket) -> None:
    bucket.link.create(KEY, b"by hand")
    backend = bucket.backend()
    assert backend.read() == b"by hand"
    with backend.lock("apply", 0):
        backend.open_journal(b"head", None).write([b"a"])
        assert bucket.backend().read() == b"by hand"
        assert bucket.backend().read_journal().records == [b"head", b"a"]
        backend.write(b"two", serial=2, keep_journal=True)
    assert bucket.backend().read_backup() == b"by hand"


def test_workspaces_and_keys_are_apart_and_deleted_whole(bucket: Bucket) -> None:
    for key in (KEY, "other.json"):
        for workspace in ("default", "prod", "ünï'code"):
            backend = bucket.backend(workspace, key=key)
            with backend.lock("apply", 0):
                backend.write(b"old", serial=1, keep_journal=False)
                backend.open_journal(b"head", None).write([b"a"])
                backend.write(f"{key} {workspace}".encode(), serial=2, keep_journal=True)
                backend.open_journal(b"head", None).write([b"a"])
    assert bucket.storage(key="other.json").workspaces() == ["default", "prod", "ünï'code"]
    gone = bucket.backend("prod")
    with gone.lock("delete", 0):
        gone.delete()
    assert bucket.storage().workspaces() == ["default", "ünï'code"]
    assert bucket.backend("prod").read() is None
    assert bucket.backend("prod", key="other.json").read() == b"other.json prod"
    assert bucket.listed(f"env:/prod/{KEY}") == []
    with bucket.backend("prod").lock("apply", 0):
        assert bucket.storage().workspaces() == ["default", "ünï'code"]


def test_a_large_state(bucket: Bucket) -> None:
    data = os.urandom(12_500_000) * 2
    backend = bucket.backend(lease="2s")
    with backend.lock("apply", 0):
        backend.write(data, serial=1, keep_journal=False)
        assert bucket.backend().read() == data
        # a record costs the same whatever the size of the state
        journal = backend.open_journal(b"head", None)
        began = time.monotonic()
        for _ in range(50):
            journal.write([b"x" * 500])
        assert time.monotonic() - began < 5
        journal.write([b'{"intent": %d}' % n for n in range(10_000)])
    written = bucket.link.keys("")
    assert len([o for o in written if o.key.startswith(f"{KEY}.hythejournal/")]) == 52
    assert sum(o.size for o in written) < 1.1 * len(data)
    assert len(bucket.backend().read_journal().records) == 10_051


# -- the lock ---------------------------------------------------------------------------------------


def test_a_lock_given_up_fences_nobody_off(bucket: Bucket) -> None:
    tokens = []
    for _ in range(4):
        with bucket.backend().lock("plan", 0) as held:
            tokens.append(held.token)
    assert tokens == [1, 2, 3, 4]
    # who gave it up can write nothing any more
    assert bucket.listed() == [f"{KEY}.hythelock"]


def test_a_lease_that_is_renewed_is_never_robbed(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hythe.state.backends.s3.lease.is_dead", lambda name: False)
    backend = bucket.backend(lease="2s")
    with backend.lock("apply", 0) as held:
        with pytest.raises(DiagnosticError, match="State is locked"):
            bucket.backend(lease="2s").lock("plan", 5)
        backend.write(b"still mine", serial=1, keep_journal=False)
        assert not held.lost


class Stopped:
    """A backend whose holder was stopped: it has the lock, and does not renew it any more."""

    def __init__(self, bucket: Bucket, **settings: Any) -> None:
        self.backend = bucket.backend(lease="1s", **settings)
        self.lease = self.backend.lock("apply", 0)
        self.lease._end.set()
        self.lease._beat.join()

    def sleeps_on(self) -> None:
        """Its clock did not go on either: it takes its lease for valid."""
        self.lease._renewed += 3600


@pytest.mark.parametrize("knows", [True, False], ids=["by the clock", "by the server alone"])
def test_a_stopped_holder_is_refused_whatever_it_writes(bucket: Bucket, knows: bool) -> None:
    bucket.backend().write(b"zero", serial=1, keep_journal=False)
    stopped = Stopped(bucket)
    backend = stopped.backend
    backend.read()
    journal = backend.open_journal(b"head", None)
    journal.write([b"a"])
    if not knows:
        stopped.sleeps_on()
    other = bucket.backend()
    begun = time.monotonic()
    with other.lock("apply", 20):
        assert 0.9 < time.monotonic() - begun < 15
        # the other has written nothing yet, and read nothing
        with pytest.raises(LeaseLost, match="it is held by"):
            journal.write([b"late"])
        backend._lease.lost = False  # type: ignore[union-attr]
        with pytest.raises(LeaseLost, match="it is held by"):
            backend.write(b"late", serial=2, keep_journal=True)
        assert other.read() == b"zero"
        seen = other.read_journal()
        assert seen.records == [b"head", b"a"]
        other.open_journal(b"", seen.position).write([b"b"])
        other.write(b"one", serial=2, keep_journal=False)
    backend._lease.lost = False  # type: ignore[union-attr]
    with pytest.raises(LeaseLost, match="free now"):
        journal.write([b"late"])
    assert bucket.backend().read() == b"one"


def test_a_stopped_holder_that_had_not_begun_is_refused_too(bucket: Bucket) -> None:
    stopped = Stopped(bucket)
    assert stopped.backend.read() is None
    stopped.sleeps_on()
    other = bucket.backend()
    with other.lock("apply", 20):
        with pytest.raises(LeaseLost):
            stopped.backend.open_journal(b"late", None)
        stopped.lease.lost = False
        with pytest.raises(LeaseLost):
            stopped.backend.write(b"late", serial=1, keep_journal=False)
        assert other.read() is None
        other.open_journal(b"head", None).write([b"a"])
        assert bucket.backend().read_journal().records == [b"head", b"a"]
        other.write(b"one", serial=1, keep_journal=True)
    assert bucket.backend().read() == b"one"


def test_one_of_many_takes_over(bucket: Bucket) -> None:
    Stopped(bucket)

    def take(n: int) -> str:
        backend = bucket.backend(lease="10s")
        try:
            held = backend.lock(f"number {n}", 6)
        except DiagnosticError:
            return "refused"
        assert not held.lost
        return "taken"

    with ThreadPoolExecutor(6) as pool:
        assert Counter(pool.map(take, range(6))) == {"taken": 1, "refused": 5}


def test_a_holder_that_is_gone_for_long_asks_nobody_for_patience(bucket: Bucket) -> None:
    """By the server's clock the lock is old, so who comes later watches it for a moment only."""
    Stopped(bucket)
    with pytest.raises(DiagnosticError, match="State is locked"):
        bucket.backend().lock("plan", 0)
    # the server tells whole seconds
    time.sleep(7.5)
    assert bucket.backend().holder() is None
    begun = time.monotonic()
    with bucket.backend().lock("plan", 0):
        assert time.monotonic() - begun > 0.9


def test_an_outage_does_not_cost_a_holder_its_lock(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """One who waits counts only the time in which the server was there."""
    monkeypatch.setattr("hythe.state.backends.s3.lease.is_dead", lambda name: False)
    backend = bucket.backend(lease="2s")
    with backend.lock("apply", 0) as held, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: bucket.backend().lock("plan", 14))
        time.sleep(1)
        with bucket.gateway.frozen():
            time.sleep(5)
        with pytest.raises(DiagnosticError, match="State is locked"):
            waiting.result(60)
        assert not held.lost
        backend.write(b"mine", serial=1, keep_journal=False)


def test_a_lock_forced_open_fences_its_holder_off(bucket: Bucket) -> None:
    backend = bucket.backend()
    backend.write(b"zero", serial=1, keep_journal=False)
    held = backend.lock("apply", 0)
    backend.read()
    with pytest.raises(DiagnosticError, match="Lock not held"):
        bucket.backend().break_lock("another")
    bucket.backend().break_lock(held.holder.id)
    assert bucket.backend().holder() is None
    other = bucket.backend()
    with other.lock("apply", 0):
        with pytest.raises(LeaseLost):
            backend.write(b"late", serial=2, keep_journal=False)
        other.write(b"one", serial=2, keep_journal=False)
    held.release()
    assert bucket.backend().read() == b"one"
    assert bucket.backend().holder() is None


def test_what_may_still_be_on_its_way_is_fenced_off(bucket: Bucket) -> None:
    backend = bucket.backend()
    held = backend.lock("apply", 0)
    backend.write(b"one", serial=1, keep_journal=False)
    # a write failed, and nobody knows whether the server will still do it
    backend._link.uncertain = True
    late = backend._current()
    held.release()
    assert late is not None
    with bucket.backend().lock("apply", 0), pytest.raises(Refused):
        bucket.link.replace(KEY, b"late", late.etag)
    assert bucket.backend().read() == b"one"


def test_seals_stay_when_their_journal_goes(bucket: Bucket) -> None:
    stopped = Stopped(bucket)
    journal = stopped.backend.open_journal(b"head", None)
    journal.write([b"a"])
    other = bucket.backend(versions=0)
    with other.lock("apply", 20):
        for serial in range(1, 4):
            other.write(b"%d" % serial, serial=serial, keep_journal=False)
    found = bucket.link.keys(f"{KEY}.hythejournal/")
    assert [journals.is_seal(each) for each in found] == [True]


def test_a_server_that_does_not_honour_conditions_is_refused(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    put = Link._put
    for ignored in ("IfNoneMatch", "IfMatch"):

        def careless(self: Link, key: str, body: bytes, condition: dict[str, str], *more: Any) -> str:
            kept = {name: value for name, value in condition.items() if name != ignored}  # noqa: B023 - used at once
            return put(self, key, body, kept, *more)

        monkeypatch.setattr(Link, "_put", careless)
        for _ in range(2):
            with pytest.raises(DiagnosticError, match="State server cannot lock"):
                bucket.backend().lock("apply", 0)
        monkeypatch.setattr(Link, "_put", put)
        bucket.link.delete(bucket.listed())
