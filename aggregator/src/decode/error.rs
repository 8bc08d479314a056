//! Why a body was refused.

/// Why a body was refused. The text is what follows `failed parsing metrics: `
/// in the log; texts from the body are quoted as Go's `%q` does it.
///
/// Source: prometheus `model/textparse/promparse.go`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A token that cannot stand where it does.
    #[error("{expected}, got {got} ({token:?}) while parsing: {parsing}")]
    Unexpected {
        /// `expected value after metric`
        expected: &'static str,
        /// The token and the byte after it, quoted.
        got: String,
        /// The token's kind: `INVALID`, `TIMESTAMP`, …
        token: &'static str,
        /// The entry up to here, quoted.
        parsing: String,
    },
    /// A value or timestamp that is no number, or too large a number.
    #[error("{problem} while parsing: {parsing}")]
    Number {
        /// What is wrong with it.
        problem: NumberError,
        /// The entry up to here, quoted.
        parsing: String,
    },
    /// A `# TYPE` line with a type that the format does not have.
    #[error("invalid metric type {0}")]
    MetricType(String),
    /// A `# HELP` line that is not UTF-8.
    #[error("help text {0} is not a valid utf8 string")]
    HelpText(String),
    /// A label value that is not UTF-8.
    #[error("invalid UTF-8 label value: {0}")]
    LabelValue(String),
    /// `name{"name"}`: two metric names.
    #[error("metric name already set while parsing: {0}")]
    NameTwice(String),
    /// `{label="value"}`: no metric name.
    #[error("metric name not set while parsing: {0}")]
    NameMissing(String),
    /// A container's series whose labels do not name the container.
    ///
    /// DIFFERENCE: the original slices out of range here and the whole process
    /// dies of the panic, with exit code 2. Here it costs the node this tick,
    /// as every other malformed answer does.
    #[error("container series without the labels container, pod and namespace: {0}")]
    ContainerLabels(String),
}

/// Why a text is no number.
///
/// Source: Go `strconv.NumError`; prometheus `promparse.go: parseFloat`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// A hexadecimal float, or digits grouped with underscores.
    #[error("unsupported character in float")]
    UnsupportedCharacter,
    /// Not a number; the text is quoted.
    #[error("strconv.ParseFloat: parsing {0}: invalid syntax")]
    FloatSyntax(String),
    /// Beyond the largest finite float; the text is quoted.
    #[error("strconv.ParseFloat: parsing {0}: value out of range")]
    FloatRange(String),
    /// Beyond 2^63 − 1; the text is quoted.
    #[error("strconv.ParseInt: parsing {0}: value out of range")]
    IntegerRange(String),
}
