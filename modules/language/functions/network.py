"""IP addresses and networks."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from decimal import Decimal

from hythe.modules.language.functions.arguments import whole
from hythe.modules.language.functions.registry import FunctionError, Param, function
from hythe.value import BOOL, NUMBER, STRING, List, Value, list_of

_PREFIX = Param("prefix", STRING)
_IPV4 = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,10}){3}")


@dataclass(frozen=True)
class _Network:
    start: int
    length: int
    width: int

    @property
    def size(self) -> int:
        return 1 << (self.width - self.length)

    def __str__(self) -> str:
        return f"{_spell(self.start, self.width)}/{self.length}"


def _spell(address: int, width: int) -> str:
    return str(ipaddress.IPv4Address(address) if width == 32 else ipaddress.IPv6Address(address))


def _parse_address(address: str) -> tuple[int, int]:
    """The address as a number, and how many bits it has. Raises ValueError."""
    if _IPV4.fullmatch(address):
        # leading zeros are decimal here, as they always were in this language
        address = ".".join(str(int(part)) for part in address.split("."))
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.scope_id is not None:
        raise ValueError("zones have no place here")
    return int(parsed), parsed.max_prefixlen


def _parse(prefix: str, index: int = 0) -> _Network:
    try:
        address, slash, bits = prefix.partition("/")
        number, width = _parse_address(address)
        if not slash or not bits.isdecimal() or not bits.isascii() or int(bits) > width:
            raise ValueError("no prefix length")
    except ValueError:
        raise FunctionError("invalid CIDR expression: {}", index, shown=(prefix,)) from None
    length = int(bits)
    return _Network(number >> (width - length) << (width - length), length, width)


@function(
    "cidrhost",
    [_PREFIX, Param("hostnum", NUMBER)],
    returns=STRING,
    description="The address with a number in a network; negative numbers count from the end.",
    examples=['cidrhost("10.12.112.0/20", 16) == "10.12.112.16"'],
)
def cidrhost(prefix: str, hostnum: int | Decimal) -> Value:
    network, number = _parse(prefix), whole(hostnum, 1)
    offset = number if number >= 0 else network.size + number
    if not 0 <= offset < network.size:
        raise FunctionError(f"prefix of {network.length} does not accommodate a host numbered {number}", 1)
    return _spell(network.start + offset, network.width)


@function(
    "cidrnetmask",
    [_PREFIX],
    returns=STRING,
    description="The netmask of an IPv4 network.",
    examples=['cidrnetmask("172.16.0.0/12") == "255.240.0.0"'],
)
def cidrnetmask(prefix: str) -> Value:
    network = _parse(prefix)
    if network.width != 32:
        raise FunctionError("IPv6 addresses cannot have a netmask", 0)
    return _spell((1 << 32) - network.size, 32)


@function(
    "cidrsubnet",
    [_PREFIX, Param("newbits", NUMBER), Param("netnum", NUMBER)],
    returns=STRING,
    description="The subnet with a number, when the prefix is extended by some bits.",
    examples=['cidrsubnet("172.16.0.0/12", 4, 2) == "172.18.0.0/16"'],
)
def cidrsubnet(prefix: str, newbits: int | Decimal, netnum: int | Decimal) -> Value:
    network, more, number = _parse(prefix), whole(newbits, 1), whole(netnum, 2)
    if more < 0:
        raise FunctionError("the prefix cannot be extended by a negative number of bits", 1)
    length = network.length + more
    if length > network.width:
        raise FunctionError(f"insufficient address space to extend prefix of {network.length} by {more}", 1)
    if not 0 <= number < 1 << more:
        raise FunctionError(f"prefix extension of {more} does not accommodate a subnet numbered {number}", 2)
    return str(_Network(network.start + (number << (network.width - length)), length, network.width))


@function(
    "cidrsubnets",
    [_PREFIX],
    variadic=Param("newbits", NUMBER),
    returns=list_of(STRING),
    description="Consecutive subnets, each extending the prefix by its own number of bits.",
    examples=['cidrsubnets("10.1.0.0/16", 4, 4)[1] == "10.1.16.0/20"'],
)
def cidrsubnets(prefix: str, *newbits: int | Decimal) -> Value:
    network = _parse(prefix)
    subnets: list[_Network] = []
    end = network.start
    for index, argument in enumerate(newbits, start=1):
        more = whole(argument, index)
        if more < 1:
            raise FunctionError("must extend prefix by at least one bit", index)
        if more > 32:
            raise FunctionError("may not extend prefix by more than 32 bits", index)
        length = network.length + more
        if length > network.width:
            family = "IPv4" if network.width == 32 else "IPv6"
            raise FunctionError(
                f"would extend prefix to {length} bits, which is too long for an {family} address", index
            )
        size = 1 << (network.width - length)
        start = -(-end // size) * size
        if start + size > network.start + network.size:
            after = f" after {subnets[-1]}" if subnets else ""
            raise FunctionError(
                f"not enough remaining address space for a subnet with a prefix of {length} bits{after}", index
            )
        subnets.append(_Network(start, length, network.width))
        end = start + size
    return List(map(str, subnets), STRING)


@function(
    "cidrcontains",
    [Param("containing_prefix", STRING), Param("contained_ip_or_prefix", STRING)],
    returns=BOOL,
    description="Tells whether a network contains an address or all of another network.",
    examples=['cidrcontains("192.168.2.0/20", "192.168.2.1") == true'],
)
def cidrcontains(containing: str, contained: str) -> Value:
    outer = _parse(containing)
    if "/" in contained:
        inner = _parse(contained, 1)
    else:
        try:
            number, width = _parse_address(contained)
        except ValueError:
            raise FunctionError("invalid IP address or prefix: {}", 1, shown=(contained,)) from None
        inner = _Network(number, width, width)
    if inner.width != outer.width:
        raise FunctionError("address family mismatch: one is IPv4, the other IPv6", 1)
    return outer.start <= inner.start and inner.start + inner.size <= outer.start + outer.size
