import type { UseQueryResult } from "@tanstack/react-query";
import type {
  TemplateFault,
  TemplateField,
  TemplateOrder,
  TemplatePreflight,
  TemplateSheet,
} from "../../api/xnode";
import { useMay } from "../../api/xnodeAccess";
import { usePreflight } from "../../api/xnodeQueries";
import { answersOf, NAME, NAME_WORDS, wrongAnswers } from "../../lib/options";
import { useSettled } from "../../lib/settled";

/** Pause after the last letter until the machine is asked whether it has room. */
const SETTLE_MS = 400;

/** Answers of a form, as an order that was held against the machine. */
export interface Ordered {
  order: TemplateOrder;
  /** What this page finds wrong, by the field's name. */
  wrong: Record<string, string>;
  /** It finds nothing wrong, so that the machine is asked. */
  fits: boolean;
  /** The reason for which a person may not ask. */
  may: string | undefined;
  preflight: UseQueryResult<TemplatePreflight>;
  /** The machine's answer is about what is written now. */
  isFresh: boolean;
  /** What the machine has against it. */
  faults: readonly TemplateFault[];
}

/**
 * Reads a form while one types, and asks the machine a moment after the last letter. `taken`: names that an application has;
 * `backup`: a wish about the backups that the template proposes.
 */
export function useOrdered(
  sheet: TemplateSheet,
  fields: readonly TemplateField[],
  name: string,
  written: Readonly<Record<string, string>>,
  {
    taken,
    backup,
    isOn = true,
  }: { taken: readonly string[]; backup?: TemplateOrder["backup"]; isOn?: boolean },
): Ordered {
  const wrong = wrongAnswers(fields, written);
  if (!NAME.test(name)) wrong["name"] = `A name has ${NAME_WORDS}.`;
  else if (taken.includes(name)) wrong["name"] = "An application has this name already.";
  const { catalogue, version } = sheet.summary;
  const order: TemplateOrder = {
    name,
    ...(catalogue === undefined ? {} : { catalogue }),
    version,
    answers: answersOf(fields, written),
    ...(backup === undefined ? {} : { backup }),
  };
  const fits = Object.keys(wrong).length === 0;
  const asked = JSON.stringify(order);
  const settled = useSettled(asked, SETTLE_MS);
  const may = useMay("operator");
  const preflight = usePreflight(
    sheet.summary.name,
    JSON.parse(settled) as TemplateOrder,
    isOn && fits && may === undefined,
  );
  const isFresh = settled === asked && !preflight.isPlaceholderData;
  const faults = fits && isFresh ? (preflight.data?.problems ?? []) : [];
  return { order, wrong, fits, may, preflight, isFresh, faults };
}
