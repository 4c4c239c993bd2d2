"""Records PyTorch and NumPy files of every shape of tensor, and what is in them as safetensors.

Written by PyTorch 2.15 and NumPy 2.4. `state.pt` is a state dict with views that are offset, strided,
transposed and shared; `plain.pt` and `plain-4.pt` (pickle protocol 4) hold every plain value;
`module.pt` holds a module and `old.pt` is in the form from before PyTorch 1.6, both to be refused.

    python benchmarks/oracles/torch_files.py crates/network/tests/it/fixtures
"""

import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

folder = Path(sys.argv[1])
x = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 8
state = OrderedDict(
    whole=x,
    transposed=x.t(),
    offset=x[1:, 2:],
    strided=x[::2, 1::3],
    column=x[:, 3],
    permuted=x.reshape(2, 2, 6).permute(2, 0, 1),
    expanded=x[0, 1].expand(3, 2),
    scalar=torch.tensor(-1.5),
    empty=torch.zeros(0, 3),
    parameter=torch.nn.Parameter(x[0]),
    half=x.half() + 1 / 3,
    bfloat16=x.bfloat16() + 1 / 3,
    double=x.double() + 1 / 3,
    int64=torch.arange(-2, 2),
    int32=torch.arange(-2, 2, dtype=torch.int32),
    int16=torch.arange(-2, 2, dtype=torch.int16),
    int8=torch.arange(-2, 2, dtype=torch.int8),
    uint8=torch.arange(2, dtype=torch.uint8),
    uint16=torch.tensor([65535], dtype=torch.uint16),
    bool=torch.tensor([True, False, True]),
)
torch.save(state, folder / "state.pt")
save_file({k: v.detach().clone(memory_format=torch.contiguous_format) for k, v in state.items()}, folder / "state.safetensors")

plain = dict(
    none=None, yes=True, no=False, small=7, negative=-70000, long=2**40, very_long=-(2**70), float=1.5,
    text="\u00e9 \u4e16", bytes=b"\x00\xff", bytearray=bytearray(b"ab"), list=[1, [2, []]], tuple=(1, 2, 3, 4), pair=(1, 2),
    size=torch.Size([2, 3]), set={3}, dict={1: {"deep": "yes"}}, dtype=torch.bfloat16, device=torch.device("cpu"),
    numpy_float=np.float32(0.5), numpy_int=np.int64(-3), numpy_bool=np.bool_(True),
    nested={"encoder.weight": torch.ones(1, 2), "layers": [torch.zeros(1), torch.ones(1)]},
)
plain["same"] = plain["list"]
torch.save(plain, folder / "plain.pt")
torch.save(plain, folder / "plain-4.pt", pickle_protocol=4)
torch.save(torch.nn.Linear(1, 1), folder / "module.pt")
torch.save({"a": torch.ones(1)}, folder / "old.pt", _use_new_zipfile_serialization=False)

a = np.arange(24).reshape(2, 3, 4)
arrays = dict(
    f4=a.astype("f4") / 8, f8=a.astype("f8") / 3, f2=a.astype("f2") / 3, i8=a - 12, i4=(a - 12).astype("i4"),
    i2=(a - 12).astype("i2"), i1=(a - 12).astype("i1"), u1=a.astype("u1"), b1=a % 3 == 0,
    fortran=np.asfortranarray(a.astype("f4")), scalar=np.float32(2.5), empty=np.zeros((0, 2), "f4"), one=np.ones(1, "f4"),
)
np.savez(folder / "arrays.npz", **arrays)
np.savez_compressed(folder / "packed.npz", **arrays)
np.savez(folder / "objects.npz", o=np.array([{}], dtype=object))
np.savez(folder / "records.npz", r=np.zeros(1, dtype=[("a", "f4")]))
np.savez(folder / "big-endian.npz", b=np.zeros(1, dtype=">f4"))
save_file({k: torch.from_numpy(np.array(v, order="C")) for k, v in arrays.items()}, folder / "arrays.safetensors")
