"""A wheel in a clean environment finds the same configuration as the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

CODE = """
import opal.config.build, pathlib, sys
assert pathlib.Path(opal.config.build.__file__).is_relative_to(sys.prefix), opal.config.build.__file__
config = opal.config.build.compose("method=smote", "data=craft", "seeds=[1]")
print(sorted(str(p.relative_to(opal.config.build.CONF)) for p in pathlib.Path(opal.config.build.CONF).rglob("*.yaml")))
print(len(opal.config.build.build(config).table.frame))
"""


@pytest.mark.slow
def test_a_wheel_composes_a_run(root, tmp_path):
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(root)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("opal-*.whl")
    home = tmp_path / "clean"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    # the dependencies, not the checkout: this environment's packages, found after the clean one's own
    (site,) = (home / "lib").glob("python*/site-packages")
    here = [p for p in sys.path if p.endswith("site-packages")]
    (site / "dependencies.pth").write_text("\n".join(here))
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(python), "-c", CODE], cwd=tmp_path, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    listed, rows = done.stdout.splitlines()
    assert listed == str(sorted(str(p.relative_to(root / "conf")) for p in Path(root, "conf").rglob("*.yaml")))
    assert rows == "1000"
