#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Unpacks iptables and ipset of another Debian release, with all that they need, into a directory to chroot into.
# Usage: fetch.sh SUITE DIRECTORY     (the mirror is the one that this machine's apt uses)
set -eu
suite=$1 root=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/debian.sources | head -n 1)
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$root"
: >"$work/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$work/sources.list"
cat >"$work/apt.conf" <<CONFIG
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$work/lists";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
Acquire::Languages "none";
APT::Sandbox::User "root";
CONFIG
export APT_CONFIG="$work/apt.conf"
apt-get -qq update
apt-get -qq --yes --no-install-recommends --download-only install iptables ipset >/dev/null
# Releases with a merged /usr need the links before the files.
for directory in bin sbin lib lib64; do
    mkdir -p "$root/usr/$directory"
    ln -sfn "usr/$directory" "$root/$directory"
done
for package in "$work"/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$root"
done
