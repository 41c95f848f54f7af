"""The environment of the benchmarks: benchmarks/.venv with the peers from PyPI and glimm as installed from this checkout.

Standard library only: it runs before anything is installed. R and its packages are used where they are already there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
VENV = HERE / ".venv"
PYTHON = VENV / "bin" / "python"
PEERS = ("statsmodels", "glum", "glmm==0.6.2", "gpboost", "mixedlm-rs", "mixedlm", "marginaleffects", "polars<2")
TOOLS = ("pyarrow", "py-spy", "matplotlib")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS")
# Where distributions keep them, the wanted one first; OpenBLAS has LAPACK in it.
BLAS = {
    "openblas": (
        ("usr/lib/*/openblas-pthread/libopenblas.so.0",),
        ("usr/lib/*/openblas-*/libopenblas.so.0",),
        ("usr/lib*/libopenblas*.so.0",),
    ),
    "reference": (
        ("usr/lib/*/blas/libblas.so.3", "usr/lib/*/lapack/liblapack.so.3"),
        ("usr/lib64/libblas.so.3", "usr/lib64/liblapack.so.3"),
    ),
}


def pip(*arguments: str) -> bool:
    """Run pip in the benchmarks' environment; True if it succeeded."""
    command = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, check=False).returncode == 0


def stamp_of_sources() -> str:
    """A digest of all that glimm is built from."""
    files = [ROOT / "CMakeLists.txt", ROOT / "pyproject.toml"]
    files += [p for folder in ("native", "src") for p in sorted((ROOT / folder).rglob("*")) if p.suffix in (".py", ".csv", ".cpp", ".hpp")]
    digest = hashlib.sha256()
    for path in files:
        digest.update(str(path.relative_to(ROOT)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def once(name: str, content: str) -> bool:
    """True if the stamp `name` differs from `content`."""
    path = VENV / f".{name}"
    return not path.exists() or path.read_text() != content


def prepare() -> None:
    """Create, fill and refresh benchmarks/.venv; a peer that cannot be installed is left out."""
    if not PYTHON.exists():
        venv.create(VENV, with_pip=True)
        pip("--upgrade", "pip")
    wanted = " ".join((*PEERS, *TOOLS))
    if once("peers", wanted):
        print(f"benchmarks/.venv: installing {wanted}", flush=True)
        if not pip(*PEERS, *TOOLS):
            for package in (*PEERS, *TOOLS):
                pip(package)
        (VENV / ".peers").write_text(wanted)
    sources = stamp_of_sources()
    if once("glimm", sources):
        print("benchmarks/.venv: building glimm from this checkout", flush=True)
        if not pip(f"--config-settings=build-dir={VENV / 'build'}", str(ROOT)):
            raise SystemExit("glimm could not be installed into benchmarks/.venv")
        (VENV / ".glimm").write_text(sources)


def enter(module: str) -> None:
    """Go on in benchmarks/.venv: the same command, by its interpreter."""
    if Path(sys.prefix).resolve() == VENV.resolve():
        return
    prepare()
    environ = {k: v for k, v in measured_environ(None).items() if k != "PYTHONPATH"}
    os.execve(PYTHON, [str(PYTHON), "-m", module, *sys.argv[1:]], environ)


def blas_of_r() -> dict[str, str]:
    """The BLAS and LAPACK that R can be given here, by LD_PRELOAD: name -> files. Empty where there is no R, or none is found."""
    if not shutil.which("Rscript") or not sys.platform.startswith("linux"):
        return {}
    found: dict[str, str] = {}
    for name, choices in BLAS.items():
        for files in choices:
            paths = [next(iter(sorted(Path("/").glob(f))), None) for f in files]
            if all(paths) and name not in found:
                found[name] = ":".join(str(p) for p in paths)
    return found


def measured_environ(threads: int | None) -> dict[str, str]:
    """This process's variables without those that would change a measurement, and with threads capped."""
    environ = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPROFILEIMPORTTIME")}
    if threads is not None:
        environ |= dict.fromkeys(THREADS, str(threads))
    return environ
