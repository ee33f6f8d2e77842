//! `images --tree` and `--viz`: which image was made from which, as Docker drew it until 1.6.

use crate::engine::image::{ImageTree, Node, StepId};
use crate::types::human_size;

/// Lines of a drawn tree.
pub fn text(tree: &ImageTree, whole: bool) -> String {
    let mut text = String::new();
    // What is left to draw, the next last: chains are longer than a stack of calls should be deep.
    let mut left: Vec<(usize, String, bool)> = Vec::new();
    push(&mut left, &tree.roots, "");
    while let Some((at, before, is_last)) = left.pop() {
        let Some(node) = tree.nodes.get(at) else { continue };
        let branch = if is_last { "└─" } else { "├─" };
        let size = node.size.map_or("damaged".to_string(), human_size);
        text.push_str(&format!("{before}{branch}{} Virtual Size: {size}", id(node, whole)));
        if !node.names.is_empty() {
            text.push_str(&format!(" Tags: {}", names(node, ", ")));
        }
        text.push('\n');
        let before = format!("{before}{}", if is_last { "  " } else { "│ " });
        push(&mut left, &node.children, &before);
    }
    text
}

fn push(left: &mut Vec<(usize, String, bool)>, nodes: &[usize], before: &str) {
    let last = nodes.len().saturating_sub(1);
    let nodes = nodes.iter().enumerate().rev();
    left.extend(nodes.map(|(n, at)| (*at, before.to_string(), n == last)));
}

/// A graph for dot(1).
pub fn graphviz(tree: &ImageTree, whole: bool) -> String {
    let mut text = String::from("digraph docker {\n");
    let mut left: Vec<(String, usize)> =
        tree.roots.iter().rev().map(|root| ("base".to_string(), *root)).collect();
    while let Some((parent, at)) = left.pop() {
        let Some(node) = tree.nodes.get(at) else { continue };
        // Those without an id are told apart by their place.
        let own = match node.id {
            StepId::Missing => format!("\"step {at}\""),
            _ => format!("\"{}\"", id(node, whole)),
        };
        let style = if parent == "base" { " [style=invis]" } else { "" };
        text.push_str(&format!(" {parent} -> {own}{style}\n"));
        if !node.names.is_empty() {
            let label = format!("{}\\n{}", id(node, whole), names(node, "\\n"));
            text.push_str(&format!(
                " {own} [label=\"{label}\",shape=box,fillcolor=\"paleturquoise\",\
                 style=\"filled,rounded\"];\n"
            ));
        } else if node.id == StepId::Missing {
            text.push_str(&format!(" {own} [label=\"<missing>\"]\n"));
        }
        left.extend(node.children.iter().rev().map(|child| (own.clone(), *child)));
    }
    text.push_str(" base [style=invisible]\n}\n");
    text
}

fn id(node: &Node, whole: bool) -> String {
    if whole { node.id.whole() } else { node.id.short() }
}

fn names(node: &Node, between: &str) -> String {
    node.names.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Digest;

    /// A base with two tags; made from it an image over a step without an id, and another.
    fn tree() -> ImageTree {
        let node = |id, names: &[&str], size, children: &[usize]| Node {
            id,
            names: names.iter().map(|name| name.parse().unwrap()).collect(),
            created: None,
            size,
            children: children.to_vec(),
        };
        let image = |text: &str| StepId::Image(Digest::of(text.as_bytes()));
        let v1 = StepId::V1("c0ffee".repeat(11)[..64].parse().unwrap());
        let nodes = vec![
            node(image("a"), &["base:1", "base:2"], Some(1_984_000), &[1, 3]),
            node(StepId::Missing, &[], Some(1_984_000), &[2]),
            node(image("b"), &["app"], Some(2_000_000), &[]),
            node(v1, &[], None, &[]),
        ];
        ImageTree { nodes, roots: vec![0] }
    }

    #[test]
    fn a_tree_is_drawn_as_docker_drew_it() {
        let expected = "\
└─ca978112ca1b Virtual Size: 1.98MB Tags: base:1, base:2
  ├─<missing> Virtual Size: 1.98MB
  │ └─3e23e8160039 Virtual Size: 2MB Tags: app:latest
  └─c0ffeec0ffee Virtual Size: damaged
";
        assert_eq!(text(&tree(), false), expected);
        assert!(text(&tree(), true).starts_with("└─sha256:ca978112ca1bbdcafac231b39a23dc4da786"));
    }

    #[test]
    fn a_graph_has_a_node_for_each_step() {
        let expected = r#"digraph docker {
 base -> "ca978112ca1b" [style=invis]
 "ca978112ca1b" [label="ca978112ca1b\nbase:1\nbase:2",shape=box,fillcolor="paleturquoise",style="filled,rounded"];
 "ca978112ca1b" -> "step 1"
 "step 1" [label="<missing>"]
 "step 1" -> "3e23e8160039"
 "3e23e8160039" [label="3e23e8160039\napp:latest",shape=box,fillcolor="paleturquoise",style="filled,rounded"];
 "ca978112ca1b" -> "c0ffeec0ffee"
 base [style=invisible]
}
"#;
        assert_eq!(graphviz(&tree(), false), expected);
    }
}
