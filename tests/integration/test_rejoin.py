# SPDX-License-Identifier: Apache-2.0
"""An old primary, or a standby, whose WAL went beyond the fork is a standby again: what is lost is
saved before, the cheapest way that works is taken, nothing in between comes up writable."""
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

from conftest import build_dir
from holdfast_lab.lab import Laboratory
from holdfast_lab.process import is_alive, wait_until
from scene import Scene

pytestmark = [pytest.mark.cluster, pytest.mark.long]

REVOKED = "pg_read_binary_file(text, bigint, bigint, boolean)"


class Fork:
    """A scene with a primary that led, and one that leads now; each rejoin begins by a new fork."""

    def __init__(self, scene):
        self.scene, self.lab, self.script = scene, scene.lab, scene.script
        self.leader, self.other = "eu", "us"
        self.timeline, self.tries = 1, 0
        self.lost = set()  # transactions that the newest fork left behind

    def node(self, region):
        return self.lab.node(region)

    def begin(self):
        self.lab.agents["eu"].start()
        self.script.wait_state("eu-1", "unmanaged", 120)
        self.scene.lead("eu-1")
        self.scene.query("eu", "CREATE TABLE t (x int, filler text)")
        self.scene.query("eu", "INSERT INTO t SELECT i, repeat('x', 500) FROM "
                               "generate_series(1, 20000) i")
        self.scene.query("eu", "CHECKPOINT")
        self.lab.agents["us"].start()
        self.script.wait_state("us-1", "empty", 120)
        self.command("us", "copy", "eu")
        self.follows("us", "eu", 0)
        return self

    def command(self, region, kind, source, check=True, seconds=120):
        """As the leader does it: a new id for each attempt."""
        self.tries += 1
        send = self.script.do if check else self.script.command
        more = {"seconds": seconds} if check else {}
        return send(self.node(region), f"{kind}-{self.tries}", kind, self.scene.epoch,
                    address=self.scene.address(source), node=self.node(source),
                    timeline=self.timeline if self.timeline > 1 else 0, **more)

    def follows(self, region, source, mark):
        self.script.wait(self.node(region), "streaming", lambda b: b["streaming"] and
                         b["timeline"] == str(self.timeline))
        self.scene.query(source, f"INSERT INTO t VALUES ({mark}, 'mark')")
        self.scene.wait_rows(region, f"SELECT count(*) > 0 FROM t WHERE x = {mark}", [(True,)],
                             60)
        same = "SELECT count(*), md5(string_agg(x || filler, ',' ORDER BY x, filler)) FROM t"
        self.scene.wait_rows(region, same, self.scene.query(source, same), 60)
        assert self.scene.query(region, "SELECT pg_is_in_recovery()") == [(True,)]

    def part(self, lost=(-1,), crash=False, seen_by=None):
        """The standby is cut, commits go on at the primary, then it is lost; the standby leads.
        Returns (lost region, leading region). The lost agent runs, its directory is prepared."""
        old, new = self.leader, self.other
        epoch = self.scene.epoch + 1
        self.scene.prepare(self.node(new), epoch)
        self.lost = {self.scene.query(old, f"INSERT INTO t VALUES ({number}, 'lost') "
                                           "RETURNING xmin::text::bigint")[0][0]
                     for number in lost}
        if seen_by:
            self.scene.wait_rows(seen_by, f"SELECT count(*) FROM t WHERE x = {lost[-1]}", [(1,)],
                                 60)
        if crash:
            self.lab.kill_postmaster(old)
        self.script.granting = {}
        self.script.wait(self.node(old), "surrender",
                         lambda b: b["surrendered"] == str(epoch - 1), 30)
        wait_until("nothing of it to run", 15, lambda: not self.lab.postgres_processes(old))
        self.timeline += 2  # a number between was reserved and never used
        self.scene.lead(self.node(new), timeline=self.timeline)
        beat = self.scene.prepare(self.node(old), epoch)
        assert beat["state"] == "prepared"
        self.leader, self.other = new, old
        return old, new

    def log(self, region):
        with open(self.lab.log(f"{region}-agent"), encoding="utf-8") as f:
            return f.read()

    def events(self, region, event, since=0):
        return [line for line in self.log(region)[since:].split("\n") if f" {event} " in line]

    def state_file(self, region, *names):
        return os.path.join(self.lab.region_dir(region), "agent", "state", *names)

    def whole(self, region):
        """No trace of an attempt."""
        assert not os.path.exists(self.state_file(region, "copying"))
        assert not os.path.exists(self.state_file(region, "rejoin", "own-files"))
        assert self.scene.signal_file(region)


class Watch:
    """Looks at a region's PostgreSQL all the time: it must never be out of recovery."""

    def __init__(self, lab, region):
        self.server, self.ending = lab.server(region), threading.Event()
        self.seen = {True: 0, False: 0}
        self.thread = threading.Thread(target=self._look, daemon=True)

    def _look(self):
        while not self.ending.is_set():
            for row in self.server.answer("SELECT pg_is_in_recovery()"):
                self.seen[row[0]] += 1
            time.sleep(0.02)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join(30)

    def check(self):
        """Nothing writable, and it was looked at while it ran."""
        assert self.seen[False] == 0 and self.seen[True] > 0, self.seen


@pytest.fixture(scope="module")
def fork():
    with Laboratory(build_dir(), grace="1s") as lab:
        lab.prepare()
        scene = Scene(lab)
        yield Fork(scene).begin()
        scene.script.close()


def salvaged(fork, region, *words):
    """What `salvage list` shows of a region's agent, by id; each is complete."""
    text = fork.lab.agent_command(region, "salvage", "list", "-o", "json", *words).stdout
    found = json.loads(text)["salvaged"]
    assert all(entry["state"] == "complete" for entry in found)
    return {entry["id"]: entry for entry in found}


def relation(fork, region):
    """Path and identity of the table's file: a copy makes another one."""
    name = fork.scene.query(fork.leader, "SELECT pg_relation_filepath('t')")[0][0]
    path = os.path.join(fork.lab.data_dir(region), name)
    return path, os.stat(path).st_ino


def own_line(fork, region):
    """A line of this node's own in its files, and a file that no other node has."""
    path = os.path.join(fork.lab.data_dir(region), "pg_hba.conf")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    text += f"# of {region} alone\n"
    fork.lab.write(path, text, 0o600)
    fork.lab.write(os.path.join(fork.lab.data_dir(region), f"{region}.conf"), "# own\n", 0o640)
    return text


def test_a_lost_primary_is_rewound_not_copied(fork):
    old, new = fork.part(lost=(-1, -2), crash=True)
    path, inode = relation(fork, old)
    hba = own_line(fork, old)
    own_line(fork, new)
    since = len(fork.log(old))
    with Watch(fork.lab, old) as watch:
        fork.command(old, "copy", new)
        fork.follows(old, new, 1001)
    watch.check()
    assert os.stat(path).st_ino == inode
    done = fork.events(old, "REJOIN_DONE", since)
    assert len(done) == 1 and "way=rewind" in done[0], done
    assert fork.scene.query(old, "SELECT count(*) FROM t WHERE x < 0") == [(0,)]
    # Its own port, access and files; nothing of the source's.
    assert fork.scene.query(old, "SHOW listen_addresses") == [(fork.lab.address(old),)]
    directory = fork.lab.data_dir(old)
    with open(os.path.join(directory, "pg_hba.conf"), encoding="utf-8") as f:
        assert f.read() == hba
    assert os.stat(os.path.join(directory, f"{old}.conf")).st_mode & 0o777 == 0o640
    assert not os.path.exists(os.path.join(directory, f"{new}.conf"))
    fork.whole(old)


def test_nothing_past_the_fork_is_left_to_replay(fork):
    """W4: no segment of the old timeline that holds anything past the fork, nor word of one."""
    names = []
    for directory, _, files in os.walk(os.path.join(fork.lab.data_dir(fork.other), "pg_wal")):
        names += [os.path.join(directory, name) for name in files]
    history = next(n for n in names if n.endswith(f"{fork.timeline:08X}.history"))
    with open(history, encoding="ascii") as f:
        line = [row.split("\t") for row in f.read().split("\n") if row and row[0] != "#"][-1]
    high, low = (int(x, 16) for x in line[1].split("/"))
    first = f"{int(line[0]):08X}{high:08X}{low >> 24:08X}"
    assert not [n for n in names if re.match(first[:8], os.path.basename(n)) and
                first <= os.path.basename(n)[:24] and ".partial" not in n
                and ".history" not in n], (first, names)


def test_the_next_one_is_rewound_too(fork):
    """A clean end of the old primary, one timeline further; the other way round."""
    old, new = fork.part(lost=(-3,))
    path, inode = relation(fork, old)
    fork.command(old, "copy", new)
    fork.follows(old, new, 1002)
    assert os.stat(path).st_ino == inode
    assert fork.scene.query(old, "SELECT count(*) FROM t WHERE x < 0") == [(0,)]


def test_a_rewind_that_fails_becomes_a_copy(fork):
    """The source does not give its files, after pg_rewind has begun to change the directory."""
    old, new = fork.part(lost=(-4,))
    _, inode = relation(fork, old)
    since = len(fork.log(old))
    fork.scene.query(new, f"REVOKE EXECUTE ON FUNCTION {REVOKED} FROM holdfast_repl")
    with Watch(fork.lab, old) as watch:
        try:
            fork.command(old, "copy", new)
        finally:
            fork.scene.query(new, f"GRANT EXECUTE ON FUNCTION {REVOKED} TO holdfast_repl")
        fork.follows(old, new, 1003)
    watch.check()
    path, now = relation(fork, old)
    assert now != inode, path
    assert "way=rewind" in fork.events(old, "REJOIN_WAY_FAILED", since)[0]
    assert "way=copy" in fork.events(old, "REJOIN_DONE", since)[0]
    fork.whole(old)


def tool(fork, region, name):
    """Pids of a program of PostgreSQL's that works for this region."""
    return [pid for pid in fork.lab.postgres_processes(region)
            if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == name]


def killed_at(fork, region, point, source):
    """The region's agent dies at a fault point of its next rejoin."""
    fork.lab.agents[region].stop()
    fork.lab.agents[region].start(env={"HF_FAULT": f"{point}=kill"})
    fork.script.wait(fork.node(region), "its new agent", lambda b: b["state"] == "down", 30)
    fork.scene.prepare(fork.node(region), fork.scene.epoch)
    fork.command(region, "copy", source, check=False)
    wait_until("the agent to die", 120, lambda: not fork.lab.agents[region].running())


@pytest.mark.parametrize("point", ["rejoin.rewind", "rejoin.rewound"])
def test_an_agent_that_dies_within_a_rewind_leaves_nothing_that_starts(fork, point):
    """Half-made: it is no node that could be chosen or started; then it is copied anew."""
    old, new = fork.part(lost=(-5,), crash=True)
    killed_at(fork, old, point, new)
    assert os.path.exists(fork.state_file(old, "copying"))
    os.unlink(os.path.join(fork.lab.data_dir(old), "standby.signal"))  # as pg_rewind does it
    since = len(fork.log(old))
    fork.lab.agents[old].start()
    fork.script.wait_state(fork.node(old), "empty")
    assert fork.lab.postgres_processes(old) == []
    assert fork.scene.signal_file(old)  # whoever starts it outside of Holdfast
    fork.command(old, "copy", new)
    fork.follows(old, new, 1004)
    assert "reason=half_made" in fork.events(old, "REJOIN_PASSED_OVER", since)[0]
    fork.whole(old)


def test_a_tool_of_a_dead_agent_does_not_write_into_the_copy(fork):
    """pg_rewind lives on when its agent is killed: it is ended before the directory is emptied."""
    old, new = fork.part(lost=(-6,))
    address = fork.lab.server(new)
    blocker = address.connect()
    try:
        # pg_rewind's first look at the source waits for this lock; nothing else does.
        blocker.autocommit = False
        blocker.cursor().execute("LOCK TABLE pg_catalog.pg_tablespace IN ACCESS EXCLUSIVE MODE")
        fork.command(old, "copy", new, check=False)
        pids = wait_until("pg_rewind to work", 60, lambda: tool(fork, old, "pg_rewind"))
        fork.lab.agents[old].kill()
        assert all(is_alive(pid) for pid in pids)
        fork.lab.agents[old].start()
        fork.script.wait_state(fork.node(old), "empty")
        fork.command(old, "copy", new, check=False)
        wait_until("the old tool to be ended", 30, lambda: not any(is_alive(p) for p in pids))
    finally:
        blocker.close()
    fork.script.wait(fork.node(old), "the copy", lambda b: b["op_status"] == "done" and
                     b["op"] == f"copy-{fork.tries}", 120)
    fork.follows(old, new, 1005)


def test_what_is_lost_is_saved_with_a_report(fork):
    """Named are the commits and what they touched; the segments can be read."""
    old, new = fork.part(lost=(-7, -8, -9), crash=True)
    timeline = fork.timeline - 2
    before = salvaged(fork, old)
    fork.command(old, "copy", new)
    fork.follows(old, new, 1006)
    found = salvaged(fork, old)
    ids = set(found) - set(before)
    assert len(ids) == 1, found
    identity = ids.pop()
    assert re.fullmatch(f"{old}-1/{timeline:08X}-[0-9A-F]{{16}}", identity)
    assert found[identity]["where"] == old
    to = os.path.join(fork.lab.make_dir("fetched"), "first")
    fork.lab.agent_command(old, "salvage", "get", identity, "--to", to)
    with open(os.path.join(to, "report.json"), encoding="utf-8") as f:
        report = json.load(f)
    assert report["node"] == f"{old}-1" and report["timeline"] == str(timeline)
    named = {int(t["xid"]): t["committed_at"] for t in report["transactions"]}
    assert fork.lost <= set(named), report
    assert int(report["transaction_count"]) == len(report["transactions"])
    assert report["first_commit"] <= named[max(fork.lost)] <= report["last_commit"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", report["first_commit"])
    assert ("postgres", "public.t") in {(r["database_name"], r["name"])
                                        for r in report["relations"]}
    segments = sorted(n for n in os.listdir(to) if re.fullmatch("[0-9A-F]{24}", n))
    assert len(segments) == int(report["files"]) - ("00000001" != f"{timeline:08X}")
    assert_commits(fork, to, timeline, report["fork"])
    # What is there is not overwritten, and what is not is said to be absent.
    again = fork.lab.agent_command(old, "salvage", "get", identity, "--to", to, check=False)
    assert again.returncode == 1 and "exists" in again.stderr, again
    absent = fork.lab.agent_command(old, "salvage", "get", identity[:-1] + "Z", "--to", to,
                                    check=False)
    assert absent.returncode == 1
    absent = fork.lab.agent_command(old, "salvage", "get", f"{new}-1/{'0' * 7}1-{'0' * 16}",
                                    "--to", to, check=False)
    assert absent.returncode == 10, absent


def assert_commits(fork, directory, timeline, fork_lsn):
    """pg_waldump reads the fetched segments and finds every lost commit."""
    program = os.path.join(fork.lab.postgres_bin, "pg_waldump")
    text = subprocess.run([program, "-p", directory, "-t", str(timeline), "-s", fork_lsn],
                          capture_output=True, text=True, check=False).stdout
    commits = {int(m.group(1)) for m in
               re.finditer(r"rmgr: Transaction .* tx: +(\d+),.* desc: COMMIT ", text)}
    assert fork.lost <= commits, text


def files_of(directory):
    """Every file of the database and of its WAL, with what a change would show."""
    found = {}
    for part in ("base", "global", "pg_wal", "pg_xact"):
        for where, _, names in os.walk(os.path.join(directory, part)):
            for name in names:
                st = os.stat(os.path.join(where, name))
                found[os.path.join(where, name)] = (st.st_ino, st.st_size, st.st_mtime_ns)
    return found


def test_nothing_is_overwritten_while_no_repository_takes_it(fork):
    """It is asked for again, and when one region's repository is back it goes on."""
    old, new = fork.part(lost=(-10,), crash=True)
    stores = {r: os.path.join(fork.lab.region_dir(r), "store") for r in fork.lab.regions}
    before = files_of(fork.lab.data_dir(old))
    since = len(fork.log(old))
    try:
        for store in stores.values():
            os.chmod(store, 0)
        fork.command(old, "copy", new, check=False)
        beat = fork.script.wait(fork.node(old), "its failure", lambda b: b["op_status"] ==
                                "failed" and b["op"] == f"copy-{fork.tries}", 120)
        assert beat["op_error"].startswith("SALVAGE: "), beat["op_error"]
        assert files_of(fork.lab.data_dir(old)) == before
        assert not os.path.exists(fork.state_file(old, "copying"))
        assert fork.lab.postgres_processes(old) == []
        os.chmod(stores["ap"], 0o755)
        fork.command(old, "copy", new)
    finally:
        for store in stores.values():
            os.chmod(store, 0o755)
    fork.follows(old, new, 1007)
    assert "way=rewind" in fork.events(old, "REJOIN_DONE", since)[0]
    timeline = fork.timeline - 2
    kept = [i for i in salvaged(fork, old, "--region", "ap") if f"/{timeline:08X}-" in i]
    assert len(kept) == 1
    assert not [i for i in salvaged(fork, old, "--region", old) if f"/{timeline:08X}-" in i]
    to = os.path.join(fork.lab.make_dir("fetched"), "second")
    fork.lab.agent_command(old, "salvage", "get", kept[0], "--to", to)
    with open(os.path.join(to, "report.json"), encoding="utf-8") as f:
        assert fork.lost <= {int(t["xid"]) for t in json.load(f)["transactions"]}


def test_a_standby_that_followed_too_far_is_rewound(fork):
    """It never led, and runs when it is told; its server is ended before anything is looked at."""
    shutil.rmtree(fork.lab.data_dir("ap"))
    fork.lab.make_dir("ap/data", mode=0o700)
    fork.lab.agents["ap"].start()
    fork.script.wait_state("ap-1", "empty", 120)
    fork.command("ap", "copy", fork.leader)
    fork.follows("ap", fork.leader, 1008)
    _, new = fork.part(lost=(-11,), seen_by="ap")
    fork.scene.prepare("ap-1", fork.scene.epoch)
    assert fork.lab.postmaster("ap") is not None
    path, inode = relation(fork, "ap")
    with Watch(fork.lab, "ap") as watch:
        fork.command("ap", "copy", new)
        fork.follows("ap", new, 1009)
    watch.check()
    assert os.stat(path).st_ino == inode
    assert "way=rewind" in fork.events("ap", "REJOIN_DONE")[-1]
    timeline = fork.timeline - 2
    assert len([i for i in salvaged(fork, "ap") if f"ap-1/{timeline:08X}-" in i]) == 1
    # The old primary after it: the source that it finds now is the same.
    fork.command(fork.other, "copy", new)
    fork.follows(fork.other, new, 1010)


def away(fork, region):
    """The region's node is away while the cluster goes two histories further than it knows."""
    fork.lab.agents[region].stop()
    os.kill(fork.lab.postmaster(region), signal.SIGINT)
    wait_until("its PostgreSQL to end", 30, lambda: not fork.lab.postgres_processes(region))
    for number in (-21, -22):
        old, new = fork.part(lost=(number,))
        fork.command(old, "copy", new)
        fork.follows(old, new, 1000 - number)
    return fork.leader


def comes_back(fork, region, **environment):
    fork.lab.agents[region].start(env=environment or None)
    fork.script.wait(fork.node(region), "its new agent", lambda b: b["state"] == "down", 30)
    fork.scene.prepare(fork.node(region), fork.scene.epoch)


def test_who_was_away_for_two_timelines_follows_as_it_is(fork):
    """Its WAL is the source's from beginning to end: nothing to save, to rewind or to copy."""
    source = away(fork, "ap")
    path, inode = relation(fork, "ap")
    before, since = set(salvaged(fork, "ap")), len(fork.log("ap"))
    comes_back(fork, "ap")
    with Watch(fork.lab, "ap") as watch:
        fork.command("ap", "copy", source)
        fork.follows("ap", source, 1031)
    watch.check()
    assert "way=follow" in fork.events("ap", "REJOIN_DONE", since)[0]
    assert os.stat(path).st_ino == inode
    assert set(salvaged(fork, "ap")) == before
    fork.whole("ap")


def test_who_follows_and_gets_no_wal_is_copied(fork):
    source = away(fork, "ap")
    _, inode = relation(fork, "ap")
    since = len(fork.log("ap"))
    comes_back(fork, "ap", HF_FAULT="rejoin.stream=error")
    fork.command("ap", "copy", source)
    fork.follows("ap", source, 1032)
    assert "way=follow" in fork.events("ap", "REJOIN_WAY_FAILED", since)[0]
    assert "reason=not_diverged" in fork.events("ap", "REJOIN_PASSED_OVER", since)[0]
    assert "way=copy" in fork.events("ap", "REJOIN_DONE", since)[0]
    assert relation(fork, "ap")[1] != inode
    fork.whole("ap")
