"""Tells requests of other web sites from those of the own page and of programs, by headers that no web page can
forge.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
FROM_HERE = ("same-origin", "none")
"""What a browser says of the own page, and of an address that its user typed. `same-site` is another port or
another gradio.live.
"""


def is_foreign(
    headers: Mapping[bytes, bytes], method: str, changes: bool, behind_proxy: bool, may_be_framed: bool = False
) -> bool:
    """Whether another web site, or a browser that does not say which, asks for this.

    `changes` is set where the answer changes something. Programs send neither Origin nor Sec-Fetch headers nor a
    browser's name, and pass. A proxy may name the host that the browser sees in X-Forwarded-Host where
    `behind_proxy` says so: no page can send that header here without asking first, and asking is never allowed. A
    page that `may_be_framed` may be opened in a frame; in whose, the browser decides by its Content-Security-Policy.
    """
    given = {name: headers[name].decode("latin-1").strip() for name in headers}
    site, origin = given.get(b"sec-fetch-site", "").lower(), given.get(b"origin")
    hosts = [
        given.get(b"host", ""),
        *([given.get(b"x-forwarded-host", "").split(",")[0].strip()] if behind_proxy else []),
    ]
    if origin is not None and not any(_is_at(origin, host, any_port=site == "same-origin") for host in hosts):
        return True
    if site:
        return site not in FROM_HERE and (changes or not _opens_the_page(given, may_be_framed))
    if origin is not None or not changes:
        return False
    if b"referer" in given:
        return not any(_is_at(given[b"referer"], host) for host in hosts)
    agent = given.get(b"user-agent", "")
    browser_of_old = method != "GET" and agent.startswith("Mozilla/") and "PowerShell" not in agent
    return browser_of_old or any(name.startswith(b"sec-fetch-") for name in given)


def _opens_the_page(given: Mapping[bytes, str], may_be_framed: bool) -> bool:
    """Whether somebody follows a link, which shows the page in a window of its own; a picture or a script is something
    else, and a frame too, unless the page may be framed.
    """
    windows = ("document", "iframe") if may_be_framed else ("document",)
    return given.get(b"sec-fetch-mode") == "navigate" and given.get(b"sec-fetch-dest", "document") in windows


def _is_at(address: str, host: str, any_port: bool = False) -> bool:
    """Whether an address (http://name:port/...) lies at this host (name:port). `any_port` is for proxies that pass
    on the name alone.
    """
    try:
        there, here = urlsplit(address), urlsplit(f"//{host}")
        default = DEFAULT_PORTS.get(there.scheme)
        if default is None or not there.hostname or there.hostname != here.hostname:
            return False
        return (any_port and here.port is None) or (here.port or default) == (there.port or default)
    except ValueError:
        return False
