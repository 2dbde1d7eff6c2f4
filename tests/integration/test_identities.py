# SPDX-License-Identifier: Apache-2.0
"""Who is let in: certificates of another authority, of another tenant, or none at all."""
import base64
import contextlib
import json
import os
import socket
import ssl
import struct
import time

import pytest
from holdfast_lab import programs
from holdfast_lab.api import Api
from holdfast_lab.process import LabError, wait_until
from watch import healthy


def foreign_authority(lab, name):
    """A second certificate authority with the same names as the laboratory's."""
    class Foreign(programs.Authority):
        def __init__(self):
            self.lab = lab
            self.directory = lab.make_dir(f"authority-{name}", owner=None, mode=0o700)
            self._run("init")
    return Foreign()


def upgrade(lab, tls, region="us"):
    """A websocket to a coordinator's agents' port with these papers, past the agent program."""
    context = ssl.create_default_context(cafile=tls["ca"])
    if "certificate" in tls:
        context.load_cert_chain(tls["certificate"], tls["key"])
    address, port = lab.address(region), lab.port["agents"]
    stream = context.wrap_socket(socket.create_connection((address, port), 3),
                                 server_hostname=address)
    stream.settimeout(6)
    stream.sendall((f"GET /v1/agent HTTP/1.1\r\nHost: {address}:{port}\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Protocol: holdfast.v1\r\n"
                    f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n")
                   .encode())
    head = stream.recv(4096).decode(errors="replace")
    if not head.startswith("HTTP/1.1 101"):
        raise ConnectionError(head.split("\r\n")[0] or "closed")
    return stream


def send_text(stream, value):
    data, mask = json.dumps(value).encode(), os.urandom(4)
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack(">H", len(data))
    stream.sendall(b"\x81" + size + mask + bytes(c ^ mask[i % 4] for i, c in enumerate(data)))


def closed(stream, seconds):
    """Why the other side ended the connection (its close frame's text, or "end of stream"), or
    None when it did not within the time."""
    end, data = time.monotonic() + seconds, b""
    try:
        while True:
            stream.settimeout(max(end - time.monotonic(), 0.01))
            piece = stream.recv(4096)
            if piece == b"":
                return "end of stream"
            data += piece
            while len(data) >= 2:  # frames of a server are not masked
                size, head = data[1] & 0x7F, 2
                if size == 126:
                    size, head = struct.unpack(">H", data[2:4])[0] if len(data) > 3 else 1 << 16, 4
                if len(data) < head + size:
                    break
                if data[0] & 0x0F == 8:
                    return data[head + 2:head + size].decode(errors="replace") or "close frame"
                data = data[head + size:]
    except socket.timeout:
        return None
    except OSError as error:
        return f"end of stream: {error}"


@contextlib.contextmanager
def stranger_as(lab, region, tls, at=None):
    """A connection of ours while the region's agent stands still: it does not connect anew, so
    that whatever closes ours is the coordinator's own check."""
    lab.agents[region].freeze()
    try:
        stream = upgrade(lab, tls, at or lab.api.leader())
        try:
            yield stream
        finally:
            stream.close()
    finally:
        lab.agents[region].thaw()
        wait_until("the agent to be back", 30, lambda: lab.node_status(region)["ok"])


def counter(lab, region, name):
    """One figure of a coordinator's /metrics."""
    text = lab.api.ask(region, "GET", "/metrics")[1]
    return float(next(li.split()[-1] for li in text.splitlines() if li.startswith(name + " ")))


def hello(lab, region):
    return {"v": 1, "type": "hello", "tenant": lab.tenant, "cluster": lab.cluster,
            "region": region, "node": lab.node(region),
            "address": f"{lab.address(region)}:{lab.port['postgres']}", "version": "0.1.0",
            "boot": "00000000-0000-0000-0000-000000000000"}


def papers(lab, region):
    """The certificate of a region's agent, where the agent has it."""
    return lab.certificate(f"agent-{region}", "agent")


def test_agents_port_takes_a_certificate_of_the_authority(cluster):
    healthy(cluster)
    upgrade(cluster, papers(cluster, "ap")).close()


def test_agents_port_refuses_foreign_and_missing_certificates(cluster):
    ours = papers(cluster, "ap")["ca"]
    foreign = foreign_authority(cluster, "agent").issue(
        cluster.make_dir("tls/foreign-agent"), "agent", "--tenant", cluster.tenant, "--region",
        "ap", "--name", "ap-1", "--host", cluster.address("ap"))
    for tls in ({**foreign, "ca": ours}, {"ca": ours}):
        with pytest.raises(OSError):
            upgrade(cluster, tls)


SOON_S = 2.0  # well below the coordinator's own limit for a connection without hello (5 s)
REFUSED = "holdfast_agent_refused_total"


WRONG = {  # words of the certificate, and what the coordinator says
    "tenant": (("--tenant", "other", "--region", "ap", "--name", "ap-1"),
               "hello says tenant demo, the certificate other"),
    "region": (("--tenant", "demo", "--region", "us", "--name", "ap-1"),
               "hello says region ap, the certificate us"),
    "node": (("--tenant", "demo", "--region", "ap", "--name", "ap-2"),
             "hello says node ap-1, the certificate ap-2"),
}


@pytest.mark.parametrize("wrong", list(WRONG))
def test_hello_must_agree_with_the_certificate(cluster, wrong):
    """Another tenant's agent, or a neighbour, says that it is ap-1: closed at once, counted, and
    told why."""
    healthy(cluster)
    leader, (words, reason) = cluster.api.leader(), WRONG[wrong]
    tls = cluster.certificate(f"agent-wrong-{wrong}", "agent", *words, "--host",
                              cluster.address("ap"))
    before = counter(cluster, leader, REFUSED)
    with stranger_as(cluster, "ap", tls, leader) as stream:
        send_text(stream, hello(cluster, "ap"))
        assert closed(stream, SOON_S)
        assert counter(cluster, leader, REFUSED) == before + 1
    assert reason in cluster.coordinators[leader].log_text()


def test_hello_that_agrees_with_the_certificate_stays(cluster):
    """Also past the limit for connections without a hello."""
    healthy(cluster)
    leader = cluster.api.leader()
    before = counter(cluster, leader, REFUSED)
    with stranger_as(cluster, "ap", papers(cluster, "ap"), leader) as stream:
        send_text(stream, hello(cluster, "ap"))
        assert closed(stream, 6.0) is None
        assert counter(cluster, leader, REFUSED) == before
    healthy(cluster)


@pytest.mark.parametrize("size, sent, why", [
    (65_537, 65_537, "JSON of 65537 bytes; at most 65536 are allowed"),
    (1 << 20, 300_000, "message longer than 262144 bytes")])
def test_a_message_beyond_the_bound_closes_the_connection(cluster, size, sent, why):
    """One byte too many; and a frame that announces a megabyte, before it is whole."""
    healthy(cluster)
    leader = cluster.api.leader()
    with stranger_as(cluster, "ap", papers(cluster, "ap"), leader) as stream:
        send_text(stream, hello(cluster, "ap"))
        assert closed(stream, 0.5) is None
        try:
            stream.sendall(b"\x81\xff" + struct.pack(">Q", size) + bytes(4) + b" " * sent)
        except OSError:
            pass  # closed already
        assert closed(stream, SOON_S)
    assert why in cluster.coordinators[leader].log_text()


def test_users_of_another_tenant_see_nothing(cluster):
    healthy(cluster)
    tls = cluster.certificate("user-other", "user", "--name", "mallory", "--role", "admin",
                              "--tenant", "other")
    other = Api(cluster, tls)
    status, body = other.ask("us", "GET", "/v1/clusters/demo/main/status")
    assert (status, body["error"]["code"]) == (404, "not_found")
    status, body = other.ask("us", "GET", "/v1/clusters")
    assert (status, body["clusters"]) == (200, [])


def test_a_viewer_may_not_change_anything(cluster):
    tls = cluster.certificate("user-viewer", "user", "--name", "eve", "--role", "viewer")
    viewer = Api(cluster, tls)
    leader = cluster.api.leader()
    assert viewer.ask(leader, "GET", "/v1/clusters/demo/main/status")[0] == 200
    status, body = viewer.ask(leader, "POST", "/v1/clusters/demo/main/pause", {})
    assert (status, body["error"]["code"]) == (403, "denied")
    assert cluster.api.cluster()["state"]["paused"] is False


def test_users_without_or_with_foreign_certificates_are_refused(cluster):
    ours = cluster.certificate("etcd-client", "etcd-client")["ca"]
    foreign = foreign_authority(cluster, "user").issue(
        cluster.make_dir("tls/foreign-user"), "user", "--name", "ops", "--role", "admin")
    for tls in ({"ca": ours}, {**foreign, "ca": ours}):
        try:
            status, _body = Api(cluster, tls).ask("us", "GET", "/v1/clusters")
        except LabError:
            continue  # refused in the handshake
        assert status in (401, 403)


def test_an_agents_certificate_is_not_a_users(cluster):
    try:
        status, _body = Api(cluster, papers(cluster, "us")).ask("us", "GET", "/v1/clusters")
    except LabError:
        return
    assert status in (401, 403)


def test_secret_files_that_others_may_read_are_refused(cluster):
    path = os.path.join(cluster.region_dir("us"), "agent", "pgpass")
    os.chmod(path, 0o644)
    try:
        with pytest.raises(LabError, match="pgpass"):
            cluster.agent_command("us", "check")
    finally:
        os.chmod(path, 0o600)
