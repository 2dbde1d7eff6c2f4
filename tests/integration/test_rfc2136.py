# SPDX-License-Identifier: Apache-2.0
"""Signed dynamic updates at real servers: what is set, what is refused, who wins a race, and what
happens while a server is away. route_probe is the coordinator's provider and its verification."""
import os
import subprocess
import threading
import time

import pytest
from conftest import build_dir
from holdfast_lab import config
from holdfast_lab.lab import Laboratory
from nameservers import ZONE, Bind, BindSecondary, Key, Knot, PowerDnsUpdates, free_port

SERVERS = {"knot": Knot, "bind": Bind, "powerdns": PowerDnsUpdates}


class Scene:
    """One server, and probes that use it."""

    def __init__(self, lab, server):
        self.lab, self.server = lab, server
        self.hosts = 0

    def host(self):
        """A name that no other test uses."""
        self.hosts += 1
        return f"h{self.hosts}"

    def config(self, key=None, authoritative=None, text=None):
        key = key or self.server.writers[0]
        directory = self.lab.make_dir("probe")
        path = self.lab.write(os.path.join(directory, f"{self.server.name}.key"),
                              text or key.line(), 0o600)
        os.chown(path, os.getuid(), os.getgid())
        return self.lab.write(os.path.join(directory, "coordinator.yaml"), config.dump({
            "version": 1, "name": "eu", "region": "eu",
            "tls": {"ca": "ca.pem", "certificate": "c.pem", "key": "c.key"},
            "agents": {"listen": "127.0.0.1:1"}, "users": {"listen": "127.0.0.1:2"},
            "etcd": {"endpoints": ["http://127.0.0.1:3"]},
            "dns": {"zone": {"type": "rfc2136", "server": self.server.server, "key_file": path,
                             "zone": ZONE, "timeout": "2s",
                             "authoritative": authoritative or [self.server.server]}}}))

    def argv(self, host, value, how, seconds=15, kind="A", ttl=2, **options):
        return [os.path.join(build_dir(), "route_probe"), self.config(**options), "zone",
                f"{host}.{ZONE}", kind, value, str(ttl), str(seconds), how]

    def task(self, host, value, **options):
        """Exit status and what it said."""
        done = subprocess.run(self.argv(host, value, "task", **options), capture_output=True,
                              text=True, timeout=60, check=False)
        assert done.returncode in (0, 1), done.stderr
        return done.returncode, done.stdout.strip()

    def set(self, host, value, **options):
        status, said = self.task(host, value, **options)
        assert (status, said) == (0, "done")

    def begin(self, host, value, **options):
        """Has read, and will set at finish()."""
        probe = subprocess.Popen(self.argv(host, value, "once", **options),
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return probe, probe.stdout.readline().strip()

    @staticmethod
    def finish(probe):
        said, _ = probe.communicate("go\n", timeout=30)
        return said.strip()


@pytest.fixture(scope="module", params=sorted(SERVERS))
def scene(request):
    with Laboratory(build_dir()) as lab:
        yield Scene(lab, SERVERS[request.param](lab).up())


def test_a_name_is_made_moved_and_left_alone(scene):
    host = scene.host()
    scene.set(host, "127.1.1.1")
    assert scene.server.values(host) == (["127.1.1.1"], 2)
    scene.set(host, "127.1.2.1")
    assert scene.server.values(host) == (["127.1.2.1"], 2)
    probe, said = scene.begin(host, "127.1.2.1")
    assert said == "read found=1 count=1 ttl=2 first=127.1.2.1"
    probe.communicate("", timeout=30)


def test_a_high_ttl_is_seen_before_and_lowered(scene):
    probe, said = scene.begin("old", "127.9.9.9")
    assert said == "read found=0 count=1 ttl=3600 first=127.9.9.9"
    assert scene.finish(probe) == "set"
    assert scene.server.values("old") == (["127.9.9.9"], 2)


def test_other_types_and_the_other_algorithm(scene):
    host = scene.host()
    scene.set(host, "2001:db8::1", kind="AAAA", key=scene.server.writers[1])
    scene.set(host, "2001:db8::2", kind="AAAA", key=scene.server.writers[1])
    name = scene.host()
    scene.set(name, "ns.hf.test.", kind="CNAME")
    scene.set(name, "old.hf.test.", kind="CNAME")


def test_a_key_as_tsig_keygen_writes_it(scene):
    host = scene.host()
    scene.set(host, "127.1.1.1", text=scene.server.writers[1].statement())
    assert scene.server.values(host)[0] == ["127.1.1.1"]


@pytest.mark.parametrize("case", ["secret", "name", "right"])
def test_a_wrong_key_changes_nothing(scene, case):
    host = scene.host()
    if case == "secret":
        key, wanted = Key("writer"), "BADSIG"
    elif case == "name":
        key, wanted = Key("stranger"), "BADKEY"
    else:
        # Knot says of a key that its rules do not name what it says of an unknown one.
        key, wanted = scene.server.known, "BADKEY" if scene.server.name == "knot" else "REFUSED"
    status, said = scene.task(host, "127.1.1.1", key=key, seconds=1)
    assert status == 1
    if scene.server.name == "powerdns" and case != "right":
        # It answers a question with an unknown signature unsigned, or not at all.
        assert "not signed" in said or "BAD" in said or "no answer" in said, said
    else:
        assert wanted in said, said
    assert scene.server.values(host) == ([], 0)


def test_a_lost_race_writes_nothing(scene):
    host = scene.host()
    first, said = scene.begin(host, "127.1.1.1")
    assert said == "read found=0 count=0 ttl=0 first="
    scene.set(host, "127.1.2.1")
    assert scene.finish(first).startswith("conflict: ")
    assert scene.server.values(host)[0] == ["127.1.2.1"]
    late, said = scene.begin(host, "127.1.3.1")
    assert said == "read found=0 count=1 ttl=2 first=127.1.2.1"
    scene.set(host, "127.1.4.1")
    assert scene.finish(late).startswith("conflict: ")
    assert scene.server.values(host)[0] == ["127.1.4.1"]


def test_of_many_writers_at_once_one_wins(scene):
    host = scene.host()
    begun = [scene.begin(host, f"127.2.{i}.1")[0] for i in range(4)]
    said = []
    threads = [threading.Thread(target=lambda p=p: said.append(scene.finish(p))) for p in begun]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(s.split(":")[0] for s in said) == ["conflict", "conflict", "conflict", "set"]


def test_an_alias_is_not_covered_by_an_address(scene):
    status, said = scene.task("alias", "127.1.1.1", seconds=1)
    assert status == 1 and "is a CNAME" in said
    probe, _ = scene.begin("old", "ns.hf.test.", kind="CNAME")
    assert "YXDOMAIN" in scene.finish(probe)


def test_a_name_outside_the_zone_is_refused(scene):
    status, said = scene.task("x", "127.1.1.1", seconds=1)
    assert status == 0, said
    argv = scene.argv("x", "127.1.1.1", "task", seconds=1)
    argv[3] = "x.elsewhere.test."
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert any(word in done.stdout for word in ("REFUSED", "NOTAUTH", "authority")), done.stdout


def test_a_server_that_is_down_is_waited_for(scene):
    host = scene.host()
    scene.server.process.stop()
    status, said = scene.task(host, "127.1.1.1", seconds=1)
    assert status == 1 and "Connection refused" in said
    waiting = scene.lab.pool.submit(scene.task, host, "127.1.1.1", seconds=30)
    time.sleep(1.0)
    scene.server.start()
    assert waiting.result() == (0, "done")
    assert scene.server.values(host)[0] == ["127.1.1.1"]


def test_a_frozen_server_ends_a_try_in_time(scene):
    host = scene.host()
    scene.server.process.freeze()
    try:
        status, said = scene.task(host, "127.1.1.1", seconds=4)
        assert status == 1 and ("no answer in time" in said or "no connection" in said), said
    finally:
        scene.server.process.thaw()
    scene.set(host, "127.1.1.1", seconds=30)


def test_updates_survive_a_kill(scene):
    host = scene.host()
    scene.set(host, "127.1.1.1")
    scene.server.process.kill()
    scene.server.start()
    assert scene.server.values(host)[0] == ["127.1.1.1"]


def test_it_is_done_when_every_authoritative_server_has_it():
    """Knot as primary, BIND as its secondary: a change counts when both answer it."""
    with Laboratory(build_dir()) as lab:
        primary = Knot(lab)
        secondary = BindSecondary(lab, primary.port)
        primary.secondary = secondary.port
        primary.up()
        secondary.up()
        scene = Scene(lab, primary)
        both = [primary.server, secondary.server]
        scene.set("db", "127.1.1.1", authoritative=both)
        assert secondary.values("db")[0] == ["127.1.1.1"]
        secondary.process.stop()
        status, said = scene.task("db", "127.1.2.1", authoritative=both, seconds=5)
        assert status == 1 and secondary.server in said, said
        assert primary.values("db")[0] == ["127.1.2.1"]  # set, and not called done
        secondary.start()
        scene.set("db", "127.1.2.1", authoritative=both, seconds=30)
        assert secondary.values("db")[0] == ["127.1.2.1"]


def test_a_server_that_is_not_there_is_named():
    with Laboratory(build_dir()) as lab:
        server = Knot(lab)
        server.port = free_port()
        status, said = Scene(lab, server).task("db", "127.1.1.1", seconds=1)
        assert status == 1 and server.server in said
