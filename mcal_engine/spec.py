"""What a project admin decides: the settings of one campaign, in one model with units and ranges.

Every setting has one name everywhere: ``target_error`` is ``--target-error`` on the command line, ``MCAL_TARGET_ERROR`` in
the environment, the key in Label Studio's extra params, and the field on the page. Options, form, API and documents are made from here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from mcal_engine.errors import InvalidValue
from mcal_engine.rules import FIXED, LESS, MORE, about, choices_of, complaint, explain, kind_of, told, within_reason

Acquisition = Literal["margin", "entropy", "least_confidence", "k_center", "diverse_margin", "random"]
Surety = Literal["margin", "entropy", "least_confidence"]
Guarantee = Literal["certified", "estimate"]
TrainingLaw = Literal["epochs_fixed", "epochs_grow"]
Fraction = Annotated[float, Field(ge=0, le=1)]

AUTO = "auto"
"""As the only classifier: whoever begins a campaign chooses, from the number of images and the device. The engine itself takes names."""

PROMISE, MONEY, SEARCH = "Promise", "Money", "Search for the cheapest plan"
"""The groups that the engine's settings stand in, in the documents."""

LARGEST_PRICE = 1_000_000  # of a label or an hour
LARGEST_SUM = 1_000_000_000_000
SMALLEST_PRICE = 0.000_001  # of a label; far below it a sum divided by it is no number any more
LARGEST_COUNT = 10_000_000  # items

SERVICE_PRICES = {"amazon": 0.04, "satyam": 0.003}
"""USD per label of the two services that the paper compares: Amazon SageMaker and Satyam."""


class CampaignSpec(BaseModel):
    """Everything the engine needs to know besides the history. Immutable; money is in ``currency``, times in hours."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    target_error: float = Field(
        gt=0,
        lt=1,
        description="Largest share of wrong labels over all items (ε).",
        json_schema_extra=about(PROMISE, "fraction", guards=LESS),
    )
    price_per_label: float = Field(
        ge=SMALLEST_PRICE,
        le=LARGEST_PRICE,
        description="Price of one human label (C_h), or amazon (0.04) or satyam (0.003), the services of the paper.",
        json_schema_extra=about(MONEY, "currency"),
    )
    currency: str = Field(
        "USD", min_length=1, max_length=8, description="Name of the currency; shown, never converted.", json_schema_extra=about(MONEY)
    )
    machine_price_per_hour: float = Field(
        0.20, ge=0, le=LARGEST_PRICE, description="Price of one hour of the training machine.", json_schema_extra=about(MONEY, "currency/h")
    )
    guarantee: Guarantee = Field(
        "certified",
        description="certified: ε holds at confidence_level; estimate: the paper's plug-in rule.",
        json_schema_extra=about(PROMISE, guards="certified"),
    )
    min_class_precision: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Least share of right ones among the machine's labels of each class; empty: no bound per class.",
        json_schema_extra=about(PROMISE, "fraction", guards=MORE),
    )
    budget: float | None = Field(
        None,
        gt=0,
        le=LARGEST_SUM,
        description="Most that may be spent; then the error is made as small as it can be and reported, and ε is not promised.",
        json_schema_extra=about(MONEY, "currency", guards=FIXED),
    )
    confidence_level: float = Field(
        0.95,
        gt=0.5,
        lt=1,
        description="Probability with which the certificate holds.",
        json_schema_extra=about(PROMISE, "fraction", guards=MORE),
    )
    acquisition: Acquisition = Field("margin", description="Which items people are asked for next (M).", json_schema_extra=about(SEARCH))
    surety: Surety = Field(
        "margin", description="How sure a prediction is (L): what is machine-labelled first.", json_schema_extra=about(SEARCH)
    )
    classifiers: tuple[str, ...] = Field(
        ("frozen",),
        min_length=1,
        max_length=4,
        description="Candidate classifiers; more than one makes a race.",
        json_schema_extra=about(SEARCH),
    )
    test_size: int | None = Field(
        None,
        ge=20,
        le=LARGEST_COUNT,
        description="Number of test items (T); empty: sized by the project.",
        json_schema_extra=about(SEARCH, "items"),
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        le=LARGEST_COUNT,
        description="First batch δ0 and its floor; empty: sized by the project.",
        json_schema_extra=about(SEARCH, "items"),
    )
    certificate_size: int | None = Field(
        None,
        ge=1,
        le=LARGEST_COUNT,
        description="Number of certificate items (V); empty: in two bands by the errors that are allowed, a uniform sample by money.",
        json_schema_extra=about(PROMISE, "items"),
    )
    certificate_rule: Literal["cheaper", "two_bands", "uniform"] = Field(
        "cheaper",
        description="two_bands: the certificate sample is denser among the less sure half, and people label the least trusted items until "
        "few enough of its mistakes are left; uniform: one uniform sample, read at once, which max_looks above 1, min_class_precision and "
        "a model that learns from no label need and get; cheaper: two bands or one uniform sample that is sized by money, whichever is "
        "forecast to cost less just before it is drawn, and people label the least trusted items as with two_bands.",
        json_schema_extra=about(PROMISE),
    )
    overlap_share: Fraction = Field(
        0.0,
        description="Share of T's and V's items that two people label: how often they disagree is reported beside ε.",
        json_schema_extra=about(PROMISE, "fraction"),
    )
    max_looks: int = Field(
        1,
        ge=1,
        le=10,
        description="Certificate samples that may be drawn, one after the other; they share the confidence. Above 1 they are uniform.",
        json_schema_extra=about(PROMISE, "looks"),
    )
    theta_step: float = Field(
        0.05, ge=0.001, le=0.5, description="Step of the grid of machine-labelled shares θ.", json_schema_extra=about(SEARCH, "fraction")
    )
    stability_tolerance: Fraction = Field(
        0.05, description="Relative change of C* below which the forecast is stable (Δ).", json_schema_extra=about(SEARCH, "fraction")
    )
    batch_cost_slack: Fraction = Field(
        0.01, description="Extra cost accepted for a smaller batch δ (β).", json_schema_extra=about(SEARCH, "fraction")
    )
    stop_tolerance: Fraction = Field(
        0.005,
        description="Forecast gain, as a share of the total, below which another batch is not bought.",
        json_schema_extra=about(SEARCH, "fraction"),
    )
    exploration_tax: Fraction = Field(
        0.10,
        description="Training spend, as a share of the human-only cost, after which a hopeless search ends (x).",
        json_schema_extra=about(SEARCH, "fraction", guards=LESS),
    )
    training_law: TrainingLaw = Field(
        "epochs_fixed",
        description="epochs_fixed: seconds of one training grow with the size of B (Eq. 4); epochs_grow: with its square.",
        json_schema_extra=about(SEARCH),
    )
    max_rounds: int = Field(
        60,
        ge=4,
        le=1000,
        description="Rounds after which the search ends with the best plan in hand.",
        json_schema_extra=about(SEARCH, "rounds", guards=LESS),
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of every random draw.", json_schema_extra=about(SEARCH))

    @field_validator("*", mode="before")
    @classmethod
    def _as_people_write(cls, value: Any, info: ValidationInfo) -> Any:
        """Percent, switches and empty fields; what JSON's ``true`` and text that cannot be printed are told here too."""
        name = info.field_name or ""
        field = cls.model_fields[name]
        number = kind_of(field.annotation) in ("number", "whole number")
        if isinstance(value, bool):
            if set(choices_of(field)) == {"off", "on"}:
                return "on" if value else "off"
            raise ValueError(complaint(name, field, value))
        if not all(within_reason(text) for text in (value if isinstance(value, list | tuple) else [value]) if isinstance(text, str)):
            raise ValueError(complaint(name, field, value))
        if not isinstance(value, str) or not number:
            return value
        text = value.strip()
        if not text and not field.is_required() and field.default is None:
            return None
        if text.endswith("%") and told(field, "unit") == "fraction":
            try:
                return float(text[:-1]) / 100
            except ValueError:
                return value
        return text

    @field_validator("price_per_label", mode="before")
    @classmethod
    def _price_of_a_service(cls, value: Any) -> Any:
        return SERVICE_PRICES.get(value.strip().lower(), value) if isinstance(value, str) else value

    @field_validator("classifiers", mode="before")
    @classmethod
    def _classifiers(cls, value: Any) -> Any:
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _no_twins(self) -> Self:
        if len(set(self.classifiers)) != len(self.classifiers):
            raise ValueError(f"classifiers must differ from each other, got {', '.join(self.classifiers)}")
        return self

    @model_validator(mode="after")
    def _bound_per_class(self) -> Self:
        if self.min_class_precision is None:
            return self
        if not self.certifies:
            raise ValueError(
                "min_class_precision is shown on a certificate sample, which guarantee = certified without a budget draws: "
                f"leave it empty with guarantee = {self.guarantee}{'' if self.budget is None else ' and a budget'}"
            )
        return self

    @property
    def certifies(self) -> bool:
        """Whether a certificate sample V is drawn; a budget is spent on labels, and the error is then an estimate."""
        return self.guarantee == "certified" and self.budget is None

    def rule_for(self, *, learns: bool) -> Literal["cheaper", "two_bands", "uniform"]:
        """How V is drawn at the next freeze; ``cheaper``: in two bands or in one, whichever is forecast to cost less then.

        A second sample must stand for the pool, and so must one that classes are bounded by. A model that learns from no label cannot
        rank anew what is left of band 2 either, and the denser sample there is then paid for nothing.

        Args:
            learns: whether the frozen candidate learns from labels.
        """
        fits = self.max_looks == 1 and self.min_class_precision is None and learns
        return self.certificate_rule if fits else "uniform"

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Validate ``values``; raise one :class:`InvalidValue` whose text names every bad setting and its rule."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InvalidValue("; ".join(explain(error, cls))) from None


WHOLE_ANSWERS = {"surety": "least_confidence"}
"""Settings with another default where a label is a whole answer to several questions, or a set of choices; bench/README.md has why."""


def check_whole_answers(spec: CampaignSpec) -> None:
    """Refuse what cannot be promised of whole answers.

    Raises:
        InvalidValue: ``min_class_precision`` is set.
    """
    if spec.min_class_precision is not None:
        raise InvalidValue(
            "min_class_precision bounds the labels of each class, and here a class is a whole answer, of which there are too many to "
            "test each: leave it empty, or ask for one question with one choice"
        )


def preset_values(preset: str, n_items: int) -> dict[str, Any]:
    """Settings that a preset fixes for a project of ``n_items``; what the admin gives goes on top.

    ``default`` fixes none. ``paper`` has the constants of the MCAL paper: T = 5 % and δ0 = 1 % of X, θ in steps of .05, Δ = 5 %, x = 10 %,
    machine labels at a plug-in estimate, ε = 5 %, 0.04 USD per label (Amazon SageMaker) and 3.6 USD per machine hour. β has no value there.
    """
    if preset == "default":
        return {}
    if preset != "paper":
        raise InvalidValue(f"preset must be default or paper, got {preset!r}")
    return {
        "target_error": 0.05,
        "price_per_label": 0.04,
        "machine_price_per_hour": 3.6,
        "guarantee": "estimate",
        "acquisition": "margin",
        "test_size": max(round(0.05 * n_items), 20),
        "batch_size": max(round(0.01 * n_items), 1),
        "theta_step": 0.05,
        "stability_tolerance": 0.05,
        "batch_cost_slack": 0.05,
        "exploration_tax": 0.10,
    }
