import { expect, it } from "vitest";
import type { Alert } from "../api/xnode";
import { alertWords, severityOf, unknownAlerts } from "./alerts";

const alert = (more: Partial<Alert>): Alert => ({
  id: 1,
  kind: "down",
  application: "web",
  subject: null,
  severity: "critical",
  cause: "it ended",
  remedy: "look at its log",
  begin: "2026-11-29T10:00:00Z",
  opened: "2026-11-29T10:01:00Z",
  closed: null,
  acknowledged: null,
  ...more,
});

it("counts what nobody knows of yet, by the most severe of it", () => {
  const known = alert({ acknowledged: { by: "root", at: "2026-11-29T10:02:00Z" } });
  expect(unknownAlerts([])).toBeNull();
  expect(unknownAlerts([known])).toBeNull();
  expect(unknownAlerts([known, alert({ severity: "warning" })])).toEqual({ tone: "warn", words: "1 alert" });
  expect(unknownAlerts([alert({}), alert({ severity: "info" })])).toEqual({ tone: "bad", words: "2 alerts" });
});

it("shows words of a later agent as they are", () => {
  expect([severityOf("very_bad").words, alertWords("clock_drifts")]).toEqual(["very bad", "clock drifts"]);
});
