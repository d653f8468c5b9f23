"""A generator of JSON that is small to store and large to hold: the header of a safetensors file, an index of shards.

Millions of keys, numbers, brackets and escapes, whose memory as Python objects a reader can only bound from above. The
files have hundreds of kilobytes to many megabytes, so an input takes a second; the table's row gets few.
"""

import string
import struct
from random import Random

from case import Case

#: Just more entries than fit a table of two to some power, which doubles then.
_COUNTS = (87_382, 174_763, 349_526, 349_526, 349_526, 699_051)
_LETTERS = string.ascii_letters + string.digits


def _key(number: int) -> str:
    word = ""
    while True:
        word, number = _LETTERS[number % len(_LETTERS)] + word, number // len(_LETTERS)
        if not number:
            return word


def _keys(rng: Random, count: int) -> str:
    """Short keys with one value each; perhaps the last of them twice."""
    value = rng.choice(
        ("1e5", "0", "1", "123456", "1.5", '""', '"a"', "[]", "{}", "null", "true", '"\\u0451"', "1e400")
    )
    twice = f',"{_key(rng.choice((0, count - 1, count - 1)))}":0' if rng.random() < 0.7 else ""
    return "{" + ",".join(f'"{_key(number)}":{value}' for number in range(count)) + twice + "}"


def _list(rng: Random, count: int) -> str:
    value = rng.choice(
        ("1e5", "300", "12345678901", "1.5", '"ab"', "[]", "{}", "[0]", '{"":0}', "null", '"\\n"', "[[]]")
    )
    return '{"a":[' + ",".join([value] * count) + "]}"


def _text(rng: Random, count: int) -> str:
    one = rng.choice(("a", "\\n", "\\u00e9", "\\ud83d\\ude00", "\u0451", "\U0001f600"))
    wide = rng.choice(("", "\U0001f600", "\\ud83d\\ude00"))
    return '{"a":"' + one * (2 * count) + wide + '"}'


def _numbers(rng: Random, count: int) -> str:
    digits = rng.choice((300, 4000))
    return '{"a":[' + ",".join(["7" * digits] * (count // 50)) + "]}"


def _tensors(rng: Random, count: int) -> str:
    """Many entries of tensors as they should be, all of them empty."""
    entry = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    return "{" + ",".join(f'"{_key(number)}":{entry}' for number in range(count // 8)) + "}"


def _flood(rng: Random) -> tuple[bytes, str]:
    count = rng.choice((*_COUNTS, rng.randrange(1_000, 500_000)))
    make = rng.choice((_keys, _keys, _keys, _keys, _list, _text, _numbers, _tensors))
    return make(rng, count).encode(), f"{make.__name__} of {count}"


def flood(rng: Random) -> Case:
    """A safetensors file whose header is a flood, with a payload for which it may cost more, or without."""
    text, says = _flood(rng)
    payload = int(rng.choice((0, rng.uniform(0, 2), rng.uniform(2, 4), rng.uniform(2, 4))) * len(text))
    data = struct.pack("<Q", len(text)) + text + bytes(payload)
    return Case({"model.safetensors": data}, f"{says}, {len(text)} bytes and {payload} of payload")


def flood_of_a_config(rng: Random) -> Case:
    """A config that is a flood."""
    text, says = _flood(rng)
    return Case({"config.json": text}, says)
