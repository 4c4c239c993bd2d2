//! Statistics against scipy 1.17.1 and scikit-learn: every number below is printed by
//! benchmarks/oracles/statistics.py.

use std::collections::BTreeSet;

use flyroom_bench::statistics::*;

#[track_caller]
fn close(ours: f64, theirs: f64, relative: f64) {
    assert!(
        (ours - theirs).abs() <= relative * theirs.abs().max(1e-300),
        "{ours:?} and not {theirs:?}"
    );
}

#[test]
fn the_normal_distribution_is_scipys_to_twelve_digits_also_in_the_tails() {
    let x = [-8.0, -4.5, -3.9, -1.96, -0.1, 0.0, 0.7, 2.5, 5.0];
    let p = [
        6.22096057427174e-16,
        3.3976731247300535e-06,
        4.8096344017602614e-05,
        0.024997895148220435,
        0.460172162722971,
        0.5,
        0.758036347776927,
        0.9937903346742238,
        0.9999997133484281,
    ];
    for (x, p) in x.into_iter().zip(p) {
        close(normal_cdf(x), p, 1e-11);
    }
    let p = [1e-12, 1e-4, 0.025, 0.31, 0.9, 0.975, 0.9999];
    let z = [
        -7.034483825301131,
        -3.7190164854556804,
        -1.9599639845400545,
        -0.4958503473474533,
        1.2815515655446004,
        1.959963984540054,
        3.719016485455709,
    ];
    for (p, z) in p.into_iter().zip(z) {
        close(normal_quantile(p), z, 1e-12);
    }
    assert_eq!(normal_quantile(0.5), 0.0);
    assert_eq!(normal_quantile(0.0), f64::NEG_INFINITY);
    assert!(normal_quantile(1.5).is_nan());
}

#[test]
fn students_t_is_scipys_to_twelve_digits_for_odd_and_even_degrees_of_freedom() {
    let oracle = [
        (1, 0.8307469726696672, 12.706204736174694),
        (2, 0.8843832868992144, 4.302652729749462),
        (3, 0.906154679223295, 3.1824463052837078),
        (6, 0.9299801726875513, 2.4469118511449786),
        (7, 0.9335355516087224, 2.364624251592784),
        (30, 0.9502610622057416, 2.0422724563012378),
        (101, 0.9538957173136048, 1.983731002955606),
    ];
    for (df, cdf, quantile) in oracle {
        close(t_cdf(1.7, df), cdf, 1e-13);
        close(t_cdf(-1.7, df), 1.0 - cdf, 1e-12);
        close(t_quantile(0.975, df), quantile, 1e-12);
        close(t_quantile(0.025, df), -quantile, 1e-12);
    }
    close(t_quantile(0.9995, 4), 8.610301581379522, 1e-11);
}

#[test]
fn a_mean_of_five_seeds_has_a_t_interval_and_of_eight_a_bootstrap() {
    let five = [0.91, 0.88, 0.95, 0.79, 0.93];
    let [low, high] = mean_interval(&five, 0.95).unwrap();
    close(low, 0.8142595370544619, 1e-12);
    close(high, 0.9697404629455382, 1e-12);
    assert_eq!(mean_interval(&[0.5], 0.95), None);
    assert_eq!(mean_interval(&[], 0.95), None);
    assert_eq!(mean_interval(&[0.1; 5], 0.95), Some([0.1, 0.1]));
    let eight = [0.61, 0.72, 0.77, 0.80, 0.83, 0.85, 0.88, 0.90];
    assert_eq!(mean_interval(&eight, 0.95), bca_interval(&eight, 0.95));
    assert_eq!(mean_interval(&[0.1; 9], 0.95), Some([0.1, 0.1]));
}

#[test]
fn wilsons_interval_is_scipys() {
    let oracle = [
        (0, 10, 0.0, 0.27753279986288926),
        (3, 10, 0.10779126740630102, 0.6032218525388546),
        (10, 10, 0.7224672001371109, 1.0),
        (489, 1000, 0.4581191521232714, 0.5199650365634109),
    ];
    for (successes, trials, low, high) in oracle {
        let interval = wilson(successes, trials, 0.95).unwrap();
        close(interval[0], low, 1e-12);
        close(interval[1], high, 1e-12);
    }
    assert_eq!(wilson(0, 0, 0.95), None);
    assert_eq!(wilson(3, 2, 0.95), None);
}

#[test]
fn bca_on_all_resamples_of_a_skewed_sample_is_scipys() {
    let skewed = [0.1, 0.15, 0.2, 0.4, 0.9];
    let mut means = Vec::new();
    for code in 0..5usize.pow(5) {
        let draw = |place: u32| skewed[code / 5usize.pow(place) % 5];
        means.push((draw(4) + draw(3) + draw(2) + draw(1) + draw(0)) / 5.0);
    }
    let leave_out = |i: usize| (0..5).filter(|j| *j != i).map(|j| skewed[j]).sum::<f64>() / 4.0;
    let jackknife: Vec<f64> = (0..5).map(leave_out).collect();
    let [low, high] = bca_from(&means, 0.35, &jackknife, 0.95).unwrap();
    close(low, 0.16999999999999998, 1e-9);
    close(high, 0.7441428307767864, 1e-9);
}

#[test]
fn bca_on_drawn_resamples_lies_within_the_spread_of_scipys_runs() {
    let ten = [0.61, 0.72, 0.77, 0.80, 0.83, 0.85, 0.88, 0.90, 0.93, 0.95];
    let [low, high] = bca_interval(&ten, 0.95).unwrap();
    // Mean of 50 scipy runs, 4 of their standard deviations (.0011 and .0008).
    assert!((low - 0.7508647506553828).abs() < 4.0 * 0.00111, "{low}");
    assert!((high - 0.875497360075231).abs() < 4.0 * 0.00083, "{high}");
}

#[test]
fn a_bootstrap_interval_does_not_depend_on_the_order_of_the_seeds() {
    let ten = [0.61, 0.72, 0.77, 0.80, 0.83, 0.85, 0.88, 0.90, 0.93, 0.95];
    let mut reversed = ten;
    reversed.reverse();
    let (a, b) = (bca_interval(&ten, 0.95).unwrap(), bca_interval(&reversed, 0.95).unwrap());
    close(a[0], b[0], 1e-12);
    close(a[1], b[1], 1e-12);
}

#[test]
fn a_paired_difference_sees_what_two_separate_intervals_cannot() {
    // Seeds differ by far more than the methods do; every pair says the same.
    let a = [0.50, 0.70, 0.90, 0.30];
    let b = [0.48, 0.67, 0.88, 0.29];
    let difference = paired_difference(&a, &b, 0.95).unwrap();
    assert!(difference.above(0.0) && !difference.below(0.0));
    let (of_a, of_b) = (mean_interval(&a, 0.95).unwrap(), mean_interval(&b, 0.95).unwrap());
    assert!(of_a[0] < of_b[1], "the separate intervals overlap");
    assert!(
        !paired_difference(&a[..1], &b[..1], 0.95).unwrap().above(0.0),
        "one pair decides nothing"
    );
    assert_eq!(paired_difference(&a, &b[..3], 0.95), None);
}

#[test]
fn permutation_tests_are_scipys_exact_ones() {
    let d = [0.12, -0.03, 0.2, 0.07, 0.01, 0.15, -0.08];
    assert_eq!(permutation_paired(&d), Some(0.171875));
    let (a, b) = ([0.1, 0.4, 0.35, 0.8], [0.5, 0.9, 0.75, 0.6, 0.95]);
    close(permutation_independent(&a, &b).unwrap(), 0.07936507936507936, 1e-15);
    assert_eq!(permutation_paired(&[]), None);
    assert_eq!(permutation_independent(&a, &[]), None);
}

#[test]
fn permutation_tests_of_large_samples_draw_and_never_return_zero() {
    let shifted: Vec<f64> = (0..40).map(|i| 1.0 + 0.01 * f64::from(i)).collect();
    assert_eq!(permutation_paired(&shifted), Some(1.0 / 10_001.0));
    let low: Vec<f64> = shifted.iter().map(|x| x - 5.0).collect();
    assert_eq!(permutation_independent(&shifted, &low), Some(1.0 / 10_001.0));
    let same = permutation_independent(&shifted, &shifted).unwrap();
    assert_eq!(same, 1.0);
}

#[test]
fn adjusted_p_values_are_those_of_the_definitions() {
    let p = [0.01, 0.02, 0.03, 0.005, 0.2, 0.9];
    // scipy.stats.false_discovery_control
    for (ours, theirs) in
        benjamini_hochberg(&p).into_iter().zip([0.03, 0.04, 0.045, 0.03, 0.24, 0.9])
    {
        close(ours, theirs, 1e-12);
    }
    // By hand: sorted .005 .01 .02 .03 .2 .9 times 6 5 4 3 2 1, then the running maximum.
    for (ours, by_hand) in holm(&p).into_iter().zip([0.05, 0.08, 0.09, 0.03, 0.4, 0.9]) {
        close(ours, by_hand, 1e-12);
    }
    assert!(holm(&[]).is_empty() && benjamini_hochberg(&[]).is_empty());
}

#[test]
fn rank_correlations_with_ties_are_scipys() {
    let x = [1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 4.0, 5.0];
    let y = [2.0, 1.0, 3.0, 3.0, 5.0, 4.0, 4.0, 4.0];
    close(kendall_tau_b(&x, &y).unwrap(), 0.7083333333333335, 1e-14);
    close(spearman(&x, &y).unwrap(), 0.8417721518987343, 1e-14);
    assert_eq!(kendall_tau_b(&x, &[1.0; 8]), None);
    assert_eq!(spearman(&x, &[1.0; 8]), None);
    assert_eq!(kendall_tau_b(&x, &y[..3]), None);
    assert_eq!(kendall_tau_b(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), Some(-1.0));
}

#[test]
fn auroc_with_ties_is_scikit_learns() {
    let score = [0.9, 0.8, 0.8, 0.7, 0.55, 0.5, 0.5, 0.5, 0.3, 0.1];
    let label = [1, 1, 0, 1, 0, 1, 0, 0, 1, 0].map(|l| l == 1);
    close(auroc(&score, &label).unwrap(), 0.66, 1e-15);
    assert_eq!(auroc(&[0.3; 4], &[true, false, true, false]), Some(0.5));
    assert_eq!(auroc(&score, &[true; 10]), None);
    assert_eq!(auroc(&[f64::NAN, 1.0], &[true, false]), None);
}

#[test]
fn quantiles_are_numpys() {
    let values = [3.0, 1.0, 4.0, 1.5, 9.0, 2.6];
    for (q, expected) in [(0.0, 1.0), (0.1, 1.25), (0.5, 2.8), (0.77, 3.85), (1.0, 9.0)] {
        close(quantile(&values, q).unwrap(), expected, 1e-14);
    }
    assert_eq!(median(&values), quantile(&values, 0.5));
    assert_eq!(quantile(&[], 0.5), None);
}

#[test]
fn a_set_that_every_sample_finds_is_stable_and_one_that_depends_on_the_sample_is_not() {
    let set = |items: &[usize]| items.iter().copied().collect::<BTreeSet<usize>>();
    assert_eq!(jaccard(&set(&[1, 2, 3]), &set(&[2, 3, 4])), 0.5);
    assert_eq!(jaccard(&set(&[]), &set(&[])), 1.0);
    assert_eq!(bootstrap_jaccard(50, 20, 0, |_| set(&[1, 2])), Some(1.0));
    let unstable = bootstrap_jaccard(50, 20, 0, |sample| set(&sample[..3])).unwrap();
    assert!(unstable < 0.2, "{unstable}");
}
