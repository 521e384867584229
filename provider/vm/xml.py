"""XML of libvirt: made and read with the standard library."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TypeAlias

Element: TypeAlias = ET.Element


def parse(text: str) -> Element:
    """The tree of a document that libvirt gave: nothing that a stranger wrote."""
    return ET.fromstring(text)  # noqa: S314


def render(root: Element) -> str:
    """The document's text."""
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def element(tag: str, text: object = None, **attributes: object) -> Element:
    """An element; attributes that are None are left out, booleans are yes and no."""
    made = ET.Element(tag, {k.rstrip("_"): _text(v) for k, v in attributes.items() if v is not None})
    if text is not None:
        made.text = str(text)
    return made


def add(parent: Element, tag: str, text: object = None, **attributes: object) -> Element:
    """A new child; see :func:`element`."""
    made = element(tag, text, **attributes)
    parent.append(made)
    return made


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
