"""Requests to a state server: retries, redirects, TLS, proxies; and what is said when they fail."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from hashlib import md5
from urllib.parse import urljoin, urlsplit

from hythe import __version__
from hythe.state.backends.base import ServerFailed
from hythe.state.backends.http.settings import Access, shown

MAX_STATE = 1 << 30
"""Bytes; a larger state is refused rather than read."""

MAX_OTHER = 1 << 20
TIMEOUT = 60.0
"""Seconds that each wait for the server may take."""

_MAX_REDIRECTS = 5
_EXCERPT = 200
_PIECE = 1 << 20


class HttpFailure(ServerFailed):
    """A request that came to nothing. ``strerror`` are sentences for the user, without the full stop at the end.

    ``doubtful``: the server may have done it all the same.
    """

    def __init__(self, summary: str, text: str, *, doubtful: bool = False) -> None:
        super().__init__(text, "See to the server and to the way there")
        self.summary, self.doubtful = summary, doubtful


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said, whatever the status. ``doubtful``: a try before this one may have had its effect."""

    status: int
    reason: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    doubtful: bool = False

    @property
    def is_fine(self) -> bool:
        """Whether the server did what it was asked for."""
        return 200 <= self.status < 300


class _Broken(Exception):
    """A try that failed. ``again``: another may do better. ``doubtful``: it may have had its effect."""

    def __init__(self, text: str, *, summary: str, again: bool, doubtful: bool) -> None:
        super().__init__(text)
        self.text, self.summary, self.again, self.doubtful = text, summary, again, doubtful


class HttpClient:
    """Talks to the server of one state. Safe to use from several threads: it keeps nothing open."""

    def __init__(
        self, access: Access, *, sleep: Callable[[float], None] = time.sleep, timeout: float = TIMEOUT
    ) -> None:
        self.access = access
        self._sleep = sleep
        self._timeout = timeout
        self._context: ssl.SSLContext | None = None

    def request(
        self, method: str, url: str, body: bytes | None = None, *, limit: int = MAX_OTHER, retries: int | None = None
    ) -> Answer:
        """Ask, and ask again where that may help. Raises :class:`HttpFailure` when no answer of use came."""
        retries = self.access.retries if retries is None else retries
        doubtful = False
        for attempt in range(retries + 1):
            wait = min(self.access.wait_min * 2**attempt, self.access.wait_max)
            try:
                answer = self._follow(method, url, body, limit)
            except _Broken as broken:
                doubtful = doubtful or broken.doubtful
                if attempt == retries or not broken.again:
                    tried = f" ({attempt + 1} tries)" if attempt else ""
                    raise HttpFailure(broken.summary, self.masked(broken.text) + tried, doubtful=doubtful) from None
            else:
                if not _is_passing(answer.status) or attempt == retries:
                    return Answer(answer.status, answer.reason, answer.body, answer.headers, doubtful)
                doubtful = True
                wait = _retry_after(answer, wait, self.access.wait_max)
            self._sleep(wait)
        raise AssertionError("unreachable")

    def refusal(self, answer: Answer, method: str, url: str, setting: str) -> HttpFailure:
        """The failure that an answer means. ``setting`` is the argument that names the method."""
        where = shown(url)
        known = self.access.credentials is not None or any(h.lower() == "authorization" for h in self.access.headers)
        said = self._excerpt(answer)
        summary = "State server refuses the request"
        if answer.status == 401 and known:
            text = f"{where} does not accept the name and password (or the header) that it was given{said}"
            summary = "State server refuses access"
        elif answer.status == 401:
            summary = "State server refuses access"
            text = f"{where} wants to know who asks: set username and password, or HYTHE_HTTP_USERNAME and _PASSWORD"
        elif answer.status == 403:
            summary = "State server refuses access"
            text = f"{where} knows who asks and does not allow {method}{said}"
        elif answer.status == 407:
            text = f"A proxy between here and {where} wants a name and password: write them into its URL (https_proxy)"
        elif answer.status in (405, 501):
            text = f"{where} does not know the method {method}: {setting} must be the one that the server wants{said}"
        elif answer.status == 404:
            text = f"There is nothing at {where} that {method} could be asked of: check the address{said}"
        elif answer.status == 413:
            text = f"The state is larger than {where} takes{said}"
        elif 300 <= answer.status < 400:
            target = shown(urljoin(url, answer.headers.get("location", "")))
            text = (
                f"{where} leads to {target} ({answer.status}), which is not followed: write that address if it is right"
            )
        elif answer.status >= 500:
            summary = "State server failed"
            text = f"{where} answered {answer.status} {answer.reason} to {method}{said}"
        else:
            text = f"{where} answered {answer.status} {answer.reason} to {method}{said}"
        return HttpFailure(summary, self.masked(text), doubtful=answer.doubtful or answer.status >= 500)

    def masked(self, text: str) -> str:
        """The text without secrets."""
        for secret in self.access.secrets:
            text = text.replace(secret, "(sensitive)")
        return text

    def _excerpt(self, answer: Answer) -> str:
        """What the server says of it in words, in parentheses; empty where it says nothing of use."""
        text = answer.body[: 4 * _EXCERPT].decode("utf-8", "replace")
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        if not text or text.startswith("<"):
            return ""
        return f" (it says: {text[:_EXCERPT]}{'...' if len(text) > _EXCERPT else ''})"

    # -- one try --------------------------------------------------------------------------------

    def _follow(self, method: str, url: str, body: bytes | None, limit: int) -> Answer:
        """One try, redirects followed where that is safe."""
        own, at = _origin(url), url
        for _ in range(_MAX_REDIRECTS):
            answer = self._once(method, at, body, limit, own=_origin(at) == own)
            target = answer.headers.get("location")
            if answer.status not in (301, 302, 303, 307, 308) or not target:
                return answer
            target = urljoin(at, target)
            if not _may_follow(method, answer.status, at, target):
                return answer
            at = target
        return answer

    def _once(self, method: str, url: str, body: bytes | None, limit: int, *, own: bool) -> Answer:
        headers = {"User-Agent": f"hythe/{__version__}", "Accept": "*/*", "Cache-Control": "no-cache"}
        if own:
            # to nobody else: they say who asks
            headers |= self.access.headers
            if self.access.credentials is not None:
                token = base64.b64encode(":".join(self.access.credentials).encode()).decode()
                headers["Authorization"] = f"Basic {token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
            headers["Content-MD5"] = base64.b64encode(md5(body, usedforsecurity=False).digest()).decode()
        request = urllib.request.Request(url, data=body, headers=headers, method=method)  # noqa: S310 - checked
        opener = self._opener(url, own)
        try:
            with opener.open(request, timeout=self._timeout) as response:
                return _read(response, limit)
        except urllib.error.URLError as failure:
            reason = failure.reason if isinstance(failure.reason, Exception) else failure
            raise self._broken(reason, url) from None
        except (OSError, http.client.HTTPException) as failure:
            raise self._broken(failure, url) from None

    def _opener(self, url: str, own: bool) -> urllib.request.OpenerDirector:
        opener = urllib.request.OpenerDirector()
        proxies = dict(self.access.proxies)
        without = proxies.pop("no", "")
        if proxies and not _goes_without(url, without):
            opener.add_handler(urllib.request.ProxyHandler(proxies))
        opener.add_handler(urllib.request.HTTPHandler())
        if url.startswith("https:"):
            opener.add_handler(urllib.request.HTTPSHandler(context=self._trust(own)))
        return opener

    def _trust(self, own: bool) -> ssl.SSLContext:
        if not own:
            return ssl.create_default_context(cadata=self.access.authority)
        if self._context is None:
            self._context = tls_context(self.access)
        return self._context

    def _broken(self, failure: Exception, url: str) -> _Broken:
        where = shown(url)
        summary, again, doubtful = "State server not reachable", True, True
        if isinstance(failure, ConnectionRefusedError):
            text, doubtful = f"{where} cannot be reached: nothing listens there", False
        elif isinstance(failure, socket.gaierror):
            text = f"The name of the server in {where} cannot be found: {failure.strerror}"
            again, doubtful = failure.errno == socket.EAI_AGAIN, False
        elif isinstance(failure, ssl.SSLCertVerificationError):
            summary, again, doubtful = "State server not trusted", False, False
            text = (
                f"The certificate of {where} cannot be trusted: {failure.verify_message}. Where an authority of your "
                "own signed it, give that authority's certificate as client_ca_certificate_pem"
            )
        elif isinstance(failure, ssl.SSLError):
            text = f"{where} and this machine do not agree on TLS: {failure.reason or failure}"
        elif isinstance(failure, TimeoutError):
            text = f"{where} did not answer within {self._timeout:g} seconds"
        elif isinstance(failure, http.client.HTTPException | ConnectionError):
            what = "ended the connection" if isinstance(failure, ConnectionError) else "answered in no form of HTTP"
            text = f"{where} {what} instead of answering"
        elif isinstance(failure, _Cut):
            text = f"The answer of {where} {failure}"
            again = failure.again
        else:
            text = f"{where} cannot be reached: {getattr(failure, 'strerror', None) or failure}"
        return _Broken(text, summary=summary, again=again, doubtful=doubtful)


class _Cut(OSError):
    """An answer that cannot be used as it is."""

    again = True


def _read(response: http.client.HTTPResponse, limit: int) -> Answer:
    headers: Message = response.headers
    length = headers.get("Content-Length", "")
    body = bytearray()
    # by pieces: room for all of what may come would be taken at once
    while len(body) <= limit and (piece := response.read(_PIECE)):
        body += piece
    if len(body) > limit:
        failure = _Cut(f"is larger than {limit >> 20} MiB, which is more than can be right")
        failure.again = False
        raise failure
    if length.isdecimal() and len(body) < int(length) and response.status not in (204, 304):
        raise _Cut(f"ends early: {len(body)} of {length} bytes came")
    return Answer(response.status, response.reason, bytes(body), {k.lower(): v for k, v in headers.items()})


def tls_context(access: Access) -> ssl.SSLContext:
    """What TLS is done with. Raises :class:`HttpFailure` when a certificate cannot be used."""
    summary = "Certificate not usable"
    try:
        context = ssl.create_default_context(cadata=access.authority)
    except (ssl.SSLError, ValueError) as failure:
        raise HttpFailure(summary, f"client_ca_certificate_pem holds no certificate in PEM: {failure}") from None
    if not access.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if access.certificate is not None:
        # only files can be loaded; this one is in memory, so that the key gets on no disk
        file = os.memfd_create("hythe")
        try:
            os.write(file, access.certificate.encode())
            context.load_cert_chain(f"/proc/self/fd/{file}", password="")
        except (ssl.SSLError, OSError, ValueError) as failure:
            text = (
                "client_certificate_pem and client_private_key_pem cannot be used: they must be a certificate and its "
                f"key in PEM, not encrypted ({getattr(failure, 'reason', None) or failure})"
            )
            raise HttpFailure(summary, text) from None
        finally:
            os.close(file)
    return context


def _goes_without(url: str, names: str) -> bool:
    """Whether ``no_proxy`` names the server: itself, with its port, or a domain that it is in."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    for name in names.lower().replace(" ", "").split(","):
        domain = name.removeprefix("*").removeprefix(".")
        if name == "*" or (domain and (host == domain or parts.netloc.lower() == domain)):
            return True
        if domain and host.endswith("." + domain):
            return True
    return False


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _may_follow(method: str, status: int, at: str, target: str) -> bool:
    """Whether a redirect keeps what was asked, and what was told safe."""
    scheme = urlsplit(target).scheme
    if scheme not in ("http", "https") or (at.startswith("https:") and scheme != "https"):
        return False
    if method == "GET":
        return True
    # anything else is only sent where it was meant to go, and only if it stays the same request
    return status in (307, 308) and _origin(at) == _origin(target)


def _is_passing(status: int) -> bool:
    """Whether a later try may be answered otherwise."""
    return status == 429 or (status >= 500 and status != 501)


def _retry_after(answer: Answer, wait: float, longest: float) -> float:
    told = answer.headers.get("retry-after", "")
    if answer.status in (429, 503) and re.fullmatch(r"\d{1,6}", told):
        with contextlib.suppress(ValueError):
            return min(float(told), max(longest, wait))
    return wait
