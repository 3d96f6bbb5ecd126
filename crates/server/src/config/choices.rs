//! Settings that are one of a few words.

use serde::{Deserialize, Serialize};

/// Where everything is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// In a data folder of this machine.
    #[default]
    Embedded,
    /// In DynamoDB, OpenSearch and S3, under keys of KMS.
    Aws,
}

/// Where clients up- and download the content of Binary resources in the profile aws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ContentDelivery {
    /// At S3, by its presigned URLs.
    S3,
    /// At the server, by URLs that it signs itself.
    Server,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Where records of accesses go besides the tenants' logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum AuditSink {
    /// Nowhere.
    None,
    /// To standard output, a line of JSON each.
    Stdout,
    /// The same to a file.
    File,
    /// To standard output, in the shape of CloudWatch's events.
    Cloudwatch,
}
