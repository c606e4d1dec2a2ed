"""Any folder of images, one subfolder per class."""

from __future__ import annotations

import warnings
from itertools import zip_longest
from pathlib import Path

import numpy as np
import xarray as xr
from PIL import Image, ImageOps

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


def folder(path: str | Path, *, size: tuple[int, int] | None = (16, 16), limit: int | None = None) -> xr.Dataset:
    """Return the images of a folder in grey, the name of each one's subfolder as its label.

    Parameters
    ----------
    path : str or Path
        Folder with one subfolder per class. Files that are no images, and hidden ones, are passed over.
    size : (int, int) or None
        Height and width that the images get: each is cut about its centre to this shape and then resized, so
        that nothing is distorted. None leaves images as they are; they then need one size.
    limit : int or None
        Largest number of images; the classes take turns, so that none is left out.

    Returns
    -------
    xarray.Dataset
        ``image`` (stimulus, y, x), 0 (black) to 1 (white); coordinates ``label`` and ``file`` (stimulus), sorted by
        them; ``stimulus`` counts from 0.

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
    images = [_read(file, size) for file in files]
    for file, image in zip(files, images, strict=True):
        if image.shape != images[0].shape:
            raise DataFileError(
                f"{file} is {image.shape[0]} x {image.shape[1]} pixels, expected {images[0].shape[0]} x"
                f" {images[0].shape[1]} as {files[0]}; give size=(height, width) to resize all"
            )
    return xr.Dataset(
        {"image": (("stimulus", "y", "x"), np.stack(images), {"units": "1"})},
        {
            "stimulus": np.arange(len(files)),
            "label": ("stimulus", np.array([file.parent.name for file in files])),
            "file": ("stimulus", np.array([file.relative_to(root).as_posix() for file in files])),
        },
        {"source": f"images in the folder {root.name}", "title": root.name},
    )


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


def _read(file: Path, size: tuple[int, int] | None) -> np.ndarray:
    """Return one image as (y, x) grey values, 0..1."""
    try:
        # Pillow only warns of an image that declares too many pixels; its other warnings tell of odd metadata.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise DataFileError(
                        f"{file} declares {image.width} x {image.height} pixels, expected at most {MAX_PIXELS};"
                        " make it smaller"
                    )
                grey = _grey(image)
                if size is not None:
                    grey = ImageOps.fit(grey, (size[1], size[0]), method=Image.Resampling.BILINEAR)
                values = np.asarray(grey, dtype=float)
    except DataFileError:
        raise
    except UNREADABLE as error:
        reason = str(error).split("\n", maxsplit=1)[0] or type(error).__name__
        raise DataFileError(f"cannot read {file} as an image: {reason}; replace or remove it") from error
    if not np.isfinite(values).all():
        raise DataFileError(f"{file} has pixels that are NaN or infinite; replace or remove it")
    return np.clip(values, 0.0, 1.0)


def _grey(image: Image.Image) -> Image.Image:
    """Return the image as floating grey values 0..1, upright, transparent parts white."""
    if image.mode.startswith("I"):  # 16 bits; Pillow's own conversion to 8 bits would clip them
        return Image.fromarray((np.asarray(image, dtype=float) / 65535.0).astype("float32"))
    if image.mode == "F":
        return image.copy()
    upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        colour = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour)
    return Image.fromarray((np.asarray(upright.convert("L"), dtype=float) / 255.0).astype("float32"))
