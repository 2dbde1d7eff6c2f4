# SPDX-License-Identifier: Apache-2.0
"""Coordinators without agents: one leader, hand-over, the users' API, history while it is away."""
import base64
import os
import time
from datetime import datetime

import pytest
from conftest import build_dir
from holdfast_lab import api, etcd, programs
from holdfast_lab.lab import Laboratory
from holdfast_lab.process import LabError, wait_until

pytestmark = pytest.mark.cluster

LEASE_S = 3.0
POLICY = {"version": 1, "nodes": {"eu-1": {"region": "eu"}, "us-1": {"region": "us"}},
          "bootstrap": {"kind": "adopt", "name": "eu-1"}}


@pytest.fixture(scope="module")
def lab():
    with Laboratory(build_dir(), lease="3s") as made:
        made.prepare().start_servers()
        for region in made.regions:
            made.coordinators[region] = programs.coordinator(made, region).start()
        made.operator = programs.Operator(made)
        made.api = api.Api(made, made.operator.tls)
        agree(made)
        yield made


def views(lab):
    """Who leads, as each running coordinator says."""
    said = {}
    for region in lab.regions:
        try:
            said[region] = lab.api.ask(region, "GET", "/v1/version")[1]["leader"]
        except LabError:
            said[region] = "down"
    return said


def agree(lab):
    """Waits until all three name the same leader."""
    wait_until("one leader by all accounts", 30, lambda: len(set(views(lab).values())) == 1
               and lab.api.leader() in lab.regions, 0.1)


def user(lab, name, role, tenant=None):
    words = ["--name", name, "--role", role] + (["--tenant", tenant] if tenant else [])
    return api.Api(lab, lab.certificate(f"user-{name}", "user", *words,
                                        directory=lab.make_dir(os.path.join("users", name))))


def apply(lab, cluster, tenant="demo", asking=None, headers=None, **changes):
    """PUTs a policy at the leader; status and body."""
    body = {**POLICY, "tenant": tenant, "name": cluster, **changes}
    return (asking or lab.api).ask(lab.api.leader(), "PUT", f"/v1/clusters/{tenant}/{cluster}",
                                   body, headers or {"If-None-Match": "*"})


def history(lab, sql):
    with lab.history.connect("holdfast") as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def test_exactly_one_leads(lab):
    seen = set()
    end = time.monotonic() + 2 * LEASE_S
    while time.monotonic() < end:
        seen |= set(views(lab).values())
        time.sleep(0.1)
    assert len(seen) == 1 and None not in seen, seen


def test_a_stop_in_good_order_hands_over_at_once(lab):
    leader = lab.api.leader()
    began = time.monotonic()
    lab.coordinators[leader].stop()
    wait_until("a new leader", 10, lambda: any(
        v not in (None, "down", leader) for v in views(lab).values()), 0.05)
    took = time.monotonic() - began
    assert took < LEASE_S, f"{took:.1f} s: as long as after a crash"
    lab.coordinators[leader].start()
    agree(lab)


def test_a_crash_is_noticed_after_the_lease_and_not_before(lab):
    leader = lab.api.leader()
    lab.coordinators[leader].kill()
    began = time.monotonic()
    wait_until("a new leader", 20, lambda: any(
        v not in (None, "down", leader) for r, v in views(lab).items() if r != leader), 0.05)
    took = time.monotonic() - began
    assert LEASE_S * 0.75 < took < LEASE_S + 3, f"{took:.1f} s"
    lab.coordinators[leader].start()
    agree(lab)


class Renewals:
    """Watches the leader's renewal key at one member; knows when the newest was not there yet."""

    def __init__(self, lab, member):
        self.lab, self.member, self.revision = lab, member, 0
        self.not_before = 0.0  # the newest renewal was made after this instant
        self.looked = time.time()

    def look(self):
        began = time.time()
        key = base64.b64encode(b"/holdfast/v1/leader/renewal").decode()
        answer = self.lab.etcd_client().call(self.member, "/v3/kv/range", {"key": key})
        revision = int(answer["kvs"][0]["mod_revision"])
        if revision != self.revision:
            self.revision, self.not_before = revision, self.looked
        self.looked = began
        return self


def instant(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def terms_won(lab):
    """(instant, region) of every LEADER_WON in the coordinators' logs."""
    found = []
    for region in lab.regions:
        found += [(instant(line.split()[0]), region) for line in
                  lab.coordinators[region].log_text().splitlines() if " LEADER_WON " in line]
    return sorted(found)


MARGIN, ELECTION_S, SLACK_S = 0.01, 2 * etcd.ELECTION_MS / 1000, 6.0


def test_leader_and_etcds_leader_die_together(lab):
    """L1: nobody leads before a whole lease has passed since the last renewal, whatever etcd's own
    leases do while it elects; and somebody leads soon after that."""
    agree(lab)
    lab.etcd_ready()
    leader, member = lab.api.leader(), lab.etcd_client().leader()
    seen = Renewals(lab, member)
    end = time.time() + LEASE_S
    while time.time() < end:
        seen.look()
        time.sleep(0.02)
    assert seen.not_before > 0
    known = len(terms_won(lab))
    lab.coordinators[leader].kill()
    lab.etcd[member].kill()
    killed_at = time.time()
    try:
        wait_until("a new leader", 60, lambda: len(terms_won(lab)) > known, 0.1)
        won_at, winner = terms_won(lab)[-1]
        assert winner != leader
        assert won_at - seen.not_before >= LEASE_S, \
            f"{won_at - seen.not_before:.3f} s after the last renewal, a lease is {LEASE_S} s"
        assert won_at - killed_at <= LEASE_S * (1 + MARGIN) + ELECTION_S + SLACK_S
    finally:
        lab.etcd[member].start()
        lab.coordinators[leader].start()
        agree(lab)


def test_etcds_leader_dies_and_the_leader_stays(lab):
    """Its lease outlives etcd's election: nobody takes over, the term is the same. Elections that a
    busy machine made longer than half a lease say nothing: they are tried again."""
    for _attempt in range(5):
        agree(lab)
        lab.etcd_ready()
        member, known = lab.etcd_client().leader(), terms_won(lab)
        lab.etcd[member].kill()
        began = time.monotonic()
        try:
            wait_until("etcd to elect", 30, lambda: lab.etcd_client().leader() not in
                       (None, member), 0.05)
            if time.monotonic() - began > LEASE_S / 2:
                continue
            time.sleep(3 * LEASE_S)
            assert terms_won(lab) == known
            return
        finally:
            lab.etcd[member].start()
    pytest.fail("the machine is too busy: every election lasted longer than half a lease")


def test_policies_have_preconditions(lab):
    status, made = apply(lab, "one")
    assert status == 201
    status, error = apply(lab, "one")
    assert (status, error["error"]["code"]) == (412, "stale")
    assert error["error"]["value"] == made["revision"]
    status, changed = apply(lab, "one", headers={"If-Match": made["revision"]}, level="measure")
    assert status == 200 and int(changed["revision"]) > int(made["revision"])
    assert apply(lab, "one", headers={"If-Match": made["revision"]})[0] == 412
    assert apply(lab, "one", headers={"X-None": "1"})[0] == 400
    status, shown = lab.api.ask(lab.api.leader(), "GET", "/v1/clusters/demo/one")
    assert shown["policy"]["level"] == "measure" and shown["revision"] == changed["revision"]
    assert shown["state"]["epoch"] == "0" and shown["state"]["primary"] is None
    status, changed = apply(lab, "one", headers={"If-Match": changed["revision"]}, level="manage")
    assert status == 200
    status, error = apply(lab, "one", headers={"If-Match": changed["revision"]}, level="measure")
    assert (status, error["error"]["rule"]) == (422, "LEVEL_LOWERED")
    assert apply(lab, "two", level="route")[1]["error"]["rule"] == "NOT_ENFORCED"
    assert apply(lab, "two", surprise=1)[1]["error"]["code"] == "invalid"
    assert apply(lab, "two", bootstrap={"kind": "adopt", "name": "xx"})[0] == 400


def test_followers_answer_reads_and_name_the_leader(lab):
    apply(lab, "three")
    leader = lab.api.leader()
    follower = next(r for r in lab.regions if r != leader)
    wait_until("the follower to know the cluster", 5, lambda: lab.api.ask(
        follower, "GET", "/v1/clusters/demo/three")[0] == 200)
    status, body = lab.api.ask(follower, "POST", "/v1/clusters/demo/three/pause", {})
    assert status == 421
    assert body["leader"] == f"https://{lab.address(leader)}:{lab.port['users']}"
    assert lab.api.ask(leader, "POST", "/v1/clusters/demo/three/pause", {}) == (
        200, {"paused": True})
    wait_until("the follower to see it", 5, lambda: lab.api.ask(
        follower, "GET", "/v1/clusters/demo/three")[1]["state"]["paused"])
    assert lab.api.ask(leader, "POST", "/v1/clusters/demo/three/resume", {})[0] == 200
    assert lab.api.ask(leader, "POST", "/v1/clusters/demo/three/pause", {"why": 1})[0] == 400


def test_roles_and_tenants(lab):
    apply(lab, "four")
    apply(lab, "secret", tenant="other")
    leader = lab.api.leader()
    viewer, operator = user(lab, "vic", "viewer"), user(lab, "oli", "operator")
    tenant = user(lab, "tom", "admin", "demo")
    assert viewer.ask(leader, "GET", "/v1/clusters/demo/four/status")[0] == 200
    assert viewer.ask(leader, "POST", "/v1/clusters/demo/four/pause", {})[0] == 403
    assert operator.ask(leader, "POST", "/v1/clusters/demo/four/pause", {})[0] == 200
    assert operator.ask(leader, "POST", "/v1/clusters/demo/four/resume", {})[0] == 200
    assert apply(lab, "four", asking=operator)[0] == 403
    assert tenant.ask(leader, "GET", "/v1/clusters/demo/four")[0] == 200
    for path in ("", "/status", "/operations", "/backups"):
        assert tenant.ask(leader, "GET", f"/v1/clusters/other/secret{path}")[0] == 404
    assert tenant.ask(leader, "POST", "/v1/clusters/other/secret/pause", {})[0] == 404
    listed = tenant.ask(leader, "GET", "/v1/clusters")[1]["clusters"]
    assert listed and {c["tenant"] for c in listed} == {"demo"}
    metrics = tenant.ask(leader, "GET", "/metrics")[1]
    assert "holdfast_leader 1" in metrics and 'tenant="other"' not in metrics
    agent = api.Api(lab, lab.certificate(
        "agent-as-user", "agent", "--tenant", "demo", "--region", "eu", "--name", "eu-9",
        "--host", lab.address("eu"), directory=lab.make_dir("users/agent")))
    assert agent.ask(leader, "GET", "/v1/clusters")[0] == 403


def test_history_waits_in_the_spool(lab):
    def actions():
        return history(lab, "SELECT action FROM audit_events WHERE cluster = 'five' ORDER BY at")
    apply(lab, "five")
    wait_until("the history to arrive", 20, lambda: len(actions()) == 1)
    lab.history.stop()
    leader = lab.api.leader()
    for _ in range(3):  # nothing stops
        assert lab.api.ask(leader, "POST", "/v1/clusters/demo/five/pause", {})[0] == 200
        assert lab.api.ask(leader, "POST", "/v1/clusters/demo/five/resume", {})[0] == 200
    lab.history.start()
    lab.history.ready()
    wait_until("the spool to be emptied", 60, lambda: len(actions()) == 7, 0.5)
    assert [a for a, in actions()] == ["cluster-apply"] + ["pause", "resume"] * 3
    assert not history(lab, "SELECT * FROM audit_broken")
    assert history(lab, "SELECT count(*) FROM schema_migrations")[0][0] >= 1
