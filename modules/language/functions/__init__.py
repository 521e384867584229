"""The function library, one file per family."""
