"""What a base model computes with on which processor."""

from pathlib import Path

import pytest

from lift.processor import dtype_for


@pytest.mark.parametrize(
    ("flags", "on_cpu", "expected"),
    [
        ("flags : fpu avx2 fma", True, "float32"),
        ("flags : fpu avx2 avx512bw", True, "bfloat16"),
        ("Features : asimd bf16", True, "bfloat16"),
        ("flags : fpu avx2 fma", False, "bfloat16"),
    ],
)
def test_the_type_is_one_that_the_processor_is_fast_in(tmp_path: Path, flags: str, on_cpu: bool, expected: str) -> None:
    (tmp_path / "cpuinfo").write_text(f"model name : any\n{flags}\n")
    assert dtype_for("auto", on_cpu=on_cpu, cpuinfo=tmp_path / "cpuinfo") == expected


def test_a_type_that_is_set_is_taken_on_any_processor(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("flags : avx2")
    assert dtype_for("bfloat16", on_cpu=True, cpuinfo=tmp_path / "cpuinfo") == "bfloat16"
    assert dtype_for("auto", on_cpu=True, cpuinfo=tmp_path / "missing") == "bfloat16"
