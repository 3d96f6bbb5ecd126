//! The primitive types (R4 datatypes.html#primitive).

use crate::json::Kind;

macro_rules! primitives {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $kind:ident;)*) => {
        /// A primitive type.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Primitive {
            $($(#[$doc])* $variant,)*
        }

        impl Primitive {
            /// The primitive of this name.
            pub fn parse(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What it is in JSON.
            pub fn json_kind(self) -> Kind {
                match self {
                    $(Self::$variant => Kind::$kind,)*
                }
            }
        }
    };
}

primitives! {
    /// Bytes in base64.
    Base64Binary = "base64Binary", String;
    /// `true` or `false`.
    Boolean = "boolean", Bool;
    /// A canonical URL, perhaps with `|version` and `#fragment`.
    Canonical = "canonical", String;
    /// A code.
    Code = "code", String;
    /// A year, month or day.
    Date = "date", String;
    /// A date or a time of a day with its offset.
    DateTime = "dateTime", String;
    /// A decimal whose precision counts.
    Decimal = "decimal", Number;
    /// A logical id.
    Id = "id", String;
    /// A point in time, to the second at least, with its offset.
    Instant = "instant", String;
    /// A signed integer of 32 bits.
    Integer = "integer", Number;
    /// Text in Markdown.
    Markdown = "markdown", String;
    /// An OID as a URN.
    Oid = "oid", String;
    /// An integer of 1 or more.
    PositiveInt = "positiveInt", Number;
    /// Text.
    String = "string", String;
    /// A time of day.
    Time = "time", String;
    /// An integer of 0 or more.
    UnsignedInt = "unsignedInt", Number;
    /// A URI.
    Uri = "uri", String;
    /// A URL.
    Url = "url", String;
    /// A UUID as a URN.
    Uuid = "uuid", String;
    /// The narrative's XHTML.
    Xhtml = "xhtml", String;
}
