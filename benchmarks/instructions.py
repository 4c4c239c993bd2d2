"""Counts the instructions of kernels and steps, and compares with those that the repository keeps.

    cargo build --release -p flyroom-describe --example workloads
    python benchmarks/instructions.py target/release/examples/workloads [--write]

Needs valgrind and nothing else; AVX2, one thread, small fixed inputs (crates/describe/examples/workloads/count.rs). One time is what
three times take more than two, so what is done once (reading arguments, filling arrays, planning) is not counted. The
numbers do not depend on the load or the speed of the machine, so a change of 2 % means something: the script then fails and
names what changed. `--write` keeps the new counts; the compiler's version is kept with them, because another one may give
others.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

KEPT = Path(__file__).with_name("instructions.json")
TOLERANCE = 0.02


def instructions(binary, name, times):
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", binary, "count", str(times), name]
    ran = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"I +refs: +([\d,]+)", ran.stderr)
    if ran.returncode != 0 or not found:
        sys.exit(f"error: {name}: {ran.stderr.strip()}")
    return int(found[1].replace(",", ""))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {"counts": {}}
    names = json.loads(subprocess.run([args.binary, "count"], capture_output=True, text=True, check=True).stdout)
    compiler = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.strip()
    counts, worse = {}, []
    print(f"{'what':<24}{'kept':>14}{'now':>14}{'change':>9}")
    for name in names:
        now = counts[name] = instructions(args.binary, name, 3) - instructions(args.binary, name, 2)
        then = kept["counts"].get(name)
        change = f"{100 * (now / then - 1):+.1f} %" if then else "new"
        print(f"{name:<24}{then or 0:>14,}{now:>14,}{change:>9}")
        if then and now > (1 + TOLERANCE) * then:
            worse.append(name)
    if args.write:
        KEPT.write_text(json.dumps({"compiler": compiler, "kernels": "avx2", "threads": 1, "counts": counts}, indent=2) + "\n")
        return
    if kept.get("compiler") != compiler:
        print(f"kept counts are of {kept.get('compiler')}, this is {compiler}")
    if worse:
        sys.exit(f"error: more instructions than are kept: {', '.join(worse)}; hint: mend it, or --write with the reason in the commit")


main()
