"""Bounds on wrong keys from one address, and on the requests and bytes of one key."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from service.auth.errors import KeyOverLimit, TooManyWrongKeys
from service.identity import Identity

WRONG_KEYS = 10  # that an address may send at once, and then as many a minute
GOOD_STANDING_S = 900.0  # an address that sent a valid key is not shut out for others' wrong ones
MAX_ADDRESSES = 10_000
NETWORK_BITS = 64  # a home or a host has this much of IPv6

Clock = Callable[[], float]


class Allowance:
    """A budget that is spent at will and refills evenly, up to the amount of one minute."""

    def __init__(self, per_minute: float, now: float) -> None:
        self._per_minute = per_minute
        self._left = per_minute
        self._counted_at = now

    def wait_s(self, now: float) -> float:
        """Return the time until something may be spent again; 0 if it may now."""
        self._left = min(
            self._per_minute, self._left + (now - self._counted_at) * self._per_minute / 60
        )
        self._counted_at = now
        return max(0.0, (1 - self._left) * 60 / self._per_minute)

    def spend(self, amount: float) -> None:
        """Take an amount, which may be more than is left."""
        self._left -= amount


class KeyLimits:
    """The requests and the bytes of bodies that each key may send in a minute."""

    def __init__(
        self,
        requests_per_minute: int | None,
        bytes_per_minute: int | None,
        clock: Clock = time.monotonic,
    ) -> None:
        """Take None for a number without a limit."""
        self._per_minute = {
            name: amount
            for name, amount in (("requests", requests_per_minute), ("bytes", bytes_per_minute))
            if amount is not None
        }
        self._clock = clock
        self._allowances: dict[Hashable, dict[str, Allowance]] = {}

    def admit(self, identity: Identity) -> None:
        """Count a request. Raises KeyOverLimit."""
        now = self._clock()
        allowances = self._of(identity, now)
        for name, allowance in allowances.items():
            wait_s = allowance.wait_s(now)
            if wait_s > 0:
                limit = f"{self._per_minute[name]} {name} per minute"
                raise KeyOverLimit(limit, math.ceil(wait_s))
        if "requests" in allowances:
            allowances["requests"].spend(1)

    @property
    def counts_bytes(self) -> bool:
        return "bytes" in self._per_minute

    def count_bytes(self, identity: Identity, num_bytes: int) -> None:
        """Count a part of a body that has arrived."""
        self._of(identity, self._clock())["bytes"].spend(num_bytes)

    def _of(self, identity: Identity, now: float) -> dict[str, Allowance]:
        key = identity.key_id or identity.name
        if key not in self._allowances:
            self._allowances[key] = {
                name: Allowance(amount, now) for name, amount in self._per_minute.items()
            }
        return self._allowances[key]


class _Address:
    def __init__(self, now: float) -> None:
        self.wrong_keys = Allowance(WRONG_KEYS, now)
        self.last_valid_at = -math.inf


class WrongKeys:
    """
    The wrong keys that each address has sent lately.

    An address that has sent too many is refused before its key is compared, so that guessing takes
    ages. One from which a valid key came within a quarter of an hour is not: behind one proxy or on
    one machine, a client with an old key must not shut out the others.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._addresses: OrderedDict[str, _Address] = OrderedDict()

    def check(self, host: str) -> None:
        """Raise TooManyWrongKeys if no key from this address is to be compared now."""
        address = self._addresses.get(_network(host))
        if address is None:
            return
        now = self._clock()
        wait_s = address.wrong_keys.wait_s(now)
        if wait_s > 0 and now - address.last_valid_at > GOOD_STANDING_S:
            raise TooManyWrongKeys(math.ceil(wait_s))

    def count_wrong(self, host: str) -> None:
        """Count a wrong key. Raises TooManyWrongKeys if there were too many before."""
        address = self._address(host)
        wait_s = address.wrong_keys.wait_s(self._clock())
        if wait_s > 0:
            raise TooManyWrongKeys(math.ceil(wait_s))
        address.wrong_keys.spend(1)

    def note_valid(self, host: str) -> None:
        self._address(host).last_valid_at = self._clock()

    def _address(self, host: str) -> _Address:
        network = _network(host)
        address = self._addresses.setdefault(network, _Address(self._clock()))
        self._addresses.move_to_end(network)
        if len(self._addresses) > MAX_ADDRESSES:
            self._addresses.popitem(last=False)
        return address


@lru_cache(MAX_ADDRESSES)
def _network(host: str) -> str:
    """Return what one caller has: an IPv4 address, or a /64 network of IPv6."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        shift = 128 - NETWORK_BITS
        return str(mapped) if mapped else f"{int(address) >> shift:x}::/{NETWORK_BITS}"
    return host
