#!/usr/bin/env bash
# A program of your own on the board, beside TopK: 30 lines of Python with scikit-learn. Without
# Python a program in sh shows the same contract, and how a failure is reported.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
flyroom() { "${FLYROOM:-$root/target/release/flyroom}" "$@"; }
example="$root/examples/07-your-own-method"
python="${FLYROOM_PYTHON:-python3}"
cd "$(mktemp -d)"

if "$python" -c 'import sklearn, safetensors' 2> /dev/null; then
  cp "$example"/* .
  sed -i.bak "s|\"python3\"|\"$python\"|" plan.toml
  flyroom run plan.toml --out run
  grep '"method":"dictionary-learning"' -q run/board.json
else
  echo "LEFT OUT: the method in scikit-learn, because $python has no sklearn and safetensors"
fi

# Any program will do. This one hands back what it cannot do, and the board says so.
cat > modest.sh << 'PROGRAM'
printf '{"reason": "%s"}' "sh finds no features" > "$2/not-applicable.json"
PROGRAM
cat > broken.sh << 'PROGRAM'
echo "no such module" >&2
exit 1
PROGRAM
cat > modest.toml << 'PLAN'
name = "modest"

[[organism]]
name = "superposition-5-2"
set = { steps = 200 }

[[method]]
step = "decompose"
name = "pca"

[[method]]
step = "decompose"
name = "modest"
command = ["sh", "modest.sh", "{in}", "{out}"]
files = ["modest.sh"]

[[method]]
step = "decompose"
name = "broken"
command = ["sh", "broken.sh", "{in}", "{out}"]
files = ["broken.sh"]
PLAN
flyroom run modest.toml --out modest
