"""A session: the state while it is being changed, every change durable in the journal first."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from hythe import __version__
from hythe.diagnostic import Diagnostic, error, warning
from hythe.state.backends.base import Backend, LeaseLost, Medium, Records, mend
from hythe.state.codec import encode_intent, encode_result, encode_snapshot
from hythe.state.journal import JOURNAL_VERSION, Journal, JournalFailed, Record
from hythe.state.model import InstanceState, Intent, Origin, OutputState, Result, State


@dataclass(slots=True)
class Loaded:
    """A state as read: snapshot and journal together.

    ``pending`` are operations whose outcome is not known (see :mod:`hythe.state.settle`). ``fresh``:
    nothing was recorded yet. ``digest`` names the snapshot, ``journal`` is what goes on from it, in the
    format ``journal_version``. ``left_over``: there is a journal that the snapshot has taken in already.
    ``next_seq`` is the number for the next intent. ``last_record`` is when something was last recorded, in
    seconds since the epoch, where operations were left open.
    """

    state: State
    pending: tuple[Intent, ...] = ()
    fresh: bool = False
    digest: str = ""
    base_serial: int = 0
    journal: Records | None = None
    journal_version: int = JOURNAL_VERSION
    next_seq: int = 1
    recorded: int = field(default=0)
    last_record: float | None = None
    left_over: bool = False

    def open_journal(self, backend: Backend) -> Medium:
        """The journal that goes on from what was read; what is left over is replaced. Raises OSError."""
        header = {
            "hythe_journal": JOURNAL_VERSION,
            "hythe": __version__,
            "lineage": self.state.lineage,
            "serial": self.base_serial,
            "snapshot": self.digest,
        }
        return backend.open_journal(orjson.dumps(header), self.journal.position if self.journal is not None else None)


class Session:
    """A locked state open for writing. Used by one thread; only :meth:`wait` may be called by others.

    ``state`` is live: :meth:`record` changes it. ``loaded_serial`` is what a plan must have been made on.
    ``unmade`` are instances, by address, that were to be created and of which nothing came: made again,
    they keep their ids, so that an object which turns up late is known for what it is.
    """

    def __init__(
        self, backend: Backend, loaded: Loaded, operation: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.state = loaded.state.copy()
        self.pending = {i.seq: i for i in loaded.pending}
        self.unmade: dict[str, InstanceState] = {}
        self.loaded_serial = loaded.state.serial
        self.notify: Callable[[], None] | None = None
        self._backend = backend
        self._loaded = loaded
        self._operation = operation
        self._clock = clock
        self._seq = loaded.next_seq
        self._journal: Journal | None = None
        self._broken: OSError | None = None
        self._tickets: list[tuple[int, str]] = []
        # a journal without records is there too: whoever began it was killed at once
        self._changed = loaded.journal is not None

    # -- records --------------------------------------------------------------------------------

    def intend(self, op: str, instance: InstanceState, old_id: str | None = None) -> tuple[Intent, int]:
        """Note what is about to be done; gives the intent and the ticket to :meth:`wait` for."""
        intent = Intent(self._seq, op, instance, old_id)
        self._seq += 1
        self.pending[intent.seq] = intent
        return intent, self._append("intent", encode_intent(intent), instance.address)

    def record(self, result: Result) -> int:
        """Note what came of it and make the state so; gives the ticket to :meth:`wait` for."""
        intent = self.pending.pop(result.seq, None) if result.seq is not None else None
        result.apply(self.state)
        if intent is not None and intent.op in ("create", "swap") and result.put is None and not result.depose:
            self.unmade[intent.instance.address] = intent.instance
        subject = result.put or (intent.instance if intent is not None else None)
        address = subject.address if subject is not None else result.drop or ""
        return self._append("result", encode_result(result), address)

    def record_together(self, results: Sequence[Result], intents: Sequence[Intent] = ()) -> int:
        """Note several things at once: after a crash all of them are there, or none.

        ``intents`` are operations left open, in other words than before. Gives the ticket to :meth:`wait` for.
        """
        for result in results:
            result.apply(self.state)
        self.pending |= {i.seq: i for i in intents}
        records = [{"result": encode_result(r)} for r in results] + [{"intent": encode_intent(i)} for i in intents]
        return self._append_all(records, ", ".join(r.put.address for r in results if r.put is not None))

    def refresh(self, instance: InstanceState) -> None:
        """Take over what was observed. Not journalled: it can be observed again."""
        self.state.instances[instance.address] = instance
        self._changed = True

    def forget_data(self, address: str) -> None:
        """Drop the record of a data source, which is read anew when it is needed. Not journalled."""
        if self.state.instances.pop(address, None) is not None:
            self._changed = True

    def set_outputs(self, outputs: Mapping[str, OutputState]) -> None:
        """Replace the root outputs, if they differ."""
        if dict(outputs) != self.state.outputs:
            self.record(Result(outputs=dict(outputs)))

    def _append(self, sort: str, data: Mapping[str, object], address: str) -> int:
        return self._append_all([{sort: data}], address if sort == "result" else None)

    def _append_all(self, records: Sequence[Record], address: str | None) -> int:
        """``address`` is what is told when the records, which hold results, cannot be made durable."""
        if self._journal is None and self._broken is None:
            self._open()
        if self._journal is None:
            # only the snapshot can hold it now
            self._changed = True
            return -1
        ticket = self._journal.append(*records)
        if address is not None:
            self._tickets.append((ticket, address))
        return ticket

    def _open(self) -> None:
        try:
            medium = self._loaded.open_journal(self._backend)
        except OSError as failure:
            self._broken = failure
            return
        self._journal = Journal(medium, notify=self._notified)
        # each session counts as a version, so that a plan made before a crash is seen to be old
        step = self._backend.serial_step
        self.state.serial += step
        self._changed = True
        self._journal.append({"begin": {"operation": self._operation, **({"serials": step} if step != 1 else {})}})

    def _notified(self) -> None:
        if self.notify is not None:
            self.notify()

    # -- durability -----------------------------------------------------------------------------

    def wait(self, ticket: int | None = None) -> None:
        """Block until the record with that ticket (all records, when None) is durable.

        Raises :class:`~hythe.state.journal.JournalFailed`.
        """
        if self._broken is not None:
            raise JournalFailed(self._broken)
        if self._journal is not None:
            self._journal.wait(ticket)

    def is_durable(self, ticket: int) -> bool:
        """Whether that record would survive a crash now."""
        return self._journal is not None and 0 <= ticket <= self._journal.durable

    @property
    def failure(self) -> OSError | None:
        """Why records cannot be made durable any more, None while they can."""
        return self._broken or (self._journal.failure if self._journal is not None else None)

    # -- the end --------------------------------------------------------------------------------

    def finish(self) -> list[Diagnostic]:
        """Write the snapshot and put the journal aside. Nothing is lost whatever fails here.

        Diagnostics say what could not be written, and what is recorded nowhere.
        """
        complete = self._flush()
        if not self._changed and not self._backend.outdated:
            self.close()
            return []
        if self._loaded.left_over and self._journal is None and self._broken is None:
            # nothing could tell what a journal belongs to that outlives two snapshots, so it is replaced first
            self._open()
        if self._loaded.left_over and self._broken is not None:
            return self._not_written(self._broken)
        if self._journal is None:
            self.state.serial += self._backend.serial_step
        origin = Origin(self._clock(), __version__, self._operation)
        data, _ = encode_snapshot(self.state, tuple(self.pending.values()), self._loaded.digest, origin)
        keep = complete and self._broken is None and (self._journal is not None or self._loaded.journal is not None)
        try:
            self._backend.write(data, serial=self.state.serial, keep_journal=keep)
        except OSError as failure:
            return self._not_written(failure)
        finally:
            self.close()
        return []

    def _flush(self) -> bool:
        try:
            self.wait()
        except JournalFailed:
            return False
        return True

    def _not_written(self, failure: OSError) -> list[Diagnostic]:
        if isinstance(failure, LeaseLost):
            return [self._lease_lost(failure)]
        why = f"{self._backend.where} could not be written: {failure.strerror or failure}."
        if self._journal is not None:
            try:
                self._journal.retry()
            except JournalFailed:
                pass
            else:
                text = (
                    f"{why} Nothing is lost: all that was done is recorded in {self._backend.journal_where}, and the "
                    f"next run takes it in. {mend(failure, 'Make room, and leave that file where it is')}."
                )
                return [warning("State snapshot not written", text)]
        advice = mend(failure, "Make room or make the folder writable")
        text = f"{why} {advice}, then run the same command again.{self._told_nowhere()}"
        return [error("State not written", text)]

    def _lease_lost(self, failure: LeaseLost) -> Diagnostic:
        text = (
            f"{self._backend.where} was not written: {failure.strerror}. What this run recorded before is kept, and "
            f"nothing of another run was overwritten.{self._told_nowhere()} When the other run has ended, run the same "
            "command again."
        )
        # that the journal was refused is told by whoever was at work when that happened
        return error("State lock lost" if self.failure is None else "State not written", text)

    def _told_nowhere(self) -> str:
        # outputs have no address, and are found again by evaluating
        lost = sorted({address for ticket, address in self._tickets if address and not self.is_durable(ticket)})
        if not lost:
            return ""
        return (
            f" What became of {', '.join(lost)} is recorded nowhere yet; that it was begun is, so the next run "
            "finds these objects by their marks and goes on from there."
        )

    def close(self) -> None:
        """Leave the session without a snapshot; the next run takes the journal in."""
        if self._journal is not None:
            self._journal.close()
