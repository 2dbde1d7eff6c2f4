# SPDX-License-Identifier: Apache-2.0
"""The DNS APIs of Cloudflare and Route 53 as far as a provider uses them: strict about what they
are asked, with authoritative servers that answer what was set, and able to fail as asked."""
import hashlib
import hmac
import http.server
import json
import re
import threading
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree

from authoritative import Authoritative

NAMESPACE = "https://route53.amazonaws.com/doc/2013-04-01/"


class Api:
    """An HTTP server whose answers come from handle(method, path, query, headers, body), which
    gives a status and a body. failures: statuses (or "drop") for the next requests."""

    def __init__(self):
        self.records, self.requests, self.failures = {}, [], []
        self.authoritative = Authoritative(self.records)
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                path, _, query = self.path.partition("?")
                fake.requests.append((self.command, self.path))
                failure = fake.failures.pop(0) if fake.failures else None
                if failure == "drop":
                    self.close_connection = True
                    return
                if failure:
                    status, text = failure, "busy"
                else:
                    status, text = fake.handle(self.command, path, query, self.headers, body)
                data = text.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.authoritative.close()

    def writes(self):
        return [r for r in self.requests if r[0] != "GET"]


class Cloudflare(Api):
    """One zone, hf.test; records have ids, of which a new one is made with each record."""

    zone, zone_id, token = "hf.test", "023e105f4ecef8ad9ca31a8372d0c353", "token-of-the-test"

    def __init__(self):
        super().__init__()
        self.rows, self.made = [], 0
        self.minimum = 1

    def add(self, kind, name, content, ttl, proxied=False):
        self.made += 1
        self.rows.append({"id": f"{self.made:032x}", "type": kind, "name": name,
                          "content": content, "ttl": ttl, "proxied": proxied})
        self._publish()
        return self.rows[-1]

    def _publish(self):
        self.records.clear()
        for row in self.rows:
            values = ["198.18.0.1"] if row["proxied"] else [row["content"]]
            known = self.records.get((row["name"], row["type"]), (0, []))[1]
            self.records[(row["name"], row["type"])] = (row["ttl"], known + values)

    @staticmethod
    def _yes(result):
        return 200, json.dumps({"success": True, "errors": [], "messages": [], "result": result})

    @staticmethod
    def _no(status, code, message):
        return status, json.dumps({"success": False, "result": None,
                                   "errors": [{"code": code, "message": message}]})

    def handle(self, method, path, query, headers, body):
        if headers.get("Authorization") != f"Bearer {self.token}":
            return self._no(403, 9109, "Invalid access token")
        asked = dict(urllib.parse.parse_qsl(query))
        if path == "/zones" and method == "GET":
            found = [{"id": self.zone_id, "name": self.zone}] if asked["name"] == self.zone else []
            return self._yes(found)
        match = re.fullmatch(r"/zones/([0-9a-f]+)/dns_records(?:/([0-9a-f]+))?", path)
        if not match or match.group(1) != self.zone_id:
            return self._no(404, 7003, "Could not route to the zone")
        if method == "GET":
            return self._yes([r for r in self.rows if r["name"] == asked["name"]
                              and r["type"] == asked["type"]])
        change = json.loads(body)
        assert set(change) == {"type", "name", "content", "ttl", "proxied"}, change
        if change["ttl"] < self.minimum:
            return self._no(400, 9021, "Invalid TTL. Must be between 60 and 86400 seconds")
        if method == "POST":
            return self._yes(self.add(change["type"], change["name"], change["content"],
                                      change["ttl"], change["proxied"]))
        row = next((r for r in self.rows if r["id"] == match.group(2)), None)
        if method != "PATCH" or row is None:
            return self._no(404, 81044, "Record does not exist.")
        row.update(change)
        self._publish()
        return self._yes(row)


def signature(secret, region, service, request):
    """AWS Signature Version 4 of (method, path, query, signed headers with values, body hash,
    stamp), as the documentation's pseudo code has it."""
    method, path, query, headers, payload, stamp = request
    pairs = sorted(urllib.parse.parse_qsl(query, keep_blank_values=True))
    canonical_query = "&".join(f"{urllib.parse.quote(k, safe='-_.~')}="
                               f"{urllib.parse.quote(v, safe='-_.~')}" for k, v in pairs)
    canonical = "\n".join([
        method, urllib.parse.quote(path, safe="/-_.~"), canonical_query,
        "".join(f"{name}:{' '.join(value.split())}\n" for name, value in headers),
        ";".join(name for name, _ in headers), payload])
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope,
                      hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4" + secret.encode()
    for part in (stamp[:8], region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


class Route53(Api):
    """One hosted zone. looks: how many times GetChange says PENDING before INSYNC; the
    authoritative servers have a change only then."""

    zone_id, key_id, secret, region = "Z0EXAMPLE1", "AKIDEXAMPLE", "secret/of+the/test", "us-east-1"

    def __init__(self, looks=1, session_token=None):
        super().__init__()
        self.sets, self.changes, self.looks = [], {}, looks
        self.session_token = session_token
        self.skew_s = 0

    def add(self, kind, name, values, ttl, **more):
        self.sets.append({"name": name, "type": kind, "ttl": ttl, "values": values, **more})
        self._publish()

    def _publish(self):
        self.records.clear()
        for one in self.sets:
            self.records[(one["name"].rstrip("."), one["type"])] = (one["ttl"], one["values"])

    @staticmethod
    def _error(status, code, message):
        return status, (f'<?xml version="1.0"?>\n<ErrorResponse xmlns="{NAMESPACE}"><Error>'
                        f"<Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>"
                        "</Error><RequestId>b25f48e8</RequestId></ErrorResponse>")

    def _check_signature(self, method, path, query, headers, body):
        match = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/route53/"
                             r"aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?Signature="
                             r"([0-9a-f]{64})", headers.get("Authorization", ""))
        if not match:
            return self._error(403, "MissingAuthenticationToken", "no signature")
        key_id, day, region, names, given = match.groups()
        signed = names.split(";")
        stamp = headers.get("x-amz-date", "")
        if key_id != self.key_id:
            return self._error(403, "InvalidClientTokenId", "The security token is invalid.")
        if self.session_token != headers.get("x-amz-security-token"):
            return self._error(403, "InvalidClientTokenId", "The session token is invalid.")
        at = time.mktime(time.strptime(stamp + "UTC", "%Y%m%dT%H%M%SZ%Z")) - time.timezone
        if abs(time.time() + self.skew_s - at) > 300:
            return self._error(403, "SignatureDoesNotMatch", f"Signature expired: {stamp}")
        wanted = signature(self.secret, self.region, "route53", (
            method, path, query, [(n, headers.get(n, "")) for n in signed],
            hashlib.sha256(body).hexdigest(), stamp))
        needed = {"host", "x-amz-date"} | ({"x-amz-security-token"} if self.session_token
                                           else set())
        if (given != wanted or not needed <= set(signed) or region != self.region
                or not stamp.startswith(day) or signed != sorted(signed)):
            return self._error(403, "SignatureDoesNotMatch", "The signature does not match.")
        return None

    def handle(self, method, path, query, headers, body):
        refused = self._check_signature(method, path, query, headers, body)
        if refused:
            return refused
        if path.startswith("/2013-04-01/change/") and method == "GET":
            return self._look(path.rsplit("/", 1)[1])
        if path != f"/2013-04-01/hostedzone/{self.zone_id}/rrset":
            return self._error(404, "NoSuchHostedZone", "No hosted zone found with that id")
        if method == "GET":
            return self._list(dict(urllib.parse.parse_qsl(query)))
        return self._change(ElementTree.fromstring(body))

    def _list(self, asked):
        """The page that begins at a name and type, as the real one does: others follow."""
        def order(one):
            return list(reversed(one["name"].rstrip(".").split("."))), one["type"]
        begin = (list(reversed(asked["name"].rstrip(".").split("."))), asked["type"])
        page = sorted((s for s in self.sets if order(s) >= begin), key=order)
        text = ""
        for one in page[:int(asked["maxitems"])]:
            text += (f"<ResourceRecordSet><Name>{one['name']}</Name><Type>{one['type']}</Type>")
            if "identifier" in one:
                text += (f"<SetIdentifier>{one['identifier']}</SetIdentifier>"
                         "<Failover>PRIMARY</Failover>")
            if "alias" in one:
                text += (f"<AliasTarget><HostedZoneId>Z2</HostedZoneId><DNSName>{one['alias']}"
                         "</DNSName><EvaluateTargetHealth>false</EvaluateTargetHealth>"
                         "</AliasTarget>")
            else:
                values = "".join(f"<ResourceRecord><Value>{v}</Value></ResourceRecord>"
                                 for v in one["values"])
                text += f"<TTL>{one['ttl']}</TTL><ResourceRecords>{values}</ResourceRecords>"
            text += "</ResourceRecordSet>"
        return 200, (f'<?xml version="1.0"?>\n<ListResourceRecordSetsResponse xmlns="{NAMESPACE}">'
                     f"<ResourceRecordSets>{text}</ResourceRecordSets>"
                     f"<IsTruncated>false</IsTruncated><MaxItems>{asked['maxitems']}</MaxItems>"
                     "</ListResourceRecordSetsResponse>")

    def _info(self, root, identity, status):
        return 200, (f'<?xml version="1.0"?>\n<{root} xmlns="{NAMESPACE}"><ChangeInfo>'
                     f"<Id>/change/{identity}</Id><Status>{status}</Status>"
                     "<SubmittedAt>2026-01-01T00:00:00Z</SubmittedAt></ChangeInfo>"
                     f"</{root}>")

    def _change(self, root):
        def find(where, name):
            return where.find(f".//{{{NAMESPACE}}}{name}")
        assert root.tag == f"{{{NAMESPACE}}}ChangeResourceRecordSetsRequest"
        assert find(root, "Action").text == "UPSERT"
        one = {"name": find(root, "Name").text, "type": find(root, "Type").text,
               "ttl": int(find(root, "TTL").text), "values": [find(root, "Value").text]}
        if not one["name"].endswith("hf.test."):
            return 400, (f'<?xml version="1.0"?>\n<InvalidChangeBatch xmlns="{NAMESPACE}">'
                         f"<Messages><Message>RRSet with DNS name {one['name']} is not permitted "
                         "in zone hf.test.</Message></Messages></InvalidChangeBatch>")
        identity = f"C{len(self.changes) + 1}EXAMPLE"
        self.changes[identity] = [self.looks, one]
        return self._info("ChangeResourceRecordSetsResponse", identity, "PENDING")

    def _look(self, identity):
        if identity not in self.changes:
            return self._error(404, "NoSuchChange", "A change with this id does not exist.")
        left, one = self.changes[identity]
        if left > 0:
            self.changes[identity][0] -= 1
            return self._info("GetChangeResponse", identity, "PENDING")
        self.sets = [s for s in self.sets if (s["name"], s["type"]) != (one["name"], one["type"])]
        self.sets.append(one)
        self._publish()
        return self._info("GetChangeResponse", identity, "INSYNC")
