"""Waiting until a VM is ready: it runs, has an address, answers over SSH, cloud-init is through, the engine answers.

Each stage has its own timeout, and an error that names the stage, the cause as far as the guest tells it, and the fix.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from hythe.diagnostic import Diagnostic, error
from hythe.provider.protocol import Attributes, Host, HostUnreachable, ProviderError
from hythe.provider.units import duration_seconds
from hythe.provider.vm.client import Hypervisor
from hythe.provider.vm.vm_power import is_running
from hythe.provider.vm.vm_read import addresses_of

Progress = Callable[[str], None]
Check = Callable[[], None]

STAGES = ("boot", "address", "ssh", "cloud-init", "engine")
_DEFAULTS = {"boot": "1m", "address": "5m", "ssh": "5m", "cloud_init": "10m", "engine": "3m"}
_EMULATED = 3
_PAUSE = 0.2
_CONNECT_SECONDS = 2.0
_LINES = 12
_PANIC = re.compile(
    r"Kernel panic|You are in emergency mode|Give root password for maintenance|dracut-emergency|\(initramfs\)"
)


class NotReady(Exception):
    """A VM did not become ready. ``diagnostics`` say at which stage, and why."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("; ".join(d.detail for d in diagnostics))
        self.diagnostics = diagnostics


def stage_of(attributes: Mapping[str, Any]) -> str:
    """The stage at which a VM counts as ready."""
    if attributes.get("wait_for"):
        return str(attributes["wait_for"])
    if attributes.get("engine"):
        return "engine"
    reachable = any(not i.get("user") and i.get("link") != "down" for i in attributes.get("interface") or ())
    seeded = attributes.get("image") is not None and attributes.get("cloud_init", True)
    return "ssh" if seeded and reachable else "boot"


def wait_ready(hypervisor: Hypervisor, host: Host, attributes: Attributes, progress: Progress, check: Check) -> None:
    """Wait for each stage up to the one at which the VM is ready. Raises :class:`NotReady`."""
    if hypervisor.is_test:
        return
    waiting = _Waiting(hypervisor, host, attributes, progress, check)
    try:
        for stage in STAGES[: STAGES.index(stage_of(attributes)) + 1]:
            getattr(waiting, stage.replace("-", "_"))()
    finally:
        waiting.close()


class _Waiting:
    def __init__(
        self, hypervisor: Hypervisor, host: Host, attributes: Attributes, progress: Progress, check: Check
    ) -> None:
        self.hypervisor, self.host, self.attributes = hypervisor, host, attributes
        self.progress, self.check = progress, check
        self.name, self.uuid = attributes["name"], attributes["id"]
        self.address_found = ""
        self.guest: Host | None = None

    def close(self) -> None:
        """Give up the connection to the guest."""
        if self.guest is not None:
            self.guest.close()

    # -- stages ---------------------------------------------------------------------------------

    def boot(self) -> None:
        """The domain runs."""
        self.progress(f"VM {self.name}: booting")
        end = self._end("boot")
        while not is_running(self.hypervisor, self.uuid):
            if time.monotonic() > end:
                raise self._failed("boot", "it does not run: it went off right after its start, or was switched off")
            self._pause()

    def address(self) -> None:
        """The guest has an address."""
        self.progress(f"VM {self.name}: waiting for an address")
        end, agent = self._end("address"), bool(self.attributes.get("guest_agent", True))
        while True:
            found = addresses_of(self.hypervisor, self.uuid, self.host, agent=agent)
            if found:
                self.address_found = found[0]
                return
            if time.monotonic() > end:
                raise self._failed(
                    "address",
                    "no lease, guest agent or ARP entry tells its address. Does its network give addresses "
                    "(`dhcp`), and does the guest ask for one",
                )
            self._alive("address")
            self._pause()

    def ssh(self) -> None:
        """The guest lets Hythe in."""
        if not self.attributes.get("ssh"):
            raise self._failed(
                "ssh",
                'it was given no seed with Hythe\'s keys: it needs `image` and `cloud_init`, or wait_for = "boot"',
            )
        self.progress(f"VM {self.name}: waiting for SSH at {self.address_found}")
        end, last = self._end("ssh"), "nothing answered"
        while True:
            for address in self._addresses():
                self.address_found = address
                last = self._try_port() or self._try_login()
                if not last:
                    return
            if time.monotonic() > end:
                raise self._failed("ssh", last)
            self._alive("ssh")
            self._pause()

    def cloud_init(self) -> None:
        """First boot is over."""
        self.progress(f"VM {self.name}: waiting for cloud-init")
        guest, end = self._connected(), self._end("cloud_init")
        while True:
            done = self._run(guest, ["cloud-init", "status", "--format", "json"])
            if done is None or done[0] == 127:
                return
            status = _status(done[1])
            if status in ("done", "disabled", "not run"):
                return
            if status in ("error", "degraded"):
                raise self._failed("cloud-init", self._cloud_init_words(guest))
            if time.monotonic() > end:
                raise self._failed("cloud-init", f"it is still {status or 'at work'}")
            self._alive("cloud-init")
            self._pause(1.0)

    def engine(self) -> None:
        """The container engine answers."""
        wanted = self.attributes.get("engine") or "docker"
        self.progress(f"VM {self.name}: waiting for {wanted}")
        guest, end = self._connected(), self._end("engine")
        program = "dockerd" if wanted == "docker" else "podman"
        there = self._run(guest, ["sh", "-c", f"PATH=$PATH:/usr/sbin:/sbin command -v {program}"])
        if there is not None and there[0] != 0:
            package = "docker.io" if wanted == "docker" else "podman"
            raise self._failed(
                "engine",
                f'{wanted} is not installed in the guest. Add it to the image (`include = ["{package}"]` in '
                "`packages`), "
                "or install it by `user_data`",
            )
        if wanted == "podman":
            self._run(guest, ["systemctl", "enable", "--now", "podman.socket"])
        while True:
            try:
                kind = guest.engine().kind
                if kind != wanted:
                    raise self._failed("engine", f"the engine in the guest is {kind}, and {wanted} is asked for")
                return
            except ProviderError as failure:
                if time.monotonic() > end:
                    told = failure.diagnostics[0].detail
                    raise self._failed("engine", f"{told}{self._service_words(guest, wanted)}") from failure
            self._alive("engine")
            self._pause(0.5)

    # -- helpers --------------------------------------------------------------------------------

    def _end(self, stage: str) -> float:
        given = (self.attributes.get("timeouts") or {}).get(stage)
        seconds = float(duration_seconds(given or _DEFAULTS[stage]))
        if given is None and self.attributes.get("accelerated_by") == "tcg":
            # several emulated machines that boot at once on few processors take minutes
            seconds *= _EMULATED
        return time.monotonic() + seconds

    def _pause(self, seconds: float = _PAUSE) -> None:
        self.check()
        time.sleep(seconds)

    def _alive(self, stage: str) -> None:
        if not is_running(self.hypervisor, self.uuid):
            raise self._failed(stage, "it went off meanwhile")
        log = self._console(40)
        if any(_PANIC.search(line) for line in log):
            raise self._failed(stage, "the guest stopped booting, as its console shows")

    def _addresses(self) -> list[str]:
        """Where the guest may be, which can change while it boots."""
        agent = bool(self.attributes.get("guest_agent", True))
        found = addresses_of(self.hypervisor, self.uuid, self.host, agent=agent)
        return found or [self.address_found]

    def _try_port(self) -> str:
        try:
            with socket.create_connection((self.address_found, 22), _CONNECT_SECONDS):
                return ""
        except ConnectionRefusedError:
            return f"{self.address_found} refuses connections on port 22: no SSH server runs in the guest"
        except TimeoutError:
            return f"{self.address_found} does not answer on port 22: a firewall in the guest, or it is still booting"
        except OSError as failure:
            return f"{self.address_found} cannot be reached: {failure.strerror or failure}"

    def _try_login(self) -> str:
        from hythe.provider.connection.ssh import SshHost, SshSettings

        settings = SshSettings.of({**self.attributes["ssh"], "address": self.address_found})
        guest = SshHost(self.name, settings, _engine(self.attributes))
        try:
            guest.run(["true"], timeout=30)
        except HostUnreachable as failure:
            guest.close()
            told = failure.diagnostics[0]
            if told.summary == "Host key is not the one expected":
                raise self._failed("ssh", told.detail) from failure
            return told.detail
        except ProviderError as failure:
            guest.close()
            return failure.diagnostics[0].detail
        self.guest = guest
        return ""

    def _connected(self) -> Host:
        assert self.guest is not None
        return self.guest

    def _run(self, guest: Host, argv: list[str]) -> tuple[int, str] | None:
        """Run something in the guest; None when the connection broke (it may be restarting its SSH server)."""
        try:
            done = guest.run(argv, timeout=60)
        except ProviderError:
            return None if argv[0] != "cloud-init" else (0, "")
        return done.code, done.stdout.decode("utf-8", "replace")

    def _cloud_init_words(self, guest: Host) -> str:
        said: list[str] = []
        told = self._run(guest, ["cat", "/run/cloud-init/result.json"])
        with contextlib.suppress(ValueError, AttributeError, TypeError):
            said = [str(e) for e in json.loads((told or (1, "{}"))[1])["v1"]["errors"]]
        log = self._run(guest, ["grep", "-aE", "WARNING|ERROR|CRITICAL", "/var/log/cloud-init.log"])
        lines = (log or (1, ""))[1].strip().splitlines()[-4:]
        output = self._run(guest, ["tail", "-n", "6", "/var/log/cloud-init-output.log"])
        lines += (output or (1, ""))[1].strip().splitlines()
        words = "; ".join(said) or "cloud-init says that it failed"
        return words + "".join(f"\n  {line}" for line in lines)

    def _service_words(self, guest: Host, engine: str) -> str:
        unit = "docker" if engine == "docker" else "podman.socket"
        told = self._run(guest, ["journalctl", "--unit", unit, "--no-pager", "--lines", "6", "--output", "cat"])
        lines = (told or (1, ""))[1].strip().splitlines()
        return "".join(f"\n  {line}" for line in lines)

    def _console(self, lines: int) -> list[str]:
        path = self.attributes.get("console_log")
        if not path:
            return []
        try:
            done = self.host.run(["tail", "-n", str(lines), path], timeout=10)
        except ProviderError:
            return []
        text = done.stdout.decode("utf-8", "replace")
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|[\x00-\x08\x0b-\x1f]", "", text)
        return [line.rstrip() for line in text.splitlines() if line.strip()]

    def _failed(self, stage: str, why: str) -> NotReady:
        log = self._console(_LINES) if stage in ("boot", "address", "ssh") else []
        shown = "".join(f"\n  {line}" for line in log)
        console = f"\nThe last lines of its console:{shown}" if log else ""
        mend = (
            f"Look at it: `virsh console {self.name}`, or its log {self.attributes.get('console_log') or ''}".rstrip()
        )
        return NotReady(
            error(
                f"VM not ready: {stage}",
                f'VM "{self.name}" did not get through the stage "{stage}": {why}.{console}\n{mend}. It is kept as '
                "it is "
                "now, and made anew by the next apply. More time is given by `timeouts`; `wait_for` ends the "
                "waiting at an earlier stage.",
            )
        )


def _engine(attributes: Mapping[str, Any]) -> Any:
    from hythe.provider.connection.discovery import AUTO, EngineSettings

    return EngineSettings(attributes.get("engine") or AUTO)


def _status(text: str) -> str:
    with contextlib.suppress(ValueError, AttributeError):
        return str(json.loads(text).get("status", ""))
    found = re.search(r"status: (\w+)", text)
    return found[1] if found else ""
