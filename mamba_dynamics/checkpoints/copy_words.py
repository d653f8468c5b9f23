"""What the names in front of a layer say: which words mark a copy of a model, and which only wrap one.

A training checkpoint holds a model several times, and says so by words: `state_dict` beside `state_dict_ema.module`,
`student.backbone` beside `teacher.backbone`, `optimizer.exp_avg.backbone`. `read_path` takes those words out of a
layer's path; the copies of a layer then have the same path, and other words.

    kind      where it counts                                                  examples
    strong    anywhere, joined to any noun                                     ema, teacher, student, exp_avg
    solo      anywhere, alone or joined to a wrapper                           grads
    weak      in front of the first number, alone or joined to a wrapper       best, initial_state_dict, averaged_model
    list      in front of the first number, with a number of its own           models.0, fold_1
    number    the same, a wrapper's word with a number or a letter             model_2, netB
    wrapper   in front of the first number; no copy by itself                  model, module, state_dict, net

Words alone prove nothing: `copies` compares names and shapes.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

#: No path of a model has more parts, and no part of one is longer; of such names nothing is said.
MOST_PARTS, _LONGEST_PART = 64, 64

_TOKENS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WRAPPERS = _words(
    "model module net network nn state states dict sd params parameters param weights weight variables checkpoint ckpt "
    "unwrapped without ddp dp fsdp"
)
#: Parts that torch's and Lightning's wrappers put anywhere.
_OF_WRAPPERS = ("_orig_mod", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_LISTS = _words("models nets networks members ensembles estimators learners replicas checkpoints snapshots")
_MEMBERS = _words("fold folds seed seeds run runs epoch member replica snapshot checkpoint ckpt ensemble")
#: What stands in one word with a strong one: emamodel, netema.
_JOINED = ("model", "net", "network", "weights", "params")
#: Parts of a model, and the weak words that tell a copy of a part.
_PARTS = _words("encoder backbone critic actor policy value q generator projector trunk mamba lm")
_OF_PARTS = _words("target frozen old pretrained")
#: Weak words that may also say where a part stands in a model.
_PLACES = _words("initial init start last final")


#: Kinds of words that mean a copy wherever layers repeat.
SURE = frozenset({"strong", "solo"})


class Role(NamedTuple):
    """What a copy is for: `rank` orders what is judged first, `says` goes into messages, `kind` as in the table."""

    rank: int
    says: str
    kind: str


def _roles(rank: int, says: str, kind: str, words: str) -> dict[str, Role]:
    return dict.fromkeys(words.split(), Role(rank, says, kind))


_ROLES = (
    _roles(1, "the weights in training", "strong", "student online")
    | _roles(1, "the weights in training", "weak", "current raw live main policy")
    | _roles(2, "the best so far", "weak", "best")
    | _roles(3, "the last", "weak", "last latest final newest new")
    | _roles(4, "another precision", "weak", "master fp float bf half")
    | _roles(5, "an average", "strong", "ema swa polyak")
    | _roles(5, "an average", "weak", "averaged average avg mean shadow")
    | _roles(6, "a teacher", "strong", "teacher momentum")
    | _roles(6, "a target", "weak", "target")
    | _roles(7, "earlier weights", "weak", "initial init start old previous prev original backup")
    | _roles(7, "a reference", "weak", "reference ref frozen pretrained anchor")
    | _roles(8, "an optimizer's state", "strong", "optimizer optim")
    | _roles(8, "gradients", "solo", "grad grads gradients")
    | _roles(9, "a statistic of the weights", "weak", "fisher hessian importance sensitivity")
    | _roles(9, "a mask of the weights", "weak", "mask")
)
_OPTIMIZER = _ROLES["optimizer"]
MASK = _ROLES["mask"]
_LIST, _NUMBER = Role(0, "another member", "list"), Role(0, "another member", "number")
#: Words of several parts, which would else be read one by one, and those that count below an optimizer's name.
_OF_OPTIMIZERS = re.compile(r"(?:^|_)(?:opt_states?|(?:max_)?exp_avgs?(?:_sqs?)?|exp_inf|momentum_buffers?)(?:_|$)")
_IN_OPTIMIZERS = _words("m v mu nu")
#: What torch's optimizers call the state they keep for a parameter, beyond the averages above.
_STATES = _words(
    "step step_size square_avg grad_avg acc_delta sum sum_sq prev prev_grad eta mu mu_product ax momentum velocity "
    "exp_avg_diff row_var col_var slow_buffer slow_param"
)


class Path(NamedTuple):
    """A path as read: `stem` without the words, `words` with their roles, `root` the number of parts up to the last.

    A wrapper's role is None. `bare` tells that a weak word stands alone, `places` that all of them may be places in a
    model.
    """

    stem: tuple[str, ...]
    words: tuple[tuple[str, Role | None], ...] = ()
    root: int = 0
    bare: bool = False
    places: bool = False

    @property
    def roles(self) -> tuple[Role, ...]:
        return tuple(role for _, role in self.words if role is not None)


class _Part(NamedTuple):
    """One part of a path: its role, and what is left of its name once words and wrappers are gone."""

    role: Role | None = None
    left: str = ""
    bare: bool = False
    place: bool = False


def read_path(parts: Sequence[str]) -> Path:
    """Take the words of copies and of wrappers out of a path.

    >>> read_path(["state_dict_ema", "module", "backbone", "layers", "0"]).stem
    ('backbone', 'layers', '0')
    """
    if len(parts) > MOST_PARTS:
        return Path(tuple(parts))
    stem: list[str] = []
    words: list[tuple[str, Role | None]] = []
    found: list[_Part] = []
    root, numbered, pending = 0, False, False
    for position, part in enumerate(parts):
        following = parts[position + 1] if position + 1 < len(parts) else ""
        if pending:  # the number of a list
            words.append((part, _LIST))
            root, pending = position + 1, False
            continue
        one = _within_optimizer(part, found) or _read(part, following.isdecimal())
        if not _counts(one, part, numbered):
            numbered = numbered or part.isdecimal()
            stem.append(_normal(part))
            continue
        found.append(one)
        words.append((part, one.role))
        stem += [one.left] if one.left else []
        root, pending = position + 1, one.role is not None and one.role.kind == "list" and following.isdecimal()
    weak = [one for one in found if one.role is not None and one.role.kind == "weak"]
    bare, places = any(one.bare for one in weak), bool(weak) and all(one.place for one in weak)
    return Path(tuple(stem), tuple(words), root, bare, places)


def is_wrapper(part: str) -> bool:
    """Whether a part of a path is a number, or says no more than that a model lies below."""
    return part.isdecimal() or _read(part, False) == _Part()


def _counts(one: _Part, part: str, numbered: bool) -> bool:
    """Whether a part's words count where it stands; behind a number only sure ones do, and torch's wrappers."""
    if one.role is None:
        return not one.left and (not numbered or part in _OF_WRAPPERS)
    return one.role.kind in SURE or not numbered


def _within_optimizer(part: str, before: Sequence[_Part]) -> _Part | None:
    inside = any(one.role is not None and one.role.rank == _OPTIMIZER.rank for one in before)
    return _Part(_OPTIMIZER) if inside and part.lower() in _IN_OPTIMIZERS else None


def of_an_optimizer(parts: Sequence[str]) -> bool:
    """Whether a tensor with this path is an optimizer's: `optim.state.A_log.exp_avg`, `exp_avg.A_log`, `A_log.step`."""
    *above, last = parts
    return (
        last.lower() in _STATES
        or "param_groups" in above
        or any(_OF_OPTIMIZERS.search("_".join(_tokens(part))) for part in parts)
        or any(role.rank == _OPTIMIZER.rank for role in read_path(above).roles)
    )


@lru_cache(maxsize=1024)
def _read(part: str, before_number: bool) -> _Part:
    tokens = _tokens(part)
    words = {token for token in tokens if not token.isdecimal()}
    if part in _OF_WRAPPERS:
        return _Part()
    if not words:
        return _Part(left=part)
    if _OF_OPTIMIZERS.search("_".join(tokens)):
        return _Part(_OPTIMIZER)
    if before_number and words & (_LISTS | _MEMBERS) and words <= _LISTS | _MEMBERS | _WRAPPERS:
        return _Part(_LIST)
    return _with_role(tokens) or _numbered(tokens) or _Part(left="" if words <= _WRAPPERS else part)


def _with_role(tokens: Sequence[str]) -> _Part | None:
    roles = {token: role for token in tokens if (role := _role(token)) is not None}
    rest = [token for token in tokens if token not in roles]
    wraps = all(token in _WRAPPERS | _LISTS or token.isdecimal() for token in rest)
    for token, role in sorted(roles.items(), key=lambda item: (item[1].kind not in SURE, -item[1].rank)):
        if role.kind == "strong":
            return _Part(role, "" if wraps else "_".join(rest))
        if wraps:
            alone = len(roles) == 1 and all(map(str.isdecimal, rest))
            return _Part(role, bare=alone, place=alone and token in _PLACES)
        if token in _OF_PARTS and {word for word in rest if not word.isdecimal()} <= _PARTS | _WRAPPERS:
            return _Part(role, "_".join(rest))
    return None


def _numbered(tokens: Sequence[str]) -> _Part | None:
    """`fold_0`, `model_2`, `netB`: a member's or a wrapper's word with a number or a letter behind it."""
    words, last = set(tokens[:-1]), tokens[-1]
    if not words or not (last.isdecimal() or len(last) == 1):
        return None
    if words & _MEMBERS and words <= _MEMBERS | _WRAPPERS:
        return _Part(_LIST)
    return _Part(_NUMBER) if words <= _WRAPPERS else None


def _role(token: str) -> Role | None:
    for word in (token, token.removesuffix("s")):
        if word in _ROLES:
            return _ROLES[word]
    inner: Iterable[str] = (token.removeprefix(word) for word in _JOINED if token.startswith(word))
    inner = (*inner, *(token.removesuffix(word) for word in _JOINED if token.endswith(word)))
    found = (_ROLES[word] for word in inner if word in _ROLES)
    return next((role for role in found if role.kind == "strong"), None)


def _tokens(part: str) -> list[str]:
    return [token.lower() for token in _TOKENS.findall(part)] if len(part) <= _LONGEST_PART else []


def _normal(part: str) -> str:
    """One spelling for Encoder_EMA's `Encoder` and `encoder`."""
    return "_".join(_tokens(part)) if len(part) <= _LONGEST_PART and _PLAIN.fullmatch(part) else part
