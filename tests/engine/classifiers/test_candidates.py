"""What a candidate's name may say, and what is said about a wrong one."""

from __future__ import annotations

import pytest

from mcal_engine.classifiers import check_race, default_candidates, names, parse, race_of
from mcal_engine.errors import InvalidValue


def test_a_name_alone_is_a_family():
    assert {"frozen", "both", "finetune", "cnn", "cnn18", "resnet18", "resnet50", "efficientnet_b0"} == set(names("image"))
    assert names("text") == ("frozen", "tfidf")
    assert parse("resnet18").arguments == {"net": "resnet18"}


def test_options_follow_in_any_order_and_become_values():
    assert parse("cnn:flip=no:epochs=3").arguments == {"net": "cnn", "flip": False, "epochs": 3}
    assert parse("cnn:loss=balanced:flip=auto:warm=yes:nets=2").arguments == {
        "net": "cnn",
        "loss": True,
        "flip": None,
        "warm": True,
        "nets": 2,
    }


def test_an_encoder_follows_the_families_that_have_one():
    assert parse("frozen:resnet50").arguments == {"encoder": "resnet50"}
    assert parse("finetune:resnet18:epochs=4").arguments == {"encoder": "resnet18", "epochs": 4}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet", r"unknown classifier 'resnet'; known: .*cnn.*resnet18"),
        ("", r"unknown classifier ''; known: "),
        ("resnet18:", r"'' has no meaning there; the form is resnet18\[:epochs=…\]"),
        ("resnet18:small", r"'small' has no meaning there"),
        ("frozen:a:b", r"'b' has no meaning there; the form is frozen\[:ENCODER\]"),
        ("cnn:epoch=3", r"unknown option 'epoch'; options of cnn: epochs, batch, flip, loss, warm, nets"),
        ("cnn:epochs=0", r"epochs must be a whole number in 1 … 1000, got '0'"),
        ("cnn:epochs=many", r"epochs must be a whole number in 1 … 1000, got 'many'"),
        ("cnn:flip=perhaps", r"flip must be one of yes, no, auto, got 'perhaps'"),
        ("cnn:epochs=3:epochs=4", r"option 'epochs' is given twice"),
    ],
)
def test_a_wrong_name_is_refused_with_what_it_could_be(name, said):
    with pytest.raises(InvalidValue, match=said):
        parse(name)


@pytest.mark.parametrize("device", ["cpu", "auto", "cuda", "cuda:1", "mps"])
@pytest.mark.parametrize("n_items", [500, 70_000, 1_200_000])
def test_the_default_race_has_few_candidates_that_exist_the_quickest_first(device, n_items):
    race = default_candidates(n_items, device)
    assert race[0] == "frozen"
    assert len(set(race)) == len(race) <= 3
    check_race(race)


def test_fine_tuning_races_where_its_minutes_are_little_beside_the_labels():
    races = {n_items: default_candidates(n_items, "auto") for n_items in (500, 9_999, 10_000, 200_000, 200_001)}
    assert [n_items for n_items, race in races.items() if "finetune" in race] == [10_000, 200_000]
    assert "finetune" in default_candidates(500, "cuda:1")


def test_auto_stands_alone_and_for_the_default_race():
    check_race(["auto"])
    assert race_of(("auto",), 70_000, "cpu") == ("frozen", "finetune")
    assert race_of(["cnn", "frozen"], 70_000, "cpu") == ("cnn", "frozen")
    with pytest.raises(InvalidValue, match="auto chooses the classifiers and stands alone, got auto, cnn"):
        check_race(["auto", "cnn"])
    with pytest.raises(InvalidValue, match="unknown classifier 'vgg'"):
        check_race(["frozen", "vgg"])


def test_an_image_with_a_text_beside_it_is_seen_whole_by_one_of_the_race() -> None:
    assert race_of(("auto",), 70_000, "cpu", beside=True) == ("both", "frozen", "finetune")
    assert race_of(("frozen",), 300, "cpu", beside=True) == ("frozen",)  # somebody chose
    assert race_of(("both", "cnn"), 300, "cpu", beside=True) == ("both", "cnn") and parse("both").pairs
    with pytest.raises(InvalidValue, match="'both' needs a text beside each image, and here is none"):
        race_of(("both",), 300, "cpu")
    with pytest.raises(InvalidValue, match="'both' classifies images, and the items are texts"):
        race_of(("both",), 300, "cpu", "text")
    check_race(["both"])  # nothing is known of the items yet


def test_texts_have_a_race_of_their_own_and_refuse_classifiers_of_images() -> None:
    assert race_of(("auto",), 70_000, "cuda", "text") == ("frozen", "tfidf")
    check_race(["frozen:/models/mine", "tfidf"], "text")
    with pytest.raises(InvalidValue, match="'cnn' classifies images, and the items are texts; known for them: frozen, tfidf"):
        race_of(("cnn",), 300, "cpu", "text")
    with pytest.raises(InvalidValue, match="'tfidf' classifies texts, and the items are images"):
        check_race(["tfidf"], "image")
