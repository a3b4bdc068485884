"""The end: people label the rest, the project gets back what it had, the report is made final."""

from __future__ import annotations

import logging
from dataclasses import replace

from backend.campaign import events, history
from backend.campaign.state import Phase, State
from backend.label_studio import queue as label_queue
from backend.steps.ports import Heartbeat, Services
from backend.steps.serve import close_second, give_back_unrecorded
from backend.views.report import make_report

logger = logging.getLogger(__name__)


def finish(services: Services, state: State, heartbeat: Heartbeat) -> None:
    """Tidy up in Label Studio, then record ``finished``: after it nobody visits the project any more."""
    tidy(services, state, heartbeat)
    report = make_report(replace(state, phase=Phase.FINISHED), services.now())
    services.store.append(state.campaign_id, [history.new(events.Finished(report=dict(report)))], expected_seq=state.last_seq, ends=True)
    services.images.discard(state.campaign_id)
    saved = 100 * (report["savings"] or 0.0)
    logger.info("campaign %d: finished: %d machine labels, savings %.0f %%", state.campaign_id, report["n_machine"], saved)


def tidy(services: Services, state: State, heartbeat: Heartbeat) -> None:
    """Give the project its own settings back, unlock the sentinel and delete the queues' predictions. Safe to repeat."""
    if state.created is None:
        return
    close_second(services, state)
    if state.asked_again:  # nobody more is asked
        services.label_studio.set_overlap(state.project_id, list(state.asked_again), 1)
    label_queue.restore(services.label_studio, state.project_id, state.created.project_before, state.sentinel_id, state.control)
    give_back_unrecorded(services, state)
    for queue in state.queues:
        if queue.ids and (queue.kind != "residual" or queue.suggestions):
            heartbeat()
            services.label_studio.delete_predictions(state.project_id, queue.model_version)
