"""Output for people and programs: human, json, markdown."""
