"""A world whose people answer several questions about each item."""

from __future__ import annotations

from backend.label_studio.config import parse_label_config
from tests.backend.world import World, noise

SEVERAL_CONFIG = (
    '<View><Image name="image" value="$image"/>'
    '<Choices name="kind" toName="image" required="true"><Choice value="cat"/><Choice value="dog"/></Choices>'
    '<Choices name="breed" toName="image" required="true" visibleWhen="choice-selected" whenTagName="kind" whenChoiceValue="dog">'
    '<Choice value="pug"/><Choice value="poodle"/></Choices>'
    '<Choices name="colours" toName="image" choice="multiple"><Choice value="black"/><Choice value="white"/><Choice value="red"/>'
    '<Choice value="brown"/><Choice value="gray"/><Choice value="cream"/><Choice value="tan"/></Choices>'
    '<Taxonomy name="place" toName="image" maxUsages="1" required="true"><Choice value="Home"><Choice value="Garden"/></Choice>'
    '<Choice value="Street"/></Taxonomy></View>'
)
QUESTIONS = parse_label_config(SEVERAL_CONFIG).questions
ANSWERS = tuple(
    QUESTIONS.text_of(answer)
    for answer in (
        {"kind": ("cat",), "colours": ("white", "black"), "place": ("Home / Garden",)},
        {"kind": ("cat",), "place": ("Street",)},
        {"kind": ("dog",), "breed": ("pug",), "colours": ("black",), "place": ("Home",)},
        {"kind": ("dog",), "breed": ("poodle",), "colours": ("white",), "place": ("Street",)},
    )
)


class SeveralQuestions(World):
    """People answer in one of four ways; what the trainer can say is what they have said so far."""

    config = SEVERAL_CONFIG

    def leaning(self, task: int) -> int:
        """The number of the right answer; where nobody has given that one yet, of the first."""
        seen = self.state().choices
        return seen.index(self.right(task)) if self.right(task) in seen else 0

    def right(self, task: int) -> str:
        return ANSWERS[int(noise(task).integers(0, 10**6)) % len(ANSWERS)]
