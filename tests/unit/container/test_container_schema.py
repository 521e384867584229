"""What the arguments of ``container`` accept, and how they are stored."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from hythe.provider.container.container import Container
from hythe.provider.protocol import PrepareContext, Project
from hythe.provider.schema import Effect
from hythe.value import Reference, Unknown

KIND = Container()


def decode(**given: Any) -> dict[str, Any]:
    found, problems = KIND.schema.decode({"image": "web:1", **given})
    assert problems == []
    return found


def problems(**given: Any) -> str:
    _, found = KIND.schema.decode({"image": "web:1", **given})
    return "\n".join(text for _, text in found)


def test_the_canonical_form_of_the_usual_arguments() -> None:
    found = decode(
        memory="128MiB",
        cpus=Decimal("0.50"),
        port=[{"container": "80", "host": 8080, "ip": None}],
        expose=[80, "53/UDP"],
        cap_add=["cap_net_admin"],
        healthcheck={"test": ["CMD", "true"], "interval": "90s"},
        mac_address="02-42-AC-11-00-02",
        memory_swap="unlimited",
        stop_signal="sigint",
        file=[{"target": "/etc/a/", "content": "x", "mode": "644"}],
    )
    assert found["memory"] == 128 << 20
    assert found["cpus"] == Decimal("0.5")
    assert found["port"] == [{"container": 80, "host": 8080, "protocol": "tcp"}]
    assert found["expose"] == ["80/tcp", "53/udp"]
    assert found["cap_add"] == ["NET_ADMIN"]
    assert found["healthcheck"]["interval"] == "1m30s"
    assert found["mac_address"] == "02:42:ac:11:00:02"
    assert found["memory_swap"] == -1
    assert found["stop_signal"] == "SIGINT"
    assert found["file"][0] == {"target": "/etc/a", "content": "x", "mode": "0644", "uid": 0, "gid": 0}
    assert {k: found[k] for k in ("running", "must_run", "wait", "attach")} == {
        "running": True,
        "must_run": True,
        "wait": True,
        "attach": False,
    }


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"name": "a b"}, "is not the name of a container"),
        ({"restart": "sometimes"}, "is not a restart policy"),
        ({"port": [{"container": 0}]}, "ports go from 1 to 65535"),
        ({"port": [{"container": "http"}]}, "is not a port"),
        ({"port": [{"container": "80-82", "host": "90-91"}]}, "not equally long"),
        ({"mount": [{"target": "data"}]}, "not an absolute path"),
        ({"mount": [{"target": "/d", "volume": "v", "source": "/s"}]}, "only one of"),
        ({"mount": [{"target": "/d", "source": "srv"}]}, "is not a path"),
        (
            {"mount": [{"target": "/d", "volume": "v", "size": "1m"}]},
            "`size` does not belong to a mount of type volume",
        ),
        (
            {"mount": [{"target": "/d", "volume": "v"}, {"target": "/d", "tmpfs": True}]},
            "two mounts have the target /d",
        ),
        ({"network": [{"network": "n"}], "network_mode": "host"}, "either `network_mode` or `network`"),
        ({"network": [{"network": "none"}]}, 'write network_mode = "none"'),
        ({"network_mode": "host", "port": [{"container": 80}]}, "no ports can be published"),
        ({"cpus": 1, "cpu_quota": 1000}, "`cpus` stands for"),
        ({"memory": "64m", "memory_swap": "32m"}, "at least as much"),
        ({"healthcheck": {"test": ["curl"]}}, 'begins with "CMD"'),
        ({"healthcheck": {"disable": True, "retries": 2}}, "stands alone"),
        ({"file": [{"target": "/a"}]}, "exactly one of"),
        ({"file": [{"target": "/a", "content_base64": "?"}]}, "is not base64"),
        ({"gpus": "many"}, "are no GPUs"),
        ({"extra_hosts": ["db"]}, "no entry for /etc/hosts"),
        ({"attach": True, "restart": "always"}, "wait for ever"),
        (
            {"image": Reference("volume", "volume.a", "1")},
            "volume.a is of kind volume, and one of kind image is needed here",
        ),
    ],
)
def test_mistakes_are_said(given: dict[str, Any], text: str) -> None:
    assert text in problems(**given)


def test_what_a_change_does_is_declared() -> None:
    effects = {name: spec.effect for name, spec in KIND.schema.attributes.items() if not spec.computed}
    live = {name for name, effect in effects.items() if effect is Effect.LIVE}
    assert {"name", "memory", "cpus", "pids_limit", "restart", "network", "running", "blkio_weight"} <= live
    assert not {"image", "command", "env", "port", "mount", "labels", "healthcheck", "file"} & live


class Files:
    def digest(self, path: str, ignore_file: str | None = None) -> str:
        if path.endswith("missing"):
            raise FileNotFoundError(2, "No such file or directory")
        return "sha256:" + path


CONTEXT = PrepareContext(Files(), Project("shop", "x1", "/p"), "/p/m", "web", "a", {})  # type: ignore[arg-type]


def test_prepare_fills_in_name_digests_and_paths() -> None:
    desired = decode(file=[{"target": "/a", "source": "a.txt"}], mount=[{"target": "/d", "source": "./data"}])
    found, diagnostics = KIND.prepare(desired, CONTEXT)
    assert diagnostics == []
    assert found["name"] == "shop-web-a-x1"
    assert found["file"][0]["digest"] == "sha256:/p/m/a.txt"
    assert found["mount"][0]["source"] == "/p/m/data"


def test_prepare_takes_what_is_not_known_yet() -> None:
    given = {"image": Unknown("any"), "file": Unknown("any"), "mount": [{"target": "/d", "source": Unknown("string")}]}
    decoded, found = KIND.schema.decode(given)
    assert found == []
    ready, diagnostics = KIND.prepare(decoded, CONTEXT)
    assert diagnostics == []
    assert ready["name"] == "shop-web-a-x1"


def test_prepare_says_which_file_is_missing() -> None:
    _, diagnostics = KIND.prepare(decode(file=[{"target": "/a", "source": "missing"}]), CONTEXT)
    assert [d.summary for d in diagnostics] == ["File cannot be read"]
    _, diagnostics = KIND.prepare(decode(file=[{"target": "/a", "content": ""}], read_only=True), CONTEXT)
    assert [d.summary for d in diagnostics] == ["File on a read-only container"]
