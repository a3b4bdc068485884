"""What a finished data set can be taken away as: one table, which the API, the command line and the pages are made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from backend.campaign.state import State
from backend.store import Store
from backend.views.exports.card import data_card
from backend.views.exports.hugging_face import data_set
from backend.views.exports.lists import image_folder, items_csv, items_jsonl, manifest
from backend.views.exports.rows import Export, export_of
from backend.views.report import Report
from mcal_engine.errors import InvalidValue

__all__ = ["FORMATS", "Export", "Format", "export", "export_of", "items_csv"]


@dataclass(frozen=True, slots=True)
class Format:
    """One row of the table.

    Attributes:
        name: as ``mcal campaign export --format`` has it.
        file: name of the file, below the campaign's address in the API too.
        media_type: of its content.
        title: on a button.
        summary: what it holds, in one line.
        write: its content in chunks.
        images_only: whether it says nothing of texts.
    """

    name: str
    file: str
    media_type: str
    title: str
    summary: str
    write: Callable[[Export], Iterator[str] | Iterator[bytes]]
    images_only: bool = False

    def chunks(self, found: Export) -> Iterator[bytes]:
        """Raises InvalidValue at once, not with the first chunk, for what this format cannot hold."""
        if self.images_only and found.reads != "image":
            raise InvalidValue(f"{self.name} is for images, and the items of campaign {found.campaign} are texts: take csv or jsonl")
        parts = self.write(found)
        return (part.encode() if isinstance(part, str) else part for part in parts)


_ROWS = (
    Format("csv", "items.csv", "text/csv", "All items as CSV", "Every item: label, by whom, margin, certificate, probability.", items_csv),
    Format(
        "jsonl", "items.jsonl", "application/jsonl", "JSON lines", "Every item with its provenance, an object on each line.", items_jsonl
    ),
    Format(
        "parquet",
        "dataset.zip",
        "application/zip",
        "Hugging Face",
        "A Hugging Face data set: parquet files with the splits human and machine, and the data card.",
        data_set,
    ),
    Format(
        "imagefolder",
        "metadata.jsonl",
        "application/jsonl",
        "Image folder",
        "The metadata.jsonl of a Hugging Face image folder: put it beside the images.",
        image_folder,
        images_only=True,
    ),
    Format(
        "sagemaker",
        "output.manifest",
        "application/jsonl",
        "SageMaker",
        "An augmented manifest as SageMaker Ground Truth writes it.",
        manifest,
    ),
    Format("card", "card.md", "text/markdown", "Data card", "How the labels came about and what vouches for them, in Markdown.", data_card),
)
FORMATS = {row.name: row for row in _ROWS}


def export(store: Store, state: State, report: Report) -> Export:
    """A campaign's data set, with the frozen order that machine labels have their probability from."""
    frozen = store.frozen(state.campaign_id, state.outcomes[-1].look) if state.outcomes else []
    return export_of(state, report, frozen)
