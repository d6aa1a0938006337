"""What commands share that look at shops' folders with a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cli.terminal import working

if TYPE_CHECKING:
    from advisor.catalog.folders import FolderCatalog
    from advisor.vision.classifier import Classifier


def look_at_folders(folders: Sequence[Path], classifier: Classifier) -> FolderCatalog:
    """The folders as the model sees them, with a progress bar; unreadable photos are told."""
    from advisor.catalog.folders import ShopFolder, look_at

    shops = [ShopFolder.read(folder) for folder in dict.fromkeys(folders)]
    with working() as (say, progress):
        catalog = look_at(
            shops, classifier, progress=lambda done, total: progress("photos", done, total)
        )
        if catalog.unreadable:
            example, reason = next(iter(catalog.unreadable.items()))
            say(f"{len(catalog.unreadable)} photos cannot be read, as {example}: {reason}")
    return catalog
