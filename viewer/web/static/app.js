import { html, nothing } from "lit";
import { get } from "./api.js";
import { icon } from "./icons.js";
import { listen } from "./keys.js";
import { Part } from "./part.js";
import "./artifact-details.js";
import "./home-view.js";
import "./index-view.js";
import "./palette.js";
import "./run-view.js";

const SYSTEM = matchMedia("(prefers-color-scheme: dark)");

/** Dark or light: what was chosen here, else what the system says. */
function paint() {
  document.documentElement.dataset.theme = localStorage.getItem("theme") ?? (SYSTEM.matches ? "dark" : "light");
  window.dispatchEvent(new CustomEvent("theme"));
}

/** The page: which view an address (`#/run/ID/ROW`) or the session's subject opens, and the top bar. */
class InspectApp extends Part {
  static properties = { session: { state: true }, view: { state: true }, fault: { state: true }, facts: { state: true } };

  async connectedCallback() {
    super.connectedCallback();
    paint();
    this.watch(SYSTEM, ["change"], paint);
    this.watch(window, ["theme"]);
    this.watch(window, ["hashchange"], () => this.#route());
    this.watch(this, ["fault"], ({ detail }) => (this.fault = detail));
    this.watch(this, ["open"], ({ detail }) => (location.hash = detail));
    this.watch(this, ["artifact"], ({ detail }) => this.view?.kind === "artifact" && (location.hash = `#/artifact/${encodeURIComponent(detail.kind)}/${encodeURIComponent(detail.key)}`));
    this.watch(this, ["palette"], ({ detail }) => this.#palette(detail));
    this.watch(this, ["opened"], ({ detail }) => (this.facts = detail));
    this.unlisten = listen(() => this.commands);
    if (location.hash) this.#route(); // what the address names needs no answer first
    try {
      this.session = await get("session");
      if (!location.hash) this.#route();
    } catch (fault) {
      this.fault = fault.message;
    }
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.unlisten();
  }

  #route() {
    const [, kind, ...rest] = location.hash.split("/");
    const ids = rest.map(decodeURIComponent);
    const subject = this.session?.subject;
    this.fault = null;
    if (kind) this.view = { kind, ids };
    else if (subject) this.view = { kind: subject.kind, ids: subject.kind === "artifact" ? subject.id.split("/") : [subject.id] };
    if (this.view?.kind !== "run") this.facts = null;
  }

  get #shown() {
    return this.querySelector("run-view, index-view");
  }

  /** @returns {import("./keys.js").Command[]} */
  get commands() {
    const all = (id, title, keys, run) => ({ id, title, keys, group: "Page", run });
    return [
      ...(this.#shown?.commands ?? []),
      all("palette", "All commands", ["Control+k"], () => this.#palette("commands")),
      all("help", "Keys", ["?"], () => this.#palette("help")),
      all("theme", "Dark or light", [], () => this.#theme()),
      all("home", "All runs", [], () => (location.hash = "#/home")),
    ];
  }

  #palette(mode) {
    const palette = this.querySelector("command-palette");
    palette.commands = this.commands;
    palette.go = (where) => this.#shown?.goTo?.(where);
    palette.open(mode);
  }

  #theme() {
    localStorage.setItem("theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    paint();
  }

  render() {
    const { facts, fault } = this;
    const dark = document.documentElement.dataset.theme === "dark";
    return html`
      <header class="top">
        <a class="brand" href="#/home" aria-label="All runs"><img src="/static/icon.svg" alt="" width="20" height="20"><span>Dubflow inspect</span></a>
        ${facts ? html`<span class="crumb"><h1>${(facts.output ?? facts.id).split("/").at(-1)}</h1>
          <span class="aside facts-line">${summary(facts)}</span>
          <code class="aside">${facts.id.slice(0, 12)}</code></span>` : nothing}
        <span class="end">
          <button class="search" @click=${() => this.#palette("commands")} aria-keyshortcuts="Control+K">Commands <kbd>Ctrl K</kbd></button>
          <button class="icon plain" aria-label=${dark ? "Light colours" : "Dark colours"} @click=${() => this.#theme()}>${icon(dark ? "light" : "dark")}</button>
          <button class="icon plain" aria-label="Keys" aria-keyshortcuts="?" @click=${() => this.#palette("help")}>?</button>
        </span>
      </header>
      ${fault ? html`<p class="banner fault" role="alert"><span>${fault}</span><button class="plain" @click=${() => (this.fault = null)}>Dismiss</button></p>` : nothing}
      ${this.view ? this.#view() : fault ? nothing : html`<main class="page"><p class="aside" role="status">Opening…</p></main>`}
      <command-palette></command-palette>`;
  }

  #view() {
    const { kind, ids } = this.view;
    if (kind === "run") return html`<run-view .run=${ids[0]} .row=${ids[1] === undefined ? -1 : Number(ids[1])}></run-view>`;
    if (kind === "index") return html`<index-view></index-view>`;
    if (kind === "artifact") {
      return html`<main class="page scroll"><div class="home"><header><h1>${ids[0]}</h1><code class="aside">${ids[1]}</code></header>
        <artifact-details .kind=${ids[0]} .key=${ids[1]}></artifact-details></div></main>`;
    }
    return html`<home-view .store=${this.session?.store}></home-view>`;
  }
}

function summary({ settings, rows, seconds, variable_rate: variable, videos: { source } }) {
  const told = [settings.method, `${rows} frames`, `${seconds.toFixed(2)} s`, variable && "variable rate"];
  return [...told, `${source.width} × ${source.height}`].filter(Boolean).join(" · ");
}

customElements.define("inspect-app", InspectApp);
