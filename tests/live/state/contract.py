"""What each backend on a server promises, whatever the server is. The folders of the backends run it on theirs."""

from __future__ import annotations

import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import pytest

from hythe.diagnostic import DiagnosticError


class Place(Protocol):
    """Somewhere that states are kept, empty at first: a database, a bucket."""

    def storage(self, **settings: Any) -> Any:
        """The backend's storage."""

    def backend(self, workspace: str = "default", **settings: Any) -> Any:
        """The backend of one workspace, as another process would have it."""


class BackendContract:
    """Subclasses have a fixture ``place``, and count what is there. ``rounds`` is how often a state is written."""

    rounds = 100

    def journal_size(self, place: Any) -> int:
        """How many records, or sets of them, the server has of all journals."""
        raise NotImplementedError

    def is_untouched(self, place: Any) -> bool:
        """Whether nothing was made on the server."""
        raise NotImplementedError

    def test_nothing_is_there_at_first_and_reading_makes_nothing(self, place: Place) -> None:
        backend = place.backend()
        assert backend.read() is None
        assert backend.read_journal().records == []
        assert (backend.read_backup(), backend.last_written(), backend.holder()) == (None, None, None)
        assert backend.versions() == []
        assert place.storage().workspaces() == ["default"]
        assert self.is_untouched(place)

    def test_snapshot_and_journal_of_one_who_goes_on(self, place: Place) -> None:
        backend = place.backend()
        with backend.lock("apply", 0):
            backend.write(b"one", serial=1, keep_journal=False)
            journal = backend.open_journal(b"head", None)
            journal.write([b"a", b"b"])
            journal.write([b"c"])
            journal.close()
        other = place.backend()
        assert other.read() == b"one"
        seen = other.read_journal()
        assert seen.records == [b"head", b"a", b"b", b"c"]
        with other.lock("apply", 0):
            other.open_journal(b"not used", seen.position).write([b"d"])
            other.write(b"two", serial=2, keep_journal=True)
        assert place.backend().read() == b"two"
        assert place.backend().read_journal().records == []
        assert place.backend().read_backup() == b"one"
        assert place.backend().read_old_journal().records == [b"head", b"a", b"b", b"c", b"d"]
        last = place.backend().last_written()
        assert last is not None
        assert abs(last - time.time()) < 60

    def test_a_journal_begun_anew_replaces_what_was_taken_in(self, place: Place) -> None:
        backend = place.backend()
        backend.open_journal(b"old", None).write([b"a"])
        backend.open_journal(b"new", None).write([b"b"])
        assert place.backend().read_journal().records == [b"new", b"b"]
        assert self.journal_size(place) == 2

    def test_a_reader_sees_one_moment(self, place: Place) -> None:
        """Snapshot and journal are of one moment, though another run ends between the two calls."""
        writer, reader = place.backend(), place.backend()
        writer.write(b"one", serial=1, keep_journal=False)
        writer.open_journal(b"head", None).write([b"a"])
        assert reader.read() == b"one"
        writer.write(b"two", serial=2, keep_journal=True)
        assert reader.read_journal().records == [b"head", b"a"]

    def test_readers_see_one_moment_however_much_is_written(self, place: Place) -> None:
        ending = threading.Event()
        seen: set[bytes | None] = set()
        place.backend().write(b"0", serial=1, keep_journal=False)

        def read() -> None:
            backend = place.backend()
            while not ending.is_set():
                data, journal = backend.read(), backend.read_journal().records
                assert journal[:1] in ([], [data])
                seen.add(data)

        with ThreadPoolExecutor(2) as pool:
            readers = [pool.submit(read) for _ in range(2)]
            writer = place.backend(versions=1)
            try:
                for n in range(1, self.rounds):
                    writer.open_journal(b"%d" % (n - 1), None).write([b"x"])
                    writer.write(b"%d" % n, serial=n, keep_journal=False)
                    # who reads while all is written anew again and again may have to read again and again
                    time.sleep(random.random() * 5 / self.rounds)
            finally:
                ending.set()
            for each in readers:
                each.result()
        assert len(seen) > 2

    def test_versions(self, place: Place) -> None:
        backend = place.backend(versions=3)
        for serial in range(1, 8):
            backend.open_journal(b"head", None).write([b"x"])
            backend.write(b"version %d" % serial, serial=serial, keep_journal=True)
        found = place.backend().versions()
        assert [(v.serial, v.size) for v in found] == [(6, 9), (5, 9), (4, 9)]
        assert [place.backend().read_version(v.id) for v in found] == [b"version 6", b"version 5", b"version 4"]
        assert all(abs(v.written - time.time()) < 60 for v in found)
        assert place.backend().read_version("nonsense") is None
        assert place.backend().read_version("00000000-0000-0000-0000-000000000000") is None
        # of those before, only the latest keeps a journal
        assert self.journal_size(place) == 2
        none = place.backend("bare", versions=0)
        none.write(b"one", serial=1, keep_journal=False)
        none.write(b"two", serial=2, keep_journal=True)
        assert (none.read(), none.versions(), none.read_backup()) == (b"two", [], None)

    def test_one_holds_the_lock_and_is_named(self, place: Place) -> None:
        held = place.backend().lock("apply", 0)
        told = place.backend().holder()
        assert told == held.holder
        assert (told.operation, told.pid) == ("apply", os.getpid())
        with pytest.raises(DiagnosticError) as caught:
            place.backend().lock("plan", 0.3)
        assert held.holder.id in str(caught.value)
        assert "hythe apply" in str(caught.value)
        held.release()
        held.release()
        assert place.backend().holder() is None
        with place.backend().lock("plan", 0):
            pass

    def test_one_at_a_time_among_threads(self, place: Place) -> None:
        """Each adds one to what is there: with two at once, one would be lost."""

        def add() -> None:
            backend = place.backend(versions=2)
            with backend.lock("apply", 120):
                before = int(backend.read() or b"0")
                time.sleep(0.01)
                backend.write(b"%d" % (before + 1), serial=before + 1, keep_journal=False)

        count = max(8, self.rounds // 4)
        with ThreadPoolExecutor(8) as pool:
            for each in [pool.submit(add) for _ in range(count)]:
                each.result()
        assert place.backend().read() == b"%d" % count
