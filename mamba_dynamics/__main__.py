"""`python -m mamba_dynamics` is the command line."""

from .cli import main

main()
