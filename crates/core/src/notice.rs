//! Notices: what the log says, as types. Each is one row of a table, written with [`notices!`](crate::notices).
//!
//! A row has the level, the name of the event, the fields and the sentence. The enum, what the log writes in both formats and
//! docs/reference/log-events.md are made of it. Programs and tests look at the event and its fields, which are stable; the
//! sentence is for people, and may be changed.
//!
//! A field is plain data: a number, a text, an address, a name of this crate. One that is called `hints` is written as lines of
//! its own below the sentence.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::Value;

use crate::names::{Generation, InstanceName};
use crate::settings::LogLevel;
use crate::strategy::Strategy;

/// The fields of a notice, in the order in which they are written.
pub type Fields = Vec<(&'static str, Value)>;

/// Something that has happened, for the log. It is displayed as its sentence.
pub trait Notice: fmt::Display {
    /// All notices of this type.
    fn table() -> Vec<Row>
    where
        Self: Sized;

    /// What has happened: `generation.serving`.
    fn event(&self) -> &'static str;

    /// How urgent it is.
    fn level(&self) -> LogLevel;

    /// With what.
    fn fields(&self) -> Fields;
}

/// A notice, for the documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub event: &'static str,
    /// Its level; where it has one of two, the usual one first.
    pub levels: Vec<LogLevel>,
    /// Its fields, each with what it is.
    pub fields: Vec<String>,
    /// When it is written.
    pub when: &'static str,
    /// Since which version.
    pub since: &'static str,
}

/// A field of a notice.
pub trait Field {
    /// Adds its value to the others. What consists of several things becomes several fields.
    fn put(&self, name: &'static str, fields: &mut Fields);

    /// What [`Field::put`] adds, for the documentation.
    fn document(name: &str) -> Vec<String>;
}

/// A field that is one value.
pub trait Datum {
    /// What it is, for the documentation.
    fn kind() -> String;

    /// The value.
    fn json(&self) -> Value;
}

impl<T: Datum> Field for T {
    fn put(&self, name: &'static str, fields: &mut Fields) {
        fields.push((name, self.json()));
    }

    fn document(name: &str) -> Vec<String> {
        vec![format!("`{name}` ({})", T::kind())]
    }
}

/// Types that are one value: what it is called, and what `serde_json` knows it as.
macro_rules! data {
    ($($type:ty: $kind:literal as $value:expr),* $(,)?) => {
        $(impl $crate::notice::Datum for $type {
            fn kind() -> String {
                $kind.to_owned()
            }

            fn json(&self) -> serde_json::Value {
                let value: fn(&Self) -> _ = $value;
                value(self).into()
            }
        })*
    };
}

/// Types that consist of several fields.
macro_rules! parts {
    ($($type:ty as $whole:ident { $($part:ident: $is:ty = $value:expr),* $(,)? })*) => {
        $(impl $crate::notice::Field for $type {
            fn put(&self, _: &'static str, fields: &mut $crate::notice::Fields) {
                let $whole = self;
                $(let part: $is = $value;
                $crate::notice::Field::put(&part, stringify!($part), fields);)*
            }

            fn document(_: &str) -> Vec<String> {
                [$(<$is as $crate::notice::Field>::document(stringify!($part))),*].concat()
            }
        })*
    };
}

pub(crate) use {data, parts};

data! {
    bool: "true or false" as |is| *is,
    u16: "number" as |number| *number,
    u32: "number" as |number| *number,
    u64: "number" as |number| *number,
    usize: "number" as |number| *number,
    Duration: "seconds" as Duration::as_secs_f64,
    Generation: "number" as |generation| generation.number(),
    String: "text" as String::clone,
    Strategy: "text" as ToString::to_string,
    InstanceName: "text" as ToString::to_string,
    IpAddr: "text" as ToString::to_string,
    SocketAddr: "text" as ToString::to_string,
}

impl<T: Datum> Datum for Option<T> {
    fn kind() -> String {
        T::kind() + " or null"
    }

    fn json(&self) -> Value {
        self.as_ref().map_or(Value::Null, Datum::json)
    }
}

impl<T: Datum> Datum for Vec<T> {
    fn kind() -> String {
        format!("list of {}", T::kind())
    }

    fn json(&self) -> Value {
        self.iter().map(Datum::json).collect()
    }
}

/// An enum of notices.
///
/// ```text
/// notices! {
///     /// What is said about doors.
///     pub enum DoorNotice {
///         /// A door was opened.
///         Info or Warn if *wide, "door.opened" Opened { door: String, wide: bool } since "0.2.0"
///             => "door {door} is open{}", if *wide { ", wide" } else { "" };
///         use Lock(LockNotice);
///     }
/// }
/// ```
#[macro_export]
macro_rules! notices {
    ($(#[$meta:meta])* pub enum $name:ident {
        $($(#[doc = $when:literal])+
        $level:ident $(or $other:ident if $condition:expr,)? $event:literal
        $variant:ident $({ $($field:ident: $type:ty),+ $(,)? })? $(since $since:literal)?
            => $text:literal $(, $argument:expr)* ;)*
        $(use $part:ident($inner:ty);)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[doc = $when])+
            $variant $({ $(#[doc = concat!("The field `", stringify!($field), "`.")] $field: $type),+ })?,)*
            $(#[doc = concat!("One of those of [`", stringify!($inner), "`].")] $part($inner),)*
        }

        impl ::std::fmt::Display for $name {
            #[allow(unused_variables)]
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                match self {
                    $(Self::$variant { $($($field),+)? } => write!(f, $text $(, $argument)*),)*
                    $(Self::$part(inner) => inner.fmt(f),)*
                }
            }
        }

        impl $crate::notice::Notice for $name {
            fn table() -> Vec<$crate::notice::Row> {
                #[allow(unused_mut)]
                let mut table = vec![$($crate::notice::Row {
                    event: $event,
                    levels: vec![$crate::settings::LogLevel::$level, $($crate::settings::LogLevel::$other)?],
                    fields: <[Vec<String>]>::concat(&[
                        $($(<$type as $crate::notice::Field>::document(stringify!($field))),+)?
                    ]),
                    when: concat!($($when),+).trim_start(),
                    since: [$($since,)? "0.1.0"][0],
                }),*];
                $(table.extend(<$inner as $crate::notice::Notice>::table());)*
                table
            }

            fn event(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $event,)*
                    $(Self::$part(inner) => inner.event(),)*
                }
            }

            #[allow(unused_variables)]
            fn level(&self) -> $crate::settings::LogLevel {
                use $crate::settings::LogLevel::*;
                match self {
                    $(Self::$variant { $($($field),+)? } => {
                        $(if $condition { return $other; })?
                        $level
                    })*
                    $(Self::$part(inner) => inner.level(),)*
                }
            }

            fn fields(&self) -> $crate::notice::Fields {
                #[allow(unused_mut)]
                let mut fields = Vec::new();
                match self {
                    $(Self::$variant { $($($field),+)? } => {
                        $($($crate::notice::Field::put($field, stringify!($field), &mut fields);)+)?
                    })*
                    $(Self::$part(inner) => fields = inner.fields(),)*
                }
                fields
            }
        }
    };
}

#[cfg(test)]
mod tests;
