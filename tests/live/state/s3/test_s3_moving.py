"""States that move between a bucket and every other backend, on a real server each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Shell
from tests.live.state.http.conftest import state_server  # noqa: F401 - a fixture
from tests.live.state.pg.conftest import cluster, database  # noqa: F401 - fixtures
from tests.live.state.s3.conftest import Bucket


@pytest.mark.parametrize(("other", "back"), [("local", True), ("local", False), ("pg", False), ("http", True)])
def test_states_move_there_and_back(
    other: str,
    back: bool,
    bucket: Bucket,
    terminal: Shell,
    request: pytest.FixtureRequest,
    check_migration: Callable[[str, str], None],
) -> None:
    for name, value in bucket.environment.items():
        terminal.patch.setenv(name, value)
    block = ""
    if other == "pg":
        given: Any = request.getfixturevalue("database")
        block = f'  backend "pg" {{\n    conn_str = "{given.address}"\n  }}'
    elif other == "http":
        address = request.getfixturevalue("state_server")().url("/states/{workspace}")
        names = ("address", "lock_address", "unlock_address")
        arguments = "".join(f'    {name} = "{address}"\n' for name in names)
        block = f'  backend "http" {{\n{arguments}  }}'
    check_migration(*((block, bucket.block) if back else (bucket.block, block)))
