"""The exceptions of this package.

    MambaDynamicsError
    |-- CheckpointError            a weight file or folder cannot be used
    |   |-- UnsupportedArchitecture    it is whole, but holds no layer the theory speaks of
    |   |-- MissingTensor              an S6 layer lacks one of its weights
    |   |-- UnsafeFile                 reading it could run code or leave its folder
    |   `-- CorruptFile                its bytes contradict themselves
    |-- LayerShapeError            weights, tokens or sizes do not fit together
    |   `-- NoSuchLayer                a position is outside the checkpoint
    |-- HypothesisError            a theorem was asked about a case outside its hypotheses
    |-- SolveError                 an integration did not reach what was asked of it
    |-- SweepError                 a sweep's spec or store cannot be used
    `-- TrainingError              a training run cannot start or go on
        |-- DataError                    its data cannot be used
        `-- TrainingDiverged             its loss is no number any more

A message is one line: what was expected, what was found, the likely cause, the fix. What a
simulation found out (divergence, an exhausted budget) is an outcome, not an exception: see
`mamba_dynamics._outcomes`.
"""


class MambaDynamicsError(Exception):
    """Base of every error this package raises on purpose."""


class CheckpointError(MambaDynamicsError):
    """A weight file or folder cannot be used."""


class UnsupportedArchitecture(CheckpointError):
    """The file is whole, but holds no layer the theory speaks of."""


class MissingTensor(CheckpointError):
    """An S6 layer was found, but one of its weights is not in the file."""


class UnsafeFile(CheckpointError):
    """Reading the file could run code, leave its folder or exhaust memory."""


class CorruptFile(CheckpointError):
    """The file's bytes contradict themselves or its format."""


class LayerShapeError(MambaDynamicsError):
    """Weights, tokens or sizes do not fit together."""


class NoSuchLayer(LayerShapeError):
    """The checkpoint has no layer at a position that was asked for."""


class HypothesisError(MambaDynamicsError):
    """A theorem was asked about a case outside its hypotheses."""


class SolveError(MambaDynamicsError):
    """An integration did not reach what was asked of it."""


class SweepError(MambaDynamicsError):
    """A sweep's spec or store cannot be used."""


class TrainingError(MambaDynamicsError):
    """A training run cannot start or go on."""


class DataError(TrainingError):
    """The data of a training run cannot be used."""


class TrainingDiverged(TrainingError):
    """The loss of a training run is no number any more."""
