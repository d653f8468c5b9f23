"""What a sweep asks for is told with the number, before any of it is allocated: measured from outside."""

import subprocess
import sys

import pytest

from mamba_dynamics._errors import SweepError
from mamba_dynamics.sweeps.cost import Cost
from mamba_dynamics.sweeps.spec import sweep_from

FIXED = {"a": 1.0, "x0": 0.5, "s_delta": -1.0, "mu": 1.0}


def spec(*left_out: str, **parts):
    return {"fixed": {key: value for key, value in FIXED.items() if key not in left_out}, **parts}


def linspace(count: int) -> dict:
    return {"linspace": [-1, 1, count]}


#: Beyond a bound in one size each; the number is the closed form of what is asked for.
BEYOND = {
    "cells of a grid": (spec("mu", grid={"mu": linspace(150_000_000)}), "cells, found 150000000"),
    "cells of a product": (
        spec("mu", "a", grid={"mu": linspace(20_000), "a": {"logspace": [0, 1, 20_000]}}),
        "cells, found 400000000",
    ),
    "cells whose product is beyond 64 bits": (
        spec("mu", "s_delta", "a", grid={name: linspace(10**6) for name in ("mu", "s_delta", "a", "dt_bias")}),
        "cells, found about 10^24",
    ),
    "cells whose product is beyond float64": (
        spec("mu", grid={f"mu_{i}": linspace(10**300) for i in range(1, 10)}),
        "cells, found about 10^2700",
    ),
    "random cells": (spec("mu", random={"cells": 10**9, "mu": {"uniform": [-1, 1]}}), "cells, found 1000000000"),
    "random cells beside a grid": (
        spec("mu", "a", grid={"a": {"logspace": [0, 1, 10_000]}}, random={"cells": 20_000, "mu": {"uniform": [0, 1]}}),
        "cells, found 200000000",
    ),
    "values of an axis": (spec("mu", grid={"mu": linspace(90_000_000)}), "found 2160000000: take fewer"),
    "columns": (
        {"fixed": {**FIXED, "L": 4096}, "random": {"cells": 50_000, "x0": {"uniform": [-1, 1]}}}
        | {"fixed": {key: value for key, value in FIXED.items() if key != "x0"} | {"L": 4096}},
        f"found {8 * (3 * 50_000 + 2 * 4096 * 50_000)}: take fewer",
    ),
    "columns of a Sobol design": (
        {"fixed": {key: value for key, value in FIXED.items() if key != "x0"} | {"L": 1000}}
        | {"random": {"cells": 20_000, "design": "sobol", "x0": {"uniform": [-1, 1]}}},
        f"found {8 * (3 * 20_000 + 6 * 1000 * 20_000)}: take fewer",
    ),
    "units of work": (
        spec("mu", "s_delta", chunk=1, grid={"mu": linspace(2000), "s_delta": linspace(2000)}),
        "units of work, found 4000000: make chunk larger",
    ),
    "a unit of work": (
        spec("mu", chunk=10**6, grid={"mu": linspace(10**6)}) | {"fixed": {**FIXED, "x0": 0.5, "L": 4096}},
        "memory for a unit of work",
    ),
    "bytes on the disk": (
        spec("mu", "s_delta", grid={"mu": linspace(2000), "s_delta": linspace(2000)}, chunk=1000)
        | {"fixed": {"a": 1.0, "x0": 0.5, "L": 4096}},
        f"bytes on the disk, found {4_000_000 * (35 + 17 * 4096)}",
    ),
    "axes": (
        {"fixed": {"a": 1.0, "s_delta": 1.0, "x0": 1.0}, "grid": {f"mu_{i}": [float(i)] for i in range(1, 71)}},
        "at most 16 axes, found 70",
    ),
}  # fmt: skip
BEYOND["a unit of work"][0]["fixed"].pop("mu")


@pytest.mark.parametrize("name", BEYOND)
def test_what_is_beyond_a_bound_is_told_with_the_number(name):
    table, says = BEYOND[name]
    with pytest.raises(SweepError) as error:
        sweep_from("one", table)
    assert says in str(error.value)
    assert str(error.value).isprintable()


def test_the_cost_of_a_sweep_that_is_computed():
    sweep = sweep_from("one", spec("mu", "a", chunk=4, grid={"mu": linspace(5), "a": [1.0, 2.0, 3.0]}))
    cost = Cost((5, 3), 4)
    assert cost.cells == sweep.cells == 15
    assert cost.chunks == len(sweep.blocks()) == 5


SCRIPT = """
import resource, sys
from mamba_dynamics._errors import SweepError
from mamba_dynamics.sweeps.spec import read_sweep
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_sweep(sys.argv[1])
except SweepError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)
"""

SPECS = {
    "grid": "[fixed]\na=1.0\nx0=0.5\ns_delta=-1.0\n[grid]\nmu={linspace=[-1,1,150000000]}\n",
    "random": "[fixed]\na=1.0\nx0=0.5\ns_delta=-1.0\n[random]\ncells=150000000\nmu={uniform=[-1,1]}\n",
    "columns": "[fixed]\na=1.0\ns_delta=-1.0\nmu=1.0\nL=4096\n[random]\ncells=50000\nx0={uniform=[-1,1]}\n",
    "chunks": "chunk=1\n[fixed]\na=1.0\nx0=0.5\n[grid]\nmu={linspace=[-1,1,2000]}\ns_delta={linspace=[-1,1,2000]}\n",
    "lengths": "[fixed]\na=1.0\ns_delta=-1.0\nmu=1.0\nx0=1.0\n[grid]\nL={linspace=[1,4096,100000000]}\n",
}


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux")
@pytest.mark.parametrize("name", SPECS)
def test_a_spec_of_a_few_lines_takes_no_memory(name, tmp_path):
    path = tmp_path / "spec.toml"
    path.write_text(SPECS[name])
    done = subprocess.run([sys.executable, "-c", SCRIPT, path], capture_output=True, text=True, check=True)
    kilobytes, said = done.stdout.split(" ", 1)
    assert int(kilobytes) < 64_000
    assert "expected a sweep of at most" in said
    assert said.count("\n") == 1
