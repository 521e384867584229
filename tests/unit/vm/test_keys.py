"""Keys to VMs: made once, kept, and never made where they are only looked for."""

from __future__ import annotations

from pathlib import Path

from hythe.provider.protocol import Project
from hythe.provider.vm import keys


def test_keys_are_made_once_and_found_again(tmp_path: Path) -> None:
    project = Project("shop", "abc", str(tmp_path))
    assert keys.kept_state_key(project, "lineage") is None
    assert keys.kept_host_key(project, "id") is None
    assert list(tmp_path.iterdir()) == [], "looking makes nothing"
    login, host = keys.state_key(project, "lineage"), keys.host_key(project, "id")
    assert keys.kept_state_key(project, "lineage") == login == keys.state_key(project, "lineage")
    assert keys.kept_host_key(project, "id") == host
    assert keys.kept_state_key(project, "other") is None
    for path in Path(keys.folder(project)).iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    keys.forget(project, "id")
    assert keys.kept_host_key(project, "id") is None
