"""Folders of images: one folder per class, with or without splits above, days or cameras below."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mcal_engine.errors import InvalidValue
from mcal_engine.simulator.readers.listing import Listing, listing_of, shown
from mcal_engine.simulator.readers.names import BESIDE_FOLDERS, IMAGE_FOLDERS, SPLITS, is_image_file, is_leaving
from mcal_engine.words import counted

HOW = "pass the folder whose sub-folders are the classes, or a .csv list with the columns path,label"


@dataclass
class _Folder:
    """What lies in a folder, leavings left out."""

    path: Path
    images: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    folders: list[_Folder] = field(default_factory=list)

    def all_images(self) -> list[Path]:
        return [*self.images, *(image for folder in self.folders for image in folder.all_images())]

    def all_others(self) -> list[Path]:
        return [*self.others, *(other for folder in self.folders for other in folder.all_others())]

    @property
    def filled(self) -> list[_Folder]:
        """Sub-folders with an image somewhere below."""
        return [folder for folder in self.folders if folder.all_images()]


def read_folder(path: Path) -> Listing:
    """``CLASS/*.jpg`` and what people make of it; classes are in the order of their names.

    Read: one folder per class, images any number of folders below it; train, test and the like above the classes (put together); one more
    folder around everything; suffixes in capitals, .jfif, .avif, none.

    Raises:
        InvalidValue: no such layout; it is named, with what to pass instead.
    """
    unused: Counter[str] = Counter()
    root = _walk(path, unused, set())
    while len(root.filled) == 1 and not root.images and root.filled[0].filled:  # the folder that a zip was made of
        unused.update(_others(root.others))
        root = root.filled[0]
    notes: list[str] = []
    splits = [folder for folder in root.filled if folder.path.name.lower() in SPLITS]
    has_splits = any(folder.filled for folder in splits)
    if splits and len(splits) == len(root.filled) and not has_splits:
        flat = shown([folder.path.name for folder in splits])
        raise InvalidValue(f"{path} holds images in {flat} without class folders, so nothing tells their classes: {HOW}")
    classes = _of_splits(root, splits, unused, notes) if has_splits else _of_classes(root, unused)
    _refuse_other_tasks(classes, path)
    unused.update(_others(root.all_others()))
    notes += [f"the folder {folder.path.name} holds no image" for folder in root.folders if not folder.all_images()]
    names = sorted(classes)
    images = [image for name in names for image in sorted(classes[name])]
    labels = np.repeat(np.arange(len(names)), [len(classes[name]) for name in names]).astype(np.int64)
    return listing_of(path.name, images, (labels, tuple(names)), unused, notes, source=str(path))


def _walk(path: Path, unused: Counter[str], seen: set[str]) -> _Folder:
    found = _Folder(path)
    real = os.path.realpath(path)
    if real in seen:  # a link to a folder above
        return found
    for entry in sorted(path.iterdir()):
        if is_leaving(entry.name):
            unused["leavings of macOS, Windows or Jupyter"] += 1 if entry.is_file() else sum(each.is_file() for each in entry.rglob("*"))
        elif entry.is_dir():
            found.folders.append(_walk(entry, unused, seen | {real}))
        elif is_image_file(entry):
            found.images.append(entry)
        else:
            found.others.append(entry)
    return found


def _of_splits(root: _Folder, splits: Sequence[_Folder], unused: Counter[str], notes: list[str]) -> dict[str, list[Path]]:
    """Classes below train, valid, test …: the same class of each together."""
    classes: dict[str, list[Path]] = {}
    for split in splits:
        if not split.filled:
            unused[f"in {split.path.name}/ without a class folder"] += len(split.images)
            continue
        for name, images in _of_classes(split, unused).items():
            classes.setdefault(name, []).extend(images)
    together = [split.path.name for split in splits if split.filled]
    if len(together) > 1:
        notes.append(f"{shown(together)} were put together")
    for folder in root.filled:
        if folder not in splits:
            unused[f"in {folder.path.name}/ beside {splits[0].path.name}/"] += len(folder.all_images())
    unused["beside the class folders"] += len(root.images)
    return classes


def _of_classes(root: _Folder, unused: Counter[str]) -> dict[str, list[Path]]:
    if not root.filled:
        raise InvalidValue(_no_classes(root))
    names = {folder.path.name.lower() for folder in root.filled}
    if names & IMAGE_FOLDERS and names & BESIDE_FOLDERS:  # images/CLASS beside masks/CLASS
        return _of_classes(_only_images(root, unused), unused)
    if len(root.filled) > 1:
        _refuse_two_levels(root)
    unused["beside the class folders"] += len(root.images)
    return {folder.path.name: _only_images(folder, unused).all_images() for folder in root.filled}


def _only_images(folder: _Folder, unused: Counter[str]) -> _Folder:
    """The folder without the masks that lie beside its images."""
    names = {each.path.name.lower() for each in folder.filled}
    if not (names & IMAGE_FOLDERS and names & BESIDE_FOLDERS):
        return folder
    kept = [each for each in folder.filled if each.path.name.lower() not in BESIDE_FOLDERS]
    unused["masks beside their images"] += len(folder.all_images()) - len(folder.images) - sum(len(each.all_images()) for each in kept)
    if len(kept) == 1 and kept[0].filled and not kept[0].images and not folder.images:
        return kept[0]
    return _Folder(folder.path, folder.images, folder.others, kept)


def _refuse_two_levels(root: _Folder) -> None:
    """Nobody can tell CLASS/DAY from DAY/CLASS where the names below repeat."""
    if any(folder.images for folder in root.filled):
        return
    below = [{each.path.name for each in _only_images(folder, Counter()).filled} for folder in root.filled]
    times = Counter(name for names in below for name in names if name.lower() not in IMAGE_FOLDERS)
    repeated = sorted(name for name, n in times.items() if n > 1)
    if repeated and len(times) > 1:
        above = shown([folder.path.name for folder in root.filled])
        raise InvalidValue(
            f"{root.path} has two levels of folders, {above} above {shown(sorted(times))}, and either could be the classes: {HOW}"
        )


def _refuse_other_tasks(classes: dict[str, list[Path]], path: Path) -> None:
    if {name.lower() for name in classes} <= IMAGE_FOLDERS | BESIDE_FOLDERS:
        raise InvalidValue(
            f"{path} is laid out for detection or segmentation ({shown(sorted(classes))}) and no folder is a class; for one label per "
            f"image {HOW}"
        )


def _no_classes(root: _Folder) -> str:
    expected = "expected CLASS/*.jpg, one sub-folder per class"
    if not root.images:
        return f"{root.path} holds no sub-folder with images; {expected}"
    lists = [other for other in root.others if other.suffix.lower() in {".csv", ".json", ".jsonl", ".manifest", ".tsv"}]
    instead = f"; pass its list: {lists[0]}" if lists else f"; {HOW}"
    return f"{root.path} holds {counted(len(root.images), 'image')} but no sub-folder with images; {expected}{instead}"


def _others(files: Sequence[Path]) -> Counter[str]:
    return Counter(f"{file.suffix.lower() or 'without a suffix,'} files that are no images" for file in files)
