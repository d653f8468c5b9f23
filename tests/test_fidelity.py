"""How ODE-like a model is: against independent integrations, direct computations, and models whose answer is known."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from click.testing import CliRunner
from numpy_mamba import NumpyMamba
from s6_by_definition import field_by_definition
from safetensors.numpy import load_file, save_file
from scipy.integrate import solve_ivp

from mamba_dynamics import (
    ABLATIONS,
    LayerShapeError,
    Outcome,
    S6Layer,
    Scenario,
    Truth,
    UnsupportedArchitecture,
    fidelity,
    load_model,
    open_checkpoint,
    sample_path,
    tokens_verdict,
    walk,
)
from mamba_dynamics._ablations import AblatedLayer, ScenarioRun
from mamba_dynamics._fidelity import _pairs
from mamba_dynamics._rates import agrees
from mamba_dynamics._smooth_flow import SmoothFlow, SmoothFlowRun
from mamba_dynamics._stack_limit import stack_limit
from mamba_dynamics.checkpoints.language_model import language_model_weights
from mamba_dynamics.cli import app
from mamba_dynamics.cli.fidelity import _ids
from mamba_dynamics.models.depth_flow import euler, follow, interpolated, require_same_shape

FIXTURES = Path(__file__).parent / "fixtures"
FOLDERS = {name: FIXTURES / name for name in ("mamba", "falcon_mamba", "mamba2")} | {"sample": sample_path()}
IDS = np.array([3, 1, 4, 1, 5])


def pairs(folder):
    with jax.enable_x64(True):
        return list(_pairs(language_model_weights(open_checkpoint(folder))))


def start(folder, ids=IDS):
    with jax.enable_x64(True):
        return jax.numpy.asarray(language_model_weights(open_checkpoint(folder)).embedding(ids), float)


def run_through(folder, ids=IDS, **options):
    run = SmoothFlowRun(start(folder, ids), **options)
    with jax.enable_x64(True):
        for pair in pairs(folder):
            run.advance(pair.here, pair.there)
    return run


def rewritten(folder, change, source="mamba"):
    """A copy of a fixture whose tensors `change(name, value, all)` has replaced."""
    tensors = load_file(FIXTURES / source / "model.safetensors")
    changed = {name: np.ascontiguousarray(change(name, value, tensors)) for name, value in tensors.items()}
    save_file(changed, folder / "model.safetensors")
    (folder / "config.json").write_text((FIXTURES / source / "config.json").read_text())
    return folder


@pytest.fixture(scope="module")
def smooth(tmp_path_factory):
    """Equal layers with small updates: one step each along a flow that does not depend on depth."""

    def change(name, value, tensors):
        value = tensors[name.replace("layers.1.", "layers.0.")]
        return np.float32(0.01) * value if "out_proj" in name else value

    return rewritten(tmp_path_factory.mktemp("smooth"), change)


@pytest.fixture(scope="module")
def found():
    """Everything about the tiny model, with a small budget."""
    return fidelity(FOLDERS["mamba"], IDS, max_steps=64, doublings=7)


# (b) The residual stream as a flow in depth.


@pytest.mark.parametrize("name", FOLDERS)
def test_one_euler_step_per_layer_is_the_model(name):
    states = np.asarray(load_model(FOLDERS[name], dtype="float64").states(IDS))
    u = start(FOLDERS[name])
    with jax.enable_x64(True):
        for pair in pairs(FOLDERS[name]):
            np.testing.assert_allclose(u, states[pair.position], rtol=1e-13, atol=1e-13)
            u = euler(pair.here, pair.there, u, jax.numpy.asarray(1))
    np.testing.assert_allclose(u, states[-1], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", ["mamba", "falcon_mamba", "mamba2"])
def test_weights_between_layers_lie_between_them(name):
    """At 0 and 1 the layers themselves; half way the mean, of decay rates the geometric one."""
    first, *_ = pairs(FOLDERS[name])
    with jax.enable_x64(True):
        here, middle, there = (interpolated(first.here, first.there, share) for share in (0.0, 0.5, 1.0))
    leaves = [jax.tree.leaves(block) for block in (first.here, first.there, here, middle, there)]
    rates = np.asarray(middle.mixer.selection.a)
    before, after = (np.asarray(block.mixer.selection.a) for block in (first.here, first.there))
    np.testing.assert_allclose(rates, np.sqrt(before * after), rtol=1e-14)
    assert np.abs(rates - (before + after) / 2).max() > 1e-4 * rates.max(), "and these two differ"
    assert len(leaves[0]) > 8
    for p, q, at_0, half_way, at_1 in zip(*leaves, strict=True):
        np.testing.assert_array_equal(at_0, p)
        np.testing.assert_allclose(at_1, q, rtol=1e-13, atol=1e-15)
        if p.shape != rates.shape or not np.array_equal(half_way, rates):
            np.testing.assert_allclose(half_way, (np.asarray(p) + np.asarray(q)) / 2, rtol=1e-13, atol=1e-15)


def test_there_is_no_path_between_blocks_of_different_shapes():
    one, other = pairs(FOLDERS["mamba"])[0].here, pairs(FOLDERS["falcon_mamba"])[0].here
    with pytest.raises(UnsupportedArchitecture, match="interpolated in depth"):
        require_same_shape(one, other)
    with pytest.raises(UnsupportedArchitecture, match="interpolated in depth"):
        require_same_shape(one, one.left_out("norm"))
    with pytest.raises(UnsupportedArchitecture, match="interpolated in depth"):
        require_same_shape(one, pairs(FOLDERS["sample"])[0].here)


class NumpyFlow:
    """The flow by another implementation of the block, which interpolates the tensors as they are stored."""

    def __init__(self, folder):
        self.model = NumpyMamba(folder)
        self.count = self.model.config["num_hidden_layers"]
        self.start = self.model.weights["backbone.embeddings.weight"][IDS]

    def __call__(self, t, u):
        here = min(int(t), self.count - 1)
        there = min(here + 1, self.count - 1)
        layers = [
            {name: self.model.weights[f"backbone.layers.{k}.{name}"] for name in self._names()} for k in (here, there)
        ]
        mixed = {name: (1 - (t - here)) * layers[0][name] + (t - here) * layers[1][name] for name in layers[0]}
        u = u.reshape(self.start.shape)
        *_, update = self.model._mixer(mixed, self.model._norm(u, mixed["norm.weight"]), gated=True)
        return update.ravel()

    def _names(self):
        prefix = "backbone.layers.0."
        return [name.removeprefix(prefix) for name in self.model.weights if name.startswith(prefix)]


def test_the_reference_and_the_euler_stacks_are_those_of_another_implementation():
    flow, run = NumpyFlow(FOLDERS["mamba"]), run_through(FOLDERS["mamba"], halvings=2, rtol=1e-9)
    result = run.result()
    u, states = flow.start.ravel(), []
    for k in range(flow.count):
        # To just below k + 1, where the weights' path has its kink.
        ran = solve_ivp(flow, (k, np.nextafter(k + 1, 0)), u, method="DOP853", rtol=1e-10, atol=1e-11)
        u = ran.y[:, -1]
        states.append(u)
    np.testing.assert_allclose(np.asarray(run.flow).ravel(), u, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(result.size, [np.linalg.norm(one) for one in states], rtol=1e-7)
    np.testing.assert_allclose(
        result.displacement, [np.linalg.norm(one - flow.start.ravel()) for one in states], rtol=1e-7
    )
    for place, steps in enumerate((1, 2, 4)):
        u = flow.start.ravel()
        for k in range(flow.count):
            for i in range(steps):
                u = u + flow(k + i / steps, u) / steps
            assert result.gaps[k, place] == pytest.approx(np.linalg.norm(u - states[k]), rel=1e-5)
    assert np.all(result.reference_error < 1e-5 * result.size)
    assert np.all(result.reference_error > 0)
    assert result.outcome is Outcome.REACHED_UNTIL
    assert result.depth == 2


def test_a_model_that_discretises_a_smooth_flow_is_said_to(smooth):
    found = fidelity(smooth, IDS, ablations=False, doublings=6)
    stream = found.stream
    assert stream.verdict is Truth.HOLDS
    assert stream.layer_verdicts == [Truth.HOLDS] * 2
    np.testing.assert_allclose(stream.orders, 1.0, atol=0.02)
    assert stream.order is not None
    assert agrees(stream.order, 1.0) is Truth.HOLDS
    assert np.all(stream.gap_over_displacement[:, 0] < 0.05)
    assert np.all(stream.gap_over_displacement[:, 0] > 1e-4), "far above the reference's error"
    assert np.all(stream.gap_over_size < stream.gap_over_displacement)


def test_the_sample_does_not_discretise_its_flow():
    """Its own step is further from the flow than the flow has moved, though much shorter steps converge to it."""
    stream = run_through(sample_path(), np.frombuffer(b"The old man", np.uint8)).result()
    assert stream.verdict is Truth.FAILS
    assert np.all(stream.gap_over_displacement[:3, 0] > 1)
    assert stream.orders[-1, -1] == pytest.approx(1, abs=0.1)


def made(gaps, error=0.0, displacement=1.0, outcome=Outcome.REACHED_UNTIL):
    gaps = np.atleast_2d(np.array(gaps, float))
    rows = np.ones(len(gaps))
    return SmoothFlow(
        without=(),
        steps=0.5 ** np.arange(gaps.shape[1]),
        size=2 * rows,
        displacement=displacement * rows,
        gaps=gaps,
        reference_error=error * rows,
        outcome=outcome,
        depth=float(len(gaps)),
        why="",
        reference_steps=1,
    )


@pytest.mark.parametrize(
    ("flow", "verdict"),
    [
        (made([0.08, 0.04]), Truth.HOLDS),
        (made([0.12, 0.06]), Truth.FAILS),  # not small
        (made([0.08, 0.07]), Truth.FAILS),  # small, but shorter steps do not help
        (made([0.08, 0.08 / 2**1.24]), Truth.HOLDS),
        (made([0.08, 0.08 / 2**1.26]), Truth.FAILS),
        (made([[0.08, 0.04], [0.12, 0.06]]), Truth.FAILS),  # every layer counts
        (made([0.0995, 0.0498], error=1e-3), Truth.UNDECIDED),  # the reference is not good enough to say
        (made([0.105, 0.0525], error=0.01), Truth.UNDECIDED),
        (made([0.08, 0.04], error=0.02), Truth.UNDECIDED),
        (made([0.5, 0.25], error=0.02), Truth.FAILS),
        (made([0.08, 0.04], outcome=Outcome.BLEW_UP), Truth.FAILS),
        (made([[0.08, 0.04], [np.nan, np.nan]], outcome=Outcome.BUDGET_EXHAUSTED), Truth.UNDECIDED),
        (made([[0.5, 0.25], [np.nan, np.nan]], outcome=Outcome.BUDGET_EXHAUSTED), Truth.FAILS),
        (made([np.inf, 0.04]), Truth.FAILS),
        (made([0.0, 0.0], displacement=0.0), Truth.UNDECIDED),  # nothing moves
    ],
)
def test_the_verdict_follows_its_thresholds(flow, verdict):
    assert flow.verdict is verdict


def test_a_flow_that_blows_up_is_an_answer(tmp_path):
    """Without the norm a block is of high degree; with large weights its flow ends before the first layer does."""
    folder = rewritten(tmp_path, lambda name, value, _: value * np.float32(4) if "in_proj" in name else value)
    run = run_through(folder, without=("norm",), halvings=1)
    result = run.result()
    assert result.outcome is Outcome.BLEW_UP
    assert result.verdict is Truth.FAILS
    assert 0 < result.depth < 1
    assert f"blows up at depth {result.depth:.4g}"[:-1] in result.why
    assert np.all(np.isnan(result.gaps))
    # Euler's method with ever shorter steps leaves every bound soon after that time, and not before.
    (first, *_), tokens = pairs(folder), start(folder)
    bare = first.here.left_out("norm"), first.there.left_out("norm")
    with jax.enable_x64(True):
        u, biggest, steps = tokens, [], 2000
        step = 1.05 * result.depth / steps
        advance = jax.jit(lambda t, u: u + step * interpolated(*bare, t)(u))
        for i in range(steps):
            u = advance(i * step, u)
            biggest.append(float(jax.numpy.abs(u).max()))
    early, late = biggest[int(steps * 0.95 / 1.05)], biggest[-1]
    assert early < 100 * float(np.abs(tokens).max())
    assert not late < 1e3 * early


def test_a_budget_that_ends_leaves_the_rest_open(smooth):
    run = run_through(smooth, max_steps=1)
    assert run.result().verdict is Truth.UNDECIDED
    assert "max_steps = 1" in run.why
    (first, *_), u = pairs(smooth), start(smooth)
    with jax.enable_x64(True):
        assert follow(first.here, first.there, u, rtol=1e-8, max_steps=1).outcome is Outcome.BUDGET_EXHAUSTED


def test_each_block_is_read_once_and_two_are_held(monkeypatch):
    weights = language_model_weights(open_checkpoint(sample_path()))
    asked, read = [], weights.block
    monkeypatch.setattr(weights, "block", lambda index: asked.append(index) or read(index))
    with jax.enable_x64(True):
        seen = [(pair.position, list(asked)) for pair in _pairs(weights)]
    assert seen == [(0, [0, 1]), (1, [0, 1, 2]), (2, [0, 1, 2, 3]), (3, [0, 1, 2, 3])]


# (a) Stacks of S6 layers against the paper's ODE.


def contractive(rng, D=3, N=4):
    """q(x) < 0 for every token: S_C = -S_B."""
    S_B = rng.normal(size=(N, D))
    S_Delta = 0.3 * rng.normal(size=(D, D))
    return S6Layer.from_matrices(S_B=S_B, S_C=-S_B, S_Delta=S_Delta, a=np.exp(rng.normal(size=(D, N))), dt_bias=0.1)


def test_stacks_converge_to_the_flow_like_1_over_k():
    rng = np.random.default_rng(5)
    layer, x0 = contractive(rng), 0.5 * rng.normal(size=(4, 3))
    found = stack_limit(layer, x0)
    assert found.time == found.lasted == 1.0
    assert found.reaches_one_layer is Truth.HOLDS
    assert found.order is not None
    assert abs(found.order.value - 1) <= 3 * found.order.standard_error + 1e-6
    assert found.order.standard_error < 5e-3
    assert found.truth is Truth.HOLDS
    flow = solve_ivp(
        lambda t, x: field_by_definition(layer, x.reshape(4, 3)).ravel(),
        (0, 1),
        x0.ravel(),
        method="DOP853",
        rtol=1e-10,
        atol=1e-12,
    ).y[:, -1]
    for place, count in enumerate((1, 2, 4, 8)):
        x = x0
        for _ in range(count):
            x = x + field_by_definition(layer, x) / count
        apart = x - flow.reshape(4, 3)
        assert found.gaps[place] == pytest.approx(np.linalg.norm(apart) / np.linalg.norm(flow), rel=1e-6)
        by_token = np.linalg.norm(apart, axis=1) / np.linalg.norm(flow.reshape(4, 3), axis=1)
        assert found.worst[place] == pytest.approx(by_token.max(), rel=1e-6)


def test_a_layer_beyond_its_blow_up_is_compared_before_it():
    """M = I and a constant step size delta: |x|^2 = |x_0|^2 / (1 - 2 delta |x_0|^2 t), so T* is known."""
    layer = S6Layer.from_matrices(S_B=np.eye(2), S_C=np.eye(2), S_Delta=np.zeros((2, 2)), a=1.0, dt_bias=0.3)
    x0 = np.array([[1.2, -0.7]])
    delta, square = np.logaddexp(0, 0.3), float(np.sum(x0**2))
    blow_up = 1 / (2 * delta * square)
    assert blow_up < 1
    found = stack_limit(layer, x0, fraction=0.25)
    assert found.outcome is Outcome.BLEW_UP
    assert found.lasted == pytest.approx(blow_up, rel=1e-9)
    assert found.time == pytest.approx(blow_up / 4, rel=1e-9)
    assert found.reaches_one_layer is Truth.FAILS
    assert "step of 1 lies beyond" in found.why
    assert found.truth is Truth.HOLDS
    x = x0 * (1 + blow_up / 4 * delta * square)
    assert found.gaps[0] == pytest.approx(1 - np.linalg.norm(x) / np.linalg.norm(x0 / np.sqrt(0.75)), rel=1e-7)


@pytest.mark.slow
def test_a_real_layer_lies_beyond_its_blow_up(real_layer):
    """One residual layer of a trained model is a step of 1; its ODE lasts 0.0040467915 (found by another program).

    Token 2 blows up first, so by causality three of the ten tokens tell the time as well as all of them.
    """
    layer, arrays = real_layer
    found = stack_limit(layer, arrays["x_conv"][:3].astype(float), rtol=1e-8)
    assert found.reaches_one_layer is Truth.FAILS
    assert found.lasted == pytest.approx(0.0040467915, abs=1e-8)
    assert found.truth is Truth.HOLDS


def test_a_flow_without_budget_leaves_its_layer_open():
    rng = np.random.default_rng(5)
    found = stack_limit(contractive(rng), 5 * rng.normal(size=(4, 3)), max_steps=1)
    assert found.reaches_one_layer is Truth.UNDECIDED
    assert 0 < found.lasted < 1
    assert found.time < 1


def test_too_few_stacks_decide_no_order():
    rng = np.random.default_rng(5)
    found = stack_limit(contractive(rng), rng.normal(size=(4, 3)), doublings=1)
    assert found.truth is Truth.UNDECIDED


def test_a_flow_at_rest_lasts():
    still = stack_limit(contractive(np.random.default_rng(5)), np.zeros((2, 3)))
    assert still.truth is still.reaches_one_layer is Truth.HOLDS
    assert np.all(still.gaps == 0)
    assert np.all(still.worst == 0)


def test_mamba2_says_why_there_is_no_limit():
    found = fidelity(FOLDERS["mamba2"], IDS, ablations=False)
    assert found.limits == ()
    assert found.limits_why_not is not None
    assert "not closed" in found.limits_why_not
    assert found.stream.verdict is not Truth.UNDECIDED
    assert found.decided


# (c) What is left out.


def test_ablations_are_those_of_a_direct_computation(found):
    assert [one.parts for one in found.ablations] == [("norm",), ("conv",), ("gate",), ("skip",), ABLATIONS]
    assert [one.name for one in found.ablations] == ["norm", "conv", "gate", "skip", "all"]
    model = load_model(FOLDERS["mamba"], dtype="float64")
    logs = np.asarray(model(IDS))
    logs = logs - np.log(np.exp(logs).sum(axis=1, keepdims=True))
    head, norm = np.asarray(model.embedding), np.asarray(model.final_norm.weight)
    for one in found.ablations:
        for row, visit in zip(one.layers, walk(FOLDERS["mamba"], IDS, dtype="float64"), strict=True):
            u = np.asarray(visit.residual)
            with jax.enable_x64(True):
                update = np.asarray(visit.block.left_out(*one.parts)(visit.residual))
            whole = [float(a @ b) for a, b in zip(u, np.asarray(visit.stages.out), strict=True)]
            part = [float(a @ b) for a, b in zip(u, update, strict=True)]
            assert row.sign_changes == np.mean([a * b < 0 for a, b in zip(whole, part, strict=True)])
            assert row.growing == np.mean([a > 0 for a in part])
            assert row.growing_whole == np.mean([a > 0 for a in whole])
        *_, last = walk(FOLDERS["mamba"], IDS, dtype="float64", without=one.parts)
        u = np.asarray(last.after)
        logits = (u / np.sqrt(np.mean(u**2, axis=1, keepdims=True) + model.final_norm.eps) * norm) @ head.T
        without = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        bits = np.mean(np.sum(np.exp(logs) * (logs - without), axis=1)) / np.log(2)
        assert one.divergence_bits == pytest.approx(bits, rel=1e-4)
        assert one.stream.without == one.parts
    assert len({one.divergence_bits for one in found.ablations}) == 5
    assert any(row.sign_changes > 0 for one in found.ablations for row in one.layers)


def test_scenarios_come_from_the_scan_inputs_that_are_left(found):
    norm, conv, gate, skip, everything = found.ablations
    for index, visit in enumerate(walk(FOLDERS["mamba"], IDS, dtype="float64")):
        layer = found.checkpoint.layer(index)
        for one in (norm, conv, everything):
            with jax.enable_x64(True):
                x = np.asarray(visit.block.left_out(*one.parts).stages(visit.residual).x)
            judged = tokens_verdict(layer, x, max_steps=64)
            run = judged.verdicts[0].trajectory
            row = one.layers[index].run
            assert row.scenario is judged.scenario
            assert row.outcome is run.outcome
            end = np.log(run.blow_up.time) if run.blow_up else run.log_t[-1]
            assert row.log_time == pytest.approx(end, rel=1e-5)
        # What lies behind the scan cannot change its inputs: not computed twice.
        assert gate.layers[index].run is skip.layers[index].run is gate.layers[index].whole_run
        assert gate.layers[index].scenario_changes in (None, False)


def test_a_change_is_claimed_only_between_known_scenarios():
    runs = {one: ScenarioRun(one, Outcome.BLEW_UP, 0.0) for one in Scenario}
    known, other, unknown = Scenario.CONVERGENT, Scenario.FAST_DIVERGENCE, Scenario.UNDECIDED

    def changes(one, whole):
        return AblatedLayer(0, runs.get(one), runs.get(whole), 0.0, 0.0, 0.0).scenario_changes

    assert changes(known, other) is True
    assert changes(known, known) is False
    assert changes(known, unknown) is changes(unknown, other) is changes(None, known) is None
    for growing, whole, changed in ((0.4, 0.6, True), (0.6, 0.4, True), (0.6, 0.7, False), (0.5, 0.9, False)):
        assert AblatedLayer(0, None, None, 0.0, growing, whole).majority_changes is changed


def test_some_layers_only_and_bad_input():
    found = fidelity(FOLDERS["mamba"], IDS, layers=[-1], ablations=False, doublings=3)
    assert [one.index for one in found.limits] == [1]
    assert len(found.stream.size) == 2
    for layers in ([2], [-3]):
        with pytest.raises(LayerShapeError, match="2 S6 layers"):
            fidelity(FOLDERS["mamba"], IDS, layers=layers)
    with pytest.raises(LayerShapeError, match="token ids"):
        fidelity(FOLDERS["mamba"], [10**6])
    with pytest.raises(LayerShapeError, match="halving"):
        fidelity(FOLDERS["mamba"], IDS, halvings=0)
    with pytest.raises(UnsupportedArchitecture):
        fidelity(FIXTURES / "jamba", IDS)


# The command line.


def run(*arguments):
    return CliRunner().invoke(app, ["fidelity", *(str(argument) for argument in arguments)])


def document(*arguments, code):
    result = run(*arguments, "--json")
    assert result.exit_code == code, result.stderr
    assert result.stdout.count("\n") == 1, "one JSON document on stdout, nothing else"
    return json.loads(result.stdout, parse_constant=lambda token: pytest.fail(f"bare {token} in JSON"))


def test_the_json_document_says_what_was_found(found):
    written = document(
        FOLDERS["mamba"],
        "--token-ids",
        "3,1,4,1,5",
        "--max-steps",
        64,
        "--doublings",
        7,
        code=0 if found.decided else 3,
    )
    assert written["schema_version"] == 1
    assert written["checkpoint"]["architecture"] == "mamba"
    assert written["tokens"] == 5
    assert [one["index"] for one in written["limit"]] == [0, 1]
    for one, limit in zip(written["limit"], found.limits, strict=True):
        np.testing.assert_allclose(one["gaps"], limit.gaps, rtol=1e-9)
        assert one["layers"] == [1, 2, 4, 8, 16, 32, 64, 128]
        assert one["verdict"] == limit.truth
        assert one["reaches_one_layer"] == limit.reaches_one_layer
    stream = written["residual_stream"]
    np.testing.assert_allclose(stream["gap_over_displacement"], found.stream.gap_over_displacement, rtol=1e-9)
    assert stream["verdict"] == written["summary"]["smooth_flow"] == found.stream.verdict
    assert stream["thresholds"] == {"small_gap": 0.1, "order_band": 0.25}
    assert list(written["ablations"]) == ["norm", "conv", "gate", "skip", "all"]
    conv = written["ablations"]["conv"]
    assert conv["divergence_bits"] == pytest.approx(found.ablations[1].divergence_bits)
    assert conv["layers"][1]["scenario"]["name"] == found.ablations[1].layers[1].run.scenario
    assert written["summary"]["decided"] is found.decided
    assert written["summary"]["changes"].keys() == written["ablations"].keys()


def test_numbers_that_are_none_are_null_with_a_reason(smooth):
    written = document(smooth, "--token-ids", "3,1,4,1,5", "--no-ablations", "--max-steps", 1, code=3)
    assert written["residual_stream"]["gap_over_size"] == [[None] * 5] * 2
    assert "undefined" in written["null_reasons"]["residual_stream.gap_over_size[0][0]"]
    assert written["residual_stream"]["reference"]["outcome"] == "budget_exhausted"


def test_fails_is_an_answer_and_undecided_is_code_3(smooth):
    same = ("--token-ids", "3,1,4,1,5", "--no-ablations")
    result = run(smooth, *same)
    assert result.exit_code == 0, result.output
    assert "discretise a smooth flow? holds" in result.stdout
    fails = run(FOLDERS["mamba"], *same)
    assert "discretise a smooth flow? fails" in fails.stdout
    assert fails.exit_code == 0, "an answer"
    undecided = run(smooth, *same, "--max-steps", 1)
    assert undecided.exit_code == 3
    assert "undecided" in undecided.stdout


def test_the_text_tells_the_three_parts_on_one_or_two_screens(found):
    result = run(FOLDERS["mamba"], "--token-ids", "3,1,4,1,5", "--max-steps", 64, "--doublings", 7)
    assert result.exit_code == (0 if found.decided else 3)
    for words in ("a. K copies", "b. Residual stream", "c. What is left out", "discretise a smooth flow? fails"):
        assert words in result.stdout
    for one in found.ablations:
        assert f"\n {one.name} " in result.stdout
    assert result.stdout.count("\n") < 60


def test_text_and_files_are_read_as_bytes(tmp_path):
    (tmp_path / "text.txt").write_text("The ol", encoding="utf-8")
    sample = open_checkpoint(sample_path())
    expected = list(b"The ol")
    assert _ids(sample, "The ol", None, None).tolist() == expected
    assert _ids(sample, None, tmp_path / "text.txt", None).tolist() == expected
    assert _ids(sample, None, None, "84,104,101,32,111,108").tolist() == expected


@pytest.mark.long
def test_without_a_path_the_sample_is_measured():
    written = document("--text", "The ol", "--no-ablations", "--layer", 0, code=0)
    assert written["checkpoint"]["layers"] == 4
    assert written["tokens"] == 6
    assert [one["index"] for one in written["limit"]] == [0]
    assert len(written["residual_stream"]["layer_verdicts"]) == 4
    assert written["ablations"] == {}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--text", "a", "--token-ids", "1"], 2, "give one of"),
        (["--token-ids", "1,x"], 2, "whole numbers"),
        (["--token-ids", "1,999"], 1, "0..255"),
        (["--text", ""], 1, "empty"),
        (["--text-file", "missing.txt"], 1, "missing.txt"),
        (["--text", "a", "--layer", "4"], 2, "4 S6 layers"),
        (["--text", "a", "--rtol", "0"], 2, "tolerance"),
        (["--text", "a", "--halvings", "0"], 2, "halvings"),
        (["nowhere", "--text", "a"], 1, "nowhere"),
        ([FIXTURES / "jamba", "--token-ids", "1"], 1, "forward pass"),
        ([FIXTURES / "mamba", "--text", "a"], 1, "--token-ids"),
        ([FIXTURES / "jamba", "--token-ids", "1"], 1, "mamba-dynamics classify FILE --tokens"),
        (["--token-ids", "1", "--groups", "2"], 1, "groups=2 was given"),
        (["--token-ids", "1", "--variant", "positive"], 1, "variant=positive was given"),
    ],
)
def test_bad_input_is_one_line(arguments, code, words):
    result = run(*arguments)
    assert result.exit_code == code
    assert words in result.stderr
    assert "Traceback" not in result.output
    if code == 1:
        assert result.stderr.count("\n") == 1
    assert result.stdout == ""
