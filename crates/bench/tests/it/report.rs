//! The report: one page, nothing else, and figures that survive any data.

use flyroom_bench::Board;
use flyroom_bench::board::{CellResult, OracleKind, Source, Standing, Table, Tier};
use flyroom_bench::report::{
    AttentionPatterns, BarChart, BarSeries, CircuitEdge, CircuitGraph, CircuitNode, DecoderPlot,
    EdgeMark, Figure, FigureGroup, Heatmap, Level, LineChart, PatternOfHead, ReportData, Series,
    SignedBar, SignedBars, Vector,
};

/// A made-up run with every kind of row and figure; numbers are for looks and prove nothing.
fn sample() -> ReportData {
    let mut results = Vec::new();
    let mut add = |table,
                   organism: &str,
                   method: &str,
                   metric: &str,
                   tier,
                   null,
                   oracle: Option<f64>,
                   scores: &[f64]| {
        let source = if organism.starts_with("modadd") {
            Source::ReverseEngineered
        } else {
            Source::Compiled
        };
        for (seed, score) in scores.iter().enumerate() {
            let mut result = CellResult::new(table, organism, method, metric, seed as u64, *score)
                .null(null)
                .tier(tier)
                .truth(source, Standing::Exact);
            if let Some(oracle) = oracle {
                result = result.oracle(oracle, OracleKind::Truth);
            }
            results.push(result);
        }
    };
    use Tier::{Closed, None as NoTier, Open, Whole};
    let one = Some(1.0);
    add(
        Table::Parts,
        "superposition-5-2",
        "topk",
        "mcc",
        NoTier,
        0.55,
        one,
        &[0.97, 0.99, 0.93, 0.98, 0.96],
    );
    add(
        Table::Parts,
        "superposition-5-2",
        "pca",
        "mcc",
        NoTier,
        0.55,
        one,
        &[0.51, 0.53, 0.49, 0.55, 0.50],
    );
    add(
        Table::Parts,
        "superposition-5-2",
        "ica",
        "mcc",
        NoTier,
        0.55,
        one,
        &[0.61, 0.82, 0.70, 0.58, 0.74],
    );
    add(Table::Parts, "modadd113", "fourier", "mcc", NoTier, 0.11, one, &[0.98, 0.97]);
    add(Table::Parts, "tracr-hist", "rasp", "mcc", NoTier, 0.2, one, &[1.0, 1.0, 1.0]);
    add(Table::Wiring, "tracr-hist", "eap-ig", "edge-auroc", NoTier, 0.5, one, &[0.86, 0.91, 0.88]);
    add(Table::Wiring, "tracr-hist", "rasp", "edge-auroc", NoTier, 0.5, one, &[0.99, 0.98, 1.0]);
    add(
        Table::Wiring,
        "induction-2l",
        "eap-ig",
        "edge-auroc",
        NoTier,
        0.5,
        None,
        &[0.74, 0.79, 0.71],
    );
    add(
        Table::Effects,
        "tracr-hist",
        "rasp",
        "effect-skill",
        Closed,
        0.0,
        one,
        &[0.98, 0.99, 0.985],
    );
    add(
        Table::Effects,
        "tracr-hist",
        "eap-ig",
        "effect-skill",
        Open,
        0.05,
        one,
        &[0.55, 0.62, 0.41],
    );
    add(Table::Effects, "tracr-hist", "network", "effect-skill", Whole, 0.0, one, &[1.0, 1.0, 1.0]);
    add(Table::Effects, "modadd113", "fourier", "effect-skill", Closed, 0.01, one, &[0.11, -0.4]);
    let mut uncontrolled =
        CellResult::new(Table::Effects, "induction-2l", "eap-ig", "effect-skill", 0, 0.4)
            .tier(Open);
    uncontrolled.reason = Some("the null was not run".into());
    results.push(uncontrolled);
    let board = Board::from_results(results);

    let curve = |rate: f64, floor: f64| {
        (0..60)
            .map(|i| [f64::from(i * 200 + 1), floor + 1.0 / (1.0 + rate * f64::from(i * i))])
            .collect()
    };
    let star = |i: usize, r: f64, turn: f64| {
        let angle = std::f64::consts::TAU * i as f64 / 5.0 + turn;
        (r * flyroom_tensor::math::cos64(angle), r * flyroom_tensor::math::sin64(angle))
    };
    let vector = |(x, y): (f64, f64), name: String| Vector { x, y, name };
    let node = |id: &str, layer| CircuitNode { id: id.into(), name: String::new(), layer };
    let edge = |from: &str, to: &str, weight, mark| CircuitEdge {
        from: from.into(),
        to: to.into(),
        weight,
        mark,
    };
    let figures = vec![
        Figure::DecoderPlot(DecoderPlot {
            title: "superposition-5-2/0: what topk learned".into(),
            caption: "Five features live in two dimensions. A dot on the tip of a ray is a feature that was found; a dot between two rays mixes them.".into(),
            truth: (0..5).map(|i| vector(star(i, 1.0, 0.3), format!("f{i}"))).collect(),
            learned: (0..5).map(|i| vector(star(i, 0.96, 0.3 + 0.04 * i as f64), format!("latent {i}"))).collect(),
        }),
        Figure::LineChart(LineChart {
            title: "Learning curves".into(),
            caption: "Evaluation loss over training steps, one line a seed, both axes logarithmic. The dotted level is the best affine map: lines below it are superposition.".into(),
            x_label: "step".into(),
            y_label: "loss".into(),
            log_x: true,
            log_y: true,
            series: vec![
                Series { name: "seed 0".into(), points: curve(0.05, 0.004), dashed: false },
                Series { name: "seed 1".into(), points: curve(0.02, 0.006), dashed: false },
                Series { name: "without ReLU".into(), points: curve(0.03, 0.09), dashed: true },
            ],
            levels: vec![Level { name: "best affine map".into(), y: 0.08 }],
            dots: vec![[100.0, 0.03], [1000.0, 0.01]],
            dots_name: "a seed".into(),
        }),
        Figure::CircuitGraph(CircuitGraph {
            title: "tracr-hist/0: the circuit that eap-ig found".into(),
            caption: "The input is below, the logits above; width is the edge's score. Blue was found, dashed red is true and was missed, dotted gold is not in the truth.".into(),
            nodes: vec![node("embed", 0), node("pos_embed", 0), node("a0.h0", 1), node("a0.h1", 1), node("a0.h2", 1), node("m0", 2), node("a1.h0", 3), node("a1.h1", 3), node("m1", 4), node("logits", 5)],
            edges: vec![
                edge("embed", "a0.h0", 1.0, EdgeMark::Found),
                edge("embed", "a0.h1", 0.2, EdgeMark::Extra),
                edge("pos_embed", "a0.h2", 0.5, EdgeMark::Missed),
                edge("a0.h0", "m0", 0.8, EdgeMark::Found),
                edge("a0.h2", "m0", 0.3, EdgeMark::Missed),
                edge("m0", "a1.h1", 0.6, EdgeMark::Found),
                edge("embed", "m1", 0.3, EdgeMark::Extra),
                edge("a1.h1", "m1", 0.7, EdgeMark::Found),
                edge("m1", "logits", 0.9, EdgeMark::Found),
                edge("m0", "logits", 0.4, EdgeMark::Found),
            ],
        }),
        Figure::BarChart(BarChart {
            title: "modadd113/0: the spectrum of the embedding".into(),
            caption: "Norm of each frequency of the embedding. The frequencies that the logits use are marked; 36 is decodable and not used.".into(),
            x_label: "frequency".into(),
            y_label: "share of the norm".into(),
            names: (1..=56).map(|k| k.to_string()).collect(),
            series: vec![BarSeries { name: "not used".into(), values: (1..=56).map(|k| match k { 14 => 0.21, 35 => 0.19, 36 => 0.06, 41 => 0.17, 42 => 0.2, 52 => 0.14, k => 0.004 + 0.001 * f64::from(k % 5) }).collect() }],
            highlighted: vec![13, 34, 40, 41, 51],
            highlight: "used by the logits".into(),
        }),
        Figure::Heatmap(Heatmap {
            title: "a0.h0: attention".into(),
            caption: "From each destination (row) to each source (column); the darker, the more. Absent squares lie in the future.".into(),
            x_label: "source".into(),
            y_label: "dest".into(),
            rows: ["bos", "a", "b", "a", "c", "b"].map(String::from).to_vec(),
            columns: ["bos", "a", "b", "a", "c", "b"].map(String::from).to_vec(),
            values: (0..6).map(|i: i32| (0..6).map(|j: i32| (j <= i).then(|| if (i + j) % 2 == 0 { 0.7 } else { 0.1 })).collect()).collect(),
            ..Heatmap::default()
        }),
        Figure::Heatmap(Heatmap {
            title: "Overlap of latents and features".into(),
            caption: "Cosine of each latent's decoder with each true feature: blue positive, red negative.".into(),
            x_label: "latent".into(),
            y_label: "feature".into(),
            rows: (0..5).map(|i| format!("f{i}")).collect(),
            columns: (0..8).map(|i| i.to_string()).collect(),
            values: (0..5).map(|i| (0..8).map(|j| Some(if i == j { 0.98 } else { 0.3 - 0.13 * f64::from((i * 3 + j * 5) % 7) })).collect()).collect(),
            ..Heatmap::default()
        }),
        Figure::Heatmap(Heatmap {
            title: "resid_pre, noising".into(),
            caption: "What stays when one place is corrupted; outlined cells lie beyond the null.".into(),
            x_label: "position".into(),
            y_label: "layer".into(),
            rows: (0..30).map(|i| i.to_string()).collect(),
            columns: (0..18).map(|i| format!("{i}:·token")).collect(),
            values: (0..30).map(|i| (0..18).map(|j| Some(if j == 17 { 1.0 - f64::from(i) / 30.0 } else { 1.0 })).collect()).collect(),
            neutral: 1.0,
            outlined: Some(0.3),
            ..Heatmap::default()
        }),
        Figure::Heatmap(Heatmap {
            title: "top token".into(),
            caption: "The token that the lens puts first.".into(),
            rows: (0..4).map(|i| i.to_string()).collect(),
            columns: (0..12).map(|i| format!("{i}:·Mary")).collect(),
            values: (0..4).map(|i| (0..12).map(|_| Some(f64::from(i) / 3.0)).collect()).collect(),
            words: vec![vec!["·<Mary>".into(); 12]; 4],
            ..Heatmap::default()
        }),
        Figure::SignedBars(SignedBars {
            title: "components".into(),
            caption: "Right of zero helps the answer.".into(),
            x_label: "logits".into(),
            bars: (0..40).map(|i| SignedBar { name: format!("a{i}.h3"), value: Some(f64::from(i - 17) / 9.0), null: Some(0.4) }).collect(),
        }),
        Figure::AttentionPatterns(AttentionPatterns {
            title: "Attention".into(),
            caption: "Rows look at columns.".into(),
            tokens: (0..8).map(|i| format!("t{i}")).collect(),
            heads: (0..5).map(|h| PatternOfHead {
                name: format!("a0.h{h}"),
                weights: (0..8).map(|q| (0..8).map(|k| if k == (q + h) / 2 { 0.9 } else { 0.01 }).collect()).collect(),
            }).collect(),
        }),
    ];
    ReportData {
        title: "first-look".into(),
        plan: "name = \"first-look\"\n\n[[organism]]\nname = \"superposition-5-2\"\nseeds = 5\n"
            .into(),
        verdicts: board.verdicts(),
        board,
        figures: vec![FigureGroup { heading: "tracr-hist".into(), figures, folded: vec![] }],
        provenance: vec![
            ("plan".into(), "b5bb9d8014a0".into()),
            ("engine".into(), "0.1.0".into()),
            ("bits epoch".into(), "1".into()),
        ],
    }
}

#[test]
fn the_page_is_whole_and_asks_for_nothing() {
    let page = sample().to_html();
    if let Some(path) = option_env!("FLYROOM_SAMPLE_REPORT") {
        std::fs::write(path, &page).unwrap();
    }
    for forbidden in
        ["http:", "https:", "<script", "src=", "@import", "url(", "NaN", "inf\"", "href="]
    {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    for tag in [
        "section", "table", "tr", "td", "svg", "figure", "ul", "li", "dl", "g", "text", "div",
        "span",
    ] {
        let opened =
            page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("width=device-width"));
}

#[test]
fn verdicts_stand_before_tables_and_tables_before_figures() {
    let page = sample().to_html();
    let places: Vec<usize> = [
        "<h2>Verdicts",
        "<h2>Did it find the parts?",
        "<h2>Did it find the wiring?",
        "<h2>Does it predict",
        "<h2>tracr-hist",
        "<h2>Provenance",
    ]
    .map(|text| page.find(text).unwrap_or_else(|| panic!("{text}")))
    .to_vec();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn every_seed_is_a_dot() {
    let data = sample();
    let scored = |r: &&flyroom_bench::Row| r.position().is_some();
    let seeds: usize = data.board.rows.iter().filter(scored).map(|r| r.seeds.len()).sum();
    assert_eq!(data.to_html().matches("class=\"dot").count(), seeds);
}

#[test]
fn a_report_survives_its_own_json_and_gives_the_same_bytes() {
    let data = sample();
    let json = serde_json::to_string(&data).unwrap();
    let back: ReportData = serde_json::from_str(&json).unwrap();
    assert_eq!(back, data);
    assert_eq!(back.to_html(), data.to_html());
}

#[test]
fn text_from_a_plan_cannot_become_markup() {
    let mut data = sample();
    let evil = "<img onerror=alert(1)>\"'&";
    data.title = evil.into();
    data.plan = evil.into();
    data.provenance.push((evil.into(), evil.into()));
    data.board.faults.push(evil.into());
    data.board.rows[0].organism = evil.into();
    data.board.rows[0].reason = Some(evil.into());
    data.verdicts[0].text = evil.into();
    if let Figure::LineChart(chart) = &mut data.figures[0].figures[1] {
        chart.title = evil.into();
        chart.series[0].name = evil.into();
    }
    assert!(!data.to_html().contains("<img"));
}

#[test]
fn figures_of_nothing_and_of_nonsense_are_drawn_without_nonsense() {
    let bad = [f64::NAN, f64::INFINITY, -1e300, 1e300, 0.0];
    let vector = |x: f64| Vector { x, y: f64::NAN, name: "v".into() };
    let figures = [
        Figure::LineChart(LineChart::default()),
        Figure::LineChart(LineChart {
            log_y: true,
            series: vec![Series { points: bad.map(|x| [x, x]).to_vec(), ..Series::default() }],
            dots: bad.map(|x| [x, x]).to_vec(),
            levels: vec![Level { name: "l".into(), y: f64::NAN }],
            ..LineChart::default()
        }),
        Figure::BarChart(BarChart::default()),
        Figure::BarChart(BarChart {
            names: vec!["a".into(); 3],
            series: vec![BarSeries { name: String::new(), values: bad.to_vec() }],
            highlighted: vec![99],
            ..BarChart::default()
        }),
        Figure::DecoderPlot(DecoderPlot::default()),
        Figure::DecoderPlot(DecoderPlot {
            truth: bad.map(vector).to_vec(),
            learned: bad.map(vector).to_vec(),
            ..DecoderPlot::default()
        }),
        Figure::Heatmap(Heatmap::default()),
        Figure::Heatmap(Heatmap {
            rows: vec!["a".into()],
            columns: vec!["b".into()],
            values: vec![bad.map(Some).to_vec(); 3],
            ..Heatmap::default()
        }),
        Figure::Heatmap(Heatmap {
            rows: vec!["a".into(); 3],
            columns: vec!["b".into(); 2],
            values: vec![bad.map(Some).to_vec(); 3],
            words: vec![vec!["w".into()]],
            outlined: Some(f64::NAN),
            neutral: f64::INFINITY,
            ..Heatmap::default()
        }),
        Figure::SignedBars(SignedBars::default()),
        Figure::SignedBars(SignedBars {
            bars: bad
                .iter()
                .map(|&x| SignedBar { name: "n".into(), value: Some(x), null: Some(x) })
                .collect(),
            ..SignedBars::default()
        }),
        Figure::AttentionPatterns(AttentionPatterns::default()),
        Figure::AttentionPatterns(AttentionPatterns {
            tokens: vec!["a".into(); 3],
            heads: vec![PatternOfHead {
                name: "h".into(),
                weights: vec![vec![f32::NAN, f32::INFINITY, -3.0, 7.0]; 9],
            }],
            ..AttentionPatterns::default()
        }),
        Figure::CircuitGraph(CircuitGraph::default()),
        Figure::CircuitGraph(CircuitGraph {
            nodes: vec![CircuitNode { id: "a".into(), ..CircuitNode::default() }],
            edges: vec![
                CircuitEdge { from: "a".into(), to: "absent".into(), ..CircuitEdge::default() },
                CircuitEdge {
                    from: "a".into(),
                    to: "a".into(),
                    weight: f64::NAN,
                    mark: EdgeMark::Found,
                },
            ],
            ..CircuitGraph::default()
        }),
    ];
    for figure in figures {
        let svg = figure.svg();
        let drawn = svg.split("<title>").next().unwrap_or_default();
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{svg}");
    }
}

#[test]
fn every_figure_has_a_table_of_its_own_with_numbers_in_full() {
    let data = sample();
    let tables = data.tables();
    assert_eq!(tables.len(), data.figures[0].figures.len());
    let names: std::collections::BTreeSet<&String> = tables.iter().map(|t| &t.0).collect();
    assert_eq!(names.len(), tables.len());
    for (name, text) in &tables {
        assert!(name.ends_with(".csv") && !name.contains(['/', ' ', ':']), "{name}");
        let fields = text.lines().next().unwrap_or_default().split(',').count();
        assert!(fields >= 3 && text.lines().count() > 1, "{name}: {text}");
    }
    // 1 - 29 / 30, the last cell of the sweep.
    let sweep = &tables.iter().find(|t| t.0.contains("noising")).unwrap().1;
    assert!(sweep.contains(&(1.0f64 - 29.0 / 30.0).to_string()), "{sweep}");
}

#[test]
fn what_is_folded_is_on_the_page_and_numbered_on() {
    let mut data = sample();
    let all = data.figures[0].figures.len();
    data.figures[0].folded = data.figures[0].figures.split_off(all - 2);
    let page = data.to_html();
    assert!(page.contains("<summary>2 more figures</summary>"));
    assert!(page.contains(&format!("Figure {all}.")));
    assert_eq!(data.tables().len(), all);
}
