"""What Label Studio sends, many times over. Read by locust in an environment of its own, which has nothing of ours.

``LOAD`` in the environment is JSON: ``project``, ``tasks`` (their ids), ``secret`` (of the webhook), ``login`` (user and password),
``requests`` (how many in all; 0: until the time is over), ``results`` (the file for what came out: locust's own is written once a second,
and lacks what was answered after that).
"""

import itertools
import json
import os
import random
from pathlib import Path

import gevent
from locust import FastHttpUser, constant, events, task
from locust.exception import StopUser

LOAD = json.loads(os.environ["LOAD"])
CONFIG = '<View><Image name="image" value="$image"/><Choices name="label" toName="image"><Choice value="0"/></Choices></View>'
EVENTS = ["ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED", "TASKS_CREATED", "PROJECT_UPDATED", "NO_SUCH_EVENT"]
made, seeds = itertools.count(), itertools.count()


@events.quitting.add_listener
def keep(environment, **_):
    """Write one row for each kind of request: name, sent, failed, p50, p95, p99 and slowest in ms, per second."""
    rows = [
        [one.name, one.num_requests, one.num_failures]
        + [one.get_response_time_percentile(share) for share in (0.5, 0.95, 0.99)]
        + [round(one.max_response_time), round(one.total_rps)]
        for one in environment.stats.entries.values()
    ]
    Path(LOAD["results"]).write_text(json.dumps(sorted(rows)))


class Caller(FastHttpUser):
    abstract = True
    wait_time = constant(0)

    def on_start(self):
        self.chance = random.Random(next(seeds))
        self.sent = []

    def counted(self):
        if LOAD["requests"] and next(made) >= LOAD["requests"]:
            gevent.spawn(self.environment.runner.quit)  # not from here: it ends this caller before it has ended the rest
            raise StopUser

    def webhook(self):
        """One of three is the repeat of an earlier event; the others are new, out of order, of this project or of unknown ones."""
        if self.sent and self.chance.random() < 1 / 3:
            body = self.chance.choice(self.sent)
        else:
            project = LOAD["project"] if self.chance.random() < 0.8 else self.chance.randrange(1, 10**9)
            annotation = {"id": self.chance.randrange(1, 10**9), "task": self.chance.choice([*LOAD["tasks"], 10**9])}
            body = {"action": self.chance.choice(EVENTS), "project": {"id": project, "title": "x" * 500}, "annotation": annotation}
            self.sent = [*self.sent[-20:], body]
        self.client.post("/webhook", json=body, headers={"X-MCAL-Secret": LOAD["secret"]}, name="webhook")

    def health(self):
        self.client.get("/health", name="health")

    def predict(self):
        tasks = [{"id": id, "data": {"image": f"/data/{id}.png"}, "annotations": []} for id in LOAD["tasks"][:100]]
        body = {"tasks": tasks, "project": f"{LOAD['project']}.1", "label_config": CONFIG, "params": {}}
        self.client.post("/predict", json=body, auth=tuple(LOAD["login"]), name="predict, 100 tasks")

    def setup_(self):
        body = {
            "project": f"{LOAD['project']}.1",
            "schema": CONFIG,
            "hostname": "http://localhost",
            "access_token": "x",
            "extra_params": None,
        }
        self.client.post("/setup", json=body, auth=tuple(LOAD["login"]), name="setup")


class Webhooks(Caller):
    @task
    def one(self):
        self.counted()
        self.webhook()


class Predictions(Caller):
    @task
    def one(self):
        self.counted()
        self.predict()


class Everything(Caller):
    @task(60)
    def event(self):
        self.counted()
        self.webhook()

    @task(20)
    def alive(self):
        self.counted()
        self.health()

    @task(15)
    def ask(self):
        self.counted()
        self.predict()

    @task(5)
    def begin(self):
        self.counted()
        self.setup_()
