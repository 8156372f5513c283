#!/usr/bin/env bash
# Everything that is measured, in one call: on a GPU where there is one, else on the CPU.
# Options go to every benchmark (--quick). Rows land as JSON in $OUT, by default the folder bench.
set -uo pipefail
cd "$(dirname "$0")/.."
export PYTHONUNBUFFERED=1
python=${PYTHON:-python3}
out=${OUT:-bench}
mkdir -p "$out"
if [ -z "${PYTHONPATH:-}" ] && ! "$python" -c 'import mtl_framework' 2>/dev/null; then
    export PYTHONPATH=.:$(printf '%s:' plugins/*)backbones
fi
failed=0
"$python" -m pytest -q tests/networks/test_precision.py tests/runs/test_gpu.py || failed=1
for name in step dense baselines floor parts memory startup digests threads muir_step ea_time grouped launches graphs joint search_variance time_to_error; do
    echo "== $name"
    "$python" "benchmarks/$name.py" --json "$out/$name.json" "$@" || failed=1
done
exit $failed
