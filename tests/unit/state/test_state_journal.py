"""Frames of a journal: durable in order, cut short without harm, damaged with a word."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from hythe.state.frames import Content, JournalFile, decode_journal, encode_frame
from hythe.state.journal import Journal, JournalDamaged, JournalFailed

HEADER = {"hythe_journal": 1}


def opened(path: Path, content: Content | None = None, fsync: Callable[[int], None] = os.fdatasync) -> Journal:
    return Journal(JournalFile(str(path), orjson.dumps(HEADER), content, fsync=fsync))


def records(data: bytes) -> list[Any]:
    return list(map(orjson.loads, decode_journal(data).records))


def frames(*batches: list[bytes]) -> tuple[bytes, list[int]]:
    out, ends, crc = b"", [], 0
    for batch in batches:
        frame, crc = encode_frame(batch, crc)
        out += frame
        ends.append(len(out))
    return out, ends


def test_records_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = opened(path)
    for n in range(100):
        journal.append({"n": n})
    journal.wait()
    journal.close()
    assert records(path.read_bytes()) == [HEADER, *({"n": n} for n in range(100))]
    assert oct(os.stat(path).st_mode & 0o777) == "0o600"


def test_a_journal_goes_on_after_a_torn_record(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = opened(path)
    journal.append({"n": 1})
    journal.close()
    path.write_bytes(path.read_bytes() + b"#123 0000")
    content = decode_journal(path.read_bytes())
    journal = opened(path, content)
    journal.append({"n": 2})
    journal.close()
    assert records(path.read_bytes()) == [HEADER, {"n": 1}, {"n": 2}]


def test_a_write_cut_short_anywhere_loses_only_itself() -> None:
    data, ends = frames([b'{"a":1}'], [b'{"b":1}', b'{"c":2}'], [b'{"d":3}'])
    for end in range(len(data)):
        whole = sum(1 for e in ends if e <= end)
        assert decode_journal(data[:end]).end == (ends[whole - 1] if whole else 0)


def test_a_last_frame_of_zeros_is_a_write_cut_short() -> None:
    data, ends = frames([b'{"a":1}'], [b'{"b":1}'])
    for start in range(ends[0], len(data)):
        assert decode_journal(data[:start] + b"\0" * (len(data) - start)).end == ends[0]


def test_every_flipped_bit_before_the_end_is_damage() -> None:
    data, ends = frames([b'{"a":1}'], [b'{"b":1}', b'{"c":2}'], [b'{"d":3}'])
    for at in range(ends[1]):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[at] ^= 1 << bit
            with pytest.raises(JournalDamaged):
                decode_journal(bytes(damaged))


def test_a_lost_or_repeated_frame_is_damage() -> None:
    data, ends = frames([b'{"a":1}'], [b'{"b":1}'], [b'{"c":1}'])
    with pytest.raises(JournalDamaged):
        decode_journal(data[: ends[0]] + data[ends[1] :])
    with pytest.raises(JournalDamaged):
        decode_journal(data[: ends[1]] + data[ends[0] :])


def test_waiting_records_share_one_sync(tmp_path: Path) -> None:
    syncs = 0
    gate = threading.Event()

    def fsync(file: int) -> None:
        nonlocal syncs
        syncs += 1
        if syncs == 2:
            gate.wait(5)
        os.fdatasync(file)

    journal = opened(tmp_path / "j", fsync=fsync)
    journal.append({"first": True})
    while syncs < 2:
        pass
    for n in range(1000):
        journal.append({"n": n})
    assert journal.durable == 0
    gate.set()
    journal.wait()
    journal.close()
    assert syncs == 3


def test_a_full_disk_is_told_and_nothing_half_written_stays(tmp_path: Path) -> None:
    full = False

    def fsync(file: int) -> None:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "j"
    journal = opened(path, fsync=fsync)
    journal.wait(journal.append({"n": 1}))
    full = True
    ticket = journal.append({"n": 2})
    with pytest.raises(JournalFailed):
        journal.wait(ticket)
    assert records(path.read_bytes()) == [HEADER, {"n": 1}]
    late = journal.append({"n": 3})
    with pytest.raises(JournalFailed):
        journal.retry()
    full = False
    journal.retry()
    journal.wait(late)
    journal.wait(journal.append({"n": 4}))
    journal.close()
    assert records(path.read_bytes())[1:] == [{"n": n} for n in (1, 2, 3, 4)]


def test_a_last_frame_without_some_of_its_sectors_is_a_write_cut_short() -> None:
    """After a power failure: the file has its length, and of the frame some sectors were written."""
    data, ends = frames([b'{"a":1}'], [b'{"b":"%s"}' % (b"x" * 2000)])
    for first in range(0, len(data), 512):
        torn = bytearray(data)
        start, end = max(first, ends[0]), min(first + 512, len(data))
        torn[start:end] = bytes(end - start)
        assert decode_journal(bytes(torn)).end == ends[0]
        # what is followed by another frame was whole once, and acknowledged
        more, _ = encode_frame([b'{"c":1}'], decode_journal(data).crc)
        with pytest.raises(JournalDamaged):
            decode_journal(bytes(torn) + more)


def test_a_flipped_bit_in_the_last_frame_is_damage() -> None:
    """It was acknowledged, perhaps: only zeros as a disk leaves them say that it was not."""
    data, ends = frames([b'{"a":1}'], [b'{"b":" %s"}' % (b"@" * 100)])
    for at in range(ends[0], len(data) - 1):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[at] ^= 1 << bit
            with pytest.raises(JournalDamaged):
                decode_journal(bytes(damaged))
