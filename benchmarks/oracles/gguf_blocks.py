"""Records a small GGUF file with every kind of metadata and block, and what its blocks mean.

The file is written and read by ggml-org's own `gguf` package (0.19.0); values are its `dequantize`,
in f32, bit for bit. Blocks are random bytes with finite scales. With the path of
SmolLM2-135M-Instruct.Q4_1.gguf it prints blake3 of some dequantised tensors instead. Needs gguf,
safetensors, numpy; blake3 for the second form.

    python benchmarks/oracles/gguf_blocks.py crates/network/tests/it/fixtures
    python benchmarks/oracles/gguf_blocks.py SmolLM2-135M-Instruct.Q4_1.gguf
"""

import sys
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Kind
from gguf import GGUFReader, GGUFValueType, GGUFWriter, dequantize
from gguf.constants import GGML_QUANT_SIZES
from safetensors.numpy import save_file

KINDS = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q4_K", "Q6_K"]
# Bytes of a block at which a binary16 scale stands.
SCALES = {"F16": [0], "Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q4_K": [0, 2], "Q6_K": [208]}
OF_SMOLLM2 = ["token_embd.weight", "blk.0.attn_q.weight", "blk.29.ffn_down.weight", "output_norm.weight"]


def finite(raw, kind, size):
    blocks = raw.reshape(-1, size)
    for at in SCALES.get(kind, []):
        # Clearing the top bit of the exponent leaves subnormals and values below 2.
        blocks[:, at + 1] &= 0xBF
    if kind in ("F32", "BF16"):
        blocks[:, -1] &= 0xBF
    return blocks.reshape(raw.shape)


def record(folder):
    rng = np.random.default_rng(0)
    writer = GGUFWriter(folder / "every-block.gguf", "none")
    writer.add_uint8("a.u8", 255)
    writer.add_int8("a.i8", -128)
    writer.add_uint16("a.u16", 65535)
    writer.add_int16("a.i16", -32768)
    writer.add_uint32("a.u32", 4294967295)
    writer.add_int32("a.i32", -2147483648)
    writer.add_uint64("a.u64", 18446744073709551615)
    writer.add_int64("a.i64", -9223372036854775808)
    writer.add_float32("a.f32", 0.1)
    writer.add_float64("a.f64", 0.1)
    writer.add_bool("a.bool", True)
    writer.add_string("a.text", "\u00e9 \u4e16")
    writer.add_array("b.texts", ["", "a", "\u0120b"])
    writer.add_array("b.floats", [0.5, -1.5])
    writer.add_array("b.signed", [-1, 2, 3])
    writer.add_array("b.flags", [True, False])
    writer.add_key_value("b.lists", [[1, 2], [3]], GGUFValueType.ARRAY, GGUFValueType.ARRAY)
    for kind in KINDS:
        block, size = GGML_QUANT_SIZES[Kind[kind]]
        raw = rng.integers(0, 256, size=(2, 512 // block * size), dtype=np.uint8)
        raw = finite(raw, kind, size)
        writer.add_tensor(kind, raw, raw_dtype=Kind[kind])
    # A type that the reader here refuses, and an odd number of rows and axes.
    writer.add_tensor("refused", np.zeros((1, 110), np.uint8), raw_dtype=Kind.Q3_K)
    writer.add_tensor("three.axes", np.arange(30, dtype=np.float32).reshape(5, 3, 2))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    values = {}
    for t in GGUFReader(folder / "every-block.gguf").tensors:
        if t.name != "refused":
            values[t.name] = np.ascontiguousarray(dequantize(t.data, t.tensor_type).astype(np.float32))
            assert np.isfinite(values[t.name]).all(), t.name
    save_file(values, folder / "every-block.safetensors")


def digests(path):
    from blake3 import blake3

    for t in GGUFReader(path).tensors:
        if t.name in OF_SMOLLM2:
            x = dequantize(t.data, t.tensor_type).astype(np.float32)
            print(t.name, t.tensor_type.name, list(x.shape), blake3(x.tobytes()).hexdigest())


target = Path(sys.argv[1])
record(target) if target.is_dir() else digests(target)
