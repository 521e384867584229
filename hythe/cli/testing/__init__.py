"""``hythe test``: reading test files, running them, telling what came of it."""
