"""States that move between every two backends, on a real server each."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from tests.live.state.http.conftest import state_server  # noqa: F401 - a fixture

PLACES = ("local", "pg", "http")


@pytest.mark.parametrize("pair", list(itertools.permutations(PLACES, 2)), ids=" to ".join)
def test_states_move_there_and_back(
    pair: tuple[str, str],
    database: Any,
    state_server: Any,  # noqa: F811
    check_migration: Callable[[str, str], None],
) -> None:
    address = state_server().url("/states/{workspace}")
    arguments = "".join(f'    {name} = "{address}"\n' for name in ("address", "lock_address", "unlock_address"))
    blocks = {
        "local": "",
        "pg": f'  backend "postgres" {{\n    conn_str = "{database.address}"\n  }}',
        "http": f'  backend "http" {{\n{arguments}  }}',
    }
    check_migration(*(blocks[name] for name in pair))
