"""Makes NAME.safetensors for every model that the files beside this one list: the reference implementation in f64, small.

    python3 -m venv venv
    venv/bin/pip install torch==2.15.0 "numpy<2" safetensors einops pillow pyyaml huggingface_hub linformer
    venv/bin/pip install --no-deps torchvision timm vit-pytorch==1.26.14 mlp-mixer-pytorch==0.3.1 nystrom-attention==0.0.14 \\
        performer-pytorch==1.1.4 axial-positional-embedding local-attention hyper-connections vision-xformer==0.2.0 segformer-pytorch==0.0.6 \\
        segmentation-models-pytorch==0.6.0
    venv/bin/python tests/goldens/models/make.py [NAME ..]

Each file holds one forward and backward pass of sum(output * probe), with no update; ../README.md says what each name means.
"""

import importlib
import pathlib
import sys

import torch
from safetensors.torch import save_file

FOLDER = pathlib.Path(__file__).resolve().parent
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


def write(name, model, images, parameters, train=True):
    """model: a constructor; images: the input's shape, NCHW; parameters: how many the model must have."""
    torch.manual_seed(20221101)
    model = model().double()
    assert sum(p.numel() for p in model.parameters()) == parameters, sum(p.numel() for p in model.parameters())
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0.0, 0.3)
        for key, buffer in model.named_buffers():
            if key.endswith("running_mean"):
                buffer.normal_(0.0, 0.3)
            elif key.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
            elif key.endswith("num_batches_tracked"):
                buffer.fill_(7)
    model.train(train)
    out = {f"weight.{k}": v.clone() for k, v in model.state_dict().items()}
    x = torch.randn(images, requires_grad=True)
    y = model(x)
    probe = torch.randn(y.shape)
    (y * probe).sum().backward()
    out |= {"input": x, "output": y, "probe": probe, "grad_input": x.grad}
    out |= {f"grad.{k}": p.grad for k, p in model.named_parameters()}
    out |= {f"after.{k}": b for k, b in model.named_buffers()} if train else {}
    out = {k: v.detach().contiguous().clone() for k, v in out.items()}
    save_file(out, FOLDER / f"{name}.safetensors", {"train": str(train).lower()})


def main():
    families = [path.stem for path in sorted(FOLDER.glob("*.py")) if path.stem != "make"]
    sys.path.insert(0, str(FOLDER))
    for family in families:
        for name, *rest in importlib.import_module(family).CASES:
            if name in sys.argv[1:] or not sys.argv[1:]:
                write(name, *rest)


if __name__ == "__main__":
    main()
