//! The names that a pickle may mention. There are no others: a name is data here, never code.

use ::safetensors::Dtype;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Global {
    /// `collections.OrderedDict`, called without arguments or with pairs.
    OrderedDict,
    /// `builtins.set` and `frozenset`, called with a list.
    Set,
    /// `builtins.bytearray`, called with bytes.
    Bytearray,
    /// `_codecs.encode`, called with text and `latin1`: how protocol 2 writes bytes.
    Encode,
    /// `torch.Size`, called with a tuple.
    Size,
    /// `torch.device`, called with a name.
    Device,
    /// A type of storage: whose elements are these. `UntypedStorage` has none of its own.
    Storage(Option<Dtype>),
    /// A type of elements.
    Dtype(Dtype),
    /// `torch._utils._rebuild_tensor_v2` and `_v3`, called with a storage and a view of it.
    Tensor,
    /// `torch._utils._rebuild_parameter`, called with a tensor.
    Parameter,
    /// `numpy.dtype`, called with a short name.
    NumpyDtype,
    /// `numpy._core.multiarray.scalar`, called with a type and bytes.
    NumpyScalar,
}

impl Global {
    /// The name's meaning; `None` for all names but these.
    pub fn find(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("builtins" | "__builtin__", "set" | "frozenset") => Self::Set,
            ("builtins" | "__builtin__", "bytearray") => Self::Bytearray,
            ("_codecs", "encode") => Self::Encode,
            ("torch", "Size") => Self::Size,
            ("torch", "device") => Self::Device,
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor_v3") => Self::Tensor,
            ("torch._utils", "_rebuild_parameter") => Self::Parameter,
            ("numpy", "dtype") => Self::NumpyDtype,
            ("numpy._core.multiarray" | "numpy.core.multiarray", "scalar") => Self::NumpyScalar,
            ("torch.storage" | "torch", "UntypedStorage") => Self::Storage(None),
            ("torch", name) => match name.strip_suffix("Storage") {
                Some(kind) => Self::Storage(Some(storage(kind)?)),
                None => Self::Dtype(dtype(name)?),
            },
            _ => return None,
        })
    }
}

fn storage(kind: &str) -> Option<Dtype> {
    Some(match kind {
        "Float" => Dtype::F32,
        "Double" => Dtype::F64,
        "Half" => Dtype::F16,
        "BFloat16" => Dtype::BF16,
        "Long" => Dtype::I64,
        "Int" => Dtype::I32,
        "Short" => Dtype::I16,
        "Char" => Dtype::I8,
        "Byte" => Dtype::U8,
        "Bool" => Dtype::BOOL,
        "ComplexFloat" => Dtype::C64,
        _ => return None,
    })
}

fn dtype(name: &str) -> Option<Dtype> {
    Some(match name {
        "float32" | "float" => Dtype::F32,
        "float64" | "double" => Dtype::F64,
        "float16" | "half" => Dtype::F16,
        "bfloat16" => Dtype::BF16,
        "int64" | "long" => Dtype::I64,
        "int32" | "int" => Dtype::I32,
        "int16" | "short" => Dtype::I16,
        "int8" => Dtype::I8,
        "uint8" => Dtype::U8,
        "uint16" => Dtype::U16,
        "uint32" => Dtype::U32,
        "uint64" => Dtype::U64,
        "bool" => Dtype::BOOL,
        "complex64" => Dtype::C64,
        "float8_e4m3fn" => Dtype::F8_E4M3,
        "float8_e5m2" => Dtype::F8_E5M2,
        _ => return None,
    })
}

/// How PyTorch writes a type of elements.
pub(super) fn name_of(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F32 => "torch.float32",
        Dtype::F64 => "torch.float64",
        Dtype::F16 => "torch.float16",
        Dtype::BF16 => "torch.bfloat16",
        Dtype::I64 => "torch.int64",
        Dtype::I32 => "torch.int32",
        Dtype::I16 => "torch.int16",
        Dtype::I8 => "torch.int8",
        Dtype::U8 => "torch.uint8",
        Dtype::U16 => "torch.uint16",
        Dtype::U32 => "torch.uint32",
        Dtype::U64 => "torch.uint64",
        Dtype::BOOL => "torch.bool",
        Dtype::C64 => "torch.complex64",
        Dtype::F8_E4M3 => "torch.float8_e4m3fn",
        Dtype::F8_E5M2 => "torch.float8_e5m2",
        _ => "torch.dtype",
    }
}
