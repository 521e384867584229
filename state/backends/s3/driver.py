"""The library that speaks to S3, loaded when it is needed."""

from __future__ import annotations

import sys
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hythe.diagnostic import DiagnosticError, error

if TYPE_CHECKING:
    from hythe.state.backends.s3.settings import Target

_CONNECT_TIMEOUT, _READ_TIMEOUT = 10, 20
_CONNECTIONS = 16
_TURN = threading.Lock()


def make_client(target: Target) -> Any:
    """A client for the server. Raises DiagnosticError where the library is missing or cannot be set up."""
    import logging
    import warnings

    try:
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError as failure:
        text = (
            f'The backend "s3" needs botocore, which cannot be loaded here ({failure}). Install it for the Python that '
            f"runs Hythe: `{sys.executable} -m pip install 'botocore>=1.36'`."
        )
        raise DiagnosticError(error("S3's client library is missing", text)) from failure
    # in all detail it would tell each request with its body, which is the state
    logging.getLogger("botocore").setLevel(logging.INFO)
    if target.verify is False:
        # that is what was asked for
        warnings.filterwarnings("ignore", message="Unverified HTTPS request")
    config = Config(
        connect_timeout=_CONNECT_TIMEOUT,
        read_timeout=_READ_TIMEOUT,
        max_pool_connections=_CONNECTIONS,
        # what is tried again, and how its outcome is told, is decided here
        retries={"total_max_attempts": 1, "mode": "standard"},
        s3={"addressing_style": "path" if target.path_style else "auto"},
        # the newer checksums are not known to servers other than Amazon's; Content-MD5 is to all
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        user_agent_extra="hythe",
    )
    try:
        # a session is for one thread at a time, its clients are for any number
        with _TURN:
            session = _session(target.profile, target.credentials_file, target.config_file, target.without_metadata_api)
            return _client_of(session, target, config)
    except (BotoCoreError, ValueError) as failure:
        from hythe.state.backends.s3.failures import diagnose

        raise DiagnosticError(diagnose(failure, target)) from failure


@lru_cache(maxsize=8)
def _session(profile: str | None, credentials: str | None, config: str | None, without_metadata_api: bool) -> Any:
    """What loads the description of the service, which takes as long as a dozen requests: once for all clients."""
    import botocore.session

    session = botocore.session.Session(profile=profile)
    for variable, value in (("credentials_file", credentials), ("config_file", config)):
        if value is not None:
            session.set_config_variable(variable, value)
    if without_metadata_api:
        session.get_component("credential_provider").remove("iam-role")
    return session


def _client_of(session: Any, target: Target, config: Any) -> Any:
    return session.create_client(
        "s3",
        region_name=target.region,
        endpoint_url=target.endpoint,
        verify=target.verify,
        aws_access_key_id=target.access_key,
        aws_secret_access_key=target.secret_key,
        aws_session_token=target.token,
        config=config,
    )
