"""The composition root: settings in, ready objects out. Nothing else in the house knows which implementation it gets."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, partial

import mcal_engine
from backend.campaign_settings import parse_campaign_settings
from backend.heartbeat import require_worker
from backend.jobs import JobQueue
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.config import parse_label_config
from backend.label_studio.port import LabelStudioPort
from backend.notify.channels import Channel, open_channels
from backend.notify.notifier import Notifier
from backend.outside.allowed import Allowed
from backend.outside.answers import OutsideModel
from backend.outside.language_model import LanguageModel, Terms
from backend.outside.ml_backend import MLBackend
from backend.outside.pictures import PICTURE_SIDE, picture_of
from backend.protocol import MLProtocol
from backend.settings import ServerSettings
from backend.shared_cache import SharedCache
from backend.steps.images import CampaignImages
from backend.steps.outside import OutsideTrainer, Trainers
from backend.steps.ports import Services
from backend.steps.trainer import ChildTrainer
from backend.steps.webhook import Webhook
from backend.store import Campaign, Store
from backend.views.predictions import predictions
from backend.views.status import status_line
from backend.web.access import Access
from backend.web.admin import admin_of
from backend.web.desk import Desk
from backend.web.ports import WebDeps
from backend.web.server import trusted_hosts
from backend.web.thumbnails import MAX_PIXELS
from backend.worker import Worker
from mcal_engine.classifiers import distances_on
from mcal_engine.classifiers.candidates import BACKEND, LLM, Candidate, parse


def now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def label_studio(settings: ServerSettings) -> Iterator[LabelStudioClient]:
    """The real Label Studio's client. Nothing is asked before its first call.

    Raises:
        InvalidValue: there is no token, or one of the wrong kind.
    """
    client = LabelStudioClient(
        settings.label_studio_url,
        settings.token(),
        allowed_private_hosts=settings.allowed_private_hosts,
        public_url=settings.label_studio_public_url,
    )
    try:
        yield client
    finally:
        client.close()


def shared_cache(settings: ServerSettings) -> SharedCache | None:
    """Where several machines keep their caches; ``None`` when that is this machine's own data directory."""
    if settings.cache_url == f"file://{settings.data_dir}":
        return None
    return SharedCache(settings.cache_url, None if settings.cache_key is None else settings.cache_key.get_secret_value().encode())


def image_folder(campaign: Campaign) -> str:
    """A name that no other campaign has, in whatever database: ids are counted from 1 in each."""
    which = f"{campaign.label_studio_url} {campaign.project_id} {campaign.created_at.isoformat()}"
    return f"campaign-{campaign.id}-{hashlib.blake2b(which.encode(), digest_size=6).hexdigest()}"


@contextmanager
def services(settings: ServerSettings, store: Store) -> Iterator[Services]:
    """What the steps of a campaign work with. Raises as :func:`label_studio` does."""
    with label_studio(settings) as client:
        shared, allowed = shared_cache(settings), allowed_of(settings)
        images = CampaignImages(
            client,
            settings.data_dir / "images",
            max_bytes=settings.max_image_bytes,
            max_pixels=settings.max_image_pixels,
            threads=settings.fetch_threads,
            name_of=cache(lambda campaign_id: image_folder(store.campaign(campaign_id))),
            shared=shared,
        )
        yield Services(
            store=store,
            label_studio=client,
            trainer=Trainers(
                allowed,
                ChildTrainer(
                    images,
                    cache_dir=settings.data_dir / "encoders",
                    device=settings.device,
                    time_limit_hours=settings.training_time_limit_hours,
                    shared=shared,
                ),
                OutsideTrainer(store, client, partial(open_model, settings, client), now),
            ),
            images=images,
            now=now,
            label_studio_url=settings.label_studio_url,
            lease_seconds=settings.lease_seconds,
            webhook=webhook(settings),
            distances=distances_on(settings.device),
            device=settings.device,
            check_race=allowed.check,
        )


def allowed_of(settings: ServerSettings) -> Allowed:
    """Which candidates from outside may be asked and loaded. Raises :class:`InvalidValue` where the setting is malformed."""
    listed = "" if settings.ml_backends is None else settings.ml_backends.get_secret_value()
    return Allowed.of([each.strip() for each in listed.split(",") if each.strip()], settings.classifier_modules, settings.llm_models)


def open_model(settings: ServerSettings, client: LabelStudioPort, candidate: Candidate, prompt: str | None = None) -> OutsideModel:
    """How a candidate is asked; it has been found to be allowed."""
    wanted = dict(candidate.arguments)
    if candidate.family == BACKEND:
        return MLBackend(wanted["address"], allowed_of(settings).backends[wanted["address"]])
    model, side = wanted.pop("model"), wanted.pop("side", PICTURE_SIDE)
    renamed = {"in": "tokens_in", "out": "tokens_out"}
    key = "" if settings.llm_api_key is None else settings.llm_api_key.get_secret_value()
    picture = picture_of(client, side=side, max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
    terms = Terms(**{renamed.get(name, name): value for name, value in wanted.items()})
    return LanguageModel(model, settings.llm_url, key, picture, terms=terms, template=prompt)


def models(settings: ServerSettings, client: LabelStudioPort) -> dict[str, Callable[[], OutsideModel]]:
    """The models that campaigns may ask, by their candidates' names. Raises :class:`InvalidValue` where the setting is malformed."""
    allowed = allowed_of(settings)
    names = [*(f"{BACKEND}:{address}" for address in allowed.backends), *(f"{LLM}:{model}" for model in allowed.models)]
    return {name: partial(open_model, settings, client, parse(name)) for name in names}


def webhook(settings: ServerSettings) -> Webhook:
    """The webhook that Label Studio is to have for each campaign."""
    return Webhook(settings.public_url, settings.ensure_webhook_secret().get_secret_value())


@contextmanager
def worker(settings: ServerSettings, store: Store, jobs: JobQueue, stop: threading.Event) -> Iterator[Worker]:
    """The worker; ``run()`` it until ``stop`` is set. Raises also where ``notify_urls`` holds what is no channel."""
    with services(settings, store) as parts, Notifier(store, channels(settings), settings.pages) as notifier:
        notifier.catch_up()
        yield Worker(replace(parts, seen=notifier.seen), jobs, settings.poll_seconds, stop, campaigns_at_once=settings.campaigns_at_once)


def channels(settings: ServerSettings) -> list[Channel]:
    """Whom to tell through; none without ``notify_urls``."""
    return [] if settings.notify_urls is None else open_channels(settings.notify_urls.get_secret_value())


def protocol(settings: ServerSettings, store: Store, jobs: JobQueue) -> MLProtocol:
    """What answers Label Studio, from the database alone: it needs no token."""

    def decided(project_id: int, task_ids: Sequence[int]) -> dict[int, tuple[str, float, str]]:
        return predictions(store, settings.label_studio_url, project_id, task_ids, now())

    return MLProtocol(
        store=store,
        queue=jobs,
        label_studio_url=settings.label_studio_url,
        parse_settings=parse_campaign_settings,
        parse_label_config=parse_label_config,
        status_line=lambda campaign_id: status_line(store, campaign_id, now()),
        predictions=decided,
        version=mcal_engine.__version__,
    )


def access(settings: ServerSettings) -> Access:
    """Who may call the web server."""
    password = settings.basic_auth_password
    return Access(
        user=settings.basic_auth_user,
        password=None if password is None else password.get_secret_value(),
        webhook_secret=settings.ensure_webhook_secret().get_secret_value(),
    )


@contextmanager
def web_deps(
    settings: ServerSettings, store: Store, jobs: JobQueue, *, tell: Callable[[str], object] = print, allow_open: bool = False
) -> Iterator[WebDeps]:
    """Everything :func:`backend.web.app.create_app` needs; ``tell`` shows the password that is made at a first start.

    Raises:
        InvalidValue: other machines can reach the server and there is no password for its pages.
    """
    who = access(settings)
    with ExitStack() as stack:
        opening = threading.Lock()
        opened: list[Services] = []

        def tools() -> Services:
            """Opened when first needed: without a token the server still answers Label Studio and shows campaigns."""
            with opening:
                if not opened:
                    opened.append(stack.enter_context(services(settings, store)))
            return opened[0]

        yield WebDeps(
            protocol=protocol(settings, store, jobs),
            access=who,
            desk=Desk(
                admin=admin_of(settings, tell=tell, allow_open=allow_open),
                store=store,
                now=now,
                tools=tools,
                wake=jobs.enqueue,
                label_studio_public_url=settings.label_studio_public_url,
                max_image_bytes=settings.max_image_bytes,
                max_image_pixels=min(settings.max_image_pixels, MAX_PIXELS),
            ),
            checks={"store": store.ping, "jobs": jobs.ping},
            notes={"worker": lambda: require_worker(store)},
            trusted_hosts=trusted_hosts(settings.host, settings.public_url, settings.pages, protected=who.protected),
        )
