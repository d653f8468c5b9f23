"""What the log says of a block's regime, against the definitions, and weight-tied stacks against plain loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from s6_by_definition import field_by_definition

from mamba_dynamics import solve, token_dynamics
from mamba_dynamics.plotting import plot_effects, plot_regimes
from mamba_dynamics.refinements import MeanImportance, RandomOrder, Reversed, soft_sort
from mamba_dynamics.training.dynamics import _layer, measured_dynamics
from mamba_dynamics.training.experiment import build_model, build_task, read_experiment
from mamba_dynamics.training.models import Iterated, Sizes, new_language_model, new_s6_model
from mamba_dynamics.training.regimes import regimes_probe

SETTINGS = {"task.length": "8", "task.kinds": "4", "task.batch": "4", "model.width": "6", "model.states": "3"}


def built(**changes):
    given = {key.replace("__", "."): value for key, value in changes.items()}
    spec = read_experiment("induction-heads", SETTINGS | given)
    task = build_task(spec, None)
    return build_model(spec, task), task


@pytest.fixture(scope="module")
def probed():
    model, task = built()
    return model, task, regimes_probe(task)(model)["layers"]


def test_signs_are_those_of_the_whole_matrix(probed):
    model, _, layers = probed
    for block, found in zip(model.model.blocks, layers, strict=True):
        S_B, S_C = (np.asarray(one, float) for one in (block.mixer.selection.S_B, block.mixer.selection.S_C))
        M = S_C.T @ S_B
        real = np.sort(np.linalg.eigvals(M).real)
        size = np.abs(real).max()
        assert found["positive"] == np.sum(real > 1e-9 * size)
        assert found["negative"] == np.sum(real < -1e-9 * size)
        np.testing.assert_allclose([found["smallest"], found["largest"]], real[[0, -1]], rtol=1e-8, atol=1e-12 * size)
        symmetric = np.linalg.eigvalsh((M + M.T) / 2)
        assert found["symmetric_positive"] == np.sum(symmetric > 1e-9 * size)


def test_token_facts_are_those_of_the_definition(probed):
    model, task, layers = probed
    core = model.model
    residuals = [core.embedding[row] for row in next(iter(task.held_out())).tokens[:4]]
    for block, found in zip(core.blocks, layers, strict=True):
        rates, cosines, after = [], [], []
        for u in residuals:
            stages = block.stages(u)
            rates += [float(a @ b / (a @ a)) for a, b in zip(u, stages.out, strict=True)]
            for x in np.asarray(stages.x, float):
                c, b = (np.asarray(one, float) @ x for one in (block.mixer.selection.S_C, block.mixer.selection.S_B))
                cosines.append(c @ b / np.linalg.norm(c) / np.linalg.norm(b))
            after.append(u + stages.out)
        np.testing.assert_allclose(found["radial_median"], np.median(rates), rtol=1e-4)
        np.testing.assert_allclose(found["radial_growing"], np.mean(np.array(rates) > 0))
        np.testing.assert_allclose(found["alignment_mean"], np.mean(cosines), rtol=1e-4, atol=1e-6)
        residuals = after


def test_an_iterated_model_passes_its_blocks_again():
    model = Iterated(new_language_model(Sizes(5, 8, 2, 3), jax.random.key(0)), 3)
    ids = jnp.array([1, 4, 2])
    u = model.core.embedding[ids]
    for _ in range(3):
        for block in model.core.blocks:
            u = u + block(u)
    np.testing.assert_allclose(model(ids), model.core.logits(u), rtol=1e-4, atol=1e-6)


def test_an_s6_model_is_the_euler_scheme_of_the_definition():
    sizes = Sizes(5, 4, 1, 3, embedding_scale=0.7, depth_step=0.25)
    model = new_s6_model(sizes, jax.random.key(1))
    u = np.asarray(model.embedding[jnp.array([0, 3, 1])], float)
    wanted = u + 0.25 * field_by_definition(_layer(model.blocks[0]), u)
    np.testing.assert_allclose(model.continued(jnp.asarray(u, jnp.float32)), wanted, rtol=1e-5, atol=1e-6)


def test_the_stack_s_first_token_follows_the_ode():
    model, task = built(
        **{"model.form": "s6", "model.layers": "1", "model.repeats": "16"},
        **{"model.depth_step": "0.0625", "model.embedding_scale": "0.5", "model.sign": "negative"},
    )
    found = measured_dynamics(model.model, task)
    assert found["shrinking"] == 1.0
    assert found["tokens"]["blew_up_at"] is None
    assert found["scenario"]["spectral"] == "convergent"
    for one in found["first_tokens"]:
        # Euler's error is O(h), here of a change of a few per cent.
        assert abs(one["ratio"] - one["ode_ratio"]) < 0.1 * abs(1 - one["ode_ratio"])
        assert abs(one["exponent"] - one["ode_exponent"]) < 0.02
        assert -0.52 < one["ode_late_exponent"] < -0.48
    core = model.model.core
    row = np.asarray(core.embedding[task.held_out().__next__().tokens[0, 0]], float)[None]
    run = solve(token_dynamics(_layer(core.blocks[0])), row, until=1.0)
    np.testing.assert_allclose(
        found["first_tokens"][0]["ode_ratio"], np.exp(run.log_norms[-1, 0] - run.log_norms[0, 0]), rtol=1e-6
    )


def test_controls_of_the_order():
    raw = jnp.asarray(np.random.default_rng(0).normal(size=(6, 4)), jnp.float32)
    mean = MeanImportance(hard=True)
    tokens = np.asarray(mean.order(raw)) @ np.asarray(raw)
    assert (np.diff(tokens.mean(axis=1)) > 0).all()
    np.testing.assert_array_equal(Reversed(rule=mean, mode="x").order(raw), mean.order(raw)[::-1])
    np.testing.assert_allclose(MeanImportance(tau=0.3).order(raw), soft_sort(raw.mean(axis=1), tau=0.3), rtol=1e-6)
    fixed = np.asarray(RandomOrder(seed=0).order(raw))
    np.testing.assert_array_equal(np.sort(fixed.argmax(axis=1)), np.arange(6))
    np.testing.assert_array_equal(fixed, RandomOrder(seed=0).order(-2 * raw))
    assert (fixed != np.asarray(RandomOrder(seed=1).order(raw))).any()


def test_regimes_and_effects_are_drawn(probed):
    layers = probed[2]
    records = [{"step": step, "layers": layers} for step in (1, 2)]
    axes = plot_regimes({"one": [records], "two": [records, records]})
    assert axes.shape == (4, 2)
    line = axes[3, 0].get_lines()[0]
    np.testing.assert_allclose(line.get_ydata(), layers[0]["radial_median"])
    effect = {"arm": "a", "against": "b", "effect": 0.5, "low": 0.1, "high": 0.9, "p_holm": 0.01}
    ax = plot_effects([effect], "accuracy")
    np.testing.assert_allclose(ax.get_lines()[0].get_xdata(), [0.1, 0.9])
    with pytest.raises(ValueError, match="records with layers"):
        plot_regimes({"one": [[{"step": 1}]]})
