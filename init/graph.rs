//! Who waits for whom: the order of starts and stops. Pure.
//!
//! An edge leads from a service to one that it names in `after` or `requires`. Only services with
//! edges are kept, so a thousand that need nobody cost nothing. Services on a cycle, and those that
//! wait for one, can never start; for a stop their edges do not count.

use crate::service::Start;
use crate::sorted::{Map, Set};

/// One edge.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Needs {
    pub id: u32,
    /// `requires`, not only `after`.
    pub hard: bool,
}

#[derive(Debug, Default)]
pub struct Graph {
    needs: Map<u32, Vec<Needs>>,
    needed_by: Map<u32, Vec<Needs>>,
    /// Required by name, but by nobody's: such a service cannot start.
    missing: Map<u32, Vec<String>>,
    cyclic: Set<u32>,
}

/// What is wrong with the names and their order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Problem {
    /// `service` names `other`, which does not exist.
    Unknown { service: String, other: String, hard: bool },
    /// Each waits for the next, and the last for the first.
    Cycle(Vec<String>),
}

impl Graph {
    /// The graph of these services, and what is wrong with it.
    pub fn new<'a>(
        services: impl Iterator<Item = (u32, &'a str, &'a Start)> + Clone,
    ) -> (Graph, Vec<Problem>) {
        let mut graph = Graph::default();
        let mut problems = Vec::new();
        let waits = |start: &Start| !(start.after.is_empty() && start.requires.is_empty());
        if !services.clone().any(|(_, _, start)| waits(start)) {
            return (graph, problems);
        }
        let ids: Map<&str, u32> = services.clone().map(|(id, name, _)| (name, id)).collect();
        for (id, name, start) in services.clone().filter(|(_, _, start)| waits(start)) {
            let after = start.after.iter().map(|other| (other, false));
            for (other, hard) in after.chain(start.requires.iter().map(|other| (other, true))) {
                if let Some(&needed) = ids.get(other.as_str()) {
                    graph.needs.push(id, Needs { id: needed, hard });
                    graph.needed_by.push(needed, Needs { id, hard });
                    continue;
                }
                if hard {
                    graph.missing.push(id, other.clone());
                }
                problems.push(Problem::Unknown {
                    service: name.to_string(),
                    other: other.clone(),
                    hard,
                });
            }
        }
        let names: Map<u32, &str> = services.map(|(id, name, _)| (id, name)).collect();
        for cycle in graph.cycles() {
            let named = |id| names.get(id).map(|name| name.to_string());
            problems.push(Problem::Cycle(cycle.iter().filter_map(named).collect()));
            graph.cyclic.extend(cycle);
        }
        (graph, problems)
    }

    /// What a service waits for, of those that exist.
    pub fn needs(&self, id: u32) -> &[Needs] {
        self.needs.get(&id).map(Vec::as_slice).unwrap_or_default()
    }

    /// What waits for a service.
    pub fn needed_by(&self, id: u32) -> &[Needs] {
        self.needed_by.get(&id).map(Vec::as_slice).unwrap_or_default()
    }

    /// The names that a service requires in vain.
    pub fn missing(&self, id: u32) -> &[String] {
        self.missing.get(&id).map(Vec::as_slice).unwrap_or_default()
    }

    pub fn is_cyclic(&self, id: u32) -> bool {
        self.cyclic.contains(&id)
    }

    /// The services that `id` requires, directly or not; those that need nobody first. Without
    /// itself.
    pub fn required(&self, id: u32) -> Vec<u32> {
        reach(id, |id| self.needs(id))
    }

    /// The services that require `id`, directly or not; those that nobody needs first. Without
    /// itself.
    pub fn requiring(&self, id: u32) -> Vec<u32> {
        reach(id, |id| self.needed_by(id))
    }

    /// Those of `ids` in an order in which whatever is needed comes first.
    pub fn order(&self, ids: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let mut order = Vec::new();
        let mut seen = Set::new();
        for id in ids {
            walk(id, &|id| self.needs(id), &|_| true, &mut seen, &mut order);
        }
        order
    }

    /// One cycle for each knot of services that wait for each other.
    fn cycles(&self) -> Vec<Vec<u32>> {
        let mut cycles = Vec::new();
        let mut done = Set::new();
        for start in self.needs.keys() {
            // Depth first with the path kept; a node on the path that is met again closes a cycle.
            let mut path: Vec<(u32, usize)> = vec![(*start, 0)];
            while let Some((id, next)) = path.last_mut() {
                let id = *id;
                if done.contains(&id) {
                    path.pop();
                    continue;
                }
                let Some(needed) = self.needs(id).get(*next).map(|needs| needs.id) else {
                    done.insert(id);
                    path.pop();
                    continue;
                };
                *next = next.saturating_add(1);
                match path.iter().position(|(on_path, _)| *on_path == needed) {
                    Some(at) => {
                        let cycle: Vec<u32> = path.iter().skip(at).map(|(id, _)| *id).collect();
                        done.extend(cycle.iter().copied());
                        cycles.push(cycle);
                    }
                    None => path.push((needed, 0)),
                }
            }
        }
        cycles
    }
}

/// Everything that hard edges lead to from `id`, the farthest first.
fn reach<'a>(id: u32, edges: impl Fn(u32) -> &'a [Needs]) -> Vec<u32> {
    let mut order = Vec::new();
    walk(id, &edges, &|needs| needs.hard, &mut Set::new(), &mut order);
    order.pop();
    order
}

/// Depth first, without recursion: a node comes after all that its edges lead to.
fn walk<'a>(
    id: u32,
    edges: &impl Fn(u32) -> &'a [Needs],
    follow: &impl Fn(&Needs) -> bool,
    seen: &mut Set<u32>,
    order: &mut Vec<u32>,
) {
    if !seen.insert(id) {
        return;
    }
    let mut path = vec![(id, 0usize)];
    while let Some((id, next)) = path.last_mut() {
        let id = *id;
        match edges(id).get(*next) {
            None => {
                order.push(id);
                path.pop();
            }
            Some(needs) => {
                *next = next.saturating_add(1);
                if follow(needs) && seen.insert(needs.id) {
                    path.push((needs.id, 0));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Jitter;

    /// `"web < db cache, log"`: web requires db and cache, and comes after log.
    fn graph(lines: &[&str]) -> (Graph, Vec<Problem>, Vec<String>) {
        let mut names = Vec::new();
        let mut starts = Vec::new();
        for line in lines {
            let (name, rest) = line.split_once('<').unwrap_or((line, ""));
            let (requires, after) = rest.split_once(',').unwrap_or((rest, ""));
            let words = |text: &str| text.split_whitespace().map(String::from).collect();
            names.push(name.trim().to_string());
            starts.push(Start { auto: true, requires: words(requires), after: words(after) });
        }
        let services = names.iter().zip(&starts).enumerate();
        let (graph, problems) =
            Graph::new(services.map(|(id, (name, start))| (id as u32, name.as_str(), start)));
        (graph, problems, names)
    }

    fn named(ids: &[u32], names: &[String]) -> String {
        ids.iter().map(|id| names[*id as usize].as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn whatever_is_needed_comes_first() {
        let (g, problems, names) =
            graph(&["web < app, log", "app < db", "log", "db < disk", "disk"]);
        assert_eq!(problems, []);
        assert_eq!(named(&g.order(0..5), &names), "log disk db app web");
        assert_eq!(named(&g.required(0), &names), "disk db app");
        assert_eq!(named(&g.requiring(4), &names), "web app db");
        assert!(g.requiring(2).is_empty());
    }

    #[test]
    fn services_that_need_nobody_cost_nothing() {
        let (g, problems, _) = graph(&["a", "b", "c"]);
        assert!(problems.is_empty() && g.needs.is_empty() && g.needed_by.is_empty());
        assert_eq!(g.order(0..3), [0, 1, 2]);
    }

    #[test]
    fn a_name_of_nobody_is_told_and_only_a_requirement_holds_up() {
        let (g, problems, _) = graph(&["web < db, log"]);
        let unknown = |other: &str, hard| Problem::Unknown {
            service: "web".into(),
            other: other.into(),
            hard,
        };
        assert_eq!(problems, [unknown("log", false), unknown("db", true)]);
        assert_eq!(g.missing(0), ["db"]);
    }

    #[test]
    fn cycles_are_named_once() {
        let (g, problems, _) = graph(&["a < b", "b < c", "c < a", "d < a", "e < e", "f"]);
        let cycle = |names: &[&str]| Problem::Cycle(names.iter().map(|n| n.to_string()).collect());
        assert_eq!(problems, [cycle(&["a", "b", "c"]), cycle(&["e"])]);
        let cyclic: Vec<bool> = (0..6).map(|id| g.is_cyclic(id)).collect();
        assert_eq!(cyclic, [true, true, true, false, true, false]);
    }

    #[test]
    fn random_graphs_have_an_order_or_a_cycle() {
        for seed in 1..300 {
            let mut random = Jitter::new(seed);
            let count = 2 + random.next() % 12;
            let lines: Vec<String> = (0..count)
                .map(|n| {
                    let mut line = format!("s{n} <");
                    for _ in 0..random.next() % 3 {
                        line.push_str(&format!(" s{}", random.next() % count));
                    }
                    line
                })
                .collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let (g, problems, _) = graph(&lines);
            let order = g.order(0..count);
            assert_eq!(order.len(), count as usize);
            let place = |id: u32| order.iter().position(|other| *other == id).unwrap();
            let backwards =
                (0..count).any(|id| g.needs(id).iter().any(|needs| place(needs.id) >= place(id)));
            assert_eq!(backwards, !problems.is_empty(), "{lines:?}: {problems:?}");
        }
    }
}
