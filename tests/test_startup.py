"""What importing loads. Times are measured by the benchmarks, never asserted here."""

import re
import subprocess
import sys
from pathlib import Path

import glimm

HEAVY = ("pandas", "scipy", "formulaic", "narwhals", "polars", "pyarrow", "matplotlib", "threadpoolctl")


def loaded_after(code: str) -> set[str]:
    """The heavy packages in sys.modules after running code in a fresh interpreter."""
    probe = f"{code}\nimport sys\nprint(' '.join(m for m in {HEAVY!r} if m in sys.modules))"
    return set(subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout.split())


def test_importing_loads_numpy_only():
    assert loaded_after("import glimm") == set()


def test_the_doors_load_nothing_heavy_before_they_are_used():
    assert loaded_after("import glimm; glimm.glm, glimm.gee, glimm.glmm, glimm.compare") == set()


def test_a_fit_loads_no_matplotlib_and_no_scipy_special():
    fit = "glimm.glm('resp ~ age', glimm.load_dataset('ohio'), family='binomial').bse"
    code = f"import glimm, sys; {fit}; assert 'scipy.special' not in sys.modules"
    assert "matplotlib" not in loaded_after(code)


def test_only_one_file_loads_compiled_code():
    sources = Path(glimm.__file__).parent
    loads = re.compile(r"import\b.*\b_native(_avx2)?\b|\b(from|import_module\().*\b_native(_avx2)?\b")
    found = {str(path.relative_to(sources)) for path in sources.rglob("*.py") if loads.search(path.read_text(encoding="utf-8"))}
    assert found == {str(Path("kernels") / "native.py")}
