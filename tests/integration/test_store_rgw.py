# SPDX-License-Identifier: Apache-2.0
"""The object stores by their whole contract: a directory, and a real S3 server. The store_probe
program of the build exercises it; here its surroundings are made."""
import os
import subprocess

from conftest import build_dir
from holdfast_lab import config

CHECKS = ["conditional yes", "objects", "ranges", "streams", "lists", "races", "emptied"]


def probe(*arguments):
    return subprocess.run([os.path.join(build_dir(), "store_probe"), *arguments],
                          capture_output=True, text=True, timeout=300, check=False)


def credentials(directory, access_key, secret_key, mode=0o600):
    path = os.path.join(directory, f"{access_key}.cred")
    with open(path, "w", encoding="ascii") as f:
        os.fchmod(f.fileno(), mode)
        f.write(f"access_key_id = {access_key}\nsecret_access_key = {secret_key}\n")
    return path


def assert_all_checks(done):
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [f"ok {check}" for check in CHECKS]


def s3_arguments(gateway, file, prefix):
    return ("s3", gateway.endpoint, config.BUCKET, gateway.signing_region, file, prefix)


def test_a_directory_keeps_the_contract(tmp_path):
    assert_all_checks(probe("posix", str(tmp_path), "lab/probe"))


def test_a_real_s3_server_keeps_the_contract(s3_servers, tmp_path):
    gateway = s3_servers.gateways["eu"]
    file = credentials(str(tmp_path), gateway.access_key, gateway.secret_key)
    assert_all_checks(probe(*s3_arguments(gateway, file, "probe")))
    # another client agrees that nothing is left
    listed = gateway.client().list_objects_v2(Bucket=config.BUCKET, Prefix="probe/")
    assert listed["KeyCount"] == 0
    uploads = gateway.client().list_multipart_uploads(Bucket=config.BUCKET)
    assert not uploads.get("Uploads")


def test_a_wrong_secret_is_refused_and_not_told(s3_servers, tmp_path):
    gateway = s3_servers.gateways["eu"]
    file = credentials(str(tmp_path), gateway.access_key, "not-the-secret-at-all")
    done = probe(*s3_arguments(gateway, file, "wrong"))
    assert done.returncode == 1
    assert "check credentials" in done.stdout and "HTTP 403" in done.stdout
    assert "not-the-secret-at-all" not in done.stdout + done.stderr


def test_a_missing_bucket_is_not_an_absent_object(s3_servers, tmp_path):
    gateway = s3_servers.gateways["eu"]
    file = credentials(str(tmp_path), gateway.access_key, gateway.secret_key)
    done = probe("s3", gateway.endpoint, "no-such-bucket", gateway.signing_region, file, "p")
    assert done.returncode == 1
    assert "the bucket does not exist" in done.stdout


def test_a_secret_that_others_may_read_is_refused(tmp_path):
    file = credentials(str(tmp_path), "someone", "something", mode=0o644)
    done = probe("s3", "http://127.0.0.1:1", "bucket", "eu-1", file, "p")
    assert done.returncode == 1
    assert "mode 0644" in done.stdout and "0600" in done.stdout
