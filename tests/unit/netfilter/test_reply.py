# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The form of a request and of a reply: what is no whole reply of ours is an error, never an empty answer."""

from __future__ import annotations

import base64
import gzip
import hashlib

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.exchange import (
    BEGIN,
    END,
    RECEIVER,
    ReplyError,
    frame,
    parse_reply,
)

SAID = b"digest=abc\nerror=one\nlast_version=12\nerror=two = 2\nnoise\n\nbody=1\n\nmore\xe9\n"


def reply(data: bytes, width: int = 76) -> str:
    text = base64.b64encode(gzip.compress(data, mtime=0)).decode()
    lines = [text[start : start + width] for start in range(0, len(text), width)]
    return "\n".join([BEGIN, *lines, END, ""])


def test_a_request_is_length_digest_and_that_many_bytes() -> None:
    data = frame("echo ü\n")
    head, _, content = data.partition(b"\n")
    size, digest = head.decode().split()
    assert int(size) == len(content)
    assert hashlib.sha256(content).hexdigest() == digest
    assert gzip.decompress(content).decode() == "echo ü\n"
    assert frame("echo ü\n") == data, "the same script is the same bytes"


def test_the_command_line_is_constant_and_holds_no_data() -> None:
    """sudo writes it to its log, and a shell of the user's quotes it."""
    assert "\n" not in RECEIVER
    assert len(RECEIVER) < 1024


@pytest.mark.parametrize("around", [("", ""), ("Welcome!\r\n", "logout\n"), (f"{END}\n", f"\n{BEGIN}")])
def test_a_reply_is_found_among_whatever_a_shell_prints(around: tuple[str, str]) -> None:
    found = parse_reply(around[0] + reply(SAID) + around[1])
    assert found["digest"] == "abc"
    assert found.errors == ["one", "two = 2"]
    assert found.number("last_version") == 12
    assert found.number("digest") == 0
    assert found["missing"] == ""
    assert found.body == b"body=1\n\nmore\xe9\n"


def test_line_ends_of_a_terminal_do_no_harm() -> None:
    assert parse_reply(reply(SAID).replace("\n", "\r\n"))["digest"] == "abc"


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("", "no whole reply"),
        ("sudo: a password is required", "no whole reply"),
        (reply(SAID).partition(END)[0], "no whole reply"),
        (reply(SAID).replace(BEGIN, ""), "no whole reply"),
        (f"{BEGIN}\n{END}\n", "empty"),
        (reply(b""), "empty"),
        (reply(b"noise\n"), "empty"),
        (f"{BEGIN}\n!!!!\n{END}\n", "damaged"),
        (f"{BEGIN}\nAAAA\n{END}\n", "damaged"),
    ],
)
def test_anything_less_is_an_error(output: str, words: str) -> None:
    with pytest.raises(ReplyError, match=words):
        parse_reply(output)


def test_a_reply_cut_anywhere_is_an_error() -> None:
    whole = reply(SAID)
    start, end = whole.index("\n") + 1, whole.index(END)
    for cut in range(start, end - 1):
        with pytest.raises(ReplyError):
            parse_reply(whole[:cut] + whole[end:])
