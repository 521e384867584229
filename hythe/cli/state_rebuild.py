"""``hythe state rebuild``: a state that was lost, made anew from the marks on what is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from hythe.cli import options
from hythe.cli.arguments import Command
from hythe.cli.context import FAILED, FINE, Cli, fail
from hythe.cli.secrets import remember_state_secrets
from hythe.cli.sources import require_folder
from hythe.cli.workspace import Workspace
from hythe.diagnostic import DiagnosticError, warning

if TYPE_CHECKING:
    from hythe.planner.rebuild import Rebuilt
    from hythe.planner.survey import Sighting, Survey
    from hythe.state.session import Loaded
    from hythe.state.store import StateStore

_SHOWN = 8
_KEYS = ".hythe/ssh"
_LEAP = 1000
"""How far the serial goes beyond any that is known: a plan made of the lost state must not fit the new one."""


@click.command("rebuild", cls=Command)
@click.option("--lineage", metavar="ID", help="Which state to rebuild, where there are marks of several.")
@options.switch("--dry-run", False, "Only show what would be in the state.")
@options.switch("--auto-approve", False, "Do not ask.")
@options.switch("--force", False, "Even in place of a state that has objects, or that cannot be read.")
@options.variables
@options.parallelism
@options.state_path
@options.locking
@options.read_input
@options.compact
@options.no_color
@click.pass_obj
def command(
    cli: Cli,
    *,
    lineage: str | None,
    dry_run: bool,
    auto_approve: bool,
    force: bool,
    var: tuple[str, ...],
    var_file: tuple[str, ...],
    parallelism: int,
    state_path: str | None,
    lock: bool,
    lock_timeout: float,
    input: bool,
    compact_warnings: bool,
    no_color: bool,
) -> int:
    """Make a state that was lost anew, from the marks on what is there. Nothing real is touched."""
    from hythe.planner.rebuild import rebuild
    from hythe.planner.survey import survey

    cli.compact_warnings = compact_warnings
    require_folder(cli)
    workspace = Workspace(cli, state_path)
    variables = workspace.variables(options.inputs_in_order(), ask=input)
    with workspace.locked("state rebuild", lock, lock_timeout) as store, workspace.hosts() as hosts:
        base = _base(store, force=force)
        if base.fresh and (lost := store.lost()) is not None:
            cli.report([warning("State file missing", f"{lost} That loses less than to rebuild it.")])
        session = workspace.session(hosts, variables, parallelism=parallelism)
        seen = survey(session)
        chosen = _choose(cli, seen, lineage, base, ask=input and not auto_approve)
        found = rebuild(session, chosen, seen)
        remember_state_secrets(found.state)
        _show(cli, workspace, found)
        if dry_run:
            cli.say("\nThis was a dry run: no state was written.")
            return FINE
        if not auto_approve and not _confirmed(cli, found, ask=input):
            cli.say("No state was written.")
            return FAILED
        base.state.serial = _serial(store, base)
        base.pending = ()
        problems = store.write(base, found.state, "state rebuild")
    cli.report(problems)
    if any(d.is_error for d in problems):
        return FAILED
    done = cli.out.paint("State rebuilt!", "bold", "green")
    cli.say(f"\n{done} It has {_objects(len(found.state.instances))}. hythe plan shows what is left to do.")
    return FINE


def _base(store: StateStore, *, force: bool) -> Loaded:
    """What the new state takes the place of. Raises DiagnosticError when it is to be kept."""
    from hythe.cli.state_edits import current_or_lost

    # one that cannot be read is told with the way to bring it back, which loses nothing
    base = current_or_lost(store, force=force)
    if (base.state.instances or base.state.deposed) and not force:
        raise fail(
            "State is there",
            f"{store.where} has {_objects(len(base.state.instances))} (serial {base.state.serial}), so there is "
            "nothing to rebuild. `hythe import` takes in single objects, and `hythe state history` brings back a "
            "version from before. "
            "--force rebuilds it all the same; what is there now is kept as a version.",
        )
    return base


def _serial(store: StateStore, base: Loaded) -> int:
    known = [v.serial for v in store.backend.versions()]
    return max([base.state.serial, *known]) + _LEAP


# -- which lineage --------------------------------------------------------------------------------


def _choose(cli: Cli, seen: Survey, wanted: str | None, base: Loaded, *, ask: bool) -> str:
    from hythe.planner.survey import no_marks

    found = seen.lineages()
    if not found:
        raise DiagnosticError(no_marks(seen))
    if wanted is not None:
        fitting = [name for name in found if name.startswith(wanted)]
        if len(fitting) != 1:
            which = "several lineages begin" if fitting else "no object has a lineage that begins"
            raise fail("No such lineage", f"Among the marks, {which} with {wanted}. There are:\n{_lineages(found)}")
        return fitting[0]
    if len(found) == 1:
        return next(iter(found))
    if base.state.lineage in found:
        return base.state.lineage
    if seen.likely is not None:
        cli.say(f"There are marks of {len(found)} states; this one has objects of the names that are configured.")
        return seen.likely
    cli.say(f"There are marks of {len(found)} states:\n\n{_lineages(found)}\n")
    answer = cli.ask("  Enter the lineage of yours: ") if ask else None
    if not answer:
        raise fail(
            "Several lineages",
            "Which of them is yours cannot be told. Name it with --lineage=ID, its first characters will do.",
        )
    return _choose(cli, seen, answer.strip(), base, ask=False)


def _lineages(found: dict[str, list[Sighting]]) -> str:
    lines = []
    for name, sightings in found.items():
        addresses = sorted({s.owned.identity.address for s in sightings})
        lines.append(f"  {name}: {_objects(len(sightings))} ({_listed(addresses)})")
    return "\n".join(lines)


# -- showing --------------------------------------------------------------------------------------


def _show(cli: Cli, workspace: Workspace, found: Rebuilt) -> None:
    where = ", ".join(address or "this machine" for address in found.survey.looked)
    cli.say(f"Lineage {found.state.lineage}. Looked at {where}.")
    _section(cli, "Recovered by their marks", found.recovered)
    _section(cli, "Taken in without a mark, as they are what the configuration says", found.recognised)
    for old, new in found.stale:
        cli.say(f"  {old} is {new} now.")
    _section(cli, "No longer in the configuration: kept in the state, and the next plan removes them", found.stray)
    deposed = [f"{i.address} ({i.attributes.get('name', id)})" for id, i in found.state.deposed.items()]
    _section(cli, "Second objects of an address: the next plan removes them", deposed)
    if found.missing:
        cli.say("\nNot found:")
        for address in found.missing:
            cli.say(f"  {address}{_note(workspace, address, found)}")
    for unseen in found.unseen:
        place = unseen.host or "this machine"
        what = f"Objects of the kind {unseen.kind} on {place}" if unseen.kind else f"What is on {place}"
        cli.say(f"\n{what} could not be looked at, and is not in the state:")
        if unseen.host is not None and _lost_keys(workspace, unseen.host, found):
            cli.say(f"  The keys to it were in {_KEYS}, and are gone. Bring that folder back, and rebuild once more.")
            continue
        for told in unseen.diagnostics:
            cli.say(f"  {told.summary}: {told.detail}")
    cli.report(found.diagnostics)
    _next(cli, workspace, found)


def _lost_keys(workspace: Workspace, address: str, found: Rebuilt) -> bool:
    """Whether it is a VM that Hythe had keys to."""
    made = found.state.instances.get(address)
    if made is None or not workspace.registry.kind(made.kind).takes_along:
        return False
    return not made.attributes.get("ssh") and made.attributes.get("running") is not False


def _note(workspace: Workspace, address: str, found: Rebuilt) -> str:
    change = next((c for c in found.plan.changes if c.address == address), None)
    if change is not None and change.import_id is not None:
        return ": its import block takes it in again"
    if change is None or any(u.host == change.host and u.kind in (None, change.kind) for u in found.unseen):
        return ""
    if change.host is not None and change.host not in found.state.instances:
        return f": {change.host} was not found either"
    kind = workspace.registry.kind(change.kind)
    note = "nothing carries its mark" if kind.marked else kind.rebuild_note
    return f": {note}" if note else ""


def _next(cli: Cli, workspace: Workspace, found: Rebuilt) -> None:
    from hythe.cli.views.human import PlanStyle, render_plan

    style = PlanStyle(cli.out.paint, False, False, workspace.layout)
    if found.refusals:
        cli.say("\nWith this state, hythe plan refuses what the configuration asks for:")
        for told in found.refusals:
            cli.say(f"  {told.address or told.summary}: {told.detail}")
        return
    if found.plan.is_empty:
        cli.say("\nWith this state, hythe plan finds nothing to do.")
        return
    cli.say("\nWith this state, hythe plan says:\n")
    cli.say("\n".join(f"  {line}".rstrip() for line in render_plan(found.plan, style).splitlines()))


def _section(cli: Cli, title: str, names: Sequence[str]) -> None:
    if names:
        cli.say(f"\n{title}:")
        for name in names:
            cli.say(f"  {name}")


def _confirmed(cli: Cli, found: Rebuilt, *, ask: bool) -> bool:
    from hythe.cli.confirm import confirmed

    if not ask:
        raise fail("Approval needed", "--input=false forbids asking, so nothing is written without --auto-approve.")
    question = "Do you want this to be the state?"
    if found.stray or found.state.deposed:
        question += " The next apply removes what is no longer in the configuration."
    return confirmed(cli, question)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _objects(count: int) -> str:
    return f"{count:,} {'object' if count == 1 else 'objects'}"
