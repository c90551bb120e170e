"""The headers of every answer: what a browser may load for the page, who may frame it, and to whom its cookies go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; media-src 'self' data: blob:;"
    " worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
"""The page takes everything from this server; gradio's program makes scripts out of text, so those cannot be
forbidden. What may frame the page is added at its end.
"""
ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


def guarded_headers(headers: Iterable[tuple[bytes, bytes]], frames: Sequence[str]) -> list[tuple[bytes, bytes]]:
    """Those of an answer with ours, and without those by which gradio lets other web sites in. `frames` are the origins
    of the pages that may frame this one.
    """
    kept = [
        (name, _cookie_of_own_page(name, value, is_framed=bool(frames)))
        for name, value in headers
        if not name.lower().startswith(b"access-control-")
    ]
    policy = " ".join([POLICY, *frames]).encode()
    older = [] if frames else [(b"x-frame-options", b"SAMEORIGIN")]  # it knows no list of who may
    return [*kept, *ALWAYS, (b"content-security-policy", policy), *older]


def _cookie_of_own_page(name: bytes, value: bytes, is_framed: bool) -> bytes:
    """A cookie as only the own page sends it: gradio's goes along with what any other page asks for.

    In a frame of another site a browser sends none that is Lax. There the one for https is kept apart for each site
    that frames the page (Partitioned), so that it goes along with nothing that any other site asks for either.
    """
    if name.lower() != b"set-cookie":
        return value
    parts = [part for part in value.split(b";") if not part.strip().lower().startswith(b"samesite")]
    is_secure = any(part.strip().lower() == b"secure" for part in parts)
    kept = [b" SameSite=None", b" Partitioned"] if is_framed and is_secure else [b" SameSite=Lax"]
    return b";".join([*parts, *kept])
