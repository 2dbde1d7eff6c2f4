# SPDX-License-Identifier: Apache-2.0
"""etcd is restored from an older snapshot while everything else runs on (rule L12): nothing is
granted, begun or ended by what it says; a person begins a new generation, and the agents follow."""
import json
import os
import time

import pytest
from conftest import build_dir
from holdfast_lab import etcd
from holdfast_lab.lab import Laboratory
from holdfast_lab.process import LabError, wait_until
from watch import Client, epoch, finished, healthy

pytestmark = [pytest.mark.cluster, pytest.mark.long]

LEASE_S = 4.0


@pytest.fixture(scope="module")
def cluster():
    """With a grace that leaves a person time: a primary whose promises run dry goes on after it."""
    with Laboratory(build_dir(), lease="4s", grace="60s") as lab:
        lab.prepare().start_servers().start_programs()
        lab.apply_policy()
        yield lab


def state(lab):
    return json.loads(lab.etcd_client().range(
        f"/holdfast/v1/clusters/{lab.tenant}/{lab.cluster}/state").popitem()[1])


def snapshot(lab, name):
    path = os.path.join(lab.make_dir("snapshots"), name)
    etcd.save_snapshot(lab, wait_until("an etcd leader", 20, lab.etcd_client().leader), path)
    return path


def move(lab):
    """A switchover to another region: a new epoch and a new timeline."""
    source = healthy(lab)
    target = next(r for r in lab.regions if r != source)

    def allowed():
        return ": allowed" in lab.operator.run("switchover", "plan", "--to", target).stdout
    wait_until(f"a switchover to {target} to be allowed", 60, allowed, 0.5)
    known = len(lab.api.operations("switchover"))
    lab.operator.run("switchover", "run", "--to", target, "--wait", "90s", timeout=120)
    assert finished(lab, after=known, kind="switchover")["to"] == lab.node(target)
    return healthy(lab)


def doubted(lab, seconds=40):
    """Waits until status names the rule; its text."""
    def found(status):
        return next((w["text"] for w in status["warnings"] if w["rule"] == "RESTORED"), None)
    return lab.wait_for("a warning RESTORED", seconds, found)


def recover(lab, *words):
    """Plan first; then what is refused only for a moment is asked for again."""
    def allowed():
        return ": allowed" in lab.operator.run("recovery", "plan", *words).stdout
    wait_until("a recovery to be allowed", 60, allowed, 0.5)
    known = len(lab.api.operations("recovery"))
    lab.operator.run("recovery", "run", *words, "--reason", "restored by the test", "--wait",
                     "120s", timeout=150)
    return finished(lab, after=known, kind="recovery")


def whole(lab, before):
    """Everybody in the next generation, above every epoch that there was before."""
    primary = healthy(lab)
    found = state(lab)
    generation = int(before["generation"]) + 1
    assert found["generation"] == str(generation) and not found["doubt"] and not found["plan"]
    assert int(found["epoch"]) > int(before["epoch"])
    for region in lab.regions:
        path = os.path.join(lab.region_dir(region), "agent", "state", "agent.json")

        def follows(file=path):
            with open(file, encoding="utf-8") as f:
                return json.load(f)["generation"] == str(generation)
        wait_until(f"{region} to follow", 30, follows, 0.2)
    return primary


def metric(lab, name):
    status, text = lab.api.ask(lab.api.leader(), "GET", "/metrics")
    assert status == 200
    return next(float(line.split()[-1]) for line in text.splitlines()
                if line.startswith(name + "{"))


def test_the_primary_goes_on_through_a_restore_and_a_recovery(cluster):
    """By the runbook: another token. Not one row is refused or lost, before, during and after."""
    healthy(cluster)
    saved = snapshot(cluster, "first.db")
    old = epoch(cluster)
    region = move(cluster)
    before = state(cluster)
    assert int(before["epoch"]) > old
    postmaster = cluster.postmaster(region)
    with Client(cluster, "restored") as client:
        etcd.restore_snapshot(cluster, saved, "restored-1")
        text = doubted(cluster)
        assert int(state(cluster)["epoch"]) == old, "a plan burnt an epoch of the past"
        time.sleep(3 * LEASE_S)
        assert metric(cluster, "holdfast_cluster_in_doubt") == 1
        assert int(state(cluster)["epoch"]) == old and state(cluster)["doubt"].endswith(text)
        client.more(50)  # unanimous promises need no etcd
        for words in (("failover", "run"), ("switchover", "run")):
            with pytest.raises(LabError):
                cluster.operator.run(*words)
        with pytest.raises(LabError):
            cluster.operator.run("recovery", "run")  # without a reason
        with pytest.raises(LabError):  # another node holds the lease
            cluster.operator.run("recovery", "run", "--reason", "wrong", "--primary",
                                 cluster.node(next(r for r in cluster.regions if r != region)))
        operation = recover(cluster)
        assert operation["result"] == "done"
        assert operation["to"] == cluster.node(region)
        assert any("ops: restored by the test" in r["text"] for r in operation["reasons"])
        assert whole(cluster, before) == region
        client.more(100)
        assert client.failures() == []
        assert cluster.postmaster(region) == postmaster
        client.process.stop()
        found = client.compare(region)
        assert not found.lost and not found.invented and not found.altered
    with cluster.history.connect("holdfast") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT actor FROM audit_events WHERE action = 'recovery-run'")
        assert ("ops",) in cursor.fetchall()
    with pytest.raises(LabError):
        cluster.operator.run("recovery", "run", "--reason", "again")  # nothing to recover from


def test_afterwards_the_cluster_fails_over_as_before(cluster):
    region = healthy(cluster)
    before = epoch(cluster)
    assert move(cluster) != region
    assert epoch(cluster) == before + 1


def test_agents_alone_are_evidence_and_nobody_leading_means_the_furthest(cluster):
    """The same token, and coordinators that saw nothing: only the agents know better. Then the
    primary dies too; nobody takes its place before the person says so, and nothing is lost."""
    healthy(cluster)
    saved = snapshot(cluster, "second.db")
    region = move(cluster)
    before = state(cluster)
    with Client(cluster, "evidence") as client:
        for r in cluster.regions:
            cluster.coordinators[r].kill()
        etcd.restore_snapshot(cluster, saved)
        for r in cluster.regions:
            cluster.coordinators[r].start()
        text = doubted(cluster)
        assert cluster.node(region) in text or "epoch" in text or "term" in text
        cluster.kill_postmaster(region)
        time.sleep(4 * LEASE_S)
        for r in cluster.regions:
            answer = cluster.server(r).answer("SELECT pg_is_in_recovery()")
            assert answer != [(False,)], f"{r} became writable by records of the past"
        operation = recover(cluster)
        assert operation["result"] == "done"
        primary = whole(cluster, before)
        client.more(50)
        client.process.stop()
        found = client.compare(primary)
        assert not found.lost and not found.invented


def test_a_coordinator_that_saw_a_later_revision_knows_by_itself(cluster):
    """No epoch moved since the snapshot, so that no agent knows more than it."""
    region = healthy(cluster)
    time.sleep(2 * LEASE_S)
    saved = snapshot(cluster, "third.db")
    before = state(cluster)
    time.sleep(2 * LEASE_S)  # renewals only
    with Client(cluster, "revision") as client:
        etcd.restore_snapshot(cluster, saved)
        assert "revision" in doubted(cluster)
        assert recover(cluster)["to"] == cluster.node(region)
        assert whole(cluster, before) == region
        client.more(50)
        assert client.failures() == []
