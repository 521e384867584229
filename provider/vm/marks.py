"""Ownership marks in libvirt's XML, and the UUIDs that are derived from them."""

from __future__ import annotations

import uuid
import xml.etree.ElementTree as ET

from hythe.provider.protocol import Identity
from hythe.provider.vm.xml import Element, add, element

NAMESPACE = "https://hythe.dev/mark/1"
"""XML namespace of the mark: a name, not an address."""
ET.register_namespace("hythe", NAMESPACE)
_TAG = f"{{{NAMESPACE}}}mark"
_UUIDS = uuid.UUID("0d1f3f3a-7f0e-4f7b-9b6c-6f0b8d0f5a55")


def metadata(identity: Identity) -> Element:
    """The ``metadata`` element of an object that is ours."""
    made = element("metadata")
    add(made, _TAG, lineage=identity.lineage, address=identity.address, id=identity.id)
    return made


def identity_of(root: Element) -> Identity | None:
    """Whose an object is, from its XML; None when it carries no mark."""
    mark = root.find(f"metadata/{_TAG}")
    if mark is None:
        return None
    return Identity(mark.get("lineage", ""), mark.get("address", ""), mark.get("id", ""))


def uuid_of(identity: Identity) -> str:
    """The UUID of an instance's object, by which it is found without reading any other."""
    return str(uuid.uuid5(_UUIDS, f"{identity.lineage}\n{identity.id}"))


def mac_of(lineage: str, address: str, index: int) -> str:
    """The MAC address of an interface: the same for whatever stands at the instance's address, so that it outlives a
    replacement, and with it the address that the machine was given.
    """
    digits = uuid.uuid5(_UUIDS, f"mac\n{lineage}\n{address}\n{index}").hex
    return f"52:54:00:{digits[0:2]}:{digits[2:4]}:{digits[4:6]}"
