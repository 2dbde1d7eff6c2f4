# SPDX-License-Identifier: Apache-2.0
"""A person moves a healthy primary: nothing is lost, nobody is copied anew, and what would not be
lossless is refused before any client notices. And what a primary that is lost had not archived."""
import os

import pytest
from holdfast_lab.process import LabError, wait_until
from watch import Client, epoch, finished, healthy

pytestmark = pytest.mark.cluster


def allowed(lab, to):
    """Waits until nothing refuses it any more: what an earlier scenario hurt is noticed as whole
    with the next look at it."""
    wait_until(f"a switchover to {to} to be allowed", 60, lambda: ": allowed" in lab.operator.run(
        "switchover", "plan", f"{lab.tenant}/{lab.cluster}", "--to", to).stdout, 0.5)


def run(lab, to, check=True):
    return lab.operator.run("switchover", "run", f"{lab.tenant}/{lab.cluster}", "--to", to,
                            "--wait", "90s", timeout=120, check=check)


def other(lab, region):
    return next(r for r in lab.regions if r != region)


def test_the_primary_moves_without_loss(cluster):
    source = healthy(cluster)
    target = other(cluster, source)
    before = epoch(cluster)
    known = len(cluster.api.operations("switchover"))
    with Client(cluster, "switch") as client:
        run(cluster, target)
        operation = finished(cluster, after=known, kind="switchover")
        assert operation["result"] == "done" and operation["to"] == cluster.node(target)
        assert operation["predicted_bytes"] == "0"
        assert epoch(cluster) == before + 1
        client.more(50)
        assert healthy(cluster) == target
        client.process.stop()
        found = client.compare(target)
        assert not found.lost and not found.invented
    names = [step["name"] for step in operation["steps"]]
    assert names[:3] == ["drain", "stop", "prepare"]
    assert "confirm" not in names


def test_and_back_the_old_primary_follows_as_it_is(cluster):
    """Its directory lies on the new primary's history: neither rewind nor copy."""
    source = healthy(cluster)
    target = other(cluster, source)
    mark = os.path.join(cluster.data_dir(source), "was-here")
    cluster.write(mark, "a copy would have no such file\n")
    run(cluster, target)
    assert healthy(cluster) == target
    assert os.path.exists(mark)
    os.unlink(mark)


def test_what_is_refused_says_why(cluster):
    source = healthy(cluster)
    before = epoch(cluster)
    answer = run(cluster, source, check=False)
    assert answer.returncode == 13 or answer.returncode == 1, answer
    assert "REFUSED" in answer.stdout and "NO_TARGET" in answer.stdout
    cluster.operator.run("cluster", "pause", f"{cluster.tenant}/{cluster.cluster}")
    try:
        assert "PAUSED" in run(cluster, other(cluster, source), check=False).stdout
    finally:
        cluster.operator.run("cluster", "resume", f"{cluster.tenant}/{cluster.cluster}")
    assert epoch(cluster) == before


def test_an_archive_that_fails_is_found_before_clients_notice(cluster):
    """The repository goes away after the request was accepted: nothing drains, nothing stops."""
    source = healthy(cluster)
    before = epoch(cluster)
    known = len(cluster.api.operations("switchover"))
    store = os.path.join(cluster.region_dir(source), "store")
    with Client(cluster, "undrained") as client:
        os.chmod(store, 0)
        try:
            answer = run(cluster, other(cluster, source), check=False)
            assert answer.returncode != 0
            # Refused at once when the agent had noticed already, else by the drain.
            if "ARCHIVE" not in answer.stdout:
                operation = finished(cluster, after=known, kind="switchover", seconds=120)
                assert operation["result"] == "failed"
                assert "NOT_DRAINED" in [r["rule"] for r in operation["reasons"]]
        finally:
            os.chmod(store, 0o755)
        client.more(20)
        assert client.failures() == []
    assert epoch(cluster) == before and healthy(cluster) == source


def archived(lab, region):
    """Names of the segments in a region's repository."""
    found = set()
    for directory, _, files in os.walk(lab.repository_dir(region)):
        if "/wal/" in directory:
            found |= {name for name in files if len(name) == 24}
    return found


def test_what_the_lost_primary_had_not_archived_the_next_one_does(cluster):
    """W5: streamed segments are marked as archived on a standby; after its promotion they must not
    be missing in the archive."""
    source = healthy(cluster)
    store = os.path.join(cluster.region_dir(source), "store")
    server = cluster.server(source)
    os.chmod(store, 0)  # its archiving fails from now on
    try:
        names = []
        for _ in range(3):
            server.query("SELECT pg_logical_emit_message(false, 'w5', repeat('x', 1000))")
            names += [row[0] for row in server.query("SELECT pg_walfile_name(pg_switch_wal())")]
        end = server.query("SELECT pg_current_wal_lsn()")[0][0]
        target = other(cluster, source)
        for region in cluster.regions:
            if region != source:
                wait_until(f"{region} to have them", 30, lambda r=region: cluster.server(r).query(
                    "SELECT pg_last_wal_receive_lsn() >= %s", (end,))[0][0])
        assert not set(names) & archived(cluster, target)
        known = len(cluster.api.operations("failover"))
        cluster.kill_region(source)
        operation = finished(cluster, after=known, seconds=90)
        assert operation["result"] == "done", operation
        primary = next(r for r in cluster.regions if cluster.node(r) == operation["to"])
        wait_until("the new primary to archive them", 60,
                   lambda: set(names) <= archived(cluster, primary))
    finally:
        cluster.start_region(source)
    healthy(cluster)


def test_a_target_that_dies_in_between_costs_nothing(cluster):
    """The target's PostgreSQL is killed about when the primary is told to stop: whoever leads in
    the end, the one that goes back or the one that was on its way, has every row."""
    source = healthy(cluster)
    target = other(cluster, source)
    allowed(cluster, target)
    known = len(cluster.api.operations("switchover"))
    with Client(cluster, "switch-back") as client:
        cluster.operator.run("switchover", "run", f"{cluster.tenant}/{cluster.cluster}", "--to",
                             target)

        def stopping():
            found = cluster.api.operations("switchover")
            return len(found) > known and any(s["name"] == "stop" and s["state"] != "waiting"
                                              for s in found[0]["steps"])
        wait_until("the primary to be told to stop", 60, stopping, 0.01)
        try:
            cluster.kill_postmaster(target)
        except LabError:
            pass  # it is being promoted, or down, at this moment
        finished(cluster, after=known, kind="switchover", seconds=120)
        primary = healthy(cluster)
        client.more(20)
        client.process.stop()
        found = client.compare(primary)
        assert not found.lost and not found.invented
