"""A generator of torch files: state dicts as torch writes them, then varied in what they mean.

Every input is a plain state dict with none to three twists (`tensor_twists`, `value_twists`), written by `Assembler` in
a protocol of 0 to 5, sometimes damaged between its instructions, and put into a zip archive, or into torch's formats
before that (`old_torch`).
"""

from random import Random

from case import Case
from old_torch import before_16, in_a_tar
from pickle_assembler import Assembler
from tensor_twists import TENSOR_TWISTS
from torch_tensors import Plan, random_plan, torch_file
from value_twists import VALUE_TWISTS

_TWISTS = [twist for twist, weight in TENSOR_TWISTS + VALUE_TWISTS for _ in range(weight)]
#: Instructions that no state dict has, or that act on a stack which is not as they need it.
_STRAY = (b"(", b"0", b"1", b"2", b")", b"]", b"}", b"N", b"t", b"R", b"b", b"u", b"e", b"s", b"a", b"o", b"Q", b"\x81",
          b"\x92", b"\x93", b"\x94", b"\x82\1", b"\x83\1\0", b"\x84\1\0\0\0", b"\x97", b"\x98", b"\x90", b"\x91", b".",
          b"h\0", b"j\xff\xff\xff\xff", b"q\0", b"\x80\5", b"\x80\xff", b"\x85", b"\x86", b"\x87", b"d", b"l", b"K\0",
          b"P0\n", b"g7\n", b"p-1\n", b"\xff", b"I01\n")  # fmt: skip
_FRAME = b"\x95"


def pickled(rng: Random) -> Case:
    """A torch file, written anew from a random plan."""
    plan = random_plan(rng)
    for _ in range(rng.choice((0, 1, 1, 1, 1, 1, 2, 2, 3))):
        if plan.tensors:
            rng.choice(_TWISTS)(plan)
    pickle = _program(plan)
    kind = rng.random()
    if kind < 0.85:
        data = torch_file(pickle, plan.records)
    elif kind < 0.95:
        plan.says.append("format before 1.6")
        data = before_16(plan, pickle)
    else:
        plan.says.append("a tar archive")
        data = in_a_tar(plan, pickle)
    return Case({"model.pt": data}, f"protocol {plan.protocol}; " + "; ".join(plan.says), (plan.world(),))


def plain_files() -> tuple[bytes, ...]:
    """Valid files as torch writes them, a third of them in the format before 1.6."""
    files = []
    for number in range(9):
        plan = random_plan(Random(number))
        plan.protocol = 2
        pickle = _program(plan, damaged=False)
        files += [torch_file(pickle, plan.records)] if number % 3 else [before_16(plan, pickle)]
    return tuple(files)


def _program(plan: Plan, damaged: bool = True) -> bytes:
    rng, assembler = plan.rng, Assembler(plan.rng, plan.protocol)
    assembler.usual |= not damaged
    code = assembler.program(plan.table())
    if damaged and rng.random() < 0.06:
        plan.trusted = False
        plan.says.append("instructions damaged")
        return _damaged(rng, code, assembler.starts)
    if damaged and plan.protocol >= 4:
        frame = rng.choice((len(code) - 2, len(code) - 2, 0, 1, 2**31, 2**63, 2**64 - 1, len(code)))
        code = code[:2] + _FRAME + frame.to_bytes(8, "little") + code[2:]
    return code


def _damaged(rng: Random, code: bytes, starts: list[int]) -> bytes:
    """An instruction or two left out, doubled, moved, or a stray one put in."""
    parts = [code[start:stop] for start, stop in zip(starts, [*starts[1:], len(code)], strict=True)]
    for _ in range(rng.choice((1, 1, 2))):
        at, kind = rng.randrange(len(parts)), rng.randrange(4)
        if kind == 0:
            del parts[at]
        elif kind == 1:
            parts.insert(at, parts[at])
        elif kind == 2:
            parts.insert(rng.randrange(len(parts)), parts.pop(at))
        else:
            parts.insert(at, rng.choice(_STRAY) * rng.choice((1, 1, 1, 2, 1000)))
        if not parts:
            break
    return b"".join(parts)
