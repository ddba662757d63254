# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A running node: its files, its sshd, commands as root inside it, and the faults that tests put into it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from . import netns, tools
from .netns import LabError
from .objects import boot_id as first_boot_id
from .spec import Node as NodeSpec

USER = "azureuser"
PATH = "/run/lab/bin"
_INIT = Path(__file__).with_name("node_init.sh")

_PASSWD = f"""root:x:0:0:root:/root:/bin/sh
{USER}:x:1000:1000:{USER}:/home/{USER}:/bin/sh
sshd:x:103:65534::/run/sshd:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUP = f"root:x:0:\ntty:x:5:\n{USER}:x:1000:\nnogroup:x:65534:\n"
_SHADOW = f"root:*:19000::::::\n{USER}:*:19000::::::\nsshd:*:19000::::::\nnobody:*:19000::::::\n"
_SUDOERS = f"""Defaults env_reset
Defaults secure_path="{PATH}"
Defaults logfile="/var/log/sudo.log", loglinelen=0
root ALL=(ALL:ALL) ALL
{USER} ALL=(ALL) NOPASSWD:ALL
"""
_PAM = "".join(f"{kind} required pam_permit.so\n" for kind in ("auth", "account", "session"))
_SSHD = """Port 22
{listen}
HostKey /run/lab/host_key
AuthorizedKeysFile /run/lab/authorized_keys
PidFile none
StrictModes no
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
PrintMotd no
MaxStartups 500
MaxSessions 100
SetEnv PATH={path}
Subsystem sftp internal-sftp
"""


class Node:
    """One node of a lab. ``directory`` holds its files as the outside sees them."""

    def __init__(self, lab_id: str, spec: NodeSpec, directory: Path) -> None:
        self.spec = spec
        self.name = spec.name
        self.namespace = netns.node_namespace(lab_id, spec.name)
        self.directory = directory
        self.bin = directory / "bin"
        self._init: subprocess.Popen[bytes] | None = None

    # Start and end

    def start(self, addresses: Sequence[str], keys: Path, shell: str) -> None:
        """Write its files and start it. ``keys`` has host_key, host_key.pub and client_key.pub.

        sshd may take a moment; the lab waits for it.
        """
        for name in ("", "bin", "run", "etc", "ssh"):
            (self.directory / name).mkdir(mode=0o755)
        tools.populate(self.bin, self.spec.alternative or "nft")
        self._write_files(addresses, keys)
        namespaces = ["nsenter", f"--net={netns.path(self.namespace)}", "unshare", "--mount", "--propagation", "slave"]
        own_pids = ["--pid", "--fork", "--kill-child", "--uts", "--ipc"]
        init = ["sh", str(_INIT), str(self.directory), self.name, shell]
        with (self.directory / "sshd.log").open("wb") as log:
            self._init = subprocess.Popen(
                [*namespaces, *own_pids, *init],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (self.directory / "pid").write_text(f"{self._init.pid}\n")

    def _write_files(self, addresses: Sequence[str], keys: Path) -> None:
        hosts = "127.0.0.1 localhost\n::1 localhost\n" + "".join(f"{ip} {self.name}\n" for ip in addresses)
        texts = {
            "etc/passwd": _PASSWD,
            "etc/group": _GROUP,
            "etc/shadow": _SHADOW,
            "etc/sudoers": _SUDOERS,
            "etc/hosts": hosts,
            "pam": _PAM,
            "boot_id": f"{first_boot_id(self.name)}\n",
            "ssh/sshd_config": _SSHD.format(listen="\n".join(f"ListenAddress {ip}" for ip in addresses), path=PATH),
            "ssh/authorized_keys": (keys / "client_key.pub").read_text(),
        }
        for name, text in texts.items():
            (self.directory / name).write_text(text)
        (self.directory / "etc" / "shadow").chmod(0o640)
        (self.directory / "etc" / "sudoers").chmod(0o440)
        shutil.copy(keys / "host_key", self.directory / "ssh" / "host_key")

    @property
    def pid(self) -> int:
        """Of the process outside whose child is the node's first one; it shares the node's mounts."""
        return int((self.directory / "pid").read_text())

    @property
    def ended(self) -> bool:
        """Whether the node that this process started runs no longer."""
        return self._init is not None and self._init.poll() is not None

    @property
    def running(self) -> bool:
        """Whether its first process lives, whoever started it."""
        return self.pid in netns.processes([self.namespace])

    def log(self) -> str:
        return (self.directory / "sshd.log").read_text(errors="replace")

    def reap(self) -> None:
        """Collect the exit status after the lab has killed it."""
        if self._init is not None:
            self._init.wait(10)

    # Commands

    def command(self, argv: Sequence[str]) -> list[str]:
        """What runs ``argv`` as root inside the node from outside."""
        environment = [f"PATH={PATH}", "HOME=/root", "USER=root", "LC_ALL=C"]
        return [*self._entering(), f"{PATH}/env", "-i", *environment, *argv]

    def _entering(self) -> list[str]:
        pid = self.pid
        namespaces = ["--mount", "--uts", "--ipc", "--net", f"--pid=/proc/{pid}/ns/pid_for_children"]
        return ["nsenter", "-t", str(pid), *namespaces, "--wd=/", "--"]

    def run(
        self,
        command: str | Sequence[str],
        *,
        input: str | bytes | None = None,  # noqa: A002 (the name that subprocess.run has)
        check: bool = True,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run as root inside the node: an argv, or shell text. ``check``: a failure raises LabError with its stderr."""
        argv = [f"{PATH}/sh", "-c", command] if isinstance(command, str) else list(command)
        data = input.encode() if isinstance(input, str) else input
        done = subprocess.run(
            self.command(argv),
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            check=False,
            timeout=timeout,
        )
        text = subprocess.CompletedProcess(
            argv, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )
        if check and text.returncode:
            raise LabError(f"node {self.name}: {command!r} ended with {text.returncode}: {text.stderr.strip()}")
        return text

    def run_tool(self, argv: Sequence[str], text: str = "") -> str:
        """What a program of this machine, by its path, prints in the node: for the lab's own doing.

        Raises :class:`lab.netns.LabError` with the program's words.
        """
        done = subprocess.run(
            [*self._entering(), *argv], input=text, capture_output=True, text=True, check=False, timeout=60
        )
        if done.returncode:
            raise LabError(f"node {self.name}: {' '.join(argv)}: {done.stderr.strip()}")
        return done.stdout

    def sudo_log(self) -> list[str]:
        """Every command line that sudo ran, as it logged it; oldest first."""
        done = self.run("cat /var/log/sudo.log", check=False)
        return done.stdout.splitlines()

    # Faults

    def remove_tool(self, name: str) -> None:
        (self.bin / name).unlink()

    def replace_tool(self, name: str, target: str) -> None:
        """Make the tool a link to another program of this machine."""
        (self.bin / name).unlink(missing_ok=True)
        (self.bin / name).symlink_to(target)

    def write_tool(self, name: str, script: str) -> None:
        """Make the tool a script (with its ``#!`` line). It appears whole, also to a run that looks just then."""
        new = self.directory / f"{name}.new"
        new.write_text(script)
        new.chmod(0o755)
        new.replace(self.bin / name)

    def boot(self, boot_id: str) -> None:
        """What the kernel calls this start of it, and nothing else of a reboot."""
        (self.directory / "boot_id").write_text(f"{boot_id}\n")

    def restore_tools(self) -> None:
        """All tools as at the start."""
        for entry in self.bin.iterdir():
            entry.unlink()
        tools.populate(self.bin, self.spec.alternative or "nft")

    def busybox_tools(self) -> None:
        """Every tool that busybox has becomes busybox's, ``sh`` too (but not /bin/sh, see ``LabSpec.shell``)."""
        busybox = shutil.which("busybox", path="/usr/bin:/bin") or ""
        applets = set(subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split())
        for entry in sorted(self.bin.iterdir()):
            if entry.name in applets - {"ip", "mount", "umount"}:
                self.replace_tool(entry.name, busybox)
