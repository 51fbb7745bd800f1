"""Jobs that are killed and started again end in the bytes of one that was not."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.support.training import fit
from tests.support.workflow import ROOT


def test_killed_training_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    """The job is killed (-9) after its second resume checkpoint, of twelve; then it runs again."""
    steps = 60
    code = f"""
import logging, sys
from pathlib import Path
from tests.support.training import fit
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
fit(Path(sys.argv[1]), steps={steps})
"""
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    job = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    kept = tmp_path / "scratch"
    deadline = time.monotonic() + 120
    while not list(kept.glob("epoch=00000[2-9]*.ckpt")) and time.monotonic() < deadline and job.poll() is None:
        time.sleep(0.02)
    job.send_signal(signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL
    assert list(kept.glob("*.ckpt"))
    assert not (tmp_path / "generator.ckpt").exists()
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "going on from" in again.stdout
    (tmp_path / "whole").mkdir()
    fit(tmp_path / "whole", steps=steps)
    for name in ("generator.ckpt", "training.csv"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert not kept.exists()
