//! What stands on what, as a tree: for `raid scan` and `raid explain`.

use serde::Serialize;

use super::text;
use crate::layers::{Kind, Layers, Node};
use crate::media::Media;

/// A thing and what it stands on, as documents tell it.
#[derive(Serialize)]
pub(super) struct TreeLine {
    /// As `--volume` takes it.
    name: String,
    /// Another name that no other has.
    identity: String,
    kind: &'static str,
    description: String,
    size_bytes: Option<u64>,
    /// `healthy`, `degraded` or `refused`.
    state: &'static str,
    /// Names of what it stands on.
    on: Vec<String>,
    depth: usize,
    warnings: Vec<String>,
    refusal: Option<String>,
}

/// What is told of one thing.
pub(super) fn line(layers: &Layers, node: &Node) -> TreeLine {
    TreeLine {
        name: node.name.clone(),
        identity: node.identity.clone(),
        kind: node.kind.name(),
        description: node.description.clone(),
        size_bytes: node.media.as_ref().map(Media::size_bytes),
        state: match (&node.refusal, node.degraded) {
            (Some(_), _) => "refused",
            (None, true) => "degraded",
            (None, false) => "healthy",
        },
        on: node.on.iter().map(|below| layers.nodes()[*below].name.clone()).collect(),
        depth: node.depth,
        warnings: node.warnings.clone(),
        refusal: node.refusal.clone(),
    }
}

/// Everything but the media that were named, each behind what it stands on.
pub(super) fn lines(layers: &Layers) -> Vec<TreeLine> {
    layers.nodes().iter().filter(|node| node.kind != Kind::Medium).map(|node| line(layers, node)).collect()
}

/// True if something stands on more than what was named: a tree says more than a list of arrays.
pub(super) fn is_layered(lines: &[TreeLine]) -> bool {
    lines.iter().any(|line| line.kind != Kind::Array.name() || line.depth > 1)
}

/// The tree for people: each thing below the first that it stands on.
pub(super) fn human(layers: &Layers) -> String {
    let mut out = String::new();
    let nodes = layers.nodes();
    for (index, node) in nodes.iter().enumerate() {
        // What stands on media alone is a root.
        if node.kind != Kind::Medium && node.on.iter().all(|below| nodes[*below].kind == Kind::Medium) {
            branch(layers, index, 0, &mut out);
        }
    }
    out
}

fn branch(layers: &Layers, index: usize, level: usize, out: &mut String) {
    let nodes = layers.nodes();
    let node = &nodes[index];
    let indent = "  ".repeat(level.min(12) + 1);
    let told = line(layers, node);
    let size = told.size_bytes.map(|bytes| format!(", {}", text::size(bytes))).unwrap_or_default();
    let state = if told.state == "healthy" { String::new() } else { format!("{}: ", told.state) };
    *out += &(text::wrap(&format!("{indent}{}  ", node.name), &format!("{state}{}{size}", node.description)) + "\n");
    let media: Vec<&str> = node
        .on
        .iter()
        .map(|below| &nodes[*below])
        .filter(|below| below.kind == Kind::Medium)
        .map(|below| below.name.as_str())
        .collect();
    if !media.is_empty() {
        *out += &(text::wrap(&format!("{indent}  on "), &media.join(", ")) + "\n");
    }
    // Other things that it stands on, but for the one that it hangs below.
    let others: Vec<&str> = node
        .on
        .iter()
        .map(|below| &nodes[*below])
        .filter(|below| below.kind != Kind::Medium)
        .skip(1)
        .map(|below| below.name.as_str())
        .collect();
    if !others.is_empty() {
        *out += &(text::wrap(&format!("{indent}  also on "), &others.join(", ")) + "\n");
    }
    for warning in &node.warnings {
        *out += &(text::wrap(&format!("{indent}  note: "), warning) + "\n");
    }
    if let Some(refusal) = &node.refusal {
        *out += &(text::wrap(&format!("{indent}  refused: "), refusal) + "\n");
    }
    for (above, child) in nodes.iter().enumerate() {
        let hangs_on = child.on.iter().find(|below| nodes[**below].kind != Kind::Medium).copied();
        if hangs_on == Some(index) {
            branch(layers, above, level + 1, out);
        }
    }
}
