"""Files that hold tensors but no model: adapters, optimizer states, JAX trees, known by their tensors' names."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from .._errors import CheckpointError, UnsupportedArchitecture
from .adapters import ADAPTER_CONFIG, PROMPTS
from .base import Archive, shown
from .file_kinds import kind_by_name
from .folder import Folder, weights_of
from .json_text import json_object
from .packed_kinds import names_by_slashes_step
from .weight_names import ADAPTERS

_MOST_CONFIG_BYTES = 1_000_000


@dataclass(frozen=True)
class TensorKind:
    """Tensors of which at least such a share (and one) have such a name; `says` follows "found"."""

    name: str
    says: str
    next_step: Callable[[Archive, Folder], str]
    share: float = 0.0

    def fits(self, names: tuple[str, ...]) -> bool:
        count = sum(re.search(self.name, name) is not None for name in names)
        return count > 0 and count >= self.share * len(names)


def refuse_other_tensors(archive: Archive, folder: Folder) -> None:
    """Raise `UnsupportedArchitecture` where the tensors are no model's, saying whose they are; nothing otherwise.

    Whatever holds an `A_log` is a model here. Of an adapter the message says which base it wants, by the
    `adapter_config.json` in `folder`.
    """
    names = archive.names
    if any(name.rpartition(".")[2] in ("A_log", "A_logs") for name in names):
        return
    kind = next((kind for kind in KINDS if kind.fits(names)), None)
    if kind is not None:
        raise UnsupportedArchitecture(
            f"{shown(archive.path)}: expected a model's weights, found {kind.says}; {kind.next_step(archive, folder)}"
        )
    named = kind_by_name(archive.path.name)
    if named is not None and named.tensors:
        raise UnsupportedArchitecture(f"{shown(archive.path)}: expected a model's weights, but {named.words}")


def _merge(archive: Archive, folder: Folder) -> str:
    if archive.path.name in ADAPTERS and any(name not in ADAPTERS for name in weights_of(folder)):
        return f"its base lies beside it: open the folder {shown(folder.path)}, and both are read"
    kind, base = _adapter(folder)
    wants = f"its base is {shown(base)}" if base else f"its base is not named ({ADAPTER_CONFIG} is missing or does not)"
    if kind in PROMPTS:
        return f"{wants}; {kind} changes no weight of an S6 layer, so open the base itself"
    load, given = "AutoPeftModelForCausalLM.from_pretrained(folder)", "folder is the adapter's"
    if not base:
        load, given = (
            "PeftModel.from_pretrained(base, folder)",
            "base is its base model, loaded, and folder the adapter's",
        )
    merge = f"peft.{load}.merge_and_unload().save_pretrained('merged')"
    return f"{wants}: merge it into its base first ({merge}, where {given}), and open 'merged'"


def _adapter(folder: Folder) -> tuple[str | None, str | None]:
    """(kind, base) by the adapter's configuration, None for what it does not say."""
    try:
        file = folder.find(ADAPTER_CONFIG)
        if file is None or file.size > _MOST_CONFIG_BYTES:
            return None, None
        config = json_object(file.read(0, file.size).tobytes(), file.path, ADAPTER_CONFIG)
    except CheckpointError:
        return None, None
    kind, base = config.get("peft_type"), config.get("base_model_name_or_path")
    return kind if isinstance(kind, str) else None, base if isinstance(base, str) else None


def _open_the_model(archive: Archive, folder: Folder) -> str:
    return "open the model's own weights (model.safetensors or pytorch_model.bin), or their folder"


def _rename(archive: Archive, folder: Folder) -> str:
    return names_by_slashes_step(archive.names, archive.path.name)


#: First match wins.
KINDS = (
    TensorKind(
        r"\.lora_(?:A|B|E|embedding_[AB]|magnitude_vector)(?:\.|$)|\.(?:ia3_l|hada_w\d_[ab]|lokr_w\d(?:_[ab])?|oft_[rR]|"
        r"boft_[RSs]|vera_lambda_[bd]|lora_(?:down|up))(?:\.|$)|^prompt_embeddings$|^prompt_encoder\.",
        "an adapter (PEFT) without the model it belongs to",
        _merge,
        share=0.5,
    ),
    TensorKind(
        r"(?:^|[./])(?:exp_avg(?:_sq)?|exp_inf|momentum_buffer|fp32_from_fp16|single_partition_of_fp32_groups)(?:[./]|$)",
        "the state of an optimizer",
        _open_the_model,
    ),
    TensorKind(r"(?:^|/)A_logs?$", "a model whose tensors are named with slashes, as JAX names them", _rename),
    TensorKind(r"^params[./]|[./]kernel$", "a JAX model's tensors (kernel, params)", _rename),
)
