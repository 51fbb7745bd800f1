"""Kill the small run at random moments of every stage, rerun it, and compare its files with those of a run left alone.

    python benchmarks/kill_campaign.py runs/kills --kills 100 --seed 1

One run is left alone. Others follow, each in its own folder, until the kills are made: each script of the workflow is
killed twice a run, at jobs and moments drawn from the seed, some a little after a job's end. A kill is SIGKILL to the
whole process group, Snakemake and jobs alike. Then the same command runs again, the lock removed as by ``--unlock``.
Prints the kills of each script and every file that differs in the end.
"""

import argparse
import csv
import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
BETWEEN = "between jobs"
COST = re.compile(rb'<section id="cost">.*?</section>', re.DOTALL)
LATER = 1.15  # moments are drawn from this part of a job's own time: the rest falls between jobs


def start(folder: Path, cores: int, *options: str) -> subprocess.Popen[bytes]:
    """The whole small run, as the leader of a process group of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--cores", str(cores), *options, "--configfile", str(ROOT / "configs" / "test.yaml")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with (folder / "output.txt").open("ab") as output:
        return subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)


def working(run: subprocess.Popen[bytes]) -> dict[int, str]:
    """Names of the scripts whose jobs run now, by process."""
    found = {}
    try:
        for process in psutil.Process(run.pid).children(recursive=True):
            scripts = [Path(word) for word in process.cmdline() if "/.snakemake/scripts/tmp" in word]
            if scripts and "python" in process.name():
                found[process.pid] = scripts[0].name.split(".")[1]
    except psutil.NoSuchProcess:
        pass
    return found


def seconds(folder: Path) -> dict[str, float]:
    """Mean seconds of a job of each script, as Snakemake has measured them."""
    times: dict[str, list[float]] = {}
    for path in (folder / "results" / "benchmarks").rglob("*.tsv"):
        rule = path.relative_to(folder / "results" / "benchmarks").parts[0].removesuffix(".tsv")
        with path.open() as stream:
            row = next(csv.DictReader(stream, delimiter="\t"))
        times.setdefault("screen" if rule == "evaluate" else rule, []).append(float(row["s"]))
    return {rule: sum(found) / len(found) for rule, found in times.items()}


def kill_once(
    run: subprocess.Popen[bytes], due: dict[str, list[int]], times: dict[str, float], rng: random.Random
) -> str | None:
    """Wait for a job that is due, let it work for a random time, and kill all; what was at work then.

    :param due: of each script, how many of its jobs may pass before each kill; what is done is taken out.
    :returns: ``None`` where the run ends by itself.
    """
    seen: set[int] = set()
    while run.poll() is None:
        for process, script in working(run).items():
            waiting = due.get(script)
            if process in seen or not waiting:
                continue
            seen.add(process)
            waiting[0] -= 1
            if waiting[0] < 0:
                time.sleep(rng.uniform(0, LATER) * times[script])
                if run.poll() is not None:
                    return None
                family, at_work = psutil.Process(run.pid).children(recursive=True), list(working(run).values())
                os.killpg(run.pid, signal.SIGKILL)
                run.wait()
                psutil.wait_procs(family, timeout=20)
                waiting.pop(0)
                return at_work[0] if at_work else BETWEEN
        time.sleep(0.02)
    return None


def contents(folder: Path) -> dict[str, bytes]:
    """All results but for logs and what states the time that was taken."""
    results = folder / "results"
    return {
        str(path.relative_to(results)): COST.sub(b"", path.read_bytes())
        for path in sorted(results.rglob("*"))
        if path.is_file()
        and not {"logs", "benchmarks"} & set(path.relative_to(results).parts)
        and not path.name.startswith("events.out.")
        and path.name != "cost.csv"
    }


def differences(one: dict[str, bytes], two: dict[str, bytes]) -> list[str]:
    """Names of files that are in one only, or differ."""
    return sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name))


def main() -> None:
    """Print the tables of ``docs/benchmarks/crashes.md``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the runs lie")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cores", type=int, default=1)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    alone = given.folder / "alone"
    if start(alone, given.cores, "all", "results/showcase").wait():
        raise SystemExit(f"{alone}: the run that is left alone fails; see output.txt there")
    wanted, times = contents(alone), seconds(alone)
    jobs = Counter(
        {script: len(list((alone / "results" / "benchmarks" / script).glob("*.tsv"))) or 1 for script in times}
    )
    killed: Counter[str] = Counter()
    for number in itertools.count(1):
        folder, before = given.folder / f"killed-{number}", killed.total()
        due = {script: [rng.randrange(jobs[script]), 0] for script in times}
        while killed.total() < given.kills:
            run = start(folder, given.cores, "all", "results/showcase")
            script = kill_once(run, due, times, rng)
            if script is None:
                break
            killed[script] += 1
            print(f"run {number}: killed at {script}", flush=True)
            shutil.rmtree(folder / ".snakemake" / "locks", ignore_errors=True)
        run = start(folder, given.cores, "all", "results/showcase")
        found = differences(wanted, contents(folder)) if run.wait() == 0 else ["it does not end well"]
        kills = killed.total() - before
        print(f"run {number}: {kills} kills, {len(wanted)} files, {len(found)} differ {found}", flush=True)
        if killed.total() >= given.kills:
            break
    print("\n| script | kills |\n|---|---|")
    for script in (*times, BETWEEN):
        print(f"| {script} | {killed[script]} |")


if __name__ == "__main__":
    main()
