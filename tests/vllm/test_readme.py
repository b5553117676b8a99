"""The README's way from a log to money through a real engine, as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.vllm.conftest import ROOT, measured


def test_the_way_from_log_to_money_runs_as_the_readme_shows_it(tmp_path: Path):
    block = next(
        found for found in re.findall(r"^```bash\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)
        if "make vllm" in found
    )  # fmt: skip
    steps = "\n".join(line for line in block.splitlines() if not line.startswith("make "))
    for name in ("traces", ".venv-vllm"):
        (tmp_path / name).symlink_to(ROOT / name)
    shell = f'set -euo pipefail\ncostplan() {{ "{sys.executable}" -m costplan "$@"; }}\n{steps}'
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(tmp_path)}
    ran = subprocess.run(["bash", "-c", shell], cwd=tmp_path, env=environment, capture_output=True, text=True)
    print(ran.stdout)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr
    assert measured(tmp_path / "one").client.valid and measured(tmp_path / "eight").client.valid
    assert "measured" in ran.stdout
