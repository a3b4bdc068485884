from __future__ import annotations

import pytest

from backend.label_studio.config import campaign_control, config_fingerprint, controls_beside, parse_label_config, warn_of, warn_of_nothing
from backend.label_studio.port import LabelControl, TextBeside
from mcal_engine.answers import Question, ShownIf
from mcal_engine.errors import InvalidValue

IMAGE = '<Image name="image" value="$image"/>'
TEXT = '<Text name="words" value="$text"/>'


def choices(inner: str = '<Choice value="cat"/><Choice value="dog"/>', name: str = "kind", to: str = "image", more: str = "") -> str:
    return f'<Choices name="{name}" toName="{to}" {more}>{inner}</Choices>'


def view(*parts: str) -> str:
    return f"<View>{''.join(parts)}</View>"


def test_the_control_is_found_among_other_tags_and_whatever_the_layout() -> None:
    xml = view('<Header value="Which?"/>', IMAGE, '<Text name="note" value="$note"/>', view(choices(more='choice="single-radio"')))
    assert parse_label_config(xml) == LabelControl("kind", "image", "image", ("cat", "dog"), beside=(TextBeside("note", "text"),))


def test_an_alias_stands_in_results_and_so_is_the_choice() -> None:
    xml = view(IMAGE, choices('<Choice value="A cat!" alias="cat"/><Choice value="dog"/>'))
    assert parse_label_config(xml).choices == ("cat", "dog")


def test_all_controls_of_an_item_are_taken_or_those_that_are_named() -> None:
    xml = view(IMAGE, choices(), choices(name="quality"), choices(name="size"))
    assert parse_label_config(xml, "quality") == LabelControl("quality", "image", "image", ("cat", "dog"))
    assert [each.name for each in parse_label_config(xml).questions] == ["kind", "quality", "size"]
    some = parse_label_config(xml, " size,kind")
    assert (some.from_name, some.plain, some.n_choices) == ("kind, size", False, 6)
    assert parse_label_config(xml, some.from_name) == some
    for wrong in ("colour", "kind, colour", ","):
        with pytest.raises(InvalidValue, match=r"label_controls must name.*there are: kind, quality, size"):
            parse_label_config(xml, wrong)


@pytest.mark.parametrize(
    ("xml", "rule"),
    [
        (view(IMAGE), "must have Choices, a Taxonomy or a Rating on an Image"),
        (view('<Text name="text" value="words"/>', choices(to="text")), "Text 'text' must have value=.*field"),
        (view(IMAGE, choices('<Choice value="cat"/><Choice value="cat"/>')), "different choices, got twice: cat"),
        (view(IMAGE, choices('<Choice value="cat"/>')), "at least 2 choices, got 1"),
        (view(IMAGE, choices('<Choice value="cat"/><Choice/>')), "a Choice without a value"),
        (view(IMAGE, choices("", more='value="$options"')), "must list its choices in the label config"),
        (view(IMAGE, choices(more='allowNested="true"')), "nested choices"),
        (view(IMAGE, choices(more='perRegion="true"')), "must ask about the whole item, got perRegion="),
        (view(IMAGE, choices(more='visibleWhen="region-selected"')), "is shown for a region"),
        (view(IMAGE, TEXT, choices(), choices(name="tone", to="words")), "ask about several tags .kind about 'image'; tone about 'words'."),
        (
            view(IMAGE, choices(), choices(name="b", more='visibleWhen="choice-selected" whenTagName="kind" whenChoiceValue="cow"')),
            "shown by 'cow' of 'kind'.*has no such choice",
        ),
        (
            view(IMAGE, '<Rating name="stars" toName="image" maxRating="many"/>'),
            "whole number of stars from 2 to 100, got maxRating='many'",
        ),
        (view(IMAGE, '<Rating name="stars" toName="image" maxRating="1"/>'), "whole number of stars"),
        (view(IMAGE, '<Taxonomy name="tree" toName="image" apiUrl="http://x"/>'), "reads its tree from an address"),
        (view(IMAGE, '<Taxonomy name="tree" toName="image" labeling="true"><Choice value="a"/></Taxonomy>'), "take labeling off"),
        (view(IMAGE, '<Taxonomy name="tree" toName="image"><Choice value="a / b"/><Choice value="c"/></Taxonomy>'), "write it otherwise"),
        (view(IMAGE, '<Taxonomy name="tree" toName="image"><Choice value="a"/><Choice value="a"/></Taxonomy>'), "got twice: a"),
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


def test_the_texts_of_tasks_that_people_read_beside_an_image_are_known_and_mean_nothing_of_the_labels() -> None:
    beside = (
        '<Text name="title" value="$title"/><Header value="$name"/><Text name="hint" value="Look twice"/><HyperText name="h" value="$a.b"/>'
    )
    elsewhere = '<Text name="far" value="$url" valueType="url"/><Text name="coded" value="$code" encoding="base64"/>'
    control = parse_label_config(view(IMAGE, beside + elsewhere, choices()))
    assert control.beside == (TextBeside("title", "text"), TextBeside("a.b", "hypertext"))
    assert config_fingerprint(control) == config_fingerprint(parse_label_config(view(IMAGE, choices())))
    assert parse_label_config(view(IMAGE, TEXT, choices(to="words"))).beside == ()  # a label on the text is a campaign on texts


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


TREE = (
    '<Taxonomy name="tree" toName="image" {more}><Choice value="Animal" alias="animal"><Choice value="Bird"/><Choice value="Cat"/></Choice>'
    '<Choice value="Plant"/></Taxonomy>'
)


def test_a_taxonomy_has_its_paths_as_choices_and_takes_several_unless_it_says_one() -> None:
    tree = parse_label_config(view(IMAGE, TREE.format(more="")))
    (question,) = tree.questions
    assert question == Question("tree", ("animal", "animal / Bird", "animal / Cat", "Plant"), several=True, optional=True)
    leaves = parse_label_config(view(IMAGE, TREE.format(more='leafsonly="true" maxUsages="1"')))
    assert leaves.plain and leaves.choices == ("animal / Bird", "animal / Cat", "Plant") and leaves.controls[0].kind == "taxonomy"


@pytest.mark.parametrize(("said", "most"), [("2", 2), ("3", 3), ("", None), ("many", None), ("0", None), ("-2", None)])
def test_a_taxonomy_takes_as_many_paths_as_it_says(said: str, most: int | None) -> None:
    tree = parse_label_config(view(IMAGE, TREE.format(more=f'maxUsages="{said}"')))
    (question,) = tree.questions
    assert question.several and question.at_most == most
    longest = max(len(tree.questions.answer_of(text)["tree"]) for text in tree.choices)
    assert longest == (most or 4)  # what a machine may answer


def test_where_nothing_ticked_may_be_meant_people_are_told_that_it_is_no_answer() -> None:
    multiple = choices(more='choice="multiple"')
    assert "nothing chosen under 'kind'" in warn_of_nothing(parse_label_config(view(IMAGE, multiple)))
    assert 'add a choice for it, such as "none"' in warn_of_nothing(parse_label_config(view(IMAGE, multiple)))
    assert "under 'kind, b'" in warn_of_nothing(parse_label_config(view(IMAGE, multiple, choices(name="b"))))
    for never in (
        view(IMAGE, choices(more='choice="multiple" required="true"')),
        view(IMAGE, multiple, choices(name="b", more='required="true"')),  # with an answer to b, nothing ticked is a part of the answer
        view(IMAGE, choices()),
    ):
        assert warn_of_nothing(parse_label_config(never)) == ""


def test_a_control_with_several_choices_is_a_campaign() -> None:
    several = parse_label_config(view(IMAGE, choices(more='choice="multiple" required="true"')))
    assert tuple(several.questions) == (Question("kind", ("cat", "dog"), several=True),) and not several.plain


@pytest.mark.parametrize(
    ("asked", "shown_if", "optional"),
    [
        (choices(name="b", more='visibleWhen="choice-selected" whenTagName="kind" whenChoiceValue="dog,Cat!" required="true"'),
         ShownIf("kind", ("dog", "cat")), False),
        (choices(name="b", more='visibleWhen="choice-unselected" whenTagName="kind" whenChoiceValue="dog"'),
         ShownIf("kind", ("dog",), chosen=False), True),
        (choices(name="b", more='visibleWhen="choice-selected" whenTagName="kind"'), ShownIf("kind"), True),
        (view(choices(name="b", more='required="true"')).replace("<View>", '<View visibleWhen="choice-selected" whenTagName="kind">'),
         ShownIf("kind"), False),
        (choices(name="b", more='visibleWhen="choice-selected" required="true"'), None, True),  # any control at all
        (choices(name="b", more='visibleWhen="choice-selected" whenTagName="gone" required="true"'), None, True),
        (choices(name="b", more='visibleWhen="no-region-selected" required="true"'), None, False),
    ],
)  # fmt: skip
def test_a_condition_is_read_where_it_is_about_another_question_and_else_the_question_may_go_without_an_answer(
    asked: str, shown_if: ShownIf | None, optional: bool
) -> None:
    kind = choices('<Choice value="Cat!" alias="cat"/><Choice value="dog"/>', more='required="true"')
    question = parse_label_config(view(IMAGE, kind, asked)).questions.questions[1]
    assert (question.shown_if, question.optional) == (shown_if, optional)


def test_a_condition_on_the_path_of_a_taxonomy_is_on_its_last_part() -> None:
    asked = choices(name="b", more='visibleWhen="choice-selected" whenTagName="tree" whenChoiceValue="Bird,Animal"')
    control = parse_label_config(view(IMAGE, TREE.format(more=""), asked))
    assert control.questions.questions[1].shown_if == ShownIf("tree", ("animal / Bird", "animal"))


def test_the_fingerprint_of_several_controls_follows_what_each_asks() -> None:
    def of(more: str) -> str:
        return config_fingerprint(parse_label_config(view(IMAGE, choices(), choices(name="b", more=more))))

    assert len({of(""), of('choice="multiple"'), of('visibleWhen="choice-selected" whenTagName="kind"'), of('required="true"')}) == 4


def test_a_rating_is_one_of_its_stars() -> None:
    three = parse_label_config(view(IMAGE, '<Rating name="stars" toName="image" maxRating="3"/>'))
    assert three.plain and three.choices == ("1", "2", "3") and three.controls[0].kind == "rating"
    assert parse_label_config(view(IMAGE, '<Rating name="stars" toName="image"/>')).choices == ("1", "2", "3", "4", "5")


def test_all_answers_there_can_be_are_classes_from_the_start_unless_they_are_too_many() -> None:
    few = parse_label_config(view(IMAGE, choices(more='required="true"'), choices(name="b", more='choice="multiple" required="true"')))
    sets = ('["cat"]', '["dog"]', '["cat", "dog"]')
    assert few.choices == tuple(f'{{"kind": "{kind}", "b": {some}}}' for kind in ("cat", "dog") for some in sets)
    nine = "".join(f'<Choice value="{number}"/>' for number in range(9))
    assert parse_label_config(view(IMAGE, choices(nine, more='choice="multiple"'))).choices == ()
