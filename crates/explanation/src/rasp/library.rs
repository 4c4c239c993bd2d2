//! Programs that the field knows: Tracr's examples with the variable names of its compiled
//! networks, and induction.
//!
//! Where Tracr counts a selection, its attention also sees BOS and writes 1 / (1 + width), which
//! an MLP turns into the width; that number is a variable here too
//! (`*_selector_width_attn_output`), so that it can be set and exchanged. The width itself, which
//! no network holds, is the variable `*_selector_width` without an alignment.

use super::ast::{
    Binary, Combine, Expr, INDICES, Lambda, Predicate, Program, Select, TOKENS, Unary, Variable,
};
use crate::Value;

/// `name` as the number of keys selected, the way Tracr computes it: the width, 1 / (1 + width),
/// and back.
pub fn counting(name: &str, select: Select) -> [Variable; 3] {
    let (width, share) =
        (format!("{name}_selector_width"), format!("{name}_selector_width_attn_output"));
    let one = || Lambda::constant(1);
    let to_share = one().with(Binary::Div, Lambda::X.with(Binary::Add, one()));
    let to_width = one().with(Binary::Div, Lambda::X).then(Unary::Round).with(Binary::Sub, one());
    [
        Variable { name: width.clone(), expr: Expr::SelectorWidth { select } },
        Variable { name: share.clone(), expr: Expr::Map { f: to_share, x: width } },
        Variable { name: name.into(), expr: Expr::Map { f: to_width, x: share } },
    ]
}

fn counted(p: Program, name: &str, select: Select) -> Program {
    counting(name, select).into_iter().fold(p, |p, v| p.define(v.name, v.expr))
}

fn moved(select: Select, x: &str) -> Expr {
    Expr::Aggregate { select, x: x.into(), combine: Combine::Mixture, default: Value::None }
}

/// How often the token of each position occurs in the sequence: b a b -> 2 1 2.
pub fn hist() -> Program {
    counted(Program::new(true), "hist_12", Select::new(TOKENS, TOKENS, Predicate::Eq))
}

/// The sequence backwards: a b c -> c b a.
pub fn reverse() -> Program {
    let minus = || Lambda::X.with(Binary::Sub, Lambda::Y);
    let p = counted(Program::new(true), "length_5", Select::new(TOKENS, TOKENS, Predicate::True));
    p.define("opp_idx_4", Expr::SequenceMap { f: minus(), x: "length_5".into(), y: INDICES.into() })
        .define(
            "opp_idx-1_3",
            Expr::Map {
                f: Lambda::X.with(Binary::Sub, Lambda::constant(1)),
                x: "opp_idx_4".into(),
            },
        )
        .define("reverse_1", moved(Select::new(INDICES, "opp_idx-1_3", Predicate::Eq), TOKENS))
}

/// Distinct tokens in order: 3 1 2 -> 1 2 3. The vocabulary must have an order: integers, or
/// tokens in the order of strings. Where tokens repeat, the places that nobody moves to are none.
pub fn sort_unique() -> Program {
    let p =
        counted(Program::new(true), "target_pos_16", Select::new(TOKENS, TOKENS, Predicate::Lt));
    p.define("sort_14", moved(Select::new("target_pos_16", INDICES, Predicate::Eq), TOKENS))
}

/// The share of `token` among the tokens so far: for x, x w x -> 1, .5, .667.
pub fn frac_prevs(token: &Value) -> Program {
    let f = Lambda::X
        .with(Binary::Eq, Lambda::Const(token.clone()))
        .choose(Lambda::constant(1.0), Lambda::constant(0.0));
    Program::new(true).define("map_11", Expr::Map { f, x: TOKENS.into() }).define(
        "frac_prevs_9",
        Expr::Aggregate {
            select: Select::new(INDICES, INDICES, Predicate::Leq),
            x: "map_11".into(),
            combine: Combine::Mean,
            default: Value::Real(0.0),
        },
    )
}

/// What followed this token when it came before (Olsson et al. 2022): a b c a -> none, none,
/// none, b. `prev` is the token before each position, `out` the token at the places before whose
/// `prev` is this token; several such places with different tokens give a mixture.
pub fn induction(bos: bool) -> Program {
    let one_before = Lambda::X.with(Binary::Eq, Lambda::Y.with(Binary::Sub, Lambda::constant(1)));
    Program::new(bos)
        .define(
            "prev",
            moved(Select::new(INDICES, INDICES, Predicate::When(one_before)).causal(), TOKENS),
        )
        .define("out", moved(Select::new("prev", TOKENS, Predicate::Eq).causal(), TOKENS))
}

#[cfg(test)]
mod tests {
    use super::super::{Overrides, evaluate};
    use super::*;

    fn output(p: &Program, tokens: &[Value]) -> Vec<Value> {
        evaluate(p, tokens, &Overrides::none()).unwrap().output().to_vec()
    }

    fn words(s: &str) -> Vec<Value> {
        s.split_whitespace().map(Value::from).collect()
    }

    // Inputs and outputs of the next four are `example_in` and `example_out` of the fixtures
    // tracr/{hist,reverse,sort_unique,frac_prevs_x}.json, without BOS.

    #[test]
    fn hist_counts_a_b_a_c_as_tracr_does() {
        assert_eq!(output(&hist(), &words("a b a c")), [2, 1, 2, 1].map(Value::Int));
    }

    #[test]
    fn reverse_turns_a_b_c_d_around_as_tracr_does() {
        assert_eq!(output(&reverse(), &words("a b c d")), words("d c b a"));
    }

    #[test]
    fn sort_unique_orders_3_1_5_2_as_tracr_does() {
        let tokens = [3, 1, 5, 2].map(Value::Int);
        assert_eq!(output(&sort_unique(), &tokens), [1, 2, 3, 5].map(Value::Int));
    }

    #[test]
    fn frac_prevs_is_tracrs_to_f32() {
        let x = Value::token("x");
        let wanted = [1.0, 0.5, 0.6666666865348816, 0.5, 0.4000000059604645];
        for (got, wanted) in output(&frac_prevs(&x), &words("x w x y z")).iter().zip(wanted) {
            assert_eq!(got.number().unwrap() as f32, wanted as f32);
        }
    }

    #[test]
    fn a_width_of_w_is_written_as_one_over_one_plus_w() {
        let t = evaluate(&reverse(), &words("a b c"), &Overrides::none()).unwrap();
        let share = t.get("length_5_selector_width_attn_output").unwrap();
        assert_eq!(share[0], Value::Real(0.25));
        // Back to the width, also from the rounded numbers that a network holds.
        for w in 0..100i64 {
            let share = f64::from(1.0f32 / (1.0 + w as f32) * (1.0 + 1e-6));
            let set = Overrides::none().set("length_5_selector_width_attn_output", 0, share);
            let t = evaluate(&reverse(), &words("a"), &set).unwrap();
            assert_eq!(t.get("length_5").unwrap()[0], Value::Int(w));
        }
    }

    #[test]
    fn places_of_repeated_tokens_are_none_when_sorted() {
        let tokens = [2, 1, 2].map(Value::Int);
        let wanted = vec![Value::Int(1), Value::Int(2), Value::None];
        assert_eq!(output(&sort_unique(), &tokens), wanted);
    }

    #[test]
    fn induction_gives_what_followed_and_none_at_first_sight() {
        let none = || Value::None;
        let b = || Value::token("b");
        assert_eq!(output(&induction(false), &words("a b c a")), [none(), none(), none(), b()]);
        let mixed = output(&induction(false), &words("a b a c a"));
        assert_eq!(mixed[4], Value::Mixture(vec![(b(), 0.5), (Value::token("c"), 0.5)]));
    }
}
