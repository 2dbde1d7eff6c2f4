# SPDX-License-Identifier: Apache-2.0
"""The coordinators' API (docs/api.md) as a script would use it: https, a user's certificate."""
import http.client
import json
import ssl

from .process import LabError


class Refused(LabError):
    """An answer that is not a success; .code is the API's error code."""

    def __init__(self, status, body):
        error = body.get("error", {}) if isinstance(body, dict) else {}
        self.status, self.code = status, error.get("code", "")
        super().__init__(f"HTTP {status} {self.code}: {error.get('message', '')}")


class Api:
    def __init__(self, lab, tls):
        self.lab = lab
        self.context = ssl.create_default_context(cafile=tls["ca"])
        if tls.get("certificate"):
            self.context.load_cert_chain(tls["certificate"], tls["key"])

    def ask(self, region, method, path, body=None, headers=None, timeout=5.0):
        """One request to one region's coordinator: status and decoded body."""
        connection = http.client.HTTPSConnection(
            self.lab.address(region), self.lab.port["users"], timeout=timeout,
            context=self.context)
        try:
            connection.request(method, path, None if body is None else json.dumps(body),
                               {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            text = answer.read()
            try:
                return answer.status, json.loads(text) if text else {}
            except ValueError:
                return answer.status, text.decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise LabError(f"coordinator {region}: {error}") from error
        finally:
            connection.close()

    def get(self, path, region=None):
        """The answer of the first coordinator that gives one."""
        last = LabError("no coordinator was asked")
        for name in [region] if region else self.lab.regions:
            try:
                status, body = self.ask(name, "GET", path)
            except LabError as error:
                last = error
                continue
            if status == 200:
                return body
            last = Refused(status, body)
        raise last

    def cluster(self, what=""):
        return self.get(f"/v1/clusters/{self.lab.tenant}/{self.lab.cluster}{what}")

    def operations(self, kind=None):
        found = self.cluster("/operations")["operations"]
        return [o for o in found if kind is None or o["kind"] == kind]

    def operation(self, identity):
        return self.cluster(f"/operations/{identity}")

    def backups(self):
        return self.cluster("/backups")["backups"]

    def leader(self):
        """Region of the leading coordinator, or None."""
        return self.get("/v1/version").get("leader")
