"""Kinds of the engine API (Docker, Podman)."""
