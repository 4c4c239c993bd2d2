//! Latin squares: random ones, and which are a group's table under other labels.
//!
//! A random square is the end of a random walk over proper and improper squares (Jacobson and Matthews
//! 1996), whose stationary distribution is uniform over all Latin squares of an order. Whether a square
//! is a group's table with rows, columns and symbols relabelled is decided exactly: every loop that is
//! isotopic to a group is isomorphic to it (Albert 1943), so the loop that row 0 and column 0 name is
//! compared with the group.

use super::finite::Group;
use flyroom_tensor::random::Generator;

/// `[row][column]` is a symbol; each stands once in each row and column.
pub(super) type Square = Vec<Vec<usize>>;

/// The walk's state: lines by each two of (row, column, symbol). In an improper square one cell holds two
/// symbols and lacks a third; it is kept beside.
struct Walk {
    n: usize,
    /// How often the symbol stands in the cell, `[row][column][symbol]`: 0 or 1, and -1 once.
    cube: Vec<i8>,
}

impl Walk {
    fn at(&self, [r, c, s]: [usize; 3]) -> usize {
        (r * self.n + c) * self.n + s
    }

    /// Indices along an axis through a cell where the cube has +1.
    fn ones(&self, cell: [usize; 3], axis: usize) -> Vec<usize> {
        let along = |i: usize| {
            let mut there = cell;
            there[axis] = i;
            self.cube[self.at(there)] == 1
        };
        (0..self.n).filter(|&i| along(i)).collect()
    }

    /// One move; returns the cell that is -1 afterwards, if the square became improper.
    fn step(&mut self, from: Option<[usize; 3]>, random: &mut Generator) -> Option<[usize; 3]> {
        let n = self.n as u64;
        let cell = from.unwrap_or_else(|| {
            loop {
                let cell = [0; 3].map(|_: usize| random.below(n) as usize);
                if self.cube[self.at(cell)] == 0 {
                    break cell;
                }
            }
        });
        // The other corners of a 2 x 2 x 2 block; in an improper square each has two choices.
        let mut other = [0; 3];
        for (axis, o) in other.iter_mut().enumerate() {
            let ones = self.ones(cell, axis);
            *o = ones[random.below(ones.len() as u64) as usize];
        }
        let even = |corner: u32| corner.count_ones().is_multiple_of(2);
        for corner in 0..8u32 {
            let mut there = cell;
            for axis in (0..3).filter(|axis| corner >> axis & 1 == 1) {
                there[axis] = other[axis];
            }
            let i = self.at(there);
            self.cube[i] += if even(corner) { 1 } else { -1 };
        }
        (self.cube[self.at(other)] == -1).then_some(other)
    }
}

/// A random Latin square.
pub(super) fn random(n: usize, random: &mut Generator) -> Square {
    let mut walk = Walk { n, cube: vec![0; n * n * n] };
    for r in 0..n {
        for c in 0..n {
            let i = walk.at([r, c, (r + c) % n]);
            walk.cube[i] = 1;
        }
    }
    let mut improper = None;
    let mut left = n * n * n;
    while left > 0 || improper.is_some() {
        improper = walk.step(improper, random);
        left = left.saturating_sub(1);
    }
    let symbol = |r, c| walk.ones([r, c, 0], 2)[0];
    (0..n).map(|r| (0..n).map(|c| symbol(r, c)).collect()).collect()
}

/// What rows, columns and symbols are in a group.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Labels {
    pub rows: Vec<usize>,
    pub columns: Vec<usize>,
    pub symbols: Vec<usize>,
}

impl Labels {
    /// Everything is what it is called.
    pub fn natural(n: usize) -> Self {
        let all: Vec<usize> = (0..n).collect();
        Self { rows: all.clone(), columns: all.clone(), symbols: all }
    }

    /// Drawn at random.
    pub fn random(n: usize, random: &mut Generator) -> Self {
        let mut one = || random.permutation(n);
        Self { rows: one(), columns: one(), symbols: one() }
    }

    /// The square of a group whose rows, columns and symbols mean this.
    pub fn square(&self, group: &Group) -> Square {
        let mut name = vec![0; self.symbols.len()];
        self.symbols.iter().enumerate().for_each(|(s, &g)| name[g] = s);
        let cell = |&r: &usize, &c: &usize| name[group.table[r][c]];
        self.rows.iter().map(|r| self.columns.iter().map(|c| cell(r, c)).collect()).collect()
    }

    /// Labels under which a square is a group's table: rows[r] columns[c] = symbols[square[r][c]].
    pub fn of(square: &Square, group: &Group) -> Option<Self> {
        let n = group.order();
        if square.len() != n || (0..n).any(|r| square[r].len() != n) {
            return None;
        }
        // Symbols form a loop: square[r][0] times square[0][c] is square[r][c].
        let (mut row, mut column) = (vec![0; n], vec![0; n]);
        for i in 0..n {
            row[square[i][0]] = i;
            column[square[0][i]] = i;
        }
        let times = |x: usize, y: usize| square[row[x]][column[y]];
        let unit = square[0][0];
        let order_in = |x: usize| {
            let mut power = x;
            (1..=n).find(|_| {
                let done = power == unit;
                power = times(power, x);
                done
            })
        };
        let order_of = |g: usize| {
            let mut power = g;
            (1..=n).find(|_| {
                let done = power == 0;
                power = group.table[power][g];
                done
            })
        };
        let orders: Vec<Option<usize>> = (0..n).map(order_in).collect();
        let generators = generators(group);
        let candidates: Vec<Vec<usize>> = generators
            .iter()
            .map(|&g| (0..n).filter(|&x| orders[x] == order_of(g)).collect())
            .collect();
        let mut images = vec![];
        let found = search(&candidates, &mut images, &|images| {
            isomorphism(group, &generators, images, unit, &times)
        })?;
        // `found` maps elements to symbols.
        let mut symbols = vec![0; n];
        found.iter().enumerate().for_each(|(g, &s)| symbols[s] = g);
        let rows = (0..n).map(|r| symbols[square[r][0]]).collect();
        let columns = (0..n).map(|c| symbols[square[0][c]]).collect();
        Some(Self { rows, columns, symbols })
    }
}

/// Elements that generate a group, each as much as one can.
fn generators(group: &Group) -> Vec<usize> {
    let mut chosen: Vec<usize> = vec![];
    let mut size = 1;
    while size < group.order() {
        let with = |g: usize| [chosen.as_slice(), &[g]].concat();
        let grown = (1..group.order()).map(|g| (closure(group, &with(g)), g));
        let Some((most, g)) = grown.max_by_key(|&(k, g)| (k, usize::MAX - g)) else { break };
        (size, chosen) = (most, with(g));
    }
    chosen
}

/// Order of the subgroup that some elements generate.
fn closure(group: &Group, elements: &[usize]) -> usize {
    let mut inside = vec![false; group.order()];
    inside[0] = true;
    let mut front = vec![0];
    while let Some(x) = front.pop() {
        for &g in elements {
            let next = group.table[x][g];
            if !inside[next] {
                inside[next] = true;
                front.push(next);
            }
        }
    }
    inside.iter().filter(|x| **x).count()
}

/// The first choice of one candidate each that `accept` takes.
fn search(
    candidates: &[Vec<usize>],
    images: &mut Vec<usize>,
    accept: &dyn Fn(&[usize]) -> Option<Vec<usize>>,
) -> Option<Vec<usize>> {
    let Some(choices) = candidates.get(images.len()) else { return accept(images) };
    for &x in choices {
        images.push(x);
        let found = search(candidates, images, accept);
        images.pop();
        if found.is_some() {
            return found;
        }
    }
    None
}

/// The isomorphism of a group onto the loop that takes generators to images, if there is one.
fn isomorphism(
    group: &Group,
    generators: &[usize],
    images: &[usize],
    unit: usize,
    times: &dyn Fn(usize, usize) -> usize,
) -> Option<Vec<usize>> {
    let n = group.order();
    let mut map = vec![None; n];
    map[0] = Some(unit);
    let mut front = vec![0];
    while let Some(x) = front.pop() {
        for (&g, &y) in generators.iter().zip(images) {
            let (next, value) = (group.table[x][g], times(map[x]?, y));
            match map[next] {
                None => {
                    map[next] = Some(value);
                    front.push(next);
                }
                Some(there) if there != value => return None,
                Some(_) => {}
            }
        }
    }
    let map: Vec<usize> = map.into_iter().collect::<Option<_>>()?;
    let mut hit = vec![false; n];
    map.iter().for_each(|&s| hit[s] = true);
    let homomorphic =
        (0..n).all(|a| (0..n).all(|b| map[group.table[a][b]] == times(map[a], map[b])));
    (homomorphic && hit.iter().all(|h| *h)).then_some(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyroom_tensor::Stream;

    fn is_latin(square: &Square) -> bool {
        let n = square.len();
        let all = |line: Vec<usize>| {
            let mut seen = vec![false; n];
            line.into_iter().for_each(|s| seen[s] = true);
            seen.iter().all(|s| *s)
        };
        (0..n).all(|i| all(square[i].clone()) && all(square.iter().map(|r| r[i]).collect()))
    }

    #[test]
    fn random_squares_are_latin_and_no_group() {
        for (n, seed) in [(2, 0), (5, 1), (24, 0), (24, 1)] {
            let square = random(n, &mut Stream::new(seed, "test").block(0));
            assert!(is_latin(&square), "{n}");
            if n == 24 {
                for group in Group::of_order(n) {
                    assert_eq!(Labels::of(&square, &group), None, "{}", group.name);
                }
            }
        }
    }

    // There are 12 squares of order 3 (and 576 of order 4): all come, about as often.
    #[test]
    fn all_twelve_squares_of_order_three_come_alike() {
        let mut counts = std::collections::BTreeMap::new();
        for seed in 0..1200 {
            let square = random(3, &mut Stream::new(seed, "test").block(0));
            *counts.entry(square).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 12);
        // 100 each; five standard deviations.
        assert!(counts.values().all(|&c| (53..=147).contains(&c)), "{counts:?}");
    }

    #[test]
    fn relabelled_tables_are_recognised_and_those_of_other_groups_are_not() {
        for name in ["Z24", "D12", "S4", "A4", "A5"] {
            let group = Group::named(name).unwrap();
            let n = group.order();
            let hidden = Labels::random(n, &mut Stream::new(7, name).block(0));
            let square = hidden.square(&group);
            assert!(is_latin(&square));
            for other in Group::of_order(n) {
                let found = Labels::of(&square, &other);
                assert_eq!(found.is_some(), other.name == name, "{name} in {}", other.name);
                let Some(l) = found else { continue };
                for (r, line) in square.iter().enumerate() {
                    for (c, &s) in line.iter().enumerate() {
                        assert_eq!(group.table[l.rows[r]][l.columns[c]], l.symbols[s]);
                    }
                }
            }
        }
    }
}
