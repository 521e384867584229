"""Asking for a yes."""

from __future__ import annotations

from hythe.cli.context import Cli, fail


def confirmed(cli: Cli, question: str) -> bool:
    """Whether the user says yes. Raises DiagnosticError where there is nobody to ask."""
    cli.say(f"\n{cli.out.paint(question, 'bold')}\n  Only 'yes' will be accepted.\n")
    answer = cli.ask("  Enter a value: ")
    if answer is None:
        raise fail(
            "Approval needed",
            "There was no answer, as the input is at its end. Give --auto-approve to go on without being asked.",
        )
    cli.say()
    return answer.strip() == "yes"
