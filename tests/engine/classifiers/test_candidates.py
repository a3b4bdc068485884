"""What a candidate's name may say, and what is said about a wrong one."""

from __future__ import annotations

import pytest

from mcal_engine.classifiers import default_candidates, names, parse
from mcal_engine.errors import InvalidValue


def test_a_name_alone_is_a_family():
    assert {"frozen", "finetune", "cnn", "cnn18", "resnet18", "resnet50", "efficientnet_b0"} == set(names())
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
@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("n_items", [500, 70_000])
def test_the_default_race_has_two_or_three_candidates_that_exist(device, size, n_items):
    race = default_candidates(size, device, n_items)
    assert 2 <= len(race) <= 3
    assert len(set(race)) == len(race)
    for name in race:
        parse(name)
