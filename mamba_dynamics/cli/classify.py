"""placeholder"""


def classify() -> None: ...
