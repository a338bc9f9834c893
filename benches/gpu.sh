#!/usr/bin/env bash
# All that takes an NVIDIA GPU, in one command: tests, sanitizer, the largest batch, each kernel beside its limit, speed
# beside PyTorch, accuracy by epoch.
#
#   benches/gpu.sh                       here, with Rust: builds, runs, leaves gpu-results/
#   benches/gpu.sh pack                  builds and packs wavemix-gpu.tar.gz for a machine with a driver and no Rust; there:
#   tar xf wavemix-gpu.tar.gz && wavemix-gpu/gpu.sh run
#   wavemix-gpu/gpu.sh run tests step    only the parts whose names begin so: device, tests, sanitizer, max-batch, step,
#                                        kernels, compare, cifar10
#
# A tiny model is trained first: where it does not run, nothing else is tried. Each part goes on where another fails; the last
# line says which did. CIFAR-10 is looked for in $WAVEMIX_DATA. Other variables:
#   WAVEMIX_CUDA=FOLDER   NVRTC's and cuBLAS's; by default those of PyTorch's Python, where it has them
#   LIMIT=SECONDS      the most that a part may take [an hour]
#   PYTHON=python3     one with torch, einops, PyWavelets and wavemix 0.2.4, for the comparison
#   EPOCHS=150         of CIFAR-10; 0 leaves that part out
#   MODES=eager,compiled   PyTorch's; graphs is a third, torch.compile with CUDA graphs
#   QUICK=1            everything as small as it gets: to see, on the stand-in for NVIDIA's libraries, that each part runs
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
# Where PyTorch brings NVIDIA's libraries, it is with them that the two sides are compared.
if [ -z "${WAVEMIX_CUDA:-}" ]; then
    libraries=$("$python" -c 'import nvidia.cu13 as libraries; print(list(libraries.__path__)[0] + "/lib")' 2>/dev/null) &&
        export WAVEMIX_CUDA=$libraries
fi

# The executables that cargo made of targets, each behind its target's name.
built() {
    cargo "$@" --no-run --message-format=json | "$python" -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable"): print(message["target"]["name"], message["executable"])'
}

collect() {
    rm -rf "$1"
    mkdir -p "$1"
    { built test --release --test cuda && built bench --bench step; } | while read -r name file; do
        cp "$file" "$1/$name-binary"
    done
    cargo build --release --example cifar10 --example emnist_balanced || return 1
    cp target/release/examples/{cifar10,emnist_balanced} "$here/gpu.sh" "$here/compare_gpu.py" "$here/peer.py" "$1/" &&
        [ -x "$1/cuda-binary" ] && [ -x "$1/step-binary" ]
}

# The loads of the comparison: model, height and width, classes.
loads() {
    if [ -n "${QUICK:-}" ]; then echo WaveMixLite-8/1:8:3; else echo WaveMixLite-128/7:28:47 WaveMixLite-144/7:32:10 WaveMixLite-256/7:32:10; fi
}

run() {
    local bin=$1 out=$2 only=("${@:3}") failed=() batches=64,512,largest turns=(--rounds 5 --seconds 1) little=()
    local job=(--model WaveMixLite-144/7 --dropout 0.5 --augment --protocol papers --epochs "${EPOCHS:-150}") largest=WaveMixLite-128/7
    if [ -n "${QUICK:-}" ]; then
        batches=2,4,largest turns=(--rounds 1 --seconds 0) largest=WaveMixLite-8/1
        # Filling the gigabytes that the stand-in has takes it hours.
        little=(env WAVEMIX_STAND_IN_MEMORY=40000000)
        job=(--model WaveMixLite-4/1 --stem patchify:8 --batch-size 16 --limit 60 --epochs "${EPOCHS:-1}")
    fi
    mkdir -p "$out"
    part() {
        local name=$1 chosen
        shift
        for chosen in "${only[@]-}"; do
            case $name in "$chosen"*) chosen=yes && break ;; esac
        done
        [ "$chosen" = yes ] || return 0
        echo "== $name"
        timeout -k 5 "${LIMIT:-3600}" "$@" 2>&1 | tee "$out/$name.txt" || failed+=("$name")
    }
    if ! "$bin/step-binary" --device cuda --model WaveMixLite-16/1 --size 8 --classes 4 --batch 4 --json >"$out/smoke.txt" 2>&1; then
        cat "$out/smoke.txt"
        echo "a tiny model does not run on cuda:0, so nothing else was tried"
        return 1
    fi
    # Without it the tests would run on the stand-in where they find no GPU.
    export WAVEMIX_TESTS_NEED_GPU=1
    part device nvidia-smi
    # The stand-in's turns are for machines without a GPU.
    local without=(--skip on_the_stand_in --skip in_any_order --skip with_little --skip with_late --skip faults --skip errors:: --test-threads=1)
    part tests "$bin/cuda-binary" "${without[@]}"
    if command -v compute-sanitizer >/dev/null; then
        for tool in memcheck racecheck; do
            # Long runs are for the device itself: here they would take hours.
            part "sanitizer-$tool" compute-sanitizer --tool "$tool" --error-exitcode 1 "$bin/cuda-binary" "${without[@]}" --skip long::
        done
    else
        echo "no compute-sanitizer here: skipped" | tee "$out/sanitizer.txt"
    fi
    local precision load model size classes step
    for precision in f32 bf16; do
        part "max-batch-$precision" "${little[@]}" "$bin/emnist_balanced" --max-batch --device cuda --precision "$precision" --model "$largest"
        for load in $(loads); do
            IFS=: read -r model size classes <<<"$load"
            step=("$bin/step-binary" --device cuda --precision "$precision" --model "$model" --size "$size" --classes "$classes")
            for batch in ${batches//,/ }; do
                [ "$batch" = largest ] || part "step-$precision-${model//\//-}-$batch" "${step[@]}" --batch "$batch" --json
            done
            part "kernels-$precision-${model//\//-}" "${step[@]}" --batch "$(cut -d, -f2 <<<"$batches")" --kernels
        done
    done
    part compare "${little[@]}" "$python" "$bin/compare_gpu.py" --step "$bin/step-binary" --loads "$(loads | tr ' ' ,)" --batches "$batches" \
        --modes "${MODES:-eager,compiled}" "${turns[@]}" --json "$out/compare.json"
    if [ "${EPOCHS:-150}" -gt 0 ]; then
        rm -rf "$out/cifar10-run"
        part cifar10 "$bin/cifar10" --device cuda --precision bf16 "${job[@]}" --out "$out/cifar10-run"
    fi
    if [ ${#failed[@]} -gt 0 ]; then
        echo "failed: ${failed[*]}; see $out"
        return 1
    fi
    echo "all parts ran; see $out"
}

case ${1:-all} in
all) cd "$here/.." && collect target/gpu && run target/gpu gpu-results ;;
pack) cd "$here/.." && collect target/wavemix-gpu && tar czf wavemix-gpu.tar.gz -C target wavemix-gpu && ls -l wavemix-gpu.tar.gz ;;
run) run "$here" "$PWD/gpu-results" "${@:2}" ;;
*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
