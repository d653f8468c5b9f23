"""Commands that compute parts of the site, as many at a time as there are processors."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.plugins import get_plugin_logger

ROOT = Path(__file__).resolve().parents[1]
log = get_plugin_logger("site")


@dataclass(frozen=True)
class Job:
    """A command run at the top of the repository; `name` says what it computes."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


def run_all(jobs: Sequence[Job], cache: Path) -> None:
    """Run all of them; what fails ends the build, with what the command said."""
    if jobs:
        log.info("computing %s", ", ".join(job.name for job in jobs))
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for job, result in zip(jobs, pool.map(lambda job: _run(job, cache), jobs), strict=True):
            if result.returncode:
                raise PluginError(f"{job.name}: ended with code {result.returncode}\n{result.stderr}")


def _run(job: Job, cache: Path) -> "subprocess.CompletedProcess[str]":
    """The package documented is that of this checkout, and programs that JAX has compiled before are used again."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.fspath(ROOT),
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": os.fspath(cache / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
        **job.environment,
    }
    return subprocess.run(job.command, cwd=ROOT, env=environment, capture_output=True, text=True)
