"""Documentation that cannot rot: generated parts are current, commands and options are explained, data has a source."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from costplan import __version__

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
README_LINES = 250
DATA_FOLDERS = ("traces", "tests/data", "profiles/tokenizers")
GENERATED_HELP = ("--help", "--install-completion", "--show-completion")


def commands() -> Iterator[tuple[str, Any]]:
    """(full name, command) of every command of the command line, groups included."""
    import typer.main
    from costplan.cli import app

    pending: list[tuple[str, Any]] = [("costplan", typer.main.get_command(app))]
    while pending:
        name, command = pending.pop()
        yield name, command
        pending += [(f"{name} {child}", found) for child, found in getattr(command, "commands", {}).items()]


def sources_of(path: Path) -> str:
    """The text of the files that may name a data file's origin: beside it, or above it up to the data folder."""
    texts: list[str] = []
    folder = path.parent
    while folder != ROOT:
        for pattern in ("SOURCES*.md", "SOURCE*.md", "README.md"):
            texts += [found.read_text("utf-8") for found in sorted(folder.glob(pattern))]
        if str(folder.relative_to(ROOT)) in DATA_FOLDERS:
            break
        folder = folder.parent
    return "\n".join(texts)


def data_files() -> list[Path]:
    """Every data file in the repository's data folders."""
    found: list[Path] = []
    for folder in DATA_FOLDERS:
        inside = (ROOT / folder).rglob("*") if (ROOT / folder).is_dir() else ()
        found += [path for path in inside if path.is_file() and path.suffix not in {".md", ".py", ".pyc"}]
    return sorted(found)


def test_the_readme_is_short():
    assert len(README.read_text("utf-8").splitlines()) <= README_LINES


def blocks(language: str) -> list[str]:
    """The code blocks of the README in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("script", blocks("sh"), ids=lambda script: script.split("#")[0].strip()[:60])
def test_the_examples_of_the_readme_run(script: str, tmp_path: Path):
    """In an empty folder with the shipped traces and the README's own price file."""
    (tmp_path / "traces").symlink_to(ROOT / "traces")
    (tmp_path / "prices.yaml").write_text("".join(blocks("yaml")))
    shell = f'set -euo pipefail\ncostplan() {{ "{sys.executable}" -m costplan "$@"; }}\n{script}'
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(tmp_path)}
    ran = subprocess.run(
        ["bash", "-c", shell], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_every_command_and_option_explains_itself():
    silent: list[str] = []
    for name, command in commands():
        if not (command.help or "").strip():
            silent.append(name)
        for parameter in command.params:
            label = (parameter.opts or [parameter.name])[0]
            if label not in GENERATED_HELP and not (getattr(parameter, "help", None) or "").strip():
                silent.append(f"{name} {label}")
    assert silent == []


def test_every_command_is_in_the_documentation():
    pages = [README, *sorted((ROOT / "docs").rglob("*.md"))]
    text = "\n".join(page.read_text("utf-8") for page in pages)
    assert [name for name, _ in commands() if name not in text] == []


def test_links_between_the_pages_lead_somewhere():
    for page in (README, ROOT / "traces" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page}: {target}"


def test_the_changelog_names_the_current_version():
    assert re.search(rf"^## \[{re.escape(__version__)}\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)


def test_decisions_are_numbered_without_gaps():
    numbers = [int(page.name[:3]) for page in sorted((ROOT / "docs" / "decisions").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("path", data_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_data_file_is_named_where_its_origin_stands(path: Path):
    text = sources_of(path)
    # else in backticks: a pattern (`chunk-*.csv`) or a folder with its slash (`prompts/`) names several files
    patterns = re.findall(r"`([^`\n]+)`", text)
    folders = {f"{parent.name}/" for parent in path.relative_to(ROOT).parents}
    assert path.name in text or any(fnmatch(path.name, name) or name in folders for name in patterns)
