"""Proxies of the environment: with every one that public reports name the page starts, and reaches itself directly."""

from __future__ import annotations

import importlib.util

import httpx
import pytest

from ti_core.network import HERE, PROXIES, keep_local_direct

USABLE = ["http://proxy.example:3128", "proxy.example:3128", "https://anna:p%40ss@proxy.example", ""]
NOT_USABLE = ["socks4://proxy.example:1080", "socks://proxy.example:1080", "http://proxy.example:port", "http://[::1"]
EXCEPTIONS = "[::1],fd00::/8,exämple.de,::1,10.0.0.0/8,.example.com,*.example.com,intranet:8080,a b,b:99999"


@pytest.mark.parametrize("proxy", [*USABLE, *NOT_USABLE, "socks5://proxy.example:1080"])
def test_an_http_client_can_be_made_with_every_proxy_that_is_left(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"ALL_PROXY": proxy, "https_proxy": proxy, "NO_PROXY": EXCEPTIONS}
    told = keep_local_direct(environment)
    for name in (*PROXIES, *map(str.upper, PROXIES), "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with httpx.Client() as client:
        for place in ("http://127.0.0.1:7860/", "http://localhost:7860/", "http://[::1]:7860/"):
            assert client._transport_for_url(httpx.URL(place)) is client._transport
    assert "[::1]" in told[-1] and "exämple.de" in told[-1] and "10.0.0.0/8" not in told[-1]
    has_socks = importlib.util.find_spec("socksio") is not None
    is_used = proxy in USABLE or (proxy.startswith("socks5") and has_socks)
    assert ("ALL_PROXY" in environment) == is_used == (not any("ALL_PROXY" in line for line in told))


def test_no_password_of_a_proxy_is_told() -> None:
    told = keep_local_direct({"ALL_PROXY": "socks4://anna:secret@proxy.example:1080"})
    assert len(told) == 1 and "secret" not in told[0]


def test_what_is_excepted_stays_excepted() -> None:
    environment = {"NO_PROXY": "intranet,.example.com"}
    assert keep_local_direct(environment) == []
    assert environment["no_proxy"] == environment["NO_PROXY"] == ",".join(["intranet", ".example.com", *HERE])
    everything = {"no_proxy": "*"}
    assert keep_local_direct(everything) == [] and everything["no_proxy"] == "*"
