"""Stimuli: ids that name images, balanced classes, folders as people have them, and patterns that are what they say."""

from __future__ import annotations

import io as std_io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from cortexres import schema, stimuli
from cortexres.errors import ArgumentError, DataFileError
from cortexres.stimuli import image_folder

# ---- digits


def test_digits_are_those_their_ids_name() -> None:
    drawn = schema.check_stimuli(stimuli.digits(37, rng=3))
    everything = load_digits()
    ids = drawn["stimulus"].values
    np.testing.assert_array_equal(drawn["image"], everything.images[ids] / 16)
    np.testing.assert_array_equal(drawn["label"], everything.target[ids])
    assert "sklearn" in drawn.attrs["source"]


@pytest.mark.parametrize("n", [1, 10, 37, 200])
def test_digits_are_balanced_and_so_is_any_first_part(n: int) -> None:
    labels = stimuli.digits(200, rng=1)["label"].values[:n]
    counts = np.bincount(labels, minlength=10)
    assert counts.max() - counts.min() <= 1


def test_all_digits_can_be_drawn_and_none_twice() -> None:
    ids = stimuli.digits(1797, rng=0)["stimulus"].values
    assert sorted(ids) == list(range(1797))


def test_the_draw_depends_on_the_seed_alone() -> None:
    assert stimuli.digits(20, rng=5).identical(stimuli.digits(20, rng=np.random.default_rng(5)))
    assert not stimuli.digits(20, rng=5).identical(stimuli.digits(20, rng=6))


def test_excluded_digits_are_not_drawn() -> None:
    seen = stimuli.digits(900, rng=0)
    fresh = stimuli.digits(897, rng=0, exclude=seen["stimulus"])
    assert not set(seen["stimulus"].values) & set(fresh["stimulus"].values)
    with pytest.raises(
        ArgumentError, match="n is 898, expected 1 to 897: the set has 1797 digits, 900 of them excluded"
    ):
        stimuli.digits(898, rng=0, exclude=seen["stimulus"])


@pytest.mark.parametrize("n", [0, -1, 1798, 2.0, True])
def test_a_number_of_digits_out_of_range(n: int) -> None:
    with pytest.raises(ArgumentError, match=r"n is .*, expected 1 to 1797"):
        stimuli.digits(n, rng=0)


# ---- folders


def write_image(path: Path, grey: float = 0.5, size: tuple[int, int] = (20, 30), mode: str = "L") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (size[1], size[0]), round(grey * 255)).convert(mode).save(path)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for k, name in enumerate(["b/2.png", "b/10.JPG", "a/x.png", "a/y.bmp", "c/z.tif"]):
        write_image(tmp_path / "images" / name, grey=k / 5)
    return tmp_path / "images"


def test_a_folder_has_one_class_per_subfolder(root: Path) -> None:
    (root / "README.txt").write_text("not an image")
    (root / ".cache").mkdir()
    write_image(root / ".cache" / "hidden.png")
    write_image(root / "a" / "._x.png")
    read = schema.check_stimuli(stimuli.folder(root))
    assert read["file"].values.tolist() == ["a/x.png", "a/y.bmp", "b/10.JPG", "b/2.png", "c/z.tif"]
    assert read["label"].values.tolist() == ["a", "a", "b", "b", "c"]
    assert read["image"].shape == (5, 16, 16)
    np.testing.assert_allclose(read["image"].mean(("y", "x")), [0.4, 0.6, 0.2, 0.0, 0.8], atol=0.01)
    assert "images" in read.attrs["source"]


def test_a_limit_leaves_no_class_out(root: Path) -> None:
    assert stimuli.folder(root, limit=3)["label"].values.tolist() == ["a", "b", "c"]


def test_images_may_keep_their_size(root: Path) -> None:
    assert stimuli.folder(root, size=None)["image"].shape == (5, 20, 30)
    write_image(root / "c" / "zz.png", size=(21, 30))
    with pytest.raises(DataFileError, match=r"zz.png is 21 x 30 pixels, expected 20 x 30 as .*x.png; give size="):
        stimuli.folder(root, size=None)


def test_resizing_cuts_and_does_not_distort(tmp_path: Path) -> None:
    values = np.zeros((40, 80), dtype=np.uint8)
    yy, xx = np.mgrid[:40, :80]
    values[(yy - 19.5) ** 2 + (xx - 39.5) ** 2 < 15**2] = 255
    (tmp_path / "disc").mkdir()
    Image.fromarray(values).save(tmp_path / "disc" / "1.png")
    disc = stimuli.folder(tmp_path, size=(20, 20))["image"][0].values
    np.testing.assert_allclose(disc, disc.T, atol=1e-6)
    assert disc.mean() == pytest.approx(np.pi * 15**2 / 40**2, abs=0.01)


def test_kinds_of_pixels(tmp_path: Path) -> None:
    folder = tmp_path / "k"
    folder.mkdir()
    Image.fromarray(np.full((8, 8), 32768, dtype=np.uint16)).save(folder / "a16.png")
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(folder / "b_transparent.png")
    Image.new("RGB", (8, 8), (255, 255, 255)).save(folder / "c_white.png")
    Image.new("P", (8, 8), 0).save(folder / "d_palette.gif")
    Image.fromarray(np.full((8, 8), 0.25, dtype=np.float32)).save(folder / "e_float.tif")
    means = stimuli.folder(tmp_path, size=(8, 8))["image"].mean(("y", "x")).values
    np.testing.assert_allclose(means, [0.5, 1.0, 1.0, 0.0, 0.25], atol=1e-4)


def test_photographs_stand_upright(tmp_path: Path) -> None:
    (tmp_path / "k").mkdir()
    values = np.zeros((16, 16), dtype=np.uint8)
    values[:, 8:] = 255  # light on the right, said to be turned by 180 degrees
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(values).save(tmp_path / "k" / "a.png", exif=exif)
    assert stimuli.folder(tmp_path)["image"].values[0, :, :8].min() > 0.9


def test_colours_are_kept_apart(tmp_path: Path) -> None:
    folder = tmp_path / "k"
    folder.mkdir()
    Image.new("RGB", (8, 10), (255, 51, 0)).save(folder / "a.png")
    Image.new("RGBA", (8, 10), (0, 0, 0, 0)).save(folder / "b_transparent.png")
    Image.new("L", (8, 10), 102).save(folder / "c_grey.png")
    Image.fromarray(np.full((10, 8), 32768, dtype=np.uint16)).save(folder / "d16.png")
    for size in (None, (5, 6)):
        image = stimuli.folder(tmp_path, size=size, colour=True)["image"]
        assert image.dims == ("stimulus", "channel", "y", "x")
        assert image.shape == (4, 3, *(size or (10, 8)))
        assert image.dtype == np.float32
        means = image.mean(("y", "x")).values
        np.testing.assert_allclose(means, [[1.0, 0.2, 0.0], [1.0] * 3, [0.4] * 3, [0.5] * 3], atol=1e-4)


def test_train_and_test_are_subfolders(root: Path, tmp_path: Path) -> None:
    whole, nothing = stimuli.train_and_test(root)
    assert whole.sizes["stimulus"] == 5
    assert nothing is None
    for part, count in (("train", 3), ("test", 2)):
        for k in range(count):
            write_image(tmp_path / "parts" / part / f"class{k % 2}" / f"{k}.png")
    train, test = stimuli.train_and_test(tmp_path / "parts", size=(8, 8), limit=2, colour=True)
    assert test is not None
    assert (train["image"].shape, test["image"].shape) == ((2, 3, 8, 8), (2, 3, 8, 8))
    with pytest.raises(DataFileError, match=r"has no images in subfolders, but has train; give .*parts/train"):
        stimuli.folder(tmp_path / "parts")


def test_many_images_keep_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_folder, "BLOCK", 3)
    for k in range(10):
        write_image(tmp_path / "k" / f"{k}.png", grey=k / 10)
    read = stimuli.folder(tmp_path, size=None)["image"].mean(("y", "x"))
    np.testing.assert_allclose(read, np.arange(10) / 10, atol=0.01)


def test_folders_that_hold_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="gone does not exist, expected a folder"):
        stimuli.folder(tmp_path / "gone")
    file = write_image(tmp_path / "loose.png")
    with pytest.raises(DataFileError, match=r"loose\.png is not a folder"):
        stimuli.folder(file)
    with pytest.raises(DataFileError, match="found 1 images that are in no subfolder; make one subfolder per class"):
        stimuli.folder(tmp_path)
    file.unlink()
    with pytest.raises(DataFileError, match="found none"):
        stimuli.folder(tmp_path)


def test_a_folder_that_cannot_be_listed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataFileError, match=r"cannot list .*images: Permission denied"):
        stimuli.folder(root)


@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "eps"])
def test_an_image_that_cannot_be_read_is_named(root: Path, damage: str) -> None:
    bad = root / "a" / "bad.png"
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))
    buffer = std_io.BytesIO()
    noise.save(buffer, "EPS" if damage == "eps" else "PNG")
    contents = {"truncated": buffer.getvalue()[:2000], "text": b"hello", "empty": b"", "eps": buffer.getvalue()}
    bad.write_bytes(contents[damage])
    with pytest.raises(DataFileError, match=r"cannot read .*a/bad\.png as an image: .*; replace or remove it"):
        stimuli.folder(root)


def test_damaged_images_never_raise_anything_else(root: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a/x.png", "b/10.JPG", "a/y.bmp", "c/z.tif"):
        whole = (root / name).read_bytes()
        for _ in range(40):
            data = bytearray(whole)
            for position in rng.integers(0, len(data), 4):
                data[position] = rng.integers(0, 256)
            (root / name).write_bytes(data)
            try:
                schema.check_stimuli(stimuli.folder(root))
            except DataFileError:
                continue
        (root / name).write_bytes(whole)


def test_images_that_declare_too_many_pixels(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cortexres.stimuli.image_folder.MAX_PIXELS", 599)
    with pytest.raises(DataFileError, match=r"x\.png declares 30 x 20 pixels, expected at most 599"):
        stimuli.folder(root)
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 400)
    with pytest.raises(DataFileError, match=r"cannot read .*x\.png as an image: .*decompression bomb"):
        stimuli.folder(root)
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataFileError, match=r"cannot read .*x\.png as an image: .*decompression bomb"):
        stimuli.folder(root)


def test_pixels_without_value(tmp_path: Path) -> None:
    (tmp_path / "k").mkdir()
    Image.fromarray(np.full((8, 8), np.nan, dtype=np.float32)).save(tmp_path / "k" / "a.tif")
    with pytest.raises(DataFileError, match=r"a\.tif has pixels that are NaN"):
        stimuli.folder(tmp_path)


def test_links_to_outside_are_refused(root: Path) -> None:
    outside = write_image(root.parent / "private" / "secret.png")
    link = root / "a" / "link.png"
    link.symlink_to(outside)
    with pytest.raises(DataFileError, match=r"link\.png is a link to outside of .*images; copy"):
        stimuli.folder(root)
    link.unlink()
    (root / "d").symlink_to(outside.parent)
    with pytest.raises(DataFileError, match=r"secret\.png is a link to outside"):
        stimuli.folder(root)
    (root / "d").unlink()
    (root / "a" / "inner.png").symlink_to(root / "c" / "z.tif")
    assert stimuli.folder(root).sizes["stimulus"] == 6


@pytest.mark.parametrize("options", [{"limit": 0}, {"size": (0, 16)}, {"size": (16,)}])
def test_folder_arguments(root: Path, options: dict[str, object]) -> None:
    with pytest.raises(ArgumentError, match=r"(limit|size) is .*, expected"):
        stimuli.folder(root, **options)  # type: ignore[arg-type]


# ---- patterns


@pytest.mark.parametrize("kind", ["gratings", "bars", "noise"])
def test_patterns_keep_the_schema_and_follow_the_seed(kind: str) -> None:
    made = schema.check_stimuli(stimuli.patterns(12, kind=kind, size=9, rng=0))
    assert made["image"].shape == (12, 9, 9)
    assert made.identical(stimuli.patterns(12, kind=kind, size=9, rng=np.random.default_rng(0)))
    assert not np.array_equal(made["image"], stimuli.patterns(12, kind=kind, size=9, rng=1)["image"])


def test_gratings_have_the_orientation_phase_and_contrast_they_say() -> None:
    made = stimuli.patterns(4, size=40, contrast=0.5, rng=0)
    image = made["image"].values
    assert made["orientation_deg"].values.tolist() == [0, 45, 90, 135]
    assert made["label"].values.tolist() == ["0 deg", "45 deg", "90 deg", "135 deg"]
    np.testing.assert_allclose(np.ptp(image[0], axis=1), 0, atol=1e-12)  # 0: stripes along the rows
    np.testing.assert_allclose(np.ptp(image[2], axis=0), 0, atol=1e-12)  # 90: along the columns
    np.testing.assert_allclose(image[1][1:, :-1], image[1][:-1, 1:], atol=1e-12)  # 45: up to the right
    np.testing.assert_allclose(image[3][1:, 1:], image[3][:-1, :-1], atol=1e-12)
    assert image.max() == pytest.approx(0.75, abs=0.01)
    assert image.min() == pytest.approx(0.25, abs=0.01)
    # Two and a half waves are 5 half waves; the middle of the image lies at the phase.
    middle = 0.5 + 0.25 * np.cos(np.deg2rad(made["phase_deg"].values[0]))
    assert image[0][19:21, 0].mean() == pytest.approx(middle, abs=0.01)


def test_a_bar_lies_where_it_says() -> None:
    made = stimuli.patterns(2, size=64, kind="bars", rng=2)
    rows = made["image"].values[0].mean(axis=1)
    above_centre = 0.5 - (rows.argmax() + 0.5) / 64
    assert above_centre == pytest.approx(made["offset"].values[0], abs=1 / 64)
    columns = made["image"].values[1].mean(axis=0)
    left_of_centre = 0.5 - (columns.argmax() + 0.5) / 64
    assert left_of_centre == pytest.approx(made["offset"].values[1], abs=1 / 64)


def test_no_contrast_is_uniform_grey() -> None:
    for kind in ("gratings", "bars", "noise"):
        assert (stimuli.patterns(3, kind=kind, contrast=0.0, rng=0)["image"] == 0.5).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "plaids"}, "unknown kind of pattern 'plaids', expected gratings or bars or noise"),
        ({"n": 0}, "got n=0 and size=16, expected n of 1 or more"),
        ({"size": 3}, "size=3, expected"),
        ({"contrast": 1.5}, "contrast is 1.5, expected 0 to 1"),
        ({"contrast": float("nan")}, "contrast is nan"),
    ],
)
def test_pattern_arguments(options: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        stimuli.patterns(**{"n": 4, "rng": 0, **options})  # type: ignore[arg-type]
