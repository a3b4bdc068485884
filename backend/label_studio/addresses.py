"""Connections that may not reach private networks: the address that was judged is the address that is connected to.

A task's data is written by whoever imports tasks; without this a URL in it could make our server read things that only it can reach.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import httpcore
import httpx

from backend.label_studio.port import MediaError

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(text: str) -> tuple[_Network, ...]:
    return tuple(map(ipaddress.ip_network, text.split()))


# The special-purpose registries of IANA (IPv4 and IPv6), written out: what Python's ``is_global`` says differs from version to version.
_PRIVATE = _networks(
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 "
    "192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 2001::/23 2001:db8::/32 3fff::/20"
)
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # all of IPv6 that is given out; everything else is special, now or later
_IPV4_INSIDE = _networks("::/96 ::ffff:0:0:0/96 64:ff9b::/96")  # compatible, translated, NAT64: the last four bytes are the address
_CREDENTIALS = _networks(
    "169.254.169.254 169.254.170.2 169.254.170.23 169.254.0.23 168.63.129.16 100.100.100.200 192.0.0.192 "
    "fd00:ec2::254 fd00:ec2::23 fd20:ce::254"
)
"""Where clouds tell each of their machines its credentials: no image is ever there, whatever is allowed."""


class AllowedHosts:
    """Names and networks that may be asked for images though their address is private, e.g. ``minio.local`` or ``10.0.0.0/8``."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._names: set[str] = set()
        self._networks: list[_Network] = []
        for entry in entries:
            try:
                self._networks.append(ipaddress.ip_network(entry.strip("[]"), strict=False))
            except ValueError:
                self._names.add(entry.lower().rstrip("."))

    def check(self, host: str, address: str) -> None:
        """Raise :class:`MediaError` if ``address`` is not on the public internet and neither it nor ``host`` is allowed.

        What a cloud tells its machines alone is never allowed.
        """
        ip = ipaddress.ip_address(address.partition("%")[0])
        meant = _leads_to(ip)
        if any(each in network for each in meant for network in _CREDENTIALS):
            raise MediaError(
                f"{host} is at {ip}, where a cloud keeps its machines' credentials: no image comes from there", retryable=False
            )
        if host.lower().rstrip(".") in self._names or any(each in network for each in meant for network in self._networks):
            return
        if not all(map(_is_public, meant)):
            raise MediaError(
                f"{host} is at the private address {ip}; add it to the setting allowed_private_hosts if images may come from there",
                retryable=False,
            )


class GuardedTransport(httpx.BaseTransport):
    """httpx onto a connection pool that resolves each host once, judges every address and connects to one that passed."""

    def __init__(self, allowed: AllowedHosts) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=ssl.create_default_context(), network_backend=_GuardedBackend(allowed), max_connections=32
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; httpcore's errors come out as :class:`httpx.TransportError`."""
        url = httpcore.URL(scheme=request.url.raw_scheme, host=request.url.raw_host, port=request.url.port, target=request.url.raw_path)
        try:
            response = self._pool.handle_request(
                httpcore.Request(request.method, url, headers=request.headers.raw, extensions=dict(request.extensions))
            )
        except _CORE_ERRORS as error:
            raise _translated(error) from None
        assert isinstance(response.stream, Iterable)
        stream = _Stream(response.stream, response)
        return httpx.Response(response.status, headers=response.headers, stream=stream, extensions=dict(response.extensions))

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


class _GuardedBackend(httpcore.NetworkBackend):
    def __init__(self, allowed: AllowedHosts) -> None:
        self._allowed = allowed
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} has no address: {error}") from None
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:  # all of them: a name may have one harmless and one private address
            self._allowed.check(host, address)
        return self._connect_any(addresses, port, timeout, local_address)

    def _connect_any(self, addresses: Sequence[str], port: int, timeout: float | None, local_address: str | None) -> httpcore.NetworkStream:
        for address in addresses[:-1]:
            try:
                return self._inner.connect_tcp(address, port, timeout, local_address)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue  # the next address may answer
        return self._inner.connect_tcp(addresses[-1], port, timeout, local_address)


class _Stream(httpx.SyncByteStream):
    def __init__(self, parts: Iterable[bytes], response: httpcore.Response) -> None:
        self._parts = parts
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._parts
        except _CORE_ERRORS as error:
            raise _translated(error) from None

    def close(self) -> None:
        self._response.close()


_CORE_ERRORS = (
    httpcore.ConnectionNotAvailable,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
)


def _translated(error: Exception) -> httpx.TransportError:
    text = str(error) or type(error).__name__
    return httpx.ReadTimeout(text) if isinstance(error, httpcore.TimeoutException) else httpx.NetworkError(text)


def _leads_to(ip: _Address) -> tuple[_Address, ...]:
    """The addresses that may be reached by asking this one: what an IPv6 address has inside, for those that have."""
    if isinstance(ip, ipaddress.IPv4Address):
        return (ip,)
    if ip.ipv4_mapped is not None:
        return (ip.ipv4_mapped,)
    if ip.packed[8:12] in (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe"):  # ISATAP, below any prefix
        return (ip, ipaddress.IPv4Address(ip.packed[-4:]))
    if any(ip in network for network in _IPV4_INSIDE) and int(ip) > 1:
        return (ipaddress.IPv4Address(ip.packed[-4:]),)
    return (ip,) if ip.sixtofour is None else (ip.sixtofour,)


def _is_public(ip: _Address) -> bool:
    if isinstance(ip, ipaddress.IPv6Address) and ip not in _GLOBAL_UNICAST:
        return False
    return not any(ip in network for network in _PRIVATE)
