"""Ids of models on the Hugging Face hub, ORG/NAME[@REVISION], told from paths that were mistyped."""

import os
import re
from pathlib import Path

from .base import shown
from .weight_names import TORCH_SUFFIXES

_ID = re.compile(r"(?P<model>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./+-]+))?", re.ASCII)
#: What a mistyped path ends in, and a model's name does not.
_FILES = (".safetensors", ".json", ".npz", ".npy", ".gguf", *TORCH_SUFFIXES)
_PAGE = re.compile(
    r"(?:https?:/+|hf:/+)?(?:huggingface\.co|hf\.co)/(?P<model>[^/@?#]+/[^/@?#]+)(?:/.*)?|hf:/+(?P<id>.+)"
)
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def parsed_id(given: str) -> tuple[str, str] | None:
    """(ORG/NAME, revision) of an id, the main branch by default; None for anything that could only be a path."""
    found = _ID.fullmatch(given)
    if found is None or given.lower().endswith(_FILES):
        return None
    return found["model"], found["revision"] or "main"


def not_an_id(given: str) -> str:
    """Why the hub was not asked, and where it is plain what was meant, that."""
    page = _PAGE.fullmatch(given)
    if page is not None:
        return f"a model on the hub is given by its id: {shown(page['model'] or page['id'])}"
    if _ADDRESS.match(given):
        return "addresses are not opened: download the file and give its path, or give ORG/NAME of a model on the hub"
    if given.startswith("~"):
        there = os.path.expanduser(given)
        return f"~ is not expanded here: write {shown(there)}, or leave ~ out of the quotes"
    if "\\" in given:
        return f"folders are separated by /: {shown(given.replace(chr(92), '/'))}"
    if given.count("/") > 1 or given.startswith((".", "/")) or given.endswith("/") or given.lower().endswith(_FILES):
        return "as it is written it can only be a path, so the hub was not asked"
    if not given.strip():
        return "it is empty"
    if "/" not in given and Path(given).name == given and re.fullmatch(r"[\w.-]+", given, re.ASCII):
        return "a model on the hub would be ORG/NAME, so the hub was not asked"
    return "it is no ORG/NAME[@REVISION] either, so the hub was not asked"
