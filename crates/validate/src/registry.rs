//! All metrics of the board, one line each.

use serde::Serialize;

/// What the registry says about a metric.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct MetricEntry {
    /// Its name on the board.
    pub name: &'static str,
    /// The table that it belongs to.
    pub table: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// What chance reaches.
    pub null: &'static str,
    /// What the truth reaches.
    pub oracle: &'static str,
}

/// Every metric, in the order of the docs.
pub const METRICS: &[MetricEntry] = &[
    MetricEntry {
        name: "mcc",
        table: "parts",
        summary: "mean |cosine| of features with the latents assigned to them one to one",
        null: "random dictionaries of the same size",
        oracle: "the true directions: 1",
    },
    MetricEntry {
        name: "f1",
        table: "parts",
        summary: "F1 of pairs with |cosine| above .95; never ranked alone",
        null: "random dictionaries of the same size",
        oracle: "the most that a dictionary of this size can reach",
    },
    MetricEntry {
        name: "classifier-f1",
        table: "parts",
        summary: "mean F1 of latents as classifiers of the features nearest to them; never ranked alone",
        null: "random dictionaries of the same size and encoder",
        oracle: "latents that are on when their features are: 1",
    },
    MetricEntry {
        name: "variance-explained",
        table: "parts",
        summary: "1 - sum |x - x^|^2 / sum |x - mean|^2; never ranked alone",
        null: "random dictionaries of the same size and encoder, best scale",
        oracle: "the identity: 1",
    },
    MetricEntry {
        name: "absorption",
        table: "parts",
        summary: "how much of a feature's latent goes away where a child of the feature fires; on cards alone",
        null: "pairs of features without kinship; random dictionaries of the same size and encoder",
        oracle: "latents that answer to one feature each: 0",
    },
    MetricEntry {
        name: "used",
        table: "parts",
        summary: "mean effect of exchanging what a read-out of the latents reads; never ranked alone",
        null: "random subspaces of the latents, of the same dimensions",
        oracle: "the true directions of the variables that are used",
    },
    MetricEntry {
        name: "geometry",
        table: "parts",
        summary: "correlation of the angles between the latents of values with those of their true shape",
        null: "the same latents under names that changed places, 200 draws",
        oracle: "the activations themselves",
    },
    MetricEntry {
        name: "belief",
        table: "parts",
        summary: "decades by which a linear read-out of the latents gives Bayes beliefs better than the history does",
        null: "the untrained network's activations at the same site",
        oracle: "the activations themselves",
    },
    MetricEntry {
        name: "edge-auroc",
        table: "wiring",
        summary: "area under the ROC of edge scores against the true edges, ties averaged",
        null: "random scores: .5",
        oracle: "the true edges: 1",
    },
    MetricEntry {
        name: "faithfulness",
        table: "wiring",
        summary: "share of the answer that the circuit alone carries, all else resampled",
        null: "random unions of paths, matched on edges per (layer, kind)",
        oracle: "the whole network: 1",
    },
    MetricEntry {
        name: "effect-skill",
        table: "effects",
        summary: "how far effects of held-out interventions are predicted, above the best trivial predictor",
        null: "the explanation with its parts reassigned at random, 200 draws",
        oracle: "the true program, or the whole network in the open tier",
    },
    MetricEntry {
        name: "twin-auroc",
        table: "twins",
        summary: "chance that specimens of two algorithms lie farther apart than two of one, by what was said of them",
        null: "specimens dealt to the two algorithms anew: .5",
        oracle: "the true programs",
    },
];
