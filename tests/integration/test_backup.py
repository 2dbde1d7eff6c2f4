# SPDX-License-Identifier: Apache-2.0
"""The backup engine by its command line alone, on one PostgreSQL and directories as repositories:
what it makes restores and is sound; what is damaged, foreign or half-done is refused by name."""
import glob
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

import pytest
from conftest import build_dir
from holdfast_lab.process import as_user, clean_environment, wait_until

BIN = "/usr/lib/postgresql/15/bin"
USER = "postgres" if os.getuid() == 0 else None
PACK_SIZE = 1 << 20  # the least that the configuration allows

FAULTS = ["keys.prepare", "backup.begin", "backup.read", "backup.pack", "backup.map",
          "backup.pending", "backup.manifest"]


class Host:
    """One PostgreSQL that archives into two directories, used by holdfast-agent alone."""

    made = 0

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="hf-backup-")
        os.chmod(self.dir, 0o755)
        if USER:
            shutil.chown(self.dir, USER)
        self.data = self.path("data")
        self.config = self.path("cfg/agent.yaml")
        self.agent = os.path.join(build_dir(), "holdfast-agent")
        Host.made += 10  # ports are names of sockets in a directory of our own
        self.port = 54000 + os.getpid() % 1000 + Host.made
        self.started = set()

    def path(self, name):
        return os.path.join(self.dir, name)

    def run(self, *argv, check=True, env=None, timeout=120):
        done = subprocess.run(as_user(USER, list(argv)), capture_output=True, text=True, cwd="/",
                              timeout=timeout, check=False,
                              env=clean_environment(self.dir, env))
        if check and done.returncode != 0:
            pytest.fail(f"{' '.join(argv)}: {done.returncode}\n{done.stdout}{done.stderr}"
                        f"{self.logs()}")
        return done

    def logs(self):
        """The last lines of every server's log."""
        text = ""
        for name in glob.glob(self.path("*.log")):
            with open(name, encoding="utf-8", errors="replace") as f:
                text += f"--- {os.path.basename(name)}\n" + "".join(f.readlines()[-6:])
        return text

    def holdfast(self, verb, *words, **options):
        return self.run(self.agent, verb, "--config", self.config, *words, **options)

    def start(self, data, port, more=""):
        self.run(f"{BIN}/pg_ctl", "-D", data, "-l", data + ".log", "-w", "-t", "60",
                 "-o", f"-p {port} -k {self.dir} -c listen_addresses= {more}", "start")
        self.started.add(data)

    def stop(self, data):
        if data in self.started:
            self.run(f"{BIN}/pg_ctl", "-D", data, "-m", "fast", "-w", "stop", check=False)
            self.started.discard(data)

    def sql(self, text, port=None, database="postgres"):
        return self.run(f"{BIN}/psql", "-XAt", "-h", self.dir, "-p", str(port or self.port), "-U",
                        "postgres", "-c", text, database).stdout.strip()

    def folder(self, name):
        os.makedirs(self.path(name), exist_ok=True)
        if USER:
            shutil.chown(self.path(name), USER)
        return self.path(name)

    def make_data(self, settings):
        self.run(f"{BIN}/initdb", "-k", "-U", "postgres", "-D", self.data, "--no-sync", "-A",
                 "trust")
        with open(os.path.join(self.data, "postgresql.auto.conf"), "a", encoding="ascii") as f:
            f.write(settings)

    def archive(self):
        with open(os.path.join(self.data, "postgresql.auto.conf"), "a", encoding="ascii") as f:
            f.write("archive_mode = on\nmax_wal_size = 1GB\n"
                    f"archive_command = '{self.agent} archive-push --config {self.config} %p'\n")

    def init(self, *words):
        self.folder("cfg")
        return self.holdfast("init", "--socket-dir", self.dir, "--port", str(self.port), "--user",
                             "postgres", *words)

    def make(self):
        self.make_data("fsync = off\n")
        self.archive()
        for name in ("spc", "cfg"):
            self.folder(name)
        self.start(self.data, self.port)
        self.run(f"{BIN}/pgbench", "-i", "-q", "-s", "5", "-h", self.dir, "-p", str(self.port),
                 "-U", "postgres", "postgres")
        self.sql("CREATE EXTENSION amcheck")
        self.sql(f"CREATE TABLESPACE spc LOCATION '{self.path('spc')}'")
        self.sql("CREATE TABLE far (n int PRIMARY KEY, t text) TABLESPACE spc")
        self.sql("INSERT INTO far SELECT n, repeat('x', 100) FROM generate_series(1, 20000) n")
        self.sql("CREATE UNLOGGED TABLE forgotten AS SELECT generate_series(1, 1000) n")
        self.sql("CHECKPOINT")
        self.init("--no-backup")
        with open(self.config, encoding="ascii") as f:
            text = f.read()
        os.makedirs(self.path("cfg/second"))
        if USER:
            shutil.chown(self.path("cfg/second"), USER)
        second = f"\n  far: {{type: posix, path: \"{self.path('cfg/second')}\"}}\nencryption"
        with open(self.config, "w", encoding="ascii") as f:
            f.write(text.replace("\nencryption", second))
            f.write(f"backup: {{pack_size: {PACK_SIZE >> 20}MB}}\n")
        return self

    def backup(self, *words):
        return json.loads(self.holdfast("backup", "-o", "json", *words).stdout)

    def backups(self):
        found = json.loads(self.holdfast("list", "-o", "json").stdout)["backups"]
        return [b["label"] for b in found if b["state"] == "complete"]

    def files(self, pattern):
        return sorted(glob.glob(self.path(f"cfg/repository/*/*/*/{pattern}")))

    def restore(self, name, *words, check=True):
        target = self.path(name)
        spc = self.path(name + "-spc")
        oid = self.sql("SELECT oid FROM pg_tablespace WHERE spcname = 'spc'")
        done = self.holdfast("restore", "--to", target, "--tablespace", f"{oid}={spc}", *words,
                             check=check)
        return target, done

    def opened(self, target, port=None):
        """Starts a restored directory and waits for the end of its recovery."""
        port = port or self.port + 1
        self.start(target, port)
        wait_until("recovery to end", 60, lambda: self.sql("SELECT pg_is_in_recovery()",
                                                           port) == "f")
        return port

    def end(self):
        for data in list(self.started):
            self.stop(data)
        shutil.rmtree(self.dir, ignore_errors=True)


@pytest.fixture(scope="module")
def host():
    h = Host()
    try:
        yield h.make()
    finally:
        h.end()


@pytest.fixture(scope="module")
def backed_up(host):
    """A full backup, taken while pgbench writes."""
    load = subprocess.Popen(as_user(USER, [
        f"{BIN}/pgbench", "-n", "-c", "2", "-T", "600", "-h", host.dir, "-p", str(host.port), "-U",
        "postgres", "postgres"]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    host.taken = host.backup()
    assert load.poll() is None, "the load ended before the backup did"
    load.terminate()
    load.wait(60)
    host.rows = int(host.sql("SELECT count(*) FROM pgbench_history"))
    end = host.sql("SELECT pg_walfile_name(pg_switch_wal())")
    wait_until("the last segment to be archived", 60,
               lambda: host.sql("SELECT last_archived_wal FROM pg_stat_archiver") >= end)
    return host


def test_it_is_complete_in_every_repository(backed_up):
    assert backed_up.taken["repositories"] == {"local": "complete", "far": "complete"}
    assert backed_up.taken["page_findings"] == "0"
    for region in ("local", "far"):
        report = json.loads(backed_up.holdfast("verify", "--region", region, "-o", "json").stdout)
        assert report["problems"] == [] and report["good"] == "1"


def test_packs_keep_their_bound_and_hold_no_plaintext(backed_up):
    packs = backed_up.files("backup/*/pack-*")
    assert len(packs) > 1 and all(os.path.getsize(p) <= PACK_SIZE for p in packs)
    assert max(os.path.getsize(p) for p in packs) > PACK_SIZE / 2
    for pack in packs:
        with open(pack, "rb") as f:
            assert b"x" * 64 not in f.read()


def test_a_restore_is_the_database_again(backed_up):
    target, _ = backed_up.restore("latest")
    port = backed_up.opened(target)
    try:
        assert int(backed_up.sql("SELECT count(*) FROM pgbench_history", port)) == backed_up.rows
        assert backed_up.sql("SELECT sum(abalance) = (SELECT sum(delta) FROM pgbench_history) "
                             "FROM pgbench_accounts", port) == "t"
        assert backed_up.sql("SELECT count(*) FROM far", port) == "20000"
        assert backed_up.sql("SELECT count(*) FROM forgotten", port) == "0"
        assert backed_up.sql("SHOW archive_mode", port) == "off"
        backed_up.run(f"{BIN}/pg_amcheck", "-h", backed_up.dir, "-p", str(port), "-U", "postgres",
                      "--heapallindexed", "postgres")
    finally:
        backed_up.stop(target)
    backed_up.run(f"{BIN}/pg_checksums", "-c", "-D", target)


def test_restore_to_a_time(backed_up):
    backed_up.sql("CREATE TABLE early AS SELECT 1")
    time.sleep(1.1)
    target_time = backed_up.sql("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', "
                                "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
    time.sleep(1.1)
    backed_up.sql("CREATE TABLE late AS SELECT 1")
    end = backed_up.sql("SELECT pg_walfile_name(pg_switch_wal())")
    wait_until("archiving", 60, lambda: backed_up.sql(
        "SELECT last_archived_wal FROM pg_stat_archiver") >= end)
    target, _ = backed_up.restore("timed", "--target-time", target_time)
    port = backed_up.opened(target)
    try:
        assert backed_up.sql("SELECT to_regclass('early') IS NOT NULL, to_regclass('late') IS NULL",
                             port) == "t|t"
    finally:
        backed_up.stop(target)


def test_a_time_after_the_archive_goes_to_its_end_and_says_so(backed_up):
    later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    target, done = backed_up.restore("beyond", "--target-time", later)
    assert "archive's end" in done.stderr
    port = backed_up.opened(target)
    backed_up.stop(target)
    assert port


def test_what_cannot_be_reached_is_refused(backed_up):
    _, done = backed_up.restore("no", "--target-time", "2020-01-01T00:00:00Z", check=False)
    assert done.returncode == 1 and "before the stop" in done.stderr
    assert not os.path.exists(backed_up.path("no"))
    _, done = backed_up.restore("no", "--target-lsn", "0/100", check=False)
    assert done.returncode == 1 and "before the stop" in done.stderr
    _, done = backed_up.restore("no", "--timeline", "7", check=False)
    assert done.returncode != 0 and "timeline 7" in done.stderr


def test_nothing_is_written_over(backed_up):
    before = sorted(os.listdir(backed_up.data))
    done = backed_up.holdfast("restore", "--to", backed_up.data, check=False)
    assert done.returncode == 1
    assert sorted(os.listdir(backed_up.data)) == before
    done = backed_up.holdfast("restore", "--to", backed_up.path("fresh"), check=False)
    assert done.returncode == 1 and "tablespace" in done.stderr  # its old place is in use


class damage:
    """Puts a repository's file right again afterwards."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        with open(self.path, "rb") as f:
            self.good = f.read()
        return self

    def write(self, data):
        with open(self.path, "wb") as f:
            f.write(data)
        os.chmod(self.path, 0o600)
        if USER:
            shutil.chown(self.path, USER)

    def __exit__(self, *_):
        self.write(self.good)


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


@pytest.mark.parametrize("what", ["pack", "map", "manifest", "swapped", "gone", "wal"])
def test_damage_is_refused_by_name(backed_up, what):
    leaf = {"swapped": "pack", "gone": "pack"}.get(what, what)
    path = backed_up.files("wal/*/*" if what == "wal" else f"backup/*/{leaf}*")[0]
    if what == "wal":
        path = [p for p in backed_up.files("wal/*/*") if p.split("/")[-1] ==
                first_segment(backed_up)][0]
    with damage(path) as d:
        if what == "swapped":
            with open(backed_up.files("backup/*/pack*")[1], "rb") as f:
                d.write(f.read())
        elif what == "gone":
            os.unlink(path)
        elif what == "manifest":
            d.write(d.good[:len(d.good) * 2 // 3])
        else:
            d.write(flipped(d.good, len(d.good) // 2))
        done = backed_up.holdfast("verify", check=False)
        assert done.returncode == 1
        assert os.path.basename(path) in done.stderr
        wanted = {"swapped": "swapped", "manifest": "cut short"}.get(what)
        assert wanted is None or wanted in done.stderr
        if what == "map" or what == "manifest":
            target, done = backed_up.restore("damaged", "--region", "local", check=False)
            assert done.returncode != 0 and os.path.basename(path) in done.stderr
            assert not os.path.exists(os.path.join(target, "global", "pg_control"))
            shutil.rmtree(target, ignore_errors=True)
            shutil.rmtree(target + "-spc", ignore_errors=True)
    assert backed_up.holdfast("verify").returncode == 0


def first_segment(host):
    start = json.loads(host.holdfast("list", "-o", "json").stdout)["backups"][0]["start"]
    return f"00000001{0:08X}{int(start.split('/')[1], 16) >> 24:08X}"


def test_a_damaged_object_is_read_from_another_region(backed_up):
    path = backed_up.files("backup/*/pack*")[0]
    with damage(path) as d:
        d.write(flipped(d.good, len(d.good) // 2))
        target, _ = backed_up.restore("elsewhere")
    port = backed_up.opened(target)
    backed_up.stop(target)
    assert port


def test_wrong_key_is_refused(backed_up):
    key = backed_up.path("cfg/k1.key")
    with damage(key) as d:
        d.write(b"0" * 63 + b"1\n")
        for verb in (["list"], ["verify"], ["backup"]):
            done = backed_up.holdfast(*verb, check=False)
            assert done.returncode == 12 and "wrong key" in done.stderr and "k1" in done.stderr
    assert len(backed_up.backups()) == 1


def test_a_damaged_page_is_found_and_does_not_stop_the_backup(backed_up):
    backed_up.sql("CREATE TABLE frail AS SELECT generate_series(1, 1000) n")
    relation = backed_up.sql("SELECT pg_relation_filepath('frail')")
    backed_up.sql("CHECKPOINT")
    path = os.path.join(backed_up.data, relation)
    with damage(path) as d:
        d.write(flipped(d.good, 8192 + 5000))
        taken = backed_up.backup()
    assert taken["page_findings"] == "1"
    assert backed_up.holdfast("verify", taken["label"]).returncode == 0
    backed_up.sql("DROP TABLE frail")


def faults_compiled(host):
    done = host.holdfast("backup", env={"HF_FAULT": "backup.begin=error"}, check=False)
    return done.returncode != 0 and "backup.begin" in done.stderr


def test_a_restore_names_collations_of_another_library_version(backed_up):
    """B11: the database was sorted by another libc; the SQL that the warning gives runs, and lists
    the index on text."""
    _, done = backed_up.restore("as-recorded")
    assert "collations" not in done.stderr
    backed_up.sql("CREATE DATABASE old TEMPLATE template0")
    backed_up.sql("CREATE TABLE t (n int PRIMARY KEY, x text)", database="old")
    backed_up.sql("CREATE INDEX by_text ON t (x)", database="old")
    backed_up.sql("UPDATE pg_database SET datcollversion = '2.19' WHERE datname = 'old'")
    time.sleep(1.1)
    label = backed_up.backup()["label"]
    target, done = backed_up.restore("sorted-otherwise", label)
    assert "database old: made with libc 2.19" in done.stderr and "rule B11" in done.stderr
    listing = next(li for li in done.stderr.splitlines() if "FROM pg_index" in li)
    port = backed_up.opened(target)
    try:
        assert "by_text" in backed_up.sql(listing.strip(), port, "old").splitlines()
        assert "t_pkey" not in backed_up.sql(listing.strip(), port, "old").splitlines()
    finally:
        backed_up.stop(target)
        backed_up.sql("DROP DATABASE old")


@pytest.mark.parametrize("point", FAULTS)
def test_killed_at_any_point_nothing_published_is_lost(backed_up, point):
    if not faults_compiled(backed_up):
        pytest.skip("built without fault points")
    before = backed_up.backups()
    done = backed_up.holdfast("backup", env={"HF_FAULT": f"{point}=kill"}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert backed_up.holdfast("verify").returncode == 0
    assert [b for b in backed_up.backups() if b in before] == before
    assert backed_up.sql("SELECT count(*) FROM pgbench_branches") == "5"
    time.sleep(1.1)


def test_a_segment_that_cannot_be_fetched_is_not_the_end_of_wal(backed_up):
    """W3: an error of ours is above 125, so that PostgreSQL does not open the database."""
    if not faults_compiled(backed_up):
        pytest.skip("built without fault points")
    words = (first_segment(backed_up), backed_up.path("got"))
    failed = backed_up.holdfast("archive-get", *words, env={"HF_FAULT": "wal.fetch=error"},
                                check=False)
    assert failed.returncode == 255 and "fault point wal.fetch" in failed.stderr
    assert backed_up.holdfast("archive-get", *words).returncode == 0


def test_killed_in_the_middle_verify_is_clean(backed_up):
    before = backed_up.backups()
    begun = len(backed_up.files("backup/*/begin"))
    time.sleep(1.1)
    running = subprocess.Popen(as_user(USER, [backed_up.agent, "backup", "--config",
                                              backed_up.config], tied=False),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until("the backup to begin", 30, lambda: running.poll() is not None or len(
        backed_up.files("backup/*/begin")) > begun, every=0.002)
    running.kill()
    running.wait()
    assert backed_up.holdfast("verify").returncode == 0
    assert [b for b in backed_up.backups() if b in before] == before


@pytest.mark.parametrize("point", ["restore.write", "restore.recovery", "restore.control"])
def test_nothing_half_restored_starts(backed_up, point):
    if not faults_compiled(backed_up):
        pytest.skip("built without fault points")
    target = backed_up.path("half-" + point)
    oid = backed_up.sql("SELECT oid FROM pg_tablespace WHERE spcname = 'spc'")
    done = backed_up.holdfast("restore", "--to", target, "--tablespace", f"{oid}={target}-spc",
                              env={"HF_FAULT": f"{point}=kill"}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert os.path.exists(os.path.join(target, "holdfast-restore.unfinished"))
    started = backed_up.run(f"{BIN}/postgres", "-D", target, "-k", backed_up.dir, "-p",
                            str(backed_up.port + 2), check=False, timeout=30)
    assert started.returncode != 0


def test_a_lost_region_leaves_the_own_one_complete(backed_up):
    second = backed_up.path("cfg/second")
    os.rename(second, second + ".away")
    try:
        time.sleep(1.1)
        taken = json.loads(backed_up.holdfast("backup", "-o", "json").stdout)
        assert taken["repositories"]["local"] == "complete"
        assert taken["repositories"].get("far") != "complete"
    finally:
        shutil.rmtree(second, ignore_errors=True)
        os.rename(second + ".away", second)


@pytest.fixture(scope="module")
def standby(backed_up):
    """A streaming standby of the host, with a configuration of its own for the same repositories;
    the primary switches WAL now and then, as a coordinator would have it do."""
    data = backed_up.path("standby")
    port = backed_up.port + 3
    backed_up.run(f"{BIN}/pg_basebackup", "-h", backed_up.dir, "-p", str(backed_up.port), "-U",
                  "postgres", "-D", data, "-R", "-c", "fast",
                  f"--tablespace-mapping={backed_up.path('spc')}={backed_up.path('standby-spc')}")
    backed_up.start(data, port)
    with open(backed_up.config, encoding="ascii") as f:
        text = f.read().replace(f":{backed_up.port}", f":{port}").replace(
            "name: local-1", "name: local-2").replace(backed_up.data, data)
    config = backed_up.path("cfg/standby.yaml")
    with open(config, "w", encoding="ascii") as f:
        f.write(text)
    backed_up.standby = (data, port, config)
    yield backed_up
    backed_up.stop(data)


def standby_backup(host, env=None):
    _, _, config = host.standby
    return subprocess.Popen(as_user(USER, [host.agent, "backup", "--config", config, "-o", "json"]),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env=clean_environment(host.dir, env))


def test_a_backup_from_the_standby_restores(standby):
    time.sleep(1.1)
    running = standby_backup(standby)
    deadline = time.monotonic() + 60
    while running.poll() is None and time.monotonic() < deadline:
        standby.sql("SELECT pg_switch_wal() FROM pg_logical_emit_message(true, 'tick', '')")
        time.sleep(0.3)
    out, errors = running.communicate(timeout=60)
    assert running.returncode == 0, errors
    label = json.loads(out)["label"]
    target, _ = standby.restore("from-standby", label)
    port = standby.opened(target)
    try:
        assert int(standby.sql("SELECT count(*) FROM pgbench_history", port)) >= standby.rows
    finally:
        standby.stop(target)
    standby.run(f"{BIN}/pg_checksums", "-c", "-D", target)


def test_a_standby_that_is_promoted_meanwhile_fails_the_backup(standby):
    if not faults_compiled(standby):
        pytest.skip("built without fault points")
    before = standby.backups()
    data, port, _ = standby.standby
    begun = len(standby.files("backup/*/begin"))
    running = standby_backup(standby, {"HF_FAULT": "backup.pack=delay:6000"})
    wait_until("the backup to begin", 30,
               lambda: len(standby.files("backup/*/begin")) > begun)
    time.sleep(1)
    standby.run(f"{BIN}/pg_ctl", "-D", data, "promote", "-w")
    _, errors = running.communicate(timeout=60)
    assert running.returncode != 0 and "promoted" in errors
    assert standby.backups() == before
    assert standby.sql("SELECT pg_is_in_recovery()", port) == "f"


@pytest.fixture
def small():
    h = Host()
    try:
        yield h
    finally:
        h.end()


def test_configuration_outside_the_data_directory(small):
    """B11, Debian's way: config_file, hba_file and ident_file lie elsewhere; the restored
    directory starts without them, by the copies that it brings."""
    small.make_data("fsync = off\n")
    etc = small.folder("etc")
    text = "".join(f"{name} = '{etc}/{leaf}'\n" for name, leaf in (
        ("hba_file", "pg_hba.conf"), ("ident_file", "pg_ident.conf")))
    text += f"data_directory = '{small.data}'\nwork_mem = '1234kB'\n"
    for leaf in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
        os.rename(os.path.join(small.data, leaf), os.path.join(etc, leaf))
    with open(os.path.join(etc, "postgresql.conf"), "a", encoding="ascii") as f:
        f.write(text)
    small.archive()
    small.start(small.data, small.port, f"-c config_file={etc}/postgresql.conf")
    small.sql("CREATE TABLE t AS SELECT 42 AS x")
    small.init("--no-backup")
    small.backup()
    small.stop(small.data)
    os.rename(etc, etc + ".gone")
    os.rename(small.data, small.data + ".gone")
    target = small.path("restored")
    small.holdfast("restore", "--to", target)
    port = small.opened(target)
    assert small.sql("SELECT x FROM t", port) == "42"
    assert small.sql("SHOW work_mem", port) == "1234kB"
    assert small.sql("SHOW hba_file", port).startswith(target)


def test_init_on_a_fresh_host(small):
    """No configuration, archiving off: `init` writes one, takes the first backup, and says what is
    left to do; the backup restores."""
    small.make_data("fsync = off\n")
    small.start(small.data, small.port)
    small.sql("CREATE TABLE t AS SELECT 42 AS x")
    assert small.sql("SHOW archive_mode") == "off" and not os.path.exists(small.config)
    done = small.init()
    assert "What to do next" in done.stderr
    assert "archive_mode = on" in done.stderr and "archive_command" in done.stderr
    assert len(small.backups()) == 1
    target = small.path("restored")
    small.holdfast("restore", "--to", target)
    port = small.opened(target)
    assert small.sql("SELECT x FROM t", port) == "42"


def test_expiry_keeps_what_is_needed(backed_up):
    before = backed_up.backups()
    assert len(before) >= 3
    done = backed_up.holdfast("expire", "--keep-last", "2", "--dry-run")
    assert "would expire" in done.stdout
    assert backed_up.backups() == before
    if faults_compiled(backed_up):
        # Cut short between two deletions: what is kept is whole, and the next run takes it up.
        broken = backed_up.holdfast("expire", "--keep-last", "2", check=False,
                                    env={"HF_FAULT": "expire.delete=error:1"})
        assert broken.returncode == 1 and "fault point expire.delete" in broken.stderr
        assert backed_up.backups()[-2:] == before[-2:]
        assert backed_up.holdfast("verify").returncode == 0
    backed_up.holdfast("expire", "--keep-last", "2")
    assert backed_up.backups() == before[-2:]
    assert not backed_up.files(f"backup/{before[0]}/*")
    assert backed_up.holdfast("verify").returncode == 0
    refused = backed_up.holdfast("expire", "--keep-last", "0", check=False)
    assert refused.returncode == 1 and "never deleted" in refused.stderr
