"""Checks exported models, and compares what ONNX Runtime computes with what is expected.

python check.py JOBS.json, as tests/onnx/runtime.rs writes it; needs numpy, onnx and onnxruntime.
"""

import json
import sys

import numpy
import onnx
import onnxruntime


def read(entry):
    kind = numpy.uint8 if entry.get("bytes") else numpy.float32
    return numpy.fromfile(entry["path"], kind).reshape(entry["shape"])


def check(job):
    """The largest error of all runs, on the scale of the largest value."""
    model = onnx.load(job["path"])
    onnx.checker.check_model(model, full_check=True)
    found = {entry.key: entry.value for entry in model.metadata_props}
    for key, value in job.get("metadata", {}).items():
        assert found[key] == value, f"metadata {key} is {found.get(key)}"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(job["path"], options, providers=["CPUExecutionProvider"])
    worst = 0.0
    for run in job["runs"]:
        [output] = session.run(None, {session.get_inputs()[0].name: read(run["input"])})
        expected = read(run["output"])
        assert output.shape == expected.shape, f"{output.shape} instead of {expected.shape}"
        error = numpy.abs(output - expected).max() / max(1.0, numpy.abs(expected).max())
        worst = max(worst, float(error))
    return worst


def main():
    with open(sys.argv[1]) as file:
        jobs = json.load(file)
    worst, failed = 0.0, 0
    for job in jobs:
        try:
            error = check(job)
            worst = max(worst, error)
            fine = error <= 1e-5
            line = f"{error:.1e}"
        except Exception as problem:
            fine, line = False, f"{type(problem).__name__}: {problem}"
        failed += not fine
        print(f"{'' if fine else 'WRONG '}{job['name']}: {line}")
    print(f"{len(jobs)} exported models in ONNX Runtime {onnxruntime.__version__}: {failed} wrong, largest error {worst:.1e}")
    sys.exit(1 if failed else 0)


main()
