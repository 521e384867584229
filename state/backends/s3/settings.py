"""The backend's arguments, and what they come to with the environment.

The names are those of OpenTofu's ``s3`` backend where they mean the same, and so are the variables: those of AWS.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from hythe.diagnostic import DiagnosticError, error
from hythe.state.backends.pg.settings import Duration

DEFAULT_PREFIX = "env:"
DEFAULT_REGION = "us-east-1"
_LOCKS = "the lock is an object beside the state, always, so leave it out"
_PROFILE = "write a profile that assumes the role into ~/.aws/config, and name it in profile"
_ELSEWHERE = {
    "dynamodb_table": f"it is not used here: {_LOCKS}",
    "dynamodb_endpoint": f"it is not used here: {_LOCKS}",
    "acl": "access is given by a policy of the bucket, which holds for the lock and the journal too",
    "sse_customer_key": (
        'Hythe\'s own encryption (the block "encryption", see docs/encryption.md) keeps the key from the server '
        "altogether"
    ),
    "assume_role": _PROFILE,
    "assume_role_with_web_identity": "AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE in the environment do that",
    "role_arn": _PROFILE,
    "iam_endpoint": "only the endpoint of S3 is used: endpoints = { s3 = ... }",
    "sts_endpoint": "only the endpoint of S3 is used: endpoints = { s3 = ... }",
}
_SHORTEST_SECRET = 4


class Settings(BaseModel):
    """The arguments of ``backend "s3"``.

    ``lease``: how long a lock outlives a holder that is not heard of any more, in seconds.
    ``retry_for``: how long one who holds the lock goes on trying when the server cannot be reached, in seconds.
    ``versions``: how many snapshots from before are kept.
    The ``skip_`` ones are OpenTofu's: what they skip is never done here, so they are accepted and change nothing,
    but for ``skip_metadata_api_check`` and ``skip_s3_checksum``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    bucket: str | None = Field(None, min_length=1)
    key: str = Field(min_length=1, max_length=900)
    region: str | None = None
    endpoint: str | None = None
    endpoints: dict[str, str] | None = None
    access_key: str | None = None
    secret_key: SecretStr | None = None
    token: SecretStr | None = None
    profile: str | None = None
    shared_credentials_files: tuple[str, ...] | None = None
    shared_credentials_file: str | None = None
    shared_config_files: tuple[str, ...] | None = None
    workspace_key_prefix: str = Field(DEFAULT_PREFIX, min_length=1)
    use_path_style: bool = False
    force_path_style: bool = False
    encrypt: bool = False
    kms_key_id: str | None = None
    use_lockfile: bool = True
    insecure: bool = False
    custom_ca_bundle: str | None = None
    max_retries: int = Field(5, ge=0, le=100)
    skip_credentials_validation: bool = False
    skip_region_validation: bool = False
    skip_requesting_account_id: bool = False
    skip_metadata_api_check: bool = False
    skip_s3_checksum: bool = False
    lease: Duration = Field(30.0, ge=1.0, le=3600.0, validate_default=True)
    retry_for: Duration = Field(90.0, ge=0.0, le=86400.0, validate_default=True)
    versions: int = Field(20, ge=0, le=10_000)

    # what OpenTofu's backend has besides: refused, with what to use in its place
    dynamodb_table: Any = None
    dynamodb_endpoint: Any = None
    acl: Any = None
    sse_customer_key: Any = None
    assume_role: Any = None
    assume_role_with_web_identity: Any = None
    role_arn: Any = None
    iam_endpoint: Any = None
    sts_endpoint: Any = None

    @field_validator(*_ELSEWHERE, mode="before")
    @classmethod
    def _elsewhere(cls, value: Any, info: ValidationInfo) -> None:
        if value is not None:
            raise ValueError(_ELSEWHERE[info.field_name or ""])

    @field_validator("key")
    @classmethod
    def _key(cls, value: str) -> str:
        if value.startswith("/") or value.endswith("/") or "//" in value:
            raise ValueError('a key neither begins nor ends with "/" and has no "//" in it, as OpenTofu has it')
        return value

    @field_validator("workspace_key_prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if value.startswith("/") or value.endswith("/"):
            raise ValueError('it must neither begin nor end with "/"')
        return value

    @field_validator("use_lockfile")
    @classmethod
    def _lockfile(cls, value: bool) -> bool:
        if not value:
            raise ValueError("the state is always locked; --lock=false goes without for one command")
        return value

    @field_validator("endpoints")
    @classmethod
    def _endpoints(cls, value: dict[str, str] | None) -> dict[str, str] | None:
        # those of other services are in blocks of OpenTofu, and no matter here
        if value is not None and not value.keys() <= {"s3", "dynamodb", "iam", "sso", "sts"}:
            raise ValueError('only "s3" is of use in it, as in endpoints = { s3 = "https://s3.example.com" }')
        return value


@dataclass(frozen=True, slots=True)
class Target:
    """Which bucket, and how to work with it. What may be secret is not in its ``repr``."""

    bucket: str
    key: str
    prefix: str
    region: str
    endpoint: str | None
    access_key: str | None
    secret_key: str | None = field(repr=False)
    token: str | None = field(repr=False)
    profile: str | None = None
    credentials_file: str | None = None
    config_file: str | None = None
    path_style: bool = False
    put_options: Mapping[str, str] = field(default_factory=dict)
    verify: bool | str = True
    max_retries: int = 5
    without_metadata_api: bool = False
    checksums: bool = True
    lease: float = 30.0
    retry_for: float = 90.0
    versions: int = 20

    @property
    def host(self) -> str:
        """The server, for users."""
        return urlsplit(self.endpoint).netloc if self.endpoint else f"Amazon S3 ({self.region})"

    @property
    def server(self) -> str:
        """Bucket and server, for users."""
        return f'bucket "{self.bucket}" on {self.host}'

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        found = {s for s in (self.secret_key, self.token) if s and len(s) >= _SHORTEST_SECRET}
        return tuple(sorted(found, key=lambda s: (-len(s), s)))

    def key_of(self, workspace: str) -> str:
        """The key of a workspace's snapshot."""
        from hythe.state.backends.base import DEFAULT_WORKSPACE

        return self.key if workspace == DEFAULT_WORKSPACE else f"{self.prefix}/{workspace}/{self.key}"


def _endpoint(settings: Settings) -> str | None:
    return (settings.endpoints or {}).get("s3") or settings.endpoint or None


def place(settings: Settings) -> dict[str, str]:
    """What of the arguments decides where the states are; what is left to the environment is not in it."""
    endpoint = _endpoint(settings)
    found = {"key": settings.key, "workspace_key_prefix": settings.workspace_key_prefix}
    if settings.bucket is not None:
        found["bucket"] = settings.bucket
    if endpoint is not None:
        parts = urlsplit(endpoint)
        found["endpoint"] = f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}{parts.path.rstrip('/')}"
    return found


def resolve(settings: Settings, environment: Mapping[str, str], root: str) -> Target:
    """What settings and environment say together. Raises DiagnosticError with all that is wrong."""
    problems = []

    def wrong(text: str) -> None:
        problems.append(error("Invalid S3 backend", text))

    if not settings.bucket:
        wrong('The argument "bucket" is missing: write the name of the bucket that keeps the state.')
    endpoint = _endpoint(settings) or next(
        (environment[n] for n in ("AWS_ENDPOINT_URL_S3", "AWS_S3_ENDPOINT", "AWS_ENDPOINT_URL") if environment.get(n)),
        None,
    )
    if endpoint is not None and not _is_url(endpoint):
        wrong("The endpoint must be a URL like https://s3.example.com, without a name or password in it.")
    access, secret, token = _keys(settings, environment)
    if bool(access) != bool(secret):
        have, lack = ("access_key", "secret_key") if access else ("secret_key", "access_key")
        wrong(f"There is an {have} without {lack}: both are given, or neither.")
    if settings.kms_key_id and not settings.encrypt:
        wrong("kms_key_id says which key encrypts, and encrypt is not true.")
    bundle = settings.custom_ca_bundle or environment.get("AWS_CA_BUNDLE") or None
    if bundle is not None:
        bundle = os.path.join(root, os.path.expanduser(bundle))
        if not os.path.isfile(bundle):
            wrong(f"There is no file {bundle}, which custom_ca_bundle or AWS_CA_BUNDLE names.")
    if problems:
        raise DiagnosticError(*problems)
    options: dict[str, str] = {}
    if settings.encrypt:
        options["ServerSideEncryption"] = "aws:kms" if settings.kms_key_id else "AES256"
        if settings.kms_key_id:
            options["SSEKMSKeyId"] = settings.kms_key_id
    return Target(
        bucket=settings.bucket or "",
        key=settings.key,
        prefix=settings.workspace_key_prefix,
        region=_region(settings, environment, endpoint),
        endpoint=endpoint,
        access_key=access,
        secret_key=secret,
        token=token,
        profile=settings.profile,
        credentials_file=_one_file(
            settings.shared_credentials_files or (settings.shared_credentials_file,), "shared_credentials_files", root
        ),
        config_file=_one_file(settings.shared_config_files or (None,), "shared_config_files", root),
        path_style=settings.use_path_style or settings.force_path_style,
        put_options=options,
        verify=False if settings.insecure else bundle or True,
        max_retries=settings.max_retries,
        without_metadata_api=settings.skip_metadata_api_check,
        checksums=not settings.skip_s3_checksum,
        lease=settings.lease,
        retry_for=settings.retry_for,
        versions=settings.versions,
    )


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False


def _keys(settings: Settings, environment: Mapping[str, str]) -> tuple[str | None, str | None, str | None]:
    """Keys and token that are given; without any the library looks where they usually are."""
    access = settings.access_key or None
    secret = settings.secret_key.get_secret_value() if settings.secret_key is not None else None
    token = settings.token.get_secret_value() if settings.token is not None else None
    if access or secret or settings.profile or settings.shared_credentials_files or settings.shared_credentials_file:
        return access, secret or None, token or None
    if environment.get("AWS_PROFILE") and not environment.get("AWS_ACCESS_KEY_ID"):
        return None, None, None
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    return tuple(environment.get(name) or None for name in names)  # type: ignore[return-value]


def _region(settings: Settings, environment: Mapping[str, str], endpoint: str | None) -> str:
    region = settings.region or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    if not region and endpoint is None:
        text = (
            'The argument "region" is missing: write the region that the bucket is in, or set AWS_REGION. With another '
            "server than Amazon's (endpoints = { s3 = ... }) it may be left out."
        )
        raise DiagnosticError(error("Invalid S3 backend", text))
    return region or DEFAULT_REGION


def _one_file(files: tuple[str | None, ...], name: str, root: str) -> str | None:
    if len(files) > 1:
        text = f"{name} has {len(files)} files, and one can be read. Leave the others out."
        raise DiagnosticError(error("Invalid S3 backend", text))
    return os.path.join(root, os.path.expanduser(files[0])) if files[0] else None
