"""`Parser`: a row of the table of readers."""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from case import Case


@dataclass(frozen=True)
class Parser:
    """`file`: the name under which a stranger's bytes are put; `beside`: valid files that lie there too.

    Inputs are made by `mutate` from the valid files `seeds`, or anew by `make`. `share`: how many inputs it gets,
    beside the others; `needs`: what must be installed; `own_process`: it reads in a process with limits of its own;
    `writes`: it changes files. `read` returns the numbers it read where `make` knows them.
    """

    name: str
    file: str
    seeds: tuple[bytes, ...]
    mutate: Callable[[random.Random, bytes], bytes]
    read: Callable[[Path], object]
    beside: tuple[tuple[str, bytes], ...] = ()
    share: float = 1.0
    needs: tuple[str, ...] = ()
    own_process: bool = False
    writes: bool = False
    make: Callable[[random.Random], Case] | None = None

    @property
    def available(self) -> bool:
        return all(find_spec(name) is not None for name in self.needs)

    def prepare(self, folder: Path) -> Path:
        """Make the folder; the path at which inputs are written."""
        shutil.rmtree(folder, ignore_errors=True)
        (folder / self.file).parent.mkdir(parents=True)
        for name, data in self.beside:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return folder / self.file

    def input(self, seed: int, number: int) -> bytes:
        """The bytes of an input, the same for the same numbers."""
        return self.case(seed, number).files[self.file]

    def case(self, seed: int, number: int) -> Case:
        """An input, the same for the same numbers."""
        rng = random.Random(f"{seed} {self.name} {number}")
        if self.make is not None:
            return self.make(rng)
        return Case({self.file: self.mutate(rng, rng.choice(self.seeds))})

    def put(self, case: Case, path: Path) -> None:
        """Write an input's files; the file itself lies at `path`."""
        top = path.parents[len(Path(self.file).parts) - 1]
        for name, data in case.files.items():
            (top / name).write_bytes(data)


def generated(name: str, file: str, seeds: tuple[bytes, ...], make: Callable, read: Callable, **more) -> Parser:
    """A row whose inputs are written anew, by a generator that knows the format."""
    return Parser(name, file, seeds, lambda rng, data: data, read, make=make, **more)
