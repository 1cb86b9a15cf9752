//! Plans as people read them, with more lines than their steps.

/// A plan with lines behind its first one. Pure.
pub(crate) fn with_lines(plan: &str, lines: &[String]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    match plan.split_once('\n') {
        _ if lines.is_empty() => plan.to_string(),
        Some((head, rest)) => format!("{head}\n{lines}{rest}"),
        None => format!("{plan}\n{lines}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_behind_the_first_one() {
        let lines = ["one".to_string(), "two".to_string()];
        assert_eq!(with_lines("head\nstep\n", &lines), "head\none\ntwo\nstep\n");
        assert_eq!(with_lines("head", &lines), "head\none\ntwo\n");
        assert_eq!(with_lines("head\nstep", &[]), "head\nstep");
    }
}
