//! A plan with behaviour twins: the fourth table, its controls, and the way back from its rows.

use crate::tool::{line, scratch};

const PLAN: &str = r#"name = "twins"

[[organism]]
name = "rasp-histogram"
seeds = 2
set = { length = 3 }

[[organism]]
name = "rasp-histogram-by-token"
seeds = 2
set = { length = 3 }

[[organism]]
name = "gauge-twin"
set = { of = "rasp-histogram-by-token", move = "insert-layer", set = { length = 3 } }

[[organism]]
name = "rasp-reverse"
seeds = 2
set = { length = 2 }

[[method]]
step = "describe"
name = "exact-patching"

[[method]]
step = "decompose"
name = "random"

[[metric]]
name = "twin-auroc"
"#;

#[test]
fn a_plan_with_behaviour_twins_gets_a_table_that_tells_algorithms_apart() {
    let dir = scratch();
    std::fs::write(dir.path().join("plan.toml"), PLAN).expect("a plan");
    let ran = line(dir.path(), "run plan.toml --out run");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("Does it tell algorithms apart?"), "{}", ran.stdout);
    let board = line(dir.path(), "show run --json").json();
    let rows = board.as_array().expect("rows");
    let of = |method: &str| {
        let found = rows.iter().find(|r| r["table"] == "twins" && r["method"] == method);
        found.unwrap_or_else(|| panic!("{method}: {board}"))
    };
    // Reverse has no twin in this plan: one pair, of five specimens.
    for (method, score) in
        [("truth", 1.0), ("true edges", 1.0), ("exact-patching", 1.0), ("outputs only", 0.5)]
    {
        let row = of(method);
        assert_eq!(row["score"], score, "{row}");
        let seeds = row["seeds"].as_array().expect("pairs");
        assert_eq!(seeds.len(), 1);
        assert!((seeds[0]["null"].as_f64().expect("a null") - 0.5).abs() < 1e-12, "{row}");
        assert_eq!(
            seeds[0]["details"]["pair"],
            serde_json::json!(["rasp-histogram", "rasp-histogram-by-token"])
        );
    }
    assert!(
        of("random")["score"].as_f64().is_some() && of("shuffled effects")["role"] == "control"
    );
    // No verdict is about a pair, and every row leads to its files and its page.
    assert!(!ran.stdout.contains("on behaviour twins"), "{}", ran.stdout);
    for row in rows.iter().filter(|r| r["table"] == "twins") {
        let id = row["id"].as_str().expect("an id");
        let traced = line(dir.path(), &format!("show run {id} --json")).json();
        assert_eq!(traced["page"], "docs/metrics/mechanism-distance.md", "{traced}");
        let text = traced["seeds"].to_string();
        assert!(text.contains("twins.json") && text.contains("specimen.json"), "{id}: {text}");
    }
}
