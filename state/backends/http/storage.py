"""The states of all workspaces of one configuration on a server."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from hythe.diagnostic import DiagnosticError, error
from hythe.state.backends.base import DEFAULT_WORKSPACE, Storage
from hythe.state.backends.http.backend import HttpBackend
from hythe.state.backends.http.client import HttpClient
from hythe.state.backends.http.files import LocalFiles, Names
from hythe.state.backends.http.locking import ServerLock
from hythe.state.backends.http.settings import PLACEHOLDER, Access, Endpoints, Settings, resolve, shown


class HttpStorage(Storage):
    """States on a server. ``secrets`` are never to be shown or logged."""

    name = "http"

    def __init__(
        self, endpoints: Endpoints, access: Access, root: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.secrets = access.secrets
        self._endpoints, self._access, self._root, self._sleep = endpoints, access, root, sleep
        self._names = Names(root, endpoints.address)

    def backend(self, workspace: str) -> HttpBackend:
        """The state of that workspace. Raises DiagnosticError where the address has no place for its name."""
        if workspace != DEFAULT_WORKSPACE and not self._endpoints.has_workspaces:
            text = (
                f'There is one state at {self.where}, and "{workspace}" is another workspace. Write {PLACEHOLDER} into '
                "address, lock_address and unlock_address, where each workspace is to have its name, as in "
                f'"https://states.example.com/{PLACEHOLDER}". The state of the workspace "default" then has another '
                "address too: take it there with `hythe state pull` before and `hythe state push` after that."
            )
            raise DiagnosticError(error("No workspaces here", text))
        endpoints = self._endpoints.of(workspace)
        files = LocalFiles(self._root, endpoints.address, workspace)
        client = HttpClient(self._access, sleep=self._sleep)
        lock = ServerLock(client, endpoints, files, sleep=self._sleep)

        def used() -> None:
            self._names.add(workspace)

        def deleted() -> None:
            self._names.remove(workspace)

        return HttpBackend(endpoints, files, client, lock, on_used=used, on_deleted=deleted)

    def workspaces(self) -> list[str]:
        """Those that were used from this folder: the server cannot be asked."""
        return sorted({DEFAULT_WORKSPACE, *self._names.all()})

    @property
    def where(self) -> str:
        """The address, without what may be secret in it."""
        return shown(self._endpoints.address)


def open_storage(settings: Settings, root: str, environment: Mapping[str, str]) -> HttpStorage:
    """Where the settings (and ``HYTHE_HTTP_*``) say. ``root`` is the configuration's folder. Nothing is asked yet.

    Raises DiagnosticError for settings that cannot be.
    """
    endpoints, access = resolve(settings, environment)
    return HttpStorage(endpoints, access, root)
