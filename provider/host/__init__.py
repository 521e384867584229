"""Kinds that act on a host itself."""
