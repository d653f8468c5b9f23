"""`verify`: the whole catalogue checked: algebra, random cases, counterexamples, certificates.

Theorems that draw from the same pool share its cases, and each case is integrated once. Work is cut into pieces that
depend on the pool and the case numbers alone, so the result is the same for any number of processes.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

from .._close_names import did_you_mean
from .._devices import on_processors_only
from .._errors import HypothesisError, SolveError
from .._outcomes import Truth
from .._stop import starting_processes
from ..theorems.catalogue import CATALOGUE
from ..theorems.contract import Pool, Theorem, WeakerClaim
from ..theorems.steps import Settled, Step
from .certified import CERTIFICATES, Certificate
from .judge import CaseVerdict, all_of, judge, judge_case
from .measured import Judgement
from .run import Run

#: Cases per piece of work.
PIECE = 20
#: A theorem is decided by its cases if at least this share of them is.
DECIDED = 0.95

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Refutation:
    """A weaker claim on its counterexample: it is refuted if the measurement fails it."""

    claim: WeakerClaim
    judgements: tuple[Judgement, ...]

    @property
    def refuted(self) -> bool:
        return any(one.truth is Truth.FAILS for one in self.judgements)


@dataclass(frozen=True)
class TheoremReport:
    """All evidence for one theorem."""

    theorem: Theorem
    steps: tuple[tuple[Step, Settled], ...]
    cases: tuple[CaseVerdict, ...]
    refutations: tuple[Refutation, ...]
    certificate: dict[str, Any]

    def count(self, truth: Truth) -> int:
        return sum(one.truth is truth for one in self.cases)

    @property
    def symbolic(self) -> Truth:
        return all_of([settled.truth for _, settled in self.steps])

    @property
    def numeric(self) -> Truth:
        """`fails` if a case fails; `holds` if there are cases, and all but a few undecided ones hold."""
        if self.count(Truth.FAILS):
            return Truth.FAILS
        enough = bool(self.cases) and self.count(Truth.HOLDS) >= DECIDED * len(self.cases)
        return Truth.HOLDS if enough else Truth.UNDECIDED

    @property
    def truth(self) -> Truth:
        """Everything together; a weaker claim that is not refuted on its counterexample leaves the report undecided."""
        claims = [Truth.HOLDS if one.refuted else Truth.UNDECIDED for one in self.refutations]
        certificate = [Truth(self.certificate["status"])] if "status" in self.certificate else []
        return all_of([self.symbolic, self.numeric, *claims, *certificate])

    @property
    def complete(self) -> bool:
        """Whether everything holds and not one case is undecided."""
        return self.truth is Truth.HOLDS and not self.count(Truth.UNDECIDED)


@dataclass(frozen=True)
class Verification:
    """The catalogue, or a part of it, verified."""

    theorems: tuple[TheoremReport, ...]
    cases: int
    seed: int
    wall_seconds: float

    @property
    def truth(self) -> Truth:
        """`undecided` if nothing was looked at."""
        return all_of([one.truth for one in self.theorems]) if self.theorems else Truth.UNDECIDED

    @property
    def complete(self) -> bool:
        return bool(self.theorems) and all(one.complete for one in self.theorems)


def verify(
    names: Sequence[str] | None = None,
    *,
    cases: int = 200,
    seed: int = 0,
    processes: int = 1,
    progress: Progress | None = None,
) -> Verification:
    """Verify theorems of the catalogue.

    Args:
        names: which (see `CATALOGUE`), each once however often it is named; all of them by default.
        cases: random cases per theorem; without any, nothing is decided.
        seed: of the random cases.
        processes: how many to use. 1 works in this process; more are started afresh, so a script that asks for them
            needs the guard `if __name__ == "__main__":`.
        progress: called with (pieces done, pieces in all, what is being done).

    Raises:
        HypothesisError: an unknown theorem. SolveError: a process was ended from outside.
    """
    began = time.perf_counter()
    theorems = [theorem_named(name) for name in dict.fromkeys(names if names is not None else CATALOGUE)]
    pieces = list(_pieces(theorems, cases, seed))
    results: dict[_Piece, Any] = {}
    for done, (piece, result) in enumerate(_work(pieces, processes), start=1):
        results[piece] = result
        if progress is not None:
            progress(done, len(pieces), piece.title)
    reports = tuple(_report(theorem, pieces, results) for theorem in theorems)
    return Verification(reports, cases, seed, time.perf_counter() - began)


def theorem_named(name: str) -> Theorem:
    """A theorem of the catalogue."""
    if name not in CATALOGUE:
        meant = did_you_mean(name, CATALOGUE)
        raise HypothesisError(
            f"expected the name of a theorem, found {name!r}; {meant}the catalogue has {', '.join(CATALOGUE)}"
        )
    return CATALOGUE[name]


@dataclass(frozen=True)
class _Piece:
    """A piece of work: cases [start, stop) of a pool for some theorems, or the rest of one theorem's evidence."""

    names: tuple[str, ...]
    pool: str | None
    seed: int
    start: int = 0
    stop: int = 0

    @property
    def title(self) -> str:
        return self.names[0] if self.pool is None else f"{self.pool} {self.start + 1}-{self.stop}"


def _pieces(theorems: list[Theorem], cases: int, seed: int) -> Iterator[_Piece]:
    """Cases first, pool by pool; then steps, counterexamples and certificates, theorem by theorem."""
    pools: dict[str, list[str]] = {}
    for theorem in theorems:
        pools.setdefault(theorem.pool.name, []).append(theorem.name)
    for start in range(0, cases, PIECE):
        for pool, names in pools.items():
            yield _Piece(tuple(names), pool, seed, start, min(start + PIECE, cases))
    for theorem in theorems:
        yield _Piece((theorem.name,), None, seed, 0, cases)


def _work(pieces: list[_Piece], processes: int) -> Iterable[tuple[_Piece, Any]]:
    if processes == 1 or len(pieces) < 2:
        yield from ((piece, _do(piece)) for piece in pieces)
        return
    workers = min(processes, len(pieces))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=on_processors_only) as pool:
        with starting_processes():
            futures = {pool.submit(_do, piece): piece for piece in pieces}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenExecutor:
            raise SolveError(
                f"verify: expected {processes} working processes, but one was ended from outside, most likely for lack "
                f"of memory (each takes about 1 GB); give fewer with --processes"
            ) from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _do(piece: _Piece) -> Any:
    if piece.pool is None:
        return _settle(CATALOGUE[piece.names[0]], piece.seed, piece.stop)
    theorems = [CATALOGUE[name] for name in piece.names]
    return _judge_cases(theorems, theorems[0].pool, piece)


def _judge_cases(theorems: list[Theorem], pool: Pool, piece: _Piece) -> dict[str, list[CaseVerdict]]:
    found: dict[str, list[CaseVerdict]] = {theorem.name: [] for theorem in theorems}
    for index in range(piece.start, piece.stop):
        run = Run(pool.case(piece.seed, index), index)
        for theorem in theorems:
            found[theorem.name].append(_portable(judge_case(theorem, run)))
    return found


def _settle(theorem: Theorem, seed: int, cases: int):
    """(steps settled, counterexamples judged, certificate): indices into the theorem's own records, to be portable."""
    settled = [step.settle() for step in theorem.steps]
    refutations = [[_bare(one) for one in _judge_claim(claim)] for claim in theorem.weaker]
    certificate = CERTIFICATES.get(theorem.name)
    return settled, refutations, _certified(certificate, theorem, seed, cases) if certificate else {}


def _judge_claim(claim: WeakerClaim) -> list[Judgement]:
    """A claim on its counterexample; nothing, so not refuted, where that cannot be computed."""
    try:
        return judge(Run(claim.case), claim.expected)
    except Exception:
        return [Judgement(one, Truth.UNDECIDED) for one in claim.expected]


def _certified(certificate: Certificate, theorem: Theorem, seed: int, cases: int) -> dict[str, Any]:
    """What balls prove; undecided, with the reason, where they cannot be computed."""
    try:
        return certificate(theorem, seed, cases)
    except Exception as error:
        return {"kind": "certificate", "status": Truth.UNDECIDED.value, "why": f"{type(error).__name__}: {error}"}


def _bare(judgement: Judgement) -> Judgement:
    """A judgement without functions in it, which cannot be sent between processes."""
    if not callable(judgement.expected.value):
        return judgement
    return replace(judgement, expected=replace(judgement.expected, value="a function"))


def _portable(verdict: CaseVerdict) -> CaseVerdict:
    return verdict if verdict.worst is None else replace(verdict, worst=_bare(verdict.worst))


def _report(theorem: Theorem, pieces: list[_Piece], results: dict[_Piece, Any]) -> TheoremReport:
    mine = [piece for piece in pieces if theorem.name in piece.names]
    verdicts = tuple(verdict for piece in mine if piece.pool is not None for verdict in results[piece][theorem.name])
    settled, refutations, certificate = next(results[piece] for piece in mine if piece.pool is None)
    return TheoremReport(
        theorem=theorem,
        steps=tuple(zip(theorem.steps, settled, strict=True)),
        cases=verdicts,
        refutations=tuple(
            Refutation(claim, tuple(judgements)) for claim, judgements in zip(theorem.weaker, refutations, strict=True)
        ),
        certificate=certificate,
    )
