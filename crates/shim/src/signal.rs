//! Names and numbers of signals, as people and the kernel say them.

/// Signals by their number, from 1; the numbers of x86-64 and AArch64.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

/// Number of a signal that is written as `TERM`, `SIGTERM` or `15`; none for anything else, real-time signals included.
pub fn number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<usize>() {
        return i32::try_from(number).ok().filter(|_| (1..=NAMES.len()).contains(&number));
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let index = NAMES.iter().position(|known| *known == name)?;
    i32::try_from(index + 1).ok()
}

/// Name of a signal with `SIG`; real-time ones and unknown ones by their number.
pub fn name(number: i32) -> String {
    let known = usize::try_from(number).ok().and_then(|n| NAMES.get(n.checked_sub(1)?));
    known.map_or_else(|| format!("signal {number}"), |name| format!("SIG{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, expected) in [("TERM", 15), ("SIGTERM", 15), ("sigquit", 3), ("9", 9)] {
            assert_eq!(number(text), Some(expected), "{text}");
        }
        for text in ["", "0", "32", "-1", "SIG", "TERMM", "SIGRTMIN"] {
            assert_eq!(number(text), None, "{text}");
        }
        for signal in 1..=31 {
            assert_eq!(number(&name(signal)), Some(signal));
        }
        assert_eq!(name(40), "signal 40");
    }
}
