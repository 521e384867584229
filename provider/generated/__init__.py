"""Kinds that make something once and keep it in the state: random values, keys and certificates."""
