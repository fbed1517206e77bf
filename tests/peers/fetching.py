"""Repositories that are measured against."""

import subprocess
from pathlib import Path


def fetched(repository: str, release: str, folder: Path) -> Path:
    """A release of a repository, cloned unless it is there. Where it cannot be had, the program ends with a word."""
    name = repository.rsplit("/", 1)[1]
    at = folder / f"{name}-{release}"
    if not at.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["git", "clone", "--quiet", "--depth", "1", "--branch", release, repository, str(at)]
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode:
            print(f"SKIPPED: {name} cannot be had: {(ran.stderr.strip().splitlines() or ['git failed'])[-1]}")
            raise SystemExit(0)
    return at
