"""What goes wrong with a server, told to users."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hythe.diagnostic import Diagnostic, DiagnosticError, error
from hythe.state.backends.base import ServerFailed

if TYPE_CHECKING:
    from hythe.state.backends.s3.settings import Target

_CREDENTIALS = {
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "TokenRefreshRequired",
    "InvalidClientTokenId", "UnrecognizedClientException",
}  # fmt: skip
_REGION = {
    "PermanentRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "301",
    "TemporaryRedirect",
}
_PASSING = {"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "OperationAborted", "InternalError"}
_CONFLICT = {"ConditionalRequestConflict", "ConcurrentModification", "OperationAborted"}


def failures() -> tuple[type[BaseException], ...]:
    """What the library raises; nothing where it is not installed, which :func:`.driver.make_client` tells."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return ()
    return (BotoCoreError, ClientError)


def code_of(failure: BaseException) -> str:
    """The server's code for what went wrong; empty where it gave none."""
    response: Any = getattr(failure, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def status_of(failure: BaseException) -> int:
    """The status of the server's answer, 0 where there was none."""
    response: Any = getattr(failure, "response", None)
    if not isinstance(response, dict):
        return 0
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def is_conflict(failure: BaseException) -> bool:
    """Whether two wrote at the same moment, and the server could not say which came first."""
    return status_of(failure) == 409 and code_of(failure) in _CONFLICT


def is_refused(failure: BaseException) -> bool:
    """Whether the condition of a write did not hold."""
    return status_of(failure) == 412 or (status_of(failure) == 404 and code_of(failure) in ("NoSuchKey", "404"))


def is_passing(failure: BaseException) -> bool:
    """Whether the same may be well some time later."""
    return was_not_answered(failure) or status_of(failure) >= 500 or status_of(failure) == 429 or (
        code_of(failure) in _PASSING
    )  # fmt: skip


def was_not_answered(failure: BaseException) -> bool:
    """Whether nobody answered, or the connection broke."""
    from botocore import exceptions as known

    if isinstance(failure, known.SSLError) and _is_distrust(failure):
        return False
    return isinstance(failure, (known.HTTPClientError, known.ConnectionError, known.IncompleteReadError))


def was_never_reached(failure: BaseException) -> bool:
    """Whether there was no connection at all: most likely a mistake in the settings, at first."""
    from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError

    return isinstance(failure, (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError))


def _is_distrust(failure: BaseException) -> bool:
    return "certificate" in str(failure).lower() or "wrong version number" in str(failure).lower()


def reason(failure: BaseException, target: Target) -> str:
    """What the server or its client library said, in one line and without secrets."""
    response: Any = getattr(failure, "response", None)
    if isinstance(response, dict):
        told = response.get("Error", {})
        message = told.get("Message")
        text = ": ".join(str(t) for t in (told.get("Code"), message) if t and t != "None")
        text = text or f"status {status_of(failure)}"
    else:
        text = str(failure)
    text = re.sub(r"\s+", " ", text).strip().rstrip(".")
    for secret in target.secrets:
        text = text.replace(secret, "(secret)")
    return text or type(failure).__name__


def diagnose(failure: BaseException, target: Target) -> Diagnostic:
    """What went wrong and what to do about it."""
    from botocore import exceptions as known

    said, code, status = reason(failure, target), code_of(failure), status_of(failure)
    text = f"The state is in {target.server}: {said}."
    if isinstance(failure, known.ProfileNotFound):
        return error("No credentials for the state server", f"{text} Check profile, AWS_PROFILE and ~/.aws/config.")
    if isinstance(failure, (known.NoCredentialsError, known.PartialCredentialsError, known.CredentialRetrievalError)):
        text += (
            " Give access_key and secret_key (with --backend-config, so that they are not in the configuration), "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile."
        )
        return error("No credentials for the state server", text)
    if code == "NoSuchBucket":
        text += " Hythe makes no buckets: make it, or name another in bucket."
        return error("State bucket missing", text)
    if code in _CREDENTIALS:
        text += " Check access_key and secret_key, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile."
        return error("State server refused the credentials", text)
    if code == "RequestTimeTooSkewed":
        return error("Clock is wrong", f"{text} Set the clock of this machine, or of the server.")
    if code in _REGION or status in (301, 307, 308):
        text += " Check region, and that the endpoint is the one of that region."
        return error("State bucket is in another region", text)
    if status in (401, 403):
        text += (
            " Whoever keeps state needs s3:ListBucket of the bucket, and s3:GetObject, s3:PutObject and "
            "s3:DeleteObject of what begins with the state's key; reading needs the first two."
        )
        return error("State bucket not permitted", text)
    if isinstance(failure, known.SSLError) and _is_distrust(failure):
        text += (
            " The connection was not made, as nobody could tell who listens to it. Check custom_ca_bundle (or "
            "AWS_CA_BUNDLE), and the name that the server's certificate is for."
        )
        return error("State server not trusted", text)
    if isinstance(failure, known.ReadTimeoutError):
        text += " It takes connections and does not answer. Try again later, or see the server's log."
        return error("State server does not answer", text)
    if was_not_answered(failure):
        text += " Check that the server runs and can be reached from here, and what endpoints or region say."
        return error("State server not reachable", text)
    return error("State server failed", f"{text} See the server's log.")


@contextmanager
def reading(target: Target) -> Iterator[None]:
    """Failures as DiagnosticError."""
    try:
        yield
    except failures() as failure:
        raise DiagnosticError(diagnose(failure, target)) from failure


@contextmanager
def writing(target: Target) -> Iterator[None]:
    """Failures as OSError."""
    try:
        yield
    except failures() as failure:
        if is_passing(failure):
            advice = f"See that {target.host} can be reached again"
        else:
            advice = f"Mend this on {target.host}"
        raise ServerFailed(reason(failure, target), advice) from failure
