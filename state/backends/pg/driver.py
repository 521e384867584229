"""The library that speaks to PostgreSQL, loaded when it is needed."""

from __future__ import annotations

import sys
from types import ModuleType

from hythe.diagnostic import DiagnosticError, error


def load() -> ModuleType:
    """The psycopg module. Raises DiagnosticError where it is not installed."""
    try:
        import psycopg
    except ImportError as failure:
        text = (
            f'The backend "pg" needs psycopg with libpq, which cannot be loaded here ({failure}). Install it for the '
            f"Python that runs Hythe: `{sys.executable} -m pip install 'psycopg[binary]>=3.2'`."
        )
        raise DiagnosticError(error("PostgreSQL's client library is missing", text)) from failure
    return psycopg
