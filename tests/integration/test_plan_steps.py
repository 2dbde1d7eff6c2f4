# SPDX-License-Identifier: Apache-2.0
"""A coordinator dies as it enters each step of a failover; the next leader carries the plan to its
end. The steps come from the program: one that no test tries fails the module."""
import os
import subprocess
import time

import pytest
from conftest import build_dir
from holdfast_lab.process import LabError, wait_until
from watch import Client, assert_loss_as_predicted, epoch, finished, healthy

pytestmark = pytest.mark.cluster


def steps():
    program = os.path.join(build_dir(), "holdfast-coordinator")
    if not os.path.exists(program):
        return []
    return subprocess.run([program, "--list-steps"], check=True, capture_output=True,
                          text=True).stdout.split()


STEPS = steps()
TRIED = set()


def lead_with_fault(lab, region, fault):
    """Makes this region's coordinator lead, with a fault point armed; the others are clean."""
    others = [r for r in lab.regions if r != region]
    lab.coordinators[region].stop()
    lab.coordinators[region].start(env={"HF_FAULT": fault})
    for other in others:
        lab.coordinators[other].stop()
    wait_until(f"{region} to lead", 30, lambda: lab.api.get("/v1/version", region)
               .get("leader") == region, 0.1)
    for other in others:
        lab.coordinators[other].start()
    wait_until("agents to be connected again", 30, lambda: all(
        n["ok"] for n in lab.api.get(f"/v1/clusters/{lab.tenant}/{lab.cluster}/status",
                                     region)["nodes"]))


def died_at(lab, leader, step):
    wait_until(f"the coordinator to die at step {step}", 60,
               lambda: not lab.coordinators[leader].running())
    assert lab.coordinators[leader].child.returncode == -9


def ask(lab, what, body):
    """POSTs to whichever coordinator leads by now."""
    def answered():
        status, answer = lab.api.ask(lab.api.leader(), "POST",
                                     f"/v1/clusters/{lab.tenant}/{lab.cluster}{what}", body)
        if status != 202:
            raise LabError(f"{status}: {answer}")
        return answer
    return wait_until(f"POST {what} to be accepted", 30, answered, 0.3)


def crash(lab, victim, leader, step):
    """Most steps: the primary's postmaster is gone."""
    known = len(lab.api.operations("failover"))
    lab.kill_postmaster(victim)
    died_at(lab, leader, step)
    return finished(lab, after=known, seconds=90)


def confirmed(lab, victim, leader, step):
    """The policy asks: the plan waits for a person, also under the next leader."""
    lab.apply_policy(mode="ask")
    try:
        known = len(lab.api.operations("failover"))
        lab.kill_postmaster(victim)
        died_at(lab, leader, step)
        time.sleep(2 * 3.0)
        waiting = lab.api.operations("failover")[0]
        assert waiting["state"] == "running"
        said = lab.operator.run("failover", "run", f"{lab.tenant}/{lab.cluster}").stdout
        assert waiting["id"] in said
        return finished(lab, after=known, seconds=90)
    finally:
        lab.apply_policy()


def failed(lab, victim, leader, step):
    """A person's choice dies before it can be chosen: that plan fails, under the next leader, and
    the plan after it takes whoever is there."""
    wish = next(r for r in lab.regions if r not in (victim, leader))
    known = {o["id"] for o in lab.api.operations("failover")}
    first = ask(lab, "/failover/run", {"to": lab.node(wish), "epoch": str(epoch(lab))})["operation"]
    lab.agents[wish].freeze()
    try:
        died_at(lab, leader, step)
        assert finished(lab, first, seconds=60)["result"] == "failed"

        def another():
            return next((o["id"] for o in lab.api.operations("failover")
                         if o["id"] not in known | {first}), None)
        second = finished(lab, wait_until("the next plan", 60, another, 0.2), seconds=90)
        assert second["result"] == "done" and second["to"] != lab.node(wish), second
        assert int(second["epoch"]) > int(lab.api.operation(first)["epoch"])
        return second
    finally:
        lab.agents[wish].thaw()


def switched(lab, victim, leader, step):
    """A person moves the primary; the leader that took the request dies with the plan's record."""
    wish = next(r for r in lab.regions if r not in (victim, leader))
    known = len(lab.api.operations("switchover"))
    path = f"/v1/clusters/{lab.tenant}/{lab.cluster}/switchover/run"
    body = {"to": lab.node(wish), "epoch": str(epoch(lab))}

    def begun():
        """Until it is accepted; the answer may have died with the leader."""
        try:
            status, _ = lab.api.ask(leader, "POST", path, body)
        except LabError:
            status = 0
        return status == 202 or not lab.coordinators[leader].running()
    wait_until("the switchover to begin", 30, begun, 0.3)
    died_at(lab, leader, step)
    operation = finished(lab, after=known, kind="switchover", seconds=90)
    assert operation["to"] in (lab.node(wish), lab.node(victim))
    return operation


PROVOKE = {"confirm": confirmed, "failed": failed, "drain": switched, "stop": switched}


@pytest.mark.parametrize("step", STEPS)
def test_failover_survives_its_coordinator(cluster, step):
    TRIED.add(step)
    victim = healthy(cluster)
    leader = next(r for r in cluster.regions if r != victim)
    lead_with_fault(cluster, leader, f"plan.step.{step}=kill")
    with Client(cluster, f"step-{step}") as client:
        operation = PROVOKE.get(step, crash)(cluster, victim, leader, step)
        assert operation["result"] == "done", operation
        client.more(30)
        assert_loss_as_predicted(client, operation, healthy(cluster))
    cluster.coordinators[leader].start()


def test_every_step_was_tried(request):
    assert STEPS, "the coordinator lists no steps"
    chosen = {item.callspec.params["step"] for item in request.session.items
              if getattr(item, "callspec", None) and "step" in item.callspec.params}
    assert TRIED == chosen
    if not request.config.option.keyword:
        assert TRIED == set(STEPS)
