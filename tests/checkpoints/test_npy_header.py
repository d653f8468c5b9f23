"""Headers of .npy files: what numpy writes is read as numpy reads it; what no array has is refused in one line."""

import io
import random
import warnings

import numpy as np
import pytest

from mamba_dynamics import CheckpointError
from mamba_dynamics.checkpoints.npy_header import read_npy_header

NUMBERS = [f"{order}{kind}" for order in "<>" for kind in ("f2", "f4", "f8", "i2", "i4", "i8", "u2", "u8")] + [
    "|i1",
    "|u1",
]


def saved(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy advises against versions that are newer than need be
        np.lib.format.write_array(file, array, version)
    return file.getvalue()


def headed(text: str, version: int = 1) -> bytes:
    length = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes((version, 0)) + length + text.encode("utf-8")


def described(shape: str = "(2, 2)", descr: str = "'<f8'", fortran: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("kind", NUMBERS)
def test_what_numpy_writes_is_read(kind, version):
    for array in (np.zeros((3, 2), kind), np.zeros((3, 2), kind, "F"), np.zeros(0, kind), np.zeros((), kind)):
        data = saved(array, version)
        stream = io.BytesIO(data)
        header = read_npy_header(stream, "x")
        assert header.shape == array.shape
        assert header.dtype == array.dtype
        assert header.fortran == (array.flags.f_contiguous and not array.flags.c_contiguous)
        assert header.numbers * array.itemsize == len(data) - stream.tell()


@pytest.mark.parametrize(
    "text",
    [
        "{'descr':'<f8','fortran_order':False,'shape':(3L,2L)}",  # Python 2
        '{"shape": (3,2,), "fortran_order": True, "descr": "=f8"}\n',  # another writer
        "  { 'descr' : '<f8' , 'fortran_order' : False , 'shape' : ( 3 , ) }  \n",
    ],
)
def test_other_writers_are_read_as_numpy_reads_them(text):
    stream = io.BytesIO(headed(text))
    np.lib.format.read_magic(stream)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = np.lib.format.read_array_header_1_0(stream)
    assert tuple(read_npy_header(io.BytesIO(headed(text)), "x")) == wanted


BROKEN = {
    "an axis that is a truth": described("(True, 1)"),
    "a negative axis": described("(-1, 2)"),
    "an axis of 10^30": described(f"({10**30}, 2)"),
    "sizes whose product overflows": described("(4294967296, 4294967297)"),
    "a huge axis beside an empty one": described(f"(0, {2**62})"),
    "33 axes": described("(" + "1, " * 33 + ")"),
    "1000 axes": described("(" + "1, " * 1000 + ")"),
    "an axis of 1.0": described("(1.0, 2)"),
    "an axis that is none": described("(, 2)"),
    "no tuple": described("(4)"),
    "a list": described("[2, 2]"),
    "a shape within a shape": described("((2, 2), 2)"),
    "a sum": described("(1 + 1, 2)"),
    "digits of another script": described("(\u0662, 2)"),
    "objects": described(descr="'|O'"),
    "fields": described(descr="[('a', '<f8')]"),
    "an array in each place": described(descr="('<f8', (1000,))"),
    "complex numbers": described(descr="'<c16'"),
    "truths": described(descr="'|b1'"),
    "texts": described(descr="'<U4'"),
    "dates": described(descr="'<M8[ns]'"),
    "wide numbers": described(descr="'<f16'"),
    "an order that is a number": described(fortran="0"),
    "an order that is a text": described(fortran="'True'"),
    "no shape": "{'descr': '<f8', 'fortran_order': False}",
    "a shape twice": described()[:-2] + "'shape': (1,)}",
    "one entry more": described()[:-2] + "'more': (1,)}",
    "no table": "7",
    "nothing": "",
    "an escape of Python": described(descr=r"'\d'"),
    "nested deep": "[" * 5000,
    "a call": "__import__('os').system('id')",
    "a long text": "{" + " " * 20_000 + "}",
}


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_what_no_array_has_is_refused_in_one_line(text, version):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CheckpointError) as error:
            read_npy_header(io.BytesIO(headed(text, version)), "tokens")
    assert "expected" in str(error.value)
    assert "tokens" in str(error.value)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("data", [b"", b"\x93NUM", b"\x93NUMPY\1", b"\x93NUMPY\4\0\0\0", headed(described())[:-9]])
def test_what_is_cut_short_is_refused(data):
    with pytest.raises(CheckpointError, match="expected x in numpy format"):
        read_npy_header(io.BytesIO(data), "x")


def test_what_is_accepted_is_what_numpy_accepts():
    rng = random.Random(0)
    signs, accepted = [*"{}()'\",: <>=f8i4L0129TrueFalse", " ", "True", "(", "),"], 0
    for _ in range(20_000):
        text = list(rng.choice([described(), described("(3,)"), described("()")]))
        for _ in range(rng.randint(0, 3)):
            place = rng.randrange(len(text))
            text[place : place + rng.randint(0, 2)] = rng.choices(signs, k=rng.randint(0, 2))
        data = headed("".join(text))
        try:
            found = read_npy_header(io.BytesIO(data), "x")
        except CheckpointError:
            continue
        stream = io.BytesIO(data)
        np.lib.format.read_magic(stream)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert tuple(found) == np.lib.format.read_array_header_1_0(stream), text
        accepted += 1
    assert accepted > 1000
