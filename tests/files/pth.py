"""Makes the files of torch.save in this folder, each beside a safetensors file of the same tensors.

    python3 -m venv venv
    venv/bin/pip install torch==2.11.0 "numpy<2" PyWavelets einops safetensors
    venv/bin/pip install --no-deps wavemix==0.2.4
    venv/bin/python tests/files/pth.py [FOLDER]
"""

import pathlib
import sys

import torch
from safetensors.torch import save_file
from wavemix.classification import WaveMix

HERE = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent)
torch.manual_seed(0)
shared = torch.arange(24, dtype=torch.float32).reshape(4, 6)
TENSORS = {name: torch.randn(3, 2).to(dtype) for name, dtype in
           [("f16", torch.float16), ("bf16", torch.bfloat16), ("f32", torch.float32), ("f64", torch.float64)]}
TENSORS |= {"i64": torch.tensor([-(1 << 60), 7]), "u8": torch.tensor([[0, 255]], dtype=torch.uint8),
            "bool": torch.tensor([True, False, True]), "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4),
            "parameter": torch.nn.Parameter(torch.randn(5)), "whole": shared, "transposed": shared.t(), "offset": shared[1:3, 2:5],
            "every_second": shared[::2, 1::2], "permuted": shared.reshape(2, 2, 6).permute(2, 0, 1), "expanded": shared[0, :2].expand(3, 2)}
model = WaveMix(num_classes=2, depth=1, mult=1, ff_channel=2, final_dim=4, dropout=0.0, level=1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
sum(p.sum() for p in model.parameters()).backward()
optimizer.step()
wrapped = {f"module.{name}": value for name, value in model.state_dict().items()}

torch.save(TENSORS, HERE / "zip.pth")
torch.save(TENSORS, HERE / "stream.pth", _use_new_zipfile_serialization=False, pickle_protocol=3)
torch.save({"epoch": 3, "best": 0.5, "state_dict": wrapped, "optimizer": optimizer.state_dict()}, HERE / "checkpoint.pth",
           _use_new_zipfile_serialization=False, pickle_protocol=4)
for name, tensors in [("tensors", TENSORS), ("checkpoint", model.state_dict())]:
    save_file({key: value.detach().contiguous().clone() for key, value in tensors.items()}, HERE / f"{name}.safetensors")
