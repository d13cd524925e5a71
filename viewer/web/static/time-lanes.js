import { html, nothing } from "lit";
import { numbers, path } from "./api.js";
import { clock, figure } from "./format.js";
import { Lines, Mask, Mel, Overview, Ruler, Suspects, Wave } from "./lanes.js";
import { Part, tell } from "./part.js";

const SOUNDS = { speech: "New speech", own: "Source's sound" };

/** All lanes on one cursor and one zoom. */
export class TimeLanes extends Part {
  static properties = { model: { attribute: false }, lanes: { state: true } };

  #mounted = new Set();
  #scrubbing = null;

  constructor() {
    super();
    this.lanes = [];
  }

  connectedCallback() {
    super.connectedCallback();
    const { model } = this;
    const { cursor } = model;
    this.watch(cursor, ["row"], () => this.#moved());
    this.watch(cursor, ["window"], () => this.#show());
    this.watch(cursor, ["span"], () => {
      this.#place();
      for (const lane of this.lanes) lane.marked?.();
    });
    this.watch(model, ["suspects"], () => this.#build());
    this.watch(window, ["theme"], () => this.lanes.forEach((lane) => this.#mounted.has(lane) && lane.recolour()));
    this.resizing = new ResizeObserver(() => this.#show());
    this.resizing.observe(this);
    this.#build();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.resizing.disconnect();
    this.#clear();
  }

  async #build() {
    const { model } = this;
    const { sounds, tracks } = model.facts;
    const fetched = await Promise.all(tracks.map(async (track) => {
      const data = await numbers(`${model.base}/${path("tracks", track.name)}`, Float32Array).catch((fault) => {
        tell(this, "fault", fault.message);
        return new Float32Array(model.cursor.rows).fill(NaN);
      });
      return { ...track, data };
    }));
    if (!this.isConnected) return;
    const lines = Map.groupBy(fetched.filter(({ kind }) => kind === "line"), ({ group, unit }) => `${group} [${unit}]`);
    this.#clear();
    this.lanes = [
      new Overview(model, sounds[0]),
      new Ruler(model.cursor),
      ...(model.suspects.rows.length ? [new Suspects(model)] : []),
      ...sounds.slice(0, 1).map((kind) => new Wave(model, kind, SOUNDS[kind] ?? kind, true)),
      ...[...lines].filter(([name]) => name.startsWith("opening")).map(([, series]) => this.#lines(series)),
      ...fetched.filter(({ kind }) => kind !== "line").map((track) => new Mask(model.cursor, track, track.data)),
      ...sounds.slice(0, 1).map((kind) => new Mel(model, kind, `Mel of ${(SOUNDS[kind] ?? kind).toLowerCase()}`)),
      ...[...lines].filter(([name]) => !name.startsWith("opening")).map(([, series]) => this.#lines(series)),
      ...sounds.slice(1).flatMap((kind) => [
        new Wave(model, kind, SOUNDS[kind] ?? kind, false),
        new Mel(model, kind, `Mel of ${(SOUNDS[kind] ?? kind).toLowerCase()}`),
      ]),
    ];
  }

  #lines(series) {
    const [{ group, unit }] = series;
    const title = group[0].toUpperCase() + group.slice(1);
    return new Lines(this.model.cursor, title, unit, series);
  }

  #clear() {
    for (const lane of this.#mounted) lane.close();
    this.#mounted.clear();
  }

  render() {
    const { cursor } = this.model;
    return html`
      <div class="lanes scroll" @wheel=${this.#wheel}>
        ${this.lanes.map((lane) => html`
          <div class="lane ${lane.constructor.name.toLowerCase()}">
            <div class="lane-name"><span class="lane-title">${lane.title}${lane.unit ? html` <span class="aside">${lane.unit}</span>` : nothing}</span>${this.#values(lane)}</div>
            ${lane instanceof Ruler
              ? html`<div class="plot" .lane=${lane} role="slider" tabindex="0" aria-label="Time cursor" aria-valuemin="0" aria-valuemax=${cursor.rows - 1}
                  aria-valuenow=${cursor.row} aria-valuetext="frame ${cursor.row}, ${clock(cursor.seconds)}" @keydown=${this.#keys}
                  @pointerdown=${this.#press} @pointermove=${this.#move} @pointerup=${this.#release}></div>`
              : html`<div class="plot" .lane=${lane} @pointerdown=${this.#press} @pointermove=${this.#move} @pointerup=${this.#release}></div>`}
          </div>`)}
        <div class="over" aria-hidden="true">
          <div class="band loop" hidden></div><div class="band mark" hidden></div><div class="line"></div>
        </div>
      </div>`;
  }

  #values(lane) {
    const values = lane.values?.(this.model.cursor.row) ?? [];
    return values.map(({ name, value, series }) => html`<span class="value ${series ? `series-${((series - 1) % 4) + 1}` : ""}">
      ${name ? html`<span>${name}</span>` : nothing}<span class="number">${typeof value === "number" ? figure(value) : value}</span></span>`);
  }

  updated() {
    for (const plot of this.querySelectorAll(".plot")) {
      const { lane } = plot;
      if (this.#mounted.has(lane)) continue;
      plot.replaceChildren();
      plot.style.height = `${lane.height}px`;
      this.#mounted.add(lane);
      lane.mount(plot);
      lane.show(...this.model.cursor.window);
    }
    this.#place();
  }

  #moved() {
    this.#place();
    this.requestUpdate();
  }

  #show() {
    for (const lane of this.#mounted) lane.show(...this.model.cursor.window);
    this.#place();
  }

  #x(seconds) {
    const [from, to] = this.model.cursor.window;
    return (seconds - from) / (to - from);
  }

  /** Puts the cursor's line and the two spans where they belong; nothing is drawn anew. */
  #place() {
    const over = this.querySelector(".over");
    if (!over) return;
    const { cursor } = this.model;
    const wide = over.clientWidth;
    const at = this.#x((cursor.times[cursor.row] + cursor.times[cursor.row + 1]) / 2);
    over.querySelector(".line").style.transform = `translateX(${(at * wide).toFixed(1)}px)`;
    over.style.height = `${[...this.querySelectorAll(".lane")].reduce((sum, lane) => sum + lane.offsetHeight, 0)}px`;
    for (const [name, span] of [["loop", cursor.loop], ["mark", cursor.mark]]) {
      const band = over.querySelector(`.${name}`);
      band.hidden = !span;
      if (!span) continue;
      const [from, to] = span.map((row) => Math.min(1, Math.max(0, this.#x(cursor.times[row]))) * wide);
      band.style.transform = `translateX(${from}px)`;
      band.style.width = `${Math.max(0, to - from)}px`;
    }
  }

  #seconds(event) {
    const plot = this.querySelector(".ruler .plot").getBoundingClientRect();
    const [from, to] = this.model.cursor.window;
    return from + ((event.clientX - plot.left) / plot.width) * (to - from);
  }

  #press(event) {
    const { lane } = event.currentTarget;
    const region = event.composedPath().some((node) => node.part?.value?.startsWith("region "));
    if (event.button !== 0 || region || lane instanceof Overview) return;
    const { cursor, player } = this.model;
    if (player.playing) player.pause();
    event.currentTarget.setPointerCapture(event.pointerId);
    const row = cursor.at(this.#seconds(event));
    this.#scrubbing = { from: row, marks: event.shiftKey };
    cursor.go(row);
  }

  #move(event) {
    if (!this.#scrubbing) return;
    const { cursor } = this.model;
    const row = cursor.at(this.#seconds(event));
    const { from, marks } = this.#scrubbing;
    if (marks) cursor.setMark([Math.min(from, row), Math.max(from, row) + 1]);
    cursor.go(row);
  }

  #release() {
    this.#scrubbing = null;
  }

  #keys(event) {
    const { cursor, player } = this.model;
    const move = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageUp: 100, PageDown: -100, Home: -cursor.rows, End: cursor.rows }[event.key];
    if (!move) return;
    event.preventDefault();
    player.step(event.shiftKey ? move * 10 : move);
  }

  #wheel(event) {
    const { cursor } = this.model;
    const [from, to] = cursor.window;
    if (event.ctrlKey || event.metaKey || event.altKey) {
      event.preventDefault();
      cursor.zoom(2 ** (event.deltaY / 240), this.#seconds(event));
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      cursor.pan(((to - from) * (event.deltaX || event.deltaY)) / 1200);
    }
  }
}

customElements.define("time-lanes", TimeLanes);
