//! The crash test of the embedded plan bears out what the traps claim of themselves.

use flyroom_bench::Plan;
use flyroom_bench::board::matrix::{CrashTest, Word};
use flyroom_bench::board::{Board, Role, Row};
use flyroom_bench::run::{CRASH_TEST, catalog, run};
use flyroom_tensor::Context;
use flyroom_validate::used::VariableUse;
use std::sync::LazyLock;

fn carried_out(text: &str) -> Board {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan::parse(text, "plan", &catalog()).unwrap();
    let finished = run(&plan, dir.path(), &Context::single(), 2, &()).unwrap();
    assert!(finished.failures.is_empty(), "{:?}", finished.failures);
    finished.report.board
}

static BOARD: LazyLock<Board> = LazyLock::new(|| carried_out(CRASH_TEST));

fn matrix() -> &'static CrashTest {
    BOARD.crash_test.as_ref().unwrap()
}

/// Every method that an aim names and the plan runs is broken, every one that it says sees through it
/// holds, and no trap is without one of each.
#[test]
fn every_trap_of_the_registry_breaks_what_it_was_made_for_and_its_control_arm_does_not() {
    let test = matrix();
    assert!(test.unexpected.is_empty(), "{:#?}", test.unexpected);
    let mut seen = 0;
    for organism in flyroom_organism::registry() {
        let name = organism.entry().name;
        let Some(trapped) = organism.trap(&organism.defaults()) else { continue };
        if name.contains('@') {
            continue;
        }
        seen += 1;
        let column = test.traps.iter().find(|c| c.trap == name);
        let column = column.unwrap_or_else(|| panic!("{name} is not in the plan crash-test"));
        assert!(column.control.is_some(), "{name} has no control arm in the plan");
        let words = |methods: &[&str]| -> Vec<Word> {
            methods.iter().filter_map(|m| Some(test.entry(m, name)?.word)).collect()
        };
        for (methods, wanted) in
            [(trapped.aim.breaks, Word::Breaks), (trapped.aim.seen_by, Word::Holds)]
        {
            let words = words(methods);
            assert!(
                words.len() == methods.len() && words.iter().all(|w| *w == wanted),
                "{name}: {words:?}"
            );
        }
    }
    assert!(seen >= 7);
}

#[test]
fn an_entry_is_the_share_of_the_rows_that_it_names() {
    for e in matrix().entries.iter().filter(|e| e.share.is_some()) {
        let rows: Vec<_> =
            e.rows.iter().map(|id| BOARD.rows.iter().find(|r| r.id == *id).unwrap()).collect();
        assert_eq!(rows.len(), 2, "{e:?}");
        let shares: Vec<f64> =
            rows[0].seeds.iter().filter_map(|s| rows[0].position_of(s)).collect();
        assert_eq!((&rows[0].organism, &e.shares), (&e.trap, &shares));
        assert!(rows.iter().all(|r| r.role == Role::Method && r.method == e.method));
        assert!(rows[1].organism.ends_with("[armed=false]"), "{}", rows[1].organism);
    }
}

/// A read-out has the decoy as it has the answer; exchanging it moves nothing. Values in another order
/// are read at chance: three letters and "none", three letters.
#[test]
fn the_decoy_is_decodable_and_not_used() {
    let of_decoy = |r: &&Row| r.metric == "used" && r.organism == "trap-decoy";
    let rows: Vec<&Row> = BOARD.rows.iter().filter(of_decoy).collect();
    assert_eq!(rows.len(), 2);
    for (row, seed) in rows.iter().flat_map(|r| r.seeds.iter().map(move |s| (r, s))) {
        let variables: Vec<VariableUse> =
            serde_json::from_value(seed.details["variables"].clone()).unwrap();
        let of = |name: &str| variables.iter().find(|v| v.variable == name).unwrap();
        let (decoy, first) = (of("decoy"), of("first"));
        assert_eq!((decoy.read, first.read), (1.0, 1.0), "{}", row.method);
        assert!(decoy.effect < 1e-6 && decoy.truth < 1e-6, "{decoy:?}");
        assert!((first.effect - 1.0).abs() < 1e-3 && (first.truth - 1.0).abs() < 1e-3, "{first:?}");
        assert!(decoy.permuted < 0.45 && first.permuted < 0.5, "{decoy:?} {first:?}");
    }
}

/// The control: without its control arm a trap is not said to break anything.
#[test]
fn without_a_control_arm_no_method_is_said_to_break() {
    let text = r#"
name = "p"
[[organism]]
name = "trap-saturated-gate"
[[method]]
step = "describe"
name = "eap"
[[metric]]
name = "edge-auroc"
"#;
    let board = carried_out(text);
    let test = board.crash_test.as_ref().unwrap();
    assert_eq!(test.entries.len(), 1);
    assert_eq!(test.entries[0].word, Word::Low);
    assert!(test.unexpected.is_empty());
    assert!(board.to_text().contains("without their control arms"));
    let again = Board::from_json(&board.to_json().unwrap()).unwrap();
    assert_eq!(again.crash_test, board.crash_test);
}

#[test]
fn a_run_without_traps_has_no_matrix() {
    let text = "name = \"p\"\n[[organism]]\nname = \"trap-decoy\"\nset = { armed = false }\n\
                [[method]]\nstep = \"describe\"\nname = \"eap\"\n[[metric]]\nname = \"edge-auroc\"\n";
    let board = carried_out(text);
    assert!(board.crash_test.is_none());
    assert!(!board.to_json().unwrap().contains("crash_test"));
}

/// A padded truth predicts what the truth predicts and pays for what it adds; the board calls neither
/// of them a method or a control.
#[test]
fn padding_buys_no_skill_and_costs_bits() {
    let text = "name = \"p\"\n[[organism]]\nname = \"trap-saturated-gate\"\n\
                [[method]]\nstep = \"describe\"\nname = \"eap\"\n[[metric]]\nname = \"effect-skill\"\n";
    let board = carried_out(text);
    assert!(board.faults.is_empty(), "{:?}", board.faults);
    let place = |method: &str| board.rows.iter().position(|r| r.method == method).unwrap();
    let (truth, padded) = (&board.rows[place("truth")], &board.rows[place("padded truth")]);
    assert!(truth.score.unwrap() > 0.999, "{truth:?}");
    assert_eq!(truth.score, padded.score);
    assert!(padded.bits().unwrap()[0] > truth.bits().unwrap()[0] + 1.0);
    assert!(place("truth") < place("padded truth"));
    assert_eq!((padded.role, padded.status, padded.rank), (truth.role, truth.status, None));
}
