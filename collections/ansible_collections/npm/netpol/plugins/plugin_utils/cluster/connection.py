# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a client needs to reach one API server, wherever it came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

# What is shorter stands in many a word that is none.
_SHORTEST_SECRET = 6


class AuthError(ValueError):
    """The connection cannot be made out: a file, an option or a credential plugin, named with what is wrong."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are. A certificate and its key are PEM texts. ``renewable``: asking again may give fresh ones."""

    token: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    renewable: bool = False

    def __bool__(self) -> bool:
        return bool(self.token or self.username or self.certificate)


@dataclass(frozen=True, slots=True)
class Impersonation:
    """Whom we act as (``Impersonate-*`` headers)."""

    user: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Connection:
    """One API server and how to talk to it.

    ``host`` is a URL without a trailing slash, ``ca`` PEM text (empty: the system's authorities), ``source`` says
    in words where all this is from. ``proxy`` is a URL, empty for none.
    """

    host: str
    source: str
    credentials: Credentials = Credentials()
    impersonation: Impersonation = Impersonation()
    ca: str = field(default="", repr=False)
    verify: bool = True
    server_name: str = ""
    proxy: str = field(default="", repr=False)
    proxy_headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def without(secrets: Iterable[str], text: str) -> str:
    """``text``, which others have written, with the secrets blotted out that they may repeat in it."""
    # The longest first: one may hold another.
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "(secret)")
    return text


def url(value: str, what: str) -> str:
    """A checked URL without its trailing slash.

    Raises :class:`AuthError` for one that is none; a password in it is never repeated.
    """
    text = value.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise AuthError(f"{what} is not a URL such as https://cluster.example:6443")
    if "@" in parts.netloc:
        raise AuthError(f"{what} must not hold a user or password")
    return text
