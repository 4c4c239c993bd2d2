//! The language of places: selectors, spans and edges, as text and back.

use crate::common::plain;
use flyroom_network::*;
use proptest::prelude::*;

fn spans() -> impl Strategy<Value = Span> {
    let range = (-50i64..50, -50i64..50).prop_map(|(a, b)| format!("{a}..{b}"));
    let open = (-50i64..50).prop_map(|a| format!("{a}.."));
    let one = any::<i32>().prop_map(|a| a.to_string());
    prop_oneof![range, open, one].prop_map(|s| s.parse().unwrap())
}

fn selectors() -> impl Strategy<Value = Selector> {
    let option = || prop::option::of(spans());
    let directions = prop::option::of(("[a-z/._-]{1,12}", 0usize..1000));
    let parts = (option(), option(), option(), directions);
    ("[a-z][a-z0-9._]{0,20}", parts).prop_map(|(site, (head, pos, unit, directions))| {
        let mut s = Selector::site(site);
        (s.head, s.pos, s.unit, s.directions) = (head, pos, unit, directions);
        s
    })
}

fn edges() -> impl Strategy<Value = Edge> {
    let n = || 0usize..40;
    let senders = prop_oneof![
        Just(Sender::Embed),
        Just(Sender::PosEmbed),
        (n(), n()).prop_map(|(l, h)| Sender::Head(l, h)),
        n().prop_map(Sender::Mlp),
    ];
    let receivers = prop_oneof![
        (n(), n()).prop_map(|(l, h)| Receiver::Query(l, h)),
        (n(), n()).prop_map(|(l, h)| Receiver::Key(l, h)),
        (n(), n()).prop_map(|(l, h)| Receiver::Value(l, h)),
        n().prop_map(Receiver::Mlp),
        Just(Receiver::Logits),
    ];
    (senders, receivers).prop_map(|(from, to)| Edge { from, to })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn selectors_survive_text_and_json(s in selectors()) {
        prop_assert_eq!(&s.to_string().parse::<Selector>().unwrap(), &s);
        let json = serde_json::to_string(&s).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Selector>(&json).unwrap(), &s);
    }

    #[test]
    fn edges_survive_text_and_json(e in edges()) {
        prop_assert_eq!(e.to_string().parse::<Edge>().unwrap(), e);
        let json = serde_json::to_string(&e).unwrap();
        prop_assert_eq!(serde_json::from_str::<Edge>(&json).unwrap(), e);
    }

    #[test]
    fn interventions_survive_json(s in selectors(), e in edges(), input in 0usize..9, x in -9f32..9.0) {
        let row = Row {
            input,
            interventions: vec![
                Intervention::site(s.clone(), Operation::Add { input, factor: x }),
                Intervention::edges(vec![e], Operation::Interchange { input }),
                Intervention::weight(s, Operation::Set { values: vec![x, 0.1] }),
            ],
        };
        let json = serde_json::to_string(&row).unwrap();
        prop_assert_eq!(serde_json::from_str::<Row>(&json).unwrap(), row);
    }

    #[test]
    fn no_text_panics_and_what_is_read_can_be_written(text in "[a-z0-9@#\\[\\]=.,>< -]{0,30}|.{0,12}") {
        if let Ok(s) = text.parse::<Selector>() {
            prop_assert_eq!(s.to_string().parse::<Selector>().unwrap(), s);
        }
        if let Ok(e) = text.parse::<Edge>() {
            prop_assert_eq!(e.to_string(), text.clone());
        }
        if let Ok(s) = text.parse::<Span>() {
            let _ = s.indices(7);
        }
    }

    #[test]
    fn spans_count_as_python_does(a in -9i64..9, b in -9i64..9) {
        let at = |i: i64| if i < 0 { i + 7 } else { i };
        let end = if b == 0 && a < 0 { 7 } else { at(b) };
        let inside = 0 <= at(a) && at(a) < end && end <= 7;
        let got = format!("{a}..{b}").parse::<Span>().unwrap().indices(7);
        prop_assert_eq!(got.ok(), inside.then(|| at(a) as usize..end as usize));
    }
}

#[test]
fn malformed_selectors_say_what_is_wrong() {
    let cases = [
        ("", "not empty"),
        ("a b", "no spaces"),
        ("z[head=1", "no closing ']'"),
        ("z[head=1]x", "no closing ']'"),
        ("z]", "no spaces"),
        ("z[head]", "'head' is not key=range"),
        ("z[head=one]", "'one' is not a number"),
        ("z[head=1..x]", "'x' is not a number"),
        ("z[head=]", "is not a number"),
        ("z[heads=1]", "'heads' is none of head, pos, unit"),
        ("z[head=1,head=2]", "head twice"),
        ("z[head=9223372036854775807]", "too large"),
        ("z[head=99999999999999999999]", "is not a number"),
        ("z@dirs", "FILE#ROW"),
        ("z@#1", "FILE#ROW"),
        ("z@dirs#x", "'x' is not a row number"),
        ("z@dirs#-1", "'-1' is not a row number"),
    ];
    for (text, why) in cases {
        let error = text.parse::<Selector>().unwrap_err().to_string();
        assert!(error.contains(why) && error.contains(text), "{text}: {error}");
    }
    for extreme in ["9223372036854775807..", "9223372036854775807..5", "-9223372036854775808.."] {
        let span: Span = extreme.parse().unwrap();
        assert!(span.indices(3).unwrap_err().contains("outside an axis of 3"));
        assert_eq!(span.to_string().parse(), Ok(span));
    }
}

#[test]
fn malformed_edges_say_what_is_wrong() {
    let cases = [
        ("a0.h1", "FROM->TO"),
        ("", "FROM->TO"),
        ("x->logits", "senders are"),
        ("logits->m0", "senders are"),
        ("a0->m0", "senders are"),
        ("a+0.h1->m0", "senders are"),
        ("m->logits", "senders are"),
        ("m0->embed", "receivers are"),
        ("m0->a1.h0", "receivers are"),
        ("m0->a1.h0<z>", "receivers are"),
        ("m0->m", "receivers are"),
        ("m0 -> m1", "senders are"),
    ];
    for (text, why) in cases {
        let error = text.parse::<Edge>().unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
}

#[test]
fn the_edge_table_finds_every_edge_and_no_other() {
    for c in crate::common::kinds() {
        let table = EdgeTable::new(&c);
        for (i, &e) in table.edges.iter().enumerate() {
            assert_eq!(table.index(e).unwrap(), i);
        }
        for (i, &s) in table.senders.iter().enumerate() {
            assert_eq!(table.sender(s), Some(i));
        }
        for &from in &table.senders {
            for &to in &table.receivers {
                let e = Edge { from, to };
                assert_eq!(table.index(e).is_ok(), table.edges.contains(&e), "{e}");
            }
        }
    }
    // A 2-layer 2-head network: 2 + 3 senders before layer 1's MLP and so on.
    // q, k, v: 3 * 2 heads * 2 senders, MLP 4; layer 1: 6 * 5, MLP 7; logits 8.
    assert_eq!(EdgeTable::new(&plain()).edges.len(), 12 + 4 + 30 + 7 + 8);
}

fn rotary(base: f64, dim: usize) -> Positions {
    Positions::Rotary(Rotary { base, dim, pairs: Pairs::Halves })
}

#[test]
fn fields_that_later_networks_brought_are_left_out_of_json_at_their_defaults() {
    let json = serde_json::to_string(&Architecture::Transformer(plain())).unwrap();
    for field in ["eps", "qkv_bias", "gated_mlp", "parallel_attn_mlp", "\"pattern", "vectors"] {
        assert!(!json.contains(field), "{json}");
    }
    let c = TransformerConfig { eps: 1e-6, gated_mlp: true, mlp_bias: false, ..plain() };
    let c = Architecture::Transformer(TransformerConfig { positions: rotary(5e5, 4), ..c });
    let json = serde_json::to_string(&c).unwrap();
    assert!(json.contains("\"eps\":0.000001") && json.contains("\"gated_mlp\":true"), "{json}");
    assert_eq!(serde_json::from_str::<Architecture>(&json).unwrap(), c);
}

#[test]
fn architectures_that_contradict_themselves_are_refused_with_the_field() {
    let p = plain();
    let cases = [
        (
            TransformerConfig { n_heads: 3, n_kv_heads: 2, ..p.clone() },
            "n_kv_heads = 2 does not divide",
        ),
        (TransformerConfig { n_heads: 0, ..p.clone() }, "n_heads"),
        (TransformerConfig { d_model: 0, ..p.clone() }, "d_model = 0"),
        (TransformerConfig { d_vocab: usize::MAX, ..p.clone() }, "d_vocab"),
        (
            TransformerConfig { n_heads: 1 << 20, n_kv_heads: 1, d_head: 1 << 20, ..p.clone() },
            "n_heads * d_head",
        ),
        (TransformerConfig { n_layers: usize::MAX, ..p.clone() }, "n_layers"),
        (TransformerConfig { d_mlp: usize::MAX, ..p.clone() }, "d_mlp"),
        (TransformerConfig { attn_scale: 0.0, ..p.clone() }, "attn_scale"),
        (TransformerConfig { attn_scale: f32::NAN, ..p.clone() }, "attn_scale"),
        (TransformerConfig { attention_share: 1.5, ..p.clone() }, "attention_share"),
        (TransformerConfig { attention_share: f32::NAN, ..p.clone() }, "attention_share"),
        (TransformerConfig { eps: f32::NAN, ..p.clone() }, "eps"),
        (
            TransformerConfig { pattern: Pattern::Linear, causal: true, ..p.clone() },
            "linear pattern",
        ),
        (TransformerConfig { attn_bias: true, qkv_bias: true, ..p.clone() }, "qkv_bias"),
        (TransformerConfig { gated_mlp: true, mlp_bias: true, ..p.clone() }, "mlp_bias"),
        (TransformerConfig { positions: rotary(1e4, 3), ..p.clone() }, "rotary dim = 3"),
        (TransformerConfig { positions: rotary(1e4, 6), ..p.clone() }, "rotary dim = 6"),
        (TransformerConfig { positions: rotary(f64::NAN, 2), ..p }, "rotary base"),
    ];
    for (c, why) in cases {
        let error =
            Network::new(Architecture::Transformer(c), Weights::new()).unwrap_err().to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
    let mlp = MlpConfig {
        d_in: 2,
        d_hidden: vec![usize::MAX],
        d_out: 2,
        act_fn: Activation::Relu,
        bias: false,
        residual: false,
    };
    let stream = MlpConfig { d_hidden: vec![2], d_out: 3, residual: true, ..mlp.clone() };
    assert!(Network::new(Architecture::Mlp(mlp), Weights::new()).is_err());
    let error = Network::new(Architecture::Mlp(stream), Weights::new()).unwrap_err().to_string();
    assert!(error.contains("d_out = 3 is not d_in = 2"), "{error}");
}
