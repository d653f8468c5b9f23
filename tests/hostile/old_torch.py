"""torch's formats before 1.6 and before 0.1.10: pickles one after the other with storages behind; a tar archive."""

import io
import struct
import tarfile

from pickle_assembler import Assembler, Global
from torch_tensors import KINDS, Plan

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


def _pickle(plan: Plan, value: object) -> bytes:
    return Assembler(plan.rng, 2).program(value)


def before_16(plan: Plan, pickle: bytes) -> bytes:
    """Magic number, protocol, system, the pickle, the storages' names, then each one's count and bytes.

    The identities of the storages have a sixth field there, a view into another storage; a reader takes five too.
    """
    rng, keys = plan.rng, list(plan.records)
    magic, protocol, system, order = _MAGIC, _PROTOCOL, _SYSTEM, list(keys)
    storages = [_counted(plan, key, 8) for key in keys]
    if rng.random() < 0.3:
        kind = rng.randrange(8)
        plan.says.append(f"its frame is damaged, kind {kind}")
        plan.trusted = False
        if kind == 0:
            magic += rng.choice((1, 2**100))
        elif kind == 1:
            protocol = rng.choice((0, 1000, 2**70, None, "1001"))
        elif kind == 2:
            system = rng.choice(({}, None, {"little_endian": False}, [1]))
        elif kind == 3:
            order = rng.choice((order[::-1], order[1:], [*order, "x"], [*order, *order], 7, [1, None]))
        elif kind == 4:
            storages = storages[:-1]
        elif kind == 5:
            storages.append(b"\0" * rng.choice((1, 8, 100)))
        elif kind == 6:
            lie = rng.choice((-1, 0, 2**31, 2**60, 2**62, 2**63 - 1))
            storages = [struct.pack("<q", lie) + one[8:] for one in storages]
        else:
            rng.shuffle(storages)
    head = b"".join(_pickle(plan, value) for value in (magic, protocol, system))
    return head + pickle + _pickle(plan, order) + b"".join(storages)


def _counted(plan: Plan, key: str, length: int) -> bytes:
    placed = [tensor for _, tensor in plan.tensors] + [tensor for _, tensor in plan.elsewhere]
    kind = next((tensor.kind for tensor in placed if tensor.key == key), "F32")
    return (len(plan.records[key]) // KINDS[kind][2]).to_bytes(length, "little") + plan.records[key]


def in_a_tar(plan: Plan, pickle: bytes) -> bytes:
    """A tar archive of three files: the storages, the tensors cut out of them, and the pickle that names these."""
    count = plan.rng.choice((len(plan.records), 0, 2**31))
    storages = _pickle(plan, count)
    for key in plan.records:
        storages += _pickle(plan, (key, "cpu", Global("torch", "FloatStorage"))) + _counted(plan, key, 8)
    tensors = _pickle(plan, len(plan.tensors))
    for _, tensor in plan.tensors:
        tensors += _pickle(plan, (tensor.key, tensor.key, Global("torch", "FloatTensor")))
        tensors += struct.pack("<ii3q", 1, 0, 2, 1, 0)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in (
            ("sys_info", _pickle(plan, _SYSTEM)),
            ("storages", storages),
            ("tensors", tensors),
            ("pickle", pickle),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()
