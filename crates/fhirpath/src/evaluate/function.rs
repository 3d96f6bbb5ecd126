//! The functions: names, numbers of arguments, and compiled patterns.

use std::ops::RangeInclusive;

use regex::{Regex, RegexBuilder};

macro_rules! functions {
    ($($variant:ident $name:literal $least:literal..=$most:literal,)*) => {
        /// A function other than `is`, `as` and `ofType`, whose argument is a type.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Function {
            $($variant,)*
        }

        impl Function {
            /// The function of this name and how many arguments it takes.
            pub fn parse(name: &str) -> Option<(Self, RangeInclusive<usize>)> {
                Some(match name {
                    $($name => (Self::$variant, $least..=$most),)*
                    _ => return None,
                })
            }

            /// The name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

functions! {
    Abs "abs" 0..=0,
    Aggregate "aggregate" 1..=2,
    All "all" 1..=1,
    AllFalse "allFalse" 0..=0,
    AllTrue "allTrue" 0..=0,
    AnyFalse "anyFalse" 0..=0,
    AnyTrue "anyTrue" 0..=0,
    Ceiling "ceiling" 0..=0,
    CheckModifiers "checkModifiers" 1..=64,
    Children "children" 0..=0,
    Combine "combine" 1..=1,
    Comparable "comparable" 1..=1,
    ConformsTo "conformsTo" 1..=1,
    Contains "contains" 1..=1,
    ConvertsToBoolean "convertsToBoolean" 0..=0,
    ConvertsToDate "convertsToDate" 0..=0,
    ConvertsToDateTime "convertsToDateTime" 0..=0,
    ConvertsToDecimal "convertsToDecimal" 0..=0,
    ConvertsToInteger "convertsToInteger" 0..=0,
    ConvertsToQuantity "convertsToQuantity" 0..=1,
    ConvertsToString "convertsToString" 0..=0,
    ConvertsToTime "convertsToTime" 0..=0,
    Count "count" 0..=0,
    Decode "decode" 1..=1,
    Descendants "descendants" 0..=0,
    Distinct "distinct" 0..=0,
    ElementDefinition "elementDefinition" 0..=0,
    Empty "empty" 0..=0,
    Encode "encode" 1..=1,
    EndsWith "endsWith" 1..=1,
    Escape "escape" 1..=1,
    Exclude "exclude" 1..=1,
    Exists "exists" 0..=1,
    Exp "exp" 0..=0,
    Extension "extension" 1..=1,
    First "first" 0..=0,
    Floor "floor" 0..=0,
    GetValue "getValue" 0..=0,
    HasValue "hasValue" 0..=0,
    HighBoundary "highBoundary" 0..=1,
    HtmlChecks "htmlChecks" 0..=0,
    Iif "iif" 2..=3,
    IndexOf "indexOf" 1..=1,
    Intersect "intersect" 1..=1,
    IsDistinct "isDistinct" 0..=0,
    Join "join" 0..=1,
    Last "last" 0..=0,
    LastIndexOf "lastIndexOf" 1..=1,
    Length "length" 0..=0,
    Ln "ln" 0..=0,
    Log "log" 1..=1,
    LowBoundary "lowBoundary" 0..=1,
    Lower "lower" 0..=0,
    Matches "matches" 1..=1,
    MatchesFull "matchesFull" 1..=1,
    MemberOf "memberOf" 1..=1,
    Not "not" 0..=0,
    Now "now" 0..=0,
    Power "power" 1..=1,
    Precision "precision" 0..=0,
    Repeat "repeat" 1..=1,
    Replace "replace" 2..=2,
    ReplaceMatches "replaceMatches" 2..=2,
    Resolve "resolve" 0..=0,
    Round "round" 0..=1,
    Select "select" 1..=1,
    Single "single" 0..=0,
    Skip "skip" 1..=1,
    Slice "slice" 2..=2,
    Sort "sort" 0..=16,
    Split "split" 1..=1,
    Sqrt "sqrt" 0..=0,
    StartsWith "startsWith" 1..=1,
    SubsetOf "subsetOf" 1..=1,
    Substring "substring" 1..=2,
    SubsumedBy "subsumedBy" 1..=1,
    Subsumes "subsumes" 1..=1,
    SupersetOf "supersetOf" 1..=1,
    Tail "tail" 0..=0,
    Take "take" 1..=1,
    TimeOfDay "timeOfDay" 0..=0,
    ToBoolean "toBoolean" 0..=0,
    ToChars "toChars" 0..=0,
    ToDate "toDate" 0..=0,
    ToDateTime "toDateTime" 0..=0,
    ToDecimal "toDecimal" 0..=0,
    ToInteger "toInteger" 0..=0,
    ToQuantity "toQuantity" 0..=1,
    ToString "toString" 0..=0,
    ToTime "toTime" 0..=0,
    Today "today" 0..=0,
    Trace "trace" 1..=2,
    Trim "trim" 0..=0,
    Truncate "truncate" 0..=0,
    Type "type" 0..=0,
    Unescape "unescape" 1..=1,
    Union "union" 1..=1,
    Upper "upper" 0..=0,
    Where "where" 1..=1,
}

/// A regular expression of `matches` or `matchesFull`.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    regex: Regex,
}

impl Pattern {
    const LENGTH_MAX: usize = 1024;
    const COMPILED_BYTES_MAX: usize = 1 << 20;

    /// A literal pattern of these two functions, compiled; `None` for any other function.
    pub fn compile(function: Function, pattern: &str) -> Option<Result<Self, regex::Error>> {
        matches!(function, Function::Matches | Function::MatchesFull).then(|| Self::new(pattern, function == Function::MatchesFull))
    }

    /// Compiles a pattern, with `.` for every character (FHIRPath's single line mode). Size and memory are limited.
    pub fn new(pattern: &str, full: bool) -> Result<Self, regex::Error> {
        if pattern.len() > Self::LENGTH_MAX {
            return Err(regex::Error::CompiledTooBig(Self::LENGTH_MAX));
        }
        let whole;
        let pattern = if full {
            whole = format!("^(?:{pattern})$");
            &whole
        } else {
            pattern
        };
        let regex = RegexBuilder::new(pattern)
            .dot_matches_new_line(true)
            .size_limit(Self::COMPILED_BYTES_MAX)
            .dfa_size_limit(Self::COMPILED_BYTES_MAX)
            .nest_limit(32)
            .build()?;
        Ok(Self { regex })
    }

    pub fn regex(&self) -> &Regex {
        &self.regex
    }
}
