# SPDX-License-Identifier: Apache-2.0
"""Agents with real PostgreSQL under a coordinator that follows a script: what tests of the agent
share."""
import os
import urllib.error
import urllib.request

import psycopg2

from holdfast_lab import config, postgres, programs
from holdfast_lab.process import wait_until
from scripted import ScriptedCoordinator

TTL_S = 3.0


class Scene:
    """One laboratory: a primary's directory in eu, nothing in us; agents under the script."""

    def __init__(self, lab):
        self.lab, self.directory = lab, lab.directory
        postgres.make_user_database(lab, "eu")
        self.down = postgres.make_user_database(lab, "ap")
        self.down.stop()
        tls = lab.certificate("coordinator-eu", "coordinator", "--name", "eu", "--host",
                              lab.address("eu"))
        self.script = ScriptedCoordinator(lab.address("eu"), tls, TTL_S)
        self.epoch = 0
        original = config.agent

        def agent_config(*arguments):
            values = original(*arguments)
            values["coordinators"] = [self.script.url]
            return values
        config.agent = agent_config
        try:
            for region in ("eu", "us", "ap"):
                lab.agents[region] = programs.agent(lab, region)
                for name in ("postgresql", "fencer"):
                    os.symlink(os.path.join(lab.region_dir(region), "agent", "state",
                                            f"{name}.log"), lab.log(f"{region}-state-{name}"))
        finally:
            config.agent = original

    def address(self, region):
        return f"{self.lab.address(region)}:{self.lab.port['postgres']}"

    def lead(self, node, timeline=0):
        """A new epoch for the node, with grants from now on."""
        self.epoch += 1
        self.script.granting = {node: self.epoch}
        self.script.do(node, f"lead-{self.epoch}", "lead", self.epoch, timeline=timeline)
        return self.script.wait_state(node, "primary")

    def prepare(self, node, epoch):
        self.script.do(node, f"prepare-{node}-{epoch}", "prepare", epoch)
        return self.script.wait(node, "a final position", lambda b: b["final_known"] and
                                b["prepared"] == str(epoch))

    def signal_file(self, region):
        return os.path.exists(os.path.join(self.lab.data_dir(region), "standby.signal"))

    def http(self, region, path):
        url = f"http://{self.lab.address(region)}:{self.lab.port['http']}{path}"
        try:
            with urllib.request.urlopen(url, timeout=3) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def query(self, region, sql, database="postgres"):
        return self.lab.server(region).query(sql, database=database)

    def wait_rows(self, region, sql, rows, seconds=10):
        """Waits until the query answers so; a table that is not there yet is waited for too."""
        def answers():
            try:
                return self.query(region, sql) == rows
            except psycopg2.Error:
                return False
        wait_until(f"{rows} of {sql} in {region}", seconds, answers)
