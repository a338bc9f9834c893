"""Fetches animal-mnist 0.4 from PyPI (MIT; 28x28 silhouettes of ten animals, a thousand each) and writes it as an .npz.

    python3 benches/animal_mnist.py FOLDER
    cargo run --release --example train -- --data FOLDER/animal_mnist.npz --model WaveMixLite-32/5

Of pictures that occur several times the first is kept; every fifth of the rest is a test picture. The package's files are
pickles of one array each: its bytes are cut out, nothing is unpickled.
"""

import gzip
import pathlib
import struct
import subprocess
import sys
import tempfile
import zipfile


def content(wheel, part):
    """The bytes of the array: behind the opcode `B` and their number, 32 bits."""
    data = gzip.decompress(wheel.read(f"animal_mnist/data/Animal_MNIST/animal_{part}_version_3.gz"))
    size = {"data": 10_000 * 28 * 28, "label": 10_000 * 8}[part]
    return data.split(b"B" + struct.pack("<I", size), 1)[1][:size]


def npy(shape, data):
    """A file of NumPy's with an array of bytes."""
    head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00v\x00" + f"{head:<117}\n".encode() + data


folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
with tempfile.TemporaryDirectory() as download:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", download]
    subprocess.run([*pip, "animal-mnist==0.4"], check=True)
    with zipfile.ZipFile(next(pathlib.Path(download).glob("*.whl"))) as wheel:
        pixels, labels = content(wheel, "data"), content(wheel, "label")[::8]
pictures = {}
for i, label in enumerate(labels):
    pictures.setdefault(pixels[784 * i:784 * (i + 1)], label)
parts = {"train": [], "test": []}
for i, picture in enumerate(pictures.items()):
    parts["test" if i % 5 == 4 else "train"].append(picture)
with zipfile.ZipFile(folder / "animal_mnist.npz", "w", zipfile.ZIP_DEFLATED) as archive:
    for part, own in parts.items():
        archive.writestr(f"x_{part}.npy", npy((len(own), 28, 28), b"".join(picture for picture, _ in own)))
        archive.writestr(f"y_{part}.npy", npy(f"({len(own)},)", bytes(label for _, label in own)))
        counts = [sum(label == animal for _, label in own) for animal in range(10)]
        print(f"{part}: {len(own)} pictures, of each class {counts}")
