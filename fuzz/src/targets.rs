//! The readers under test, their good files and the words of their formats.
//!
//! Readers of folders get one: the changed file beside good ones. An error of theirs is dropped: it is
//! the right answer.

use crate::Target;
use flyroom_bench::plan::Plan;
use flyroom_decompose::Dictionary;
use flyroom_describe::mib::MibGraph;
use flyroom_explanation::Explanation;
use flyroom_explanation::rasp::{Overrides, Script, evaluate};
use flyroom_network::format::gguf::Gguf;
use flyroom_network::format::npz::{npz_from_source, read_npy, write_npz};
use flyroom_network::format::pt::PtFile;
use flyroom_network::format::{RawTensors, SafetensorsFile, Source};
use flyroom_network::tokenizer::Tokenizer;
use flyroom_network::{Edge, Selector, TransformerConfig, pretrained};
use flyroom_organism::Specimen;
use flyroom_organism::import::{Options, import};
use std::path::{Path, PathBuf};

const JSON: &[&str] = &[
    "{", "}", "[", "]", "\"", ":", ",", "null", "true", "false", "\\u0000", "\\ud800", "{\"a\":",
    "[[[[[[[[", "1e400", "\u{feff}",
];

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "safetensors",
        seeds: || vec![recorded("state.safetensors"), recorded("arrays.safetensors")],
        words: &[
            "{\"",
            "\"dtype\":\"F32\"",
            "\"BF16\"",
            "\"I64\"",
            "\"BOOL\"",
            "\"F4\"",
            "\"shape\":[",
            "\"data_offsets\":[0,",
            "__metadata__",
        ],
        read: |_, bytes| {
            if let Ok(file) = SafetensorsFile::from_source(source(bytes)) {
                for (name, _) in file.tensors() {
                    drop(file.read(name).map(|t| t.to_tensor()));
                }
            }
        },
    },
    Target {
        name: "gguf",
        seeds: || {
            let blocks = recorded("every-block.gguf");
            vec![blocks, recorded("tokenizer-smollm.gguf"), recorded("tokenizer-scored.gguf")]
        },
        words: &[
            "GGUF",
            "general.alignment",
            "general.architecture",
            "llama",
            "tokenizer.ggml.model",
            "gpt2",
            "tokenizer.ggml.tokens",
            "llama.block_count",
            "\x09\0\0\0\x08\0\0\0",
        ],
        read: |_, bytes| {
            if let Ok(file) = Gguf::from_source(source(bytes)) {
                for (name, _) in file.tensors() {
                    drop(file.read(name));
                }
                drop(pretrained::from_gguf(&file));
                if let Ok(t) = Tokenizer::from_gguf(&file) {
                    use_tokenizer(&t);
                }
            }
        },
    },
    Target {
        name: "pt",
        seeds: || vec![recorded("state.pt"), recorded("plain.pt"), recorded("plain-4.pt")],
        words: PICKLE,
        read: |_, bytes| read_pt(bytes),
    },
    Target {
        // The pickle alone, in a good archive around it.
        name: "pickle",
        seeds: || ["state.pt", "plain.pt", "plain-4.pt"].map(pickle_of).to_vec(),
        words: PICKLE,
        read: |_, bytes| {
            let members = [("x/data.pkl", bytes), ("x/data/0", &[0; 256]), ("x/data/1", &[1; 64])];
            read_pt(&archive(&members));
        },
    },
    Target {
        name: "npz",
        seeds: || vec![recorded("arrays.npz"), recorded("packed.npz")],
        words: &["PK\x01\x02", "PK\x03\x04", "PK\x05\x06"],
        read: |folder, bytes| {
            if let Ok(arrays) = npz_from_source(source(bytes)) {
                write_again(folder, &arrays);
            }
        },
    },
    Target {
        name: "npy",
        seeds: || vec![NPY.to_vec()],
        words: &[
            "'descr': ",
            "'<f4'",
            "'|O'",
            "'>f8'",
            "'<i8'",
            "'|b1'",
            "'fortran_order': True",
            "'shape': (",
            "(4, 3, 2)",
        ],
        read: |folder, bytes| {
            let path = put(folder, "x.npy", bytes);
            drop(read_npy(&path));
        },
    },
    Target {
        name: "tokenizer",
        seeds: || vec![recorded("tokenizer.json"), recorded("gpt2/vocab.json")],
        words: &[
            "\"ByteLevel\"",
            "\"Split\"",
            "\"Regex\":\"(a+)+b\"",
            "\"Unigram\"",
            "\"WordPiece\"",
            "\"Metaspace\"",
            "\"Precompiled\"",
            "\"Replace\"",
            "\"Sequence\"",
            "\"unk_id\":7",
            "\"vocab\":[[\"a\",-1.5]]",
            "\"added_tokens\"",
            "\"Digits\"",
            "\"TemplateProcessing\"",
        ],
        read: |_, bytes| {
            if let Ok(t) = Tokenizer::from_json(Path::new("tokenizer.json"), bytes) {
                use_tokenizer(&t);
            }
        },
    },
    Target {
        name: "vocabulary",
        seeds: || {
            vec![
                b"\x07\0\0\0\0\0\0\0\x05\0\0\0<unk>\0\0\x80\xbf\x01\0\0\0a\0\0\0\xc0\x02\0\0\0 a"
                    .to_vec(),
            ]
        },
        words: &["<0x00>", "<0xFF>", "\u{2581}"],
        read: |folder, bytes| {
            if let Ok(t) = Tokenizer::open(&put(folder, "tokenizer.bin", bytes)) {
                use_tokenizer(&t);
            }
        },
    },
    Target {
        name: "config",
        seeds: || {
            vec![
                br#"{"model_type":"llama","hidden_size":8,"num_hidden_layers":1,"num_attention_heads":2,"num_key_value_heads":1,"intermediate_size":16,"vocab_size":10,"max_position_embeddings":16,"rms_norm_eps":1e-5,"rope_theta":10000.0,"hidden_act":"silu","tie_word_embeddings":true}"#.to_vec(),
                br#"{"model_type":"gpt2","n_embd":8,"n_layer":1,"n_head":2,"n_inner":null,"vocab_size":10,"n_positions":16,"layer_norm_epsilon":1e-5,"activation_function":"gelu_new"}"#.to_vec(),
                br#"{"model_type":"gpt_neox","hidden_size":8,"num_hidden_layers":1,"num_attention_heads":2,"intermediate_size":16,"vocab_size":10,"max_position_embeddings":16,"layer_norm_eps":1e-5,"rotary_pct":0.25,"rotary_emb_base":10000,"hidden_act":"gelu","use_parallel_residual":true}"#.to_vec(),
            ]
        },
        words: JSON,
        read: |folder, bytes| {
            put(folder, "model.safetensors", &recorded("arrays.safetensors"));
            put(folder, "config.json", bytes);
            drop(pretrained::from_huggingface(folder));
        },
    },
    Target {
        name: "hooked",
        seeds: || vec![other("organism/tests/transformer_lens", "cfg.json")],
        words: JSON,
        read: |folder, bytes| {
            put(folder, "model.pt", &other("organism/tests/transformer_lens", "model.pt"));
            put(folder, "cfg.json", bytes);
            let set = [("vocab", 8), ("seq", 9), ("period_min", 3), ("period_max", 6)];
            let options = Options {
                organism: Some("induction".into()),
                set: set.into_iter().map(|(k, v)| (k.to_owned(), v.into())).collect(),
                ..Options::default()
            };
            drop(import("transformer-lens", folder, &options));
        },
    },
    Target {
        name: "specimen",
        seeds: || vec![seed("specimen/specimen.json")],
        words: JSON,
        read: |folder, bytes| {
            put(folder, "model.safetensors", &seed("specimen/model.safetensors"));
            put(folder, "curve.jsonl", &seed("specimen/curve.jsonl"));
            put(folder, "specimen.json", bytes);
            drop(Specimen::read(folder));
        },
    },
    Target {
        name: "explanation",
        seeds: || vec![seed("explanation/circuit.json")],
        words: &[
            "\"schema\": 1",
            "\"parts\": [",
            "\"body\": {",
            "\"circuit\": {",
            "\"cosines\"",
            "\"rasp\"",
            "\"ablation\": \"zero\"",
            "a0.h0->a1.h0<k>",
            "embed->logits",
            "{",
            "}",
            "[",
            "]",
            "\"",
        ],
        read: |folder, bytes| drop(Explanation::read(&put(folder, "explanation.json", bytes))),
    },
    Target {
        name: "sae-cfg",
        seeds: || vec![seed("sae-cfg/cfg.json")],
        words: &[
            "\"standard\"",
            "\"topk\"",
            "\"jumprelu\"",
            "\"gated\"",
            "\"k\": 2",
            "\"d_in\"",
            "\"hook_name\": \"blocks.0.hook_resid_pre\"",
            "\"layer_norm\"",
            "{",
            "}",
            "[",
        ],
        read: |folder, bytes| {
            put(folder, "sae_weights.safetensors", &seed("sae-cfg/sae_weights.safetensors"));
            put(folder, "cfg.json", bytes);
            drop(Dictionary::load(folder));
        },
    },
    Target {
        name: "mib",
        seeds: || {
            ["circuit.json", "circuit.pt"].map(|n| other("describe/tests/it/mib", n)).to_vec()
        },
        words: JSON,
        read: |_, bytes| {
            if let Ok(graph) = MibGraph::read(source(bytes)) {
                drop(graph.scores(&TransformerConfig::plain(2, 8, 2, 8, 9)));
                drop(graph.to_text());
            }
        },
    },
    Target {
        name: "plan",
        seeds: || vec![include_bytes!("../../crates/bench/plans/smoke.toml").to_vec()],
        words: &[
            "[[organism]]",
            "[[method]]",
            "[[metric]]",
            "seeds = ",
            "name = \"topk\"",
            "set = { ",
            "step = \"decompose\"",
            "command = [\"true\"]",
            "\"\"\"",
            "[",
            "]",
            "=",
            "2026-11-22T00:00:00Z",
            "inf",
            "nan",
        ],
        read: |_, bytes| {
            if let Ok(text) = std::str::from_utf8(bytes) {
                drop(Plan::parse(text, "plan.toml", &flyroom_bench::run::catalog()));
            }
        },
    },
    Target {
        name: "rasp",
        seeds: || {
            let page = include_str!("../../docs/rasp.md");
            let programs = page.split("\n```rasp ").skip(1);
            let text = |p: &str| {
                p.split("\n```").next().unwrap_or("").split_once('\n').map(|t| t.1.into())
            };
            programs.filter_map(text).collect()
        },
        words: &[
            "vocabulary: ",
            "length: ",
            "return ",
            "select(",
            "aggregate(",
            "mean(",
            "selector_width(",
            "causal(",
            "round(",
            ", default = ",
            "{a: 1, else: 0}[",
            "if ",
            " then ",
            " else ",
            " and ",
            "not ",
            " mod ",
            "key == query",
            "true",
            "none",
            "tokens",
            "indices",
            "==",
            "<=",
            "9223372036854775808",
            "1e308",
            "`",
            "\"",
            "\\u{e9}",
            "#",
        ],
        read: |_, bytes| {
            if let Ok(text) = std::str::from_utf8(bytes)
                && let Ok(script) = text.parse::<Script>()
            {
                let printed = script.text().unwrap_or_default();
                assert_eq!(printed.parse::<Script>().ok().as_ref(), Some(&script), "{text}");
                let tokens: Vec<_> = script.vocabulary.iter().take(4).cloned().collect();
                drop(evaluate(&script.program, &tokens, &Overrides::none()));
            }
        },
    },
    Target {
        name: "places",
        seeds: || {
            vec![
                b"blocks.0.attn.hook_z[head=2,pos=-1,unit=3..5]".to_vec(),
                b"hook_hidden@dirs.safetensors#7".to_vec(),
                b"a0.h1->a1.h2<k>".to_vec(),
                b"m0->logits".to_vec(),
            ]
        },
        words: &[
            "[head=", ",pos=", ",unit=", "..", "@", "#", "->", "<q>", "<v>", "embed", "logits",
            "-1",
        ],
        read: |_, bytes| {
            if let Ok(text) = std::str::from_utf8(bytes) {
                if let Ok(s) = text.parse::<Selector>() {
                    assert_eq!(s.to_string().parse::<Selector>().ok(), Some(s), "{text}");
                }
                if let Ok(e) = text.parse::<Edge>() {
                    assert_eq!(e.to_string().parse::<Edge>().ok(), Some(e), "{text}");
                }
            }
        },
    },
];

const PICKLE: &[&str] = &[
    "ctorch._utils\n_rebuild_tensor_v2\n",
    "ctorch\nFloatStorage\n",
    "ccollections\nOrderedDict\n",
    "c__builtin__\nset\n",
    "c_codecs\nencode\n",
    "ctorch\nSize\n",
    "cnumpy\ndtype\n",
    "cnumpy._core.multiarray\nscalar\n",
    "X\x07\0\0\0storage",
    "(",
    "t",
    "R",
    "Q",
    ")",
    "]",
    "}",
    "e",
    "u",
    "a",
    "s",
    "b",
    "2",
    "h\0",
    "q\0",
    "\x0bdata.pkl",
    "PK\x01\x02",
    "byteorder",
];

/// An `.npy` file of six numbers in Fortran order.
const NPY: &[u8] = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': True, 'shape': (3, 2), }                                                           \n\0\0\x80?\0\0\0@\0\0@@\0\0\x80@\0\0\xa0@\0\0\xc0@";

fn source(bytes: &[u8]) -> Source {
    Source::from_bytes(Path::new("x"), bytes.to_vec())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).into()
}

/// A file that other tests read.
fn recorded(name: &str) -> Vec<u8> {
    let path = root().join("../crates/network/tests/it/fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A file that the tests of another crate read.
fn other(folder: &str, name: &str) -> Vec<u8> {
    let path = root().join("../crates").join(folder).join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A file of these tests.
fn seed(name: &str) -> Vec<u8> {
    let path = root().join("seeds").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("the temporary folder can be written");
    path
}

fn read_pt(bytes: &[u8]) {
    if let Ok(file) = PtFile::from_source(source(bytes)) {
        drop(file.tensors());
    }
}

fn write_again(folder: &Path, arrays: &RawTensors) {
    drop(write_npz(&folder.join("again.npz"), arrays));
}

fn use_tokenizer(t: &Tokenizer) {
    let ids = t.prompt("The capital\n of  France's 123 \u{e9}\u{4e16}\u{1f642}<|im_end|>");
    let ids = ids.unwrap_or_default();
    drop(t.decode(&ids));
    for &id in ids.iter().take(8) {
        drop(t.display(id));
    }
}

/// The member `data.pkl` of a recorded file: stored, behind its local header.
fn pickle_of(name: &str) -> Vec<u8> {
    let bytes = recorded(name);
    let start = bytes.windows(2).position(|w| w[0] == 0x80 && (w[1] == 2 || w[1] == 4));
    let end = bytes.windows(3).position(|w| w == b".PK");
    match (start, end) {
        (Some(start), Some(end)) if start < end => bytes[start..=end].to_vec(),
        _ => panic!("{name} holds no pickle"),
    }
}

/// A zip archive of stored members, without checksums.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in members {
        let offset = out.len() as u32;
        let len = (bytes.len() as u32).to_le_bytes();
        let common =
            [&[0; 14][..], &len, &len, &(name.len() as u16).to_le_bytes(), &[0; 2]].concat();
        out.extend([b"PK\x03\x04", &common[..], name.as_bytes(), bytes].concat());
        directory.extend([b"PK\x01\x02\0\0", &common[..], &[0; 10]].concat());
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let count = (members.len() as u16).to_le_bytes();
    let (at, size) = (out.len() as u32, directory.len() as u32);
    out.extend(directory);
    out.extend([b"PK\x05\x06\0\0\0\0", &count[..], &count].concat());
    out.extend([&size.to_le_bytes()[..], &at.to_le_bytes(), &[0, 0]].concat());
    out
}
