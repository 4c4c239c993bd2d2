"""Records how awkward texts become tokens, with small vocabularies and with SmolLM2's.

Byte-level vocabularies are trained and executed by Hugging Face's `tokenizers` 0.23 (Python, Oniguruma
patterns as in the models' own tokenizer.json), the scored one by Google's `sentencepiece`, whose BPE is
the definition. Each is written as GGUF by the `gguf` package; one also as tokenizer.json and as GPT-2's
two files. With the path of SmolLM2-135M-Instruct.Q4_1.gguf its own vocabulary is recorded too.

    python benchmarks/oracles/tokenizer_cases.py crates/network/tests/it/fixtures [SmolLM2-135M-Instruct.Q4_1.gguf]
"""

import io
import json
import sys
from pathlib import Path

import sentencepiece
from gguf import GGUFReader, GGUFWriter, TokenType
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEXTS = [
    "", " ", "  ", "a", " a", "The capital of France is", "Hello, world!", "  two  spaces  ", "tab\tand\nnewline\r\n", "\n\n\n",
    " \n \n x", "don't DON'T they'll we've I'm you'd it's'", "1", "12", "1234567890", "3.14159 1,000,000", "x1y22z333",
    "\u00e9\u00e8\u00fc\u00df", "e\u0301 (combining)", "\u4e16\u754c\u4f60\u597d", "\u0645\u0631\u062d\u0628\u0627", "\u0928\u092e\u0938\u094d\u0924\u0947",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u00a0nbsp\u2003em\u200bzero", "\u00bd \u00b2 \u0665 \u2167 \u3007", "a\u0000b", "<|endoftext|>",
    "before<|im_start|>user\nhi<|im_end|>after", "<|im_start", "foo_bar.baz(qux)[0] == {'k': \"v\"} // #!", "https://example.org/?q=a%20b&c=d#e",
    "CamelCaseWords and SHOUTING", "....!!!???", "'''", "a'sb 'S", "\ufeffbom", "\ufffd", "\u0130\u017f\u212a K", "  x\n    y\n\tz", "\u2581lower", "x" * 70,
]
CORPUS = [
    "The quick brown fox jumps over the lazy dog. It doesn't matter; they'll do it again in 1984 and 2001.\n",
    "def main():\n    print('Hello, world!')\n\n\nThe capital of France is Paris, the capital of Germany is Berlin.\r\n",
    "\u00e9\u00e8 \u4e16\u754c \u4e16\u754c and numbers 12 345 6789 and CAPITAL LETTERS and they've I'm you'd.\n",
] * 20
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def pre_tokenizer(name):
    if name == "gpt-2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if name == "smollm":
        return pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
        )
    pattern = LLAMA3 if name == "llama-bpe" else LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def assemble(vocab, merges, name):
    t = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=name == "llama-bpe"))
    if name == "qwen2":
        t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizer(name)
    t.decoder = decoders.ByteLevel()
    return t


def cases(encode, decode):
    return [dict(text=t, ids=encode(t), back=decode(encode(t))) for t in TEXTS]


def of(t):
    return cases(lambda x: t.encode(x, add_special_tokens=False).ids, lambda ids: t.decode(ids, skip_special_tokens=False))


def write_gguf(path, model, tokens, types, **more):
    w = GGUFWriter(path, "none")
    w.add_tokenizer_model(model)
    w.add_token_list(tokens)
    w.add_token_types(types)
    for key, value in more.items():
        getattr(w, "add_" + key)(value)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.close()


def byte_level(folder, name):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizer(name)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=380, special_tokens=SPECIAL, initial_alphabet=sorted(alphabet), show_progress=False))
    model = json.loads(t.to_str())["model"]
    merges = [tuple(m) for m in model["merges"]]
    t = assemble(model["vocab"], merges, name)
    t.add_special_tokens([AddedToken(s, normalized=False, special=True) for s in SPECIAL])
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    types = [TokenType.CONTROL if x in SPECIAL else TokenType.NORMAL for x in tokens]
    write_gguf(
        folder / f"tokenizer-{name}.gguf", "gpt2", tokens, types, tokenizer_pre=name, token_merges=[" ".join(m) for m in merges],
        bos_token_id=1, eos_token_id=2, add_bos_token=name == "llama-bpe",
    )
    if name == "qwen2":
        (folder / "tokenizer.json").write_text(t.to_str())
    if name == "gpt-2":
        (folder / "gpt2").mkdir(exist_ok=True)
        (folder / "gpt2" / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False))
        (folder / "gpt2" / "merges.txt").write_text("#version: 0.2\n" + "".join(" ".join(m) + "\n" for m in merges))
    return of(t)


def scored(folder):
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_writer=out, model_type="bpe", vocab_size=380, byte_fallback=True, minloglevel=2,
        normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True, hard_vocab_limit=False,
    )
    s = sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())
    tokens = [s.id_to_piece(i) for i in range(s.vocab_size())]
    kind = lambda i: TokenType.UNKNOWN if s.is_unknown(i) else TokenType.CONTROL if s.is_control(i) else TokenType.BYTE if s.is_byte(i) else TokenType.NORMAL
    write_gguf(
        folder / "tokenizer-scored.gguf", "llama", tokens, [kind(i) for i in range(len(tokens))],
        token_scores=[s.get_score(i) for i in range(len(tokens))], bos_token_id=s.bos_id(), eos_token_id=s.eos_id(), unk_token_id=s.unk_id(),
    )
    # Control tokens stand for themselves in text in no tokenizer of sentencepiece.
    return cases(s.encode, s.decode)


def smollm2(path):
    fields = GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"].contents()]
    t = assemble({x: i for i, x in enumerate(tokens)}, merges, "smollm")
    t.add_special_tokens([AddedToken(x, normalized=False, special=True) for x, k in zip(tokens, types) if k == TokenType.CONTROL])
    return of(t)


folder = Path(sys.argv[1])
recorded = {name: byte_level(folder, name) for name in ["gpt-2", "smollm", "llama-bpe", "qwen2"]}
recorded["scored"] = scored(folder)
if len(sys.argv) > 2:
    recorded["smollm2"] = smollm2(sys.argv[2])
(folder / "tokenizers.json").write_text("{\n" + ",\n".join(f'"{k}": {json.dumps(v)}' for k, v in recorded.items()) + "\n}\n")
