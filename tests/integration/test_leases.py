# SPDX-License-Identifier: Apache-2.0
"""Leases on real parts: who may write, and what must not cost a write."""
import contextlib
import os
import re
import signal
import time
import urllib.request

import pytest
from holdfast_lab import etcd
from holdfast_lab.process import is_alive, wait_until
from watch import Client, assert_loss_as_predicted, epoch, finished, healthy

pytestmark = pytest.mark.cluster

LEASE_S = 3.0
GRACE_S = 1.0  # with the commit guard: from the end of a lease to the end of PostgreSQL


def unharmed(lab, client, before, worst_s):
    """No row was refused, none waited longer than worst_s, no epoch was burnt."""
    client.more(100)
    assert client.failures() == []
    assert client.log().longest_gap()[0] < worst_s
    assert epoch(lab) == before


def absence(lab, region, seconds):
    """Kills the agent and starts it after that time; how long it was away, to its first grant."""
    began = time.monotonic()
    lab.agents[region].kill()
    time.sleep(seconds)
    lab.agents[region].start()
    url = f"http://{lab.address(region)}:{lab.port['http']}/metrics"

    def holds():
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                text = answer.read().decode()
        except OSError:
            return False
        left = re.search(r"^holdfast_lease_remaining_seconds\{.*\} (\S+)$", text, re.M)
        return left is not None and float(left.group(1)) > 0
    wait_until("the agent to hold its lease again", 30, holds, 0.01)
    return time.monotonic() - began


def test_agent_absent_for_less_than_half_a_lease_has_no_effect(cluster):
    """Absences that a busy machine made longer than that say nothing: they are tried again."""
    for attempt in range(5):
        region = healthy(cluster)
        before, postmaster = epoch(cluster), cluster.postmaster(region)
        with Client(cluster, f"absent-agent-{attempt}") as client:
            if absence(cluster, region, 0.2 * LEASE_S) >= 0.5 * LEASE_S:
                continue
            time.sleep(2 * LEASE_S)
            unharmed(cluster, client, before, 1.5)
        assert cluster.postmaster(region) == postmaster
        return
    raise AssertionError("the machine is too busy: every absence lasted longer than half a lease")


def test_losing_the_leading_coordinator_costs_no_write(cluster):
    healthy(cluster)
    before, leader = epoch(cluster), cluster.api.leader()
    with Client(cluster, "leader-lost") as client:
        cluster.coordinators[leader].kill()
        wait_until("another leader", 30, lambda: cluster.api.leader() not in (None, leader))
        time.sleep(2 * LEASE_S)
        unharmed(cluster, client, before, 1.5)
    cluster.coordinators[leader].start()


def test_a_frozen_leading_coordinator_is_replaced_and_does_no_harm_when_it_wakes(cluster):
    healthy(cluster)
    before = epoch(cluster)
    leader = wait_until("a leader", 30, cluster.api.leader)
    with Client(cluster, "leader-frozen") as client:
        cluster.coordinators[leader].freeze()
        others = [r for r in cluster.regions if r != leader]
        wait_until("another leader", 30, lambda: cluster.api.get("/v1/version", others[0])
                   .get("leader") not in (None, leader))
        time.sleep(2 * LEASE_S)
        cluster.coordinators[leader].thaw()
        time.sleep(LEASE_S)
        unharmed(cluster, client, before, 1.5)


def test_killing_the_etcd_leader_costs_no_write(cluster):
    healthy(cluster)
    before, victim = epoch(cluster), etcd.Client(cluster).leader()
    with Client(cluster, "etcd-killed") as client:
        cluster.etcd[victim].kill()
        time.sleep(3 * LEASE_S)
        unharmed(cluster, client, before, 1.5)
    cluster.etcd[victim].start()


def test_freezing_the_etcd_leader_costs_no_write(cluster):
    healthy(cluster)
    before = epoch(cluster)
    victim = wait_until("an etcd leader", 20, etcd.Client(cluster).leader)
    with Client(cluster, "etcd-frozen") as client:
        cluster.etcd[victim].freeze()
        time.sleep(3 * LEASE_S)
        cluster.etcd[victim].thaw()
        time.sleep(LEASE_S)
        unharmed(cluster, client, before, 1.5)


def test_losing_etcd_for_five_leases_costs_no_write(cluster):
    """No coordinator can lead. The primary asks every candidate, and all of them promise (L4)."""
    region = healthy(cluster)
    before, postmaster = epoch(cluster), cluster.postmaster(region)
    down = [name for name in cluster.regions if name != region]
    with Client(cluster, "etcd-gone") as client:
        for name in down:
            cluster.etcd[name].freeze()
        frozen_at = time.time()
        time.sleep(5 * LEASE_S)
        log = client.log()
        assert client.failures() == []
        assert max(log.acked.values()) > frozen_at + 4.5 * LEASE_S
        for name in down:
            cluster.etcd[name].thaw()
        wait_until("a leader", 30, cluster.api.leader)
        unharmed(cluster, client, before, 1.5)
    assert cluster.postmaster(region) == postmaster


def acknowledged(clients, killed_at):
    """Instants of acknowledgements by sessions opened before the kill, and by later ones. (The
    next primary may be the same node, restarted: its address says nothing.)"""
    old, new = [], []
    for client in clients:
        opened = 0.0
        for at, kind, _number, _text in client.log().events:
            if kind == "connect":
                opened = at
            elif kind == "ack":
                (old if opened < killed_at else new).append(at)
    return old, new


def test_postmaster_killed_with_busy_backends(cluster):
    """Backends outlive their postmaster and go on answering: eight sessions write as fast as they
    can while it dies. Every process of the instance is gone before another node is writable (L6):
    no acknowledgement by an old backend comes after the first by a new one, and no client loses
    more than was predicted."""
    region = healthy(cluster)
    before = epoch(cluster)
    known = len(cluster.api.operations("failover"))
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(cluster, f"busy-{i}", pause_s=0)) for i in range(8)]
        backends = cluster.postgres_processes(region)
        serving = [pid for pid, in cluster.server(region).query(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'writer-busy-%'")]
        assert len(serving) == 8 and set(serving) <= set(backends)
        killed_at = time.time()
        cluster.kill_postmaster(region)
        wait_until("every process of the instance to be gone", LEASE_S + 2,
                   lambda: not any(is_alive(pid) for pid in backends))
        operation = finished(cluster, after=known)
        assert operation["result"] == "done"
        assert epoch(cluster) > before
        for client in clients:
            client.more(20)
        primary = healthy(cluster)
        old, new = acknowledged(clients, killed_at)
        assert max(old) < min(new)
        for client in clients:
            assert_loss_as_predicted(client, operation, primary)


def test_frozen_agent_is_fenced_and_another_node_takes_over(cluster):
    """The agent cannot renew: the fencer, a process of its own, ends PostgreSQL in time."""
    region = healthy(cluster)
    known = len(cluster.api.operations("failover"))
    with Client(cluster, "frozen-agent") as client:
        cluster.agents[region].freeze()
        frozen_at = time.monotonic()
        wait_until("the fencer to end PostgreSQL", LEASE_S + GRACE_S + 3,
                   lambda: not cluster.postgres_processes(region))
        assert time.monotonic() - frozen_at < LEASE_S + GRACE_S + 2.0
        operation = finished(cluster, after=known)
        assert operation["result"] == "done" and operation["from"] == cluster.node(region)
        client.more(50)
        cluster.agents[region].thaw()
        primary = healthy(cluster)
        assert primary != region
        assert_loss_as_predicted(client, operation, primary)
    assert wait_until("the old primary to answer", 30, lambda: cluster.server(region).answer(
        "SELECT pg_is_in_recovery()")) == [(True,)]


def test_what_is_lost_with_a_region_is_within_the_prediction(cluster):
    """The primary's senders stand still while it acknowledges: that much is gone with the region,
    and the plan has said so before it promoted."""
    region = healthy(cluster)
    known = len(cluster.api.operations("failover"))
    with Client(cluster, "lost-rows") as client:
        senders = [pid for pid, in cluster.server(region).query(
            "SELECT pid FROM pg_stat_replication")]
        assert len(senders) >= len(cluster.regions) - 1
        for pid in senders:
            os.kill(pid, signal.SIGSTOP)
        client.more(100)
        killed_at = time.time()
        cluster.kill_region(region)
        operation = finished(cluster, after=known)
        assert operation["result"] == "done"
        client.more(50)
        primary = next(r for r in cluster.regions if cluster.node(r) == operation["to"])
        found = assert_loss_as_predicted(client, operation, primary, killed_at)
        assert len(found.lost) >= 100, found
    cluster.start_region(region)
    assert healthy(cluster, 180) == primary
