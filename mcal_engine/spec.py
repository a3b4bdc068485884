"""What a project admin decides: the settings of one campaign, in one model with units and ranges.

Every setting has one name everywhere: ``target_error`` is ``--target-error`` on the command line, ``MCAL_TARGET_ERROR`` in
the environment, the key in Label Studio's extra params, and the field on the page. The README's table is made from here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from mcal_engine.errors import InvalidValue

Acquisition = Literal["margin", "entropy", "least_confidence", "k_center", "diverse_margin", "random"]
Surety = Literal["margin", "entropy", "least_confidence"]
Guarantee = Literal["certified", "estimate"]
ErrorScope = Literal["all", "machine"]
TrainingLaw = Literal["epochs_fixed", "epochs_grow"]
Fraction = Annotated[float, Field(ge=0, le=1)]

AUTO = "auto"
"""As the only classifier: chosen when a campaign begins, by who knows the images and the device. The engine itself takes names."""

SERVICE_PRICES = {"amazon": 0.04, "satyam": 0.003}
"""USD per label of the two services that the paper compares: Amazon SageMaker and Satyam."""


class CampaignSpec(BaseModel):
    """Everything the engine needs to know besides the history. Immutable; money is in ``currency``, times in hours."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    target_error: float = Field(description="Largest share of wrong labels over all items (ε).", json_schema_extra={"unit": "fraction"})
    price_per_label: float = Field(
        description="Price of one human label (C_h), or amazon (0.04) or satyam (0.003), the services of the paper.",
        json_schema_extra={"unit": "currency"},
    )
    currency: str = Field("USD", min_length=1, max_length=8, description="Name of the currency; shown, never converted.")
    machine_price_per_hour: float = Field(
        0.20, ge=0, description="Price of one hour of the training machine.", json_schema_extra={"unit": "currency/h"}
    )
    guarantee: Guarantee = Field("certified", description="certified: ε holds at confidence_level; estimate: the paper's plug-in rule.")
    error_scope: ErrorScope = Field("all", description="What ε is a share of: all items, or only those that the machine labels.")
    min_class_precision: float | None = Field(
        None,
        description="Least share of right ones among the machine's labels of each class; empty: no bound per class.",
        json_schema_extra={"unit": "fraction"},
    )
    budget: float | None = Field(
        None,
        gt=0,
        description="Most that may be spent; then the error is made as small as it can be and reported, and ε is not promised.",
        json_schema_extra={"unit": "currency"},
    )
    confidence_level: float = Field(
        0.95, gt=0.5, lt=1, description="Probability with which the certificate holds.", json_schema_extra={"unit": "fraction"}
    )
    acquisition: Acquisition = Field("margin", description="Which items people are asked for next (M).")
    surety: Surety = Field("margin", description="How sure a prediction is (L): what is machine-labelled first.")
    classifiers: tuple[str, ...] = Field(
        ("frozen",), min_length=1, max_length=4, description="Candidate classifiers; more than one makes a race."
    )
    test_size: int | None = Field(
        None, ge=20, description="Items of the test set T; empty: sized by the project.", json_schema_extra={"unit": "items"}
    )
    batch_size: int | None = Field(
        None, ge=1, description="First batch δ0 and its floor; empty: sized by the project.", json_schema_extra={"unit": "items"}
    )
    certificate_size: int | None = Field(
        None, ge=1, description="Items of the certificate sample V; empty: sized by money.", json_schema_extra={"unit": "items"}
    )
    overlap_share: Fraction = Field(
        0.0,
        description="Share of T's and V's items that two people label: how often they disagree is reported beside ε.",
        json_schema_extra={"unit": "fraction"},
    )
    max_looks: int = Field(
        3,
        ge=1,
        le=10,
        description="Certificate samples that may be drawn, one after the other; they share the confidence.",
        json_schema_extra={"unit": "looks"},
    )
    theta_step: float = Field(
        0.05, gt=0, le=0.5, description="Step of the grid of machine-labelled shares θ.", json_schema_extra={"unit": "fraction"}
    )
    stability_tolerance: Fraction = Field(
        0.05, description="Relative change of C* below which the forecast is stable (Δ).", json_schema_extra={"unit": "fraction"}
    )
    batch_cost_slack: Fraction = Field(
        0.01, description="Extra cost accepted for a smaller batch δ (β).", json_schema_extra={"unit": "fraction"}
    )
    stop_tolerance: Fraction = Field(
        0.005,
        description="Forecast gain, as a share of the total, below which another batch is not bought.",
        json_schema_extra={"unit": "fraction"},
    )
    exploration_tax: Fraction = Field(
        0.10,
        description="Training spend, as a share of the human-only cost, after which a hopeless search ends (x).",
        json_schema_extra={"unit": "fraction"},
    )
    training_law: TrainingLaw = Field(
        "epochs_fixed", description="epochs_fixed: seconds of one training grow with the size of B (Eq. 4); epochs_grow: with its square."
    )
    max_rounds: int = Field(
        60,
        ge=4,
        le=1000,
        description="Rounds after which the search ends with the best plan in hand.",
        json_schema_extra={"unit": "rounds"},
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of every random draw.")

    @field_validator("target_error", mode="before")
    @classmethod
    def _target_error(cls, value: Any) -> Any:
        number = _number("target_error", value)
        if not 0 < number < 1:
            hint = f" (did you mean {number / 100:g}?)" if 1 <= number < 100 else ""
            raise ValueError(f"target_error must be in (0, 1), got {value}{hint}")
        return number

    @field_validator("price_per_label", mode="before")
    @classmethod
    def _price_per_label(cls, value: Any) -> Any:
        if isinstance(value, str) and value.strip().lower() in SERVICE_PRICES:
            return SERVICE_PRICES[value.strip().lower()]
        number = _number("price_per_label", value)
        if not 0 < number < float("inf"):
            raise ValueError(f"price_per_label must be above 0, got {value}")
        return number

    @field_validator("min_class_precision", mode="before")
    @classmethod
    def _min_class_precision(cls, value: Any) -> Any:
        if value is None or value == "":
            return None
        number = _number("min_class_precision", value)
        if not 0 < number < 1:
            hint = f" (did you mean {number / 100:g}?)" if 1 < number < 100 else ""
            raise ValueError(f"min_class_precision must be in (0, 1), got {value}{hint}")
        return number

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
        if self.error_scope == "machine":
            raise ValueError(
                "min_class_precision needs error_scope = all: leaving a class to people may raise the share of wrong labels among the "
                f"others'. With min_class_precision = {1 - self.target_error:g} it is at most target_error in each, so in all together"
            )
        return self

    @property
    def certifies(self) -> bool:
        """Whether a certificate sample V is drawn; a budget is spent on labels, and the error is then an estimate."""
        return self.guarantee == "certified" and self.budget is None

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Validate ``values``; raise one :class:`InvalidValue` whose text names every bad setting and its rule."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InvalidValue("; ".join(explain(error, cls))) from None


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


def explain(error: ValidationError, model: type[BaseModel], *, noun: str = "setting") -> list[str]:
    """Pydantic's findings as sentences a person can act on, without repeating values of unknown settings (they may be secrets)."""
    sentences = []
    for found in error.errors():
        name = ".".join(str(part) for part in found["loc"][:1])
        if found["type"] == "extra_forbidden":
            sentences.append(f"unknown {noun} {name!r}; known {noun}s: {', '.join(sorted(model.model_fields)) or 'none'}")
        elif found["type"] == "missing":
            sentences.append(f"{name} is required")
        elif found["type"] == "value_error":
            sentences.append(str(found["ctx"]["error"]))
        else:
            sentences.append(f"{name}{_rule(found)}, got {found['input']!r}{_in_percent(found)}")
    return sentences


def _rule(found: ErrorDetails) -> str:
    """The rule that was broken, after the field's name."""
    bounds = found.get("ctx", {})
    match found["type"]:
        case "int_type" | "int_parsing" | "int_from_float" | "int_parsing_size":
            return " must be a whole number"
        case "float_type" | "float_parsing" | "finite_number":
            return " must be a number"
        case "greater_than":
            return f" must be above {_bound(bounds['gt'])}"
        case "greater_than_equal":
            return f" must be at least {_bound(bounds['ge'])}"
        case "less_than":
            return f" must be below {_bound(bounds['lt'])}"
        case "less_than_equal":
            return f" must be at most {_bound(bounds['le'])}"
        case _:
            return f": {found['msg'][0].lower()}{found['msg'][1:]}"


def _bound(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _in_percent(found: ErrorDetails) -> str:
    """Where a share was given in percent, the share."""
    bounds = found.get("ctx", {})
    if bounds.get("lt", bounds.get("le")) != 1:
        return ""
    number = float(found["input"])
    return f" (did you mean {number / 100:g}?)" if 1 < number < 100 else ""


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError(f"{name} must be a number, got {value}")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number, got {value!r}") from None
