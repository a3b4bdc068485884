"""Whether settings go with the controls that a campaign labels with. Pure."""

from __future__ import annotations

from typing import Protocol

from backend.label_studio.port import LabelControl
from mcal_engine import classifiers
from mcal_engine.classifiers.candidates import source_of
from mcal_engine.errors import InvalidValue
from mcal_engine.spec import AUTO


class Chosen(Protocol):
    """The settings that are looked at."""

    @property
    def classifiers(self) -> tuple[str, ...]: ...

    @property
    def min_class_precision(self) -> float | None: ...


def refuse_what_needs_classes(settings: Chosen, control: LabelControl) -> None:
    """Some settings need classes that are known beforehand: one control that takes one choice.

    Raises:
        InvalidValue: the settings and the controls do not go together.
    """
    if control.plain:
        return
    asked = next((name for name in settings.classifiers if name != AUTO and classifiers.parse(source_of(name)).asked), None)
    if asked is not None:
        raise InvalidValue(f"a model from outside ({asked}) answers one control that takes one choice, and here are {control.from_name!r}")
    if settings.min_class_precision is not None:
        raise InvalidValue(
            f"min_class_precision promises something of each class, and a class is a whole answer to {control.from_name!r} here: there are "
            "too many to test each"
        )
