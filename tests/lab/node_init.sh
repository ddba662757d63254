#!/bin/sh
# The first process of a lab's node, in mount, pid, ipc, uts and network namespaces of its own: gives the node its own
# /run, /tmp, /home, /root, /var/log, accounts and shell, hides Python, and runs sshd. When it ends, so does all in it.
#   node_init.sh DIRECTORY NAME SHELL
set -eu
directory=$1 name=$2 shell=$3

hostname "$name"
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount --bind "$directory/boot_id" /proc/sys/kernel/random/boot_id
for each in /tmp /var/tmp /home /root /var/log; do
    mount -t tmpfs -o size=64m tmpfs "$each"
done
chmod 1777 /tmp /var/tmp
chmod 0700 /root
mkdir -m 0750 /home/azureuser
chown 1000:1000 /home/azureuser

# Made beside and moved: the directory with the node's files is below /run itself.
mount -t tmpfs -o size=64m,mode=0755 tmpfs "$directory/run"
mkdir "$directory/run/lab" "$directory/run/lab/bin" "$directory/run/lab/containers" "$directory/run/sshd" "$directory/run/lock"
chmod 1777 "$directory/run/lock"
mount --bind "$directory/bin" "$directory/run/lab/bin"
cp "$directory"/ssh/* "$directory/run/lab/"
chmod 0600 "$directory/run/lab/host_key"
chmod 0644 "$directory/run/lab/authorized_keys"
for each in "$directory"/etc/*; do
    mount --bind "$each" "/etc/${each##*/}"
done
mount --bind "$directory/pam" /etc/pam.d/sudo
mount -n --move "$directory/run" /run

for each in /usr/bin/python3* /usr/local/bin/python3*; do
    if [ -e "$each" ]; then
        mount --bind /dev/null "$(readlink -f "$each")"
    fi
done
sh=$(readlink -f /bin/sh)
replacement=$(readlink -f "$(command -v "$shell")")
if [ "$replacement" != "$sh" ]; then
    mount --bind "$replacement" "$sh"
fi

# Not exec: somebody has to collect the children that lose their parent, which wait does.
/usr/sbin/sshd -D -e -f /run/lab/sshd_config &
wait $!
