"""Rules for forwarded ports, and back from what iptables-save prints."""

from __future__ import annotations

from hythe.provider.vm.forwards import chain_of, jumps, parse, passes, rules

UUID = "dd382d29-8ac6-5b91-a8e9-7786261a1f47"
CHAIN = chain_of(UUID)
WISH = [
    {"host": 8080, "address": "10.1.0.10", "guest": 80, "protocol": "tcp"},
    {"host": 53, "address": "10.1.0.9", "guest": 53, "protocol": "udp", "ip": "192.0.2.1"},
]
SAVED = f"""\
*nat
:{CHAIN} - [0:0]
:{CHAIN}-P - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j {CHAIN}
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j {CHAIN}
-A POSTROUTING -j {CHAIN}-P
-A {CHAIN} -d 192.0.2.1/32 -p udp -m udp --dport 53 -j DNAT --to-destination 10.1.0.9:53
-A {CHAIN} -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.1.0.10:80
COMMIT
*filter
:{CHAIN} - [0:0]
-A FORWARD -m comment --comment "two words" -j OTHERS
-A FORWARD -j {CHAIN}
-A FORWARD -j LIBVIRT_FWI
-A {CHAIN} -d 10.1.0.9/32 -p udp -m udp --dport 53 -m conntrack --ctstate DNAT -j ACCEPT
-A {CHAIN} -d 10.1.0.10/32 -p tcp -m tcp --dport 80 -m conntrack --ctstate DNAT -j ACCEPT
COMMIT
"""


def test_names_fit() -> None:
    assert max(len(rule[-1]) for _, rule in jumps(CHAIN)) <= 28


def test_rules() -> None:
    text = rules(CHAIN, "10.1.0.0/24", WISH)
    assert [line for line in text.splitlines() if "DNAT --to" in line] == [
        f"-A {CHAIN} -d 192.0.2.1/32 -p udp --dport 53 -j DNAT --to-destination 10.1.0.9:53",
        f"-A {CHAIN} -p tcp --dport 8080 -j DNAT --to-destination 10.1.0.10:80",
    ]
    assert f"-A {CHAIN}-P -s 10.1.0.0/24 -d 10.1.0.10/32 -p tcp --dport 80" in text
    assert text.count("COMMIT") == 2


def test_read_back() -> None:
    assert sorted(parse(SAVED, CHAIN), key=str) == sorted(WISH, key=str)
    assert parse(SAVED, chain_of("0" * 32)) == []


def test_what_does_not_work_is_not_there() -> None:
    for gone in (f"-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j {CHAIN}\n", f"-A FORWARD -j {CHAIN}\n"):
        assert parse(SAVED.replace(gone, ""), CHAIN) == []
    late = SAVED.replace(f"-A FORWARD -j {CHAIN}\n", "").replace(
        "LIBVIRT_FWI\n", f"LIBVIRT_FWI\n-A FORWARD -j {CHAIN}\n"
    )
    assert parse(late, CHAIN) == []
    (left,) = parse(SAVED.replace("-d 10.1.0.9/32 -p udp -m udp --dport 53", "-d 10.1.0.8/32 -p udp --dport 53"), CHAIN)
    assert left["host"] == 8080


def test_passage() -> None:
    assert passes("", "br0")
    assert passes("*filter\n-A FORWARD -i br0 -o br0 -j ACCEPT\n", "br0")
    assert not passes("*filter\n-A FORWARD -i br01 -o br01 -j ACCEPT\n", "br0")
