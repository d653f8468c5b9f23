"""From text to the token ids of a checkpoint: its own `tokenizer.json`, or bytes for a vocabulary of 256.

`tokenizer.json` is the Hugging Face format, read by the `tokenizers` library (extra `text`); it comes from the same
stranger as the weights, so it must be a regular file of the same folder and of at most `MAX_BYTES`, and the library
reads it in a process of its own with limits on memory and time (`tokenizer_process`).
"""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .._errors import CheckpointError, CorruptFile
from .base import shown
from .checkpoint import Checkpoint

MAX_BYTES = 100_000_000
#: Limits of the library's process: seconds of a processor, and bytes beside MEMORY_PER_BYTE for each byte of the file.
SECONDS, MEMORY, MEMORY_PER_BYTE = 60, 1_500_000_000, 20
#: The vocabulary of a model that reads bytes.
BYTES = 256


class Tokenizer(Protocol):
    """What turns text into token ids, and ids into the pieces of text they stand for."""

    def ids(self, text: str) -> NDArray[np.int64]:
        """Token ids (L,) of a text."""
        ...

    def pieces(self, ids: NDArray[np.integer]) -> list[str]:
        """The text of every token, printable, for tables and axes."""
        ...


class ByteTokenizer:
    """A token is a byte of the text's UTF-8 form."""

    def ids(self, text: str) -> NDArray[np.int64]:
        return np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint8).astype(np.int64)

    def pieces(self, ids: NDArray[np.integer]) -> list[str]:
        return [chr(i) if 32 < i < 127 else {32: "␣", 10: "⏎", 9: "⇥"}.get(int(i), f"x{int(i):02x}") for i in ids]


class JsonTokenizer:
    """The tokenizer of a `tokenizer.json`, given as its bytes or its text."""

    def __init__(self, text: bytes | str, source: str):
        if find_spec("tokenizers") is None:
            raise CheckpointError(
                f"{source}: expected the tokenizers package, which reads it, found none installed; install it with: "
                "pip install 'mamba-dynamics[text]', or give --token-ids"
            )
        # Bytes, and no text: one wide character would make four of each.
        self._data = text.encode("utf-8", "replace") if isinstance(text, str) else text
        self._source = source

    def ids(self, text: str) -> NDArray[np.int64]:
        return np.asarray(self._ask(encode=text, decode=[])["ids"], np.int64)

    def pieces(self, ids: NDArray[np.integer]) -> list[str]:
        found = self._ask(encode=None, decode=[int(i) for i in ids])["pieces"]
        return [piece.replace("\n", "⏎") for piece in found]

    def _ask(self, **question: Any) -> dict[str, Any]:
        """The answer of the library, from its own process."""
        limits = {"memory": MEMORY + MEMORY_PER_BYTE * len(self._data), "seconds": SECONDS}
        asked = json.dumps({**limits, **question}).encode("ascii")
        try:
            # -P: a file of the working folder is no module.
            command = [sys.executable, "-P", str(Path(__file__).with_name("tokenizer_process.py"))]
            done = subprocess.run(command, input=asked + b"\n" + self._data, capture_output=True, timeout=5 * SECONDS)
            answer = json.loads(done.stdout)
        except (ValueError, OSError, subprocess.TimeoutExpired):
            answer = {"error": f"it takes more than {SECONDS} seconds or {limits['memory']} bytes"}
        if "error" in answer:
            reason = ascii(answer["error"])[1:-1][:120]
            raise CorruptFile(f"{self._source}: expected a tokenizer, found a file that does not load ({reason})")
        return answer


def tokenizer_of(checkpoint: Checkpoint, vocabulary: int) -> Tokenizer:
    """The tokenizer beside the weights; bytes where there is none and the vocabulary has 256 tokens.

    Raises:
        CheckpointError: there is no tokenizer, or the extra that reads it is missing.
        CorruptFile, UnsafeFile: the file is broken, too large, or leads out of its folder.
    """
    file = checkpoint._place.find("tokenizer.json")
    if file is not None:
        if file.size > MAX_BYTES:
            raise CorruptFile(f"{shown(file.path)}: expected at most {MAX_BYTES} bytes, found more")
        return JsonTokenizer(file.read(0, file.size).tobytes(), shown(file.path))
    if vocabulary == BYTES:
        return ByteTokenizer()
    raise CheckpointError(
        f"{shown(checkpoint.folder)}: expected tokenizer.json for a vocabulary of {vocabulary}, found none; download "
        "it with the model, or give --token-ids"
    )
