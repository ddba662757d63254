# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A node for tests: a network and a mount namespace with a /run, /tmp and PATH of its own.

The namespaces live as long as a process that reads a pipe of ours: they go with us, however we end.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.exchange import RECEIVER

SHELLS = {"dash": "/usr/bin/dash", "bash": "/usr/bin/bash", "busybox": "/usr/bin/busybox"}
VARIANTS = ("nft", "legacy")
TOOLS = ("iptables", "ip6tables")

_BASICS = tuple(
    "base64 cat chmod cp cut date env false gzip grep head id kill ln ls mkdir mktemp mv od rm rmdir sed sha256sum "  # noqa: SIM905 - a list of words
    "sleep sort tail touch tr true uname uniq wc".split()
)
# busybox's flock knows no -w: like the rest of util-linux it is the node's real one.
_UTIL_LINUX = ("flock",)
_BIN = "/run/bin"
_READY = "ready"
_SETUP = f"""
set -e
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t sysfs sysfs /sys
mkdir {_BIN}
ip link set lo up
echo {_READY}
exec cat
"""


class HarnessError(RuntimeError):
    """A namespace could not be made, or a command of a test failed in it."""


class Namespace:
    """A network namespace (and a mount namespace, with ``setup`` to fill it) held open by a process."""

    def __init__(self, setup: str = f"ip link set lo up; echo {_READY}; exec cat") -> None:
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c", setup], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline().strip() != _READY:
            self.close()
            raise HarnessError("the namespace could not be made")

    @property
    def pid(self) -> int:
        return self._holder.pid

    def close(self) -> None:
        self._holder.communicate()

    def path(self, path: str) -> Path:
        """A file of the namespace as we reach it from outside."""
        return Path(f"/proc/{self.pid}/root{path}")

    def inside(self, *argv: str) -> list[str]:
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", *argv]

    def run(self, *argv: str, data: str = "") -> str:
        """Run a program of this machine (not of the node's PATH) in the namespace; it must succeed."""
        done = subprocess.run(self.inside(*argv), input=data, capture_output=True, text=True, check=False)
        if done.returncode:
            raise HarnessError(f"{shlex.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def ip(self, *commands: str) -> None:
        self.run("ip", "-batch", "-", data="".join(f"{command}\n" for command in commands))


@dataclass
class Answer:
    """How the last exchange ended."""

    status: int = 0
    stdout: str = ""
    stderr: str = ""


@dataclass
class Node(Namespace):
    """``exchange`` is what :func:`converge` wants. The node's own ``iptables`` is of ``default_variant``.

    ``suffixed`` says whether it also has programs that bear their variant in their names.
    """

    posix_shell: str = "dash"
    default_variant: str = "nft"
    variants: tuple[str, ...] = VARIANTS
    suffixed: bool = True
    last: Answer = field(default_factory=Answer)
    _identity: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__init__(_SETUP)
        try:
            self._install()
        except BaseException:
            self.close()
            raise

    def _install(self) -> None:
        busybox = SHELLS["busybox"]
        for name in _BASICS:
            self.link(name, busybox if self.posix_shell == "busybox" else _found(name))
        for name in (*_UTIL_LINUX, "ipset"):
            self.link(name, _found(name))
        self.link("sh", SHELLS[self.posix_shell])
        for tool in TOOLS:
            for action in ("", "-save", "-restore"):
                self.link(f"{tool}{action}", _found(f"{tool}-{self.default_variant}{action}"))
                for variant in self.variants if self.suffixed else ():
                    self.link(f"{tool}-{variant}{action}", _found(f"{tool}-{variant}{action}"))

    def program(self, name: str) -> Path:
        return self.path(f"{_BIN}/{name}")

    @property
    def programs(self) -> list[str]:
        return sorted(each.name for each in self.path(_BIN).iterdir())

    def link(self, name: str, target: str) -> None:
        self.program(name).unlink(missing_ok=True)
        self.program(name).symlink_to(target)

    def remove_program(self, name: str) -> None:
        self.program(name).unlink()

    @contextlib.contextmanager
    def wrapped(self, name: str, script: str) -> Iterator[None]:
        """The program is a shell script for a while; in it, ``$real`` is the program that it takes the place of."""
        real = self.program(name).readlink()
        path = self.program(name)
        path.unlink()
        # Through a link of the same name, because multi-call programs look at the name that they are called by.
        directory = self.path(f"/run/real-{name}")
        directory.mkdir(exist_ok=True)
        (directory / name).symlink_to(real)
        path.write_text(f"#!/bin/dash\nreal=/run/real-{name}/{name}\nname={name}\n{script}\n")
        path.chmod(0o755)
        try:
            yield
        finally:
            shutil.rmtree(directory)
            path.unlink()
            path.symlink_to(real)

    @contextlib.contextmanager
    def logged(self, *names: str) -> Iterator[Path]:
        """Each start of one of the programs is a line of the file: its name and arguments."""
        log = self.path("/run/log")
        log.write_text("")
        with contextlib.ExitStack() as stack:
            for name in names:
                stack.enter_context(self.wrapped(name, 'echo "$name $*" >>/run/log\nexec "$real" "$@"'))
            yield log

    @contextlib.contextmanager
    def as_user(self, number: int) -> Iterator[None]:
        """Exchanges are this user's for a while, and not root's."""
        self._identity = ("/usr/bin/setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups")
        try:
            yield
        finally:
            self._identity = ()

    def start(self) -> subprocess.Popen[bytes]:
        """Start the receiver as a connection plugin does: ``sh -c``, in a process group of its own."""
        return subprocess.Popen(
            self.inside(*self._identity, "/usr/bin/env", "-i", f"PATH={_BIN}", "sh", "-c", RECEIVER),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def exchange(self, data: bytes) -> str:
        stdout, stderr = (process := self.start()).communicate(data)
        self.last = Answer(process.returncode, stdout.decode(), stderr.decode())
        return self.last.stdout

    def save(self, variant: str, tool: str = "iptables", table: str = "filter") -> str:
        """The table's rules without counters. A legacy table that is not there is not made by asking for it."""
        if variant == "legacy" and table not in self.legacy_tables(tool):
            return ""
        text = self.run(f"{tool}-{variant}-save", "-t", table)
        kept = (line.split(" [")[0] for line in text.splitlines() if not line.startswith("#"))
        return "".join(f"{line}\n" for line in kept)

    def legacy_tables(self, tool: str = "iptables") -> list[str]:
        return self.run("cat", f"/proc/net/{'ip' if tool == 'iptables' else 'ip6'}_tables_names").split()

    def sets(self) -> str:
        return "".join(f"{line}\n" for line in sorted(self.run("ipset", "save").splitlines()))

    def everything(self) -> dict[str, str]:
        """All that the kernel holds in this namespace, ours and others', by where it is."""
        tables = {f"{tool}-{variant}": self.save(variant, tool) for tool in TOOLS for variant in VARIANTS}
        return {"ipset": self.sets(), **tables}

    def restore(self, variant: str, text: str, tool: str = "iptables") -> None:
        self.run(f"{tool}-{variant}-restore", "--noflush", data=f"*filter\n{text.strip()}\nCOMMIT\n")

    def ipset(self, text: str) -> None:
        self.run("ipset", "restore", data=text.strip() + "\n")

    def leftovers(self) -> list[str]:
        """What our scripts have left in the node's temporary directory."""
        return sorted(each.name for each in self.path("/tmp").iterdir())  # noqa: S108 - the node's own


@contextlib.contextmanager
def node(**options: object) -> Iterator[Node]:
    made = Node(**options)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.close()


def _found(name: str) -> str:
    found = shutil.which(name)
    if not found:
        raise HarnessError(f"this machine has no {name}")
    return found
