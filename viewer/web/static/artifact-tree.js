import { html } from "lit";
import { bytes } from "./format.js";
import { Part, tell } from "./part.js";

/** The run's stages as a tree: each stands under the first thing that it is made of. */
export class ArtifactTree extends Part {
  static properties = { model: { attribute: false }, chosen: { attribute: false } };

  connectedCallback() {
    super.connectedCallback();
    this.watch(this.model, ["stages"]);
  }

  render() {
    const { stages } = this.model.facts;
    const depth = new Map();
    for (const { kind, inputs } of stages) {
      const known = inputs.filter((input) => depth.has(input)).map((input) => depth.get(input));
      depth.set(kind, known.length ? Math.max(...known) + 1 : 0);
    }
    return html`<ul class="tree">
      ${stages.map(({ kind, key, title, state, bytes: size }) => html`<li>
        <button class="plain row depth-${Math.min(8, depth.get(kind))}" aria-pressed=${this.chosen === key ? "true" : "false"} @click=${() => tell(this, "artifact", { kind, key })}>
          <span class="state ${this.model.plan.get(kind) ?? state}"><span class="heard">${state}</span></span>
          <span class="name">${title ?? kind}</span><span class="number aside">${bytes(size)}</span>
        </button></li>`)}
    </ul>`;
  }
}

customElements.define("artifact-tree", ArtifactTree);
