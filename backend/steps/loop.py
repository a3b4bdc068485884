"""The loop: reconcile, serve, wait for enough, train, measure, decide, publish. One lease per campaign; any step may be killed.

What a step has done is found in the ledger and in Label Studio, never in memory, so that the next call goes on where it stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

from backend.campaign import events, history
from backend.campaign.state import ENDED, Phase, State, state_of
from backend.label_studio.port import LabelStudioError, Project
from backend.steps import audit as audit_steps
from backend.steps import certify, gone, peel, prepare, write_back
from backend.steps import finish as residual
from backend.steps import round as rounds
from backend.steps.ask_again import ask_again
from backend.steps.lease import Lease, hold
from backend.steps.names import learn_names
from backend.steps.open import Unfit, open_campaign
from backend.steps.ports import Services
from backend.steps.price import record_price
from backend.steps.reconcile import Trouble, check_project, elsewhere, labelled_by_hand, reconcile
from backend.steps.serve import guard, serve
from backend.store import retried
from mcal_engine.types import Certify, LabelByMachine

logger = logging.getLogger(__name__)

FULL_CHECK_EVERY = timedelta(minutes=5)
WAITING = (  # for people
    Phase.COLLECTING,
    Phase.CERTIFYING,
    Phase.PEELING,
    Phase.AWAITING_APPROVAL,
    Phase.AUDITING,
    Phase.RESIDUAL,
)


def advance(services: Services, campaign_id: int, stop: Callable[[], bool] = lambda: False) -> State | None:
    """Take the campaign as far as it goes without people.

    Returns:
        Its state, or ``None`` if another worker holds it.

    Raises:
        LabelStudioError: Label Studio is away or refuses; call again later.
        Stopping, LeaseLost: the work ends here; nothing is lost.
    """
    with hold(services.store, campaign_id, services.lease_seconds, stop, beats=services.beats, steady=services.steady) as lease:
        if lease is None:
            return None
        loop = _Loop(services.owned(campaign_id, lease), campaign_id, lease)
        while retried(f"campaign {campaign_id}", loop.step):
            pass
        return loop.found or loop.state()


def halt(services: Services, campaign_id: int, reason: str, fix: str, *, mends_itself: bool = False) -> None:
    """Stop the campaign until a person has done something; ``mends_itself`` lifts it when the project is found right again."""
    logger.error("campaign %d: halted: %s. %s", campaign_id, reason, fix)
    halted = events.Halted(reason=reason, fix=fix, mends_itself=mends_itself)
    services.store.append(campaign_id, [history.new(halted)])


class _Loop:
    """One campaign under a lease. Each step says whether another one may follow at once."""

    def __init__(self, services: Services, campaign_id: int, lease: Lease) -> None:
        self.services = services
        self.campaign_id = campaign_id
        self.lease = lease
        self.found: State | None = None  # the state that the last step left as it was, so that nobody need read it again

    def state(self) -> State:
        return state_of(self.services.store, self.campaign_id, self.services.now())

    def step(self) -> bool:
        self.lease.check()
        state = self.state()
        self.services.seen(state)
        if state.phase in ENDED or (state.halt is not None and not state.halt.mends_itself):
            return False
        try:
            return self._step(state)
        except LabelStudioError as error:
            if not gone.is_gone(self.services, state, error):
                raise
            gone.end(self.services, self.state())
            return False

    def _step(self, state: State) -> bool:
        if self._in_trouble(state, elsewhere(self.services.store.campaign(self.campaign_id), self.services.label_studio_url, state)):
            return False
        if state.stage == Phase.REQUESTED:
            return state.phase != Phase.PAUSED and self._open(state)
        project = self.services.label_studio.project(state.project_id)
        trouble = check_project(project, state) or self._other_user(state)
        if trouble is None:
            state = self._reconcile(state, project)
            self.services.seen(state)
            trouble = labelled_by_hand(state)
        if self._in_trouble(state, trouble):
            return False
        if state.halt is not None:
            return self._lift(state)
        if state.phase == Phase.PAUSED:
            guard(self.services, state, project)
            return False
        if learn_names(self.services, state, project):
            state = self.state()
        if serve(self.services, state, project):
            return True
        going = self._act(state, project)
        if state.stage in WAITING and not going:
            self.found = state
        return going

    def _other_user(self, state: State) -> Trouble | None:
        """Under another user's token our own annotations would count as people's, and theirs as ours. Asked once per worker."""
        memory = self.services.memory
        if memory.user is None:
            memory.user = self.services.label_studio.current_user().id
        if state.created is None or memory.user == state.created.service_user.id:
            return None
        return Trouble(
            f"the token is of user {memory.user}, and this campaign began as user {state.created.service_user.id}",
            "Set MCAL_LABEL_STUDIO_TOKEN to a token of the user it began with, and restart the worker.",
        )

    def _act(self, state: State, project: Project) -> bool:
        match state.stage:
            case Phase.PREPARING:
                return self._prepare(state)
            case Phase.TRAINING_DUE:
                return self._round(state, project)
            case Phase.CERTIFICATE_DUE:
                state = self._reconcile(state, project, full=True)
                if state.phase == Phase.CERTIFICATE_DUE:
                    certify.commit_outcome(self.services, state).store(self.services.store)
                return True
            case Phase.PEEL_DUE:
                state = self._reconcile(state, project, full=True)
                if state.phase == Phase.PEEL_DUE:
                    peel.commit_order(self.services, state, self.lease.check).store(self.services.store)
                return True
            case Phase.WRITING_BACK:
                write_back.write_machine_labels(self.services, state, self.lease.check)
                write_back.commit_written(self.services, state).store(self.services.store)
                return True
            case Phase.AUDITING:
                return audit_steps.step(self.services, state, project, lambda: self._reread(project), self.lease.check)
            case Phase.TAKING_BACK:
                audit_steps.take_back(self.services, state, project, lambda: self._reread(project), self.lease.check)
                return True
            case Phase.RESIDUAL if state.asking:
                ask_again(self.services, state, project, self.lease.check)
                self._reread(project)
                return True
            case Phase.RESIDUAL if not state.residual:
                state = self._reconcile(state, project, full=True)
                if state.phase == Phase.RESIDUAL and not state.residual:
                    residual.finish(self.services, state, self.lease.check)
                return True
            case _:
                return False

    def _open(self, state: State) -> bool:
        campaign = self.services.store.campaign(self.campaign_id)
        try:
            open_campaign(self.services, campaign, state.wanted, state.last_seq, state.follows)
        except Unfit as error:
            self._in_trouble(state, Trouble(error.reason, error.fix))
            return False
        return self._lift(state) if state.halt is not None else True

    def _in_trouble(self, state: State, trouble: Trouble | None) -> bool:
        """Record why the project cannot be worked on, once; the next visit may find it right again."""
        if trouble is None:
            return False
        if state.halt is None or state.halt.reason != trouble.reason:
            halt(self.services, self.campaign_id, trouble.reason, trouble.fix, mends_itself=True)
        return True

    def _lift(self, state: State) -> bool:
        logger.info("campaign %d: goes on, the project is right again", state.campaign_id)
        resumed = events.Resumed(by="the project is right again", lifts="halt")
        self.services.store.append(self.campaign_id, [history.new(resumed)])
        return True

    def _reconcile(self, state: State, project: Project, *, full: bool = False) -> State:
        now = self.services.now()
        last = self.services.memory.checked_at.get(self.campaign_id)
        due = full or last is None or now - last >= FULL_CHECK_EVERY
        changed = reconcile(self.services, state, project, full=due)
        if due:
            self.services.memory.checked_at[self.campaign_id] = now
        return self.state() if changed else state

    def _reread(self, project: Project) -> State:
        return self._reconcile(self.state(), project, full=True)

    def _prepare(self, state: State) -> bool:
        if prepare.fetch_images(self.services, state, self.lease.check):
            state = self.state()
        reason = prepare.nothing_readable(state)
        if reason is None:
            prepare.commit_start(state).store(self.services.store)
            return True
        # Not the images' fault: they get another chance once access is mended.
        self.services.store.mark_unreadable(self.campaign_id, dict.fromkeys((item.task_id for item in state.live), None))
        halt(
            self.services,
            self.campaign_id,
            f"no image can be read: {reason}",
            "Run mcal doctor, mend the access, then mcal campaign resume.",
        )
        return False

    def _round(self, state: State, project: Project) -> bool:
        joined = prepare.commit_newcomers(state)
        if joined is not None:
            joined.store(self.services.store)
            return True
        if prepare.fetch_images(self.services, state, self.lease.check):
            return True
        reason = rounds.cannot_train(state)
        if reason is not None:
            rounds.commit_without_training(state, reason).store(self.services.store)
            return True
        trained = rounds.train(self.services, state, self.lease.check)
        self._decide(trained, project)
        return True

    def _decide(self, trained: rounds.TrainedRound, project: Project) -> None:
        """Commit the round. Others' events (a pause, new settings, a label) do not cost the training that was just done."""
        full = False

        def decide() -> None:
            nonlocal full
            state = self._reconcile(self.state(), project, full=full)
            if state.queue is None or trained.state.queue is None or state.queue.model_version != trained.state.queue.model_version:
                return  # another worker has decided meanwhile
            if record_price(self.services.store, state):
                state = self.state()
            decision = rounds.decide(trained, state)
            if isinstance(decision, Certify | LabelByMachine) and not full:
                full = True  # what is frozen must be free of tasks that are gone
                state = self._reconcile(state, project, full=True)
                decision = rounds.decide(trained, state)
            rounds.commit_decision(trained, decision, state).store(self.services.store)
            logger.info("campaign %d: round %d: %s", self.campaign_id, trained.observation.round, type(decision).__name__)

        retried(f"campaign {self.campaign_id}", decide)
