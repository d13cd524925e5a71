import { finished, get, numbers, path, post } from "./api.js";
import { Cursor } from "./cursor.js";
import { Frames } from "./frames.js";
import { Player } from "./player.js";

/**
 * One opened run and what is looked at of it.
 * Events: `change` (layout, pair, layers), `suspects`, `stages`, and those of cursor and player.
 */
export class RunModel extends EventTarget {
  static async open(id) {
    const base = path("runs", id);
    const [facts, times] = await Promise.all([get(base), numbers(`${base}/times`, Float64Array)]);
    return new RunModel(base, facts, times);
  }

  constructor(base, facts, times) {
    super();
    this.base = base;
    this.facts = facts;
    this.cursor = new Cursor(times);
    this.frames = new Frames(base);
    this.player = new Player(this);
    /** @type {"side" | "wipe" | "difference"} */
    this.layout = "side";
    /** Source against dub, this dub against another, or one alone. @type {"dub" | "ab" | "source" | "only"} */
    this.pair = facts.videos.dub ? "dub" : "source";
    this.wipe = 0.5;
    this.gain = 4;
    this.layers = facts.overlays.map(({ name, title }) => ({ name, title, on: false }));
    this.suspects = { state: "absent", rows: [] };
    /** What a plan said of each kind; one may stand for two stages. @type {Map<string, string>} */
    this.plan = new Map();
    /** @type {{model: RunModel, shift: number} | null} */
    this.other = null;
    this.sourceFrames = null;
    numbers(`${base}/source_frames`, Int32Array).then((rows) => this.#set({ sourceFrames: rows }), () => {});
    this.readSuspects().catch(() => {});
  }

  get changed() {
    return () => this.dispatchEvent(new CustomEvent("change"));
  }

  /** What is shown left and right: each a run, one of its videos, and the row at the cursor. */
  get panes() {
    const { row } = this.cursor;
    const here = (video, title) => ({ model: this, video, row, title });
    if (this.pair === "ab" && this.other) {
      return [here("dub", "A"), { model: this.other.model, video: "dub", row: this.otherRow(row), title: "B" }];
    }
    if (this.pair === "source") return [here("source", "Source")];
    if (this.pair === "only") return [here("dub", "Dub")];
    return [here("source", "Source"), here("dub", "Dub")];
  }

  /** B's row at a row of A, or null where B has none. */
  otherRow(row) {
    const { model, shift } = this.other;
    const { cursor } = model;
    const seconds = (this.cursor.times[row] + this.cursor.times[row + 1]) / 2 - shift;
    return seconds >= cursor.start && seconds < cursor.end ? cursor.at(seconds) : null;
  }

  setLayout(layout) {
    this.#set({ layout: this.layout === layout ? "side" : layout });
  }

  setPair(pair) {
    this.#set({ pair });
  }

  setWipe(wipe) {
    this.#set({ wipe: Math.min(1, Math.max(0, wipe)) });
  }

  setGain(gain) {
    this.#set({ gain });
  }

  toggleLayer(index) {
    const layer = this.layers[index];
    if (!layer) return;
    layer.on = !layer.on;
    this.changed();
  }

  setPlan(stages) {
    this.plan = new Map();
    for (const { kind, state } of stages) {
      if (state !== "stored" || !this.plan.has(kind)) this.plan.set(kind, state);
    }
    this.dispatchEvent(new CustomEvent("stages"));
  }

  /** Another dub beside this one; a redone span begins later on this cursor. */
  async compare(id, span = null) {
    this.other?.model.close();
    const model = await RunModel.open(id);
    const redone = span ?? model.facts.redo_of?.span ?? null;
    const shift = redone ? this.cursor.times[redone[0]] - model.cursor.start : 0;
    model.frames.addEventListener("picture", this.changed);
    this.#set({ other: { model, shift }, pair: "ab" });
    if (redone) this.cursor.go(redone[0]);
  }

  async readSuspects() {
    this.suspects = await get(`${this.base}/suspects`);
    this.dispatchEvent(new CustomEvent("suspects"));
  }

  /** Starts looking, or waits for who looks already. */
  async findSuspects(onProgress) {
    const { state, job } = this.suspects;
    await finished(state === "computing" ? { job } : await post(`${this.base}/suspects`), onProgress);
    await this.readSuspects();
  }

  /** The place to look at after, or before, the cursor. */
  nextSuspect(direction) {
    const { row } = this.cursor;
    const places = [...this.suspects.rows].sort((a, b) => a.start - b.start);
    const next =
      direction > 0
        ? places.find(({ start }) => start > row) ?? places[0]
        : places.findLast(({ start }) => start < row) ?? places.at(-1);
    if (next) this.cursor.go(next.start);
    return next;
  }

  close() {
    this.player.close();
    this.frames.close();
    this.other?.model.close();
  }

  #set(values) {
    Object.assign(this, values);
    this.changed();
  }
}
