import { html, nothing } from "lit";
import { get, path } from "./api.js";
import { Part, tell } from "./part.js";
import { RunModel } from "./run-model.js";
import "./artifact-details.js";
import "./artifact-tree.js";
import "./lineage-strip.js";
import "./redo-form.js";
import "./stage-view.js";
import "./suspect-list.js";
import "./time-lanes.js";
import "./transport-bar.js";

const TABS = { suspects: "Suspects", artifacts: "Artifacts" };

/** One run on one cursor. */
export class RunView extends Part {
  static properties = {
    run: {}, row: { type: Number }, model: { state: true }, fault: { state: true }, tab: { state: true },
    drawer: { state: true }, artifact: { state: true }, runs: { state: true },
  };

  constructor() {
    super();
    this.tab = "suspects";
    this.runs = [];
  }

  connectedCallback() {
    super.connectedCallback();
    this.watch(this, ["artifact"], ({ detail }) => this.#artifact(detail));
    this.watch(this, ["command"], ({ detail }) => this.commands.find(({ id }) => id === detail)?.run());
  }

  willUpdate(changed) {
    if (changed.has("run")) this.#open();
    else if (changed.has("row") && this.row >= 0) this.model?.cursor.go(this.row);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.model?.close();
  }

  async #open() {
    this.model?.close();
    [this.model, this.fault, this.drawer] = [null, null, null];
    try {
      const model = await RunModel.open(this.run);
      if (!this.isConnected) return model.close();
      if (this.row >= 0) model.cursor.go(this.row);
      this.watch(model, ["change"]);
      this.watch(model.frames, ["fault"], ({ detail }) => tell(this, "fault", detail.message));
      this.model = model;
      document.title = `${model.facts.output ?? model.facts.id} – Dubflow inspect`;
      tell(this, "opened", model.facts);
      this.runs = await get("runs?limit=100").catch(() => []);
    } catch (fault) {
      this.fault = fault.message;
    }
  }

  render() {
    const { model, fault } = this;
    if (fault) return html`<main class="page"><p class="fault" role="alert">${fault}</p></main>`;
    if (!model) return html`<main class="page"><p class="aside" role="status">Opening the run…</p></main>`;
    return html`<main class="run ${this.drawer ? "with-drawer" : ""}">
      <aside class="left" aria-label="Suspects and artifacts">
        <div class="tabs" role="tablist" aria-label="Lists" @keydown=${this.#tabKeys}>
          ${Object.entries(TABS).map(([name, title]) => html`<button id="tab-${name}" role="tab" aria-controls="panel-${name}" aria-selected=${this.tab === name ? "true" : "false"}
            tabindex=${this.tab === name ? 0 : -1} @click=${() => (this.tab = name)}>${title}</button>`)}
        </div>
        <div class="tab-panel scroll" id="panel-${this.tab}" role="tabpanel" aria-labelledby="tab-${this.tab}" tabindex="0">
          ${this.tab === "suspects" ? html`<suspect-list .model=${model}></suspect-list>` : html`<artifact-tree .model=${model} .chosen=${this.artifact?.key}></artifact-tree>`}
        </div>
      </aside>
      <section class="stage" aria-label="Picture"><stage-view .model=${model}></stage-view></section>
      <section class="time" aria-label="Time">
        <transport-bar .model=${model}></transport-bar>
        <time-lanes .model=${model}></time-lanes>
      </section>
      ${this.drawer ? this.#drawer() : nothing}
      <lineage-strip .model=${model} .chosen=${this.drawer === "artifact" ? this.artifact?.key : null}></lineage-strip>
    </main>`;
  }

  #drawer() {
    const { model, artifact } = this;
    const names = { artifact: artifact?.kind, redo: "Redo", compare: "Compare with another dub" };
    return html`<aside class="drawer" aria-label=${names[this.drawer]}>
      <header class="drawer-head"><h2>${names[this.drawer]}</h2><button class="plain" @click=${() => this.#show(null)}>Close</button></header>
      <div class="drawer-body scroll" tabindex="-1">
        ${this.drawer === "redo" ? html`<redo-form .model=${model}></redo-form>`
          : this.drawer === "compare" ? this.#compare()
          : html`<artifact-details .kind=${artifact.kind} .key=${artifact.key}></artifact-details>`}
      </div></aside>`;
  }

  #compare() {
    const others = this.runs.filter(({ id, output }) => id !== this.model.facts.id && output);
    return html`<p class="aside">B is shown beside this run's dub, on this run's cursor.</p>
      <ul class="links">${others.map(({ id, name, output, method, created }) => html`<li><button class="plain" @click=${() => this.#against(id)}>${name ?? output}</button>
        <span class="aside">${[method, created && new Date(typeof created === "number" ? created * 1000 : created).toLocaleString()].filter(Boolean).join(", ")}</span></li>`)}</ul>
      ${others.length ? nothing : html`<p>The store has no other dub.</p>`}`;
  }

  async #against(id) {
    await this.model.compare(id).catch((fault) => tell(this, "fault", fault.message));
  }

  #artifact(artifact) {
    this.artifact = artifact;
    this.#show("artifact");
  }

  /** Opens a drawer and goes into it; a closed one gives the focus back. */
  async #show(drawer) {
    if (drawer && !this.drawer) this.returning = document.activeElement;
    this.drawer = drawer;
    await this.updateComplete;
    if (drawer) this.querySelector(".drawer-body").focus({ preventScroll: true });
    else this.returning?.focus();
  }

  /** What keys and palette can do here. @returns {import("./keys.js").Command[]} */
  get commands() {
    const { model } = this;
    if (!model) return [];
    const { cursor, player } = model;
    const stage = () => this.querySelector("stage-view");
    const entry = (group) => (id, title, keys, run) => ({ id, title, keys, group, run });
    const [move, look, mark, more] = ["Move", "Look", "Mark and redo", "Show"].map(entry);
    return [
      move("play", player.playing ? "Pause" : "Play", [" "], () => player.toggle()),
      move("back", "One frame back", ["ArrowLeft"], () => player.step(-1)),
      move("forth", "One frame on", ["ArrowRight"], () => player.step(1)),
      move("back-ten", "Ten frames back", ["Shift+ArrowLeft"], () => player.step(-10)),
      move("forth-ten", "Ten frames on", ["Shift+ArrowRight"], () => player.step(10)),
      move("backwards", "Play backwards; again: faster", ["j"], () => player.shuttle(-1)),
      move("stop", "Stop", ["k"], () => player.pause()),
      move("forwards", "Play; again: faster", ["l"], () => player.shuttle(1)),
      move("previous-suspect", "Previous suspect", [","], () => model.nextSuspect(-1)),
      move("next-suspect", "Next suspect", ["."], () => model.nextSuspect(1)),
      move("go", "Go to a frame or a time", ["g"], () => tell(this, "palette", "go")),
      look("wipe", "Wipe", ["w"], () => model.setLayout("wipe")),
      look("difference", "Difference", ["d"], () => model.setLayout("difference")),
      ...model.layers.map(({ title }, index) => look(`layer-${index}`, `Layer: ${title}`, index < 9 ? [String(index + 1)] : [], () => model.toggleLayer(index))),
      look("zoom-mouth", "Zoom to the mouth", [], () => stage().toMouth()),
      look("zoom-picture", "Whole picture", [], () => stage().whole()),
      look("zoom-in", "Time: closer", ["+"], () => cursor.zoom(0.5)),
      look("zoom-out", "Time: further", ["-"], () => cursor.zoom(2)),
      look("zoom-all", "Time: all of it", ["0"], () => cursor.show(cursor.start, cursor.end)),
      mark("loop-start", "Loop from this frame", ["["], () => cursor.loopHere("[")),
      mark("loop-end", "Loop to this frame", ["]"], () => cursor.loopHere("]")),
      mark("mark", "Mark a span: begin, then end", ["m"], () => cursor.markHere()),
      mark("clear", "Clear loop and mark", ["Escape"], () => cursor.clear()),
      mark("redo", "Redo the span with other settings", ["r"], () => this.#show("redo")),
      more("compare", "Compare with another dub (A/B)", [], () => this.#show("compare")),
      ...Object.entries(TABS).map(([name, title]) => more(`tab-${name}`, title, [], () => (this.tab = name))),
      more("close", "Close the drawer", [], () => this.#show(null)),
      ...model.facts.stages.map(({ kind, key, title }) => more(`stage-${key}`, `Artifact: ${title ?? kind}`, [], () => this.#artifact({ kind, key }))),
    ];
  }

  goTo({ row, seconds }) {
    const { cursor } = this.model;
    if (row === undefined) cursor.seek(seconds);
    else cursor.go(row);
  }

  #tabKeys(event) {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    event.preventDefault();
    event.stopPropagation();
    const names = Object.keys(TABS);
    this.tab = names[(names.indexOf(this.tab) + 1) % names.length];
    this.updateComplete.then(() => this.querySelector(`#tab-${this.tab}`).focus());
  }
}

customElements.define("run-view", RunView);
