"""What users of OpenTofu's providers and of Compose are used to write, and what stands here in its place.

Only messages use it: an unknown kind, argument or block that is in these tables gets its text in place of a guess.
"""

from __future__ import annotations

from collections.abc import Mapping

_STATE_ONLY = 'Values that only the state keeps are of kind value: resource "value".'


def _random(sort: str) -> str:
    return f'Write resource "random" with type = "{sort}".'


def _tls(sort: str) -> str:
    return f'Write resource "tls" with type = "{sort}".'


KINDS: Mapping[str, str] = {
    "docker_container": 'Write resource "container".',
    "docker_image": 'Write resource "image".',
    "docker_registry_image": 'Write resource "image" with a `push` block.',
    "docker_network": 'Write resource "network".',
    "docker_volume": 'Write resource "volume".',
    "docker_tag": 'Write resource "image" with `tags`.',
    "libvirt_domain": 'Write resource "vm".',
    "libvirt_network": 'Write resource "network" with `mode`.',
    "libvirt_volume": 'Write resource "volume" with type = "disk", or resource "disk_image" for what VMs start from.',
    "libvirt_pool": "Name the pool in `pool` of a volume or disk_image; the default one is made when it is needed.",
    "libvirt_cloudinit_disk": 'Write `user_data` and `network_config` in resource "vm"; the seed disk is made of them.',
    "random_id": _random("id"),
    "random_integer": _random("integer"),
    "random_password": _random("password"),
    "random_pet": _random("pet"),
    "random_shuffle": _random("shuffle"),
    "random_string": _random("string"),
    "random_uuid": _random("uuid"),
    "tls_private_key": _tls("private_key"),
    "tls_cert_request": _tls("cert_request"),
    "tls_self_signed_cert": _tls("self_signed_cert"),
    "tls_locally_signed_cert": _tls("locally_signed_cert"),
    "local_file": 'Write resource "file".',
    "local_sensitive_file": 'Write resource "file" with `sensitive_content`.',
    "null_resource": f'{_STATE_ONLY} Commands are run by resource "command".',
    "terraform_data": _STATE_ONLY,
}
"""Kinds of others by name."""

DATA: Mapping[str, str] = {
    "docker_image": 'Write data "image".',
    "docker_registry_image": 'Write resource "image": pull = "always" asks the registry for its digest each time.',
    "docker_network": 'Write data "network".',
    "external": 'Write data "command" with `read`, and take its result apart: jsondecode(data.command.NAME.stdout).',
    "http": 'Write data "command" with `read`, as in read = ["curl", "-fsS", "https://..."]; `stdout` is the answer.',
    "local_file": 'Write file("path"), or data "file" for a file of another machine.',
    "local_sensitive_file": 'Write sensitive(file("path")), or data "file" for a file of another machine.',
    "template_file": 'Write templatefile("path", { name = "value" }).',
    "terraform_remote_state": 'Write data "command" with `read`, as in read = ["hythe", "-chdir=FOLDER", "output", '
    '"-json"], and take its result apart: jsondecode(data.command.NAME.stdout).',
}
"""What others read in ``data`` blocks."""


def kind_advice(mode: str, kind: str) -> str | None:
    """What to write in place of a block of another tool; None where that is not known."""
    return (DATA.get(kind) if mode == "data" else None) or KINDS.get(kind)


ARGUMENTS: Mapping[str, Mapping[str, str]] = {
    "container": {
        "environment": 'Environment variables stand in `env`: env = { NAME = "value" }.',
        "ports": "A port is published by a block: port { container = 80, host = 8080 }, a line for each argument.",
        "volumes": 'Write a `mount` block for each: volume, or source for a path of the host, and target = "/path".',
        "mounts": "Write a `mount` block for each.",
        "networks": "Write a `network` block for each: network = network.NAME.",
        "networks_advanced": "Write `network` blocks: network = network.NAME, aliases, ipv4_address.",
        "upload": "Files are put into it by `file` blocks: target, and content or source.",
        "configs": "Files are put into it by `file` blocks: target, and content or source.",
        "secrets": "Files are put into it by `file` blocks: target, and content or source.",
        "container_name": "Its name is set by `name`.",
        "build": 'An image is built by resource "image" with a `build` block; then image = image.NAME.',
        "capabilities": "Write `cap_add` and `cap_drop`.",
        "logging": "Write a `log` block: driver, options.",
        "log_driver": "Write a `log` block: driver, options.",
        "log_opts": "Write a `log` block: driver, options.",
        "mem_limit": "Memory is limited by `memory`.",
        "mem_reservation": "Write `memory_reservation`.",
        "memswap_limit": "Write `memory_swap`.",
        "cpu_set": "CPUs are chosen by `cpuset_cpus`.",
        "cpuset": "CPUs are chosen by `cpuset_cpus`.",
        "stop_grace_period": "Write `stop_grace`.",
        "destroy_grace_seconds": "Write `stop_grace`.",
        "stop_timeout": "Write `stop_grace`.",
        "restart_policy": "Write `restart`.",
        "max_retry_count": 'Write restart = "on-failure:N".',
        "devices": "Write a `device` block for each.",
        "ulimits": "Write a `ulimit` block for each.",
        "dns_opts": "Write `dns_options`.",
        "security_opts": "Write `security_opt`.",
        "storage_opt": "Write `storage_opts`.",
        "group_adds": "Write `group_add`.",
        "start": "Write `running`.",
        "replicas": "Write `count` or `for_each`: each instance is a container of its own.",
        "scale": "Write `count` or `for_each`: each instance is a container of its own.",
    },
    "container.port": {
        "internal": "The port inside is `container`.",
        "external": "The port of the host is `host`.",
        "target": "The port inside is `container`.",
        "published": "The port of the host is `host`.",
        "host_port": "The port of the host is `host`.",
        "container_port": "The port inside is `container`.",
        "host_ip": "The address that it listens on is `ip`.",
    },
    "container.mount": {
        "path": "Where it stands inside is `target`.",
        "container_path": "Where it stands inside is `target`.",
        "volume_name": "Write `volume`: volume = volume.NAME.",
        "host_path": "A path of the host is `source`.",
        "type": "Say what is mounted: `volume`, `source` for a path of the host, or `tmpfs`.",
    },
    "container.network": {
        "name": "Write `network`: network = network.NAME.",
        "alias": "Write `aliases`, a list.",
    },
    "container.file": {
        "file": "Where it stands inside is `target`.",
        "path": "Where it stands inside is `target`.",
    },
    "image": {
        "keep_locally": "Write `keep`.",
        "pull_triggers": "Write lifecycle { replace_triggered_by = [...] }.",
        "triggers": "A changed context is noticed. For more, write lifecycle { replace_triggered_by = [...] }.",
        "context": "Write a `build` block with `context`.",
        "dockerfile": "Write a `build` block with `context` and `dockerfile`.",
    },
    "image.build": {
        "path": "The folder is `context`.",
        "tag": "Names stand beside the block: `name` and `tags`.",
        "build_args": "Write `args`.",
        "build_arg": "Write `args`.",
        "label": "Write `labels`.",
    },
    "network": {
        "driver": 'Say what it is by `mode`: mode = "nat" or "bridge" for VMs; for containers there is nothing to say.',
        "ipam_config": "Write `cidr`, `gateway` and `ip_range`, or `subnet` blocks for several.",
        "ipam": "Write `cidr`, `gateway` and `ip_range`, or `subnet` blocks for several.",
        "addresses": "Write `cidr`.",
    },
    "volume": {
        "driver_opts": "Write `driver_options`.",
        "base_volume_id": "Write `backing`.",
        "base_volume_name": "Write `backing`.",
    },
    "vm": {
        "vcpu": "Write `cpus`.",
        "vcpus": "Write `cpus`.",
        "cores": "Write `cpus`, or a `cpu` block for sockets, cores and threads.",
        "ram": "Write `memory`.",
        "cloudinit": "Write `user_data`, and where needed `network_config` and `meta_data`.",
        "cloud_init_user_data": "Write `user_data`.",
        "network_interface": "Write `interface` blocks: network = network.NAME.",
        "network": "Write an `interface` block: network = network.NAME.",
        "qemu_agent": "Write `guest_agent`.",
        "console": "The serial console always goes to a log, and `hythe serial` opens it.",
        "video": "Write `graphics`.",
        "boot_device": "It boots from its first disk, or from `kernel`.",
        "base_image": "Write `image`.",
    },
    "vm.disk": {
        "volume_id": "Write `volume`: volume = volume.NAME.",
        "file": "A file of the machine is named by `path`.",
    },
    "vm.interface": {
        "network_id": "Write `network`: network = network.NAME.",
        "network_name": "Write `network`.",
        "macvtap": "Write `direct`.",
    },
    "file": {
        "filename": "Write `path`.",
        "content_base64sha256": "A changed content is noticed by itself.",
        "file_permission": "Write `mode`.",
        "permissions": "Write `mode`.",
    },
    "command": {
        "command": "Write `create`, and `check`, `update` and `delete` where needed.",
        "interpreter": "Write the interpreter as the first words of `create`.",
        "env": "Write `environment`.",
        "working_dir": "Write `directory`.",
    },
}
"""Arguments and blocks of others, by kind (and block) and name."""
