"""Ports of the host that lead to machines of a network: rules of iptables, which libvirt's networks are made of too.

Each network has chains of its own, named after its UUID, so that the whole set is put in place at once and removed
without a look at anybody else's rules. libvirt refuses what comes from outside to a network with addresses of its
own, so the jump to our chain stands before libvirt's.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from hythe.diagnostic import error
from hythe.provider.protocol import Completed, Host, ProviderError

_LIBVIRT_IN = "LIBVIRT_FWI"
_LOCAL = ("-m", "addrtype", "--dst-type", "LOCAL")
_MADE = ("-m", "conntrack", "--ctstate", "DNAT")
_SECONDS = 30.0
_TIMES = 20


def chain_of(uuid: str) -> str:
    """The name that the chains of a network begin with; a chain's name has at most 28 letters."""
    return f"HYTHE-{uuid.replace('-', '')[:12]}"


def jumps(chain: str) -> list[tuple[str, list[str]]]:
    """Where the chains are entered: the table, and the rule."""
    return [
        ("nat", ["PREROUTING", *_LOCAL, "-j", chain]),
        ("nat", ["OUTPUT", "!", "-d", "127.0.0.0/8", *_LOCAL, "-j", chain]),
        ("nat", ["POSTROUTING", "-j", f"{chain}-P"]),
        ("filter", ["FORWARD", "-j", chain]),
    ]


def rules(chain: str, cidr: str, forwards: Sequence[Mapping[str, Any]]) -> str:
    """What iptables-restore is given: the chains with what is in them."""
    nat, back, let = [], [], []
    # those for one address of the host go first
    for item in sorted(forwards, key=lambda f: (f.get("ip") is None, f["protocol"], f["host"])):
        protocol, address = item["protocol"], item["address"]
        guest = item.get("guest") or item["host"]
        at = f"-d {item['ip']}/32 " if item.get("ip") else ""
        nat.append(f"-A {chain} {at}-p {protocol} --dport {item['host']} -j DNAT --to-destination {address}:{guest}")
        there = f"-d {address}/32 -p {protocol} --dport {guest} {' '.join(_MADE)}"
        # a machine of the same network would be answered past the host, by somebody whom it did not ask
        back.append(f"-A {chain}-P -s {cidr} {there} -j MASQUERADE")
        let.append(f"-A {chain} {there} -j ACCEPT")
    lines = ["*nat", f":{chain} - [0:0]", f":{chain}-P - [0:0]", *nat, *back, "COMMIT"]
    return "\n".join([*lines, "*filter", f":{chain} - [0:0]", *let, "COMMIT", ""])


def parse(saved: str, chain: str) -> list[dict[str, Any]]:
    """The forwards of a network in what iptables-save prints; none where a part of what belongs to them is missing."""
    found: list[dict[str, Any]] = []
    lets: set[tuple[str, int, str]] = set()
    entered: set[str] = set()
    passed = False
    table = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:]
        if not line.startswith("-A "):
            continue
        words = shlex.split(line)
        at, target = words[1], words[words.index("-j") + 1] if "-j" in words else ""
        if table == "filter" and at == "FORWARD" and target == _LIBVIRT_IN:
            passed = True
        if target in (chain, f"{chain}-P") and not (table == "filter" and passed):
            entered.add(f"{table} {at}")
        if at == chain and target == "DNAT":
            found.append(_forward(words))
        elif table == "filter" and at == chain and target == "ACCEPT":
            lets.add((_after(words, "-p"), int(_after(words, "--dport")), _after(words, "-d").partition("/")[0]))
    if entered != {f"{t} {r[0]}" for t, r in jumps(chain)}:
        return []
    return [f for f in found if (f["protocol"], f["guest"], f["address"]) in lets]


def _forward(words: list[str]) -> dict[str, Any]:
    address, _, guest = _after(words, "--to-destination").partition(":")
    out: dict[str, Any] = {"host": int(_after(words, "--dport")), "address": address, "guest": int(guest)}
    out["protocol"] = _after(words, "-p")
    if "-d" in words:
        out["ip"] = _after(words, "-d").partition("/")[0]
    return out


def _after(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1] if flag in words else ""


# -- on the host ----------------------------------------------------------------------------------


def saved(host: Host) -> str:
    """What iptables-save prints; empty where there is no iptables. Raises HostUnreachable."""
    done = host.run(["iptables-save"], timeout=_SECONDS)
    return done.stdout.decode(errors="replace") if done.code == 0 else ""


def put(host: Host, uuid: str, cidr: str, forwards: Sequence[Mapping[str, Any]], what: str) -> None:
    """Let a network have these forwards and no others. Raises ProviderError."""
    if not forwards:
        remove(host, uuid)
        return
    chain = chain_of(uuid)
    if len(parse(saved(host), chain)) < len(forwards):
        _leave(host, chain)
    text = rules(chain, cidr, forwards).encode()
    _check(host.run(["iptables-restore", "--noflush", "--wait", "10"], stdin=text, timeout=_SECONDS), what)
    for table, rule in jumps(chain):
        if host.run(["iptables", "--wait", "10", "-t", table, "-C", *rule], timeout=_SECONDS).code:
            argv = ["iptables", "--wait", "10", "-t", table, "-I", *rule]
            _check(host.run(argv, timeout=_SECONDS), what)


def remove(host: Host, uuid: str) -> None:
    """Remove the forwards of a network; none is fine."""
    chain = chain_of(uuid)
    if f":{chain}" not in saved(host):
        return
    _leave(host, chain)
    for table, name in (("nat", chain), ("nat", f"{chain}-P"), ("filter", chain)):
        for action in ("-F", "-X"):
            host.run(["iptables", "--wait", "10", "-t", table, action, name], timeout=_SECONDS)


def _leave(host: Host, chain: str) -> None:
    """Take away the rules that enter the chains: they stand in the wrong place, or go altogether."""
    for table, rule in jumps(chain):
        _take_out(host, table, rule)


def _take_out(host: Host, table: str, rule: Sequence[str]) -> None:
    """Remove a rule, as often as it is there."""
    for _ in range(_TIMES):
        if host.run(["iptables", "--wait", "10", "-t", table, "-D", *rule], timeout=_SECONDS).code:
            return


def _passage(bridge: str) -> list[str]:
    return ["FORWARD", "-i", bridge, "-o", bridge, "-j", "ACCEPT"]


def passes(text: str, bridge: str) -> bool:
    """Whether frames may pass from one port of a bridge to another, as far as iptables-save tells."""
    return not text or f"-A {' '.join(_passage(bridge))}" in text.splitlines()


def let_pass(host: Host, bridge: str, what: str) -> None:
    """Let frames pass between the ports of a bridge.

    Where Docker is, the kernel shows them to iptables, and Docker has all refused that nobody lets pass.
    """
    if not passes(saved(host), bridge):
        _check(host.run(["iptables", "--wait", "10", "-I", *_passage(bridge)], timeout=_SECONDS), what)


def refuse_again(host: Host, bridge: str) -> None:
    """Take back what :func:`let_pass` did; no error when there is nothing."""
    if saved(host):
        _take_out(host, "filter", _passage(bridge))


def _check(done: Completed, what: str) -> None:
    if done.code == 0:
        return
    said = done.stderr.decode(errors="replace").strip() or f"exit code {done.code}"
    if done.code in (126, 127):
        fix = "`forward` needs iptables on the host: `sudo apt-get install iptables`."
    elif "Permission denied" in said or "must be root" in said:
        fix = "Only root may set rules: run Hythe as root, or reach the host over SSH as root."
    else:
        fix = "`sudo iptables-save` shows the rules that there are."
    raise ProviderError(error("Ports not forwarded", f"{what}: iptables refused: {said}. {fix}"))
