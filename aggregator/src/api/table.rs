//! Items as a table, for `kubectl get`.
//!
//! Source: `pkg/api/table.go`; apiserver
//! `pkg/endpoints/handlers/response.go: asTable`.

use seam::Timestamp;
use serde::Serialize;

use super::negotiate::MetaVersion;
use super::objects::{API_VERSION, Item, Partial, Typed};
use super::status::Empty;
use super::time::GoDuration;
use crate::quantity::{Cpu, Memory};

/// What stands beside each row: `?includeObject=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IncludeObject {
    Nothing,
    Metadata,
    Object,
}

impl IncludeObject {
    /// DIFFERENCE: other words count as `Metadata`; the original answers 422.
    pub(super) fn parse(word: Option<&str>) -> Self {
        match word {
            Some("None") => Self::Nothing,
            Some("Object") => Self::Object,
            _ => Self::Metadata,
        }
    }
}

#[derive(Serialize)]
struct Table<O> {
    kind: &'static str,
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    metadata: Empty,
    /// `null` in an empty table, as the rows.
    #[serde(rename = "columnDefinitions")]
    columns: Option<Vec<Column>>,
    rows: Option<Vec<Row<O>>>,
}

#[derive(Serialize)]
struct Column {
    name: &'static str,
    #[serde(rename = "type")]
    value_type: &'static str,
    format: &'static str,
    description: &'static str,
    priority: i32,
}

#[derive(Serialize)]
struct Row<O> {
    cells: Vec<String>,
    object: O,
}

#[derive(Serialize)]
#[serde(untagged)]
enum RowObject<'a, T> {
    Nothing,
    Metadata(Partial<'a>),
    Object(Typed<T>),
}

/// The table of `items`, one row each.
pub(super) fn table<I: Item>(
    items: &[I],
    version: MetaVersion,
    include: IncludeObject,
    request_time: Timestamp,
) -> impl Serialize {
    let cells = cells(items);
    let objects = items.iter().map(|item| match include {
        IncludeObject::Nothing => RowObject::Nothing,
        IncludeObject::Metadata => RowObject::Metadata(Partial {
            kind: "PartialObjectMetadata",
            api_version: version.api_version(),
            metadata: item.metadata(request_time),
        }),
        IncludeObject::Object => RowObject::Object(Typed {
            kind: I::KIND,
            api_version: API_VERSION,
            object: item.object(request_time),
        }),
    });
    let measured = cells.iter().any(|row| row.len() > 2);
    let rows: Vec<_> = cells
        .into_iter()
        .zip(objects)
        .map(|(cells, object)| Row { cells, object })
        .collect();
    Table {
        kind: "Table",
        api_version: version.api_version(),
        metadata: Empty {},
        columns: (!rows.is_empty()).then(|| columns(measured)),
        rows: (!rows.is_empty()).then_some(rows),
    }
}

/// The cells of every row. As in the original the first item that has any
/// usage decides the columns: rows before it have none for resources.
fn cells(items: &[impl Item]) -> Vec<Vec<String>> {
    let mut measured = false;
    let row = |item: &_| {
        let total = Item::total(item);
        measured |= total.is_some();
        let mut cells = vec![Item::name(item).to_owned()];
        if measured {
            let total = total.unwrap_or_default();
            cells.extend([Cpu(total.cpu).to_string(), Memory(total.memory).to_string()]);
        }
        cells.push(GoDuration(Item::window_ns(item)).to_string());
        cells
    };
    items.iter().map(row).collect()
}

fn columns(measured: bool) -> Vec<Column> {
    let column = |name, format, description| Column {
        name,
        value_type: "string",
        format,
        description,
        priority: 0,
    };
    let mut columns = vec![column("Name", "name", "Name of the resource")];
    if measured {
        columns.extend([
            column("cpu", "quantity", ""),
            column("memory", "quantity", ""),
        ]);
    }
    columns.push(column("Window", "duration", ""));
    columns
}
