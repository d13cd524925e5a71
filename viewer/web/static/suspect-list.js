import { html, nothing } from "lit";
import { clock } from "./format.js";
import { Part } from "./part.js";
import { progressOf } from "./job-progress.js";

/** The places that deserve a look, heaviest first, each with its reason. */
export class SuspectList extends Part {
  static properties = { model: { attribute: false }, only: { state: true }, job: { state: true }, fault: { state: true } };

  constructor() {
    super();
    this.only = "";
  }

  connectedCallback() {
    super.connectedCallback();
    this.watch(this.model, ["suspects"], () => {
      this.requestUpdate();
      if (this.model.suspects.state === "computing" && !this.job) this.#find();
    });
    this.watch(this.model.cursor, ["row"]);
  }

  render() {
    const { model, only } = this;
    const { state, rows, not_judged: unjudged = [] } = model.suspects;
    if (this.job) return html`<div class="empty">${progressOf(this.job, "Looking for suspect places")}</div>`;
    if (state !== "ready") {
      return html`<div class="empty"><p>Nobody has looked for suspect places in this run yet.</p>
        <button class="main" @click=${this.#find}>Find suspects</button>
        ${this.fault ? html`<p class="fault" role="alert">${this.fault}</p>` : nothing}</div>`;
    }
    const titles = new Map(rows.map((row) => [row.class, row.title]));
    const shown = rows.filter((row) => !only || row.class === only).sort((a, b) => b.weight - a.weight);
    const { row } = model.cursor;
    return html`
      <div class="list-head">
        <select aria-label="Class of suspects" @change=${(event) => (this.only = event.target.value)}>
          <option value="">All classes (${rows.length})</option>
          ${[...titles].map(([name, title]) => html`<option value=${name}>${title} (${rows.filter((one) => one.class === name).length})</option>`)}
        </select>
      </div>
      ${shown.length ? nothing : html`<div class="empty"><p>No suspect place was found.</p></div>`}
      <ol class="suspects">
        ${shown.map(({ title, start, stop, weight, reason }) => html`<li>
          <button class="plain suspect" aria-current=${row >= start && row < stop ? "true" : "false"} @click=${() => this.#open(start, stop)}>
            <span class="suspect-head"><strong>${title}</strong><span class="number aside">${clock(model.cursor.times[start]).slice(2)}</span></span>
            <span class="reason">${reason}</span>
            <span class="suspect-foot"><meter min="0" max="1" .value=${Math.min(1, weight)} aria-label="Weight"></meter>
              <span class="number aside">${stop - start > 1 ? `frames ${start}–${stop - 1}` : `frame ${start}`} · ${weight.toFixed(2)}</span></span>
          </button></li>`)}
      </ol>
      ${unjudged.length ? html`<details class="unjudged"><summary>Not judged: ${unjudged.length} of the classes</summary>
        <dl>${unjudged.map(({ title, why }) => html`<dt>${title}</dt><dd class="aside">${why}</dd>`)}</dl></details>` : nothing}`;
  }

  #open(start, stop) {
    const { cursor } = this.model;
    cursor.setMark([start, stop]);
    cursor.go(start);
  }

  async #find() {
    this.fault = null;
    this.job = { progress: [] };
    try {
      await this.model.findSuspects((id, progress) => (this.job = { id, progress }));
    } catch (fault) {
      this.fault = fault.message;
    }
    this.job = null;
  }
}

customElements.define("suspect-list", SuspectList);
