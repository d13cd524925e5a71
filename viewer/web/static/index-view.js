import { html, nothing, svg } from "lit";
import { get } from "./api.js";
import { figure } from "./format.js";
import { Part, settled } from "./part.js";

const PAGE = 60;

/** A prepared data set: its clips, and which of them survive thresholds on their scores. */
export class IndexView extends Part {
  static properties = {
    facts: { state: true }, fault: { state: true }, rows: { state: true }, survive: { state: true }, opened: { state: true }, faces: { state: true },
  };

  #count = settled(() => this.#read(), 120);
  #asked = 0;

  constructor() {
    super();
    this.limits = new Map();
    this.rows = [];
    this.survive = null;
  }

  async connectedCallback() {
    super.connectedCallback();
    try {
      this.facts = await get("index");
      document.title = `${this.facts.name} – Dubflow inspect`;
      this.#read();
    } catch (fault) {
      this.fault = fault.message;
    }
  }

  get commands() {
    return [{ id: "reset", title: "Reset all thresholds", keys: [], group: "Data set", run: () => this.#reset() }];
  }

  get #query() {
    return [...this.limits].map(([bound, value]) => `&${encodeURIComponent(bound)}=${value}`).join("");
  }

  async #read(from = 0) {
    const asked = ++this.#asked;
    try {
      const { rows, survive, total } = await get(`index/rows?from=${from}&count=${PAGE}${this.#query}`);
      if (asked !== this.#asked) return;
      this.rows = from ? [...this.rows, ...rows] : rows;
      [this.survive, this.total, this.fault] = [survive, total, null];
    } catch (fault) {
      if (asked === this.#asked) this.fault = fault.message;
    }
  }

  render() {
    const { facts, fault } = this;
    if (!facts) return html`<main class="page"><p class=${fault ? "fault" : "aside"} role="status">${fault ?? "Reading the index…"}</p></main>`;
    const { survive, rows } = this;
    return html`<main class="index ${this.opened ? "with-drawer" : ""}">
      <aside class="left scores scroll" aria-label="Scores" tabindex="0">
        <div class="survive"><p role="status"><strong class="number">${survive ?? "…"}</strong> of <span class="number">${facts.rows}</span> clips survive</p>
          <progress max=${facts.rows} .value=${survive ?? 0} aria-label="Clips that survive"></progress>
          <p class="pair">
            <a class="button main" href="/api/index/export?${this.#query.slice(1)}" download>Export as an index</a>
            <button @click=${() => this.#reset()} ?disabled=${!this.limits.size}>Reset</button>
          </p>
          ${fault ? html`<p class="fault" role="alert">${fault}</p>` : nothing}</div>
        ${facts.scores.map((score) => this.#score(score))}
      </aside>
      <section class="grid-side scroll" aria-label="Clips" tabindex="0">
        <header class="grid-head"><h1>${facts.name}</h1><span class="aside">${whose(facts)}</span></header>
        <ul class="grid">${rows.map((row) => this.#clip(row))}</ul>
        ${rows.length < (survive ?? 0)
          ? html`<p class="more"><button @click=${() => this.#read(rows.length)}>More: ${survive - rows.length} left</button></p>`
          : nothing}
      </section>
      ${this.opened ? this.#drawer() : nothing}
    </main>`;
  }

  #score({ name, doc, unit, low, high, histogram: { edges, counts } }) {
    const [least, most] = [this.limits.get(`min:${name}`) ?? low, this.limits.get(`max:${name}`) ?? high];
    const tallest = Math.max(1, ...counts);
    const span = high - low || 1;
    const wide = 100 / counts.length;
    const step = span / 200;
    const slider = (bound, value, label) => html`<input type="range" min=${low} max=${high} step=${step} .value=${String(value)} aria-label="${label} of ${name}" aria-valuetext=${figure(value)}
      @input=${(event) => this.#limit(`${bound}:${name}`, Number(event.target.value), bound === "min" ? low : high, step)}>`;
    return html`<section class="score">
      <h2>${name.replaceAll("_", " ")}${unit ? html` <span class="aside">[${unit}]</span>` : nothing}</h2>
      ${doc ? html`<p class="aside">${doc}</p>` : nothing}
      <svg viewBox="0 0 100 32" preserveAspectRatio="none" role="img" aria-label="Histogram of ${name}">
        ${counts.map((count, index) => {
          const middle = (edges[index] + edges[index + 1]) / 2;
          const tall = count ? Math.max(1, (31 * count) / tallest) : 0;
          return svg`<rect class=${middle >= least && middle <= most ? "in" : "out"} x=${index * wide} y=${32 - tall} width=${wide * 0.9} height=${tall}></rect>`;
        })}
      </svg>
      <div class="range">${slider("min", least, "Least")}${slider("max", most, "Greatest")}</div>
      <p class="ends number"><span>${figure(least)}</span><span>${figure(most)}</span></p>
    </section>`;
  }

  #clip(row) {
    return html`<li><button class="plain clip" aria-pressed=${this.opened?.row === row.row ? "true" : "false"} @click=${() => this.#open(row)}>
      <img alt="" loading="lazy" src="/api/index/thumb/${row.row}">
      <span class="clip-name">${name(row)}</span>
      <span class="aside">${[row.person, row.split].filter(Boolean).join(" · ")}</span></button></li>`;
  }

  #drawer() {
    const row = this.opened;
    const scores = new Set(this.facts.scores.map((score) => score.name));
    const values = Object.entries(row).filter(([, value]) => value !== null && typeof value !== "object");
    return html`<aside class="drawer" aria-label="Clip">
      <header class="drawer-head"><h2>${name(row)}</h2><button class="plain" @click=${() => (this.opened = null)}>Close</button></header>
      <div class="drawer-body scroll" tabindex="0">
        <img class="preview" alt="Middle frame of the clip" src="/api/index/thumb/${row.row}">
        <h3>Faces</h3>${this.#faces()}
        <h3>Facts</h3>
        <dl class="facts">${values.map(([key, value]) => html`<div>
          <dt>${key.replaceAll("_", " ")}${scores.has(key) ? " (score)" : ""}</dt>
          <dd class="number">${typeof value === "number" ? figure(value) : value}</dd></div>`)}</dl>
      </div></aside>`;
  }

  #faces() {
    const { faces } = this;
    if (!faces) return html`<p class="aside">Reading…</p>`;
    if (faces.error) return html`<p class="aside">${faces.error}</p>`;
    const { tracks, frames } = faces;
    return html`<ul class="faces">${tracks.map(({ track, chosen, start, stop }) => html`<li><span>Track ${track}${chosen ? " (chosen)" : ""}</span>
      <svg viewBox="0 0 ${frames} 4" preserveAspectRatio="none" role="img" aria-label="Frames ${start} to ${stop - 1} of ${frames}">
        <rect class="out" width=${frames} height="4"></rect><rect class="in" x=${start} width=${stop - start} height="4"></rect></svg>
      <span class="number aside">${start}–${stop - 1}</span></li>`)}</ul>`;
  }

  async #open(row) {
    [this.opened, this.faces] = [row, null];
    const faces = await get(`index/faces/${row.row}`).catch((fault) => ({ error: fault.message }));
    if (this.opened === row) this.faces = faces;
  }

  #limit(bound, value, free, step) {
    if (Math.abs(value - free) < step / 2) this.limits.delete(bound);
    else this.limits.set(bound, value);
    this.requestUpdate();
    this.#count();
  }

  #reset() {
    this.limits.clear();
    this.requestUpdate();
    this.#count();
  }
}

const name = ({ clip }) => clip.split("/").at(-1);

function whose({ persons, splits }) {
  const parts = Object.entries(splits).map(([split, count]) => `${split} ${count}`);
  return [`${persons} person${persons === 1 ? "" : "s"}`, ...parts].join(" · ");
}

customElements.define("index-view", IndexView);
