#!/usr/bin/env bash
# All that takes an NVIDIA GPU, in one command: tests, sanitizer, the largest batch, speed beside PyTorch, accuracy.
#
#   benches/gpu.sh                       here, with Rust: builds, runs, leaves gpu-results/
#   benches/gpu.sh pack                  builds and packs wavemix-gpu.tar.gz for a machine with a driver and no Rust; there:
#   tar xf wavemix-gpu.tar.gz && wavemix-gpu/gpu.sh run
#
# Each part goes on where another fails; the last line says which did. CIFAR-10 is looked for in $WAVEMIX_DATA.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)

# The executable that cargo made of a target, by its name.
built() {
    cargo "$@" --no-run --message-format=json 2>/dev/null | python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable"): print(message["target"]["name"], message["executable"])'
}

collect() {
    mkdir -p "$1"
    cp "$here/gpu.sh" "$here/compare_gpu.py" "$here/peer.py" "$1/"
    { built test --release --test cuda --test ops; built bench --bench step --bench ops; } | while read -r name file; do
        cp "$file" "$1/$name-binary"
    done
    cargo build --release --example cifar10 --example emnist_balanced && cp target/release/examples/{cifar10,emnist_balanced} "$1/"
}

run() {
    local bin=$1 out=$2 failed=()
    mkdir -p "$out"
    part() {
        local name=$1
        shift
        echo "== $name"
        "$@" 2>&1 | tee "$out/$name.txt" || failed+=("$name")
    }
    part device nvidia-smi
    # The stand-in's turns are for machines without a GPU.
    local without=(--skip on_the_stand_in --skip in_any_order --skip with_little --skip faults --test-threads=1)
    part tests "$bin/cuda-binary" "${without[@]}"
    if command -v compute-sanitizer >/dev/null; then
        for tool in memcheck racecheck; do
            part "sanitizer-$tool" compute-sanitizer --tool "$tool" --error-exitcode 1 "$bin/cuda-binary" "${without[@]}"
        done
    else
        echo "no compute-sanitizer here: skipped" | tee "$out/sanitizer.txt"
    fi
    for precision in f32 bf16; do
        part "max-batch-$precision" "$bin/emnist_balanced" --max-batch --device cuda --precision "$precision" --model WaveMixLite-128/7
        part "step-$precision" "$bin/step-binary" --device cuda --precision "$precision" --batch 512 --json
    done
    part compare python3 "$bin/compare_gpu.py" --step "$bin/step-binary"
    part cifar10 "$bin/cifar10" --device cuda --precision bf16 --model WaveMixLite-144/7 --dropout 0.5 --augment --protocol papers \
        --epochs "${EPOCHS:-150}" --out "$out/cifar10-run"
    if [ ${#failed[@]} -gt 0 ]; then
        echo "failed: ${failed[*]}; see $out"
        return 1
    fi
    echo "all parts ran; see $out"
}

case ${1:-all} in
all) cd "$here/.." && collect target/gpu && run target/gpu gpu-results ;;
pack) cd "$here/.." && collect target/wavemix-gpu && tar czf wavemix-gpu.tar.gz -C target wavemix-gpu && ls -l wavemix-gpu.tar.gz ;;
run) run "$here" "$PWD/gpu-results" ;;
*) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
