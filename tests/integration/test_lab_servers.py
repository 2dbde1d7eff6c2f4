# SPDX-License-Identifier: Apache-2.0
"""The laboratory itself: its servers are real, refuse whom they must, and die when told to."""
import os
import socket
import ssl
import time

import psycopg2
import pytest
from holdfast_lab import config, dns, etcd, ledger
from holdfast_lab.process import LabError, is_alive, processes_below, wait_until


def test_etcd_serves_certificates_of_the_authority_only(servers):
    client = etcd.Client(servers)
    assert client.leader() in servers.regions
    context = ssl.create_default_context(cafile=servers.certificate("etcd-client",
                                                                    "etcd-client")["ca"])
    with socket.create_connection((servers.address("eu"), servers.port["etcd"]), 2) as raw:
        with pytest.raises(OSError):
            with context.wrap_socket(raw, server_hostname=servers.address("eu")) as tls:
                tls.sendall(b"GET /health HTTP/1.1\r\nHost: etcd\r\n\r\n")
                if tls.recv(100) == b"":
                    raise OSError("closed without an answer")


def test_etcd_elects_another_leader_and_takes_the_old_one_back(servers):
    client = etcd.Client(servers)
    old = client.leader()
    servers.etcd[old].kill()
    new = wait_until("another leader", 20, client.leader)
    assert new != old
    servers.etcd[old].start()
    wait_until("the old member to follow", 20,
               lambda: client.status(old).get("leader") == client.status(new)["leader"])


def test_a_frozen_member_answers_again_after_thawing(servers):
    client = etcd.Client(servers)
    region = next(r for r in servers.regions if r != client.leader())
    servers.etcd[region].freeze()
    with pytest.raises(LabError):
        client.status(region)
    servers.etcd[region].thaw()
    wait_until("the member to answer", 10, lambda: client.status(region))


def test_dns_answers_what_the_api_wrote(servers):
    name = "somewhere.hf.test."
    with pytest.raises(dns.DnsError):
        servers.dns.lookup(name)
    servers.dns.api("PATCH", "/zones/hf.test.", {"rrsets": [
        {"name": name, "type": "A", "ttl": 2, "changetype": "REPLACE",
         "records": [{"content": "127.0.2.1", "disabled": False}]}]})
    assert dns.resolve(name, servers.addresses.dns, servers.port["dns"]) == (["127.0.2.1"], 2)


def test_the_users_database_is_ready_to_adopt(servers):
    server = servers.database
    assert server.query("SHOW data_checksums") == [("on",)]
    assert server.query("SELECT rolsuper, rolreplication FROM pg_roles "
                        "WHERE rolname LIKE 'holdfast%%' ORDER BY rolname", ()) == [
                            (False, False), (False, True)]
    holdfast = server.connect(user="holdfast")
    with holdfast.cursor() as cursor:
        cursor.execute("SELECT pg_switch_wal()")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("SELECT * FROM pg_authid")
    holdfast.close()
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(host=server.address, port=server.port, user="holdfast",
                         dbname="postgres", password="wrong")


def publish(lab, address):
    lab.dns.api("PATCH", "/zones/hf.test.", {"rrsets": [
        {"name": config.NAME, "type": "A", "ttl": 2, "changetype": "REPLACE",
         "records": [{"content": address, "disabled": False}]}]})


def test_the_writer_notes_what_it_was_promised_and_the_ledger_finds_what_is_missing(servers):
    publish(servers, servers.address("eu"))
    writer = servers.start_writer("probe")
    wait_until("200 acknowledged rows", 20,
               lambda: len(ledger.Log(writer.ledger).acked) >= 200)
    servers.database.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                           "WHERE application_name = 'writer-probe'")
    seen = len(ledger.Log(writer.ledger).acked)
    wait_until("100 more after a lost connection", 20,
               lambda: len(ledger.Log(writer.ledger).acked) >= seen + 100)
    assert writer.stop() == 0
    log = ledger.Log(writer.ledger)
    assert [kind for _at, kind, _n, _text in log.events].count("connect") >= 2
    found = ledger.Comparison(log, ledger.rows(servers.database, "probe"))
    assert (found.lost, found.invented, found.altered) == ([], [], []) and found.acked >= 300
    servers.database.query("DELETE FROM ledger WHERE n = 77", database="app")
    servers.database.query("INSERT INTO ledger (client, n) VALUES ('probe', 1000000)",
                           database="app")
    servers.database.query("UPDATE ledger SET filler = overlay(filler PLACING '?' FROM 50) "
                           "WHERE n = 78", database="app")
    found = ledger.Comparison(log, ledger.rows(servers.database, "probe"))
    assert (found.lost, found.invented, found.altered) == ([77], [1000000], [78])


def test_killing_a_region_ends_every_process_of_it_and_no_other(servers):
    server = servers.database
    backend = server.query("SELECT pg_backend_pid()")[0][0]
    postmaster = servers.postmaster("eu")
    others = [servers.etcd[r].pid for r in ("us", "ap")]
    assert len(servers.postgres_processes("eu")) > 4
    assert servers.kill_region("eu") > 5
    assert not is_alive(postmaster) and not is_alive(backend)
    assert processes_below(servers.region_dir("eu")) == []
    assert all(is_alive(pid) for pid in others)
    assert etcd.Client(servers).leader() in ("us", "ap") or wait_until(
        "a leader of the two that are left", 20, etcd.Client(servers).leader)
    if os.getuid() == 0:
        assert os.stat(os.path.join(servers.region_dir("eu"), "store")).st_mode & 0o777 == 0
    servers.start_region("eu")
    wait_until("the killed member to come back", 20, lambda: etcd.Client(servers).status("eu"))


def test_history_takes_its_owner(servers):
    connection = servers.history.connect(database="holdfast", user="holdfast")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE probe (x int)")
        cursor.execute("DROP TABLE probe")
    connection.close()


def test_s3_keeps_what_it_acknowledged_through_a_kill(s3_servers):
    gateway = s3_servers.gateways["us"]
    client = gateway.client()
    body = os.urandom(300_000)
    client.put_object(Bucket="holdfast", Key="probe", Body=body)
    for daemon in gateway.daemons.values():
        daemon.kill()
    with pytest.raises(Exception):
        client.get_object(Bucket="holdfast", Key="probe")
    began = time.monotonic()
    gateway.start().ready()
    assert gateway.client().get_object(Bucket="holdfast", Key="probe")["Body"].read() == body
    print(f"gateway back after {time.monotonic() - began:.1f} s")


def test_s3_refuses_a_wrong_secret(s3_servers):
    import boto3
    from botocore.exceptions import ClientError
    gateway = s3_servers.gateways["eu"]
    wrong = boto3.client("s3", endpoint_url=gateway.endpoint, region_name=gateway.signing_region,
                         aws_access_key_id=gateway.access_key, aws_secret_access_key="wrong")
    with pytest.raises(ClientError):
        wrong.list_objects_v2(Bucket="holdfast")
