//! What names a scenario and says how it is run.

use std::time::Duration;

use super::code::Code;
use super::decoder::{Decoder, Item, Object};
use super::diagnostic::Diagnostic;
use super::shape::{Key, Kind, Shape};

/// Runs longer than a week are a mistake.
pub(crate) const LONGEST_RUN: Duration = Duration::from_secs(7 * 24 * 3600);

pub(crate) static METADATA: Shape = Shape::new(
    "Metadata",
    "What the scenario is called and what it is about.",
    &[
        Key::required("name", Kind::ObjectName, "example", "Its name in reports."),
        Key::optional(
            "description",
            Kind::Text,
            "The third kubelet opens late.",
            "One sentence for people.",
        ),
        Key::optional(
            "tags",
            Kind::List(&Kind::Text),
            "[k3s, certificate]",
            "Words to choose scenarios by.",
        ),
        Key::optional(
            "links",
            Kind::List(&Kind::Form("an address", "^https?://.+")),
            "[\"https://github.com/k3s-io/k3s/issues/11902\"]",
            "Where the incident or the figures come from.",
        ),
    ],
);

/// What names the scenario and says how it is run.
pub(crate) struct Head {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) tags: Vec<String>,
    pub(crate) links: Vec<String>,
    pub(crate) seeds: Vec<u64>,
    pub(crate) epoch_unix_ns: i64,
}

/// Reads the keys at the head of a scenario.
pub(crate) fn head(decoder: &mut Decoder, object: &mut Object<'_>) -> Option<Head> {
    object.item("preset");
    // Read before, as it is a layer.
    object.item("manifest");
    let version = object.required(decoder, "apiVersion", |decoder, item| {
        decoder.word(item, &[("firstlight/v1", ())])
    });
    let kind = object.required(decoder, "kind", |decoder, item| {
        decoder.word(item, &[("Scenario", ())])
    });
    let seeds = object.required(decoder, "seeds", Decoder::seeds);
    let epoch_unix_ns = object.required(decoder, "epoch", Decoder::instant);
    let metadata = object.required(decoder, "metadata", |decoder, item| {
        let mut object = decoder.object(item, &METADATA)?;
        let name = object.required(decoder, "name", |decoder, item| {
            let name = decoder.text(item)?;
            decoder
                .object_name(name, item.span())
                .then(|| name.to_owned())
        });
        let owned = |decoder: &mut Decoder, item: Item<'_>| decoder.text(item).map(str::to_owned);
        let description = object.or(decoder, "description", String::new(), owned);
        let tags = object.or(decoder, "tags", Vec::new(), |decoder, item| {
            decoder.list(item, owned)
        });
        let links = object.or(decoder, "links", Vec::new(), |decoder, item| {
            decoder.list(item, link)
        });
        object.finish(decoder);
        Some((name?, description?, tags?, links?))
    });
    version?;
    kind?;
    let (name, description, tags, links) = metadata?;
    Some(Head {
        name,
        description: description.trim_end().to_owned(),
        tags,
        links,
        seeds: seeds?,
        epoch_unix_ns: epoch_unix_ns?,
    })
}

fn link(decoder: &mut Decoder, item: Item<'_>) -> Option<String> {
    let link = decoder.text(item)?;
    if link.starts_with("https://") || link.starts_with("http://") {
        return Some(link.to_owned());
    }
    decoder.note(Diagnostic::at(
        Code::BadValue,
        item.span(),
        format!("`{link}` is not a link"),
        "write a whole address, beginning with `https://`",
    ));
    None
}

/// Reads `until`.
pub(crate) fn until(decoder: &mut Decoder, item: Item<'_>) -> Option<Duration> {
    let until = decoder.duration(item)?;
    if (Duration::from_secs(1)..=LONGEST_RUN).contains(&until) {
        return Some(until);
    }
    decoder.note(Diagnostic::at(
        Code::BadNumber,
        item.span(),
        "a scenario lasts from one second to a week",
        "write how long to simulate, such as `until: 5m`",
    ));
    None
}
