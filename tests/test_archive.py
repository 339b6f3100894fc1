"""What ComfyUI's registry would get: only what runs, and nothing that its scanner holds releases for."""

import ast
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import articulate
import pytest

ROOT = Path(articulate.__file__).parent
NETWORK = {
    "aiohttp", "ftplib", "http", "httpx", "httpx2", "huggingface_hub", "requests", "smtplib", "socket", "ssl",
    "telnetlib", "urllib", "urllib3", "websocket", "websockets", "xmlrpc",
}  # fmt: skip
MAY_TALK = ("models_hub/hub.py", "models_hub/hub_errors.py", "models_hub/publishing.py")
"""The Hub's module, and those it is made of."""
FORBIDDEN_CALLS = {"exec", "eval", "compile", "__import__", "import_module", "system", "popen"}
NEEDED = (
    "__init__.py", "pyproject.toml", "requirements.txt", "LICENSE", "README.md", "web/icon.png",
    "nodes/host.py", "models_hub/cards.toml", "models_hub/weights/warper.safetensors",
    "models_hub/stages/mel_bank.safetensors", "models_hub/stages/head_motion.toml",
    "workflows/talking_head.json", "workflows/talking_head.jpg", "subgraphs/Talking Head.json",
    "locales/ko/nodeDefs.json", "web/docs/ArticulateFace.md",
)  # fmt: skip


def rules() -> list[str]:
    lines = (ROOT / ".comfyignore").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def ignored(name: str) -> bool:
    return any(name.startswith(rule) if rule.endswith("/") else fnmatch(name, rule) for rule in rules())


def archive() -> list[str]:
    """Names of the files as comfy-cli packs them: what git tracks, without what .comfyignore names."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout, so the archive cannot be listed")
    return [name for name in listed.split("\0") if name and not ignored(name) and (ROOT / name).exists()]


def sources() -> list[tuple[str, ast.Module]]:
    return [(name, ast.parse((ROOT / name).read_text(encoding="utf-8"))) for name in archive() if name.endswith(".py")]


def test_the_archive_holds_what_runs_and_nothing_else():
    names = archive()
    assert set(NEEDED) <= set(names)
    assert not [name for name in names if name.startswith(("tests/", ".ci/", "docs/", "workflows/remote/"))]
    suffixes = {Path(name).suffix for name in names}
    assert suffixes <= {".py", ".json", ".toml", ".txt", ".md", ".safetensors", ".jpg", ".png", ".flac", ""}
    assert sum((ROOT / name).stat().st_size for name in names) < 60 * 2**20


def test_rules_name_something_that_exists():
    for rule in rules():
        assert (ROOT / rule).exists(), rule


def test_only_the_hub_talks_to_a_network():
    talking = []
    for name, tree in sources():
        for node in ast.walk(tree):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module or ""]
            talking += [(name, module) for module in modules if module.split(".")[0] in NETWORK]
    assert [entry for entry in talking if entry[0] not in MAY_TALK] == []


def test_nothing_is_built_or_installed_at_run_time():
    found = []
    for name, tree in sources():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Name):
                called = node.func.id
            else:
                called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            harmless = isinstance(node.func, ast.Attribute) and called in ("eval", "compile")  # network.eval(), re
            if called in FORBIDDEN_CALLS and not harmless:
                found.append((name, node.lineno, called))
            words = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
            if called in ("run", "Popen", "check_call", "call") and "pip" in words:
                found.append((name, node.lineno, "pip"))
    assert found == []


def test_the_registry_is_told_what_it_needs():
    facts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    comfy = facts["tool"]["comfy"]
    assert comfy["PublisherId"] and comfy["DisplayName"] == "Articulate"
    assert comfy["requires-comfyui"] == f">={articulate.OLDEST_COMFYUI}"
    assert (ROOT / comfy["Icon"]).is_file()
    assert facts["project"]["name"] == "articulate"
    assert facts["project"]["version"] == articulate.__version__
