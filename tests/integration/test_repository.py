# SPDX-License-Identifier: Apache-2.0
"""Backups and WAL by the agent's command line alone, on real S3 servers (test_backup.py does it on
directories): what it makes restores, and what was damaged is refused by name."""
import json
import os
import shutil
import time

import psycopg2
import pytest
from holdfast_lab import postgres, repository
from holdfast_lab.process import wait_until


def fill(lab, rows=2000):
    lab.database.query("CREATE TABLE IF NOT EXISTS facts (n bigint PRIMARY KEY, filler text)",
                       database="app")
    lab.database.query("INSERT INTO facts SELECT n, repeat('x', 200) FROM generate_series("
                       "(SELECT coalesce(max(n), 0) + 1 FROM facts), "
                       "(SELECT coalesce(max(n), 0) + %s FROM facts)) n", (rows,), "app")
    return lab.database.query("SELECT count(*) FROM facts", database="app")[0][0]


@pytest.fixture(scope="module")
def backed_up(alone):
    """The agent runs (archiving), one full backup is taken; rows, label and a time after it."""
    alone.start_agent_alone()
    rows = fill(alone)
    alone.agent_command("eu", "init", timeout=120)
    alone.agent_command("eu", "backup", "--type", "full", timeout=120)
    alone.rows = rows
    alone.label = newest(alone)
    return alone


def newest(lab):

    found = json.loads(lab.agent_command("eu", "list", "-o", "json").stdout)["backups"]
    return max(b["label"] for b in found if b["state"] == "complete")


def restored(lab, *words):
    """Restores into a fresh directory, starts it, and returns what it holds."""
    base = lab.make_dir("scratch")
    directory = os.path.join(base, "data")
    shutil.rmtree(directory, ignore_errors=True)
    lab.agent_command("eu", "restore", "--to", directory, *words, timeout=180)
    server = postgres.scratch(lab, directory).start().ready(60)
    try:
        wait_until("recovery to end", 60, lambda: server.query(
            "SELECT NOT pg_is_in_recovery()")[0][0])
        return server.query("SELECT count(*) FROM facts", database="app")[0][0]
    finally:
        server.stop()


def keys(lab, region, ending):
    return [k for k in repository.listing(lab, region) if k.endswith(ending)]


def test_every_region_gets_the_backup_and_restores_it(backed_up):
    for region in backed_up.regions:
        assert keys(backed_up, region, f"{backed_up.label}/manifest")
        assert restored(backed_up, "--region", region) >= backed_up.rows


def test_restore_to_a_time_stops_there(backed_up):
    before = fill(backed_up, 100)
    time.sleep(1.1)
    target = backed_up.database.query(
        "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', "
        "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")[0][0]
    time.sleep(1.1)
    fill(backed_up, 100)
    end = backed_up.database.query("SELECT pg_switch_wal()::text")[0][0]
    wait_until(f"archiving past {end}", 30, lambda: backed_up.database.query(
        "SELECT last_archived_wal >= pg_walfile_name(%s::pg_lsn) FROM pg_stat_archiver",
        (end,))[0][0])
    assert restored(backed_up, "--target-time", target) == before


def test_verify_is_content_with_an_undamaged_backup(backed_up):
    backed_up.agent_command("eu", "verify", backed_up.label, timeout=120)


@pytest.mark.parametrize("damage", ["pack", "manifest", "map"])
def test_damage_is_named_and_never_restored(backed_up, damage):
    """A flipped byte in a pack or map, a manifest cut short: verify and restore refuse, and say
    which object it is; after it is put right, both work again."""
    region = "eu"
    wanted = {"pack": "/pack", "manifest": "/manifest", "map": "/map"}[damage]
    key = next(k for k in repository.listing(backed_up, region)
               if f"{backed_up.label}{wanted}" in k)
    good = repository.read(backed_up, region, key)
    if damage == "manifest":
        repository.truncate(backed_up, region, key, len(good) * 2 // 3)
    else:
        repository.flip(backed_up, region, key)
    try:
        for words in (("verify", "--region", region, backed_up.label),
                      ("restore", "--region", region, "--to",
                       os.path.join(backed_up.make_dir("scratch"), f"damaged-{damage}"))):
            done = backed_up.agent_command(region, *words, timeout=120, check=False)
            assert done.returncode != 0
            assert damage in (done.stderr + done.stdout).lower()
        directory = os.path.join(backed_up.directory, "scratch", f"damaged-{damage}")
        assert not os.path.exists(os.path.join(directory, "global", "pg_control"))
    finally:
        repository.overwrite(backed_up, region, key, good)
    backed_up.agent_command("eu", "verify", "--region", region, backed_up.label, timeout=120)


def test_wrong_encryption_key_is_refused(backed_up):
    path = os.path.join(backed_up.region_dir("eu"), "agent", "k1.key")
    with open(path, encoding="ascii") as f:
        good = f.read()
    backed_up.write(path, "0" * 63 + "1\n", 0o600)
    try:
        done = backed_up.agent_command("eu", "verify", backed_up.label, check=False)
        assert done.returncode == 12
        assert "wrong key" in done.stderr and "k1" in done.stderr
    finally:
        backed_up.write(path, good, 0o600)


def test_wrong_secret_of_the_store_is_refused(backed_up):
    if backed_up.store != "s3":
        pytest.skip("directories have no secret")
    path = os.path.join(backed_up.region_dir("eu"), "agent", "s3-us.cred")
    with open(path, encoding="ascii") as f:
        good = f.read()
    backed_up.write(path, good.replace(backed_up.gateways["us"].secret_key, "wrong-secret"), 0o600)
    try:
        done = backed_up.agent_command("eu", "list", "--region", "us", check=False)
        assert done.returncode == 12
        assert "SignatureDoesNotMatch" in done.stderr, done.stderr
    finally:
        backed_up.write(path, good, 0o600)


def archived_segment(lab):
    """A segment that has just been archived: its name and its file in pg_wal."""
    fill(lab, 10)
    name = lab.database.query("SELECT pg_walfile_name(pg_switch_wal())")[0][0]
    wait_until(f"{name} to be archived", 30, lambda: lab.database.query(
        "SELECT last_archived_wal >= %s FROM pg_stat_archiver", (name,))[0][0])
    return name, os.path.join(lab.data_dir("eu"), "pg_wal", name)


def test_archive_push_of_other_content_under_one_name_is_refused(backed_up):
    """Rule W2: same name, same content: success; same name, other content: refused, nothing is
    overwritten, and what came second is kept apart, once."""
    name, source = archived_segment(backed_up)
    path = os.path.join(backed_up.make_dir("segment"), name)
    shutil.copyfile(source, path)
    backed_up.own(path)
    objects = {region: keys(backed_up, region, f"/{name}") for region in backed_up.regions}
    assert all(len(found) == 1 for found in objects.values()), objects
    before = {region: repository.read(backed_up, region, found[0])
              for region, found in objects.items()}
    again = backed_up.agent_command("eu", "archive-push", path, check=False)
    assert again.returncode == 0, again.stderr
    assert not conflicts(backed_up, "eu")
    with open(path, "r+b") as f:
        f.seek(100_000)  # past the header: by its own account it is that segment of that cluster
        f.write(b"other")
    for _ in range(2):
        other = backed_up.agent_command("eu", "archive-push", path, check=False)
        assert other.returncode == 1 and "other content" in other.stderr, other.stderr
    assert len(conflicts(backed_up, "eu")) == 1
    for region in backed_up.regions:
        assert keys(backed_up, region, f"/{name}") == objects[region]
        assert repository.read(backed_up, region, objects[region][0]) == before[region]


def conflicts(lab, region):
    return [key for key in repository.listing(lab, region) if "/conflict/" in key]


def test_archive_get_tells_absent_from_unreachable(backed_up):
    """Exit 1 means the end of WAL to PostgreSQL: it may be said only when every repository
    answered."""
    target = os.path.join(backed_up.make_dir("segment"), "got")
    missing = "0000000100000000000000FD"
    assert backed_up.agent_command("eu", "archive-get", missing, target,
                                   check=False).returncode == 1
    repository.cut_off(backed_up, "ap")
    try:
        assert backed_up.agent_command("eu", "archive-get", missing, target,
                                       check=False).returncode == 255
    finally:
        repository.join_again(backed_up, "ap")


def test_the_database_never_noticed(backed_up):
    with backed_up.database.connect("app") as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO facts SELECT max(n) + 1, 'end' FROM facts")
    try:
        failed = backed_up.database.query("SELECT failed_count FROM pg_stat_archiver")[0][0]
    except psycopg2.Error as error:
        pytest.fail(str(error))
    assert failed == 0
