"""Many areas from the circuit of one: the matrices that the data become, against a loop over areas, and the files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from cortexres.circuits.rates import trajectory
from cortexres.definitions import load_circuit, unit_coordinates, with_values
from cortexres.definitions.multi_area import AreaData, area_data, load_area_data, with_areas
from cortexres.errors import DataFileError, DefinitionError
from cortexres.meanfield.rate_circuit import rate_fixed_point

AREAS = ("low", "middle", "high")
FLN = np.array([[0.0, 0.2, 0.05], [0.6, 0.0, 0.3], [0.1, 0.5, 0.0]])
HIERARCHY = np.array([0.0, 1.0, 4.0])
DISTANCES = np.array([[0.0, 7.0, 14.0], [7.0, 0.0, 3.5], [14.0, 3.5, 0.0]])


@pytest.fixture
def three() -> AreaData:
    return area_data(AREAS, FLN, HIERARCHY, DISTANCES)


def equations_of_three_areas(t: float, y: np.ndarray, pulse: float, strong: bool, feedback: bool) -> np.ndarray:
    """Return the change of E and I of three areas, area by area."""
    w_ei, mu_ee = (25.2, 51.5) if strong else (19.7, 33.7)
    e, i = y[:3], y[3:]
    change = np.empty(6)

    def sums(rates: np.ndarray, inhibition: np.ndarray, k: int) -> tuple[float, float]:
        far = sum(FLN[k, j] * rates[j] for j in range(3) if feedback or HIERARCHY[j] < HIERARCHY[k])
        g = 1 + 0.68 * HIERARCHY[k] / 4.0
        to_e = 0.066 * (g * (24.3 * rates[k] + mu_ee * far) - w_ei * inhibition[k])
        to_i = 0.351 * (g * (12.2 * rates[k] + 25.3 * far) - 12.5 * inhibition[k])
        return to_e, to_i

    for k in range(3):
        to_e, to_i = sums(e, i, k)
        rest_e, rest_i = sums(np.full(3, 10.0), np.full(3, 35.0), k)
        drive = pulse if k == 0 and t < 250.0 else 0.0
        change[k] = (-e[k] + max(to_e + 10.0 - rest_e + drive, 0.0)) / 20.0
        change[3 + k] = (-i[k] + max(to_i + 35.0 - rest_i, 0.0)) / 10.0
    return change


@pytest.mark.parametrize("variant", ["weak", "strong", "strong_no_feedback"])
def test_areas_move_as_a_loop_over_them_says(variant: str, three: AreaData) -> None:
    circuit = with_areas(load_circuit(f"joglekar_2018_rate:{variant}"), three)
    drive = np.array([[20.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    found = trajectory(circuit, duration_ms=400.0, drive=drive, frame_ms=250.0)
    start, arguments = np.repeat([10.0, 35.0], 3), (20.0, variant != "weak", variant != "strong_no_feedback")
    first = solve_ivp(equations_of_three_areas, (0, 250), start, args=arguments, rtol=1e-9, atol=1e-9, max_step=5.0)
    last = solve_ivp(
        equations_of_three_areas, (250, 400), first.y[:, -1], args=arguments, rtol=1e-9, atol=1e-9, max_step=5.0
    )
    np.testing.assert_allclose(found.response[1250], first.y[:, -1], rtol=1e-6)
    np.testing.assert_allclose(found.response[-1], last.y[:, -1], rtol=1e-6)


def test_weakly_joined_areas_can_be_left_apart(three: AreaData) -> None:
    circuit = with_areas(load_circuit("joglekar_2018_rate"), three, least_fln=0.15)
    joined = sum(np.asarray(q.matrix) for q in circuit.projections if q.pathway != "recurrent" and q.target == "E")
    np.testing.assert_array_equal(joined > 0, FLN >= 0.15)


def test_all_areas_rest_at_the_rates_of_one(three: AreaData) -> None:
    for variant in ("weak", "strong", "strong_no_feedback"):
        circuit = with_areas(load_circuit(f"joglekar_2018_rate:{variant}"), three)
        point = rate_fixed_point(circuit)
        np.testing.assert_allclose(point.rates, np.repeat([10.0, 35.0], 3), rtol=1e-10)
        assert point.stable


def test_the_pathways_are_told_apart_by_the_hierarchy(three: AreaData) -> None:
    circuit = with_areas(load_circuit("joglekar_2018_rate"), three, gradient=0.5)
    rows = np.tril(FLN) * (1 + 0.5 * HIERARCHY / 4.0)[:, None]
    back = np.triu(FLN) * (1 + 0.5 * HIERARCHY / 4.0)[:, None]
    matrices = {(q.target, q.synapse): np.array(q.matrix) for q in circuit.projections if q.source == "E"}
    np.testing.assert_allclose(matrices["E", "feedforward"], rows)
    np.testing.assert_allclose(matrices["E", "feedback"], back)
    np.testing.assert_allclose(matrices["I", "local"], np.diag(1 + 0.5 * HIERARCHY / 4.0))
    inhibition = next(q for q in circuit.projections if q.source == "I")
    np.testing.assert_allclose(inhibition.matrix, np.eye(3))
    units = unit_coordinates(circuit)
    assert units["area"].tolist() == [*AREAS, *AREAS]
    # The first area receives nothing from below, so its feedforward input is the stimulus alone.
    found = trajectory(circuit, duration_ms=5.0, drive=[1.0, 0.0, 0.0])
    np.testing.assert_array_equal(found.feedforward[:, 0], 1.0)
    assert (found.feedforward[:, 1:3] > 0).all()


def test_distances_become_delays_of_spikes_between_areas(three: AreaData) -> None:
    one = with_values(load_circuit("ei_assemblies"), {"populations.*.assemblies": 1, "drive.front_end.channels": 1})
    far = replace(one.projections[0], pathway="feedforward", matrix=((0.0,),), in_degree=10)
    circuit = with_areas(replace(one, projections=(*one.projections, far), drive=None), three, speed_m_per_s=3.5)
    np.testing.assert_allclose(circuit.projections[-1].delay_matrix_ms, np.maximum(DISTANCES / 3.5, 0.1))
    assert circuit.projections[0].delay_matrix_ms == ()


def write(folder: Path, names: dict[str, str]) -> None:
    for name, text in names.items():
        (folder / name).write_text(text)


def test_area_data_are_read_from_a_folder(tmp_path: Path, three: AreaData) -> None:
    head = "# rows=target; areas: low middle high\n"
    tables = {"my_fln.csv": FLN, "my_hierarchy.csv": HIERARCHY, "my_wiring_mm.csv": DISTANCES}
    for name, table in tables.items():
        with (tmp_path / name).open("w") as file:
            file.write(head)
            np.savetxt(file, table, delimiter=",")
    found = load_area_data(tmp_path)
    assert found.areas == AREAS
    np.testing.assert_allclose(found.fln, FLN)
    np.testing.assert_allclose(found.hierarchy, HIERARCHY)
    assert found.distances_mm is not None
    np.testing.assert_allclose(found.distances_mm, DISTANCES)
    (tmp_path / "my_wiring_mm.csv").unlink()
    assert load_area_data(tmp_path).distances_mm is None


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"there is no folder .*nowhere; give the one that holds"):
        load_area_data(tmp_path / "nowhere")
    with pytest.raises(DataFileError, match=r"has 0 files named \*fln\*\.csv, expected one"):
        load_area_data(tmp_path)
    write(tmp_path, {"a_fln.csv": "# areas: a b\n0,1\n1,x\n", "a_hierarchy.csv": "# areas: a c\n0\n1\n"})
    with pytest.raises(DataFileError, match=r"cannot read .*a_fln\.csv as numbers separated by commas"):
        load_area_data(tmp_path)
    write(tmp_path, {"a_fln.csv": "# areas: a b\n0,1\n1,0\n"})
    with pytest.raises(DefinitionError, match=r"the file of hierarchy in .* names other areas than that of fln"):
        load_area_data(tmp_path)
    (tmp_path / "a_fln.csv").write_bytes(b"0," * 5_100_000)
    with pytest.raises(DataFileError, match="has more than 10000000 bytes, expected a table of some areas"):
        load_area_data(tmp_path)


def test_data_that_do_not_fit(three: AreaData) -> None:
    with pytest.raises(DefinitionError, match=r"fln has shape \(3, 2\), expected \(3, 3\), for 3 areas in one order"):
        area_data(AREAS, FLN[:, :2], HIERARCHY)
    with pytest.raises(DefinitionError, match=r"hierarchy has shape \(2,\), expected \(3,\)"):
        area_data(AREAS, FLN, HIERARCHY[:2])
    with pytest.raises(DefinitionError, match=r"distances_mm has shape \(2, 3\), expected \(3, 3\)"):
        area_data(AREAS, FLN, HIERARCHY, DISTANCES[:2])
    with pytest.raises(DefinitionError, match="fln holds negative or non-finite values, expected numbers of 0 or more"):
        area_data(AREAS, -FLN, HIERARCHY)
    with pytest.raises(DefinitionError, match="two areas have the same name, expected different ones"):
        area_data(("a", "a", "b"), FLN, HIERARCHY)
    with pytest.raises(DefinitionError, match="hierarchy is 0 in every area, expected some area above the others"):
        area_data(AREAS, FLN, np.zeros(3))
    with pytest.raises(DefinitionError, match="population E has 8 assemblies, expected 1: give the circuit of one"):
        with_areas(load_circuit("ei_assemblies"), three)
    with pytest.raises(DefinitionError, match="circuit murphy_miller_2009 has no long-range projection, expected some"):
        with_areas(load_circuit("murphy_miller_2009"), three)
