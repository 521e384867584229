"""Types, expressions, templates and functions of the language."""
