# SPDX-License-Identifier: Apache-2.0
"""The archive under real servers: archive_command and restore_command of PostgreSQL, three
directories as repositories, no coordinator and no running agent."""
import glob
import os
import shutil
import signal
import subprocess
import tempfile

import psycopg2
import pytest
from conftest import build_dir
from holdfast_lab.postgres import bin_dir
from holdfast_lab.process import run, wait_until

REGIONS = ("eu", "us", "ap")
USER = "postgres"


class Host:
    """A directory with repositories, a key, a configuration, and any number of servers in it."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="hf-archive-", dir="/tmp")
        self.port = 5432
        self.servers = []
        self.config = os.path.join(self.dir, "agent.yaml")
        self.agent = os.path.join(self.dir, "holdfast-agent")
        shutil.copy2(os.path.join(build_dir(), "holdfast-agent"), self.agent)
        for region in REGIONS:
            os.mkdir(os.path.join(self.dir, region))
        repositories = "".join(f"  {r}: {{type: posix, path: {self.dir}/{r}, prefix: lab}}\n"
                               for r in REGIONS)
        with open(os.path.join(self.dir, "k1.key"), "w", encoding="ascii") as f:
            f.write("ab" * 32 + "\n")
        with open(self.config, "w", encoding="ascii") as f:
            f.write(f"""version: 1
tenant: demo
cluster: main
region: eu
name: eu-1
state_dir: {self.dir}/state
socket: {self.dir}/agent.sock
postgresql:
  data_dir: {self.dir}/primary
  bin_dir: {bin_dir()}
  socket_dir: {self.dir}
  advertise: "127.0.0.1:5432"
  manage: observe
  user: postgres
repositories:
{repositories}encryption: {{active: k1, keys: {{k1: {{file: k1.key}}}}}}
""")
        os.chmod(os.path.join(self.dir, "k1.key"), 0o600)
        os.chmod(self.agent, 0o755)
        if os.getuid() == 0:
            for path, _, names in os.walk(self.dir):
                for each in [path] + [os.path.join(path, n) for n in names]:
                    shutil.chown(each, USER, USER)

    def run(self, *argv, check=True, timeout=120, cwd="/"):
        return run(list(argv), user=USER, check=check, timeout=timeout, cwd=cwd)

    def push(self, path, check=True):
        return self.run(self.agent, "archive-push", "--config", self.config, path, check=check)

    def get(self, *words, check=False):
        return self.run(self.agent, "archive-get", "--config", self.config, *words, check=check)

    def archived(self, region):
        """Names of the archive in a region."""
        found = set()
        for path in glob.glob(f"{self.dir}/{region}/lab/demo/main/*/wal/**", recursive=True):
            if os.path.isfile(path):
                found.add(os.path.basename(path))
        return found

    def objects(self, region, name):
        return glob.glob(f"{self.dir}/{region}/lab/demo/main/*/wal/*/{name}")

    def conflicts(self, region):
        return [p for p in glob.glob(f"{self.dir}/{region}/lab/demo/main/*/conflict/**",
                                     recursive=True) if os.path.isfile(p)]

    def close(self):
        for server in self.servers:
            server.stop("immediate")
        shutil.rmtree(self.dir, ignore_errors=True)


class Server:
    def __init__(self, host, name):
        self.host, self.name = host, name
        self.data = os.path.join(host.dir, name)
        host.port += 1
        self.port = host.port
        host.servers.append(self)

    def settings(self, text):
        with open(os.path.join(self.data, "postgresql.auto.conf"), "a", encoding="ascii") as f:
            f.write(f"port = {self.port}\nunix_socket_directories = '{self.host.dir}'\n"
                    f"listen_addresses = ''\nfsync = off\nautovacuum = off\n{text}\n")
        return self

    def archiving(self):
        return (f"archive_mode = on\narchive_command = '{self.host.agent} archive-push "
                f"--config {self.host.config} %p'\n")

    def restoring(self, *options):
        words = "".join(f"{o} " for o in options)
        return (f"restore_command = '{self.host.agent} archive-get --config {self.host.config} "
                f"{words}%f %p'\n")

    def signal_file(self, name):
        self.host.run("touch", os.path.join(self.data, name))
        return self

    def start(self, wait=True):
        self.host.run(f"{bin_dir()}/pg_ctl", "-D", self.data, "-l", f"{self.data}.log", "-t", "60",
                      "-w" if wait else "-W", "start")
        return self

    def stop(self, mode="fast"):
        if os.path.exists(os.path.join(self.data, "postmaster.pid")):
            self.host.run(f"{bin_dir()}/pg_ctl", "-D", self.data, "-m", mode, "-w", "stop",
                          check=False)

    def log(self):
        with open(f"{self.data}.log", encoding="utf-8", errors="replace") as f:
            return f.read()

    def query(self, sql):
        connection = psycopg2.connect(host=self.host.dir, port=self.port, user=USER,
                                      dbname="postgres")
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def one(self, sql):
        return self.query(sql)[0][0]

    def try_one(self, sql):
        try:
            return self.one(sql)
        except psycopg2.Error:
            return None

    def note(self, text):
        self.query(f"INSERT INTO notes VALUES ('{text}')")

    def notes(self):
        return {row[0] for row in self.query("SELECT note FROM notes")}

    def switch(self):
        """Ends the segment; returns its name once it is archived."""
        self.query("SELECT pg_create_restore_point('something to archive')")
        name = self.one("SELECT pg_walfile_name(pg_switch_wal())")
        wait_until(f"{name} to be archived", 60, lambda: os.path.exists(
            os.path.join(self.data, "pg_wal", "archive_status", f"{name}.done")) or
            (self.one("SELECT last_archived_wal FROM pg_stat_archiver") or "") >= name)
        return name

    def copy_to(self, name):
        """A base copy as another server; not started."""
        other = Server(self.host, name)
        self.host.run(f"{bin_dir()}/pg_basebackup", "-h", self.host.dir, "-p", str(self.port),
                      "-U", USER, "-D", other.data, "-X", "none", "-c", "fast",
                      "--no-manifest")
        return other

    def pids(self):
        with open(os.path.join(self.data, "postmaster.pid"), encoding="ascii") as f:
            first = int(f.readline())
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(first)], capture_output=True,
                                  text=True, check=False).stdout.split()
        return [first] + [int(p) for p in children]

    def signal(self, number):
        for pid in self.pids():
            os.kill(pid, number)


@pytest.fixture(scope="module")
def host():
    host = Host()
    try:
        yield host
    finally:
        host.close()


@pytest.fixture(scope="module")
def primary(host):
    server = Server(host, "primary")
    host.run(f"{bin_dir()}/initdb", "-D", server.data, "-A", "trust", "-N", "-k",
             "--wal-segsize=1")
    server.settings(server.archiving()).start()
    server.query("CREATE TABLE notes (note text)")
    server.note("first")
    host.run(f"{bin_dir()}/pgbench", "-h", host.dir, "-p", str(server.port), "-i", "-q", "-s", "1",
             "postgres")
    return server


def archived_here(server):
    return {n[:-5] for n in os.listdir(os.path.join(server.data, "pg_wal", "archive_status"))
            if n.endswith(".done")}


def test_every_file_arrives_in_every_region(host, primary):
    host.run(f"{bin_dir()}/pgbench", "-h", host.dir, "-p", str(primary.port), "-c", "2", "-T", "4",
             "-n", "postgres")
    primary.copy_to("label").stop()  # leaves a .backup file
    last = primary.switch()
    assert primary.one("SELECT failed_count FROM pg_stat_archiver") == 0
    assert primary.one("SELECT archived_count FROM pg_stat_archiver") > 5
    done = archived_here(primary)
    assert last in host.archived("eu")
    for region in REGIONS:
        assert not done - host.archived(region), region
        assert any(n.endswith(".backup") for n in host.archived(region)), region


def test_exit_statuses(host, primary):
    path = os.path.join(host.dir, "got")
    name = primary.switch()
    assert host.get(name, path).returncode == 0
    with open(path, "rb") as f:
        assert len(f.read()) == 1 << 20
    assert host.get("00000001000000000000FFF0", path).returncode == 255  # no segment's name
    assert host.get("000000010000000000000FFF", path).returncode == 1
    assert host.get("00000009.history", path).returncode == 1
    assert host.get("00000001.history", path).returncode == 1
    assert host.get("--nonsense", name, path).returncode == 255
    assert host.get(name).returncode == 255
    assert host.get("--target-timeline", "x", name, path).returncode == 255
    missing = ["--config", os.path.join(host.dir, "none.yaml")]
    assert host.get(*missing, name, path).returncode == 255
    assert host.get(*missing, "--standby", name, path).returncode == 1
    away = os.path.join(host.dir, "away")
    os.rename(os.path.join(host.dir, "ap"), away)
    try:
        assert host.get("--standby", "000000010000000000000FFF", path).returncode == 1
        assert host.get("--target-timeline", "1", name, path).returncode == 0
    finally:
        os.rename(away, os.path.join(host.dir, "ap"))


def test_a_standby_follows_by_the_archive_alone(host, primary):
    standby = primary.copy_to("follower")
    standby.settings("archive_mode = off\n" + standby.restoring("--standby"))
    standby.signal_file("standby.signal").start()
    primary.note("for the follower")
    primary.switch()
    wait_until("the follower to replay it", 60, lambda: standby.try_one(
        "SELECT count(*) FROM notes WHERE note = 'for the follower'") == 1)
    assert standby.one("SELECT pg_is_in_recovery()")
    assert standby.one("SELECT count(*) FROM pg_stat_wal_receiver") == 0
    standby.stop()


def test_point_in_time(host, primary):
    scratch = primary.copy_to("scratch")
    primary.note("before")
    primary.query("SELECT pg_create_restore_point('here')")
    primary.note("after")
    primary.switch()
    scratch.settings("archive_mode = off\nrecovery_target_name = 'here'\n"
                     "recovery_target_action = 'promote'\n" + scratch.restoring())
    scratch.signal_file("recovery.signal").start()
    wait_until("recovery to end", 60, lambda: scratch.one("SELECT NOT pg_is_in_recovery()"))
    assert "before" in scratch.notes()
    assert "after" not in scratch.notes()
    scratch.stop()


def test_unknown_stops_a_targeted_recovery(host, primary):
    """A repository that does not answer must never look like the end of the WAL."""
    scratch = primary.copy_to("stopped")
    primary.note("must not be lost")
    last = primary.switch()
    scratch.settings("archive_mode = off\n" + scratch.restoring("--target-timeline", "1"))
    scratch.signal_file("recovery.signal")
    moved = [(p, p + ".away") for r in REGIONS for p in host.objects(r, last)]
    for path, away in moved:
        os.rename(path, away)
    ap = os.path.join(host.dir, "ap")
    os.rename(ap, ap + ".away")
    try:
        scratch.start(wait=False)
        wait_until("PostgreSQL to stop", 90, lambda: "startup process" in scratch.log() and
                   not os.path.exists(os.path.join(scratch.data, "postmaster.pid")))
    finally:
        os.rename(ap + ".away", ap)
        for path, away in moved:
            os.rename(away, path)
    scratch.start()
    wait_until("recovery to end", 60, lambda: scratch.one("SELECT NOT pg_is_in_recovery()"))
    assert "must not be lost" in scratch.notes()
    scratch.stop()


def test_a_lagging_region_is_filled_up(host, primary):
    us = os.path.join(host.dir, "us")
    host.run("chmod", "-R", "a-w", us)
    try:
        for i in range(3):
            primary.note(f"while us was down {i}")
            missed = primary.switch()
        assert missed in host.archived("eu") and missed in host.archived("ap")
        assert missed not in host.archived("us")
        failed = host.run(host.agent, "replicate", "--config", host.config, check=False)
        assert failed.returncode == 1 and "us: copied 0" in failed.stdout
    finally:
        host.run("chmod", "-R", "u+w", us)
    assert primary.one("SELECT failed_count FROM pg_stat_archiver") == 0
    now = primary.switch()
    assert now in host.archived("us") and missed not in host.archived("us")
    done = host.run(host.agent, "replicate", "--config", host.config)
    assert "not complete" not in done.stdout
    assert host.archived("us") == host.archived("eu")
    assert "copied 0, missing 0" in host.run(host.agent, "replicate", "--config",
                                             host.config).stdout


def test_two_writers_of_one_name(host, primary):
    clone = primary.copy_to("clone")
    primary.switch()
    clone.settings("archive_mode = off\n" + clone.restoring("--target-timeline", "1"))
    # Without a signal file it goes on on timeline 1, as a copied machine would.
    for name in sorted(n for n in os.listdir(os.path.join(primary.data, "pg_wal"))
                       if len(n) == 24):
        host.run("cp", os.path.join(primary.data, "pg_wal", name),
                 os.path.join(clone.data, "pg_wal"))
    clone.start()
    clone.note("of the clone")
    primary.note("of the primary")
    name = primary.switch()
    wait_until("the clone to reach that segment", 30, lambda: clone.one(
        "SELECT pg_walfile_name(pg_switch_wal())") >= name)
    clone.note("filler")
    before = {r: open(host.objects(r, name)[0], "rb").read() for r in REGIONS}
    path = os.path.join(clone.data, "pg_wal", name)
    refused = host.push(path, check=False)
    assert refused.returncode == 1 and "other content" in refused.stderr
    assert host.push(path, check=False).returncode == 1
    assert len(host.conflicts("eu")) == 1
    for region in REGIONS:
        with open(host.objects(region, name)[0], "rb") as f:
            assert f.read() == before[region]
    clone.stop()
    got = os.path.join(host.dir, "got")
    assert host.get("--target-timeline", "1", name, got).returncode == 0
    with open(got, "rb") as f, open(os.path.join(primary.data, "pg_wal", name), "rb") as mine:
        assert f.read() == mine.read()


def test_no_standby_replays_past_the_fork(host, primary):
    successor = primary.copy_to("successor")
    successor.settings(successor.archiving() + successor.restoring("--standby"))
    successor.signal_file("standby.signal").start()
    lagging = primary.copy_to("lagging")
    lagging.settings("archive_mode = off\n" + lagging.restoring("--standby"))
    lagging.signal_file("standby.signal").start()
    primary.note("common")
    primary.switch()
    for server in (successor, lagging):
        wait_until("both to replay it", 60, lambda s=server: s.try_one(
            "SELECT count(*) FROM notes WHERE note = 'common'") == 1)
    lagging.signal(signal.SIGSTOP)
    try:
        successor.query("SELECT pg_promote()")
        successor.note("of timeline 2")
        successor.switch()
        wait_until("the history to be archived", 30,
                   lambda: "00000002.history" in host.archived("eu"))
        for i in range(3):  # the old primary was not told
            primary.note(f"past the fork {i}")
            stale = primary.switch()
        assert stale in host.archived("eu")
    finally:
        lagging.signal(signal.SIGCONT)
    wait_until("the lagging standby to follow timeline 2", 60, lambda: lagging.try_one(
        "SELECT count(*) FROM notes WHERE note = 'of timeline 2'") == 1)
    notes = lagging.notes()
    assert not [n for n in notes if n.startswith("past the fork")]
    path = os.path.join(host.dir, "got")
    assert host.get(stale, path).returncode == 1  # there, and not for this line
    assert host.get("--target-timeline", "1", stale, path).returncode == 0
    for region in REGIONS:
        assert "00000002.history" in host.archived(region)
    lagging.stop()
    successor.stop()
