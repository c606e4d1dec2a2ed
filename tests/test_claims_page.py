"""The page of all claims: what is written into it is what is read from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_claims import CONTROL, FIGURE, claim, draw, samples

from cortexres import plots
from cortexres.claims import Check, Outcome, Published, Sample, judge, page, script
from cortexres.claims.page import Record
from cortexres.claims.table import SUITE_HEADER, markdown, suite_row, suite_text
from cortexres.errors import DataFileError


def outcome(name: str, *, value: float = 2.0, minutes: float = 0.5, **changes: object) -> Outcome:
    """Return an outcome that holds where the value is 1 or more."""
    return judge(claim(name=name, **changes), samples([value] * 3), minutes=minutes)


def written(outcomes: list[Outcome], tmp_path: Path) -> Path:
    """Return the folder of a page of these outcomes, whose results are made before."""
    for one in outcomes:
        script.write(one, tmp_path / "results" / one.name)
        (tmp_path / "results" / one.name / "figure.png").write_bytes(plots.png(draw(one, samples([1.0]))))
    page.write(outcomes, tmp_path / "results", tmp_path / "docs")
    return tmp_path / "docs"


def test_what_is_recorded_is_what_was_found(tmp_path: Path) -> None:
    outcomes = [outcome("b_2001", value=0.0, minutes=2.0), outcome("a_2000")]
    docs = written(outcomes, tmp_path)
    assert page.recorded(docs) == {"a_2000": Record(True, 0.5), "b_2001": Record(False, 2.0)}
    assert list(page.recorded(docs)) == ["a_2000", "b_2001"]
    assert sorted(path.name for path in (docs / "claims").iterdir()) == ["a_2000.png", "b_2001.png"]


def test_the_page_says_all_that_a_reader_must_know(tmp_path: Path) -> None:
    published = Published("4 %", confirmed=False)
    docs = written([outcome("a_2000", remarks="Scales differ.", published=published)], tmp_path)
    text = (docs / "claims.md").read_text(encoding="utf-8")
    for words in (
        "## a_2000",
        "arXiv:0000.00000",
        "What is put on scales weighs something.",
        "Scales differ.",
        "Published: 4 % (not confirmed)",
        "**Holds** in what was run: 3 seeds, 0.5 minutes",
        "![Things have weight](claims/a_2000.png)",
        f"| {FIGURE} |  | 2 | {CONTROL} | 0 | >= 1 | ok |",
    ):
        assert words in text
    assert (docs / "claims" / "a_2000.png").exists()


def test_a_bar_in_a_cell_does_not_move_the_columns(tmp_path: Path) -> None:
    barred = Check(figure="|bias| (1)", at_most=1.0, control=CONTROL)
    made = claim(barred, name="a_2000", published=Published("|bias| | small"))
    found = [Sample(figures={"|bias| (1)": 0.0}, controls={CONTROL: {"|bias| (1)": 2.0}})] * 3
    docs = written_of(judge(made, found, minutes=1.5), tmp_path)
    assert page.recorded(docs) == {"a_2000": Record(True, 1.5)}


def written_of(one: Outcome, tmp_path: Path) -> Path:
    """Return the folder of a page of one outcome with an empty figure."""
    (tmp_path / "results" / one.name).mkdir(parents=True)
    (tmp_path / "results" / one.name / "figure.png").write_bytes(b"")
    page.write([one], tmp_path / "results", tmp_path / "docs")
    return tmp_path / "docs"


def test_tables_of_one_claim_are_not_taken_for_outcomes(tmp_path: Path) -> None:
    """A figure may be called like a claim, and end in a number."""
    check = Check(figure="a_2000", at_least=1.0, control=CONTROL)
    found = [Sample(figures={"a_2000": 0.0, "b_2001": 7.0}, controls={CONTROL: {"a_2000": 0.0}})] * 3
    docs = written_of(judge(claim(check, name="c_2002"), found, minutes=3.0), tmp_path)
    assert page.recorded(docs) == {"c_2002": Record(False, 3.0)}


def test_without_a_page_nothing_is_recorded(tmp_path: Path) -> None:
    assert page.recorded(tmp_path) == {}


@pytest.mark.parametrize(
    "row",
    [
        "<<<<<<< HEAD",
        "| a_2000 | 4 % |",
        "| |",
        "| a_2000 | 4 % | 2 | 3 | maybe | 1.0 |",
        "| a_2000 | 4 % | 2 | 3 | yes (all of 1) | soon |",
        "|  | 4 % | 2 | 3 | yes (all of 1) | 1.0 |",
    ],
)
def test_a_row_that_is_none_is_refused(tmp_path: Path, row: str) -> None:
    docs = written([outcome("a_2000")], tmp_path)
    text = (docs / "claims.md").read_text(encoding="utf-8").replace("\n| a_2000", f"\n{row}\n| a_2000", 1)
    (docs / "claims.md").write_text(text, encoding="utf-8")
    with pytest.raises(DataFileError, match=r"expected 6 cells that end in yes or no and in minutes; record it again"):
        page.recorded(docs)


def test_a_page_of_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "claims.md").write_bytes("| claim | \u00b5".encode("latin-1"))
    with pytest.raises(DataFileError, match="which is not UTF-8"):
        page.recorded(tmp_path)


def test_a_page_without_the_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "claims.md").write_text("# The claims\n", encoding="utf-8")
    with pytest.raises(DataFileError, match=r"without the table of claims, expected the line '\| claim"):
        page.recorded(tmp_path)


def test_an_outcome_without_its_figure_is_refused_before_the_page_changes(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"got a_2000 without its figure in .*, expected one; run it again"):
        page.write([outcome("a_2000")], tmp_path / "results", tmp_path / "docs")
    assert not (tmp_path / "docs" / "claims.md").exists()


def test_an_outcome_without_a_spread_is_not_recorded(tmp_path: Path) -> None:
    few = judge(claim(name="a_2000"), samples([2.0, 2.0]), minutes=0.0)
    with pytest.raises(DataFileError, match="got a_2000 of 2 seeds, expected 3 or more, without --seeds"):
        page.write([few], tmp_path / "results", tmp_path / "docs")
    assert not (tmp_path / "docs").exists()


def test_the_first_check_stands_for_the_claim_with_its_control() -> None:
    cells = dict(zip(SUITE_HEADER, suite_row(outcome("a_2000")), strict=True))
    assert cells["measured"] == f"{FIGURE}: 2; {CONTROL}: 0"
    assert (cells["published"], cells["seeds"], cells["holds"], cells["minutes"]) == (
        "9.8 N per kg", "3", "yes (all of 1)", "0.5"
    )


def test_the_table_in_the_terminal_is_aligned_and_not_wider_than_a_screen() -> None:
    long = Published("word " * 40)
    lines = suite_text([outcome("a_2000"), outcome("a_claim_with_a_long_name_2001", published=long)]).splitlines()
    start = lines[0].index("published")
    assert all(line[start - 1] == " " for line in lines if len(line) > start)
    assert max(map(len, lines)) < 170


def test_a_table_in_markdown_has_a_cell_for_each_head() -> None:
    lines = markdown(("a", "b"), [("1", "x|y")]).splitlines()
    assert lines == ["| a | b |", "| --- | --- |", r"| 1 | x\|y |"]
