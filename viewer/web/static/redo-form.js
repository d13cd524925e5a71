import { html, nothing } from "lit";
import { finished, get, post } from "./api.js";
import { clock } from "./format.js";
import { progressOf } from "./job-progress.js";
import { Part, tell } from "./part.js";
import { fields, nested } from "./schema-form.js";

const SKIP = ["video", "audio", "output", "store", "workers", "devices"];
const STATES = { stored: "kept", computed: "would rerun", follows: "would rerun after" };

/** Dubs the marked span, or all, with other settings: first what would run, then the run. */
export class RedoForm extends Part {
  static properties = {
    model: { attribute: false }, form: { state: true }, changes: { state: true }, plan: { state: true },
    job: { state: true }, fault: { state: true }, done: { state: true },
  };

  constructor() {
    super();
    this.changes = new Map();
  }

  connectedCallback() {
    super.connectedCallback();
    this.watch(this.model.cursor, ["span"], () => this.#stale());
    if (!this.form) this.#read();
  }

  async #read(method) {
    try {
      this.job = { title: "Reading the settings", progress: [] };
      const asked = method ? `?method=${encodeURIComponent(method)}` : "";
      const { schema, values } = await finished(await get(`${this.model.base}/schema${asked}`));
      this.ranMethod ??= values.method;
      const { method: which, method_settings: own, ...rest } = schema.properties;
      schema.properties = { method: which, method_settings: own, ...rest };
      this.form = { schema, values: { ...values, method: this.ranMethod } };
    } catch (fault) {
      this.fault = fault.message;
    }
    this.job = null;
  }

  render() {
    const { form, job, fault, plan, done } = this;
    const { mark, times } = this.model.cursor;
    const span = mark
      ? html`frames <span class="number">${mark[0]}–${mark[1] - 1}</span>, <span class="number">${clock(times[mark[0]])}</span> to <span class="number">${clock(times[mark[1]])}</span>`
      : html`the whole dub <span class="aside">(mark a span with M)</span>`;
    return html`<div class="redo">
      <p>Dubs again: ${span}</p>
      ${form ? html`<form @submit=${(event) => event.preventDefault()}>
        ${fields(form.schema, form.values, { root: form.schema, changes: this.changes, set: (where, value) => this.#set(where, value), skip: new Set(SKIP), open: new Set(["method_settings"]) })}
      </form>` : nothing}
      <div class="redo-foot">
        ${job ? progressOf(job, job.title) : html`
          <span class="aside">${this.changes.size ? `${this.changes.size} changed` : "No changes"}</span>
          <button ?disabled=${!form} @click=${() => this.#plan()}>What would rerun?</button>
          <button class="main" ?disabled=${!form} @click=${() => this.#redo()}>Run</button>`}
        ${fault ? html`<p class="fault" role="alert">${fault}</p>` : nothing}
        ${done ? html`<p role="status">Done: the new dub is B beside this one. <button class="plain" @click=${() => tell(this, "open", `#/run/${done}`)}>Open it alone</button></p>` : nothing}
        ${plan ? this.#planned(plan) : nothing}
      </div>
    </div>`;
  }

  #planned({ stages, faults = [] }) {
    const rerun = stages.filter(({ state }) => state !== "stored").length;
    const first = stages.toSorted((one, other) => (one.state === "stored") - (other.state === "stored"));
    return html`<section class="plan" aria-label="What would rerun">
      <h3>${rerun ? `${rerun} of ${stages.length} stages would run` : "Nothing would run: all is in the store"}</h3>
      ${faults.map((fault) => html`<p class="fault">${fault}</p>`)}
      <ul>${first.map(({ kind, state, computed, ranges }) => html`<li><span class="name">${kind}</span><span class="state ${state}">${STATES[state] ?? state}</span>
        <span class="number aside">${computed && ranges > 1 ? `${computed} of ${ranges} ranges` : ""}</span></li>`)}</ul>
    </section>`;
  }

  #set(where, value) {
    const changes = new Map(this.changes);
    if (value === undefined) changes.delete(where);
    else changes.set(where, value);
    this.changes = changes;
    this.#stale();
    if (where === "method") this.#method(value);
  }

  /** Another method has other settings of its own. */
  async #method(method) {
    const own = [...this.changes].filter(([where]) => !where.startsWith("method_settings."));
    await this.#read(method);
    this.changes = new Map(own);
  }

  #stale() {
    this.plan = null;
    this.model.setPlan([]);
    this.requestUpdate();
  }

  get #asked() {
    return { changes: nested(this.changes), span: this.model.cursor.mark };
  }

  async #plan() {
    const plan = await this.#job("plan", "Planning");
    if (!plan) return;
    this.plan = plan;
    this.model.setPlan(plan.stages);
  }

  async #redo() {
    const span = this.model.cursor.mark;
    const made = await this.#job("redo", "Dubbing");
    if (!made) return;
    this.done = made.run;
    await this.model.compare(made.run, span).catch((fault) => (this.fault = fault.message));
  }

  async #job(what, title) {
    [this.fault, this.done] = [null, null];
    this.job = { title, progress: [] };
    try {
      return await finished(await post(`${this.model.base}/${what}`, this.#asked), (id, progress) => (this.job = { id, title, progress }));
    } catch (fault) {
      this.fault = fault.message;
      return null;
    } finally {
      this.job = null;
    }
  }
}

customElements.define("redo-form", RedoForm);
