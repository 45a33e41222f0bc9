"""What the repository promises of itself: set up once, pinned, nothing private in it."""

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def _tracked() -> list[Path]:
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a git clone: what is tracked is not known")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return [REPOSITORY / name for name in listed.stdout.split("\0") if name]


def test_set_up_does_nothing_twice():
    if not (REPOSITORY / "build" / "browser.done").is_file():
        pytest.skip("not set up by make test")
    planned = subprocess.run(
        ["make", "--dry-run", "test"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert "pytest" in planned.stdout
    assert "tools/setup" not in planned.stdout


def test_every_locked_package_has_its_version_and_hash():
    text = (REPOSITORY / "requirements.lock").read_text()
    packages = re.findall(r"(?m)^([a-z0-9][a-z0-9._-]*(?:\[[^\]]*\])?)(.*)$", text)
    assert len(packages) > 50
    for name, rest in packages:
        assert rest.startswith("=="), name
    blocks = re.split(r"(?m)^(?=[a-z0-9])", text)[1:]
    assert all("--hash=sha256:" in block for block in blocks)


def test_no_recording_and_no_large_file_is_in_the_repository():
    for path in _tracked():
        assert path.stat().st_size < 3_000_000, path
        assert path.suffix not in (".parquet", ".mat", ".mwlog"), path
