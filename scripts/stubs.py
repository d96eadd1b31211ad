"""Turns proto/ into the committed stubs lift/v1 and lift/internal/v1; with --check, says whether they are current.

Google's own protos come out of the installed googleapis-common-protos into proto/google_apis (not committed), where
buf finds them too.
"""

import filecmp
import os
import shutil
import sys
import tempfile
from importlib.metadata import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
GOOGLE = ROOT / "proto" / "google_apis"
NEEDED = {
    "google/api/annotations.proto": "google/api/annotations.proto",
    "google/api/client.proto": "google/api/client.proto",
    "google/api/field_behavior.proto": "google/api/field_behavior.proto",
    "google/api/http.proto": "google/api/http.proto",
    "google/api/launch_stage.proto": "google/api/launch_stage.proto",
    "google/longrunning/operations_proto.proto": "google/longrunning/operations.proto",
    "google/rpc/status.proto": "google/rpc/status.proto",
}


def lay_out_google_apis() -> None:
    """Copies Google's protos to where their canonical import paths say."""
    installed = {str(path): path for path in files("googleapis-common-protos") or ()}
    for source, target in NEEDED.items():
        (GOOGLE / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(str(installed[source].locate()), GOOGLE / target)


def generate(out: Path) -> list[Path]:
    """Compiles every proto of ours into `out`; returns the files made, relative to it."""
    protos = sorted(str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto/lift").rglob("*.proto"))
    wheel_protos = Path(protoc.__file__).parent / "_proto"
    outputs = [f"--{kind}_out={out}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    if protoc.main(["", f"-I{ROOT / 'proto'}", f"-I{GOOGLE}", f"-I{wheel_protos}", *outputs, *protos]):
        raise SystemExit("protoc failed")
    for folder in {path.parent for path in out.rglob("*_pb2.py")}:
        (folder / "__init__.py").touch()
    (out / "lift/internal/__init__.py").touch()
    return sorted(path.relative_to(out) for path in out.rglob("*.py*") if path.is_file())


def main() -> None:
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # where protoc looks for its plugins
    lay_out_google_apis()
    with tempfile.TemporaryDirectory() as folder:
        made = generate(Path(folder))
        committed = {
            path.relative_to(ROOT)
            for version in ("lift/v1", "lift/internal")
            for path in (ROOT / version).rglob("*.py*")
            if "__pycache__" not in path.parts
        }
        stale = [path for path in made if not _same(Path(folder) / path, ROOT / path)]
        left_over = sorted(committed - set(made))
        if "--check" in sys.argv:
            if stale or left_over:
                raise SystemExit(f"stubs are not current, run `make proto`: {[*map(str, stale + left_over)]}")
            return
        for path in made:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(folder) / path, ROOT / path)
        for path in left_over:
            (ROOT / path).unlink()
        print(f"{len(made)} stub files, {len(stale)} changed, {len(left_over)} removed")


def _same(made: Path, committed: Path) -> bool:
    return committed.exists() and filecmp.cmp(made, committed, shallow=False)


if __name__ == "__main__":
    main()
