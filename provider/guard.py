"""Calls of kinds, with whatever they raise turned into diagnostics."""

from __future__ import annotations

from hythe.diagnostic import Diagnostic, error
from hythe.provider.protocol import ProviderError


def diagnostics_of(failure: BaseException, kind: str, what: str, address: str | None = None) -> tuple[Diagnostic, ...]:
    """What a failed call of a kind tells the user. ``what`` is the call: ``create``, ``read``.

    What is no :class:`~hythe.provider.protocol.ProviderError` is a bug in the kind; its traceback goes to the log.
    """
    if isinstance(failure, ProviderError):
        return tuple(d.at(address=address) for d in failure.diagnostics)
    import logging

    from hythe.provider.vm.errors import LibvirtError, explain

    if isinstance(failure, LibvirtError):
        # not foreseen where it was called, so that what was begun stays open; the user is told what libvirt said
        logging.getLogger(__name__).warning("%s of kind %s failed", what, kind, exc_info=failure)
        return (explain(failure, f"The {what} of {address or kind}").at(address=address),)
    logging.getLogger(__name__).error("%s of kind %s failed", what, kind, exc_info=failure)
    text = str(failure)
    told = f"{type(failure).__name__}: {text}" if text else type(failure).__name__
    if isinstance(failure, NotImplementedError):
        told = "it does not support this"
    return (
        error(
            "Bug in a kind",
            f"The kind {kind} failed in a way it should not ({what}: {told}). This is a mistake in it, not in your "
            "configuration; please report it with the log that HYTHE_LOG=debug writes.",
            address=address,
        ),
    )
