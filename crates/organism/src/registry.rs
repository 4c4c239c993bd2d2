//! All organisms, one line each.

use crate::{Error, Organism};

/// Every organism that can be bred, in the order of the docs.
pub fn registry() -> &'static [&'static dyn Organism] {
    &[
        &crate::superposition::SUPERPOSITION_5_2,
        &crate::superposition::SUPERPOSITION_5_2_LINEAR,
        &crate::modadd_analytic::ANALYTIC,
        &crate::modadd_analytic::ANALYTIC_BALANCED,
        &crate::modular_addition::MODULAR_ADDITION_MINI,
        &crate::modular_addition::MODULAR_ADDITION,
        &crate::modular_addition::MODULAR_ADDITION_SHUFFLED,
        &crate::induction::INDUCTION,
        &crate::induction::INDUCTION_1_LAYER,
        &crate::induction_compiled::INDUCTION_COMPILED,
        &crate::induction_compiled::INDUCTION_COMPILED_ALIGNED,
        &crate::tracr::HIST,
        &crate::tracr::HIST_ALIGNED,
        &crate::tracr::REVERSE,
        &crate::tracr::REVERSE_ALIGNED,
        &crate::tracr::SORT_UNIQUE,
        &crate::tracr::SORT_UNIQUE_ALIGNED,
        &crate::tracr::FRAC_PREVS,
        &crate::tracr::FRAC_PREVS_ALIGNED,
        &crate::modular_addition::MODADD113,
        &crate::import::Induction26,
        &crate::modular_addition::CLOCK_PIZZA59,
        &crate::import::Routing12,
        &crate::import::Foreign,
        &crate::language_model::LanguageModel,
        &crate::nulls::UNTRAINED,
        &crate::nulls::SHUFFLED_LABELS,
    ]
}

/// The organism of a name.
pub fn find(name: &str) -> Result<&'static dyn Organism, Error> {
    registry().iter().copied().find(|o| o.entry().name == name).ok_or_else(|| Error::Unknown {
        name: name.into(),
        hint: nearest(name).map(|n| format!("; did you mean '{n}'?")).unwrap_or_default(),
    })
}

fn nearest(name: &str) -> Option<&'static str> {
    registry()
        .iter()
        .map(|o| o.entry().name)
        .map(|n| (strsim::damerau_levenshtein(n, name), n))
        .filter(|(d, n)| *d <= n.len() / 3 + 1)
        .min()
        .map(|(_, n)| n)
}
