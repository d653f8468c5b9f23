"""How a layer's tokens are integrated unless told otherwise."""

#: Tolerance of the integration of a real layer's tokens: blow-up times are then good to about 1e-7.
TOKEN_RTOL = 1e-8
#: Tokens of a text that are integrated unless more are asked for.
MOST_INTEGRATED = 16
#: Budget of solver steps of one run.
MAX_STEPS = 2048
