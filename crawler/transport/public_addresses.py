"""Which IP addresses belong to the public Internet, whatever form they are wrapped in."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

# Blocks whose addresses hold an IPv4 address, to which a gateway passes the packets on: where its 4 bytes begin.
_HOLDING_IPV4 = (
    (IPv6Network("::ffff:0:0/96"), 12),  # IPv4-mapped, RFC 4291, section 2.5.5.2
    (IPv6Network("::ffff:0:0:0/96"), 12),  # IPv4-translated, RFC 2765, section 2.1
    (IPv6Network("::/96"), 12),  # IPv4-compatible, RFC 4291, section 2.5.5.1 (deprecated)
    (IPv6Network("64:ff9b::/96"), 12),  # NAT64, RFC 6052, section 2.1
    (IPv6Network("2002::/16"), 2),  # 6to4, RFC 3056, section 2
)
_NEVER_PUBLIC = (
    IPv6Network("64:ff9b:1::/48"),  # NAT64 of a network of one's own, RFC 8215
    IPv6Network("fec0::/10"),  # site-local, RFC 3879 (deprecated)
    IPv6Network("2001::/32"),  # Teredo, RFC 4380: holds an address and a port behind a NAT
)


def is_public(text: str) -> bool:
    """Whether an address, without a zone, is one of the public Internet: global, and of a single host.

    Private, loopback, link-local, multicast, reserved and documentation addresses are not. An IPv6 address that holds
    an IPv4 address (NAT64, 6to4, mapped) is as public as that one.

    Raises:
        ValueError: the text is no IP address.
    """
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        for block, begin in _HOLDING_IPV4:
            if address in block:
                return is_public(str(IPv4Address(address.packed[begin : begin + 4])))
        if any(address in block for block in _NEVER_PUBLIC):
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved
