"""Labelling interfaces that no campaign can label: one sentence for each, which names the tag and the way out."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree.ElementTree import Element

from backend.label_studio.kinds import KINDS

_WAY = 'add <Choices name="label" toName="{to}" choice="single"> with one <Choice value="…"/> for each class'
_EXAMPLE = (
    '<Image name="image" value="$image"/> or <Text name="text" value="$text"/>, and <Choices name="label" toName="…"> with one '
    '<Choice value="…"/> per class'
)

_REGIONS = "marks regions, and a campaign labels whole items"
_CONTROLS: Mapping[str, str] = {  # what each control asks for, in lower case as Label Studio reads its tags
    **dict.fromkeys(
        ("brush", "brushlabels", "ellipse", "ellipselabels", "keypoint", "keypointlabels", "magicwand", "polygon", "polygonlabels"),
        _REGIONS,
    ),
    **dict.fromkeys(("rectangle", "rectanglelabels", "bitmask", "bitmasklabels", "vector", "vectorlabels", "videorectangle"), _REGIONS),
    "labels": "marks parts of a text or recording, and a campaign labels whole items",
    "hypertextlabels": "marks parts of a text, and a campaign labels whole items",
    "paragraphlabels": "marks parts of a dialogue, and a campaign labels whole items",
    "timeserieslabels": "marks parts of a series, and a campaign labels whole items",
    "timelinelabels": "marks parts of a video, and a campaign labels whole items",
    "relations": "joins regions, and a campaign labels whole items",
    "relation": "joins regions, and a campaign labels whole items",
    "number": "asks for a number, and a campaign labels one of a list of classes",
    "datetime": "asks for a date, and a campaign labels one of a list of classes",
    "textarea": "asks for free text, which no campaign can promise",
    "pairwise": "compares two items, and a campaign labels one item at a time",
    "ranker": "puts items in an order, and a campaign labels one item at a time",
    "list": "puts items in an order, and a campaign labels one item at a time",
    "reactcode": "is an interface of its own code, and a campaign cannot read its answers",
    "chat": "writes a dialogue, which no campaign can promise",
}
_OBJECTS: Mapping[str, str] = {
    "audio": "a recording",
    "audioplus": "a recording",
    "video": "a video",
    "timeseries": "a series of numbers",
    "paragraphs": "a dialogue",
    "table": "a table",
    "pdf": "a PDF",
    "chat": "a chat",
    "website": "a page",
    "largeimage": "a large image",
}


def nothing_to_label(root: Element) -> str:
    """Why a labelling interface without a control of ours on an image or text cannot be labelled, and what to do."""
    named = {tag.get("name", ""): tag for tag in root.iter() if tag.get("name") and tag.get("toName") is None}
    known = next((name for name, tag in named.items() if tag.tag.lower() in ("image", "text", "hypertext")), None)
    for control in (tag for tag in root.iter() if tag.get("toName") is not None):
        what, name = control.tag, control.get("name", "")
        on = named.get(control.get("toName", "").split(",")[0])
        if what.lower() in KINDS and "," in control.get("toName", ""):
            return f"{what} {name!r} asks about several tags at once (toName={control.get('toName')!r}); name one of them"
        if what.lower() in KINDS and on is not None and on.tag.lower() in _OBJECTS:
            return (
                f"{what} {name!r} asks about {_OBJECTS[on.tag.lower()]} ({on.tag} {on.get('name')!r}), and a campaign classifies images "
                f"and texts. Show what tells the classes as an Image or a Text, and let {what} ask about that"
            )
        if what.lower() in KINDS:
            return f"{what} {name!r} asks about {control.get('toName')!r}, which is no Image, Text or HyperText here: {_EXAMPLE}"
        if what.lower() in _CONTROLS:
            way = _WAY.format(to=known) if known else f"the form is {_EXAMPLE}"
            return f"{what} {name!r} {_CONTROLS[what.lower()]}; {way}"
    return f"label config must have Choices, a Taxonomy or a Rating on an Image, Text or HyperText: {_EXAMPLE}"
