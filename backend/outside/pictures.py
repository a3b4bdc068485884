"""The pictures of tasks, as models that see are shown them."""

from __future__ import annotations

from backend.label_studio.port import LabelStudioPort, MediaError
from backend.label_studio.wire import image_reference
from backend.outside.answers import ModelError, Question, Subject
from backend.outside.language_model import Picture
from mcal_engine.classifiers.base import UInt8Array, UnreadableImage
from mcal_engine.classifiers.images.decoding import decode

PICTURE_SIDE = 512  # px; what one tile of the large vision models sees


def picture_of(port: LabelStudioPort, *, side: int, max_bytes: int, max_pixels: int) -> Picture:
    """Fetches through Label Studio and scales down to ``side`` px. A picture that cannot be had or read is ``None``."""

    def picture(question: Question, subject: Subject) -> UInt8Array | None:
        try:
            content = port.fetch_media(image_reference(question.data, subject.control), task_id=question.task_id, max_bytes=max_bytes)
            return decode(content, side, max_pixels=max_pixels)
        except UnreadableImage:
            return None
        except MediaError as error:
            if error.retryable:
                raise ModelError(f"the picture of task {question.task_id} cannot be had: {error}", retryable=True) from None
            return None

    return picture
