"""A queue becomes visible whole or not at all, although people ask between any two of the calls that publish it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

import pytest

from backend.label_studio import queue
from backend.label_studio.port import LabelControl, LabelStudioPort, Prediction
from tests.conftest import RealLabelStudio
from tests.contracts.worlds import CONTROL, FakeWorld, RealWorld, World

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PIECE = 4  # predictions in one import; the client splits long queues as well


class Watched:
    """The port; ``ask`` is called before and after each of its calls, and between the pieces of an import."""

    def __init__(self, port: LabelStudioPort, ask: Callable[[], object]) -> None:
        self._port = port
        self._ask = ask

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._ask()
            found = getattr(self._port, name)(*args, **kwargs)
            self._ask()
            return found

        return call

    def import_predictions(self, project_id: int, model_version: str, predictions: Sequence[Prediction], control: LabelControl) -> None:
        for start in range(0, len(predictions), PIECE):
            self._ask()
            self._port.import_predictions(project_id, model_version, predictions[start : start + PIECE], control)
        self._ask()


class PublicationContract:
    @pytest.fixture
    def world(self) -> World:
        raise NotImplementedError

    def test_who_asks_while_a_queue_is_published_gets_the_old_one_to_its_end_and_the_new_one_from_its_beginning(self, world: World) -> None:
        project_id, ids = world.add_project(40)
        first, second, third = (
            ids[20:22],
            [ids[place] for place in (9, 3, 30, 11, 5, 7, 1, 25, 13, 15)],
            [*ids[31:37], *reversed(ids[26:30])],
        )
        served: list[int] = []
        people = cycle((world.ann, world.bob))

        def ask() -> int | None:
            person = next(people)
            task = world.next_task(project_id, person)
            if task is not None:
                served.append(task)
                world.annotate(task, person, "one")
            return task

        def publish(port: Any, version: str, batch: Sequence[int]) -> None:
            queue.publish(port, project_id, version, batch, sentinel_ids=[ids[39]], control=CONTROL, now=NOW)

        publish(world.port, "b1", first)
        while ask() is not None:
            pass
        assert served == first
        watched = Watched(world.port, ask)
        publish(watched, "b2", second)
        shown = len(served) - len(first)
        assert served == [*first, *second[:shown]] and 0 < shown < len(second)
        publish(watched, "b3", third)  # the second queue is not used up: its rest is given out until the third one is there
        while ask() is not None:
            pass
        of_second = served[len(first) : len(served) - len(third)]
        assert served == [*first, *of_second, *third] and of_second == second[: len(of_second)] and len(of_second) > shown


class TestFakeLabelStudio(PublicationContract):
    @pytest.fixture
    def world(self) -> World:
        return FakeWorld()


@pytest.mark.contract
class TestRealLabelStudio(PublicationContract):
    @pytest.fixture
    def world(self, real_label_studio: RealLabelStudio) -> Iterator[World]:
        world = RealWorld(real_label_studio)
        yield world
        world.close()
