"""The same readers under atheris, which looks for inputs that reach new lines of code (`pip install atheris`).

    python tests/hostile/coverage_guided.py safetensors -runs=100000

Everything after the reader's name goes to libFuzzer. Damage is done to the reader's valid files by its own rules, from
the numbers that atheris gives, so that a file stays near enough to whole to be read deeply.
"""

import random
import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parent))
with atheris.instrument_imports(include=["mamba_dynamics"]):
    from check import check
    from parsers import PARSERS


def main() -> None:
    parser = PARSERS[sys.argv.pop(1)]
    path = parser.prepare(Path(tempfile.mkdtemp(prefix="hostile-")) / "f")
    path.write_bytes(parser.seeds[0])
    with atheris.instrument_imports(include=["mamba_dynamics"]):
        parser.read(path)

    def one(data: bytes) -> None:
        rng = random.Random(data[8:])
        if parser.make is not None:
            case = parser.make(rng)
            parser.put(case, path)
            check(parser, path, case.files[parser.file])
        else:
            check(parser, path, data if data[:1] < b"\x80" else parser.mutate(rng, rng.choice(parser.seeds)))

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
