#!/usr/bin/env bash
# A real language model, laptop size: where does it decide to whom the drink was given? Logit lens,
# direct logit attribution and activation patching on sentences with an indirect object (Wang et al.
# 2022), with pictures in one page. MODEL is a GGUF file (SmolLM2-135M-Instruct in Q4_1 is fetched by
# benchmarks/smollm2.py), PROMPTS a folder with templates.json, names.json, places.json, objects.json.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
flyroom() { "${FLYROOM:-$root/target/release/flyroom}" "$@"; }
prompts="${PROMPTS:-${FLYROOM_FIXTURES:+$FLYROOM_FIXTURES/ioi}}"
if [[ ! -f "${MODEL:-}" || ! -d "$prompts" ]]; then
  echo "LEFT OUT: a look into a language model; set MODEL to a GGUF file and PROMPTS to a folder of indirect-object templates"
  exit 0
fi
model="$(realpath "$MODEL")" prompts="$(realpath "$prompts")"
cd "$(mktemp -d)"

flyroom import gguf "$model" --indirect-objects "$prompts" --count 8 --out models
cat > plan.toml <<'PLAN'
name = "language-model"

[[organism]]
name = "model"
specimen = "models/language-model-0"

[[method]]
step = "describe"
name = "logit-lens"
set = { prompts = 4 }

[[method]]
step = "describe"
name = "direct-logit-attribution"
set = { prompts = 8 }

# Two pairs: every layer and position of three sites, and every head.
[[method]]
step = "describe"
name = "activation-patching"
set = { pairs = 2, nulls = 32, directions = "denoising" }
PLAN
SECONDS=0
flyroom run plan.toml --out run
echo "$SECONDS s; the page: $PWD/run/report.html, its tables: $PWD/run/tables"
