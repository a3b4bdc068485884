from __future__ import annotations

import pytest

from backend.label_studio.config import campaign_control, config_fingerprint, controls_beside, parse_label_config, warn_of
from backend.label_studio.port import LabelControl
from mcal_engine.errors import InvalidValue

IMAGE = '<Image name="image" value="$image"/>'


def choices(inner: str = '<Choice value="cat"/><Choice value="dog"/>', name: str = "kind", to: str = "image", more: str = "") -> str:
    return f'<Choices name="{name}" toName="{to}" {more}>{inner}</Choices>'


def view(*parts: str) -> str:
    return f"<View>{''.join(parts)}</View>"


def test_the_control_is_found_among_other_tags_and_whatever_the_layout() -> None:
    xml = view('<Header value="Which?"/>', IMAGE, '<Text name="note" value="$note"/>', view(choices(more='choice="single-radio"')))
    assert parse_label_config(xml) == LabelControl("kind", "image", "image", ("cat", "dog"))


def test_an_alias_stands_in_results_and_so_is_the_choice() -> None:
    xml = view(IMAGE, choices('<Choice value="A cat!" alias="cat"/><Choice value="dog"/>'))
    assert parse_label_config(xml).choices == ("cat", "dog")


def test_one_of_several_controls_is_taken_by_name() -> None:
    xml = view(IMAGE, choices(), choices(name="quality"))
    assert parse_label_config(xml, "quality").from_name == "quality"
    with pytest.raises(InvalidValue, match=r"2 Choices.*label_control.*kind, quality"):
        parse_label_config(xml)
    with pytest.raises(InvalidValue, match=r"got 'colour'; there are: kind, quality"):
        parse_label_config(xml, "colour")


@pytest.mark.parametrize(
    ("xml", "rule"),
    [
        (view(IMAGE), "must have a single-choice Choices on an Image"),
        (view('<Text name="text" value="words"/>', choices(to="text")), "Text 'text' must have value=.*field"),
        (view(IMAGE, choices(more='choice="multiple"')), 'must be single choice, got choice="multiple"'),
        (view(IMAGE, choices('<Choice value="cat"/><Choice value="cat"/>')), "different choices, got twice: cat"),
        (view(IMAGE, choices('<Choice value="cat"/>')), "at least 2 choices, got 1"),
        (view(IMAGE, choices('<Choice value="cat"/><Choice/>')), "a Choice without a value"),
        (view(IMAGE, choices("", more='value="$options"')), "must list its choices in the label config"),
        (view(IMAGE, choices(more='allowNested="true"')), "nested choices"),
        (view(IMAGE, choices(more='perRegion="true"')), "choices per region"),
        (view('<Image name="image" value="http://x/y.png"/>', choices()), r'must have value="\$field".*got value=\'http'),
        (view('<Image name="image"/>', choices()), r'must have value="\$field".*got value=\'\''),
        (view('<Image name="image" value="$"/>', choices()), r'must have value="\$field"'),
        (
            view('<Image name="image" valueList="$images"/>', choices()),
            r'one image in each task.*value="\$images\[0\]" to ask',
        ),
        (view('<Image name="image" value="$image" valuelist="$images"/>', choices()), "all images of .*images"),
        ("<View>", "not valid XML"),
        ("", "not valid XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><View/>', "must not have a DOCTYPE"),
        ('<!doctype a SYSTEM "file:///etc/passwd"><View/>', "must not have a DOCTYPE"),
        ("<View>" + "x" * 1_000_001 + "</View>", "at most 1,000,000 characters"),
    ],
)
def test_a_config_that_cannot_be_used_says_which_rule_it_breaks(xml: str, rule: str) -> None:
    with pytest.raises(InvalidValue, match=rule):
        parse_label_config(xml)


def test_the_fingerprint_follows_the_meaning_and_not_the_looks() -> None:
    plain = config_fingerprint(parse_label_config(view(IMAGE, choices())))
    dressed = view(
        "<Style>.a{color:red}</Style>", IMAGE, choices('<Choice value="cat" hotkey="1"/>\n<Choice value="dog" background="red"/>')
    )
    assert config_fingerprint(parse_label_config(dressed)) == plain
    for inner in (
        '<Choice value="cat"/><Choice value="hound"/>',
        '<Choice value="dog"/><Choice value="cat"/>',
        '<Choice value="cat"/><Choice value="dog"/><Choice value="cow"/>',
    ):
        assert config_fingerprint(parse_label_config(view(IMAGE, choices(inner)))) != plain


def test_a_choice_inside_a_choice_is_never_offered_without_allow_nested_and_is_none() -> None:
    inner = '<Choice value="animal"><Choice value="cat"/><Choice value="dog"/></Choice><Choice value="plant"/>'
    assert parse_label_config(view(IMAGE, choices(inner))).choices == ("animal", "plant")
    with pytest.raises(InvalidValue, match="nested choices"):
        parse_label_config(view(IMAGE, choices(inner, more='allowNested="true"')))


BESIDE = {
    "'quality' (Choices)": choices(name="quality", more='required="true"'),
    "'note' (TextArea)": '<TextArea name="note" toName="image" required="true"/>',
    "'box' (RectangleLabels)": '<RectangleLabels name="box" toName="image" required="true"><Label value="a"/></RectangleLabels>',
}


@pytest.mark.parametrize("what", BESIDE)
def test_what_else_is_required_stands_in_the_way_of_a_campaign_and_both_ways_out_are_told(what: str) -> None:
    xml = view(IMAGE, choices(more='required="true"'), BESIDE[what])
    with pytest.raises(InvalidValue) as refused:
        campaign_control(xml, "kind")
    said = str(refused.value)
    assert what in said and 'required="true" off' in said and "project of its own" in said
    assert parse_label_config(xml, "kind").from_name == "kind"  # a campaign that is under way goes on
    asked = xml.replace(BESIDE[what], BESIDE[what].replace("true", "false"))
    control = campaign_control(asked, "kind")
    assert control.from_name == "kind" and what in warn_of(controls_beside(asked, control))


def test_a_config_with_nothing_beside_the_control_is_not_warned_of() -> None:
    xml = view('<Header value="Which?"/>', IMAGE, choices(more='required="true"'))
    assert warn_of(controls_beside(xml, campaign_control(xml))) == ""


TEXT = '<Text name="words" value="$text"/>'


def test_a_choice_on_a_text_is_a_campaign_on_texts() -> None:
    asked = '<Choices name="kind" toName="words"><Choice value="cat"/><Choice value="dog"/></Choices>'
    text = parse_label_config(view(TEXT, asked))
    page = parse_label_config(view('<HyperText name="words" value="$text"/>', asked))
    assert (text.shows, text.reads, text.data_key) == ("text", "text", "text")
    assert (page.shows, page.reads) == ("hypertext", "text")
    assert config_fingerprint(text) != config_fingerprint(page)


CLASSES = '<Choice value="a"/><Choice value="b"/>'


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        (
            view(IMAGE, '<RectangleLabels name="box" toName="image"><Label value="a"/></RectangleLabels>'),
            "RectangleLabels 'box' marks regions",
        ),
        (view(IMAGE, '<BrushLabels name="b" toName="image"><Label value="a"/></BrushLabels>'), "BrushLabels 'b' marks regions"),
        (view(TEXT, '<Labels name="ner" toName="words"><Label value="a"/></Labels>'), "Labels 'ner' marks parts of a text"),
        (view(TEXT, f'<Taxonomy name="tree" toName="words">{CLASSES}</Taxonomy>'), "Taxonomy 'tree' asks for paths"),
        (view(TEXT, '<Rating name="stars" toName="words"/>'), "Rating 'stars' asks for a number of stars"),
        (view(TEXT, '<TextArea name="says" toName="words"/>'), "TextArea 'says' asks for free text"),
        (view(IMAGE, '<Pairwise name="two" toName="image"/>'), "Pairwise 'two' compares two items"),
        (view(IMAGE, '<Number name="n" toName="image"/>'), "Number 'n' asks for a number"),
        (view('<Audio name="au" value="$a"/>', f'<Choices name="k" toName="au">{CLASSES}</Choices>'), "a recording .Audio 'au'."),
        (view('<Video name="v" value="$a"/>', f'<Choices name="k" toName="v">{CLASSES}</Choices>'), "a video .Video 'v'."),
        (view(TEXT, f'<Choices name="k" toName="gone">{CLASSES}</Choices>'), "'gone', which is no Image, Text or HyperText"),
        (view('<Text name="t" value="$u" valueType="url"/>', f'<Choices name="k" toName="t">{CLASSES}</Choices>'), "take valueType off"),
    ],
)
def test_an_interface_that_no_campaign_labels_gets_a_sentence_with_its_tag_and_the_way_out(xml: str, says: str) -> None:
    with pytest.raises(InvalidValue, match=says) as refused:
        parse_label_config(xml)
    assert any(way in str(refused.value) for way in ("Choices", "Import"))
