"""What the doctor asks Label Studio, and how its answers are read."""

from __future__ import annotations

import pytest

from backend.label_studio.inspection import Inspector
from backend.label_studio.port import LabelStudioError
from backend.label_studio.transport import Connection
from tests.backend.label_studio.local_server import Answer, as_json, serving

TOKEN = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("answer", "may"),
    [
        (as_json({"name": "Project Api", "actions": {"PUT": {"sampling": {"read_only": False}}}}), True),
        (as_json({"name": "Project Api", "parses": ["application/json"]}), False),
        (as_json({"detail": 'Method "OPTIONS" not allowed.'}, 405), None),
        (as_json([]), None),
    ],
)
def test_rights_are_read_from_what_options_describes(answer: Answer, may: bool | None) -> None:
    with serving(lambda _: answer) as server:
        connection = Connection(server.url, TOKEN, first_pause=0.01)
        try:
            assert Inspector(connection).may_change(7) is may
        finally:
            connection.close()
    assert {(each.method, each.path) for each in server.asked} == {("OPTIONS", "/api/projects/7")}


def test_a_label_studio_that_is_down_says_nothing_about_rights() -> None:
    with serving(lambda _: as_json({}, 503)) as server:
        connection = Connection(server.url, TOKEN, first_pause=0.01)
        try:
            with pytest.raises(LabelStudioError):
                Inspector(connection).may_change(7)
        finally:
            connection.close()
