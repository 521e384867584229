"""Machines over SSH: one connection each, which carries commands, files, and streams to sockets.

Host keys are strict: a key that is neither given nor in a known_hosts file is refused, and there is no way to turn that
off. Channels of one connection are shared by all threads; a connection that broke is opened again for the next call.
"""

from __future__ import annotations

import contextlib
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from hythe.diagnostic import Diagnostic, error
from hythe.provider.connection.discovery import AUTO, EngineSettings
from hythe.provider.connection.ssh_login import SshSettings, SshTransport, log_in
from hythe.provider.protocol import Completed, HostUnreachable, ProviderError

if TYPE_CHECKING:
    from hythe.provider.connection.files import HostFiles
    from hythe.provider.connection.ssh_dial import Dialer
    from hythe.provider.connection.ssh_forward import Forward
    from hythe.provider.container.client import Engine
    from hythe.provider.vm.client import Hypervisor, Hypervisors

__all__ = ["SshHost", "SshSettings"]

SESSIONS, TRANSFERS = 6, 2
"""Commands and file transfers at once: an SSH server allows ten sessions of a connection by default (MaxSessions)."""
_OPEN_SECONDS = 30.0
_CHUNK = 1 << 16
_TRIES = 5
_CONNECT_FAILED = 2
_NO_CODE = -1
"""What stands for the exit code of a program that was killed, or whose end nobody told."""
_T = TypeVar("_T")


class SshHost:
    """Implements :class:`hythe.provider.protocol.Host` over SSH. Nothing is opened before it is asked for."""

    def __init__(self, name: str, settings: SshSettings, engine: EngineSettings | None = None) -> None:
        self.name = name
        self.settings = settings
        self.engine_settings = engine or EngineSettings(AUTO)
        self._lock = threading.Lock()
        self._login_lock = threading.Lock()
        self._engine_lock = threading.Lock()
        self._sessions = threading.BoundedSemaphore(SESSIONS)
        self._transfers = threading.BoundedSemaphore(TRANSFERS)
        self._idle_transfers: list[tuple[SshTransport, Any]] = []
        self._transport: SshTransport | None = None
        self._engine: Engine | None = None
        self._hypervisors: Hypervisors | None = None
        self._forwards: list[Forward] = []
        self._dialer: Dialer | None = None

    # -- the connection -------------------------------------------------------------------------

    def transport(self) -> SshTransport:
        """The connection, logged in. Raises :class:`HostUnreachable`."""
        with self._login_lock:
            found = self._transport
            if found is None or not found.is_active():
                if found is not None:
                    found.close()
                found = self._transport = log_in(self.name, self.settings)
            return found

    def _with_channel(self, open_channel: Callable[[Any], _T], patience: int = _TRIES) -> _T:
        """What ``open_channel`` makes of the connection, asked again when the server is short of channels.

        Raises :class:`HostUnreachable`; its cause is a ``ChannelException`` where the server refused the channel.
        """
        import paramiko

        for attempt in range(_TRIES):
            transport = self.transport()
            try:
                return open_channel(transport.inner)
            except paramiko.ChannelException as failure:
                # others may have sessions on the server too: theirs end
                if attempt + 1 >= patience:
                    raise HostUnreachable(_no_channel(self.settings.where, failure)) from failure
                time.sleep(0.1 * (attempt + 1))
            except (paramiko.SSHException, EOFError, OSError) as failure:
                if transport.is_active() and isinstance(failure, OSError):
                    raise self.lost(failure) from failure
                transport.close()
                if attempt:
                    raise self.lost(failure) from failure
        raise AssertionError("the last attempt raises")

    def lost(self, failure: BaseException) -> HostUnreachable:
        """What to raise when the connection broke in the middle of something."""
        return HostUnreachable(_broken(self.settings.where, failure))

    def stream(self, path: str) -> socket.socket:
        """A stream to a unix socket on the machine.

        Raises FileNotFoundError, PermissionError or ConnectionRefusedError as opening it there would, and
        :class:`HostUnreachable`.
        """
        import paramiko

        from hythe.provider.connection.ssh_dial import Dialer

        dialer = self._dialer
        if dialer is None:
            try:
                return pumped(self._with_channel(lambda t: open_streamlocal(t, path), patience=1))
            except HostUnreachable as failure:
                if not isinstance(failure.__cause__, paramiko.ChannelException):
                    raise
            # the server does not say whether the socket or the forwarding is at fault: a command tells
            dialer = Dialer(self)
            stream = dialer.open(path)
            with self._lock:
                self._dialer = self._dialer or dialer
            return stream
        return dialer.open(path)

    def tcp_stream(self, host: str, port: int) -> socket.socket:
        """A stream to an address as the machine sees it. Raises :class:`HostUnreachable`."""
        opened = self._with_channel(
            lambda t: t.open_channel("direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=_OPEN_SECONDS), patience=1
        )
        return pumped(opened)

    def forward(self, path: str) -> str:
        """A local unix socket, which only this user can reach, that leads to one on the machine until :meth:`close`."""
        from hythe.provider.connection.ssh_forward import Forward

        made = Forward(self, path)
        with self._lock:
            self._forwards.append(made)
        return made.path

    # -- a host ---------------------------------------------------------------------------------

    def run(self, argv: Sequence[str], *, stdin: bytes | None = None, timeout: float | None = None) -> Completed:
        """Run a program and wait for it; ``timeout`` is in seconds.

        SSH hands a command to the login shell as one text, so each argument is quoted. A missing program ends with
        code 127. Raises :class:`ProviderError` when the time is up, :class:`HostUnreachable`.
        """
        with self._sessions:
            channel = self._with_channel(lambda t: t.open_session(timeout=_OPEN_SECONDS))
            try:
                return self._run(channel, argv, stdin, timeout)
            except (EOFError, OSError) as failure:
                raise HostUnreachable(_broken(self.settings.where, failure)) from failure
            finally:
                channel.close()

    def _run(self, channel: Any, argv: Sequence[str], stdin: bytes | None, timeout: float | None) -> Completed:
        import paramiko

        out, err = bytearray(), bytearray()
        end = None if timeout is None else time.monotonic() + timeout
        try:
            channel.exec_command(shlex.join(argv))
        except paramiko.SSHException as failure:
            raise HostUnreachable(_broken(self.settings.where, failure)) from failure
        writer = threading.Thread(target=_feed, args=(channel, stdin or b""), daemon=True)
        writer.start()
        channel.settimeout(0.5)
        while True:
            progressed = False
            while channel.recv_ready():
                out += channel.recv(_CHUNK)
                progressed = True
            while channel.recv_stderr_ready():
                err += channel.recv_stderr(_CHUNK)
                progressed = True
            if channel.exit_status_ready() and not channel.recv_ready() and not channel.recv_stderr_ready():
                break
            if end is not None and time.monotonic() > end:
                raise ProviderError(
                    error(
                        "Program took too long",
                        f"`{shlex.join(argv)}` on {self.name} did not end within {timeout:g} s and was left.",
                    )
                )
            if not progressed:
                channel.status_event.wait(0.02)
        _drain(channel, out, err)
        code = channel.recv_exit_status()
        if code == _NO_CODE and _has_ended(channel.get_transport()):
            raise self.lost(EOFError("it ended before the program did"))
        return Completed(tuple(argv), code, bytes(out), bytes(err))

    def files(self) -> HostFiles:
        """Access to the machine's files, over SFTP."""
        from hythe.provider.connection.ssh_files import SftpFiles

        return SftpFiles(self)

    @contextlib.contextmanager
    def sftp(self) -> Iterator[Any]:
        """An SFTP client, for one user at a time. Raises :class:`HostUnreachable`."""
        with self._transfers:
            transport, client = self._take_transfer()
            try:
                yield client
            except OSError:
                self._give_transfer(transport, client)
                raise
            except BaseException:
                client.close()
                raise
            self._give_transfer(transport, client)

    def _take_transfer(self) -> tuple[SshTransport, Any]:
        with self._lock:
            idle = self._idle_transfers.pop() if self._idle_transfers else None
        if idle is not None and idle[0].is_active() and not idle[1].get_channel().closed:
            return idle
        client = self._with_channel(self._start_sftp)
        return self.transport(), client

    def _start_sftp(self, transport: Any) -> Any:
        import paramiko

        channel = transport.open_session(timeout=_OPEN_SECONDS)
        try:
            channel.invoke_subsystem("sftp")
            return paramiko.SFTPClient(channel)
        except (paramiko.SSHException, EOFError) as failure:
            channel.close()
            if not transport.is_active():
                raise
            raise HostUnreachable(
                error(
                    "No file transfer",
                    f"{self.settings.where} lets Hythe in, and offers no SFTP, by which files get there. Set "
                    "`Subsystem sftp internal-sftp` in its sshd_config.",
                )
            ) from failure

    def _give_transfer(self, transport: SshTransport, client: Any) -> None:
        if client.get_channel().closed:
            return
        with self._lock:
            self._idle_transfers.append((transport, client))

    def engine(self) -> Engine:
        """The engine client, found once. Raises :class:`HostUnreachable`."""
        from hythe.provider.connection.ssh_engine import find_engine

        with self._engine_lock:
            if self._engine is None:
                self._engine = find_engine(self, self.engine_settings)
            return self._engine

    def hypervisor(self, uri: str | None = None) -> Hypervisor:
        """The machine's libvirt, through this connection. Nothing is opened before its first call."""
        from hythe.provider.connection.ssh_forward import remote_hypervisor
        from hythe.provider.vm.client import Hypervisors

        with self._lock:
            if self._hypervisors is None:
                self._hypervisors = Hypervisors(lambda wanted: remote_hypervisor(self, wanted))
            hypervisors = self._hypervisors
        return hypervisors.get(uri)

    def close(self) -> None:
        """Close everything."""
        with self._lock:
            engine, hypervisors, forwards = self._engine, self._hypervisors, self._forwards
            dialer, self._dialer = self._dialer, None
            self._engine, self._hypervisors, self._forwards, self._idle_transfers = None, None, [], []
        for closing in (engine, hypervisors, *forwards, dialer):
            if closing is not None:
                closing.close()
        with self._login_lock:
            transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()


def open_streamlocal(transport: Any, path: str) -> Any:
    """A channel to a unix socket (OpenSSH's PROTOCOL, section 2.4), for which paramiko has no call."""
    from paramiko.channel import Channel
    from paramiko.common import cMSG_CHANNEL_OPEN
    from paramiko.message import Message
    from paramiko.ssh_exception import ChannelException

    window, packet = transport.default_window_size, transport.default_max_packet_size
    with transport.lock:
        number = transport._next_channel()
        message = Message()
        message.add_byte(cMSG_CHANNEL_OPEN)
        message.add_string("direct-streamlocal@openssh.com")
        message.add_int(number)
        message.add_int(window)
        message.add_int(packet)
        message.add_string(path)
        message.add_string("")
        message.add_int(0)
        channel = Channel(number)
        transport._channels.put(number, channel)
        opened = transport.channel_events[number] = threading.Event()
        transport.channels_seen[number] = True
        channel._set_transport(transport)
        channel._set_window(window, packet)
    transport._send_user_message(message)
    end = time.monotonic() + _OPEN_SECONDS
    while not opened.wait(0.1):
        if not transport.is_active():
            raise EOFError("the connection broke")
        if time.monotonic() > end:
            raise TimeoutError("no answer to the opening of a channel")
    found = transport._channels.get(number)
    if found is not None:
        return found
    if not transport.is_active():
        raise EOFError("the connection broke")
    # the reason is in a place that all openings share: another one's may be there by now, or none
    told = transport.get_exception()
    raise told if isinstance(told, ChannelException) else ChannelException(_CONNECT_FAILED, "open failed")


def pumped(channel: Any, ended: Callable[[], None] = lambda: None) -> socket.socket:
    """A real socket for a channel, for all that works on sockets only; two threads carry the bytes.

    ``ended`` is called when the channel is closed.
    """
    ours, theirs = socket.socketpair()

    def send() -> None:
        # whatever the transport raises when the connection ends, the other end learns of it by the end of its stream
        with contextlib.suppress(Exception):
            while data := theirs.recv(_CHUNK):
                channel.sendall(data)
            channel.shutdown_write()

    def receive() -> None:
        with contextlib.suppress(Exception):
            while data := channel.recv(_CHUNK):
                theirs.sendall(data)
        with contextlib.suppress(Exception):
            channel.close()
        ended()
        with contextlib.suppress(OSError):
            theirs.shutdown(socket.SHUT_RDWR)
        sender.join(1.0)
        theirs.close()

    sender = threading.Thread(target=send, name="ssh-send", daemon=True)
    sender.start()
    threading.Thread(target=receive, name="ssh-receive", daemon=True).start()
    return ours


def _feed(channel: Any, data: bytes) -> None:
    at = 0
    with contextlib.suppress(OSError):  # the program may not want all of it
        while at < len(data):
            try:
                at += channel.send(data[at : at + _CHUNK])
            except TimeoutError:
                # a program that reads slowly, or one that has ended without reading
                if channel.closed or channel.exit_status_ready():
                    return
        channel.shutdown_write()


def _drain(channel: Any, out: bytearray, err: bytearray) -> None:
    """What is left of the output after the end was told."""
    channel.settimeout(1.0)
    try:
        while piece := channel.recv(_CHUNK):
            out += piece
        while piece := channel.recv_stderr(_CHUNK):
            err += piece
    except (TimeoutError, OSError):
        return


def _no_channel(where: str, failure: Exception) -> Diagnostic:
    return error(
        "SSH channel refused",
        f"{where} lets Hythe in and refuses a channel: {getattr(failure, 'text', failure)}. Its SSH server may forbid "
        "forwarding (AllowStreamLocalForwarding, AllowTcpForwarding), allow few sessions (MaxSessions), or nothing "
        "listens where the channel leads.",
    )


def _has_ended(transport: Any) -> bool:
    """Whether a connection is gone; its channels learn of that a little before it says so itself."""
    end = time.monotonic() + 1
    while transport.is_active():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def _broken(where: str, failure: BaseException) -> Diagnostic:
    text = str(failure) or type(failure).__name__
    return error(
        "SSH connection lost",
        f"The connection to {where} broke: {text}. Check that the machine is up and reachable, and run the command "
        "again.",
    )
