# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A Kubernetes API that fails: what passes is waited out, all else ends the run in clear words with no node touched."""

from __future__ import annotations

from typing import Any

import pytest
from integration.run.playbooks import Output, policy, run, visits
from lab.api import Fault
from lab.lab import Lab

pytestmark = pytest.mark.root

DENY_ALL = policy("deny-all", policyTypes=["Ingress"])
# Each list of the lab then has pages enough to fail in the middle.
SMALL_PAGES = {"page_size": 2}
ONCE = {**SMALL_PAGES, "retries": 0}

LASTING = {
    "401": (Fault("status", code=401), "401 Unauthorized", "does not accept the credentials from"),
    "403-on-one-resource": (
        Fault("status", resource="networkpolicies", code=403),
        "/networkpolicies: 403 Forbidden",
        "docs/rbac.yaml has the rights",
    ),
    "429": (Fault("status", resource="pods", code=429, retry_after=0), "/pods: 429 Too Many Requests"),
    "503": (Fault("status", resource="services", code=503), "/services: 503 Service Unavailable"),
    "cut": (Fault("cut", resource="pods", page=2), "/pods: the connection broke off before the answer was complete"),
    "truncated": (Fault("truncate", resource="pods", page=2), "/pods: the answer is not complete JSON"),
    "expired": (
        Fault("status", resource="pods", code=410),
        "/pods: the list expired 4 times",
        "set a larger page_size",
    ),
    "wrong-ca": (
        Fault("certificate", certificate="other-ca"),
        "the server's certificate is not trusted",
        "(checked against the given CA)",
    ),
}


def run_and_count(lab: Lab, **variables: Any) -> tuple[Output, int]:
    """The run, and how often somebody came to a node meanwhile."""
    before = sum(visits(lab, node) for node in lab.nodes)
    output = run(lab, "enforce", variables=variables)
    return output, sum(visits(lab, node) for node in lab.nodes) - before


def is_refused(lab: Lab, output: Output, came: int, *words: str) -> None:
    assert output.code != 0
    (reason,) = output.summary
    assert all(each in reason for each in words), reason
    assert reason.count("no node was touched") <= 1
    assert came == 0
    assert "Traceback" not in output.text
    assert (lab.directory / "api" / "token").read_text().strip() not in output.text


# All of them say it; three are enough to know that a run ends so.
USUAL = ("403-on-one-resource", "truncated", "wrong-ca")


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in USUAL else pytest.mark.full) for kind in LASTING]
)
def test_what_lasts_ends_the_run_with_no_node_touched(lab: Lab, kind: str) -> None:
    fault, *words = LASTING[kind]
    lab.apply(DENY_ALL)
    lab.api.add_fault(fault)
    output, came = run_and_count(lab, npm_kubernetes=ONCE)
    is_refused(lab, output, came, *words)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("https://10.240.0.4:1", "GET https://10.240.0.4:1/api/v1/namespaces: connection refused"),
        pytest.param("https://10.240.0.99:6443", "GET https://10.240.0.99:6443/", marks=pytest.mark.full),
        pytest.param("https://api.invalid", "the name cannot be resolved", marks=pytest.mark.full),
    ],
)
def test_a_host_that_is_not_there(lab: Lab, host: str, words: str) -> None:
    output, came = run_and_count(lab, npm_kubernetes={**ONCE, "host": host, "timeout": 3})
    is_refused(lab, output, came, words)


def test_what_passes_is_waited_out(lab: Lab) -> None:
    """All at once, and a server that has no watch; the run enforces what it would have without."""
    lab.apply(DENY_ALL)
    faults = [
        Fault("status", resource="namespaces", code=429, retry_after=0, times=2),
        Fault("expire", resource="pods", times=1),
        Fault("cut", resource="services", page=2, times=1),
        Fault("truncate", resource="nodes", times=1),
        Fault("status", resource="networkpolicies", code=503, times=1),
    ]
    for fault in (*faults, Fault("status", verb="watch", code=405)):
        lab.api.add_fault(fault)
    output = run(lab, "enforce", variables={"npm_kubernetes": SMALL_PAGES})
    assert output.code == 0, output.text
    assert output.summary[0] == "Nodes: 2 converged (2 changed, 0 unchanged)"
    assert "Pods: 6; isolated: 4 for ingress, 0 for egress" in output.summary
    assert "Policies: 1 enforced, 0 refused" in output.summary
    hits = [fault["hits"] for fault in lab.api.faults()]
    assert hits == [2, 1, 1, 1, 1, 0], "each has happened, and nobody watched"
    assert not lab.reach("other/client-1", "shop/web-2").ok


@pytest.mark.parametrize("given", ["in the environment", "as a variable"])
def test_no_secret_is_printed_however_much_is(lab: Lab, given: str) -> None:
    """Variables at -vvv: at -vvvv Ansible itself prints every extra variable."""
    token = (lab.directory / "api" / "token").read_text().strip()
    certificates = str(lab.directory / "api" / "ca.crt")
    host = f"https://10.240.0.4:{_port(lab)}"
    lab.apply(DENY_ALL)
    environment = {"K8S_AUTH_KUBECONFIG": "", "KUBECONFIG": ""}
    if given == "as a variable":
        lab.api.add_fault(Fault("status", resource="pods", code=403))
        options = {"host": host, "api_key": token, "ca_cert": certificates}
        output = run(lab, "enforce", "-vvv", variables={"npm_kubernetes": options}, env=environment)
        assert "403 Forbidden" in output.summary[0]
    else:
        variables = {"K8S_AUTH_HOST": host, "K8S_AUTH_API_KEY": token, "K8S_AUTH_SSL_CA_CERT": certificates}
        output = run(lab, "enforce", "-vvvv", env=environment | variables)
        assert output.code == 0, output.text
    assert token not in output.text
    for line in lab.ssh_key.read_text().splitlines()[1:-1]:
        assert line not in output.text


def _port(lab: Lab) -> str:
    server = next(line for line in lab.kubeconfig.read_text().splitlines() if "server:" in line)
    return server.rpartition(":")[2].strip().strip("\"'")
