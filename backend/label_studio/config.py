"""Reads a project's label config: which control a campaign labels with, and whether it is still the same one."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from backend.label_studio.port import LabelControl
from backend.label_studio.references import data_key_of
from backend.label_studio.unsupported import nothing_to_label
from mcal_engine.errors import InvalidValue

MAX_CONFIG_LENGTH = 1_000_000
_SHOWS: dict[str, Literal["image", "text", "hypertext"]] = {"image": "image", "text": "text", "hypertext": "hypertext"}


def parse_label_config(xml: str, label_control: str | None = None) -> LabelControl:
    """The single-choice control of a label config.

    Args:
        xml: the project's label config.
        label_control: name of the ``Choices`` to use; needed where several label the item.

    Raises:
        InvalidValue: no usable control, or several and none named; the text says what to change.
    """
    root = _parse(xml)
    shown = {tag.get("name", ""): tag for tag in root.iter() if tag.tag.lower() in _SHOWS}
    candidates = [tag for tag in root.iter() if tag.tag.lower() == "choices" and tag.get("toName", "") in shown]
    if not candidates:
        raise InvalidValue(nothing_to_label(root))
    control = _pick(candidates, label_control)
    name, to_name = control.get("name", ""), control.get("toName", "")
    _refuse_unsupported(control, name)
    item = shown[to_name]
    shows = _SHOWS[item.tag.lower()]
    key = _data_key(item, to_name) if shows == "image" else _text_key(item, to_name)
    return LabelControl(from_name=name, to_name=to_name, data_key=key, choices=_choices(control, name), shows=shows)


@dataclass(frozen=True, slots=True)
class ChoiceText:
    """One choice as people see it: ``value`` is what results hold, ``shown`` and ``hint`` are what the page shows."""

    value: str
    shown: str
    hint: str


@dataclass(frozen=True, slots=True)
class Interface:
    """What the labelling interface tells people: its headers, and the choices of the control in their order."""

    headers: tuple[str, ...]
    choices: tuple[ChoiceText, ...]


def interface_of(xml: str, control: LabelControl) -> Interface:
    """What people read before they choose.

    Raises:
        InvalidValue: not a label config, or one without this control.
    """
    root = _parse(xml)
    tag = _pick([each for each in root.iter() if each.tag.lower() == "choices" and each.get("name") == control.from_name], None)
    headers = tuple(
        each.get("value", "") for each in root.iter() if each.tag.lower() == "header" and not each.get("value", "$").startswith("$")
    )
    listed = [(each.get("value") or "", each.get("alias") or "", each.get("hint") or "") for each in _outermost(tag)]
    return Interface(headers, tuple(ChoiceText(alias or value, value or alias, hint) for value, alias, hint in listed))


@dataclass(frozen=True, slots=True)
class Beside:
    """What else people are asked, besides the class: ``'name' (Tag)`` of each control. Machine labels have no answer to any of it.

    Nobody can submit a task without an answer to the ``required`` ones.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...]


def controls_beside(xml: str, control: LabelControl) -> Beside:
    """The other controls of a label config that ``control`` is of.

    Raises:
        InvalidValue: not a label config.
    """
    required: list[str] = []
    optional: list[str] = []
    for tag in _parse(xml).iter():
        name = tag.get("name", "")
        if tag.get("toName") is None or name == control.from_name:
            continue  # an object or a layout tag, or ours
        found = required if tag.get("required", "false").lower() == "true" else optional
        found.append(f"{name!r} ({tag.tag})")
    return Beside(tuple(required), tuple(optional))


def campaign_control(xml: str, label_control: str | None = None) -> LabelControl:
    """As :func:`parse_label_config`, for a campaign that is to begin: machine labels must not lack what every task has to have.

    Raises:
        InvalidValue: also where something else is required; the text has the two ways out.
    """
    control = parse_label_config(xml, label_control)
    beside = controls_beside(xml, control)
    if not beside.required:
        return control
    what = ", ".join(beside.required)
    raise InvalidValue(
        f"the labelling interface also requires an answer to {what}, and machine labels would hold {control.from_name!r} alone. Take "
        f'required="true" off, or ask for {what} in a project of its own'
    )


def warn_of(beside: Beside) -> str:
    """What to say of controls that nobody must answer; empty where there is none."""
    if not beside.optional:
        return ""
    return f"Machine labels hold no answer to {', '.join(beside.optional)}: tasks that the machine labels will lack it."


def config_fingerprint(control: LabelControl) -> str:
    """A digest of what labels mean: names, data key and the choices in their order; titles, colours and layout do not count."""
    meaning: list[object] = [control.from_name, control.to_name, control.data_key, list(control.choices)]
    if control.shows != "image":
        meaning.append(control.shows)
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
    if label_control is not None:
        if names.count(label_control) != 1:
            raise InvalidValue(
                f"label_control must name one Choices on an Image, Text or HyperText, got {label_control!r}; there are: {', '.join(names)}"
            )
        return candidates[names.index(label_control)]
    if len(candidates) > 1:
        raise InvalidValue(
            f"label config has {len(names)} Choices on an Image or text; name one by the setting label_control: {', '.join(names)}"
        )
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
            raise InvalidValue(f'Choices {name!r} must label the whole item with one choice, got {attribute}="true" ({what})')


def _choices(control: ElementTree.Element, name: str) -> tuple[str, ...]:
    """The values as they appear in results: the alias where there is one. Without allowNested what is inside a choice is never offered."""
    choices = tuple(tag.get("alias") or tag.get("value") or "" for tag in _outermost(control))
    if len(choices) < 2:
        raise InvalidValue(f"Choices {name!r} must have at least 2 choices, got {len(choices)}")
    if "" in choices:
        raise InvalidValue(f"Choices {name!r} has a Choice without a value")
    if twice := sorted({choice for choice in choices if choices.count(choice) > 1}):
        raise InvalidValue(f"Choices {name!r} must have different choices, got twice: {', '.join(twice)}")
    return choices


def _outermost(tag: ElementTree.Element) -> Iterator[ElementTree.Element]:
    for child in tag:
        if child.tag.lower() == "choice":
            yield child
        else:
            yield from _outermost(child)


def _data_key(image: ElementTree.Element, to_name: str) -> str:
    value = image.get("value", "")
    if several := next((text for name, text in image.attrib.items() if name.lower() == "valuelist" and text), None):
        raise InvalidValue(
            f"Image {to_name!r} shows people all images of {several!r} (valueList), and a campaign is about one image in each task. Write "
            f'value="{several}[0]" to ask about the first one, or import one task for each image'
        )
    key = data_key_of(value)
    if key is None:
        raise InvalidValue(f'Image {to_name!r} must have value="$field" naming a field of the task\'s data, got value={value!r}')
    return key


def _text_key(text: ElementTree.Element, to_name: str) -> str:
    value, tag = text.get("value", ""), text.tag
    kind = (text.get("valueType") or text.get("valuetype") or "text").lower()
    if kind == "url":
        raise InvalidValue(
            f'{tag} {to_name!r} fetches its text from an address (valueType="url"), and a campaign reads texts from the tasks. Import the '
            f"texts themselves, and take valueType off"
        )
    if text.get("encoding", "none").lower() != "none":
        raise InvalidValue(f"{tag} {to_name!r} holds encoded texts (encoding={text.get('encoding')!r}); import them as plain text")
    key = data_key_of(value)
    if key is None:
        raise InvalidValue(f'{tag} {to_name!r} must have value="$field" naming a field of the task\'s data, got value={value!r}')
    return key
