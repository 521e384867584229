"""Encryption of what is stored: keys, sealing, and a backend whose content is sealed."""
