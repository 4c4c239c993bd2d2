//! All organisms, one line each.

use crate::names::named;
use crate::{Error, Organism};

/// Every organism that can be bred, in the order of the docs.
pub fn registry() -> &'static [&'static dyn Organism] {
    &[
        &crate::superposition::SUPERPOSITION_5_2,
        &crate::superposition::SUPERPOSITION_5_2_LINEAR,
        &crate::superposition::SUPERPOSITION_40_10,
        &crate::superposition::SUPERPOSITION_IDENTITY,
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
        &crate::traps::DECOY,
        &crate::traps::DECOY_ALIGNED,
        &crate::traps::SATURATED_GATE,
        &crate::traps::SATURATED_GATE_ALIGNED,
        &crate::traps::CANCELLING_PATHS,
        &crate::traps::CANCELLING_PATHS_ALIGNED,
        &crate::traps::SPARE_HEADS,
        &crate::traps::SPARE_HEADS_ALIGNED,
        &crate::rasp::REVERSE,
        &crate::rasp::REVERSE_ALIGNED,
        &crate::rasp::HISTOGRAM,
        &crate::rasp::HISTOGRAM_ALIGNED,
        &crate::rasp::SORT,
        &crate::rasp::SORT_ALIGNED,
        &crate::rasp::SORT_UNIQUE,
        &crate::rasp::SORT_UNIQUE_ALIGNED,
        &crate::rasp::FRACTION_PREVIOUS,
        &crate::rasp::FRACTION_PREVIOUS_ALIGNED,
        &crate::rasp::MOST_FREQUENT,
        &crate::rasp::MOST_FREQUENT_ALIGNED,
        &crate::rasp::MAX,
        &crate::rasp::MAX_ALIGNED,
        &crate::rasp::PAIR_BALANCE,
        &crate::rasp::PAIR_BALANCE_ALIGNED,
        &crate::rasp::SHUFFLE_DYCK,
        &crate::rasp::SHUFFLE_DYCK_ALIGNED,
        &crate::rasp::LENGTH,
        &crate::rasp::LENGTH_ALIGNED,
        &crate::rasp::OWN,
        &crate::rasp::OWN_ALIGNED,
        &crate::modular_addition::MODADD113,
        &crate::import::Induction26,
        &crate::modular_addition::CLOCK_PIZZA59,
        &crate::import::Routing12,
        &crate::import::Foreign,
        &crate::language_model::LanguageModel,
        &crate::gauge_twin::GaugeTwin,
        &crate::nulls::UNTRAINED,
        &crate::nulls::SHUFFLED_LABELS,
        &crate::nulls::NORM_MATCHED,
        &crate::nulls::CONSTANT,
    ]
}

/// The organism of a name.
pub fn find(name: &str) -> Result<&'static dyn Organism, Error> {
    named(registry(), |o| o.entry().name, name)
        .map_err(|hint| Error::Unknown { name: name.into(), hint })
}
