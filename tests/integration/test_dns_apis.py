# SPDX-License-Identifier: Apache-2.0
"""Cloudflare and Route 53 by their APIs, at fakes that check every request (Route 53's the whole
signature) and at authoritative servers that answer what was set; failures as the APIs have them."""
import os
import subprocess
import sys

import pytest
from conftest import TOP, build_dir
from holdfast_lab import config
from holdfast_lab.process import clean_environment

sys.path.insert(0, os.path.join(TOP, "tests", "fakes"))

from dns_apis import Cloudflare, Route53, signature  # noqa: E402


class Scene:
    def __init__(self, directory, fake, settings, secret, environment=None):
        self.directory, self.fake, self.settings = directory, fake, settings
        self.environment = environment or {}
        self.secret = os.path.join(directory, "secret")
        if secret is not None:
            self.write(secret)

    def write(self, text, mode=0o600):
        with open(self.secret, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(self.secret, mode)

    def run(self, how, value, name="db.hf.test.", seconds=15, kind="A", ttl=60, stdin="go\n",
            **changes):
        path = os.path.join(self.directory, "coordinator.yaml")
        provider = {**self.settings, "url": self.fake.url, "zone": "hf.test.", "timeout": "2s",
                    "authoritative": [self.fake.authoritative.address], **changes}
        with open(path, "w", encoding="utf-8") as f:
            f.write(config.dump({
                "version": 1, "name": "eu", "region": "eu",
                "tls": {"ca": "ca.pem", "certificate": "c.pem", "key": "c.key"},
                "agents": {"listen": "127.0.0.1:1"}, "users": {"listen": "127.0.0.1:2"},
                "etcd": {"endpoints": ["http://127.0.0.1:3"]},
                "dns": {"api": {k: v for k, v in provider.items() if v is not None}}}))
        done = subprocess.run(
            [os.path.join(build_dir(), "route_probe"), path, "api", name, kind, value, str(ttl),
             str(seconds), how], input=stdin, capture_output=True, text=True, timeout=90,
            check=False, env=clean_environment("", self.environment))
        assert done.returncode in (0, 1), done.stderr
        for secret in ("token-of-the-test", "secret/of+the/test"):
            assert secret not in done.stdout + done.stderr
        return done.stdout.strip()


@pytest.fixture
def cloudflare(tmp_path):
    fake = Cloudflare()
    yield Scene(str(tmp_path), fake, {"type": "cloudflare", "token_file": "secret",
                                      "zone_id": fake.zone_id}, fake.token + "\n")
    fake.close()


@pytest.fixture
def route53(tmp_path):
    fake = Route53()
    yield Scene(str(tmp_path), fake, {"type": "route53", "credentials": "secret",
                                      "zone_id": fake.zone_id, "sync_timeout": "10s"},
                f"access_key_id = {fake.key_id}\nsecret_access_key = {fake.secret}\n")
    fake.close()


# -- Cloudflare ---------------------------------------------------------------------------------

def test_cloudflare_makes_moves_and_leaves_alone(cloudflare):
    fake = cloudflare.fake
    fake.add("A", "other.hf.test", "127.9.9.9", 60)
    assert cloudflare.run("task", "127.1.1.1") == "done"
    assert fake.records[("db.hf.test", "A")] == (60, ["127.1.1.1"])
    assert cloudflare.run("task", "127.1.2.1") == "done"
    assert fake.records[("db.hf.test", "A")] == (60, ["127.1.2.1"])
    assert [m for m, _ in fake.writes()] == ["POST", "PATCH"]
    assert cloudflare.run("task", "127.1.2.1") == "done"
    assert len(fake.writes()) == 2
    assert fake.records[("other.hf.test", "A")] == (60, ["127.9.9.9"])


def test_cloudflare_other_types_and_a_zone_by_name(cloudflare):
    assert cloudflare.run("task", "2001:db8::1", kind="AAAA", zone_id=None) == "done"
    assert cloudflare.run("task", "node.hf.test.", name="cn.hf.test.", kind="CNAME",
                          zone_id=None) == "done"
    assert cloudflare.fake.rows[1]["content"] == "node.hf.test"
    assert cloudflare.run("task", "node.hf.test.", name="cn.hf.test.", kind="CNAME") == "done"
    assert len(cloudflare.fake.writes()) == 2


def test_cloudflare_a_proxied_record_is_made_a_plain_one(cloudflare):
    cloudflare.fake.add("A", "db.hf.test", "127.1.1.1", 1, proxied=True)
    said = cloudflare.run("once", "127.1.1.1").splitlines()
    assert said == ["read found=0 count=1 ttl=300 first=127.1.1.1", "set"]
    assert cloudflare.fake.rows[0]["proxied"] is False
    assert cloudflare.run("task", "127.1.1.1") == "done"


@pytest.mark.parametrize("change, wanted", [
    ({"token": "of another"}, "denied: Cloudflare answered 403: Invalid access token (code 9109)"),
    ({"zone_id": "0" * 32}, "not_found: Cloudflare answered 404: Could not route"),
    ({"zone": "else.test.", "zone_id": None}, "not_found: Cloudflare shows 0 zones else.test."),
    ({"minimum": 120}, "refused: Cloudflare answered 400: Invalid TTL."),
    ({"failures": [500]}, "again: Cloudflare answered 500"),
    ({"failures": [429]}, "again: Cloudflare answered 429"),
    ({"failures": ["drop"]}, "timeout: Cloudflare"),
    ({"url": "http://127.0.0.1:1"}, "unreachable: Cloudflare"),
])
def test_cloudflare_says_why_not(cloudflare, change, wanted):
    if "token" in change:
        cloudflare.write("token-of-another\n")
    cloudflare.fake.minimum = change.get("minimum", 1)
    cloudflare.fake.failures = change.get("failures", [])
    provider = {k: v for k, v in change.items() if k in ("zone_id", "zone", "url")}
    assert wanted in cloudflare.run("once", "127.1.1.1", **provider)
    assert cloudflare.fake.rows == []


def test_cloudflare_secrets_are_private_and_one_line(cloudflare):
    cloudflare.write("token", mode=0o644)
    assert cloudflare.run("once", "127.1.1.1").startswith("denied: ")
    cloudflare.write("token\nX-Other: header\n")
    assert "is not one line" in cloudflare.run("once", "127.1.1.1")
    assert cloudflare.fake.requests == []


def test_cloudflare_does_not_touch_what_it_cannot_mean(cloudflare):
    cloudflare.fake.add("A", "db.hf.test", "127.1.1.1", 60)
    cloudflare.fake.add("A", "db.hf.test", "127.1.2.1", 60)
    assert "has 2 records of type A" in cloudflare.run("once", "127.1.1.1")
    assert cloudflare.fake.writes() == []


def test_cloudflare_failures_pass(cloudflare):
    cloudflare.fake.failures = [503, 429, "drop", 500]
    assert cloudflare.run("task", "127.1.1.1", seconds=30) == "done"


# -- Route 53 -----------------------------------------------------------------------------------

def test_the_fake_computes_signatures_as_published():
    """AWS's test suite for version 4, case get-vanilla."""
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert signature("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1", "service", (
        "GET", "/", "", [("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")],
        empty, "20150830T123600Z")) == \
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"


def test_route53_sets_and_waits_until_it_is_in_sync(route53):
    fake = route53.fake
    fake.looks = 2
    fake.add("A", "dba.hf.test.", ["127.9.9.9"], 60)
    fake.add("TXT", "db.hf.test.", ['"text"'], 60)
    assert route53.run("task", "127.1.1.1", ttl=2) == "done"
    assert fake.records[("db.hf.test", "A")] == (2, ["127.1.1.1"])
    looks = [p for m, p in fake.requests if "/change/" in p]
    assert looks == ["/2013-04-01/change/C1EXAMPLE"] * 3
    assert route53.run("task", "127.1.1.1", ttl=2) == "done"
    assert len(fake.writes()) == 1
    assert route53.run("task", "127.1.2.1", ttl=2) == "done"
    assert fake.records[("db.hf.test", "A")] == (2, ["127.1.2.1"])
    assert fake.records[("dba.hf.test", "A")] == (60, ["127.9.9.9"])


def test_route53_other_types_and_a_high_ttl(route53):
    fake = route53.fake
    fake.add("A", "db.hf.test.", ["127.1.1.1"], 3600)
    said = route53.run("once", "127.1.1.1", ttl=2).splitlines()
    assert said == ["read found=0 count=1 ttl=3600 first=127.1.1.1", "set"]
    assert route53.run("task", "2001:db8::1", kind="AAAA") == "done"
    assert route53.run("task", "node.hf.test.", name="cn.hf.test.", kind="CNAME") == "done"


@pytest.mark.parametrize("token", [None, "session+token/of=the test".replace(" ", "-")])
def test_route53_takes_credentials_of_the_environment(tmp_path, token):
    fake = Route53(session_token=token)
    environment = {"AWS_ACCESS_KEY_ID": fake.key_id, "AWS_SECRET_ACCESS_KEY": fake.secret,
                   **({"AWS_SESSION_TOKEN": token} if token else {})}
    scene = Scene(str(tmp_path), fake, {"type": "route53", "zone_id": fake.zone_id}, None,
                  environment)
    assert scene.run("task", "127.1.1.1") == "done"
    scene.environment = {"AWS_ACCESS_KEY_ID": fake.key_id}
    assert "AWS_SECRET_ACCESS_KEY are not both" in scene.run("once", "127.1.1.1")
    fake.close()


@pytest.mark.parametrize("change, wanted", [
    ({"secret": "other"}, "denied: Route 53 answered 403: SignatureDoesNotMatch"),
    ({"key_id": "AKIDOTHER"}, "denied: Route 53 answered 403: InvalidClientTokenId"),
    ({"skew_s": 900}, "denied: Route 53 answered 403: SignatureDoesNotMatch: Signature expired"),
    ({"region": "cn-north-1"}, "denied: Route 53 answered 403: SignatureDoesNotMatch"),
    ({"zone_id": "Z1OTHER"}, "not_found: Route 53 answered 404: NoSuchHostedZone"),
    ({"failures": [500]}, "again: Route 53 answered 500"),
    ({"failures": ["drop"]}, "timeout: Route 53"),
    ({"looks": 1000}, "timeout: Route 53: change C1EXAMPLE was not in sync within 3 s"),
])
def test_route53_says_why_not(route53, change, wanted):
    for name, value in change.items():
        setattr(route53.fake, name, value)
    assert wanted in route53.run("once", "127.1.1.1", sync_timeout="3s")
    assert route53.fake.records == {}


def test_route53_a_name_outside_the_zone_is_refused(route53):
    said = route53.run("once", "127.1.1.1", name="db.else.test.")
    assert "InvalidChangeBatch: RRSet with DNS name db.else.test. is not permitted" in said


def test_route53_a_look_that_fails_is_not_the_end(route53):
    route53.fake.looks = 3
    route53.fake.failures = [None, None, 500, "drop"]
    assert route53.run("once", "127.1.1.1").splitlines()[-1] == "set"
    assert len(route53.fake.writes()) == 1


@pytest.mark.parametrize("more, wanted", [
    ({"identifier": "first"}, "of a routing policy, set identifier first"),
    ({"alias": "lb.example."}, "is an alias"),
    ({"values": ["127.1.1.1", "127.1.2.1"]}, "has 2 records of type A"),
])
def test_route53_does_not_touch_what_it_cannot_mean(route53, more, wanted):
    route53.fake.add("A", "db.hf.test.", more.pop("values", ["127.1.1.1"]), 60, **more)
    assert wanted in route53.run("once", "127.1.9.1")
    assert route53.fake.writes() == []


def test_route53_what_is_not_an_answer_is_an_error(route53):
    route53.fake.handle = lambda *_: (200, "<html>a proxy's page</html>")
    assert "not a list of record sets" in route53.run("once", "127.1.1.1")
    route53.fake.handle = lambda *_: (200, "no XML at all")
    assert route53.run("once", "127.1.1.1").startswith("corrupt: ")
