//! Fields are added, never changed and never taken away: compared with every release that was.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use crate::each_release;

/// One line for each field: message, number, kind, name; and for each value of an enumeration.
pub(crate) fn schema() -> String {
    let set = FileDescriptorSet::decode(skein_proto::DESCRIPTORS).expect("it was compiled");
    let mut lines = BTreeSet::new();
    for file in &set.file {
        let package = file.package();
        if !package.starts_with("skein.") {
            continue;
        }
        for message in &file.message_type {
            fields(&format!("{package}.{}", message.name()), message, &mut lines);
        }
        for values in &file.enum_type {
            for value in &values.value {
                let (of, number, name) = (values.name(), value.number(), value.name());
                lines.insert(format!("{package}.{of} = {number:04} {name}"));
            }
        }
        for service in &file.service {
            for method in &service.method {
                let (of, name) = (service.name(), method.name());
                let (from, to) = (method.input_type(), method.output_type());
                lines.insert(format!("{package}.{of}/{name} {from} -> {to}"));
            }
        }
    }
    let mut text = String::new();
    for line in lines {
        writeln!(text, "{line}").expect("a string can be written to");
    }
    text
}

fn fields(path: &str, message: &DescriptorProto, lines: &mut BTreeSet<String>) {
    for field in &message.field {
        lines.insert(format!("{path} {:04} {} {}", field.number(), kind(field), field.name()));
    }
    for inner in &message.nested_type {
        fields(&format!("{path}.{}", inner.name()), inner, lines);
    }
}

fn kind(field: &FieldDescriptorProto) -> String {
    let many = if field.label() == Label::Repeated { "repeated " } else { "" };
    let kind = match field.r#type() {
        Type::Message | Type::Enum => field.type_name().to_owned(),
        simple => simple.as_str_name().to_lowercase(),
    };
    format!("{many}{kind}")
}

#[test]
fn what_a_release_said_still_means_the_same() {
    let now: BTreeSet<String> = schema().lines().map(str::to_owned).collect();
    for release in each_release() {
        let then = std::fs::read_to_string(release.join("schema.txt")).expect("it was written");
        let gone: Vec<&str> = then.lines().filter(|line| !now.contains(*line)).collect();
        assert!(
            gone.is_empty(),
            "{} has what this tree changed or took away:\n{}",
            release.display(),
            gone.join("\n")
        );
    }
}
