"""Specs: what their values are, and one clear line for what is none."""

import numpy as np
import pytest
from scipy.stats import kstest, norm

from mamba_dynamics._errors import SweepError
from mamba_dynamics.sweeps.spec import read_sweep, sweep_from, sweep_names

BASE = {"fixed": {"a": 1.0, "s_delta": -1.0, "x0": [0.5, 1.0]}, "grid": {"mu": [-1.0, 1.0]}}


def with_parts(**parts):
    return {**BASE, **parts}


def whole(sweep):
    return tuple(slice(0, length) for length in sweep.shape)


@pytest.mark.parametrize("name", sweep_names())
def test_every_spec_of_the_package_is_whole(name):
    sweep = read_sweep(name)
    assert sweep.title
    assert sweep.cells >= 2000
    first = sweep.parameters(sweep.blocks()[0][1])
    assert first["mu"].shape == (sweep.states, first["s_delta"].size)
    assert first["x0"].shape == (sweep.tokens, first["s_delta"].size)


def test_a_grid_is_the_product_of_its_axes():
    table = with_parts(grid={"mu": {"linspace": [-1, 1, 3]}, "x0_2": {"logspace": [-1, 1, 3]}, "a": [0.5, 2]})
    table["fixed"] = {"s_delta": -1, "x0": [0.5, 1.0]}
    sweep = sweep_from("one", table)
    assert [axis.name for axis in sweep.axes] == ["mu", "x0_2", "a"]
    assert sweep.shape == (3, 3, 2)
    found = sweep.parameters(whole(sweep))
    mu, x2, a = (one.ravel() for one in np.meshgrid([-1, 0, 1], [0.1, 1, 10], [0.5, 2], indexing="ij"))
    np.testing.assert_allclose(found["mu"], mu[None])
    np.testing.assert_allclose(found["a"], a[None])
    np.testing.assert_allclose(found["x0"], [np.full(18, 0.5), x2])
    np.testing.assert_array_equal(found["s_delta"], -1)
    assert "until" not in found
    assert "log_until" not in found


@pytest.mark.parametrize("chunk", [1, 4, 7, 12, 1000])
def test_chunks_cover_every_cell_once(chunk):
    table = with_parts(grid={"mu": {"linspace": [-1, 1, 5]}, "x0_2": [1, 2, 3], "dt_bias": [0, 1, 2, 3]}, chunk=chunk)
    sweep = sweep_from("one", table)
    seen = np.zeros(sweep.shape, int)
    for _, block in sweep.blocks():
        seen[block] += 1
        assert seen[block].size <= max(chunk, 1)
    assert np.all(seen == 1)


def test_lists_and_names_of_states_and_tokens():
    table = {
        "fixed": {"mu": [1.0, -0.5], "a": 2.0, "a_2": 0.1, "s_delta": 1, "x0": 1.0, "L": 3},
        "grid": {"x0_3": [4.0, 5.0]},
    }
    sweep = sweep_from("one", table)
    found = sweep.parameters(whole(sweep))
    np.testing.assert_array_equal(found["mu"], [[1, 1], [-0.5, -0.5]])
    np.testing.assert_array_equal(found["a"], [[2, 2], [0.1, 0.1]])
    np.testing.assert_array_equal(found["x0"], [[1, 1], [1, 1], [4, 5]])


def test_cells_may_have_fewer_tokens():
    sweep = sweep_from("one", {"fixed": {"mu": 1, "a": 1, "s_delta": 1, "x0": [1.0, 2.0, 3.0]}, "grid": {"L": [1, 3]}})
    np.testing.assert_array_equal(sweep.parameters(whole(sweep))["x0"], [[1, 1], [0, 2], [0, 3]])
    np.testing.assert_array_equal(sweep.lengths(whole(sweep)), [1, 3])


RANDOM = {
    "fixed": {"L": 2},
    "random": {
        "cells": 4096,
        "mu": {"uniform": [-2, 1]},
        "a": {"log_uniform": [0.1, 10]},
        "s_delta": {"normal": [1, 0.5]},
        "x0": {"normal": [0, 1]},
    },
}


@pytest.mark.parametrize("design", ["independent", "sobol"])
def test_random_values_have_their_distributions(design):
    sweep = sweep_from("one", RANDOM | {"random": RANDOM["random"] | {"design": design}, "seed": 5})
    found = sweep.parameters(whole(sweep))
    for values, distribution in (
        ((found["mu"][0] + 2) / 3, "uniform"),
        ((np.log10(found["a"][0]) + 1) / 2, "uniform"),
        ((found["s_delta"] - 1) / 0.5, norm.cdf),
        (found["x0"][0], norm.cdf),
        (found["x0"][1], norm.cdf),
    ):
        distance = kstest(values, distribution).statistic
        # The 99.9 % point of Kolmogorov's distribution; Sobol points are far more even.
        assert distance < (1.95 / np.sqrt(4096) if design == "independent" else 2e-3)
    assert abs(np.corrcoef(found["x0"])[0, 1]) < 0.06
    again = sweep_from("one", RANDOM | {"random": RANDOM["random"] | {"design": design}, "seed": 5})
    np.testing.assert_array_equal(again.parameters(whole(again))["x0"], found["x0"])
    other = sweep_from("one", RANDOM | {"random": RANDOM["random"] | {"design": design}, "seed": 6})
    assert np.all(other.parameters(whole(other))["x0"] != found["x0"])


def test_one_distribution_more_leaves_the_others():
    more = RANDOM | {"random": RANDOM["random"] | {"dt_bias": {"uniform": [0, 1]}}}
    few, many = sweep_from("one", RANDOM), sweep_from("one", more)
    np.testing.assert_array_equal(few.parameters(whole(few))["x0"], many.parameters(whole(many))["x0"])


def test_channels_of_a_checkpoint():
    from mamba_dynamics import open_checkpoint, sample_path

    chosen = {"path": "sample", "layers": [2, 0], "channels": [7, 3, 100]}
    sweep = sweep_from("one", {"checkpoint": chosen, "fixed": {"L": 2}, "grid": {"x0": [-1, 1]}})
    assert [axis.name for axis in sweep.axes] == ["layer", "channel", "x0"]
    found = sweep.parameters(whole(sweep))
    layer = open_checkpoint(sample_path()).layer(0)
    place = np.ravel_multi_index((1, 2, 0), sweep.shape)
    np.testing.assert_allclose(found["mu"][:, place], layer.S_B[0, :, 100] * layer.S_C[0, :, 100])
    np.testing.assert_allclose(found["s_delta"][place], layer.S_Delta()[100, 100], rtol=1e-12)
    np.testing.assert_array_equal(found["dt_bias"][place], layer.dt_bias[0, 100])
    np.testing.assert_array_equal(found["a"][:, place], layer.a[0, 100])
    np.testing.assert_array_equal(found["x0"][:, place], -1)


def test_values_are_changed_by_name():
    sweep = read_sweep("scenarios", {"grid.a": "[1.0]", "fixed.x0_1": "0.25", "seed": "3", "chunk": "10"})
    assert sweep.shape[0] == 1
    assert (sweep.seed, sweep.chunk) == (3, 10)
    np.testing.assert_array_equal(sweep.parameters(sweep.blocks()[0][1])["x0"][0], 0.25)


CHECKPOINT = {"path": "sample", "channels": [0]}
WRONG = {
    "unknown part": (with_parts(girds={}), "'girds'"),
    "unknown parameter": (with_parts(grid={"nu": [1]}), "'nu'"),
    "nothing to sweep": ({"fixed": BASE["fixed"] | {"mu": 1}}, "nothing to sweep"),
    "empty grid": (with_parts(grid={}), "\\[grid\\]"),
    "no table": (with_parts(grid=3), "\\[grid\\]"),
    "missing": ({"fixed": {"a": 1.0, "x0": 1.0}, "grid": {"mu": [1.0]}}, "expected s_delta"),
    "missing token": ({"fixed": {"a": 1, "s_delta": 1, "mu": 1}, "grid": {"x0_2": [1.0]}}, "expected x0_1"),
    "twice": (with_parts(grid={"a": [1.0]}), "expected a once"),
    "two end times": (with_parts(grid={"until": [1.0], "log_until": [1.0]}), "one end time"),
    "empty list": (with_parts(grid={"mu": []}), "list of numbers"),
    "text in a list": (with_parts(grid={"mu": ["1"]}), "list of numbers"),
    "a truth in a list": (with_parts(grid={"mu": [True]}), "list of numbers"),
    "nan in a list": (with_parts(grid={"mu": [float("nan")]}), "list of numbers"),
    "a number beyond float64 in a list": (with_parts(grid={"mu": [1.0, 10**400]}), "list of numbers"),
    "a count beyond 64 bits": (
        with_parts(grid={"mu": {"linspace": [1, 2, 2**64]}}),
        "at most 100000000 cells, found about 10.19",
    ),
    "a fixed number beyond float64": (with_parts(fixed=BASE["fixed"] | {"a": 10**400}), "number"),
    "a value twice": (with_parts(grid={"mu": [1.0, 1.0]}), "once, found some twice"),
    "unknown kind": (with_parts(grid={"mu": {"geomspace": [1, 2, 3]}}), "linspace"),
    "two kinds": (with_parts(grid={"mu": {"linspace": [1, 2, 3], "logspace": [1, 2, 3]}}), "linspace"),
    "too few numbers": (with_parts(grid={"mu": {"linspace": [1, 2]}}), "linspace"),
    "half a value": (with_parts(grid={"mu": {"linspace": [1, 2, 2.5]}}), "whole number of values"),
    "overflow": (with_parts(grid={"mu": {"logspace": [300, 400, 3]}}), "finite values for mu"),
    "a < 0": (with_parts(fixed=BASE["fixed"] | {"a": -1}), "a_1 >= 0"),
    "rtol = 0": (with_parts(grid={"mu": [1.0], "rtol": [0.0, 1e-6]}), "rtol > 0"),
    "until < 0": (with_parts(fixed=BASE["fixed"] | {"until": -1}), "until >= 0"),
    "half a step": (with_parts(fixed=BASE["fixed"] | {"max_steps": 1.5}), "whole numbers >= 1"),
    "half a token": (with_parts(grid={"mu": [1.0], "L": [1, 1.5]}), "whole numbers"),
    "too few tokens": (with_parts(grid={"mu": [1.0], "L": [1]}), "at most L = 1"),
    "too many tokens": (with_parts(fixed=BASE["fixed"] | {"L": 3}), "3 values for x0"),
    "two numbers for one": (with_parts(fixed=BASE["fixed"] | {"s_delta": [1, 2]}), "a number for s_delta"),
    "text for a number": (with_parts(fixed=BASE["fixed"] | {"a": "1"}), "number"),
    "token 10^9": (with_parts(grid={"x0_1000000000": [1.0], "mu": [1.0]}), "at most 4096"),
    "title": (with_parts(title=3), "a text for title"),
    "seed": (with_parts(seed=-1), "seed"),
    "chunk": (with_parts(chunk=0), "chunk"),
    "no cells": (with_parts(grid={"mu": [1]}, random={"dt_bias": {"uniform": [0, 1]}}), "cells"),
    "unknown design": ({"fixed": {"L": 1}, "random": RANDOM["random"] | {"design": "grid"}}, "sobol"),
    "only cells": ({"fixed": BASE["fixed"] | {"mu": 1}, "random": {"cells": 3}}, "a distribution"),
    "upside down": ({"fixed": {"L": 1}, "random": RANDOM["random"] | {"mu": {"uniform": [1, 0]}}}, "low, high"),
    "log of 0": ({"fixed": {"L": 1}, "random": RANDOM["random"] | {"a": {"log_uniform": [0, 1]}}}, "0 < low"),
    "random L": ({"random": RANDOM["random"] | {"L": {"uniform": [1, 4]}}}, "L in \\[fixed\\]"),
    "checkpoint gives mu": ({"checkpoint": CHECKPOINT, "grid": {"x0": [1.0], "mu": [1.0]}}, "no mu in \\[grid\\]"),
    "no path": ({"checkpoint": {"channels": [0]}, "grid": {"x0": [1.0]}}, "path"),
    "no such channel": ({"checkpoint": CHECKPOINT | {"channels": [4096]}, "grid": {"x0": [1.0]}}, "for channels"),
    "channel twice": ({"checkpoint": CHECKPOINT | {"channels": [1, 1]}, "grid": {"x0": [1.0]}}, "for channels"),
    "layers in words": ({"checkpoint": CHECKPOINT | {"layers": "first"}, "grid": {"x0": [1.0]}}, "for layers"),
    "unknown key": ({"checkpoint": CHECKPOINT | {"layer": 1}, "grid": {"x0": [1.0]}}, "'layer'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_every_mistake_is_one_clear_line(name):
    table, says = WRONG[name]
    with pytest.raises(SweepError, match=says) as caught:
        sweep_from("one", table)
    assert "\n" not in str(caught.value)


def test_layers_whose_channels_are_no_systems_are_refused():
    from checkpoints.small_checkpoints import FIXTURES

    for name, says in (("falcon_mamba", "norms"), ("mamba2", "projections that read u")):
        table = {"checkpoint": {"path": str(FIXTURES / name)}, "grid": {"x0": [1.0]}}
        with pytest.raises(SweepError, match=says):
            sweep_from("one", table)


def test_a_spec_that_is_not_there_or_not_toml(tmp_path):
    with pytest.raises(SweepError, match="choose from random, sample-channels, scenarios"):
        read_sweep("nonsense")
    broken = tmp_path / "broken.toml"
    broken.write_text("a = ")
    with pytest.raises(SweepError, match="expected TOML"):
        read_sweep(broken)
    with pytest.raises(SweepError, match="expected a table at 'title'"):
        read_sweep("scenarios", {"title.x": "1"})


@pytest.mark.parametrize(
    "wide", [{"uniform": [-1e308, 1e308]}, {"log_uniform": [5e-324, 1e308]}, {"normal": [1e308, 1e308]}]
)
def test_a_distribution_beyond_float64_gets_one_line(wide):
    table = {"fixed": BASE["fixed"], "random": {"cells": 100, "mu": wide}}
    with pytest.raises(SweepError, match=r"^expected finite values for mu_1, found [0-9]+ that are not$"):
        sweep_from("one", table)
