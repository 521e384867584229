"""The command line: one file per command, views for its output."""
