"""What OpenTofu's command line has and Hythe's has not: what to do in its place.

Whoever comes from there is told more than that there is no such option. What would change nothing here is taken and
without effect, so that scripts need no change.
"""

from __future__ import annotations

_BUILT_IN = "Kinds come with Hythe or with Python packages, so nothing of that is downloaded."
_BACKUP = "The state before is kept by itself, and `hythe state history` lists and restores those from before."
_MARKS = "Nothing in the state names a provider, as all kinds belong to Hythe."

COMMANDS = {
    "taint": "`hythe apply --replace=ADDRESS` replaces an object, and `hythe plan --replace=ADDRESS` shows that first.",
    "untaint": "To keep an object that would be replaced: `hythe state rm ADDRESS`, then `hythe import ADDRESS ID`.",
    "get": "`hythe init` fetches modules, and `hythe init --upgrade` newer versions of them.",
    "login": "Credentials for registries and servers are arguments, or come from the environment and ~/.docker.",
    "logout": "Nothing of Hythe's keeps credentials.",
    "env": "It is called `hythe workspace`.",
    "metadata": "`hythe providers schema --json` tells of the kinds, and `hythe console` evaluates functions.",
    "state replace-provider": _MARKS,
    "state identities": "`hythe state show --json ADDRESS` tells what an object is called on its engine.",
    "providers lock": f"{_BUILT_IN} Digests of images are in hythe.lock.hcl, and `hythe init --upgrade` renews them.",
    "providers mirror": _BUILT_IN,
}
"""Commands and subcommands of OpenTofu's, and what to do in their place."""

OPTIONS = {
    "allow-missing-config": "Write the block first, or let an import block and `hythe plan --generate-config-out=FILE` "
    "write it.",
    "auto-approve": "This command asks nothing.",
    "backup": _BACKUP,
    "backup-out": _BACKUP,
    "chdir": "It stands before the command: `hythe --chdir=DIR COMMAND`.",
    "cloud": "The backend block says where the state is.",
    "config": "`hythe --chdir=DIR COMMAND` works in another folder.",
    "deprecation": "Everything is told; --compact-warnings makes warnings short.",
    "detailed-exitcode": "`hythe plan` has it.",
    "draw-cycles": "A cycle is an error that names what it goes through.",
    "from-module": "Copy the module's files into the folder first.",
    "get-plugins": _BUILT_IN,
    "json": "What this command says is for people; its exit code is for programs.",
    "json-into": "With --json standard output is for programs alone: send it to a file with `> FILE`.",
    "module-depth": "Modules are always shown.",
    "out": "`hythe plan --out=FILE` saves a plan, and `hythe apply FILE` does just that.",
    "plan": "Name the file: `hythe show FILE`.",
    "plugin-dir": _BUILT_IN,
    "state-out": "Copy the state first, and name the copy with --state.",
    "suppress-forget-errors": "That objects are forgotten is no error here.",
    "test-directory": "Files of tests are read by `hythe test` alone.",
    "verify-plugins": _BUILT_IN,
}
"""Options of OpenTofu's that a command has not, and what to do in their place."""

_PLANNING = frozenset({"concise", "consolidate-warnings", "consolidate-errors"})
_STATES = frozenset({"ignore-remote-version"})
_WITHOUT_EFFECT = {
    "plan": _PLANNING,
    "apply": _PLANNING,
    "destroy": _PLANNING,
    "refresh": _PLANNING,
    "validate": _PLANNING | {"no-tests"},
    "init": _PLANNING | _STATES,
    "import": _STATES,
    "state mv": _STATES,
    "state rm": _STATES,
    "state push": _STATES,
}


def is_without_effect(command: str, option: str) -> bool:
    """Whether a command takes a flag of OpenTofu's, named without dashes, that would change nothing here."""
    return option in _WITHOUT_EFFECT.get(command, ())
