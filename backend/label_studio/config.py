"""Reads a project's label config: which controls a campaign labels with, and whether they are still the same."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Literal
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from backend.label_studio.kinds import KINDS
from backend.label_studio.kinds.tags import attribute, outermost, says_yes
from backend.label_studio.port import CHOICES, Control, LabelControl, TextBeside
from backend.label_studio.references import data_key_of
from backend.label_studio.unsupported import nothing_to_label
from mcal_engine.answers import Question, Questions, ShownIf
from mcal_engine.errors import InvalidValue
from mcal_engine.parts import every_answer

MAX_CONFIG_LENGTH = 1_000_000
_SHOWS: dict[str, Literal["image", "text", "hypertext"]] = {"image": "image", "text": "text", "hypertext": "hypertext"}


def parse_label_config(xml: str, label_controls: str | None = None) -> LabelControl:
    """What a campaign labels with: every control about one image or text that can be labelled, or those that are named.

    Args:
        xml: the project's label config.
        label_controls: names of controls, comma separated.

    Raises:
        InvalidValue: nothing that can be labelled, or something that cannot; the text says what to change.
    """
    root = _parse(xml)
    shown = {attribute(tag, "name"): tag for tag in root.iter() if tag.tag.lower() in _SHOWS}
    candidates = [tag for tag in root.iter() if tag.tag.lower() in KINDS and attribute(tag, "toName") in shown]
    if not candidates:
        raise InvalidValue(nothing_to_label(root))
    chosen = _named(candidates, label_controls)
    _refuse_several_items(chosen)
    controls = _conditioned([(tag, _control(tag)) for tag in chosen], root)
    to_name = attribute(chosen[0], "toName")
    item = shown[to_name]
    shows = _SHOWS[item.tag.lower()]
    key = _data_key(item, to_name) if shows == "image" else _text_key(item, to_name)
    names = ", ".join(control.question.name for control in controls)
    beside = _beside(root) if shows == "image" else ()
    first = controls[0]
    if len(controls) > 1 or first.question.several:
        questions = Questions(tuple(control.question for control in controls))
        return LabelControl(names, to_name, key, tuple(every_answer(questions) or ()), shows, controls, beside)
    if first.kind == CHOICES:
        return LabelControl(names, to_name, key, first.question.choices, shows, beside=beside)
    return LabelControl(names, to_name, key, first.question.choices, shows, controls, beside)


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
    """What people read before they choose, of one control with one choice.

    Raises:
        InvalidValue: not a label config.
    """
    root = _parse(xml)
    tag = next((each for each in root.iter() if each.tag.lower() == CHOICES and attribute(each, "name") == control.from_name), None)
    headers = tuple(
        each.get("value", "") for each in root.iter() if each.tag.lower() == "header" and not each.get("value", "$").startswith("$")
    )
    if tag is None:
        return Interface(headers, tuple(ChoiceText(choice, choice, "") for choice in control.choices))
    listed = [(attribute(each, "value"), attribute(each, "alias"), attribute(each, "hint")) for each in outermost(tag)]
    return Interface(headers, tuple(ChoiceText(alias or value, value or alias, hint) for value, alias, hint in listed))


@dataclass(frozen=True, slots=True)
class Beside:
    """What else people are asked, besides what a campaign asks: ``'name' (Tag)`` of each control. Machine labels hold no answer to it.

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
    ours = {question.name for question in control.questions}
    for tag in _parse(xml).iter():
        name = attribute(tag, "name")
        if not attribute(tag, "toName") or name in ours:
            continue  # an object or a layout tag, or ours
        found = required if says_yes(tag, "required") else optional
        found.append(f"{name!r} ({tag.tag})")
    return Beside(tuple(required), tuple(optional))


def campaign_control(xml: str, label_controls: str | None = None) -> LabelControl:
    """As :func:`parse_label_config`, for a campaign that is to begin: machine labels must not lack what every task has to have.

    Raises:
        InvalidValue: also where something else is required; the text has the two ways out.
    """
    control = parse_label_config(xml, label_controls)
    beside = controls_beside(xml, control)
    if not beside.required:
        return control
    what = ", ".join(beside.required)
    raise InvalidValue(
        f"the labelling interface also requires an answer to {what}, and machine labels would hold {control.from_name!r} alone. Take "
        f'required="true" off, name it in label_controls if it is left out there, or ask for {what} in a project of its own'
    )


def warn_of_nothing(control: LabelControl) -> str:
    """What to say where people may submit with nothing ticked; empty where that cannot be meant as an answer."""
    asked = tuple(control.questions)
    if not all(question.optional for question in asked) or not any(question.several for question in asked):
        return ""
    return (
        f"People can submit an item with nothing chosen under {control.from_name!r}, of which Label Studio keeps nothing: such items have "
        'no label and are set aside. If that is an answer, add a choice for it, such as "none", and set required="true".'
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
    if control.controls:
        meaning.append([asdict(each) for each in control.controls])
    return hashlib.sha256(json.dumps(meaning, ensure_ascii=False).encode()).hexdigest()


def _parse(xml: str) -> Element:
    if len(xml) > MAX_CONFIG_LENGTH:
        raise InvalidValue(f"label config must have at most {MAX_CONFIG_LENGTH:,} characters, got {len(xml):,}")
    if re.search(r"<!\s*(DOCTYPE|ENTITY)", xml, re.IGNORECASE):  # entities can expand without bound or read files
        raise InvalidValue("label config must not have a DOCTYPE or ENTITY declaration")
    try:
        return ElementTree.fromstring(xml)  # noqa: S314 (declarations are refused above)
    except ElementTree.ParseError as error:
        raise InvalidValue(f"label config is not valid XML: {error}") from None


def _named(candidates: list[Element], label_controls: str | None) -> list[Element]:
    """All of them, or those whose names are given, in the order of the labelling interface."""
    if label_controls is None:
        return candidates
    names = [attribute(tag, "name") for tag in candidates]
    wanted = [name for part in label_controls.split(",") if (name := part.strip())]
    if not wanted or any(names.count(name) != 1 for name in wanted):
        wrong = next((name for name in wanted if names.count(name) != 1), label_controls)
        raise InvalidValue(
            f"label_controls must name controls that ask about an Image, Text or HyperText, got {wrong!r}; there are: {', '.join(names)}"
        )
    return [tag for tag, name in zip(candidates, names, strict=True) if name in wanted]


def _refuse_several_items(chosen: list[Element]) -> None:
    """A campaign is about one tag: several would need an answer for each."""
    by_item: dict[str, list[str]] = {}
    for tag in chosen:
        by_item.setdefault(attribute(tag, "toName"), []).append(attribute(tag, "name"))
    if len(by_item) > 1:
        about = "; ".join(f"{', '.join(names)} about {item!r}" for item, names in by_item.items())
        raise InvalidValue(
            f"the controls ask about several tags ({about}), and a campaign is about one of them: name the controls of one in the setting "
            "label_controls"
        )


def _control(tag: Element) -> Control:
    """A tag as a control, without the condition under which it is shown."""
    name, kind = attribute(tag, "name"), KINDS[tag.tag.lower()]
    if not name:
        raise InvalidValue(f"{tag.tag} must have a name")
    for flag, what in (("perRegion", "an answer per region"), ("perItem", "an answer per image")):
        if says_yes(tag, flag):
            raise InvalidValue(
                f'{tag.tag} {name!r} must ask about the whole item, got {flag}="true" ({what}): take that off, or name the other controls '
                "in the setting label_controls"
            )
    choices = kind.choices(tag)
    if len(choices) < 2:
        raise InvalidValue(f"{tag.tag} {name!r} must have at least 2 choices, got {len(choices)}")
    if twice := sorted({choice for choice in choices if choices.count(choice) > 1}):
        raise InvalidValue(f"{tag.tag} {name!r} must have different choices, got twice: {', '.join(twice)}")
    return Control(tag.tag.lower(), Question(name, choices, kind.several(tag), not says_yes(tag, "required"), at_most=kind.at_most(tag)))


def _conditioned(found: list[tuple[Element, Control]], root: Element) -> tuple[Control, ...]:
    """The controls with the conditions under which Label Studio shows them.

    Where a condition is about something else than the answer to another of these controls, whether the question was shown is not known:
    then it may be without an answer.
    """
    parents = {child: parent for parent in root.iter() for child in parent}
    by_name = {control.question.name: (tag, control) for tag, control in found}
    conditioned = []
    for tag, control in found:
        hiding = [each for each in _upwards(tag, parents) if attribute(each, "visibleWhen") not in ("", "no-region-selected")]
        question = control.question
        if any(attribute(each, "visibleWhen") == "region-selected" for each in hiding):
            raise InvalidValue(
                f'{tag.tag} {question.name!r} is shown for a region (visibleWhen="region-selected"), and a campaign labels whole items: '
                "name the other controls in the setting label_controls"
            )
        condition = _condition(hiding[0], question.name, by_name) if len(hiding) == 1 else None
        known = not hiding or condition is not None
        conditioned.append(replace(control, question=replace(question, shown_if=condition, optional=question.optional or not known)))
    return tuple(conditioned)


def _condition(tag: Element, asked: str, by_name: Mapping[str, tuple[Element, Control]]) -> ShownIf | None:
    """What a tag's ``visibleWhen`` says; ``None`` where it is not about the answer to another control of the campaign."""
    on, words = attribute(tag, "whenTagName"), attribute(tag, "whenChoiceValue")
    when = attribute(tag, "visibleWhen")
    if on == asked or on not in by_name or when not in ("choice-selected", "choice-unselected"):
        return None
    other, control = by_name[on]
    choices = tuple(choice for word in words.split(",") for choice in KINDS[control.kind].meant(other, word)) if words else ()
    if words and not choices:
        raise InvalidValue(f"{tag.tag} is shown by {words!r} of {on!r} (whenChoiceValue), which has no such choice")
    return ShownIf(on, tuple(dict.fromkeys(choices)), when == "choice-selected")


def _upwards(tag: Element, parents: Mapping[Element, Element]) -> Iterator[Element]:
    """A tag and what it is in, the innermost first."""
    yield tag
    while tag in parents:
        tag = parents[tag]
        yield tag


def _beside(root: Element) -> tuple[TextBeside, ...]:
    """The texts of tasks that people read; not those that stand in the interface itself, nor those that cannot be read from a task."""
    found = []
    for tag in root.iter():
        shows = _SHOWS.get(tag.tag.lower(), "image")
        elsewhere = attribute(tag, "valueType").lower() == "url" or attribute(tag, "encoding").lower() not in ("", "none")
        key = data_key_of(attribute(tag, "value"))
        if shows != "image" and key is not None and not elsewhere:
            found.append(TextBeside(key, shows))
    return tuple(found)


def _data_key(image: Element, to_name: str) -> str:
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


def _text_key(text: Element, to_name: str) -> str:
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
