import { get } from "./api.js";

const COLOURS = ["#5cb8ff", "#ffd166", "#7be0a5", "#ff9ec4", "#c9a7ff", "#ffab73", "#8be9fd", "#d4e157", "#ff8f85"];
const ROLES = { chosen: "#7be0a5", other: "#c4ccd4", wanted: "#ffd166", seen: "#5cb8ff", bad: "#ff8f85" };
const KEPT = 400;

/** Shapes of the layers that are on, per row, as the server draws none itself. Event: `shapes`. */
export class Overlays extends EventTarget {
  #kept = new Map();
  #pictures = new Map();
  #busy = false;
  #next = null;

  /** What is there for a row: pairs of layer index and shapes. */
  at(model, row) {
    return model.layers.flatMap(({ name, on }, index) => {
      const shapes = on && this.#kept.get(`${model.base}/${name}/${row}`);
      return shapes ? [[index, shapes]] : [];
    });
  }

  /** Fetches the row's shapes of each layer that is on; of rows asked for meanwhile, the last. */
  async want(model, row) {
    this.#next = [model, row];
    if (this.#busy) return;
    this.#busy = true;
    while (this.#next) {
      const next = this.#next;
      this.#next = null;
      await this.#fetch(...next);
    }
    this.#busy = false;
  }

  async #fetch(model, row) {
    const missing = model.layers.filter(({ name, on }) => on && !this.#kept.has(`${model.base}/${name}/${row}`));
    await Promise.all(missing.map(async ({ name }) => {
      const where = `${model.base}/overlays/${encodeURIComponent(name)}/${row}`;
      try {
        this.#keep(`${model.base}/${name}/${row}`, (await get(where)).shapes);
      } catch {
        this.#keep(`${model.base}/${name}/${row}`, []);
      }
      this.dispatchEvent(new CustomEvent("shapes"));
    }));
  }

  /**
   * Draws shapes of one layer; their words are added to `labels`, pictures without a place returned.
   * @param {CanvasRenderingContext2D} context - whose unit is a CSS px
   * @param {(x: number, y: number) => [number, number]} to - from px of the upright source frame
   */
  draw(context, index, shapes, to, labels) {
    const insets = [];
    for (const shape of shapes) {
      const colour = ROLES[shape.role] ?? COLOURS[index % COLOURS.length];
      const points = pairs(shape.xy ?? []).map(([x, y]) => to(x, y));
      if (shape.kind === "points") dots(context, points, colour);
      else if (shape.kind === "image") this.#image(context, shape, points, insets);
      else if (shape.kind === "text") text(context, shape.label, points[0] ?? to(4, 4), colour, labels);
      else if (points.length) outline(context, shape, points, colour, labels);
    }
    return insets;
  }

  #image(context, { href, label }, points, insets) {
    const picture = this.#picture(href);
    if (points.length < 2) insets.push({ picture, label });
    else if (picture) {
      const [[x0, y0], [x1, y1]] = points;
      context.save();
      context.globalAlpha = 0.55;
      context.drawImage(picture, x0, y0, x1 - x0, y1 - y0);
      context.restore();
    }
  }

  #picture(href) {
    if (!this.#pictures.has(href)) {
      const image = new Image();
      image.addEventListener("load", () => this.dispatchEvent(new CustomEvent("shapes")));
      if (new URL(href, location.href).origin === location.origin) image.src = href;
      this.#pictures.set(href, image);
      if (this.#pictures.size > 60) this.#pictures.delete(this.#pictures.keys().next().value);
    }
    const image = this.#pictures.get(href);
    return image.complete && image.naturalWidth ? image : null;
  }

  #keep(name, shapes) {
    this.#kept.set(name, shapes);
    if (this.#kept.size > KEPT) this.#kept.delete(this.#kept.keys().next().value);
  }
}

/** [[x, y], …] of either a flat list or pairs. */
const pairs = (xy) =>
  Array.isArray(xy[0]) ? xy : Array.from({ length: xy.length >> 1 }, (_, i) => [xy[2 * i], xy[2 * i + 1]]);

function dots(context, points, colour) {
  const radius = points.length > 150 ? 0.9 : 1.8;
  context.beginPath();
  for (const [x, y] of points) {
    context.moveTo(x + radius, y);
    context.arc(x, y, radius, 0, 2 * Math.PI);
  }
  context.fillStyle = colour;
  context.fill();
}

function outline(context, { kind, label, role }, points, colour, labels) {
  context.beginPath();
  if (kind === "box") {
    const [[x0, y0], [x1, y1]] = points;
    context.rect(x0, y0, x1 - x0, y1 - y0);
  } else {
    points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
    if (kind === "polygon") context.closePath();
  }
  for (const [style, width] of [["#000a", 3.5], [colour, role === "chosen" ? 2 : 1.5]]) {
    [context.strokeStyle, context.lineWidth] = [style, width];
    context.stroke();
  }
  if (label) {
    const top = points.reduce((best, point) => (point[1] < best[1] ? point : best));
    text(context, label, [Math.min(...points.map(([x]) => x)), top[1] - 6], colour, labels);
  }
}

const FONT = "12px system-ui, sans-serif";

/** Finds a place for words, moved up past `labels` that stand there already. */
function text(context, label, [x, under], colour, labels) {
  context.font = FONT;
  const wide = context.measureText(label).width;
  const taken = (y) => labels.some((other) => Math.abs(other.y - y) < 18 && x < other.x + other.wide + 10 && other.x < x + wide + 10);
  let y = Math.max(under, 14);
  while (taken(y) && y > 18) y -= 18;
  if (taken(y)) return;
  labels.push({ label, x, y, wide, colour });
}

/** Writes words on a dark ground, after all shapes. */
export function write(context, labels) {
  context.font = FONT;
  for (const { label, x, y, wide, colour } of labels) {
    context.fillStyle = "#000b";
    context.fillRect(x - 2, y - 13, wide + 8, 17);
    context.fillStyle = colour;
    context.fillText(label, x + 2, y);
  }
}
