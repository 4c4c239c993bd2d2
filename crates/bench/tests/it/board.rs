//! The board: each status by an example, ranks, bytes, and what people read.

use flyroom_bench::board::{
    Absent, Board, CellResult, Grade, NullTheory, OracleKind, Role, Row, Source, Standing, Status,
    Table, Tier,
};
use flyroom_organism::Route;

/// Scores of seeds 0.. between a null of .2 and the truth at 1, on an exact truth.
fn results(method: &str, scores: &[f64]) -> Vec<CellResult> {
    let result = |(seed, score): (usize, &f64)| {
        CellResult::new(Table::Parts, "tracr-hist", method, "mcc", seed as u64, *score)
            .null(0.2)
            .oracle(1.0, OracleKind::Truth)
            .truth(Source::Compiled, Standing::Exact)
    };
    scores.iter().enumerate().map(result).collect()
}

fn only(results: Vec<CellResult>) -> Row {
    let board = Board::from_results(results);
    assert_eq!(board.rows.len(), 1);
    board.rows.into_iter().next().unwrap()
}

fn edit(mut results: Vec<CellResult>, change: impl Fn(&mut CellResult)) -> Vec<CellResult> {
    results.iter_mut().for_each(change);
    results
}

#[test]
fn seeds_of_one_method_become_one_row_with_mean_interval_and_every_seed() {
    let row = only(results("topk", &[0.8, 0.9, 1.0]));
    assert!((row.score.unwrap() - 0.9).abs() < 1e-12);
    // Student t, 2 degrees of freedom: 4.302653 * .1 / sqrt(3).
    assert!((row.interval.unwrap()[1] - 1.148_413_771).abs() < 1e-8);
    assert_eq!(row.seeds.iter().map(|s| s.score.unwrap()).collect::<Vec<_>>(), [0.8, 0.9, 1.0]);
    assert!((row.position().unwrap() - 0.875).abs() < 1e-12, "(.9 - .2) / (1 - .2)");
    assert!((row.above_null.unwrap().mean - 0.7).abs() < 1e-12);
    assert_eq!((row.status, row.rank), (Status::Ranked, Some(1)));
}

#[test]
fn a_score_without_its_null_on_every_seed_is_uncontrolled_and_has_no_rank() {
    let mut some = results("topk", &[0.8, 0.9]);
    some[1].null = None;
    let row = only(some);
    assert_eq!((row.status, row.rank, row.null), (Status::Uncontrolled, None, None));
}

#[test]
fn a_method_under_its_null_is_below_null_whatever_the_truth() {
    for source in [Source::Compiled, Source::ReverseEngineered] {
        for scores in [&[0.1, 0.11, 0.12][..], &[0.1]] {
            let row = only(edit(results("pca", scores), |r| r.source = source));
            assert_eq!((row.status, row.rank), (Status::BelowNull, None));
        }
    }
}

#[test]
fn a_score_that_is_not_told_apart_from_its_null_is_at_null_on_either_side_of_it() {
    // Differences to the null of .2: means .02 and -.02, t interval 4.303 * .0265 / sqrt(3) = .066.
    for scores in [[0.19, 0.24, 0.23], [0.21, 0.16, 0.17]] {
        for source in [Source::Compiled, Source::ReverseEngineered] {
            let row = only(edit(results("random", &scores), |r| r.source = source));
            assert_eq!((row.status, row.rank), (Status::AtNull, None), "{scores:?}");
        }
    }
    // The controls: a narrower interval, and no interval at all.
    assert_eq!(only(results("topk", &[0.21, 0.22, 0.215])).status, Status::Ranked);
    assert_eq!(only(results("topk", &[0.21])).status, Status::Single);
    // Equal to its null on every seed: the interval is the point 0.
    assert_eq!(only(results("copy", &[0.2, 0.2])).status, Status::AtNull);
}

#[test]
fn a_score_as_low_as_the_nulls_own_draws_is_at_null_although_all_seeds_agree() {
    // An F1 of 0 on every seed, where 1 to 3 of 100 random dictionaries find one of 20 features: the mean of
    // the null is a little more than 0 on each, and the interval over seeds does not hold 0.
    let nulls = [1e-3, 2e-3, 1.5e-3, 1e-3, 2e-3];
    let scored = |score: f64, seeds: usize, spread: Option<f64>| {
        let mut all = results("random", &vec![score; seeds]);
        for (r, null) in all.iter_mut().zip(nulls) {
            (r.null, r.null_spread) = (Some(null), spread);
        }
        only(all)
    };
    for seeds in [1, 5] {
        // Bernoulli: .1 times sqrt(.015 * .985).
        assert_eq!(scored(0.0, seeds, Some(0.0122)).status, Status::AtNull, "{seeds}");
        // The controls: a null whose draws lie near its mean, and one whose draws are not known.
        assert_eq!(scored(0.0, seeds, Some(1e-4)).status, Status::BelowNull, "{seeds}");
        assert_eq!(scored(0.0, seeds, None).status, Status::BelowNull, "{seeds}");
    }
    // Above the null nothing changes; and one specimen that equals its null is at it.
    assert_eq!(scored(0.9, 5, Some(0.0122)).status, Status::Ranked);
    assert_eq!(only(results("copy", &[0.2])).status, Status::AtNull);
}

#[test]
fn a_row_with_a_failed_seed_keeps_the_others_and_loses_its_rank() {
    let mut all = results("topk", &[0.8, 0.9, 0.85]);
    all[2] = all[2].clone().absent(Absent::Failed, "the loss is not finite\nhint: a smaller lr");
    all.extend(results("pca", &[0.3, 0.31, 0.32]));
    let board = Board::from_results(all);
    let row = |method: &str| board.rows.iter().find(|r| r.method == method).unwrap();
    let topk = row("topk");
    assert_eq!(
        (topk.status, topk.rank, topk.score),
        (Status::Failed, None, Some((0.8 + 0.9) / 2.0))
    );
    assert_eq!(topk.reason.as_deref(), Some("seed 2 of 3: the loss is not finite"));
    assert_eq!(row("pca").rank, Some(1));
    let text = board.to_text();
    assert!(
        text.contains("topk on tracr-hist, mcc: seed 2 of 3: the loss is not finite"),
        "{text}"
    );
    let none = only(edit(results("topk", &[0.8]), |r| *r = r.clone().absent(Absent::Failed, "x")));
    assert_eq!((none.status, none.score), (Status::Failed, None));
}

#[test]
fn the_id_of_a_row_is_short_alone_on_its_board_and_the_same_on_every_board() {
    let many: Vec<CellResult> = (0..3000).flat_map(|i| results(&format!("m{i}"), &[0.5])).collect();
    let board = Board::from_results(many);
    let ids: std::collections::BTreeSet<&str> = board.rows.iter().map(|r| &r.id[..]).collect();
    assert_eq!(ids.len(), 3000);
    // 3000 rows in 16^4 ids: some need a fifth digit, hardly one more than six.
    assert!(ids.iter().all(|id| (4..=7).contains(&id.len())));
    assert!(ids.iter().any(|id| id.len() == 4) && ids.iter().any(|id| id.len() > 4));
    let alone = only(results("m7", &[0.9, 0.8]));
    assert_eq!(alone.id.len(), 4);
    assert!(board.rows.iter().any(|r| r.method == "m7" && r.id.starts_with(&alone.id)));
}

#[test]
fn a_reverse_engineered_or_contested_truth_makes_a_claim() {
    let row = only(edit(results("topk", &[0.8, 0.9]), |r| r.source = Source::ReverseEngineered));
    assert_eq!((row.status, row.rank), (Status::Claim, None));
    let mut one_contested = results("topk", &[0.8, 0.9]);
    one_contested[1].standing = Standing::Contested;
    assert_eq!(only(one_contested).status, Status::Claim);
}

#[test]
fn an_audited_truth_ranks_unless_the_audit_is_the_methods_own() {
    let audited = edit(results("topk", &[0.8, 0.9]), |r| r.standing = Standing::Audited);
    assert_eq!(only(audited.clone()).status, Status::Ranked);
    let row = only(edit(audited, |r| r.circular = true));
    assert_eq!((row.status, row.rank), (Status::Circular, None));
}

#[test]
fn one_specimen_is_single_and_has_no_interval() {
    let row = only(results("topk", &[0.8]));
    assert_eq!((row.status, row.interval, row.rank), (Status::Single, None, None));
}

#[test]
fn without_an_oracle_methods_are_ranked_by_their_difference_to_the_null() {
    let without = |method, scores: &[f64], null| {
        edit(results(method, scores), |r| {
            r.oracle = None;
            r.oracle_kind = OracleKind::None;
            r.null = Some(null);
        })
    };
    let mut all = without("higher score", &[0.81, 0.82], 0.7);
    all.extend(without("larger lift", &[0.60, 0.62], 0.1));
    let board = Board::from_results(all);
    let rows: Vec<_> = board.rows.iter().map(|r| (r.method.as_str(), r.status, r.rank)).collect();
    assert_eq!(
        rows,
        [("larger lift", Status::NoTruth, Some(1)), ("higher score", Status::NoTruth, Some(2))]
    );
}

#[test]
fn a_method_above_the_exact_truth_by_more_than_the_interval_invalidates_its_whole_group() {
    let mut all = edit(results("too good", &[0.95, 0.96, 0.955]), |r| r.oracle = Some(0.9));
    all.extend(edit(results("honest", &[0.8, 0.81, 0.82]), |r| r.oracle = Some(0.9)));
    let other_tier = edit(results("other tier", &[0.8, 0.81, 0.82]), |r| r.tier = Tier::Open);
    all.extend(other_tier);
    let board = Board::from_results(all);
    let status = |method: &str| board.rows.iter().find(|r| r.method == method).unwrap().status;
    assert_eq!(status("too good"), Status::Invalid);
    assert_eq!(status("honest"), Status::Invalid);
    assert_eq!(status("other tier"), Status::Ranked);
    assert_eq!(
        board.faults,
        ["too good on tracr-hist, mcc: the exact truth scores 0.055 less than the method"]
    );
    assert!(
        board
            .rows
            .iter()
            .filter(|r| r.status == Status::Invalid)
            .all(|r| r.rank.is_none() && r.reason.is_some())
    );
}

#[test]
fn a_method_above_the_truth_within_the_interval_or_above_an_audited_one_is_no_fault() {
    let within = edit(results("lucky", &[0.85, 0.99, 0.93]), |r| r.oracle = Some(0.9));
    assert_eq!(only(within).status, Status::Ranked);
    let audited = edit(results("better", &[0.95, 0.96, 0.955]), |r| {
        r.oracle = Some(0.9);
        r.standing = Standing::Audited;
    });
    assert_eq!(only(audited).status, Status::Ranked);
    let equal = results("perfect", &[1.0, 1.0, 1.0]);
    assert_eq!(only(equal).status, Status::Ranked);
    // One seed has no interval: nothing can be excluded.
    let one = edit(results("one", &[0.95]), |r| r.oracle = Some(0.9));
    assert_eq!(only(one).status, Status::Single);
}

#[test]
fn a_null_that_misses_its_theoretical_value_invalidates_the_row() {
    let with_nulls = |nulls: [f64; 3], theory| {
        let mut all = results("topk", &[0.8, 0.9, 0.85]);
        for (result, null) in all.iter_mut().zip(nulls) {
            result.null = Some(null);
            result.null_theory = Some(theory);
        }
        only(all)
    };
    assert_eq!(with_nulls([0.49, 0.51, 0.505], NullTheory::Equals(0.5)).status, Status::Ranked);
    let off = with_nulls([0.60, 0.61, 0.605], NullTheory::Equals(0.5));
    assert_eq!(off.status, Status::Invalid);
    assert!(off.reason.unwrap().ends_with("and should be 0.500"));
    assert_eq!(with_nulls([-0.3, -0.31, -0.32], NullTheory::AtMost(0.0)).status, Status::Ranked);
    assert_eq!(with_nulls([0.30, 0.31, 0.32], NullTheory::AtMost(0.0)).status, Status::Invalid);
}

#[test]
fn rows_without_a_score_say_why() {
    let snapshot = |r: CellResult| r.absent(Absent::NotApplicable, "a dictionary has no wiring");
    let row = only(results("topk", &[0.8, 0.9]).into_iter().map(snapshot).collect());
    assert_eq!(
        (row.status, row.reason.as_deref()),
        (Status::NotApplicable, Some("a dictionary has no wiring"))
    );
    let few = |r: CellResult| r.absent(Absent::Untestable, "19 effective interventions");
    assert_eq!(
        only(results("topk", &[0.8]).into_iter().map(few).collect()).status,
        Status::Untestable
    );
}

#[test]
fn the_whole_model_is_the_ceiling_and_takes_no_rank_from_anyone() {
    let mut all = edit(results("network", &[1.0, 1.0]), |r| r.tier = Tier::Whole);
    all.extend(results("topk", &[0.8, 0.9]));
    let board = Board::from_results(all);
    let rows: Vec<_> = board.rows.iter().map(|r| (r.method.as_str(), r.status, r.rank)).collect();
    assert!(
        rows.contains(&("network", Status::Ceiling, None))
            && rows.contains(&("topk", Status::Ranked, Some(1)))
    );
}

#[test]
fn the_truth_and_the_controls_take_no_rank_and_a_control_that_holds_is_a_fault_of_the_board() {
    let role = |method, scores: &[f64], role| edit(results(method, scores), |r| r.role = role);
    let board = |control: &[f64]| {
        let mut all = role("the truth", &[1.0, 1.0], Role::Truth);
        all.extend(role("wrong on purpose", control, Role::Control));
        all.extend(results("topk", &[0.8, 0.9]));
        Board::from_results(all)
    };
    let fails = board(&[0.3, 0.4]);
    let mut rows: Vec<_> =
        fails.rows.iter().map(|r| (r.method.as_str(), r.status, r.rank)).collect();
    rows.sort();
    assert_eq!(
        rows,
        [
            ("the truth", Status::Truth, None),
            ("topk", Status::Ranked, Some(1)),
            ("wrong on purpose", Status::Control, None),
        ]
    );
    assert!(fails.faults.is_empty());
    assert_eq!(
        board(&[0.95, 0.97]).faults,
        ["wrong on purpose on tracr-hist is wrong on purpose and holds"]
    );
}

#[test]
fn a_control_that_fails_is_said_to_fail_as_it_must() {
    let control =
        edit(explanation("shuffled", [None, None, Some(0.1)], 2), |r| r.role = Role::Control);
    assert_eq!(verdict(control), "shuffled on tracr-hist: fails, as it must: wrong effect sizes");
}

#[test]
fn equal_scores_share_a_rank_and_the_next_rank_is_left_out() {
    let mut all = results("b", &[0.8, 0.9]);
    all.extend(results("a", &[0.8, 0.9]));
    all.extend(results("c", &[0.5, 0.51]));
    let ranks: Vec<_> =
        Board::from_results(all).rows.iter().map(|r| (r.method.clone(), r.rank.unwrap())).collect();
    assert_eq!(ranks, [("a".into(), 1), ("b".into(), 1), ("c".into(), 3)]);
}

#[test]
fn equal_results_give_equal_bytes_in_whatever_order_they_came() {
    let mut all = results("topk", &[0.8, 0.9, 0.7]);
    all.extend(results("pca", &[0.1, 0.2, 0.3]));
    // Two different results for one seed: the same one is refused, whichever came first.
    all.extend(results("topk", &[0.85]));
    let json = Board::from_results(all.clone()).to_json().unwrap();
    all.reverse();
    assert_eq!(Board::from_results(all.clone()).to_json().unwrap(), json);
    all.swap(0, 4);
    let board = Board::from_results(all);
    assert_eq!(board.to_json().unwrap(), json);
    assert_eq!(Board::from_json(&json).unwrap(), board);
    assert_eq!(board.refused, ["topk on tracr-hist/0: mcc: two different results for one seed"]);
}

/// The padded one comes first in the alphabet.
#[test]
fn of_equal_scores_the_one_with_fewer_bits_ranks_higher() {
    let of = |method: &str, once: f64| {
        edit(results(method, &[0.8, 0.9]), |r| {
            r.details.insert("bits".into(), serde_json::json!({"once": once, "per_token": 0.0}));
        })
    };
    let ranks = |all: Vec<CellResult>| -> Vec<(String, u32)> {
        let board = Board::from_results(all);
        board.rows.iter().map(|r| (r.method.clone(), r.rank.unwrap())).collect()
    };
    let named = |rows: &[(&str, u32)]| -> Vec<(String, u32)> {
        rows.iter().map(|(m, r)| ((*m).to_owned(), *r)).collect()
    };
    let both = [of("padded", 900.0), of("right", 400.0)].concat();
    assert_eq!(ranks(both), named(&[("right", 1), ("padded", 2)]));
    // Where one is charged nothing, or both the same, nothing breaks the tie.
    let free = [of("padded", 900.0), results("right", &[0.8, 0.9])].concat();
    assert_eq!(ranks(free), named(&[("padded", 1), ("right", 1)]));
    let alike = [of("a", 400.0), of("b", 400.0)].concat();
    assert_eq!(ranks(alike), named(&[("a", 1), ("b", 1)]));
}

#[test]
fn a_number_that_is_not_finite_is_refused_by_name() {
    let board = Board::from_results(results("topk", &[0.8, f64::NAN, 0.9]));
    assert_eq!(board.refused, ["topk on tracr-hist/1: mcc: a number is not finite"]);
    assert_eq!(board.rows[0].seeds.len(), 3);
    assert!((board.rows[0].score.unwrap() - 0.85).abs() < 1e-12);
}

#[test]
fn csv_has_one_line_a_row_and_quotes_what_needs_it() {
    let csv = Board::from_results(results("topk[k=2,init=\"data\"]", &[0.5, 0.53125])).to_csv();
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with("table,organism,method,metric,"));
    assert!(
        lines[1].starts_with(
            "parts,tracr-hist,\"topk[k=2,init=\"\"data\"\"]\",mcc,true,-,compiled,ranked,1,0.515625,"
        ),
        "{csv}"
    );
    assert!(lines[1].contains(",0;1,0.5;0.53125,0.2;0.2,1;1,"), "{csv}");
}

#[test]
fn ranks_by_construction_route_are_means_over_its_organisms() {
    let mut all = Vec::new();
    for (organism, source, flip) in [
        ("a", Source::Compiled, false),
        ("b", Source::Compiled, true),
        ("c", Source::Generated, false),
    ] {
        for (method, scores) in [("x", [0.8, 0.81]), ("y", [0.6, 0.61])] {
            let method = if flip { if method == "x" { "y" } else { "x" } } else { method };
            all.extend(edit(results(method, &scores), |r| {
                r.organism = organism.into();
                r.source = source;
            }));
        }
    }
    let route = |name: &str, route| (name.to_owned(), route);
    let made =
        [route("a", Route::Compiled), route("b", Route::Compiled), route("c", Route::Trained)];
    let board = Board::from_results(all.clone()).routed(&made.into());
    let routes: Vec<_> = board
        .routes
        .as_ref()
        .unwrap()
        .iter()
        .map(|r| (r.route, r.method.as_str(), r.mean_rank, r.organisms, r.seeds))
        .collect();
    assert_eq!(
        routes,
        [
            (Route::Compiled, "x", 1.5, 2, 4),
            (Route::Compiled, "y", 1.5, 2, 4),
            (Route::Trained, "x", 1.0, 1, 2),
            (Route::Trained, "y", 2.0, 1, 2),
        ]
    );
    let text = board.to_text();
    assert!(text.contains("mcc trained  x 1.000 (1, 2), y 2.000 (1, 2)"), "{text}");
    // One route alone is the board itself.
    let all_compiled = ["a", "b", "c"].map(|name| route(name, Route::Compiled));
    assert!(Board::from_results(all).routed(&all_compiled.into()).routes.is_none());
}

/// One explanation with a share of the way in each table.
fn explanation(method: &str, shares: [Option<f64>; 3], seeds: u64) -> Vec<CellResult> {
    let mut all = Vec::new();
    for (table, share) in Table::ALL.into_iter().zip(shares) {
        for seed in 0..seeds {
            let Some(share) = share else { continue };
            let metric = ["mcc", "edge-auroc", "effect-skill"][table as usize];
            let tier = if table == Table::Effects { Tier::Closed } else { Tier::None };
            all.push(
                CellResult::new(table, "tracr-hist", method, metric, seed, share)
                    .null(0.0)
                    .oracle(1.0, OracleKind::Truth)
                    .tier(tier)
                    .truth(Source::Compiled, Standing::Exact),
            );
        }
    }
    all
}

fn verdict(results: Vec<CellResult>) -> String {
    let verdicts = Board::from_results(results).verdicts();
    assert_eq!(verdicts.len(), 1);
    verdicts[0].text.clone()
}

#[test]
fn a_grade_is_a_stated_threshold() {
    let grades = [0.0, 0.24, 0.25, 0.59, 0.6, 0.89, 0.9, 1.0].map(Grade::of);
    use Grade::{Most, Right, Some, Wrong};
    assert_eq!(grades, [Wrong, Wrong, Some, Some, Most, Most, Right, Right]);
}

#[test]
fn a_verdict_says_what_is_right_and_blames_the_first_step_that_is_not() {
    assert_eq!(
        verdict(explanation("rasp", [Some(1.0), Some(0.95), Some(0.99)], 3)),
        "rasp on tracr-hist: holds on 3 of 3 seeds: right parts, right wiring, right effect sizes"
    );
    assert_eq!(
        verdict(explanation("fourier", [Some(0.97), None, Some(0.1)], 1)),
        "fourier on tracr-hist/0: right parts, wrong effect sizes; blame: describe"
    );
    assert_eq!(
        verdict(explanation("pca", [Some(0.3), Some(0.7), Some(0.5)], 2)),
        "pca on tracr-hist: some parts, most of the wiring, poor effect sizes; blame: decompose"
    );
    assert_eq!(
        verdict(explanation("topk", [Some(0.92), None, None], 2)),
        "topk on tracr-hist: right parts, a snapshot that predicts no effects"
    );
}

#[test]
fn the_blame_of_validation_goes_before_the_blame_of_thresholds() {
    let blamed = edit(explanation("fourier", [Some(0.3), None, Some(0.1)], 1), |r| {
        r.blame = (r.table == Table::Effects).then(|| "describe".to_owned());
    });
    assert!(verdict(blamed).ends_with("blame: describe"));
}

#[test]
fn a_verdict_on_a_claim_says_so_and_one_on_a_broken_control_does_not_judge() {
    let claim = edit(explanation("fourier", [None, None, Some(0.95)], 1), |r| {
        r.source = Source::ReverseEngineered
    });
    assert_eq!(
        verdict(claim),
        "fourier on tracr-hist/0: holds: right effect sizes (the truth is itself a claim)"
    );
    let uncontrolled = edit(explanation("rasp", [None, None, Some(0.95)], 2), |r| r.null = None);
    assert_eq!(verdict(uncontrolled), "rasp on tracr-hist: effects without a null, so not judged");
}

#[test]
fn the_text_fits_a_hundred_columns_and_its_points_stand_under_each_other() {
    let mut all = explanation("rasp", [Some(1.0), Some(0.95), Some(0.99)], 3);
    all.extend(explanation(
        "a-method-with-a-very-long-name[k=2,init=data]",
        [Some(0.4), None, Some(-0.31)],
        3,
    ));
    all.extend(edit(explanation("topk", [Some(0.9), None, None], 1), |r| {
        r.organism = "an-organism-with-a-long-name".into()
    }));
    let text = Board::from_results(all).to_text();
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
        assert_eq!(line, line.trim_end());
    }
    // The first point of each row of the effects stands under the last one's; nothing is cut off.
    let effects = text.split("Does it predict").nth(1).unwrap();
    let rows: Vec<&str> = effects.lines().filter(|l| l.contains(" ± ")).collect();
    let points: Vec<_> = rows.iter().map(|l| l.chars().position(|c| c == '.').unwrap()).collect();
    assert!(rows.len() == 2 && points[0] == points[1], "{points:?}");
    assert!(rows[0].ends_with("ranked, 1") && rows[1].ends_with("below null"), "{rows:?}");
}

#[test]
fn the_widest_row_there_can_be_is_not_cut_off() {
    let long = |results: Vec<CellResult>| {
        edit(results, |r| {
            r.organism = "an-organism-with-a-very-long-name".into();
            r.metric = "a-metric-with-a-very-long-name".into();
            r.unit = "bits a token".into();
            r.null = None;
        })
    };
    let text = Board::from_results(long(explanation(
        "a-method-with-a-very-long-name",
        [None, None, Some(-0.4)],
        3,
    )))
    .to_text();
    assert!(text.lines().any(|line| line.ends_with(" uncontrolled")), "{text}");
}

#[test]
fn a_board_of_nothing_is_three_empty_tables() {
    let board = Board::from_results(Vec::new());
    assert!(board.rows.is_empty() && board.verdicts().is_empty());
    assert_eq!(board.to_text().matches("nothing here").count(), 3);
}
