"""Copying a state from one backend to another: same lineage, same serial, operations left open included.

The old one stays where it is. What is copied is what snapshot and journal say together; the copy has it all in its
snapshot, and its journal begins anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from hythe.diagnostic import DiagnosticError, error
from hythe.state.codec import encode_snapshot
from hythe.state.session import Loaded
from hythe.state.store import StateStore

REFUSED = "State cannot be migrated"


@dataclass(frozen=True, slots=True)
class Copy:
    """One state that is to be copied: that of ``workspace``, as it was read from both places."""

    workspace: str
    source: StateStore
    target: StateStore
    loaded: Loaded
    before: Loaded

    def check(self) -> bool:
        """Whether there is anything to copy. Raises DiagnosticError where the target must not be overwritten."""
        mine, theirs = self.loaded, self.before
        if mine.fresh or theirs.fresh:
            return not mine.fresh
        if _is_empty(mine) and not _is_empty(theirs) and mine.state.lineage != theirs.state.lineage:
            # nothing would be lost by leaving it
            return False
        if theirs.pending and _content(mine) != _content(theirs):
            self._refuse("holds operations that an interrupted run left open, which would be forgotten")
        if mine.state.lineage != theirs.state.lineage:
            if _is_empty(theirs):
                return True
            self._refuse(f"holds another state (lineage {theirs.state.lineage}, not {mine.state.lineage})")
        if _content(mine) == _content(theirs):
            return False
        if theirs.state.serial >= mine.state.serial:
            word = "a newer" if theirs.state.serial > mine.state.serial else "another"
            serials = f"serial {theirs.state.serial} there, {mine.state.serial} here"
            self._refuse(f"holds {word} version of this state ({serials})")
        return True

    def run(self) -> None:
        """Copy it and read it back; both are locked. Raises DiagnosticError."""
        state, before = self.loaded.state.copy(), self.before
        before.pending = self.loaded.pending
        found = self.target.write(before, state, "init --migrate-state", keep_serial=True)
        if found:
            raise DiagnosticError(*found)
        if _content(self.target.read()) != _content(self.loaded):
            text = (
                f"What {self.target.where} gives back is not what was written. The state in {self.source.where} is as "
                "it was, and goes on to be the one that counts."
            )
            raise DiagnosticError(error("Copied state differs", text))

    def _refuse(self, why: str) -> None:
        named = f'The state of the workspace "{self.workspace}"' if self.workspace != "default" else "The state"
        text = (
            f"{named} in {self.source.where} is not copied, as {self.target.where} {why}. Nothing was changed. If what "
            "is there is the right one, `hythe init --reconfigure` goes on with it; if it is only what was left behind "
            "when the state moved away from there, remove it first."
        )
        raise DiagnosticError(error(REFUSED, text))


def _is_empty(loaded: Loaded) -> bool:
    return loaded.state.is_empty and not loaded.pending


def _content(loaded: Loaded) -> bytes:
    return encode_snapshot(loaded.state, loaded.pending)[0]
