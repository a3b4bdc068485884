"""What campaigns are simulated: small ones, each with another part of the product in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

CHOICES = ("ant", "bee", "cat")
CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="label" toName="image">'
    + "".join(f'<Choice value="{choice}"/>' for choice in CHOICES)
    + "</Choices></View>"
)
SMALLEST = 20  # tasks; simulated campaigns are smaller than real ones may be
_BASE: dict[str, Any] = {
    "target_error": 0.25,
    "price_per_label": 0.04,
    "machine_price_per_hour": 0.1,
    "test_size": 20,
    "batch_size": 8,
    "classifiers": ["frozen"],
}


@dataclass(frozen=True)
class Scene:
    """One kind of campaign.

    Attributes:
        n: tasks in the project. ``labelled``: how many of them people had labelled before.
        skill: how well the classifier separates the classes; 0: not at all.
        skips: every this many tasks, people skip one; 0: none.
        audit: an audit is opened once the campaign is finished. ``called_off``: before anybody has answered it.
        rollback_after: the stage at which the admin rolls the campaign back; "" for never.
    """

    name: str
    n: int = 70
    labelled: int = 0
    skill: float = 3.0
    skips: int = 0
    audit: bool = False
    called_off: bool = False
    rollback_after: str = ""
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def all_settings(self) -> dict[str, Any]:
        """As an admin would give them."""
        return _BASE | self.settings


SCENES: dict[str, Scene] = {
    scene.name: scene
    for scene in (
        Scene("certified", settings={"certificate_rule": "uniform", "max_looks": 3}),
        Scene("estimate", settings={"guarantee": "estimate"}),
        Scene("approval", settings={"approve_write_back": "on"}),
        Scene("two-people", settings={"overlap_share": 0.4}),
        Scene("assisted", n=90, skill=0.9, settings={"assisted_labelling": "on"}),
        Scene("skips", skips=9),
        Scene("labelled-before", labelled=12),
        Scene("several-rounds", n=110, skill=1.2, settings={"target_error": 0.15, "certificate_rule": "uniform", "max_looks": 3}),
        Scene("two-bands", n=110, skill=0.7, settings={"target_error": 0.1, "certificate_rule": "two_bands", "max_looks": 1}),
        Scene("hopeless", n=60, skill=0.0),
        Scene("audit", audit=True),
        Scene("audit-called-off", audit=True, called_off=True),
        Scene("rolled-back-early", rollback_after="collecting"),
        Scene("rolled-back-late", rollback_after="finished"),
    )
}
