"""What a campaign will ask for first and what it competes with, before anything is started. Pure."""

from __future__ import annotations

from typing import TypedDict

from backend.campaign_settings import CampaignSettings
from mcal_engine import engine
from mcal_engine.bill import Labels
from mcal_engine.certificates import uniform
from mcal_engine.round import n_twice


class Estimate(TypedDict):
    """Counts are items, money is in the campaign's currency. ``n_second``: items of T that two people label.

    ``n_to_label`` of the items have no label yet: those are what people alone would be paid for. T is drawn from all items, so what it
    costs is what it costs on average. ``warnings`` are sentences about the project.
    ``smallest_certificate``: the smallest uniform sample that can certify anything, as it must come back without an error; how V is drawn,
    and how large it is, is decided by money at the end. With ``certificate_rule = two_bands`` it is V for a pool as large as it is to begin
    with, since its size follows the pool's. ``None``: even the whole pool would be too small, or the guarantee needs no sample.
    """

    n_items: int
    n_to_label: int
    n_classes: int
    human_only_cost: float
    n_test: int
    n_train: int
    n_second: int
    first_cost: float
    allowed_errors: int
    smallest_certificate: int | None
    currency: str
    sentence: str
    warnings: list[str]


def estimate(settings: CampaignSettings, n_items: int, n_classes: int, n_to_label: int) -> Estimate:
    """As the engine begins; labels that are already there make T cheaper, and they are B's too.

    Raises:
        InvalidValue: too few items or classes.
    """
    first = engine.start(settings, n_items, n_classes, n_to_label)
    labels, share = Labels(0, 0, n_to_label), n_to_label / n_items
    allowed = uniform.allowance(settings.target_error, n_items)
    pool = max(n_to_label - round(share * first.n_test) - first.n_train, 0)
    smallest = engine.least_sample(settings, n_items, pool) if settings.certifies and pool else None
    n_second = n_twice(settings, first.n_test)
    return Estimate(
        n_items=n_items,
        n_to_label=n_to_label,
        n_classes=n_classes,
        human_only_cost=settings.price_per_label * labels.n_alone,
        n_test=first.n_test,
        n_train=first.n_train,
        n_second=n_second,
        first_cost=settings.price_per_label * (share * (first.n_test + n_second) + first.n_train),
        allowed_errors=allowed,
        smallest_certificate=smallest,
        currency=settings.currency,
        sentence=first.sentence,
        warnings=[],
    )
