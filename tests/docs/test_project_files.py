"""What an open project has beside its code: each file says what is true of this project."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from vsplit import __version__


def load(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def test_the_citation_is_of_this_version_and_of_no_invented_person(project: Path) -> None:
    citation = load(project / "CITATION.cff")
    metadata = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["version"] == __version__
    assert citation["authors"] == [{"name": "The vsplit developers"}]
    assert citation["license"] == metadata["license"] == "Apache-2.0"
    assert set(citation["keywords"]) == set(metadata["keywords"])


def test_the_workflow_runs_what_ci_runs(project: Path) -> None:
    workflow = load(project / ".github/workflows/ci.yml")
    jobs = {name: [step.get("run") for step in job["steps"] if "run" in step] for name, job in workflow["jobs"].items()}
    assert jobs["test"] == ["bash .ci/run"]
    assert jobs["docs"][0] == "make docs"
    assert workflow["permissions"] == {"contents": "read"}
    targets = re.findall(r"^([\w-]+):", (project / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert "docs" in targets
    assert (project / ".ci/run").is_file()
    metadata = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = {one.rpartition(" ")[2] for one in metadata["classifiers"] if re.search(r":: 3\.\d+$", one)}
    assert set(workflow["jobs"]["test"]["strategy"]["matrix"]["python"]) == listed


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_an_issue_template_is_a_form(project: Path, name: str) -> None:
    form = load(project / f".github/ISSUE_TEMPLATE/{name}.yml")
    assert form.keys() >= {"name", "description", "body"}
    assert {part["type"] for part in form["body"]} <= {"markdown", "textarea", "input", "dropdown", "checkboxes"}
    fields = [part for part in form["body"] if part["type"] != "markdown"]
    assert len({part["id"] for part in fields}) == len(fields)
    assert any(part.get("validations", {}).get("required") for part in fields)


def test_every_hook_before_a_commit_runs_a_tool_of_the_project(project: Path) -> None:
    (repository,) = load(project / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    tools = {hook["entry"].split()[0] for hook in repository["hooks"] if hook["language"] == "system"}
    assert tools == {".venv/bin/ruff", ".venv/bin/mypy", ".venv/bin/lint-imports", ".venv/bin/python"}


def test_the_code_of_conduct_names_its_source_and_licence(project: Path) -> None:
    text = (project / "CODE_OF_CONDUCT.md").read_text(encoding="utf-8")
    for part in ("Contributor Covenant, version 2.1", "Coraline Ada Ehmke", "CC BY 4.0", "(SECURITY.md)"):
        assert part in text


def test_files_are_as_editorconfig_says(project: Path) -> None:
    assert "[Makefile]\nindent_style = tab" in (project / ".editorconfig").read_text(encoding="utf-8")
    own = [project / name for name in ("mkdocs.yml", "CITATION.cff", "Makefile")]
    for folder, kinds in (("docs", "*.md"), ("deploy", "*"), (".github", "*.yml"), ("parties/command/init_files", "*")):
        own += [file for file in (project / folder).rglob(kinds) if file.is_file()]
    for file in own:
        text = file.read_text(encoding="utf-8")
        assert text.endswith("\n") and not text.endswith("\n\n"), file
        assert not re.search(r"[ \t]+$|\r", text, re.MULTILINE), file
