"""Definite symmetric parts (theory 4.2): what is known of every token in several dimensions at once.

sym(M) negative definite: the first active token tends to zero, |x_1| = O(t^-1/2), and no token becomes infinite in
finite time. Every token tends to zero if step sizes are bounded below; otherwise a later token can shut the step size
that would damp it and diverge (`catalogue.negative_definite_escape`). sym(M) positive definite: q(x) > 0 for every
token that is not zero, so the first active token's norm grows without bound; whether at finite time is not said.
Anything else depends on the token.
"""

import numpy as np

from .._layer import S6Layer
from .._outcomes import Scenario
from ..certificates import symmetric_signs
from .base import FloatArray, Prediction

_SOURCE = "definite symmetric part (theory 4.2)"


def predict_from_definiteness(layer: S6Layer, x0: FloatArray, group: int = 0) -> Prediction:
    """The scenario of tokens x0 (L, D) under one group of a layer, as far as sym(M) decides it."""
    if not x0.any():
        return Prediction(Scenario.CONSTANT, "every token is zero and stays zero", "theory 3.1")
    found = symmetric_signs(layer.B_map(group), layer.C_map(group))
    definiteness = "undecided" if found is None else found.definiteness
    negative, positive = ("negative_definite", "positive_definite")[:: 1 if layer.gain > 0 else -1]
    alone = int(np.sum(x0.any(axis=1))) == 1
    if definiteness == negative and not (alone or layer.step_sizes_bounded_below(group)):
        why = (
            "sym(M) is negative definite (certified): the first token tends to zero and none blows up, but a later one "
            "may escape where its step sizes shut"
        )
        return Prediction(Scenario.UNDECIDED, why, _SOURCE)
    if definiteness == negative:
        return Prediction(Scenario.CONVERGENT, "sym(M) is negative definite (certified)", _SOURCE)
    if definiteness == positive:
        return Prediction(Scenario.DIVERGENT, "sym(M) is positive definite (certified)", _SOURCE)
    why = f"sym(M) is {definiteness.replace('_', ' ')}: no theorem decides, it depends on the tokens"
    return Prediction(Scenario.UNDECIDED, why, _SOURCE)
