/** Where somebody has put applications on the canvas, kept in this browser for each machine. */
import type { Place, Places } from "../../../compose/layout";

const KEY = "openmesh-xnode-canvas";
/** Machines whose places are kept: those that somebody still looks at. */
const MACHINES_MAX = 20;
/** Places of one machine that are kept: as many as it can have applications. */
const PLACES_MAX = 500;

interface Kept {
  machine: string;
  places: Places;
}

const isPlace = (value: unknown): value is Place =>
  typeof value === "object" &&
  value !== null &&
  Number.isFinite((value as Place).x) &&
  Number.isFinite((value as Place).y);

function read(): Kept[] {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(stored) ? (stored as Kept[]) : [];
  } catch {
    return [];
  }
}

export function rememberPlaces(machine: string, places: Places): void {
  const kept: Kept = {
    machine,
    places: Object.fromEntries(Object.entries(places).slice(0, PLACES_MAX)),
  };
  const others = read().filter((each) => each?.machine !== machine);
  try {
    localStorage.setItem(KEY, JSON.stringify([kept, ...others].slice(0, MACHINES_MAX)));
  } catch {
    // A full store costs the places, which are found anew.
  }
}

/** Places of a machine's applications; none where nothing, or something else, is kept. */
export function recallPlaces(machine: string): Places {
  const found: unknown = read().find((each) => each?.machine === machine)?.places;
  if (typeof found !== "object" || found === null) return {};
  const places = Object.entries(found).filter((entry): entry is [string, Place] => isPlace(entry[1]));
  return Object.fromEntries(places);
}
