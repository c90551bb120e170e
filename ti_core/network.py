"""Proxies of the environment: this computer is reached without one, and one that our HTTP client cannot use is left
aside and named, because it would keep even a page for this computer alone from starting.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
from collections.abc import MutableMapping
from urllib.parse import urlsplit

PROXIES = ("http_proxy", "https_proxy", "all_proxy")
HERE = ("localhost", "127.0.0.1", "::1")
SOCKS = ("socks5", "socks5h")
"""What httpx can use with the package socksio."""


def keep_local_direct(environment: MutableMapping[str, str] = os.environ) -> list[str]:
    """Set NO_PROXY so that this computer is reached directly, and take away proxies and exceptions that httpx refuses.
    Returns a sentence for each that was taken away.
    """
    unusable = []
    for name in list(environment):
        if name.lower() in PROXIES and (problem := _problem(environment[name])):
            unusable.append(f"{name} is not used: {problem}")
            del environment[name]
    # a lower-case name counts before one in capitals, so both get the same
    given = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    entries = [entry for entry in (part.strip() for part in given.split(",")) if entry]
    usable = [entry for entry in entries if _is_usable_exception(entry)]
    if left_out := [entry for entry in entries if entry not in usable]:
        unusable.append(f"NO_PROXY: {', '.join(left_out)} is not used, because it is no name or address.")
    if "*" not in usable:
        usable += [place for place in HERE if place not in usable]
    environment["no_proxy"] = environment["NO_PROXY"] = ",".join(usable)
    return unusable


def _problem(proxy: str) -> str:
    """Why a proxy cannot be used, as a sentence; empty if it can, or if none is named. The address is not repeated: it
    may hold a password.
    """
    if not proxy.strip():
        return ""
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        scheme, has_host = parts.scheme.lower(), bool(parts.hostname) and parts.port != 0
    except ValueError:
        return "it is no address of a proxy, such as http://proxy.example:3128."
    if not has_host or any(letter.isspace() for letter in proxy):
        return "it is no address of a proxy, such as http://proxy.example:3128."
    if scheme in SOCKS:
        if importlib.util.find_spec("socksio") is None:
            return "a SOCKS proxy needs one more package. For downloads and --share: pip install socksio"
        return ""
    return "" if scheme in ("http", "https") else f"proxies of the kind {scheme}:// are not supported; socks5:// is."


def _is_usable_exception(entry: str) -> bool:
    """Whether httpx can read an entry of NO_PROXY: a name or a network of IPv4, with a port or without, or an address
    of IPv6 without brackets.
    """
    if entry == "*":
        return True
    if not entry.isascii() or any(letter.isspace() or letter in "[]@?#/" for letter in entry.partition("/")[0]):
        return False
    _, colon, port = entry.partition("/")[0].partition(":")
    if not colon or not port or (port.isdigit() and int(port) < 65536):
        return True
    try:
        return bool(ipaddress.IPv6Address(entry))
    except ValueError:
        return False


NOT_USED = keep_local_direct()
"""What was left aside in this process, told when the page starts or something is downloaded. It is done as soon as
anything of ours is imported, because gradio makes an HTTP client when it is imported itself.
"""
