"""How a run trains: AdamW, a linear warm-up and a cosine, clipped gradients, and when it looks and stops."""

import dataclasses
from dataclasses import dataclass
from functools import cache

import jax
import optax

from .._errors import TrainingError

#: Numbers of a recipe beyond these train nothing, and float32 holds none beyond 3e38.
LEAST, LARGEST = 1e-30, 1e6
#: Steps are counted in 32 bits.
MOST_STEPS = 10**9


@dataclass(frozen=True)
class Recipe:
    """The numbers of a run.

    steps: updates. learning_rate: at its peak, reached after `warmup` steps and lowered along a cosine to
    `final_share` of it. decay: weight decay, of matrices only. clip: largest global norm of a gradient. betas: AdamW's.
    evaluate_every, save_every: steps between evaluations and between checkpoints. patience: evaluations without a
    better loss after which the run stops early; 0 never stops.
    """

    steps: int
    learning_rate: float = 3e-3
    warmup: int = 100
    final_share: float = 0.01
    decay: float = 0.1
    clip: float = 1.0
    betas: tuple[float, float] = (0.9, 0.95)
    evaluate_every: int = 100
    save_every: int = 100
    patience: int = 0

    def __post_init__(self):
        for name in ("steps", "evaluate_every", "save_every"):
            require_within(f"recipe.{name}", getattr(self, name), 1, MOST_STEPS)
        for name in ("learning_rate", "clip"):
            require_within(f"recipe.{name}", getattr(self, name), LEAST, LARGEST)
        for name in ("final_share", "decay"):
            require_within(f"recipe.{name}", getattr(self, name), 0, LARGEST)
        require_within("recipe.patience", self.patience, 0, MOST_STEPS)
        if not all(0 <= beta < 1 for beta in self.betas):
            raise TrainingError(f"expected recipe.betas from 0 to below 1, found {self.betas}: mend the spec")
        if not 0 <= self.warmup < self.steps:
            raise TrainingError(
                f"expected recipe.warmup from 0 to below the {self.steps} steps, found {_in_words(self.warmup)}: mend "
                "the spec"
            )

    def as_dict(self) -> dict[str, object]:
        return dataclasses.asdict(self)


def require_within(name: str, value: float, least: float, most: float) -> None:
    """Raise `TrainingError` for a field of a spec that is NaN or outside its range."""
    if not least <= value <= most:
        raise TrainingError(f"expected {name} from {least:g} to {most:g}, found {_in_words(value)}: mend the spec")


def _in_words(value: float) -> str:
    return str(value) if isinstance(value, float) or abs(value) < 2**63 else "far more" if value > 0 else "far less"


@cache
def optimiser(recipe: Recipe) -> optax.GradientTransformationExtraArgs:
    """The recipe's optimiser over any tree of arrays."""
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, recipe.learning_rate, recipe.warmup, recipe.steps, recipe.final_share * recipe.learning_rate
    )
    first, second = recipe.betas
    adamw = optax.adamw(schedule, b1=first, b2=second, weight_decay=recipe.decay, mask=_matrices)
    return optax.with_extra_args_support(optax.chain(optax.clip_by_global_norm(recipe.clip), adamw))


def _matrices(parameters):
    """True for matrices, among them the free entries of a definite projection's U; false for biases, norms, A_log."""

    def decays(path, value) -> bool:
        names = {getattr(key, "name", None) for key in path}
        return "free" in names or (value.ndim > 1 and "A_log" not in names)

    return jax.tree_util.tree_map_with_path(decays, parameters)
