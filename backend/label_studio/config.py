"""Reads a project's label config: which control a campaign labels with, and whether it is still the same one."""

from __future__ import annotations

import hashlib
import json
import re
from xml.etree import ElementTree

from backend.label_studio.port import LabelControl
from mcal_engine.errors import InvalidValue

MAX_CONFIG_LENGTH = 1_000_000
_EXAMPLE = '<Image name="image" value="$image"/> and <Choices name="label" toName="image"> with one <Choice value="…"/> per class'


def parse_label_config(xml: str, label_control: str | None = None) -> LabelControl:
    """The single-choice control of a label config.

    Args:
        xml: the project's label config.
        label_control: name of the ``Choices`` to use; needed where several label an image.

    Raises:
        InvalidValue: no usable control, or several and none named; the text says what to change.
    """
    root = _parse(xml)
    images = {tag.get("name", ""): tag for tag in root.iter() if tag.tag.lower() == "image"}
    candidates = [tag for tag in root.iter() if tag.tag.lower() == "choices" and tag.get("toName", "") in images]
    control = _pick(candidates, label_control)
    name, to_name = control.get("name", ""), control.get("toName", "")
    _refuse_unsupported(control, name)
    return LabelControl(from_name=name, to_name=to_name, data_key=_data_key(images[to_name], to_name), choices=_choices(control, name))


def config_fingerprint(control: LabelControl) -> str:
    """A digest of what labels mean: names, data key and the choices in their order; titles, colours and layout do not count."""
    meaning = [control.from_name, control.to_name, control.data_key, list(control.choices)]
    return hashlib.sha256(json.dumps(meaning, ensure_ascii=False).encode()).hexdigest()


def _parse(xml: str) -> ElementTree.Element:
    if len(xml) > MAX_CONFIG_LENGTH:
        raise InvalidValue(f"label config must have at most {MAX_CONFIG_LENGTH:,} characters, got {len(xml):,}")
    if re.search(r"<!\s*(DOCTYPE|ENTITY)", xml, re.IGNORECASE):  # entities can expand without bound or read files
        raise InvalidValue("label config must not have a DOCTYPE or ENTITY declaration")
    try:
        return ElementTree.fromstring(xml)  # noqa: S314 (declarations are refused above)
    except ElementTree.ParseError as error:
        raise InvalidValue(f"label config is not valid XML: {error}") from None


def _pick(candidates: list[ElementTree.Element], label_control: str | None) -> ElementTree.Element:
    names = [tag.get("name", "") for tag in candidates]
    if not candidates:
        raise InvalidValue(f"label config must have a single-choice Choices on an Image: {_EXAMPLE}")
    if label_control is not None:
        if names.count(label_control) != 1:
            raise InvalidValue(f"label_control must name one Choices on an Image, got {label_control!r}; there are: {', '.join(names)}")
        return candidates[names.index(label_control)]
    if len(candidates) > 1:
        raise InvalidValue(f"label config has {len(names)} Choices on an Image; name one by the setting label_control: {', '.join(names)}")
    return candidates[0]


def _refuse_unsupported(control: ElementTree.Element, name: str) -> None:
    if not name:
        raise InvalidValue("Choices must have a name")
    if control.get("choice", "single") == "multiple":
        raise InvalidValue(f'Choices {name!r} must be single choice, got choice="multiple" (use choice="single")')
    if control.get("value", "").startswith("$"):
        raise InvalidValue(f"Choices {name!r} must list its choices in the label config, got value={control.get('value')!r} (task data)")
    for attribute, what in (("allowNested", "nested choices"), ("perRegion", "choices per region"), ("perItem", "choices per item")):
        if control.get(attribute, "false").lower() == "true":
            raise InvalidValue(f'Choices {name!r} must label the whole image with one choice, got {attribute}="true" ({what})')


def _choices(control: ElementTree.Element, name: str) -> tuple[str, ...]:
    """The values as they appear in results: the alias where there is one."""
    choices = tuple(tag.get("alias") or tag.get("value") or "" for tag in control.iter() if tag.tag.lower() == "choice")
    if len(choices) < 2:
        raise InvalidValue(f"Choices {name!r} must have at least 2 choices, got {len(choices)}")
    if "" in choices:
        raise InvalidValue(f"Choices {name!r} has a Choice without a value")
    if twice := sorted({choice for choice in choices if choices.count(choice) > 1}):
        raise InvalidValue(f"Choices {name!r} must have different choices, got twice: {', '.join(twice)}")
    return choices


def _data_key(image: ElementTree.Element, to_name: str) -> str:
    value = image.get("value", "")
    if image.get("valueList"):
        raise InvalidValue(f"Image {to_name!r} must show one image per task, got valueList={image.get('valueList')!r}")
    if not re.fullmatch(r"\$[^\s$]+", value):
        raise InvalidValue(f'Image {to_name!r} must have value="$field" naming a field of the task\'s data, got value={value!r}')
    return value[1:]
