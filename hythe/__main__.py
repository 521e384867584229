"""``python -m hythe``."""

import sys

from hythe.cli.main import run

if __name__ == "__main__":
    sys.exit(run())
