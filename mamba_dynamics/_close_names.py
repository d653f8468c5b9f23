"""Names that were mistyped: which of the right ones was probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, names: Iterable[str], closing: str = " ") -> str:
    """Words that suggest the closest names, followed by `closing`; nothing where none is close.

    did_you_mean("dichotomi", CATALOGUE)      "did you mean 'dichotomy'? "
    """
    by_lower = {one.lower(): one for one in names}
    wanted = name.lower()[:200]
    near = get_close_matches(wanted, by_lower, n=3, cutoff=0.6)
    near = near or [one for one in by_lower if len(wanted) > 2 and (wanted in one or one in wanted)][:3]
    if not near:
        return ""
    return f"did you mean {' or '.join(repr(by_lower[one]) for one in near)}?{closing}"
