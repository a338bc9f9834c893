"""Makes layers.safetensors: layers of torch.nn in f64, their state dicts, and one forward and backward pass of each.

    python3 -m venv venv
    venv/bin/pip install torch safetensors numpy
    venv/bin/python tests/goldens/layers.py

Tensors are in PyTorch's layouts: images NCHW, rows NCL. README.md beside this file says what each name means.
"""

import pathlib

import torch
from safetensors.torch import save_file
from torch import nn

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
torch.manual_seed(20221101)

OUT = {}


def case(name, module, inputs, run=None, integers=None):
    """One training-mode forward and backward of sum(output * probe); no update."""
    for p in module.parameters():
        torch.nn.init.normal_(p, 0.0, 0.5)
    OUT.update({f"{name}.weight.{k}": v.clone() for k, v in module.state_dict().items()})
    inputs = [torch.randn(shape, requires_grad=True) for shape in inputs]
    y = run(module, *inputs) if run else module(*(inputs if integers is None else [integers]))
    probe = torch.randn(y.shape)
    (y * probe).sum().backward()
    OUT.update({f"{name}.input.{i}": x for i, x in enumerate(inputs)})
    OUT.update({f"{name}.grad_input.{i}": x.grad for i, x in enumerate(inputs)})
    OUT.update({f"{name}.output": y, f"{name}.probe": probe})
    OUT.update({f"{name}.grad.{k}": p.grad for k, p in module.named_parameters()})
    OUT.update({f"{name}.after.{k}": b for k, b in module.named_buffers()})


def attention(causal=False):
    def run(module, q, k=None, v=None):
        k, v = (q if k is None else k), (q if v is None else v)
        mask = nn.Transformer.generate_square_subsequent_mask(q.shape[1]) if causal else None
        return module(q, k, v, need_weights=False, attn_mask=mask)[0]

    return run


case("linear_without_bias", nn.Linear(5, 4, bias=False), [(2, 3, 5)])
case("conv2d", nn.Conv2d(4, 6, (3, 5), (1, 2), (1, 2), groups=2), [(2, 4, 5, 7)])
case("conv2d_without_bias", nn.Conv2d(3, 5, (1, 2), bias=False), [(2, 3, 4, 4)])
case("conv_transpose2d", nn.ConvTranspose2d(4, 6, (3, 2), (2, 1), (1, 0), groups=2), [(2, 4, 3, 5)])
case("conv_transpose2d_without_bias", nn.ConvTranspose2d(3, 5, 2, 2, bias=False), [(2, 3, 3, 4)])
case("conv1d", nn.Conv1d(4, 6, 3, 2, 1, groups=2), [(2, 4, 9)])
case("conv1d_without_bias", nn.Conv1d(3, 5, 4, dilation=2, bias=False), [(2, 3, 11)])
case("batch_norm", nn.BatchNorm2d(3, eps=1e-2, momentum=0.3), [(2, 3, 4, 5)])
case("layer_norm", nn.LayerNorm(6, eps=1e-2), [(2, 4, 6)])
case("layer_norm_without_bias", nn.LayerNorm(6, bias=False), [(3, 6)])
case("group_norm", nn.GroupNorm(3, 6, eps=1e-2), [(2, 6, 4, 5)])
case("group_norm_of_one", nn.GroupNorm(1, 6), [(2, 6, 3)])
case("rms_norm", nn.RMSNorm(6, eps=1e-2), [(2, 4, 6)])
case("embedding", nn.Embedding(7, 4), [], integers=torch.tensor([[3, 0, 6], [3, 3, 5]]))
case("attention", nn.MultiheadAttention(8, 2, batch_first=True), [(2, 5, 8)], attention())
case("attention_causal", nn.MultiheadAttention(6, 3, batch_first=True), [(2, 4, 6)], attention(causal=True))
case("attention_cross", nn.MultiheadAttention(8, 4, batch_first=True), [(2, 3, 8), (2, 5, 8), (2, 5, 8)], attention())
case("attention_without_bias", nn.MultiheadAttention(4, 1, bias=False, batch_first=True), [(1, 3, 4)], attention())
case("sequential", nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 3)), [(5, 4)])

OUT = {k: v.detach().contiguous().clone() for k, v in OUT.items()}
save_file(OUT, pathlib.Path(__file__).resolve().parent / "layers.safetensors")
