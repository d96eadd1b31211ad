"""How a revision's files are checked: beside those who write answers, and by a process that is quickly there."""

import os
import subprocess
import sys

from server.engine.loading import Preparation
from server.engine.niceness import NICENESS
from storage.memory import MemoryObjects


async def test_validation_stands_back_for_answers(tmp_path, monkeypatch):
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\nsleep 0.3\nnice > {tmp_path}/told\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    preparation = Preparation(
        MemoryObjects(), tmp_path, base_model=tmp_path, base_model_revision="r", max_lora_rank=8, max_revision_bytes=1
    )
    await preparation._validate(tmp_path)
    assert int((tmp_path / "told").read_text()) == min(19, os.nice(0) + NICENESS)


def test_validation_imports_little_of_what_takes_long():
    said = "import sys, storage.validation; print({'pydantic', 'sqlalchemy', 'torch', 'minio'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
