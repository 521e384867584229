"""The seed of cloud-init: what a guest is told at its first boot, on a small ISO image (data source NoCloud).

The user's data goes in as it is. What Hythe needs (keys to log in, the host key) is a part of its own beside it, merged
so that lists are joined and the user's values win.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

_KINDS = (
    ("#cloud-config-archive", "cloud-config-archive"),
    ("#cloud-config", "cloud-config"),
    ("#cloud-boothook", "cloud-boothook"),
    ("#include-once", "x-include-once-url"),
    ("#include", "x-include-url"),
    ("#part-handler", "part-handler"),
    ("## template: jinja", "jinja2"),
    ("#!", "x-shellscript"),
)
"""First words of user data, and the MIME type below text/ that cloud-init takes them for."""

_MERGE = "list(append)+dict(no_replace,recurse_list)+str()"


@dataclass(frozen=True, slots=True)
class SeedSpec:
    """What a guest is told. Without a host key it makes its own, and without ``macs`` it configures no network."""

    instance_id: str
    hostname: str
    user_data: str | None = None
    network_config: str | None = None
    meta_data: Mapping[str, Any] = field(default_factory=dict)
    authorized_keys: Sequence[str] = ()
    host_key_private: str | None = None
    host_key_public: str | None = None
    login_user: str = "root"
    macs: Sequence[str] = ()


def check_user_data(text: str) -> list[str]:
    """What is wrong with user data, in sentences; empty when cloud-init will understand it."""
    first = text.lstrip("\ufeff").split("\n", 1)[0].rstrip()
    if _is_mime(text):
        return []
    kind = _kind(text)
    if kind is None:
        return [
            f'it begins with "{first[:40]}", which cloud-init does not understand: the first line must be '
            "#cloud-config, #! and an interpreter, or another of cloud-init's headers"
        ]
    if kind != "cloud-config":
        return []
    return check_yaml(text, mapping=True)


def check_yaml(text: str, *, mapping: bool = False) -> list[str]:
    """What is wrong with a YAML document, in sentences."""
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as failure:
        mark = getattr(failure, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
        return [f"it is no YAML{where}: {getattr(failure, 'problem', None) or failure}"]
    if mapping and found is not None and not isinstance(found, dict):
        return ["it must be a mapping of cloud-init's module names to their settings"]
    return []


def make_seed(spec: SeedSpec) -> bytes:
    """The ISO image."""
    import pycdlib

    files = {"meta-data": _meta_data(spec), "user-data": _user_data(spec)}
    network = spec.network_config if spec.network_config is not None else _network(spec)
    if network:
        files["network-config"] = network
    image = pycdlib.PyCdlib()
    image.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="cidata")
    for at, (name, text) in enumerate(sorted(files.items())):
        data = text.encode()
        image.add_fp(io.BytesIO(data), len(data), f"/FILE{at}.;1", rr_name=name, joliet_path=f"/{name}")
    out = io.BytesIO()
    image.write_fp(out)
    image.close()
    return out.getvalue()


def _meta_data(spec: SeedSpec) -> str:
    return _yaml({"instance-id": spec.instance_id, "local-hostname": spec.hostname, **spec.meta_data})


def _user_data(spec: SeedSpec) -> str:
    own = "#cloud-config\n" + _yaml(_own(spec))
    if not spec.user_data:
        return own
    from email.mime.multipart import MIMEMultipart

    outer = MIMEMultipart("mixed", boundary="==hythe==")
    for part in (_user_part(spec.user_data), _part(own, "cloud-config")):
        outer.attach(part)
    return outer.as_string()


def _own(spec: SeedSpec) -> dict[str, Any]:
    out: dict[str, Any] = {"merge_how": _MERGE, "manage_etc_hosts": "localhost"}
    if spec.authorized_keys:
        out["ssh_authorized_keys"] = list(spec.authorized_keys)
    if spec.login_user == "root":
        out["disable_root"] = False
    if spec.host_key_private and spec.host_key_public:
        out["ssh_keys"] = {"ed25519_private": spec.host_key_private, "ed25519_public": spec.host_key_public}
    return out


def _network(spec: SeedSpec) -> str:
    """Addresses by DHCP; asked for by MAC, so that a machine made anew is given the same one."""
    if not spec.macs:
        return ""
    nics = {
        f"nic{at}": {"match": {"macaddress": mac}, "dhcp4": True, "dhcp-identifier": "mac"}
        for at, mac in enumerate(spec.macs)
    }
    return _yaml({"version": 2, "ethernets": nics})


def _user_part(text: str) -> Message:
    if _is_mime(text):
        from email import message_from_string

        return message_from_string(text)
    return _part(text, _kind(text) or "plain")


def _part(text: str, kind: str) -> Message:
    made = Message()
    made["Content-Type"] = f'text/{kind}; charset="utf-8"'
    made["MIME-Version"] = "1.0"
    made["Content-Transfer-Encoding"] = "base64"
    import base64

    made.set_payload(base64.encodebytes(text.encode()).decode())
    return made


def _kind(text: str) -> str | None:
    return next((kind for start, kind in _KINDS if text.startswith(start)), None)


def _is_mime(text: str) -> bool:
    head = text.lstrip()[:200].lower()
    return head.startswith(("content-type: multipart", "mime-version:"))


def _yaml(value: Any) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)

    Dumper.add_representer(str, text)
    return str(yaml.dump(value, Dumper=Dumper, sort_keys=True, default_flow_style=False))
