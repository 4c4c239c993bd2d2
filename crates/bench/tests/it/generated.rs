//! Organisms whose data were generated have rows for what the generator says: beliefs, shapes.

use flyroom_bench::Plan;
use flyroom_bench::board::{OracleKind, Row};
use flyroom_bench::run::{catalog, run};
use flyroom_tensor::Context;

const PLAN: &str = r#"
name = "generated"

[[organism]]
name = "mess3"
set = { context = 6, n_layers = 2, d_model = 16, n_heads = 2, d_mlp = 32, lr = 0.01, steps = 500 }

[[organism]]
name = "stories-mini"
set = { context = 6, steps = 800, cooldown = 600, lr = 0.006 }

[[organism]]
name = "ring-7"
set = { steps = 1000, cooldown = 700 }

[[method]]
step = "decompose"
name = "pca"

[[method]]
step = "decompose"
name = "random"
set = { n = 2 }
"#;

#[test]
fn dictionaries_are_judged_by_beliefs_and_by_shapes_between_null_and_activations() {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan::parse(PLAN, "plan", &catalog()).unwrap();
    let finished = run(&plan, dir.path(), &Context::single(), 2, &()).unwrap();
    assert!(finished.failures.is_empty(), "{:?}", finished.failures);
    let rows = &finished.report.board.rows;
    let row = |organism: &str, metric: &str, method: &str| -> &Row {
        let wanted = |r: &&Row| r.organism == organism && r.metric == metric && r.method == method;
        let found = rows.iter().find(wanted);
        found.unwrap_or_else(|| panic!("no row {metric} of {method} on {organism}: {rows:#?}"))
    };
    let judged = [("mess3", "belief"), ("stories-mini", "belief"), ("ring-7", "geometry")];
    for (organism, metric) in judged {
        let (all, two) = (row(organism, metric, "pca"), row(organism, metric, "random"));
        assert_eq!(all.oracle_kind, OracleKind::Identity);
        let [score, null, oracle] = [all.score, all.null, all.oracle].map(Option::unwrap);
        // All components are the activations, turned.
        assert!((score - oracle).abs() < 0.02, "{metric}: {score} {oracle}");
        assert!(null < oracle - 0.15, "{metric}: {null} {oracle}");
        // Two random directions hold less.
        assert!(two.score.unwrap() < score, "{metric}: {:?} {score}", two.score);
    }
}
