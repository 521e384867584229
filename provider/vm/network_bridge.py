"""Networks that stand for a bridge of the host: one that is there, or one that Hythe makes and removes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hythe.diagnostic import error
from hythe.provider.host import bridge, bridge_links
from hythe.provider.protocol import Attributes, Context, Hint, Host, ProviderError, ReadContext
from hythe.provider.schema import Effect
from hythe.provider.vm import forwards
from hythe.provider.vm.marks import uuid_of


def hint(before: Any, after: Any, old: Attributes) -> Hint:
    """What is on a bridge that Hythe made is changed in place; which bridge it is, is not."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return Hint(Effect.REPLACE)
    same = after.get("name") in (None, before.get("name") or old.get("bridge"))
    return Hint(Effect.LIVE if same and bridge.is_made(before) and bridge.is_made(after) else Effect.REPLACE)


def look(host: Host, what: str) -> dict[str, bridge.Link]:
    """The interfaces of the host. Raises ProviderError."""
    return bridge_links.links_of(host, what)


def put(context: Context, desired: Attributes, what: str, before: Attributes | None = None) -> None:
    """See to the bridge: that it is there, or that it is as it shall be. Raises ProviderError."""
    block = desired.get("host_bridge")
    if block is None:
        return
    links = look(context.host, what)
    if not bridge.is_made(block):
        _expect(links, str(block["name"]), what)
        return
    wish = bridge.wish_of(block, context.identity, uuid_of(context.identity))
    found = bridge.problem(links, wish, what)
    if found is not None:
        raise ProviderError(found)
    released = ((before or {}).get("host_bridge") or {}).get("ports") or ()
    bridge_links.carry_out(context.host, bridge.steps(links, wish, released), what)
    forwards.let_pass(context.host, wish.name, what)


def _expect(links: Mapping[str, bridge.Link], name: str, what: str) -> None:
    if name in links and links[name].kind == bridge.BRIDGE:
        return
    known = [n for n, link in sorted(links.items()) if link.kind == bridge.BRIDGE]
    have = f"it has {', '.join(known)}" if known else "it has none"
    raise ProviderError(
        error(
            "Bridge not found",
            f'{what}: the host has no bridge "{name}" ({have}). Name one of these, or write `ports` (the interfaces '
            "to put onto it, which may be an empty list) so that Hythe makes it.",
        )
    )


def remove(context: Context, attributes: Attributes, what: str) -> None:
    """Remove the bridge and the VLAN that were made for a network; others' bridges stay. Raises ProviderError."""
    if not bridge.is_made(attributes["host_bridge"]):
        return
    identity = context.identity
    links = look(context.host, what)
    steps = bridge.removal(links, identity.lineage, identity.id, _names(uuid_of(identity)))
    bridge_links.carry_out(context.host, steps, what)
    forwards.refuse_again(context.host, bridge.wish_of(attributes["host_bridge"], identity, uuid_of(identity)).name)


def left(context: ReadContext, id: str, uuid: str) -> bool:
    """Whether an interrupted creation left a bridge behind."""
    links = look(context.host, "Looking for a bridge")
    return bool(bridge.removal(links, context.lineage, id, _names(uuid)))


def observe(out: Attributes, known: Mapping[str, Any], links: Mapping[str, bridge.Link], rules: str) -> None:
    """Complete what was observed of a network by what is observed of its bridge.

    It counts as down while the bridge is, or where nothing may pass between its ports (``rules`` are iptables').
    """
    name = str(out["host_bridge"]["name"])
    block, there = bridge.observe(links, known, name)
    out["host_bridge"] = ({"name": name} if known.get("name") else {}) | block
    open_ = not bridge.is_made(known) or forwards.passes(rules, name)
    out["active"] = bool(out["active"]) and there and open_


def _names(uuid: str) -> list[str]:
    digits = uuid.replace("-", "")[:10]
    return [f"hy-{digits}", f"hv-{digits}"]
