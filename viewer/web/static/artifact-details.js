import { html, nothing } from "lit";
import { get, path } from "./api.js";
import { bytes, lasting, when } from "./format.js";
import { Part, tell } from "./part.js";

const NAMES = { bytes: "Size", created: "Made", seconds: "Took", rows: "Rows", version: "Version", kind: "Kind", key: "Key" };
const words = (name) => name.replaceAll("_", " ").replace(/^./, (first) => first.toUpperCase());
const SHOWN = { bytes, seconds: lasting, created: when };

/** One artifact: where it comes from, what it holds with shapes and units, who uses it. */
export class ArtifactDetails extends Part {
  static properties = { kind: {}, key: {}, facts: { state: true }, fault: { state: true }, drawn: { state: true } };

  willUpdate(changed) {
    if (changed.has("kind") || changed.has("key")) this.#read();
  }

  async #read() {
    const { kind, key } = this;
    [this.facts, this.fault] = [null, null];
    if (!key) return;
    try {
      const facts = await get(path("artifacts", kind, key));
      if (this.key === key && this.kind === kind) [this.facts, this.drawn] = [facts, facts.picture ?? true];
    } catch (fault) {
      this.fault = fault.message;
    }
  }

  render() {
    const { facts, fault, kind, key } = this;
    if (fault) return html`<p class="fault" role="alert">${fault}</p>`;
    if (!key) return html`<p class="aside">${kind} is not in the store.</p>`;
    if (!facts) return html`<p class="aside">Reading…</p>`;
    const { arrays = [], inputs = [], used_by: users = [], parameters, attributes, picture, ...rest } = facts;
    const told = Object.entries(rest).filter(([, value]) => value !== null && typeof value !== "object");
    return html`
      ${this.drawn ? html`<img class="preview" alt="Picture of ${kind}" src="/api/${path("artifacts", kind, key)}/preview" @error=${() => (this.drawn = false)}>` : nothing}
      <dl class="facts">
        ${told.map(([name, value]) => html`<div><dt>${NAMES[name] ?? words(name)}</dt><dd class="number">${SHOWN[name]?.(value) ?? String(value)}</dd></div>`)}
      </dl>
      ${arrays.length ? html`<h3>Arrays</h3>` : nothing}
      ${arrays.map(({ name, dtype, dims, shape, units, doc, chunk }) => html`<div class="array">
        <p><strong>${name}</strong> <code>${dtype} ${axes(shape, dims)}</code> <span class="aside">${units}</span></p>
        ${doc ? html`<p class="aside">${doc}</p>` : nothing}
        ${chunk?.length ? html`<p class="aside">in chunks of <code>${[chunk].flat().join(" × ")}</code></p>` : nothing}</div>`)}
      ${this.#links("Made of", inputs)} ${this.#links("Used by", users)}
      ${json("Settings", parameters)} ${json("Attributes", attributes)}`;
  }

  #links(title, list) {
    if (!list.length) return nothing;
    return html`<h3>${title}</h3><ul class="links">${list.map(({ kind, key, name }) => html`<li>
      ${kind === "source" ? html`<span>${name}: a file</span>` : html`<button class="plain" @click=${() => tell(this, "artifact", { kind, key })}>
        ${name && name !== kind ? html`<span class="aside">${name}</span>` : nothing} ${kind}</button>`}
      <code class="aside">${key.slice(0, 12)}</code></li>`)}</ul>`;
  }
}

const axes = (shape, dims) =>
  shape.length ? `[${shape.map((size, axis) => `${dims[axis] ?? ""} ${size}`.trim()).join(", ")}]` : "";

const json = (title, value) =>
  value && Object.keys(value).length ? html`<h3>${title}</h3><pre class="scroll number" tabindex="0" aria-label=${title}>${JSON.stringify(value, null, 2)}</pre>` : nothing;

customElements.define("artifact-details", ArtifactDetails);
