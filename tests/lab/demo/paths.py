# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who tries to reach what, and whether it should: the demo's expected tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Literal

By = Literal["ClusterIP", "internal", "public", "pod"]
# Whose address the destination sees: the client's own, or that of a node on the way.
Source = Literal["own", "node's"]

SOURCE_POD = "default/src-ip-internal"
WEB_POD = "default/go-webapp"


class Situation(Enum):
    """What is in force when a table is made; the order of the columns in :data:`_EXPECTED`."""

    NO_POLICY = 0
    DENY_ALL = 1
    WEB_ALLOWED = 2
    SOURCE_ALLOWED = 3
    # As SOURCE_ALLOWED, but somebody has removed the rule that leads src-ip-internal's traffic to its chain.
    TORN = 4


@dataclass(frozen=True, slots=True)
class Path:
    """One line of the table: ``client`` (a place of the lab) connects to ``service`` by one of its addresses.

    ``by`` "pod": straight to the pod's port, as the kubelet of its node probes it. ``reaches`` has the situations in
    which a connection succeeds.
    """

    client: str
    service: str
    by: By
    server: str
    source: Source
    reaches: frozenset[Situation]


# Why, column by column:
#   deny  deny-all-inbound isolates every pod for ingress. Only the node's own traffic to its pods is never judged.
#   web   allow-go-webapp has an empty `from`: anybody, under whatever address he arrives, on the pod's port 8080.
#   src   allow-src-ip names pods, so it holds for a client that arrives with a busybox pod's address. Inside the
#         cluster a ClusterIP keeps the client's address, and so do balancer addresses with policy Local. With Cluster
#         the client's node masquerades on the way out, behind its own FORWARD: where the backend is local the rules
#         still see busybox-0's address; from busybox-1 the address of its node arrives, which is no pod's.
#   torn  src-ip-internal's line in the ingress dispatch is gone: it is as if nothing isolated that pod.
_EXPECTED = """
client     service          by         source  none deny web  src  torn
outside    go-webapp        public     node's  yes  no   yes  yes  yes
outside    src-ip-public    public     own     yes  no   no   no   yes
outside    src-ip-cluster   public     node's  yes  no   no   no   yes
busybox-0  go-webapp        ClusterIP  own     yes  no   yes  yes  yes
busybox-0  go-webapp        public     node's  yes  no   yes  yes  yes
busybox-0  src-ip-internal  ClusterIP  own     yes  no   no   yes  yes
busybox-0  src-ip-internal  internal   own     yes  no   no   yes  yes
busybox-0  src-ip-public    public     own     yes  no   no   yes  yes
busybox-0  src-ip-cluster   public     node's  yes  no   no   yes  yes
busybox-1  src-ip-internal  ClusterIP  own     yes  no   no   yes  yes
busybox-1  src-ip-internal  internal   own     yes  no   no   yes  yes
busybox-1  src-ip-public    public     own     yes  no   no   yes  yes
busybox-1  src-ip-cluster   public     node's  yes  no   no   no   yes
other      go-webapp        ClusterIP  own     yes  no   yes  yes  yes
other      go-webapp        public     node's  yes  no   yes  yes  yes
other      src-ip-internal  ClusterIP  own     yes  no   no   no   yes
other      src-ip-internal  internal   own     yes  no   no   no   yes
other      src-ip-public    public     own     yes  no   no   no   yes
other      src-ip-cluster   public     node's  yes  no   no   no   yes
kubelet-0  src-ip-internal  pod        own     yes  yes  yes  yes  yes
kubelet-1  go-webapp        pod        own     yes  yes  yes  yes  yes
"""

_PLACES = {
    "outside": "ext",
    "kubelet-0": "aks-nodepool1-12345678-vmss000000",
    "kubelet-1": "aks-nodepool1-12345678-vmss000001",
}
_SITUATION = {"none": Situation.NO_POLICY, "deny": Situation.DENY_ALL, "web": Situation.WEB_ALLOWED,
              "src": Situation.SOURCE_ALLOWED, "torn": Situation.TORN}  # fmt: skip


def _parse(table: str) -> Iterator[Path]:
    heading, *lines = table.split("\n")[1:-1]
    columns = heading.split()
    for line in lines:
        cells = dict(zip(columns, line.split(), strict=True))
        client, service = cells["client"], cells["service"]
        yield Path(
            client=_PLACES.get(client, f"default/{client}"),
            service=service,
            by=cells["by"],
            server=WEB_POD if service == "go-webapp" else SOURCE_POD,
            source=cells["source"],
            reaches=frozenset(_SITUATION[name] for name in _SITUATION if cells[name] == "yes"),
        )


PATHS = tuple(_parse(_EXPECTED))
