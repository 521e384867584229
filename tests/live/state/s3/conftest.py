"""An S3 server, buckets on it, and the ``hythe`` command in folders that keep their state there."""

from __future__ import annotations

import json
import secrets
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from hythe.state.backends.s3 import Settings, open_storage
from hythe.state.backends.s3.backend import S3Backend, S3Storage
from hythe.state.backends.s3.lease import Lease
from hythe.state.backends.s3.link import Link
from tests.live.state.pg import conftest as pg
from tests.live.state.s3.radosgw import ACCESS_KEY, SECRET_KEY, Gateway

KEY = "shop/state.json"


@dataclass
class Bucket:
    """A bucket of its own for one test."""

    gateway: Gateway
    name: str

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of a backend block, without the credentials."""
        return {"bucket": self.name, "key": KEY, "endpoint": self.gateway.address, "use_path_style": True}

    @property
    def block(self) -> str:
        """A backend block."""
        lines = "".join(f"    {name} = {json.dumps(value)}\n" for name, value in self.arguments.items())
        return f'  backend "s3" {{\n{lines}  }}'

    @property
    def environment(self) -> dict[str, str]:
        """The credentials."""
        return {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}

    def storage(self, **settings: Any) -> S3Storage:
        """The backend's storage."""
        return open_storage(Settings(**{**self.arguments, **settings}), "/", self.environment)

    def backend(self, workspace: str = "default", **settings: Any) -> S3Backend:
        """The backend of one workspace, as another process would have it."""
        return self.storage(**settings).backend(workspace)

    @property
    def link(self) -> Link:
        """The bucket itself."""
        return Link(self.storage().target)

    def listed(self, prefix: str = "") -> list[str]:
        """The keys in it."""
        return [each.key for each in self.link.keys(prefix)]


@dataclass
class Project(pg.Project):
    """A folder with a configuration whose state is in a bucket."""

    database: Any = None
    bucket: Bucket = field(kw_only=True)

    def write(self, text: str, **more: Any) -> None:
        """Write the configuration, with the backend's block before it."""
        self.folder.mkdir(exist_ok=True)
        arguments = {**self.bucket.arguments, **more}
        lines = "".join(f"    {name} = {json.dumps(value)}\n" for name, value in arguments.items())
        head = f'hythe {{\n  backend "s3" {{\n{lines}{self.settings}\n  }}\n}}\n'
        (self.folder / "main.hcl").write_text(head + text.replace("FOLDER", str(self.folder)))

    def twin(self, name: str, text: str) -> Project:
        """Another folder with the same state, as on another machine; objects are made in this one all the same."""
        other = replace(self, folder=self.folder.parent / name)
        other.write(text.replace("FOLDER", str(self.folder)))
        return other

    def end(self, process: subprocess.Popen[str], timeout: float = 120) -> pg.Ran:
        """Wait for a command; it says neither the secret key nor anything of Python."""
        ran = super().end(process, timeout)
        assert SECRET_KEY not in ran.text, ran.text
        return ran


@pytest.fixture(scope="session")
def gateway() -> Iterator[Gateway]:
    """The server. A test that stops it starts it again."""
    made = Gateway.make()
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture
def bucket(gateway: Gateway) -> Bucket:
    """An empty bucket."""
    made = Bucket(gateway, f"t{secrets.token_hex(6)}")
    made.link.run(lambda client: client.create_bucket(Bucket=made.name))
    return made


@pytest.fixture
def project(bucket: Bucket, tmp_path: Path) -> Project:
    """A folder whose state is in an empty bucket."""
    made = Project(tmp_path / "here", bucket=bucket, environment=bucket.environment)
    made.folder.mkdir()
    return made


@pytest.fixture(autouse=True)
def no_lease_outlives_its_test() -> Iterator[None]:
    """A lock that a test left held is renewed no longer than the test."""
    yield
    for thread in threading.enumerate():
        renew = getattr(thread, "_target", None)
        if thread.name == "lease" and isinstance(lease := getattr(renew, "__self__", None), Lease):
            lease._end.set()
            thread.join(10)
