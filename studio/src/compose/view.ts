/** What of the canvas is seen: a shift and a scale. Pure; lengths on the screen are in pixels of the page. */
import { BOX, type Place, type Places } from "./layout";

export interface View {
  x: number;
  y: number;
  scale: number;
}

export interface Size {
  width: number;
  height: number;
}

/** Below it no name can be read; above it one sees less than one box. */
export const SCALE_MIN = 0.3;
export const SCALE_MAX = 2;
/** Factor of one step of the buttons and keys. */
export const ZOOM_STEP = 1.25;
/** Room around everything, in pixels of the screen. */
const MARGIN = 24;

const within = (scale: number): number => Math.min(SCALE_MAX, Math.max(SCALE_MIN, scale));

/** The place of the canvas below a point of the screen, which is told from the canvas' own corner. */
export const toCanvas = (view: View, point: Place): Place => ({
  x: (point.x - view.x) / view.scale,
  y: (point.y - view.y) / view.scale,
});

/** A view of everything, in the middle, and never enlarged. */
export function fit(places: Places, size: Size): View {
  const all = Object.values(places);
  if (all.length === 0) return { x: MARGIN, y: MARGIN, scale: 1 };
  const left = Math.min(...all.map(({ x }) => x));
  const top = Math.min(...all.map(({ y }) => y));
  const width = Math.max(...all.map(({ x }) => x)) + BOX.width - left;
  const height = Math.max(...all.map(({ y }) => y)) + BOX.height - top;
  const room = Math.min((size.width - 2 * MARGIN) / width, (size.height - 2 * MARGIN) / height, 1);
  const scale = within(room);
  return {
    x: (size.width - width * scale) / 2 - left * scale,
    y: (size.height - height * scale) / 2 - top * scale,
    scale,
  };
}

/** A view with another scale, in which the place below a point of the screen stays there. */
export function zoomed(view: View, factor: number, at: Place): View {
  const scale = within(view.scale * factor);
  const place = toCanvas(view, at);
  return { x: at.x - place.x * scale, y: at.y - place.y * scale, scale };
}

/** The nearest view in which a box is seen whole; the same one where it is. */
export function showing(view: View, box: Place, size: Size): View {
  const left = box.x * view.scale + view.x;
  const top = box.y * view.scale + view.y;
  const shift = (begin: number, length: number, room: number): number => {
    if (begin < MARGIN) return MARGIN - begin;
    const surplus = begin + length - (room - MARGIN);
    return surplus > 0 ? -Math.min(surplus, begin - MARGIN) : 0;
  };
  const dx = shift(left, BOX.width * view.scale, size.width);
  const dy = shift(top, BOX.height * view.scale, size.height);
  return dx === 0 && dy === 0 ? view : { ...view, x: view.x + dx, y: view.y + dy };
}

/** The place in the middle of what is seen, for a box that is put there. */
export function middle(view: View, size: Size): Place {
  const { x, y } = toCanvas(view, { x: size.width / 2, y: size.height / 2 });
  return { x: x - BOX.width / 2, y: y - BOX.height / 2 };
}
