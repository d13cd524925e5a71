import { html, nothing } from "lit";
import { path, post } from "./api.js";

/**
 * What a job has done so far, and a button that stops it.
 * @param {{id?: string, progress: {name: string, done: number, total: number}[]}} job
 */
export const progressOf = ({ id, progress }, title) => html`
  <div class="job" role="status">
    <p>${title}…</p>
    ${progress.slice(-8).map(({ name, done, total }) => html`<p class="job-line"><span>${name}</span><span class="number aside">${total ? `${done} / ${total}` : done || ""}</span>
      ${total ? html`<progress max=${total} .value=${done} aria-label=${name}></progress>` : html`<progress aria-label=${name}></progress>`}</p>`)}
    ${progress.length ? nothing : html`<progress aria-label=${title}></progress>`}
    ${id ? html`<button @click=${() => post(path("jobs", id, "cancel"))}>Stop</button>` : nothing}
  </div>`;
