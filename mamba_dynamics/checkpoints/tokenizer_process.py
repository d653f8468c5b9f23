"""The `tokenizers` library in a process of its own, run as a script: a stranger's tokenizer may ask for anything.

It reads a line with one JSON object {"memory": bytes, "seconds": n, "encode": text | null, "decode": [id, ...]} and the
tokenizer's file on stdin, and writes {"ids": [...]}, {"pieces": [...]} or {"error": text} on stdout. Rules in a
tokenizer can double a text forty times over or compare it without end; the limits are the system's, and end this
process only.
"""

import json
import os
import sys


def main() -> None:
    asked = json.loads(sys.stdin.buffer.readline())
    tokenizer = sys.stdin.buffer.read().decode("utf-8", "replace")
    _limit(asked["memory"], asked["seconds"])
    try:
        from tokenizers import Tokenizer

        backend = Tokenizer.from_str(tokenizer)
        if asked["encode"] is not None:
            answer = {"ids": backend.encode(asked["encode"], add_special_tokens=False).ids}
        else:
            answer = {"pieces": [backend.decode([i], skip_special_tokens=False) for i in asked["decode"]]}
    except BaseException as error:  # a panic of the library is no Exception
        answer = {"error": f"{type(error).__name__}: {error}"[:500]}
    json.dump(answer, sys.stdout)
    sys.stdout.flush()
    os._exit(0)


def _limit(memory: int, seconds: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
