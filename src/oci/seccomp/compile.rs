//! From rules to a classic BPF program.
//!
//! Per architecture the verdicts form a line of intervals over the call numbers; a balanced
//! search tree of `>=` jumps finds the interval, so a call costs about nine instructions, and
//! each border of intervals costs one. Calls with conditions on arguments lead to a chain of
//! comparisons. The program is made from its end to its start, so that every target of a jump
//! is known; a target too far for a conditional jump is repeated (a verdict) or reached over a
//! plain jump.
//!
//! A call newer than every one that a profile names gets ENOSYS instead of the profile's
//! refusal (as in runc): programs then fall back to what the profile's author knew.

use super::{Action, Arch, Arg, Operator, Seccomp, numbers};
use crate::error::{Context, Error, Result};
use crate::sys::bpf::{self, Insn, Test, arch, verdict};

/// The program of `profile`.
///
/// Errors: a value outside its range, an action that is not supported, too many rules.
pub fn compile(profile: &Seccomp) -> Result<Vec<Insn>> {
    let default = returned(profile.default_action, profile.default_errno_ret)
        .doing(|| "linux.seccomp.defaultAction".into())?;
    let mut compiler = Compiler::new(default, &profile.architectures);
    for (i, rule) in profile.syscalls.iter().enumerate() {
        let place = || format!("linux.seccomp.syscalls[{i}]");
        let verdict = returned(rule.action, rule.errno_ret).doing(place)?;
        if let Some(arg) = rule.args.iter().find(|arg| arg.index > 5) {
            let problem = format!("args: index {} is not one of 0 to 5", arg.index);
            return Err(Error::invalid(problem).doing(place()));
        }
        // What says no more than the default stands in no other rule's way (as with runc).
        if verdict == default {
            continue;
        }
        for name in &rule.names {
            compiler.add(name, &rule.args, verdict);
        }
    }
    let program = compiler.finish();
    if program.len() > bpf::MAX_INSNS {
        return Err(Error::invalid(format!(
            "linux.seccomp: the rules make {} instructions, the kernel takes {}",
            program.len(),
            bpf::MAX_INSNS
        )));
    }
    Ok(program)
}

/// What the filter returns for an action.
fn returned(action: Action, errno: Option<u32>) -> Result<u32> {
    let data = errno.unwrap_or(verdict::EPERM);
    Ok(match action {
        Action::Kill | Action::KillThread => verdict::KILL_THREAD,
        Action::KillProcess => verdict::KILL_PROCESS,
        Action::Trap => verdict::TRAP,
        Action::Allow => verdict::ALLOW,
        Action::Log => verdict::LOG,
        Action::Errno | Action::Trace if data > 0xffff => {
            return Err(Error::invalid(format!("errnoRet {data} is above 65535")));
        }
        Action::Errno => verdict::ERRNO | data,
        Action::Trace => verdict::TRACE | data,
        Action::Notify => {
            return Err(Error::invalid("SCMP_ACT_NOTIFY is not supported")
                .hint("use a profile that answers with SCMP_ACT_ERRNO instead"));
        }
    })
}

/// The verdict on one call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Unlisted,
    Return(u32),
    /// By its arguments: an index into `Calls::chains`.
    ByArgs(usize),
}

/// The calls of one architecture.
struct Calls {
    /// By number.
    verdicts: Vec<Verdict>,
    chains: Vec<Chain>,
}

/// Alternatives tried in turn: conditions that must all hold, and what is returned then.
type Chain = Vec<(Vec<Arg>, u32)>;

struct Compiler {
    default: u32,
    /// As in a row of `numbers`: x86_64, i386, x32; `None` for one that is not to be used.
    arches: [Option<Calls>; 3],
}

impl Compiler {
    fn new(default: u32, wanted: &[Arch]) -> Compiler {
        let native = [Arch::X86_64];
        let wanted = if wanted.is_empty() { &native } else { wanted };
        let arches = [Arch::X86_64, Arch::X86, Arch::X32].map(|arch| {
            wanted
                .contains(&arch)
                .then(|| Calls { verdicts: Vec::with_capacity(600), chains: Vec::new() })
        });
        Compiler { default, arches }
    }

    /// Adds a rule for the call `name`.
    fn add(&mut self, name: &str, args: &[Arg], returned: u32) {
        let Some(row) = numbers::numbers(name) else {
            return;
        };
        for (calls, number) in self.arches.iter_mut().zip(row) {
            if let (Some(calls), true) = (calls, *number != numbers::NO) {
                calls.add(usize::from(*number), args, returned);
            }
        }
    }

    fn finish(self) -> Vec<Insn> {
        let mut code = Code::default();
        let stranger = code.ret(verdict::KILL_THREAD);
        let [long, short, x32] = self.arches;
        let mut tree = |calls: Option<Calls>, base, wide| match calls {
            Some(calls) => calls.emit(&mut code, self.default, base, wide),
            None => stranger,
        };
        let x32 = tree(x32, arch::X32_BIT, false);
        let short = tree(short, 0, false);
        let long = tree(long, 0, true);
        let by_bit = code.jump_if(Test::GreaterOrEqual, arch::X32_BIT, x32, long);
        let long = code.load(bpf::DATA_NR, by_bit);
        let short = code.load(bpf::DATA_NR, short);
        let not_long = code.jump_if(Test::Equal, arch::I386, short, stranger);
        let by_arch = code.jump_if(Test::Equal, arch::X86_64, long, not_long);
        code.load(bpf::DATA_ARCH, by_arch);
        code.finish()
    }
}

impl Calls {
    fn add(&mut self, number: usize, args: &[Arg], returned: u32) {
        if self.verdicts.len() <= number {
            self.verdicts.resize(number + 1, Verdict::Unlisted);
        }
        let Some(verdict) = self.verdicts.get_mut(number) else {
            return;
        };
        let alternatives = alternatives(args).into_iter().map(|all| (all, returned));
        match *verdict {
            Verdict::Return(_) => {}
            _ if args.is_empty() => *verdict = Verdict::Return(returned),
            Verdict::ByArgs(chain) => {
                if let Some(chain) = self.chains.get_mut(chain) {
                    chain.extend(alternatives);
                }
            }
            Verdict::Unlisted => {
                *verdict = Verdict::ByArgs(self.chains.len());
                self.chains.push(alternatives.collect());
            }
        }
    }

    /// Emits the search tree; its entry expects the call's number in the accumulator. `base` is
    /// added to every number; `wide` says that arguments have 64 bits.
    fn emit(&self, code: &mut Code, default: u32, base: u32, wide: bool) -> Label {
        let chains: Vec<Label> =
            self.chains.iter().map(|chain| code.chain(chain, default, wide)).collect();
        let newer = match default & verdict::ALLOW {
            verdict::ALLOW | verdict::LOG | verdict::TRACE => default,
            _ => verdict::ERRNO | verdict::ENOSYS,
        };
        let leaves = self.verdicts.iter().map(|verdict| match *verdict {
            Verdict::Unlisted => Leaf::Return(default),
            Verdict::Return(value) => Leaf::Return(value),
            Verdict::ByArgs(i) => chains.get(i).map_or(Leaf::Return(default), |l| Leaf::At(*l)),
        });
        let intervals = intervals((base..).zip(leaves.chain([Leaf::Return(newer)])));
        code.tree(&intervals)
    }
}

/// The alternatives that `args` mean: all of them at once, or any of them where two look at the
/// same argument.
fn alternatives(args: &[Arg]) -> Vec<Vec<Arg>> {
    let twice = |i: usize, arg: &Arg| args.iter().skip(i + 1).any(|a| a.index == arg.index);
    if args.iter().enumerate().any(|(i, arg)| twice(i, arg)) {
        args.iter().map(|arg| vec![*arg]).collect()
    } else {
        vec![args.to_vec()]
    }
}

/// Numbers with one verdict, up to the next interval's first; one of them may differ, which a
/// single test finds where two borders would take two.
struct Interval {
    first: u32,
    leaf: Leaf,
    except: Option<(u32, Leaf)>,
}

/// Joins numbers, each with its verdict, into intervals.
fn intervals(numbers: impl Iterator<Item = (u32, Leaf)>) -> Vec<Interval> {
    let mut intervals: Vec<Interval> = Vec::with_capacity(160);
    for (number, leaf) in numbers {
        match intervals.as_mut_slice() {
            [.., last] if last.leaf == leaf => continue,
            // `before` goes on behind the one number that `last` is.
            [.., before, last]
                if before.leaf == leaf
                    && before.except.is_none()
                    && last.except.is_none()
                    && last.first + 1 == number =>
            {
                before.except = Some((last.first, last.leaf));
                intervals.pop();
            }
            _ => intervals.push(Interval { first: number, leaf, except: None }),
        }
    }
    intervals
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaf {
    Return(u32),
    At(Label),
}

/// An emitted instruction: its distance from the program's end.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Label(usize);

/// The program in reverse.
#[derive(Default)]
struct Code {
    reversed: Vec<Insn>,
    /// The nearest instruction that returns each value.
    returns: Vec<(u32, Label)>,
}

impl Code {
    const REACH: usize = u8::MAX as usize;

    fn finish(mut self) -> Vec<Insn> {
        self.reversed.reverse();
        self.reversed
    }

    fn push(&mut self, insn: Insn) -> Label {
        self.reversed.push(insn);
        Label(self.reversed.len() - 1)
    }

    /// How many instructions the next one has to jump over to come to `label`.
    fn distance(&self, label: Label) -> usize {
        self.reversed.len() - 1 - label.0
    }

    /// An instruction that returns `value`, near enough for a conditional jump and its helpers.
    fn ret(&mut self, value: u32) -> Label {
        let known = self.returns.iter().position(|(v, _)| *v == value);
        if let Some((_, label)) = known.and_then(|i| self.returns.get(i))
            && self.distance(*label) < Code::REACH
        {
            return *label;
        }
        let label = self.push(bpf::ret(value));
        match known.and_then(|i| self.returns.get_mut(i)) {
            Some(entry) => entry.1 = label,
            None => self.returns.push((value, label)),
        }
        label
    }

    /// `label`, or a plain jump to it where it is out of reach.
    fn near(&mut self, label: Label) -> Label {
        match self.distance(label) {
            near if near < Code::REACH => label,
            far => self.push(bpf::jump(far as u32)),
        }
    }

    fn leaf(&mut self, leaf: Leaf) -> Label {
        match leaf {
            Leaf::Return(value) => self.ret(value),
            Leaf::At(label) => self.near(label),
        }
    }

    /// A load that goes on at `next`.
    fn load(&mut self, offset: u32, next: Label) -> Label {
        self.fall_through(next);
        self.push(bpf::load(offset))
    }

    /// Makes `next` the instruction that follows the one to come.
    fn fall_through(&mut self, next: Label) {
        match self.distance(next) {
            0 => {}
            far => {
                self.push(bpf::jump(far as u32));
            }
        }
    }

    fn jump_if(&mut self, test: Test, constant: u32, yes: Label, no: Label) -> Label {
        // A jump that `near` adds moves the other target away by one; `near` keeps one in hand.
        let yes = self.near(yes);
        let no = self.near(no);
        let (yes, no) = (self.distance(yes), self.distance(no));
        self.push(bpf::jump_if(test, constant, yes as u8, no as u8))
    }

    /// The search tree over intervals, in order.
    fn tree(&mut self, intervals: &[Interval]) -> Label {
        match intervals {
            [] => self.ret(verdict::KILL_THREAD),
            [interval] => match interval.except {
                None => self.leaf(interval.leaf),
                Some((one, inside)) => {
                    let (inside, outside) = (self.leaf(inside), self.leaf(interval.leaf));
                    self.jump_if(Test::Equal, one, inside, outside)
                }
            },
            _ => {
                let (below, above) = intervals.split_at(intervals.len() / 2);
                let first = above.first().map_or(0, |interval| interval.first);
                let above = self.tree(above);
                let below = self.tree(below);
                self.jump_if(Test::GreaterOrEqual, first, above, below)
            }
        }
    }

    fn chain(&mut self, chain: &Chain, default: u32, wide: bool) -> Label {
        let mut otherwise = self.ret(default);
        for (conditions, returned) in chain.iter().rev() {
            let mut next = self.ret(*returned);
            for arg in conditions.iter().rev() {
                next = self.condition(arg, next, otherwise, wide);
            }
            otherwise = next;
        }
        otherwise
    }

    /// Goes on at `yes` where the condition holds, else at `no`. Without `wide` only the low 32
    /// bits count, as for the kernel.
    fn condition(&mut self, arg: &Arg, yes: Label, no: Label, wide: bool) -> Label {
        let (test, yes, no) = match arg.op {
            Operator::Equal | Operator::MaskedEqual => (Test::Equal, yes, no),
            Operator::NotEqual => (Test::Equal, no, yes),
            Operator::Greater => (Test::Greater, yes, no),
            Operator::LessOrEqual => (Test::Greater, no, yes),
            Operator::GreaterOrEqual => (Test::GreaterOrEqual, yes, no),
            Operator::Less => (Test::GreaterOrEqual, no, yes),
        };
        let (mask, value) = match arg.op {
            Operator::MaskedEqual => (arg.value, arg.value_two),
            _ => (u64::MAX, arg.value),
        };
        let halves = |n: u64| (n as u32, (n >> 32) as u32);
        let ((low_mask, high_mask), (low, high)) = (halves(mask), halves(value));

        let at_low = self.jump_if(test, low, yes, no);
        let at_low = self.word(bpf::data_arg(arg.index, 0), low_mask, at_low);
        if !wide || (high_mask == 0 && high == 0) {
            return at_low;
        }
        // Equal high words leave it to the low ones; else they decide.
        let differ = match test {
            Test::Equal => no,
            _ => self.jump_if(Test::Greater, high, yes, no),
        };
        let at_high = self.jump_if(Test::Equal, high, at_low, differ);
        self.word(bpf::data_arg(arg.index, 1), high_mask, at_high)
    }

    /// Loads and masks a word, and goes on at `next`.
    fn word(&mut self, offset: u32, mask: u32, next: Label) -> Label {
        self.fall_through(next);
        if mask != u32::MAX {
            self.push(bpf::and(mask));
        }
        self.push(bpf::load(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Rule, default_profile};
    use super::*;

    const ALLOW: u32 = verdict::ALLOW;
    const EPERM: u32 = verdict::ERRNO | verdict::EPERM;
    const ENOSYS: u32 = verdict::ERRNO | verdict::ENOSYS;
    /// Docker's default set.
    const CAPS: u64 = 0xa804_25fb;
    const CAP_SYS_ADMIN: u64 = 1 << 21;

    /// Runs a program as the kernel would; gives its verdict and the number of steps.
    fn interpret(program: &[Insn], arch: u32, nr: u32, args: &[u64]) -> (u32, usize) {
        let mut data = vec![nr, arch, 0, 0];
        for i in 0..6 {
            let arg = args.get(i).copied().unwrap_or(0);
            data.extend([arg as u32, (arg >> 32) as u32]);
        }
        let (ret, load, and) = (bpf::ret(0).code, bpf::load(0).code, bpf::and(0).code);
        let jump = bpf::jump(0).code;
        let if_code = |test| bpf::jump_if(test, 0, 0, 0).code;
        let (mut at, mut a, mut steps) = (0, 0, 0);
        loop {
            let insn = program[at];
            at += 1;
            steps += 1;
            let mut branch = |holds| at += usize::from(if holds { insn.jt } else { insn.jf });
            match insn.code {
                code if code == ret => return (insn.k, steps),
                code if code == load => a = data[insn.k as usize / 4],
                code if code == and => a &= insn.k,
                code if code == jump => at += insn.k as usize,
                code if code == if_code(Test::Equal) => branch(a == insn.k),
                code if code == if_code(Test::Greater) => branch(a > insn.k),
                code if code == if_code(Test::GreaterOrEqual) => branch(a >= insn.k),
                code => panic!("instruction {code:#x}"),
            }
        }
    }

    fn by_name(program: &[Insn], name: &str, args: &[u64]) -> u32 {
        let nr = numbers::numbers(name).unwrap()[0];
        interpret(program, arch::X86_64, u32::from(nr), args).0
    }

    fn profile(syscalls: Vec<Rule>) -> Seccomp {
        Seccomp {
            syscalls,
            ..serde_json::from_str(r#"{"defaultAction": "SCMP_ACT_ERRNO"}"#).unwrap()
        }
    }

    fn default_filter(caps: u64) -> Vec<Insn> {
        compile(&default_profile(caps)).unwrap()
    }

    fn rule(name: &'static str, args: &[(u32, Operator, u64, u64)]) -> Rule {
        let arg = |&(index, op, value, value_two): &(u32, Operator, u64, u64)| Arg {
            index,
            value,
            value_two,
            op,
        };
        Rule {
            names: vec![name.into()],
            action: Action::Allow,
            errno_ret: None,
            args: args.iter().map(arg).collect(),
        }
    }

    #[test]
    fn the_default_filter_answers_as_dockers() {
        let filter = default_filter(CAPS);
        for name in ["read", "openat", "futex", "execve", "ptrace", "chroot"] {
            assert_eq!(by_name(&filter, name, &[]), ALLOW, "{name}");
        }
        for name in ["mount", "unshare", "bpf", "keyctl", "reboot", "kexec_load"] {
            assert_eq!(by_name(&filter, name, &[]), EPERM, "{name}");
        }
        assert_eq!(by_name(&filter, "clone", &[0x1200011]), ALLOW);
        assert_eq!(by_name(&filter, "clone", &[0x1000_0011]), EPERM);
        assert_eq!(by_name(&filter, "clone3", &[]), ENOSYS);
        for (family, answer) in [(1, ALLOW), (2, ALLOW), (16, ALLOW), (37, ALLOW)] {
            assert_eq!(by_name(&filter, "socket", &[family]), answer, "{family}");
        }
        for (family, answer) in [(38, EPERM), (39, ALLOW), (40, EPERM), (41, ALLOW)] {
            assert_eq!(by_name(&filter, "socket", &[family]), answer, "{family}");
        }
        assert_eq!(by_name(&filter, "socket", &[1 << 40 | 38]), ALLOW);
        for (persona, answer) in [(0, ALLOW), (8, ALLOW), (0xffff_ffff, ALLOW), (1, EPERM)] {
            assert_eq!(by_name(&filter, "personality", &[persona]), answer);
        }
        assert_eq!(by_name(&filter, "personality", &[1 << 32]), EPERM);
    }

    #[test]
    fn capabilities_open_calls() {
        let filter = default_filter(CAPS | CAP_SYS_ADMIN);
        for name in ["mount", "unshare", "setns", "clone3", "bpf"] {
            assert_eq!(by_name(&filter, name, &[]), ALLOW, "{name}");
        }
        assert_eq!(by_name(&filter, "clone", &[0x1000_0011]), ALLOW);
        assert_eq!(by_name(&filter, "reboot", &[]), EPERM);
        assert_eq!(by_name(&default_filter(0), "chroot", &[]), EPERM);
    }

    #[test]
    fn the_other_architectures_have_numbers_of_their_own() {
        let filter = default_filter(CAPS);
        let old = |nr, args: &[u64]| interpret(&filter, arch::I386, nr, args).0;
        assert_eq!(old(11, &[]), ALLOW, "execve");
        assert_eq!(old(21, &[]), EPERM, "mount");
        assert_eq!(old(102, &[]), ALLOW, "socketcall");
        assert_eq!(old(120, &[0x1000_0000]), EPERM, "clone");
        assert_eq!(old(88, &[]), EPERM, "reboot");
        let x32 = |nr| interpret(&filter, arch::X86_64, arch::X32_BIT + nr, &[]).0;
        assert_eq!(x32(0), ALLOW, "read");
        assert_eq!(x32(13), EPERM, "rt_sigaction of x86_64");
        assert_eq!(x32(520), ALLOW, "execve");
        assert_eq!(interpret(&filter, arch::X86_64, 520, &[]).0, ENOSYS);
        let strange = interpret(&filter, 0xc000_00b7, 0, &[]).0;
        assert_eq!(strange, verdict::KILL_THREAD);
    }

    #[test]
    fn calls_newer_than_the_profile_do_not_exist() {
        let filter = default_filter(CAPS);
        for nr in [467, 500, 5000] {
            assert_eq!(interpret(&filter, arch::X86_64, nr, &[]).0, ENOSYS);
            assert_eq!(interpret(&filter, arch::I386, nr, &[]).0, ENOSYS);
        }
    }

    #[test]
    fn a_rule_of_the_defaults_verdict_hides_no_other() {
        let refused = Rule { action: Action::Errno, ..rule("socket", &[]) };
        let allowed = rule("socket", &[(0, Operator::Equal, 1, 0)]);
        let filter = compile(&profile(vec![refused, allowed])).unwrap();
        assert_eq!(by_name(&filter, "socket", &[1]), ALLOW);
        assert_eq!(by_name(&filter, "socket", &[2]), EPERM);
    }

    #[test]
    fn a_call_costs_few_instructions() {
        let filter = default_filter(CAPS);
        assert!(filter.len() < 320, "{} instructions", filter.len());
        for nr in 0..470 {
            let (_, steps) = interpret(&filter, arch::X86_64, nr, &[]);
            assert!(steps <= 18, "call {nr}: {steps} steps");
        }
    }

    #[test]
    fn every_operator_compares_64_bits() {
        use Operator::*;
        let big = 5 << 32 | 7;
        let cases = [
            (Equal, big, 0, [false, false, true, false, false]),
            (NotEqual, big, 0, [true, true, false, true, true]),
            (Less, big, 0, [true, true, false, false, false]),
            (LessOrEqual, big, 0, [true, true, true, false, false]),
            (Greater, big, 0, [false, false, false, true, true]),
            (GreaterOrEqual, big, 0, [false, false, true, true, true]),
            (MaskedEqual, 4 << 32 | 1, big & (4 << 32 | 1), [false, false, true, false, false]),
        ];
        let values = [7, 5 << 32 | 6, big, 5 << 32 | 8, 6 << 32 | 2];
        for (op, value, two, answers) in cases {
            let filter = compile(&profile(vec![rule("read", &[(3, op, value, two)])])).unwrap();
            for (given, allowed) in values.into_iter().zip(answers) {
                let got = by_name(&filter, "read", &[0, 0, 0, given]);
                assert_eq!(got == ALLOW, allowed, "{op:?} {given:#x}");
            }
        }
    }

    #[test]
    fn conditions_hold_together_unless_they_share_an_argument() {
        let both = [(0, Operator::Equal, 1, 0), (1, Operator::Equal, 2, 0)];
        let filter = compile(&profile(vec![rule("read", &both)])).unwrap();
        assert_eq!(by_name(&filter, "read", &[1, 2]), ALLOW);
        assert_eq!(by_name(&filter, "read", &[1, 3]), EPERM);
        let either = [(0, Operator::Equal, 1, 0), (0, Operator::Equal, 2, 0)];
        let filter = compile(&profile(vec![rule("read", &either)])).unwrap();
        assert_eq!(by_name(&filter, "read", &[2]), ALLOW);
        assert_eq!(by_name(&filter, "read", &[3]), EPERM);
    }

    #[test]
    fn a_rule_without_conditions_wins() {
        let narrow = rule("read", &[(0, Operator::Equal, 1, 0)]);
        let filter = compile(&profile(vec![narrow, rule("read", &[])])).unwrap();
        assert_eq!(by_name(&filter, "read", &[9]), ALLOW);
    }

    #[test]
    fn far_targets_are_reached() {
        let mut rules = Vec::new();
        for i in 0..600 {
            let name = if i % 2 == 0 { "read" } else { "close" };
            rules.push(rule(name, &[(0, Operator::Equal, i, 0)]));
        }
        let filter = compile(&profile(rules)).unwrap();
        assert_eq!(by_name(&filter, "read", &[598]), ALLOW);
        assert_eq!(by_name(&filter, "close", &[1]), ALLOW);
        assert_eq!(by_name(&filter, "read", &[1]), EPERM);
        assert_eq!(by_name(&filter, "getpid", &[]), ENOSYS);
    }

    #[test]
    fn what_cannot_be_done_is_named() {
        let mut wrong = profile(vec![rule("read", &[(6, Operator::Equal, 0, 0)])]);
        assert_eq!(
            compile(&wrong).unwrap_err().to_string(),
            "linux.seccomp.syscalls[0]: args: index 6 is not one of 0 to 5"
        );
        wrong.default_action = Action::Notify;
        assert_eq!(
            compile(&wrong).unwrap_err().to_string(),
            "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY is not supported"
        );
        let many = (0..3000).map(|i| rule("read", &[(0, Operator::Equal, i, 0)]));
        assert!(compile(&profile(many.collect())).is_err());
    }

    #[test]
    fn a_profile_reads_and_writes_as_the_standard_has_it() {
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],
            "syscalls":[{"names":["personality"],"action":"SCMP_ACT_ALLOW",
            "args":[{"index":0,"value":4294967295,"op":"SCMP_CMP_EQ"}]}]}"#;
        let read: Seccomp = serde_json::from_str(text).unwrap();
        let again = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<Seccomp>(&again).unwrap(), read);
        let filter = compile(&read).unwrap();
        assert_eq!(by_name(&filter, "personality", &[0xffff_ffff]), ALLOW);
    }

    #[test]
    fn the_kernel_takes_the_filter_and_keeps_to_it() {
        use crate::sys::child::{Plan, spawn};
        use crate::sys::step::{Exec, FdSource, Step, Variables};
        use std::io::Read;
        use std::os::fd::AsFd;

        let (mut reader, writer) = std::io::pipe().unwrap();
        let script = c"/usr/bin/unshare -u /bin/true; echo $?; /bin/true; echo $?";
        let argv = [c"sh", c"-c", script].map(|s| s.to_owned()).to_vec();
        let out = FdSource::Fd(writer.as_fd());
        let mut plan = Plan::new();
        plan.push(Step::Seccomp(default_filter(CAPS)))
            .push(Step::Descriptors(vec![(out, 1), (out, 2)]))
            .push(Step::Exec(Exec::new(
                vec![c"/bin/sh".to_owned()],
                argv,
                Variables::new(Vec::new()),
            )));
        spawn(&plan, 0, writer.as_fd(), 0).unwrap();
        drop(plan);
        drop(writer);
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        assert_eq!(said, "unshare: unshare failed: Operation not permitted\n1\n0\n");
    }
}
