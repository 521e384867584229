"""States that move between every two backends, on a real server each."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

PLACES = ("local", "pg", "http")


@pytest.mark.parametrize("pair", list(itertools.permutations(PLACES, 2)), ids=" to ".join)
def test_states_move_there_and_back(
    pair: tuple[str, str], database: Any, state_server: Any, check_migration: Callable[[str, str], None]
) -> None:
    address = state_server().url("/states/{workspace}")
    blocks = {
        "local": "",
        "pg": f'  backend "postgres" {{\n    conn_str = "{database.address}"\n  }}',
        "http": f'  backend "http" {{\n    address = "{address}"\n    lock_address = "{address}"\n    unlock_address = "{address}"\n  }}',
    }
    check_migration(*(blocks[name] for name in pair))
