"""Any folder of images, one subfolder per class."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tqdm import tqdm

from cortexres.errors import ArgumentError, DataFileError

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm", ".webp"}
# The raster formats of these suffixes: Pillow would else try others too, and EPS starts another program.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "PPM", "WEBP")
# What Pillow raises for damaged or oversized images; damaged PNG files are a SyntaxError.
UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    Image.DecompressionBombWarning,
    Image.DecompressionBombError,
)
MAX_PIXELS = 50_000_000  # per image; a small file can declare far more
BLOCK = 1000  # images that are decoded at once; all of them would be in memory twice


def folder(
    path: str | Path,
    *,
    size: tuple[int, int] | None = (16, 16),
    limit: int | None = None,
    colour: bool = False,
    progress: bool = False,
) -> xr.Dataset:
    """Return the images of a folder in grey or colour, the name of each one's subfolder as its label.

    Parameters
    ----------
    path : str or Path
        Folder with one subfolder per class. Files that are no images, and hidden ones, are passed over.
    size : (int, int) or None
        Height and width that the images get: each is cut about its centre to this shape and then resized, so
        that nothing is distorted. None leaves images as they are; they then need one size.
    limit : int or None
        Largest number of images; the classes take turns, so that none is left out.
    colour : bool
        Whether to keep red, green and blue apart.
    progress : bool
        Whether to show a progress bar; a million images take minutes.

    Returns
    -------
    xarray.Dataset
        ``image`` (stimulus, y, x) or, in colour, (stimulus, channel, y, x), 0 (black) to 1 (white), in float32: the
        50,000 images of 32 x 32 pixels in colour of CIFAR-10 take 0.6 GB. Coordinates ``label`` and ``file``
        (stimulus), sorted by them; ``stimulus`` counts from 0.

    Raises
    ------
    DataFileError
        Where the folder is missing or holds no images in subfolders, where an image cannot be read, is larger than
        50 million pixels, lies outside of the folder, or has another size and `size` is None.
    ArgumentError
        Where `size` or `limit` is not positive.
    """
    if limit is not None and limit < 1:
        raise ArgumentError(f"limit is {limit}, expected 1 or more, or None for all images")
    if size is not None and (len(size) != 2 or min(size) < 4):
        raise ArgumentError(f"size is {size}, expected (height, width) of 4 or more pixels, or None")
    root = Path(path)
    files = _files(root, limit)
    images = _decode(files, size, colour=colour, progress=progress)
    return xr.Dataset(
        {"image": (("stimulus", *(("channel", "y", "x") if colour else ("y", "x"))), images, {"units": "1"})},
        {
            "stimulus": np.arange(len(files)),
            "label": ("stimulus", np.array([file.parent.name for file in files])),
            "file": ("stimulus", np.array([file.relative_to(root).as_posix() for file in files])),
        },
        {"source": f"images in the folder {root.name}", "title": root.name},
    )


def train_and_test(
    path: str | Path,
    *,
    size: tuple[int, int] | None = None,
    limit: int | None = None,
    colour: bool = False,
    progress: bool = False,
) -> tuple[xr.Dataset, xr.Dataset | None]:
    """Return the images of the subfolders ``train`` and ``test``, each as `folder` reads it.

    A folder without ``train`` is read as a whole, and None stands for what it has no images of.

    Parameters
    ----------
    path : str or Path
        Folder with ``train`` and ``test``, each with one subfolder per class; or with the classes themselves.
    size, limit, colour, progress
        As in `folder`; the limit holds for each of the two.

    Raises
    ------
    DataFileError, ArgumentError
        Where `folder` does.
    """
    root = Path(path)
    parts = [part for part in (root / "train", root / "test") if part.is_dir() and (root / "train").is_dir()]
    read = [folder(part, size=size, limit=limit, colour=colour, progress=progress) for part in parts or [root]]
    return read[0], read[1] if len(read) == 2 else None


def _decode(
    files: list[Path], size: tuple[int, int] | None, *, colour: bool, progress: bool
) -> NDArray[np.float32]:
    """Return the images, (stimulus, ...), read by several threads: Pillow decodes outside of Python's lock."""
    images: NDArray[np.float32] | None = None
    for k, image in enumerate(_read_all(files, size, colour=colour, progress=progress)):
        if images is None:
            images = np.empty((len(files), *image.shape), dtype=np.float32)
        if image.shape != images.shape[1:]:
            (height, width), expected = image.shape[-2:], images.shape[-2:]
            raise DataFileError(
                f"{files[k]} is {height} x {width} pixels, expected {expected[0]} x {expected[1]} as {files[0]}; give"
                " size=(height, width) to resize all"
            )
        images[k] = image
    assert images is not None  # there is at least one file
    return images


def _read_all(
    files: list[Path], size: tuple[int, int] | None, *, colour: bool, progress: bool
) -> Iterator[NDArray[np.float32]]:
    # Pillow only warns of an image that declares too many pixels; its other warnings tell of odd metadata. Filters
    # of warnings belong to the process, so they are set around the threads.
    with warnings.catch_warnings(), ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as threads:
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for start in tqdm(range(0, len(files), BLOCK), desc="reading images", unit="block", disable=not progress):
            yield from threads.map(lambda file: _read(file, size, colour=colour), files[start : start + BLOCK])


def _files(root: Path, limit: int | None) -> list[Path]:
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise DataFileError(f"{root} {what}, expected a folder with one subfolder of images per class")
    try:
        classes = [_images_in(sub) for sub in sorted(root.iterdir()) if sub.is_dir() and not _hidden(sub)]
        loose = len(_images_in(root))
    except OSError as error:
        raise DataFileError(f"cannot list {root}: {error.strerror}; check its permissions") from error
    turns = [file for turn in zip_longest(*classes) for file in turn if file is not None]
    if not turns:
        found = f"{loose} images that are in no subfolder" if loose else "none"
        if (root / "train").is_dir():
            raise DataFileError(f"{root} has no images in subfolders, but has train; give {root / 'train'}")
        raise DataFileError(
            f"{root} has no images in subfolders, found {found}; make one subfolder per class, with files that end in"
            f" {', '.join(sorted(SUFFIXES))}"
        )
    files = sorted(turns[:limit])
    inside = root.resolve()
    for file in files:
        if not file.resolve().is_relative_to(inside):
            raise DataFileError(f"{file} is a link to outside of {root}; copy the image into the folder")
    return files


def _images_in(folder: Path) -> list[Path]:
    return sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and not _hidden(f) and f.is_file())


def _hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _read(file: Path, size: tuple[int, int] | None, *, colour: bool) -> NDArray[np.float32]:
    """Return one image, (y, x) or (channel, y, x), 0..1."""
    try:
        with Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataFileError(
                    f"{file} declares {image.width} x {image.height} pixels, expected at most {MAX_PIXELS};"
                    " make it smaller"
                )
            values = np.stack([_resized(plane, size) for plane in (_colour(image) if colour else [_grey(image)])])
    except DataFileError:
        raise
    except UNREADABLE as error:
        reason = str(error).split("\n", maxsplit=1)[0] or type(error).__name__
        raise DataFileError(f"cannot read {file} as an image: {reason}; replace or remove it") from error
    if not np.isfinite(values).all():
        raise DataFileError(f"{file} has pixels that are NaN or infinite; replace or remove it")
    return np.clip(values if colour else values[0], 0.0, 1.0)


def _resized(plane: Image.Image, size: tuple[int, int] | None) -> NDArray[np.float32]:
    """Return one plane of an image, cut and resized where there is a size; shades of 8 bits become 0..1."""
    if size is not None:
        plane = ImageOps.fit(plane, (size[1], size[0]), method=Image.Resampling.BILINEAR)
    values = np.asarray(plane, dtype=np.float32)
    return values / np.float32(255.0) if plane.mode == "L" else values


def _grey(image: Image.Image) -> Image.Image:
    """Return the image as floating grey values 0..1, upright, transparent parts white."""
    deep = _deep(image)
    if deep is not None:
        return deep
    return Image.fromarray((np.asarray(_upright(image).convert("L"), dtype=float) / 255.0).astype("float32"))


def _colour(image: Image.Image) -> list[Image.Image]:
    """Return red, green and blue in 8 bits, upright, transparent parts white; three times grey where it is deeper."""
    deep = _deep(image)
    return [deep] * 3 if deep is not None else list(_upright(image).convert("RGB").split())


def _deep(image: Image.Image) -> Image.Image | None:
    """Return an image of more than 8 bits as floating grey values 0..1; None for the others."""
    if image.mode.startswith("I"):  # 16 bits; Pillow's own conversion to 8 bits would clip them
        return Image.fromarray((np.asarray(image, dtype=float) / 65535.0).astype("float32"))
    return image.copy() if image.mode == "F" else None


def _upright(image: Image.Image) -> Image.Image:
    """Return the image as a camera held upright would have made it, transparent parts white."""
    upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        colour = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour)
    return upright
