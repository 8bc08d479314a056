//! An object and its serialised forms, each made at most once.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use serde_json::Value;

/// An object as it is stored.
#[derive(Debug)]
pub(crate) struct Stored {
    form: Form,
    body: OnceCell<Bytes>,
    partial: OnceCell<Bytes>,
}

/// What becomes an object when somebody looks at more than its metadata.
pub trait Sketch {
    /// The object with this `metadata`.
    fn complete(&self, metadata: Value) -> Value;

    /// The text of a field outside the metadata, if it is known without the
    /// object. For lists that select by fields.
    fn field(&self, path: &[&str]) -> Option<&str>;
}

enum Form {
    Whole(Rc<Value>),
    Sketch {
        metadata: Value,
        sketch: Box<dyn Sketch>,
        whole: OnceCell<Rc<Value>>,
    },
}

impl Stored {
    pub(crate) fn new(object: Value) -> Self {
        Self::of(Form::Whole(Rc::new(object)))
    }

    pub(super) fn sketched(metadata: Value, sketch: Box<dyn Sketch>) -> Self {
        Self::of(Form::Sketch {
            metadata,
            sketch,
            whole: OnceCell::new(),
        })
    }

    fn of(form: Form) -> Self {
        Self {
            form,
            body: OnceCell::new(),
            partial: OnceCell::new(),
        }
    }

    pub(crate) fn object(&self) -> Rc<Value> {
        Rc::clone(self.whole())
    }

    pub(crate) fn value(&self) -> &Value {
        self.whole()
    }

    fn whole(&self) -> &Rc<Value> {
        match &self.form {
            Form::Whole(object) => object,
            Form::Sketch {
                metadata,
                sketch,
                whole,
            } => whole.get_or_init(|| Rc::new(sketch.complete(metadata.clone()))),
        }
    }

    /// A field by its path.
    pub(crate) fn field(&self, path: &[&str]) -> Option<Cow<'_, Value>> {
        if let Form::Sketch { sketch, .. } = &self.form
            && let Some(text) = sketch.field(path)
        {
            return Some(Cow::Owned(Value::from(text)));
        }
        let (value, path) = match path {
            ["metadata", rest @ ..] => (self.metadata(), rest),
            path => (self.value(), path),
        };
        let found = path.iter().try_fold(value, |value, name| value.get(name));
        found.map(Cow::Borrowed)
    }

    /// The object's `metadata`.
    pub(crate) fn metadata(&self) -> &Value {
        match &self.form {
            Form::Whole(object) => &object["metadata"],
            Form::Sketch { metadata, .. } => metadata,
        }
    }

    /// The object's members except `kind` and `apiVersion`, as JSON without
    /// the braces: an item of a typed list has no kind, a single object has.
    pub(crate) fn body(&self) -> &Bytes {
        self.body.get_or_init(|| {
            let members = self.value().as_object().into_iter().flatten();
            write(members.filter(|(name, _)| *name != "kind" && *name != "apiVersion"))
        })
    }

    /// The object's `metadata` member alone, in the same form.
    pub(crate) fn partial(&self) -> &Bytes {
        let name = "metadata".to_owned();
        self.partial
            .get_or_init(|| write([(&name, self.metadata())].into_iter()))
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(object) => f.debug_tuple("Whole").field(object).finish(),
            Self::Sketch { metadata, .. } => f
                .debug_struct("Sketch")
                .field("metadata", metadata)
                .finish_non_exhaustive(),
        }
    }
}

fn write<'a>(members: impl Iterator<Item = (&'a String, &'a Value)>) -> Bytes {
    let mut out = Vec::with_capacity(512);
    for (name, value) in members {
        if !out.is_empty() {
            out.push(b',');
        }
        serde_json::to_writer(&mut out, name).expect("a string always serialises");
        out.push(b':');
        serde_json::to_writer(&mut out, value).expect("a JSON value always serialises");
    }
    out.into()
}
