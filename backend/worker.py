"""The worker: takes hints from the job queue and a timer, and advances campaigns, a few at a time, until it is told to stop."""

from __future__ import annotations

import errno
import logging
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import FrameType
from typing import Protocol

from backend.campaign.state import State, state_of
from backend.jobs import scrub
from backend.label_studio.port import LabelStudioError
from backend.steps import gone
from backend.steps.lease import Stopping
from backend.steps.loop import FULL_CHECK_EVERY, advance, halt
from backend.steps.ports import Services
from backend.store import LeaseLost, StoreUnavailable
from backend.views.status import sentence
from mcal_engine.errors import MCALError

logger = logging.getLogger(__name__)

LONGEST_PAUSE = timedelta(minutes=1)  # between tries while something is wrong
REST_SECONDS = 1.5  # between two visits to one campaign: busy people send many hints, and every visit costs Label Studio some work
PROGRESS_SECONDS = 30.0  # between two log lines of one campaign that only count labels
TRIES = 3  # of the same error that waiting does not mend, before a person is asked
HOW_TO_GO_ON = "See the worker's log, mend the cause, then mcal campaign resume."


class JobQueue(Protocol):
    """:class:`backend.jobs.JobQueue`, as the worker sees it."""

    def enqueue(self, campaign_id: int, reason: str) -> bool: ...

    def run_worker(
        self, handler: Callable[[int], None], poll: Callable[[], None], poll_seconds: float, stop: threading.Event, threads: int
    ) -> None: ...


@dataclass(slots=True)
class _Trouble:
    """What went wrong last with one campaign, how often in a row, and when to try again."""

    text: str
    times: int
    again_at: datetime


@dataclass(frozen=True, slots=True)
class _Told:
    """The last line that was logged about a campaign."""

    line: str
    step: tuple[str, str | None]  # phase and queue
    at: float


@dataclass
class Worker:
    """Advances campaigns. What one campaign runs into leaves the others alone.

    Args:
        services: what the steps work with.
        jobs: where hints wait.
        poll_seconds: between visits to every live campaign, hints or not.
        stop: set it to end; a training is ended, everything else is finished first.
        rest_seconds: between two visits to one campaign.
        campaigns_at_once: how many are visited at the same time, each by one thread; which one, the queue sees to.
        alive: called after each of the timer's rounds that found the database in order.
    """

    services: Services
    jobs: JobQueue
    poll_seconds: float
    stop: threading.Event = field(default_factory=threading.Event)
    rest_seconds: float = REST_SECONDS
    campaigns_at_once: int = 1
    alive: Callable[[], object] = lambda: None
    _looked_at: datetime | None = None
    _visited: dict[int, float] = field(default_factory=dict)
    _troubles: dict[int, _Trouble] = field(default_factory=dict)
    _told: dict[int, _Told] = field(default_factory=dict)

    def run(self) -> None:
        """Work until ``stop`` is set."""
        logger.info("worker: visiting Label Studio every %g s, at %d campaigns at once", self.poll_seconds, self.campaigns_at_once)
        self._sweep()
        self.jobs.run_worker(self.visit, self.wake_all, self.poll_seconds, self.stop, self.campaigns_at_once)
        logger.info("worker: stopped")

    def _sweep(self) -> None:
        store = self.services.store
        try:
            self.services.images.sweep(lambda: [campaign.id for campaign in store.live_campaigns()])
        except StoreUnavailable as error:
            logger.warning("worker: old images were not looked for: %s", error)

    def wake_all(self) -> None:
        """Ask for a visit to every live campaign: what webhooks forgot, the timer does not."""
        for campaign in self.services.store.live_campaigns():
            if not self._waits(campaign.id):
                self.jobs.enqueue(campaign.id, "timer")
        self.alive()
        self._look_after_the_end()

    def _look_after_the_end(self) -> None:
        """Now and then: nobody visits finished campaigns, and their projects may be deleted."""
        now = self.services.now()
        if self._looked_at is not None and now - self._looked_at < FULL_CHECK_EVERY:
            return
        self._looked_at = now
        try:
            gone.look_after_the_end(self.services)
        except MCALError as error:
            logger.warning("worker: projects of finished campaigns were not looked for: %s", scrub(str(error)))

    def visit(self, campaign_id: int) -> None:
        """Advance one campaign; errors are told in one line and tried again later, or handed to a person."""
        if self._waits(campaign_id) or self._rests(campaign_id):
            return
        try:
            state = advance(self.services, campaign_id, self.stop.is_set)
            if state is None and not self.stop.wait(self.rest_seconds):
                # Another worker's visit is on, and may have begun before what this hint is about: a short one is over by now, and a
                # training reads the labels anew at its end.
                state = advance(self.services, campaign_id, self.stop.is_set)
        except (Stopping, LeaseLost) as reason:
            logger.info("campaign %d: %s", campaign_id, reason)
        except LabelStudioError as error:
            self._failed(campaign_id, error, lasting=not error.retryable, mends_itself=True)
        except StoreUnavailable as error:
            self._failed(campaign_id, error, lasting=False)
        except MCALError as error:
            self._failed(campaign_id, error, lasting=not _is_full(error))
        except Exception as error:  # noqa: BLE001 (one campaign's trouble must not end the worker)
            trace = scrub("".join(traceback.format_exception(error)))
            logger.error("campaign %d: unexpected error\n%s", campaign_id, trace)  # noqa: TRY400 (without its secrets)
            self._failed(campaign_id, error, lasting=not _is_full(error))
        else:
            self._troubles.pop(campaign_id, None)
            self._tell(state)
        self._visited[campaign_id] = time.monotonic()

    def _rests(self, campaign_id: int) -> bool:
        """Wait until the last visit is a while ago, and say whether the worker was asked to stop meanwhile. Hints pile up to one."""
        pause = self._visited.get(campaign_id, float("-inf")) + self.rest_seconds - time.monotonic()
        return self.stop.wait(max(pause, 0.0))

    def _waits(self, campaign_id: int) -> bool:
        trouble = self._troubles.get(campaign_id)
        return trouble is not None and self.services.now() < trouble.again_at

    def _failed(self, campaign_id: int, error: Exception, *, lasting: bool, mends_itself: bool = False) -> None:
        text = scrub(f"{error}" if isinstance(error, MCALError) else f"{type(error).__name__}: {error}")
        before = self._troubles.get(campaign_id)
        times = before.times + 1 if before is not None and before.text == text else 1
        pause = min(timedelta(seconds=2.0 ** min(times, 10)), LONGEST_PAUSE)
        self._troubles[campaign_id] = _Trouble(text, times, self.services.now() + pause)
        logger.warning("campaign %d: %s (next try in %.0f s)", campaign_id, text, pause.total_seconds())
        if lasting and times >= TRIES:
            self._give_up(campaign_id, text, mends_itself)

    def _give_up(self, campaign_id: int, reason: str, mends_itself: bool) -> None:
        """Ask a person, once; Label Studio's refusals are tried on, since their cause is often mended over there."""
        try:
            state = state_of(self.services.store, campaign_id, self.services.now(), ledger=False)
            if not state.ended and (state.halt is None or state.halt.reason != reason):
                halt(self.services, campaign_id, reason, HOW_TO_GO_ON, mends_itself=mends_itself)
        except MCALError as error:
            logger.warning("campaign %d: could not be halted: %s", campaign_id, error)

    def _tell(self, state: State | None) -> None:
        """Log each transition, and in between how far people have come, now and then."""
        if state is None:
            return
        line, now = sentence(state), time.monotonic()
        step = (state.phase, None if state.queue is None else state.queue.model_version)
        told = self._told.get(state.campaign_id)
        if told is None or told.step != step or (told.line != line and now - told.at >= PROGRESS_SECONDS):
            self._told[state.campaign_id] = _Told(line, step, now)
            transition = {"phase": state.phase.value, "queue": step[1]}  # for logs that machines read
            logger.info("campaign %d: %s", state.campaign_id, line, extra=transition)


def _is_full(error: BaseException | None) -> bool:
    """Whether a disk is full, or a quota used up: that is mended outside, and nobody need resume anything then."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def stopping_on_signals(stop: threading.Event) -> Iterator[None]:
    """Within the block, SIGTERM and SIGINT set ``stop`` instead of killing the process. For the main thread only."""

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
