"""Containers: apply and refresh against the bare engine, turn and turn about."""

from __future__ import annotations

import contextlib
import io
import secrets
import statistics
import subprocess
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from harness import HYTHE, Row, folder, run, timed

if TYPE_CHECKING:
    import docker

PARALLELISM = 10
COMMAND = ["sleep", "9000"]


def rows(count: int, rounds: int) -> Iterator[Row]:
    """Apply and refresh of ``count`` containers. Everything made is removed, whatever fails."""
    import docker

    api = docker.APIClient(version="auto", timeout=300)
    prefix = f"hythebench{secrets.token_hex(4)}"
    image = f"{prefix}/busybox:1"
    try:
        api.import_image_from_data(_root_file_system(), repository=f"{prefix}/busybox", tag="1")
        with folder(_configuration(prefix, image, count)) as path:
            yield from _measured(api, prefix, image, path, count, rounds)
    finally:
        _remove(api, prefix)
        with contextlib.suppress(docker.errors.ImageNotFound):
            api.remove_image(image, force=True)
        api.close()


def _configuration(prefix: str, image: str, count: int) -> str:
    command = ", ".join(f'"{word}"' for word in COMMAND)
    return (
        f'resource "container" "c" {{\n  count = {count}\n  name = "{prefix}-${{count.index}}"\n  image = "{image}"\n'
        f'  command = [{command}]\n  init = true\n  network_mode = "none"\n}}\n'
    )


def _root_file_system() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add("/bin/busybox", "bin/busybox")
        link = tarfile.TarInfo("bin/sleep")
        link.type, link.linkname = tarfile.SYMTYPE, "busybox"
        tar.addfile(link)
    return out.getvalue()


def _measured(api: docker.APIClient, prefix: str, image: str, path: Path, count: int, rounds: int) -> Iterator[Row]:
    names = [f"{prefix}-{at}" for at in range(count)]
    bare: list[float] = []
    ours: list[float] = []
    inspect: list[float] = []
    refresh: list[float] = []
    for warm in range(-1, rounds):
        made = timed(lambda: _create(api, image, names))
        _remove(api, prefix)
        applied = run([*HYTHE, "apply", "--auto-approve", f"--parallelism={PARALLELISM}"], path).wall
        for _ in range(3):
            told = timed(lambda: subprocess.run(["docker", "inspect", *names], capture_output=True, check=True))
            plan = run([*HYTHE, "plan"], path).wall
            without = run([*HYTHE, "plan", "--refresh=false"], path).wall
            if warm >= 0:
                inspect.append(told)
                refresh.append(plan - without)
        if warm >= 0:
            bare.append(made)
            ours.append(applied)
        run([*HYTHE, "destroy", "--auto-approve", "--parallelism=20"], path)
    took, alone = statistics.median(ours), statistics.median(bare)
    note = f"{took:.2f} s against {alone:.2f} s of `create` and `start` through the bare SDK, {PARALLELISM} at once"
    yield Row(f"apply of {count} containers, the whole command", took / alone, 1.2, "x", note)
    took, alone = statistics.median(refresh), statistics.median(inspect)
    note = f"{took:.3f} s more than without refresh, against {alone:.3f} s of one `docker inspect` of them all"
    yield Row(f"refresh of {count} containers", took / alone, 1.5, "x", note)


def _create(api: docker.APIClient, image: str, names: list[str]) -> None:
    def one(name: str) -> None:
        config = api.create_host_config(init=True, network_mode="none")
        made = api.create_container(image, COMMAND, name=name, host_config=config)
        api.start(made["Id"])

    with ThreadPoolExecutor(PARALLELISM) as pool:
        list(pool.map(one, names))


def _remove(api: docker.APIClient, prefix: str) -> None:
    import docker

    def one(container: dict[str, str]) -> None:
        with contextlib.suppress(docker.errors.NotFound):
            api.remove_container(container["Id"], force=True)

    with ThreadPoolExecutor(PARALLELISM) as pool:
        list(pool.map(one, api.containers(all=True, filters={"name": f"^/{prefix}-"})))
