//! How objects are written for a client: whole, their metadata, or as rows of
//! a table.

use std::sync::Arc;

use seam::WallClock;
use serde_json::{Value, json};

use super::negotiate::{Include, Representation};
use super::resources::ResourceType;
use super::table;
use crate::store::Stored;

/// Objects of one resource in the form that a client asked for.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) resource: &'static ResourceType,
    pub(crate) representation: Representation,
    /// By which ages are told.
    pub(crate) clock: Arc<dyn WallClock>,
}

const PARTIAL: &[u8] = br#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","#;

impl View {
    /// Appends an object that stands alone, or in a watch. A table names its
    /// columns if `with_columns` says so: in a watch only the first does.
    ///
    /// Source: apiserver `pkg/endpoints/handlers/{response,watch}.go`.
    pub(crate) fn write_object(&self, out: &mut Vec<u8>, stored: &Stored, with_columns: bool) {
        match self.representation {
            Representation::Whole => {
                let kind = self.resource.kind;
                let version = self.resource.api_version();
                out.extend_from_slice(
                    format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{version}\",").as_bytes(),
                );
                out.extend_from_slice(stored.body());
                out.push(b'}');
            }
            Representation::Metadata => write_partial(out, stored),
            Representation::Table { .. } => {
                let version = &stored.metadata()["resourceVersion"];
                self.open_table(out, &json!({"resourceVersion": version}), with_columns);
                self.write_item(out, stored);
                out.extend_from_slice(b"]}");
            }
        }
    }

    /// Appends an object as a list holds it: those of typed lists have no kind.
    pub(crate) fn write_item(&self, out: &mut Vec<u8>, stored: &Stored) {
        match self.representation {
            Representation::Whole => {
                out.push(b'{');
                out.extend_from_slice(stored.body());
                out.push(b'}');
            }
            Representation::Metadata => write_partial(out, stored),
            Representation::Table { include, .. } => self.write_row(out, stored, include),
        }
    }

    /// A list of items that [`View::write_item`] wrote, separated by commas.
    pub(crate) fn list(&self, metadata: &Value, items: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(items.len() + 1024);
        let (kind, version) = match self.representation {
            Representation::Table { .. } => {
                self.open_table(&mut out, metadata, true);
                out.extend_from_slice(items);
                out.extend_from_slice(b"]}\n");
                return out;
            }
            Representation::Whole => (
                format!("{}List", self.resource.kind),
                self.resource.api_version(),
            ),
            Representation::Metadata => (
                "PartialObjectMetadataList".to_owned(),
                "meta.k8s.io/v1".to_owned(),
            ),
        };
        out.extend_from_slice(
            format!(
                "{{\"kind\":\"{kind}\",\"apiVersion\":\"{version}\",\"metadata\":{metadata},\"items\":["
            )
            .as_bytes(),
        );
        out.extend_from_slice(items);
        out.extend_from_slice(b"]}\n");
        out
    }

    /// The object of a bookmark.
    pub(crate) fn bookmark(&self, metadata: &Value) -> Value {
        let (kind, version) = match self.representation {
            Representation::Whole => (self.resource.kind, self.resource.api_version()),
            Representation::Metadata => ("PartialObjectMetadata", "meta.k8s.io/v1".to_owned()),
            // DIFFERENCE: the real row of a bookmark shows an object without
            // a name; nobody prints it.
            Representation::Table { version, .. } => {
                return json!({
                    "kind": "Table",
                    "apiVersion": format!("meta.k8s.io/{version}"),
                    "metadata": metadata,
                    "columnDefinitions": [],
                    "rows": [],
                });
            }
        };
        json!({"kind": kind, "apiVersion": version, "metadata": metadata})
    }

    fn open_table(&self, out: &mut Vec<u8>, metadata: &Value, with_columns: bool) {
        let Representation::Table { version, .. } = self.representation else {
            return;
        };
        let columns = match with_columns {
            true => table::column_definitions(self.resource),
            false => Value::Null,
        };
        out.extend_from_slice(
            format!(
                "{{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/{version}\",\
                 \"metadata\":{metadata},\"columnDefinitions\":{columns},\"rows\":["
            )
            .as_bytes(),
        );
    }

    fn write_row(&self, out: &mut Vec<u8>, stored: &Stored, include: Include) {
        let cells = table::cells(self.resource, stored.value(), self.clock.now());
        out.extend_from_slice(b"{\"cells\":");
        serde_json::to_writer(&mut *out, &cells).expect("a JSON value always serialises");
        if let Some(conditions) = table::conditions(self.resource, stored.value()) {
            out.extend_from_slice(format!(",\"conditions\":{conditions}").as_bytes());
        }
        out.extend_from_slice(b",\"object\":");
        match include {
            Include::Nothing => out.extend_from_slice(b"null"),
            Include::Metadata => write_partial(out, stored),
            Include::Object => {
                let whole = Self {
                    representation: Representation::Whole,
                    ..self.clone()
                };
                whole.write_object(out, stored, false);
            }
        }
        out.push(b'}');
    }
}

fn write_partial(out: &mut Vec<u8>, stored: &Stored) {
    out.extend_from_slice(PARTIAL);
    out.extend_from_slice(stored.partial());
    out.push(b'}');
}
