"""The network that an address belongs to: what one client can be expected to have for itself.

One customer of an internet provider has a whole /64 of IPv6, and one address of IPv4.
"""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

IPV6_BITS = 64
NEIGHBOURS = 24  # bits of IPv4; a provider moves a household within about this range


@lru_cache(maxsize=16_384)
def network_of(address: str, ipv4_bits: int = 32) -> str:
    """The address of IPv4, or its network of `ipv4_bits`; the /64 of an address of IPv6.

    A text that is no address is a network of its own, such as the empty one of a Unix socket.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(ip_network((parsed.packed, IPV6_BITS), strict=False))
        parsed = parsed.ipv4_mapped
    if ipv4_bits == parsed.max_prefixlen:
        return str(parsed)
    return str(ip_network((parsed.packed, ipv4_bits), strict=False))
