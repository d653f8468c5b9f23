"""How much memory a stranger's file may cost: twice its size and a little, whatever it claims about itself.

A few bytes can ask for much: a shape, a compression ratio, a list of empty lists. So what a reader is about to allocate
is estimated, from above, before it is allocated, and compared with the size of the file.
"""

from pathlib import Path

from ._errors import UnsafeFile

#: Bytes that a file of any size may cost beyond twice its own.
FREE = 64_000_000

#: Bytes that JSON's signs may cost as Python objects, from above: a comma ends a value; brackets and braces open
#: containers; a colon makes an entry of a table that may have grown just then, and one in the parser's table of keys;
#: two quotes enclose a text, in ASCII or not. `tests/hostile/test_memory.py` measures them from outside.
_OF_COMMA, _OF_BRACKET, _OF_BRACE, _OF_COLON, _OF_QUOTE, _OF_WIDE_QUOTE = 48, 104, 160, 128, 28, 36


def allowance(size: int) -> int:
    """Bytes that reading a file of `size` bytes may allocate."""
    return 2 * size + FREE


def require_within(cost: int, size: int, path: Path | str, what: str) -> None:
    """Raise `UnsafeFile` if reading `what`, for `cost` bytes, is more than a file of `size` bytes may cost."""
    if cost > allowance(size):
        raise UnsafeFile(
            f"{str(path)[-200:]!a}: expected {what} to take at most {allowance(size)} bytes of memory, twice the "
            f"file's size and {FREE}, found it may take {min(cost, 2**63)}: it is made to exhaust memory, or broken"
        )


class Budget:
    """What several steps of reading one file may cost together.

    budget = Budget(file.size, file.path)
    budget.spend(320, "its pickle")
    """

    def __init__(self, size: int, path: Path | str):
        self._size, self._path = size, path
        self._spent, self._allowed = 0, allowance(size)

    def spend(self, cost: int, what: str) -> None:
        """Raise `UnsafeFile` if all that was spent, with `cost` bytes for `what`, is more than the file may cost."""
        self._spent += cost
        if self._spent > self._allowed:
            require_within(self._spent, self._size, self._path, what)


def json_cost(text: bytes) -> int:
    """Bytes that JSON may take as Python objects, its text included; from above.

    It holds for `json.loads` that makes its tables itself: a hook that is given lists of pairs makes it take more.
    """
    width = _width(text)
    costs = {
        b",": _OF_COMMA,
        b"[": _OF_BRACKET,
        b"{": _OF_BRACE,
        b":": _OF_COLON,
        b'"': _OF_QUOTE if width == 1 else _OF_WIDE_QUOTE,
    }
    signs = sum(cost * text.count(sign) for sign, cost in costs.items())
    # A text with escapes is put together from pieces, and an escape may stand for the widest of characters.
    strings = width if b"\\" not in text else 2 * (4 if b"\\u" in text else width)
    return len(text) * (1 + width + strings) + signs


def _width(text: bytes) -> int:
    """Bytes that Python needs for each character of a UTF-8 text: as many as for the widest of them."""
    if text.isascii():
        return 1
    return 4 if any(text.find(lead) >= 0 for lead in _FOUR_BYTES) else 2


_FOUR_BYTES = tuple(bytes([lead]) for lead in range(0xF0, 0xF5))
