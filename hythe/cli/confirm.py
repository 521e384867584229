"""Asking for a yes."""

from __future__ import annotations

from hythe.cli.context import Cli, fail


def confirmed(cli: Cli, question: str, *remarks: str, without: str = "--auto-approve") -> bool:
    """Whether the user says yes. ``remarks`` stand below the question, ``without`` is the option that asks nothing.

    Raises DiagnosticError where there is nobody to ask.
    """
    cli.say(f"\n{cli.out.paint(question, 'bold')}")
    for remark in remarks:
        cli.say(f"  {remark}")
    cli.say("  Only 'yes' will be accepted.\n")
    answer = cli.ask("  Enter a value: ")
    if answer is None:
        raise fail(
            "Approval needed",
            f"There was no answer, as the input is at its end. Give {without} to go on without being asked.",
        )
    cli.say()
    return answer.strip() == "yes"
