"""Mamba-2 layers: one input projection gives the gate, the scan's input, B, C and the step sizes.

Beside `A_log (H)` lie

    in_proj.weight (2 E + 2 G N + H, d)   rows [z | x | B | C | dt]
    dt_bias (H), D (H) or (E)             D_skip is the mean over a head's channels in the second case
    conv1d.weight (E + 2 G N, 1, k), norm.weight (E), out_proj.weight (d, E)     shapes only
    in_proj.layer_norm_weight (d)        Megatron's place for the norm before the block: part of u

Only the rows of B, C and dt are read. A layer may pass some of its width through a gated
feed-forward branch, then in_proj begins with two more blocks of that width and out_proj has as
many more columns; so rows are counted from the end.

Shapes give E, H and the product G N. Which part of it is G, the number of groups, only the config
or the caller can say.
"""

from typing import NamedTuple

from .._errors import CheckpointError
from .._layer import S6Layer
from .facts import U_SPACE, LayerFacts
from .mamba1 import stream_sizes
from .sizes import Fact, Sizes
from .tensor_table import Table, require_ranks, solve, table
from .tensor_table import reads as reads_of
from .tensors import LayerTensors

#: E the width of the scan, F that of the feed-forward branch, Q = G N.
_TABLE = table("""
    A_log            | H                        | required
    in_proj.weight   | 2E + 2F + 2Q + H, d      | required
    dt_bias          | H                        | required
    D                | H / E                    | optional
    in_proj.bias     | 2E + 2F + 2Q + H         | optional
    in_proj.layer_norm_weight, in_proj.layer_norm_bias | d | unused
    conv1d.weight    | E + 2Q, 1, k / E + 2Q, k | unused
    conv1d.bias      | E + 2Q                   | unused
    norm.weight      | E                        | unused
    out_proj.weight  | o, E + F                 | unused
    out_proj.bias    | o                        | unused
""")
#: Numbers of states of published models, the most frequent first, and how many candidates a message shows.
_USUAL_STATES, _MOST_SHOWN = (128, 64, 256, 16, 32), 6
#: in_proj holds S_B, S_C and S_Delta here.
INPUT_IS_READ = True


class Widths(NamedTuple):
    """Row counts of in_proj: the scan's width E, the product G N, heads, the feed-forward branch."""

    scan: int
    states: int
    heads: int
    feed_forward: int


def rows(tensors: LayerTensors) -> Table:
    """The table of a layer."""
    return _TABLE


def reads(tensors: LayerTensors) -> tuple[str, ...]:
    """Suffixes of the tensors a layer is built from. Raises `MissingTensor` where one is absent."""
    return reads_of(_TABLE, tensors)


def widths(tensors: LayerTensors, expected: Sizes) -> Widths:
    """Solve the shapes for the widths. Raises `CheckpointError` where they contradict each other."""
    require_ranks(_TABLE, tensors)
    (H,) = tensors.shape("A_log")
    rows = tensors.matrix_shape("in_proj.weight")[0]
    columns = tensors.matrix_shape("out_proj.weight")[1] if tensors.has("out_proj.weight") else None
    conv = tensors.shape("conv1d.weight")[0] if tensors.has("conv1d.weight") else None
    if conv is not None and columns is not None:
        E = 2 * columns + conv + H - rows
    elif conv is not None:
        E = rows - H - conv
    elif columns is not None:
        E = columns
    elif "d_inner" in expected:
        E = expected["d_inner"].value
    else:
        E = tensors.shape(tensors.first("norm.weight", "out_proj.weight", "conv1d.weight"))[0]
    feed_forward = max(0, columns - E) if columns is not None else 0
    doubled = rows - H - 2 * E - 2 * feed_forward
    consistent = E > 0 and E % H == 0 and doubled > 0 and doubled % 2 == 0
    if not consistent or (tensors.has("norm.weight") and tensors.shape("norm.weight") != (E,)):
        shapes = {
            s: tensors.shape(s)
            for s in ("in_proj.weight", "conv1d.weight", "norm.weight", "out_proj.weight")
            if tensors.has(s)
        }
        found = ", ".join(f"{suffix} {shape}" for suffix, shape in shapes.items())
        raise CheckpointError(
            f"{tensors.name}: in_proj should have 2E + 2GN + H rows [z|x|B|C|dt] with E a multiple of H, found H = {H} "
            f"by A_log and {found}, which give E = {E}, 2GN = {doubled}; this is not a Mamba-2 layer as known here"
        )
    return Widths(E, doubled // 2, H, feed_forward)


def measure(tensors: LayerTensors, expected: Sizes) -> dict[str, Fact]:
    """Sizes by shapes, with G from `expected`. Raises `CheckpointError` where G is not known or does not fit."""
    w = widths(tensors, expected)
    by = "the shapes of in_proj, conv1d and out_proj"
    known = {"E": Fact(w.scan, by), "F": Fact(w.feed_forward, by), "Q": Fact(w.states, f"{by} (G N)")}
    found = solve(_TABLE, tensors, known)
    G = _groups(tensors, w, expected)
    return {
        "d_inner": Fact(w.scan, by),
        "heads": Fact(w.heads, "the shape of A_log"),
        "head_dim": Fact(w.scan // w.heads, f"{by}, E / H"),
        "groups": G,
        "d_state": Fact(w.states // G.value, f"{by} with {G.value} groups by {G.source}"),
        **stream_sizes(found),
    }


def _groups(tensors: LayerTensors, w: Widths, expected: Sizes) -> Fact:
    product = f"G * N = {w.states} by the shapes of in_proj, conv1d and out_proj"
    if "groups" in expected:
        groups = expected["groups"]
    elif "d_state" in expected:
        N = expected["d_state"]
        if w.states % N.value:
            raise CheckpointError(f"{tensors.name}: {product} is not a multiple of d_state = {N.value} by {N.source}")
        groups = Fact(w.states // N.value, f"G * N / N, N by {N.source}")
    else:
        raise CheckpointError(
            f"{tensors.name}: {product}, but the number of groups G cannot be told from the number of states N without "
            f"config.json; put config.json beside the weights or give the number of groups (groups=): {_candidates(w)}"
        )
    if w.states % groups.value or w.heads % groups.value:
        raise CheckpointError(
            f"{tensors.name}: {groups.value} groups by {groups.source} should divide {product} and H = {w.heads}; "
            "the config or the given number belongs to another model"
        )
    return groups


def _candidates(w: Widths) -> str:
    """The numbers of groups that fit, most plausible first: those with a number of states that models have."""
    possible = [G for G in range(1, w.heads + 1) if w.heads % G == 0 and w.states % G == 0]

    def rank(G: int) -> tuple[int, int]:
        N = w.states // G
        return (_USUAL_STATES.index(N) if N in _USUAL_STATES else len(_USUAL_STATES), G)

    shown = [f"--groups {G} (N = {w.states // G})" for G in sorted(possible, key=rank)]
    more = f" and {len(shown) - _MOST_SHOWN} more" if len(shown) > _MOST_SHOWN else ""
    return ", ".join(shown[:_MOST_SHOWN]) + more


def build(tensors: LayerTensors, sizes: Sizes, facts: LayerFacts) -> S6Layer:
    """Read the rows of B, C and dt; every group holds H / G step sizes."""
    G, N, H, E = (sizes[size].value for size in ("groups", "d_state", "heads", "d_inner"))
    rows = tensors.matrix_shape("in_proj.weight")[0]
    wanted = slice(rows - H - 2 * G * N, rows)
    projection = tensors.read("in_proj.weight", wanted)
    dt_bias = tensors.read("dt_bias")
    warnings = [U_SPACE]
    if branch := widths(tensors, sizes).feed_forward:
        warnings.append(f"a gated feed-forward branch of width {branch} beside the scan is left out")
    if tensors.has("in_proj.bias"):
        dt_bias = dt_bias + facts.dt_bias_multiplier * tensors.read("in_proj.bias", slice(rows - H, rows))
        warnings.append("in_proj.bias shifts B and C by constants, which M leaves out; its part for dt is in dt_bias")
    D = tensors.read("D") if tensors.has("D") else None
    if D is not None and D.size == E != H:
        D = D.reshape(H, E // H).mean(axis=1)
        warnings.append("D is stored per channel; D_skip is its mean over each head")
    return S6Layer(
        S_B=projection[: G * N].reshape(G, N, -1),
        S_C=projection[G * N : 2 * G * N].reshape(G, N, -1),
        dt_down=projection[2 * G * N :].reshape(G, H // G, -1),
        dt_up=None,
        dt_bias=dt_bias.reshape(G, -1),
        a=tensors.rates("A_log").reshape(G, -1, 1),
        D_skip=None if D is None else D.reshape(G, -1),
        acts_on="u",
        d_inner=E,
        heads=H,
        multipliers=facts.multipliers,
        dt_limit=facts.dt_limit,
        warnings=tuple(warnings),
    )
