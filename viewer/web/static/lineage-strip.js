import { html, nothing } from "lit";
import { path } from "./api.js";
import { bytes, lasting } from "./format.js";
import { Part, settled, tell } from "./part.js";

const STATES = { stored: "from store", missing: "not stored", damaged: "damaged" };
const PLANNED = { stored: "kept", computed: "would rerun", follows: "would rerun after" };

/** The stages left to right, each with its state and its picture at the cursor. */
export class LineageStrip extends Part {
  static properties = { model: { attribute: false }, chosen: { attribute: false }, row: { state: true }, bare: { state: true } };

  #follow = settled(() => {
    this.row = this.model.cursor.row;
  }, 150);

  constructor() {
    super();
    this.bare = new Set();
  }

  connectedCallback() {
    super.connectedCallback();
    this.model.pictured.then(() => this.#follow());
    this.watch(this.model, ["stages"]);
    this.watch(this.model.cursor, ["row"], () => this.#follow());
  }

  render() {
    const { model, chosen, row } = this;
    const { stages } = model.facts;
    const here = stages.find(({ key }) => key === chosen);
    const near = new Set(here?.inputs);
    return html`<nav class="lineage" aria-label="Stages"><ol class="scroll">
      ${stages.map((stage) => {
        const { kind, key, title, state, seconds, bytes: size, inputs, picture = true } = stage;
        const planned = model.plan.get(kind);
        const uses = here && inputs.includes(here.kind);
        return html`<li>
          <button class="stage ${planned ?? ""} ${near.has(kind) ? "input" : ""} ${uses ? "user" : ""}" aria-pressed=${chosen === key ? "true" : "false"}
            title=${inputs.length ? `${kind}, made of ${inputs.join(", ")}` : kind} @click=${() => tell(this, "artifact", { kind, key })}>
            ${this.row === undefined || this.bare.has(kind) || !picture || state !== "stored" ? html`<span class="thumb none" aria-hidden="true"></span>` : html`
              <img class="thumb" alt="" loading="lazy" fetchpriority="low" src="/api/${model.base}/${path("thumb", kind, row)}?width=192" @error=${() => this.#without(kind)}>`}
            <span class="stage-name">${title ?? kind}</span>
            <span class="state ${planned ?? state}">${planned ? PLANNED[planned] ?? planned : STATES[state] ?? state}</span>
            <span class="number aside">${[bytes(size), lasting(seconds)].filter(Boolean).join(" · ") || nothing}</span>
          </button></li>`;
      })}
    </ol></nav>`;
  }

  updated(changed) {
    if (changed.has("chosen")) this.querySelector("[aria-pressed='true']")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  #without(kind) {
    this.bare = new Set(this.bare).add(kind);
  }
}

customElements.define("lineage-strip", LineageStrip);
