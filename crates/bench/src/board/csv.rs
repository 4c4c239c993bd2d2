//! The rows as comma-separated values.

use super::Board;
use super::row::{Row, SeedScore};

const HEADER: &str = "table,organism,method,metric,primary,tier,source,status,rank,score,low,high,null,oracle,\
oracle_kind,above_null,seeds,scores,nulls,oracles,blame,reason,unit,id";

pub(super) fn rows(board: &Board) -> String {
    let mut text = format!("{HEADER}\r\n");
    for row in &board.rows {
        text.push_str(&fields(row).iter().map(|field| quote(field)).collect::<Vec<_>>().join(","));
        text.push_str("\r\n");
    }
    text
}

fn fields(row: &Row) -> Vec<String> {
    let of_seeds =
        |value: fn(&SeedScore) -> String| row.seeds.iter().map(value).collect::<Vec<_>>().join(";");
    vec![
        row.table.name().into(),
        row.organism.clone(),
        row.method.clone(),
        row.metric.clone(),
        row.primary.to_string(),
        row.tier.name().into(),
        row.source.name().into(),
        row.status.name().into(),
        row.rank.map(|r| r.to_string()).unwrap_or_default(),
        exact(row.score),
        exact(row.interval.map(|i| i[0])),
        exact(row.interval.map(|i| i[1])),
        exact(row.null),
        exact(row.oracle),
        row.oracle_kind.name().into(),
        exact(row.above_null.map(|d| d.mean)),
        of_seeds(|s| s.seed.to_string()),
        of_seeds(|s| exact(s.score)),
        of_seeds(|s| exact(s.null)),
        of_seeds(|s| exact(s.oracle)),
        row.blame.clone().unwrap_or_default(),
        row.reason.clone().unwrap_or_default(),
        row.unit.clone(),
        row.id.clone(),
    ]
}

/// The shortest text that reads back as the same bits.
pub(crate) fn exact(value: Option<f64>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}

/// RFC 4180, and a field that a spreadsheet would run as a formula becomes text.
pub(crate) fn quote(field: &str) -> String {
    let is_number =
        field.parse::<f64>().is_ok() || field.split(';').all(|f| f.parse::<f64>().is_ok());
    let formula = field.starts_with(['=', '+', '-', '@']) && !is_number && field != "-";
    let field = if formula { format!("'{field}") } else { field.to_owned() };
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field
    }
}
