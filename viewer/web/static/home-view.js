import { html, nothing } from "lit";
import { get } from "./api.js";
import { when } from "./format.js";
import { Part } from "./part.js";

/** The store's runs, newest first. */
export class HomeView extends Part {
  static properties = { store: {}, runs: { state: true }, fault: { state: true }, text: { state: true } };

  constructor() {
    super();
    this.text = "";
  }

  async connectedCallback() {
    super.connectedCallback();
    document.title = "Dubflow inspect";
    try {
      this.runs = await get("runs?limit=100");
    } catch (fault) {
      this.fault = fault.message;
    }
  }

  render() {
    const { runs, fault, text } = this;
    const found = runs?.filter((run) => JSON.stringify(Object.values(run)).toLowerCase().includes(text.toLowerCase())) ?? [];
    return html`<main class="page scroll"><div class="home">
      <header><h1>Runs</h1><code class="aside">${this.store}</code>
        ${runs?.length ? html`<input type="text" class="end" aria-label="Find a run" placeholder="Find…" .value=${text} @input=${(event) => (this.text = event.target.value)}>` : nothing}</header>
      ${fault ? html`<p class="fault" role="alert">${fault}</p>` : nothing}
      ${runs && !runs.length ? html`<p>This store holds no runs yet. Make one with <code>dubflow demo</code>.</p>` : nothing}
      ${runs?.length ? html`<table><thead><tr><th scope="col">Output</th><th scope="col">Method</th><th scope="col">Command</th><th scope="col">When</th><th scope="col">Run</th></tr></thead><tbody>
        ${found.map(({ id, name, method, command, created, redo_of: redone }) => html`<tr>
          <td><a href="#/run/${encodeURIComponent(id)}">${name}</a></td>
          <td>${method ?? ""}</td>
          <td>${command} <span class="aside">${again(redone)}</span></td>
          <td class="number">${when(created)}</td>
          <td><code class="aside">${id.slice(0, 12)}</code></td></tr>`)}
      </tbody></table>` : nothing}
    </div></main>`;
  }
}

function again(redone) {
  if (!redone) return "";
  const { run, span } = redone;
  return `again of ${run.slice(0, 12)}${span ? `, frames ${span[0]}–${span[1] - 1}` : ""}`;
}

customElements.define("home-view", HomeView);
