//! The truth of a network that adds by cosines: planes of both operands, and the sum of cosines
//! that reads them (Nanda et al. 2023).
//!
//! A [`Plane`] says where one operand at one frequency lies: along the rows of an orthonormal basis
//! residue x has the coordinates M (cos t, sin t) + centre, t = 2 pi frequency x / p. From planes
//! follow the variables that an exam may set and the parts of the program that is the oracle.

use crate::{ExamVariable, Truth};
use flyroom_explanation::{Body, Code, Cosines, Explanation, Part, Term};
use flyroom_network::Selector;
use flyroom_tensor::math::sin_cos_turns64;

/// One operand at one frequency.
#[derive(Debug, Clone)]
pub(crate) struct Plane {
    /// `a` or `b`.
    pub operand: &'static str,
    pub frequency: usize,
    /// Site and basis, without position.
    pub selector: Selector,
    /// Where in the input the operand stands, for networks that read tokens.
    pub pos: Option<usize>,
    /// M, two rows.
    pub map: [[f64; 2]; 2],
    pub centre: [f64; 2],
}

impl Plane {
    /// Coordinates of residue `x` modulo `p`.
    fn point(&self, x: usize, p: usize) -> Vec<f32> {
        let (sin, cos) = sin_cos_turns64((self.frequency * x % p) as f64 / p as f64);
        let at = |i: usize| self.map[i][0] * cos + self.map[i][1] * sin + self.centre[i];
        vec![at(0) as f32, at(1) as f32]
    }
}

/// `truth` with planes as variables and, if there are terms, their sum as its program.
pub(crate) fn with_cosines(
    p: usize,
    planes: &[Plane],
    terms: Option<Vec<Term>>,
    truth: Truth,
) -> Truth {
    let variables = planes
        .iter()
        .map(|plane| ExamVariable {
            name: format!("{}{}", plane.operand, plane.frequency),
            selector: plane.selector.clone(),
            positions: vec![plane.pos.unwrap_or(0)],
            values: (0..p).map(|x| plane.point(x, p)).collect(),
        })
        .collect();
    let explanation = terms.map(|terms| {
        let body = Body::Cosines(Cosines { modulus: p as u32, operands: [0, 1], terms });
        let parts = planes.iter().map(|plane| part(plane, p)).collect();
        let mut e = Explanation::new("a + b by cosines", parts, body);
        e.method = Some("truth".into());
        e
    });
    Truth { variables, explanation, ..truth }
}

fn part(plane: &Plane, p: usize) -> Part {
    let code = Code::Plane {
        modulus: p as u32,
        frequency: plane.frequency as u32,
        map: plane.map.map(|row| row.map(|x| x as f32)),
        offset: plane.centre.map(|x| x as f32),
    };
    let selector = match plane.pos {
        Some(pos) => plane.selector.clone().at_pos(pos),
        None => plane.selector.clone(),
    };
    Part::new(format!("{} at frequency {}", plane.operand, plane.frequency), selector, code)
}
