# SPDX-License-Identifier: Apache-2.0
"""A real HAProxy that asks the agents' endpoints: clients of two fixed addresses reach the primary
for writing and near standbys for reading, before, during and after a failover, without DNS."""
import json
import socket
import time
import urllib.error
import urllib.request

import psycopg2
import pytest
from holdfast_lab.process import Process, wait_until
from watch import finished, healthy

pytestmark = pytest.mark.cluster

CONFIG = """
global
    maxconn 200
    stats socket {directory}/admin.sock mode 600
defaults
    mode tcp
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    timeout check 1s
    option httpchk
    default-server check port {http} inter 200ms fastinter 100ms fall 2 rise 1
    default-server on-marked-down shutdown-sessions
"""

SECTION = """
listen {name}
    bind {address}:{port}
    http-check send meth OPTIONS uri {uri}
    http-check expect status 200
{servers}
"""


def free_port(address):
    with socket.socket() as s:
        s.bind((address, 0))
        return s.getsockname()[1]


class Balancer:
    """HAProxy with a port for each question."""

    PORTS = {"write": "/primary", "read": "/replica?lag=10MB", "any": "/read-only",
             "fresh": "/replica?lag=40s"}

    def __init__(self, lab):
        self.lab, self.address = lab, lab.addresses.scratch
        directory = lab.make_dir("haproxy")
        text = CONFIG.format(directory=directory, http=lab.port["http"])
        servers = "\n".join(f"    server {lab.node(r)} {lab.address(r)}:{lab.port['postgres']}"
                            for r in lab.regions)
        self.port = {}
        for name, uri in self.PORTS.items():
            self.port[name] = free_port(self.address)
            text += SECTION.format(name=name, address=self.address, port=self.port[name], uri=uri,
                                   servers=servers)
        path = lab.write(f"{directory}/haproxy.cfg", text, 0o644)
        self.process = Process("HAProxy", ["haproxy", "-db", "-f", path], lab.log("haproxy"),
                               lab.directory, user=lab.user, cwd=directory)
        lab.extra.append(self.process)
        self.process.start()

    def connect(self, name):
        connection = psycopg2.connect(
            host=self.address, port=self.port[name], dbname="app", user="postgres",
            passfile=self.lab.passfile, connect_timeout=3, sslmode="disable")
        connection.autocommit = True
        return connection

    def where(self, name):
        """Region and role of the server behind a port now, None when it is nobody's."""
        try:
            with self.connect(name) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT host(inet_server_addr()), pg_is_in_recovery()")
                address, standby = cursor.fetchone()
        except psycopg2.Error:
            return None
        region = next(r for r in self.lab.regions if self.lab.address(r) == address)
        return region, "standby" if standby else "primary"

    def wait(self, name, test, seconds=15):
        return wait_until(f"{name} to lead where it should", seconds,
                          lambda: test(self.where(name)), 0.1)


def endpoint(lab, region, path):
    """Status and body of an agent's answer."""
    url = f"http://{lab.address(region)}:{lab.port['http']}{path}"
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture(scope="module")
def balancer(cluster):
    healthy(cluster)
    made = Balancer(cluster)
    yield made
    made.process.stop()


def test_the_endpoints_say_what_a_node_is(cluster):
    primary = healthy(cluster)
    standby = next(r for r in cluster.regions if r != primary)
    wanted = {"/primary": (200, 503), "/read-write": (200, 503), "/replica": (503, 200),
              "/read-only": (200, 200), "/health": (200, 200)}
    for path, (of_primary, of_standby) in wanted.items():
        assert endpoint(cluster, primary, path)[0] == of_primary, path
        assert endpoint(cluster, standby, path)[0] == of_standby, path
    wait_until("a standby near its primary", 40,
               lambda: endpoint(cluster, standby, "/replica?lag=1MB")[0] == 200)
    status, body = endpoint(cluster, standby, "/replica?lag=40s")
    assert status == 200 and json.loads(body)["lag_ms"] <= 40000
    assert endpoint(cluster, primary, "/read-only?lag=0")[0] == 200
    assert endpoint(cluster, standby, "/replica?lag=soon")[0] == 400
    assert "/read-only" in endpoint(cluster, standby, "/other")[1]


def test_a_standby_that_falls_behind_is_left_out(cluster):
    primary = healthy(cluster)
    standby = next(r for r in cluster.regions if r != primary)
    server = cluster.server(standby)
    server.query("SELECT pg_wal_replay_pause()")
    try:
        cluster.server(primary).query(
            "CREATE TABLE IF NOT EXISTS much AS SELECT generate_series(1, 200000) AS n",
            database="app")
        wait_until("lag to be seen", 10,
                   lambda: endpoint(cluster, standby, "/replica?lag=1MB")[0] == 503)
        assert int(json.loads(endpoint(cluster, standby, "/replica")[1])["lag_bytes"]) > 1 << 20
        time.sleep(2.5)
        assert endpoint(cluster, standby, "/replica?lag=2s")[0] == 503
        assert endpoint(cluster, standby, "/replica?lag=1GB")[0] == 200
    finally:
        server.query("SELECT pg_wal_replay_resume()")
    wait_until("the standby to be near again", 20,
               lambda: endpoint(cluster, standby, "/replica?lag=1MB")[0] == 200)


def test_clients_reach_the_primary_and_the_standbys(cluster, balancer):
    primary = healthy(cluster)
    balancer.wait("write", lambda at: at == (primary, "primary"))
    balancer.wait("any", lambda at: at is not None)
    for name in ("read", "fresh"):
        balancer.wait(name, lambda at: at is not None)
        seen = {balancer.where(name) for _ in range(6)}
        assert seen == {(r, "standby") for r in cluster.regions if r != primary}


def test_clients_reach_the_new_primary_after_a_failover(cluster, balancer):
    old = healthy(cluster)
    with balancer.connect("write") as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS seen (n int)")
        cursor.execute("INSERT INTO seen VALUES (1)")
    held = balancer.connect("write")
    before = len(cluster.api.operations("failover"))
    cluster.kill_region(old)
    began = time.monotonic()
    new = balancer.wait("write", lambda at: at and at[0] != old and at[1] == "primary" and at[0],
                        60)
    took = time.monotonic() - began
    with balancer.connect("write") as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO seen VALUES (2)")
    assert cluster.server(new).query("SELECT max(n) FROM seen", database="app") == [(2,)]
    with pytest.raises(psycopg2.Error):  # a session of the old primary is ended, not left hanging
        held.cursor().execute("SELECT 1")
    finished(cluster, after=before)
    print(f"clients of HAProxy wrote again after {took:.1f} s")
    other = next(r for r in cluster.regions if r not in (old, new))
    balancer.wait("read", lambda at: at == (other, "standby"), 30)


def test_the_old_primary_comes_back_as_a_standby_only(cluster, balancer):
    new = balancer.wait("write", lambda at: at and at[1] == "primary" and at[0])
    old = next(r for r in cluster.regions if not cluster.agents[r].running())
    cluster.start_region(old)
    wrong = []

    def back():
        at = balancer.where("write")
        if at not in (None, (new, "primary")):
            wrong.append(at)
        return endpoint(cluster, old, "/replica?lag=16MB")[0] == 200
    wait_until(f"{old} to be a standby", 120, back, 0.2)
    assert wrong == []
    assert endpoint(cluster, old, "/primary")[0] == 503
    balancer.wait("read", lambda at: at == (old, "standby"), 20)
