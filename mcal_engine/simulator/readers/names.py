"""Names of files, folders and columns by which tools mark what they write."""

from __future__ import annotations

from pathlib import Path

from mcal_engine.classifiers.containers import is_image

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif", ".jp2", ".ppm", ".pgm"}
)
SPLITS = frozenset(
    {"train", "training", "trainset", "val", "valid", "validation", "test", "testing", "testset", "dev", "eval", "holdout", "unlabeled"}
    | {"unlabelled", "extra", "seg_train", "seg_test", "seg_pred", "pred"}
)
IMAGE_FOLDERS = frozenset({"images", "image", "imgs", "img", "jpg", "jpegimages", "pictures", "photos"})
BESIDE_FOLDERS = frozenset(  # of what lies beside images in data sets of other tasks
    {"mask", "masks", "label", "labels", "labeltxt", "annotation", "annotations", "seg", "segmentation", "segmentations", "gt"}
    | {"ground_truth"}
)
LEAVING_FOLDERS = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information", "__pycache__", "lost+found"})
LEAVING_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})

IMAGE_COLUMNS: tuple[str, ...] = (
    *("path", "image", "img", "picture", "photo", "file_name", "filename", "file", "filepath", "file_path", "image_path", "img_path"),
    *("imagepath", "image_name", "img_name", "image_file", "image_id", "source-ref", "url", "image_url", "uri", "id"),
)
TEXT_COLUMNS: tuple[str, ...] = (
    *("text", "sentence", "utterance", "content", "review", "comment", "tweet", "post", "question", "query", "message", "body", "headline"),
    *("title", "document", "description", "abstract", "html"),
)
IDENTIFYING_COLUMNS = frozenset({"id", "url", "uri", "file", "filename", "file_name"})  # beside a text they say where it came from
LABEL_COLUMNS: tuple[str, ...] = (
    *("label", "class", "choice", "category", "target", "class_name", "classname", "label_name", "labels", "y", "class_id", "label_id"),
)


def is_leaving(name: str) -> bool:
    """Whether a file or folder is what macOS, Windows, Jupyter or a version control left behind: never an item."""
    lower = name.lower()
    return name.startswith((".", "._")) or lower in LEAVING_FILES or lower in LEAVING_FOLDERS


def is_image_file(path: Path) -> bool:
    """By its suffix, or by its first bytes where that says nothing."""
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return True
    if suffix and not suffix[1:].isdigit():  # "12.5" is a name without a suffix
        return False
    try:
        with path.open("rb") as stream:
            return is_image(stream.read(32))
    except OSError:
        return False
