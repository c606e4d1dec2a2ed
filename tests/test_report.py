"""The report holds everything in one file, shows what it is given, and runs nothing of it."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from cortexres import report
from cortexres.definitions import Circuit, list_models, load_circuit

EVIL = '<script>alert("1")</script>'


class Page(HTMLParser):
    """Collect tags, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for key, value in attrs if key in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def circuit() -> Circuit:
    return load_circuit("ei_assemblies")


def page(circuit: Circuit, text: str = "plain", **replaced: object) -> str:
    stimuli = xr.Dataset(
        {"image": (("stimulus", "y", "x"), np.zeros((3, 4, 4)))},
        coords={"stimulus": np.arange(3), "label": ("stimulus", np.array([text] * 3))},
    )
    figure = Figure()
    figure.subplots().plot([0, 1])
    arguments: dict[str, object] = {
        "title": text,
        "circuit": circuit,
        "stimuli": stimuli,
        "table": [{"model": text, "R2": 0.98765, "n": 3}, {"model": "null", "ceiling": float("nan")}],
        "figures": [(text, figure, text)],
        "notes": [text],
        "provenance": json.dumps({"seed": 7, "note": text}),
    } | replaced
    return report.render(**arguments)  # type: ignore[arg-type]


def test_nothing_is_loaded_from_elsewhere_and_nothing_runs(circuit: Circuit) -> None:
    seen = Page(page(circuit))
    assert "script" not in seen.tags
    assert seen.tags.count("img") == 2
    assert all(link.startswith("data:image/png;base64,") for link in seen.links)


def test_text_from_outside_is_shown_not_run(circuit: Circuit) -> None:
    html = page(circuit, EVIL)
    assert "<script" not in html
    # title, heading, table, caption's name and text, alt text, note, provenance
    assert html.count("&lt;script&gt;") + html.count("&lt;Script&gt;") >= 7
    assert EVIL in "".join(Page(html).words)


def test_circuit_is_described(circuit: Circuit) -> None:
    text = " ".join(Page(page(circuit)).words)
    assert circuit.title in text
    assert circuit.source in text
    for projection in circuit.projections:
        assert f"{projection.source} → {projection.target}" in text


def test_table_has_every_column_and_a_dash_where_a_value_is_missing(circuit: Circuit) -> None:
    html = page(circuit)
    assert "<th>model</th><th>R2</th><th>n</th><th>ceiling</th>" in html
    assert "<td>plain</td><td>0.988</td><td>3</td><td>–</td>" in html
    assert "<td>null</td><td>–</td><td>–</td><td>–</td>" in html


def test_numpy_numbers_are_numbers(circuit: Circuit) -> None:
    html = page(circuit, table=[{"a": np.float64(0.5), "b": np.int64(4), "c": xr.DataArray(0.25)}])
    assert "<td>0.500</td><td>4</td><td>0.250</td>" in html


def test_report_without_scores_and_figures_is_still_a_page(circuit: Circuit) -> None:
    html = page(circuit, table=[], figures=[], notes=[], provenance="not JSON")
    assert "No scores were computed." in html
    assert "<pre>not JSON</pre>" in html


def test_same_results_give_the_same_page(circuit: Circuit) -> None:
    assert page(circuit) == page(circuit)


@pytest.mark.parametrize("name", [model.name for model in list_models("circuits")])
def test_every_circuit_can_be_reported(name: str) -> None:
    written = " ".join(Page(page(load_circuit(name))).words)
    assert load_circuit(name).title in written
