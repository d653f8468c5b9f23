"""Tar archives: a single file of weights in one is read where it lies, without unpacking.

Only the blocks that say what lies where are read. A tar archive of pickles, as torch wrote before version 0.1.10 (years
before Mamba), and one of several files are refused with what they hold.
"""

import tarfile

from .._errors import CheckpointError, CorruptFile
from .base import shown
from .files import FilePart, StoredFile

_BLOCK = tarfile.BLOCKSIZE
#: Members of an archive that are looked at. One with weights has a handful.
_MOST_MEMBERS = 1000
_LONGEST_HEADER = _BLOCK * _MOST_MEMBERS
#: Blocks that describe the next member: long names and further headers.
_DESCRIBING = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_DESCRIBING += (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


def only_member(file: StoredFile) -> FilePart:
    """The only regular file of a tar archive.

    Raises `CheckpointError` where there are none or several, `CorruptFile` where the archive contradicts itself.
    """
    found: list[tuple[str, FilePart]] = []
    at = 0
    for _ in range(_MOST_MEMBERS):
        if at + _BLOCK > file.size:
            break
        block = file.read(at, _BLOCK).tobytes()
        if not any(block):
            break
        name, kind, size = _header(block, file)
        if at + _BLOCK + size > file.size:
            raise CorruptFile(f"{shown(file.path)} is a tar archive that ends within {shown(name)}; download it again")
        if kind in tarfile.REGULAR_TYPES:
            found.append((name, FilePart(file, at + _BLOCK, size)))
        elif kind in _DESCRIBING:
            _require_plain(file, at + _BLOCK, size)
        elif kind == tarfile.GNUTYPE_SPARSE:
            raise _unpack(file, "a file with holes")
        at += _BLOCK + -(-size // _BLOCK) * _BLOCK
    if len(found) != 1:
        listed = ", ".join(shown(name) for name, _ in found[:4]) or "none"
        more = ", ..." if len(found) > 4 else ""
        raise CheckpointError(
            f"{shown(file.path)} should be a tar archive of one file with weights, found {len(found)} files ({listed}"
            f"{more}): unpack it and give the file or folder with the weights"
        )
    return found[0][1]


def _require_plain(file: StoredFile, begin: int, size: int) -> None:
    """Refuse a further header that changes where the next member lies, or what its bytes are."""
    if size > _LONGEST_HEADER:
        raise CorruptFile(f"{shown(file.path)} is a tar archive with a header of {size} bytes; download it again")
    header = file.read(begin, size).tobytes()
    if b" GNU.sparse." in header:
        raise _unpack(file, "a file with holes")
    if b" size=" in header:
        raise _unpack(file, "a file whose size is told apart from it")


def _unpack(file: StoredFile, what: str) -> CheckpointError:
    return CheckpointError(
        f"{shown(file.path)} should be a tar archive of one plain file with weights, found {what}: unpack it, and open "
        "what is in it"
    )


def _header(block: bytes, file: StoredFile) -> tuple[str, bytes, int]:
    """(name, kind, size) of the member that a block begins."""
    try:
        member = tarfile.TarInfo.frombuf(block, "utf-8", "replace")
    except (tarfile.HeaderError, ValueError) as error:
        raise CorruptFile(f"{shown(file.path)} is a damaged tar archive ({shown(error)}); download it again") from None
    if member.size < 0:
        raise CorruptFile(f"{shown(file.path)} is a damaged tar archive: a size below zero; download it again")
    # Folders and links have no bytes of their own, whatever size is written there.
    bytes_behind = member.size if member.isreg() or member.type in _DESCRIBING else 0
    return member.name, member.type, bytes_behind
