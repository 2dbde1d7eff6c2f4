# SPDX-License-Identifier: Apache-2.0
"""etcd members over TLS with client certificates, one a region."""
import base64
import json
import os
import shutil
import ssl
import urllib.error
import urllib.request

from .process import LabError, Process, run

# Loopback has no latency to speak of: the smallest heartbeat that a loaded machine keeps.
HEARTBEAT_MS = 100
ELECTION_MS = 1000


def member(lab, region):
    """The etcd member of one region, not started."""
    address, base = lab.address(region), lab.region_dir(region)
    port, peer_port = lab.port["etcd"], lab.port["etcd_peer"]
    tls = lab.certificate(f"etcd-{region}", "etcd", "--name", region, "--host", address,
                          directory=os.path.join(base, "etcd-tls"))
    peers = ",".join(f"{r}=https://{lab.address(r)}:{peer_port}" for r in lab.regions)
    argv = ["etcd", "--name", region, "--data-dir", os.path.join(base, "etcd"),
            "--listen-client-urls", f"https://{address}:{port}",
            "--advertise-client-urls", f"https://{address}:{port}",
            "--listen-peer-urls", f"https://{address}:{peer_port}",
            "--initial-advertise-peer-urls", f"https://{address}:{peer_port}",
            "--initial-cluster", peers, "--initial-cluster-token", lab.etcd_token,
            "--initial-cluster-state", "new",
            "--heartbeat-interval", str(HEARTBEAT_MS), "--election-timeout", str(ELECTION_MS),
            "--auto-compaction-mode", "periodic", "--auto-compaction-retention", "1h",
            # on loopback every peer seems to come from 127.0.0.1, whatever its certificate says
            "--experimental-peer-skip-client-san-verification",
            "--logger", "zap", "--log-outputs", "stderr", "--log-level", "error"]
    for prefix in ("", "peer-"):
        argv += [f"--{prefix}client-cert-auth", f"--{prefix}trusted-ca-file", tls["ca"],
                 f"--{prefix}cert-file", tls["certificate"], f"--{prefix}key-file", tls["key"]]
    return Process(f"etcd {region}", argv, lab.log(f"{region}-etcd"), base, user=lab.user,
                   cwd=base, inside=lab.inside(region))


def _etcdctl(lab, *words):
    """As the server's user, whose files the members' are."""
    run(["etcdctl", *words], user=lab.user, mark=lab.directory, env={"ETCDCTL_API": "3"})


def save_snapshot(lab, region, path):
    """`etcdctl snapshot save` from one member, as docs/operations.md has it."""
    tls = lab.certificate("etcd-snapshot", "etcd-client",
                          directory=lab.make_dir("etcd-snapshot", mode=0o700))
    _etcdctl(lab, f"--endpoints=https://{lab.address(region)}:{lab.port['etcd']}",
             f"--cacert={tls['ca']}", f"--cert={tls['certificate']}", f"--key={tls['key']}",
             "snapshot", "save", path)


def restore_snapshot(lab, path, token=None):
    """All members stopped, their data replaced, started: the state of the snapshot, and nothing
    of what came after it. A token that was never used makes it another etcd."""
    lab.etcd_token = token or lab.etcd_token
    for region in lab.regions:
        lab.etcd[region].kill()
    for region in lab.regions:
        data = os.path.join(lab.region_dir(region), "etcd")
        shutil.rmtree(data)
        peers = ",".join(f"{r}=https://{lab.address(r)}:{lab.port['etcd_peer']}"
                         for r in lab.regions)
        _etcdctl(lab, "snapshot", "restore", path, "--name", region, "--data-dir", data,
                 "--initial-cluster", peers, "--initial-cluster-token", lab.etcd_token,
                 "--initial-advertise-peer-urls",
                 f"https://{lab.address(region)}:{lab.port['etcd_peer']}")
    for region in lab.regions:
        lab.etcd[region].start()
    lab.etcd_ready()


class Client:
    """Questions to etcd by its JSON gateway, with the client certificate: what a test wants to
    know, never a write."""

    def __init__(self, lab):
        self.lab = lab
        tls = lab.certificate("etcd-client", "etcd-client")
        self.context = ssl.create_default_context(cafile=tls["ca"])
        self.context.load_cert_chain(tls["certificate"], tls["key"])

    def call(self, region, path, body, timeout=2.0):
        url = f"https://{self.lab.address(region)}:{self.lab.port['etcd']}{path}"
        request = urllib.request.Request(url, json.dumps(body).encode(), method="POST")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                             urllib.request.HTTPSHandler(context=self.context))
        try:
            with opener.open(request, timeout=timeout) as answer:
                return json.load(answer)
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise LabError(f"etcd {region}{path}: {error}") from error

    def status(self, region):
        return self.call(region, "/v3/maintenance/status", {})

    def leader(self, timeout=0.5):
        """The region whose member leads, or None while no member says so."""
        for region in self.lab.regions:
            try:
                status = self.call(region, "/v3/maintenance/status", {}, timeout)
            except LabError:
                continue
            if status.get("leader") and status["leader"] == status["header"]["member_id"]:
                return region
        return None

    def range(self, prefix, region=None):
        """Keys and values (text) below a prefix, from the first member that answers."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        body = {"key": base64.b64encode(prefix.encode()).decode(),
                "range_end": base64.b64encode(end.encode()).decode()}
        last = None
        for name in [region] if region else self.lab.regions:
            try:
                answer = self.call(name, "/v3/kv/range", body)
                return {base64.b64decode(kv["key"]).decode():
                        base64.b64decode(kv.get("value", "")).decode(errors="replace")
                        for kv in answer.get("kvs", [])}
            except LabError as error:
                last = error
        raise last
