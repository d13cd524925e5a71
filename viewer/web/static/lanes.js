import uPlot from "uplot";
import WaveSurfer from "wavesurfer.js";
import Regions from "wavesurfer.js/regions";
import Timeline from "wavesurfer.js/timeline";
import { blob, numbers } from "./api.js";
import { tick } from "./format.js";
import { settled } from "./part.js";

/*
 * What can stand on the time line. Each lane draws the stretch [from, to) of seconds into its plot:
 * `mount(plot)`, `show(from, to)`, `recolour()`, `close()`; `values(row)` is what it says at the cursor.
 */

const STEPS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
const nonce = document.querySelector("meta[name='style-nonce']")?.content;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A canvas as wide as its plot, whose unit is a CSS px. */
class Drawn {
  mount(plot) {
    this.plot = plot;
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("aria-hidden", "true");
    plot.append(this.canvas);
  }

  show(from, to) {
    [this.from, this.to] = [from, to];
    const [wide, high] = [this.plot.clientWidth, this.plot.clientHeight];
    if (!wide) return;
    this.canvas.width = wide * devicePixelRatio;
    this.canvas.height = high * devicePixelRatio;
    const context = this.canvas.getContext("2d");
    context.scale(devicePixelRatio, devicePixelRatio);
    const x = (seconds) => ((seconds - from) / (to - from)) * wide;
    this.draw(context, x, wide, high);
  }

  recolour() {
    if (this.to !== undefined) this.show(this.from, this.to);
  }

  close() {}
}

/** Times, and the frames themselves where they are wide enough to be told apart. */
export class Ruler extends Drawn {
  /** @param {import("./cursor.js").Cursor} cursor */
  constructor(cursor) {
    super();
    [this.cursor, this.title, this.height] = [cursor, "Time", 20];
  }

  draw(context, x, wide, high) {
    const { from, to, cursor } = this;
    const step = STEPS.find((size) => (size / (to - from)) * wide >= 72) ?? STEPS.at(-1);
    context.strokeStyle = context.fillStyle = colour("--muted");
    context.font = "11px system-ui, sans-serif";
    context.beginPath();
    for (let index = Math.ceil(from / step); index * step <= to; index += 1) {
      const at = Math.round(x(index * step)) + 0.5;
      context.moveTo(at, high - 8);
      context.lineTo(at, high);
      if (at < wide - 32) context.fillText(tick(index * step, step), at + 3, high - 8);
    }
    const [first, last] = [cursor.at(from), cursor.at(to)];
    if (wide / (last - first + 1) >= 5) {
      for (let row = first; row <= last; row += 1) {
        const at = Math.round(x(cursor.times[row])) + 0.5;
        context.moveTo(at, high - 4);
        context.lineTo(at, high);
      }
    }
    context.stroke();
  }
}

/** A track of yes and no (or of 0 to 1) per row, as filled stretches. */
export class Mask extends Drawn {
  constructor(cursor, { title, kind }, data) {
    super();
    [this.cursor, this.title, this.kind, this.data, this.height] = [cursor, title, kind, data, 16];
  }

  values(row) {
    const value = this.data[row];
    const told = Number.isNaN(value) ? "–" : value === 1 ? "yes" : value === 0 ? "no" : value.toFixed(2);
    return [{ name: "", value: told }];
  }

  draw(context, x, wide, high) {
    const { data, cursor, from, to } = this;
    const { times } = cursor;
    context.fillStyle = colour(this.kind === "marks" ? "--warn" : "--series-1");
    const last = cursor.at(to);
    for (let row = cursor.at(from); row <= last; ) {
      const value = data[row];
      let end = row + 1;
      while (end <= last && data[end] === value) end += 1;
      if (value > 0) {
        context.globalAlpha = 0.25 + 0.6 * Math.min(1, value);
        const [left, right] = [x(times[row]), x(times[end])];
        context.fillRect(left, 3, Math.max(2, right - left - 0.5), high - 6);
      }
      row = end;
    }
  }
}

/** The suspect places, as high as they weigh. */
export class Suspects extends Drawn {
  constructor(model) {
    super();
    [this.model, this.title, this.height] = [model, "Suspects", 20];
  }

  values() {
    const { rows } = this.model.suspects;
    return [{ name: "", value: rows.length ? String(rows.length) : "" }];
  }

  draw(context, x, wide, high) {
    const { rows } = this.model.suspects;
    const { times } = this.model.cursor;
    const heaviest = Math.max(...rows.map(({ weight }) => weight), 1e-9);
    context.fillStyle = colour("--bad");
    context.globalAlpha = 0.8;
    for (const { start, stop, weight } of rows) {
      const tall = (high - 4) * (0.35 + 0.65 * Math.min(1, weight / heaviest));
      const left = x(times[start]);
      context.fillRect(left, high - 2 - tall, Math.max(2, x(times[stop]) - left), tall);
    }
  }
}

/** Lines of one group on one scale. */
export class Lines {
  /** @param {{name: string, title: string, unit: string, data: Float32Array}[]} series */
  constructor(cursor, title, unit, series) {
    [this.cursor, this.title, this.unit, this.series, this.height] = [cursor, title, unit, series, 56];
    const x = Array.from(cursor.times.subarray(0, cursor.rows));
    this.data = [x, ...series.map(({ data }) => Array.from(data, (value) => (Number.isNaN(value) ? null : value)))];
    const known = series.flatMap(({ data }) => [least(data, Math.min), least(data, Math.max)]).filter(Number.isFinite);
    const [low, high] = known.length ? [Math.min(...known), Math.max(...known)] : [0, 1];
    const margin = (high - low || Math.abs(high) || 1) * 0.06;
    [this.low, this.high] = [low - margin, high + margin];
    this.extent = known.length ? [low, high] : null;
  }

  values(row) {
    return this.series.map(({ title, data }, index) => ({ name: shorter(title, this.title), value: data[row], series: index + 1 }));
  }

  mount(plot) {
    this.plot = plot;
    const paths = uPlot.paths.stepped({ align: 1 });
    this.chart = new uPlot(
      {
        width: plot.clientWidth || 100, height: this.height, pxAlign: 0, padding: [0, 0, 0, 0],
        legend: { show: false }, cursor: { show: false }, select: { show: false },
        axes: [{ show: false }, { show: false }],
        scales: { x: { time: false, auto: false, min: this.cursor.start, max: this.cursor.end }, y: { range: () => [this.low, this.high] } },
        series: [{}, ...this.series.map((_, index) => ({
          stroke: () => colour(`--series-${(index % 4) + 1}`), width: 1.5, dash: index === 1 ? [6, 3] : index === 2 ? [2, 2] : undefined,
          points: { show: false }, paths, spanGaps: false,
        }))],
      },
      this.data, plot,
    );
  }

  show(from, to) {
    [this.from, this.to] = [from, to];
    const wide = this.plot.clientWidth;
    if (!wide) return;
    if (this.chart.width !== wide) this.chart.setSize({ width: wide, height: this.height });
    this.chart.setScale("x", { min: from, max: to });
  }

  recolour() {
    this.chart.redraw(true);
  }

  close() {
    this.chart?.destroy();
  }
}

/** The wave of the stretch that is shown, at the width that it is shown in. */
export class Wave {
  #stop = null;
  #fetch = settled((from, to) => this.#load(from, to), 60);

  /** @param {import("./run-model.js").RunModel} model */
  constructor(model, kind, title, editable) {
    [this.model, this.kind, this.title, this.editable, this.height] = [model, kind, title, editable, 44];
  }

  mount(plot) {
    this.plot = plot;
    this.regions = Regions.create();
    this.wave = WaveSurfer.create({
      container: plot, height: this.height, cspNonce: nonce, interact: false, cursorWidth: 0, hideScrollbar: true, autoScroll: false,
      plugins: this.editable ? [this.regions] : [], ...this.#colours(),
    });
    this.regions.on("region-updated", ({ start, end }) => {
      const { cursor } = this.model;
      const [from, to] = [cursor.at(start + this.loaded), cursor.at(end + this.loaded - 1e-6)];
      cursor.setMark([from, to + 1]);
    });
  }

  show(from, to) {
    this.#fetch(from, to);
  }

  async #load(from, to) {
    this.#stop?.abort();
    this.#stop = new AbortController();
    const points = Math.max(64, Math.round(this.plot.clientWidth * devicePixelRatio));
    const where = `${this.model.base}/waveform/${this.kind}?from=${from}&to=${to}&points=${points}`;
    try {
      const both = await numbers(where, Float32Array, this.#stop.signal);
      const half = (odd) => Float32Array.from({ length: both.length >> 1 }, (_, i) => both[2 * i + odd]);
      this.loaded = from;
      await this.wave.load("", [half(1), half(0)], to - from);
      this.marked();
    } catch (fault) {
      if (fault.name !== "AbortError") this.plot.title = fault.message;
    }
  }

  /** The mark as a region whose ends can be dragged. */
  marked() {
    if (!this.editable || this.loaded === undefined) return;
    const { mark, times } = this.model.cursor;
    this.regions.clearRegions();
    if (!mark) return;
    const [start, end] = mark.map((row) => times[row] - this.loaded);
    if (end <= 0 || start >= this.wave.getDuration()) return;
    this.regions.addRegion({ start: Math.max(0, start), end: Math.min(end, this.wave.getDuration()), color: colour("--mark"), drag: true, resize: true });
  }

  recolour() {
    this.wave.setOptions(this.#colours());
    this.marked();
  }

  close() {
    this.#stop?.abort();
    this.wave?.destroy();
  }

  #colours() {
    return { waveColor: colour("--wave"), progressColor: colour("--wave") };
  }
}

/** The whole clip with the stretch that is shown, to be moved and resized. */
export class Overview {
  constructor(model, kind) {
    [this.model, this.kind, this.title, this.height] = [model, kind, "Whole", 34];
  }

  mount(plot) {
    const { cursor } = this.model;
    this.regions = Regions.create();
    const timeline = Timeline.create({ height: 14, formatTimeCallback: (seconds) => tick(seconds + cursor.start, 1) });
    this.wave = WaveSurfer.create({
      container: plot, height: 20, cspNonce: nonce, interact: false, cursorWidth: 0, hideScrollbar: true, plugins: [this.regions, timeline],
      waveColor: colour("--wave"), progressColor: colour("--wave"),
    });
    this.regions.on("region-updated", ({ start, end }) => cursor.show(start + cursor.start, end + cursor.start));
    this.#load();
  }

  async #load() {
    const { cursor, base } = this.model;
    const lasts = cursor.end - cursor.start;
    let peaks = [new Float32Array(2)];
    if (this.kind) {
      const where = `${base}/waveform/${this.kind}?from=${cursor.start}&to=${cursor.end}&points=1000`;
      const both = await numbers(where, Float32Array).catch(() => new Float32Array(4));
      peaks = [both.filter((_, i) => i % 2), both.filter((_, i) => i % 2 === 0)];
    }
    await this.wave.load("", peaks, lasts).catch(() => {});
    this.loaded = true;
    this.show(...cursor.window);
  }

  show(from, to) {
    if (!this.loaded) return;
    const { start, end } = this.model.cursor;
    const whole = from <= start && to >= end;
    const span = { start: from - start, end: to - start, color: whole ? "transparent" : colour("--mark") };
    const [region] = this.regions.getRegions();
    if (region) region.setOptions(span);
    else this.regions.addRegion({ ...span, drag: true, resize: true });
  }

  recolour() {
    this.wave.setOptions({ waveColor: colour("--wave"), progressColor: colour("--wave") });
    this.show(...this.model.cursor.window);
  }

  close() {
    this.wave?.destroy();
  }
}

/** The mel spectrogram of the stretch that is shown, drawn by the server. */
export class Mel {
  #stop = null;
  #fetch = settled((from, to) => this.#load(from, to), 90);

  constructor(model, kind, title) {
    [this.model, this.kind, this.title, this.height] = [model, kind, title, 48];
  }

  mount(plot) {
    this.picture = document.createElement("img");
    this.picture.alt = this.title;
    this.picture.draggable = false;
    this.picture.hidden = true;
    plot.append(this.picture);
  }

  show(from, to) {
    this.#fetch(from, to);
  }

  async #load(from, to) {
    this.#stop?.abort();
    this.#stop = new AbortController();
    const where = `${this.model.base}/mel/${this.kind}?from=${from}&to=${to}&height=${this.height}`;
    const drawn = await blob(where, this.#stop.signal).catch(() => null);
    if (!drawn) return;
    if (this.picture.src) URL.revokeObjectURL(this.picture.src);
    this.picture.src = URL.createObjectURL(drawn);
    this.picture.hidden = false;
  }

  recolour() {}

  close() {
    this.#stop?.abort();
    if (this.picture?.src) URL.revokeObjectURL(this.picture.src);
  }
}

/** "Opening wanted" in the lane "Opening" is "wanted". */
const shorter = (title, lane) => (title.toLowerCase().startsWith(`${lane.toLowerCase()} `) ? title.slice(lane.length + 1) : title);

/** The least, or the greatest, of what is known. */
function least(data, choose) {
  let best = NaN;
  for (const value of data) if (!Number.isNaN(value)) best = Number.isNaN(best) ? value : choose(best, value);
  return best;
}
