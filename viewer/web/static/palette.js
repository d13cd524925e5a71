import { html, nothing } from "lit";
import { place } from "./format.js";
import { shown } from "./keys.js";
import { Part } from "./part.js";

/** Every command by its name (Ctrl K), and all keys (?). */
export class CommandPalette extends Part {
  static properties = { commands: { attribute: false }, mode: { state: true }, text: { state: true }, chosen: { state: true } };

  constructor() {
    super();
    [this.commands, this.mode, this.text, this.chosen] = [[], "", "", 0];
    this.go = null;
  }

  get dialog() {
    return this.querySelector("dialog");
  }

  /** @param {"commands" | "help" | "go"} mode */
  async open(mode) {
    [this.mode, this.text, this.chosen] = [mode, "", 0];
    await this.updateComplete;
    if (!this.dialog.open) this.dialog.showModal();
    this.querySelector("input")?.focus();
  }

  render() {
    const names = { commands: "Commands", help: "Keys", go: "Go to a frame or a time" };
    return html`<dialog class="palette mode-${this.mode}" aria-label=${names[this.mode] ?? "Commands"} @click=${this.#outside}>
      ${this.mode === "help" ? this.#help() : this.mode === "go" ? this.#goTo() : this.mode ? this.#list() : nothing}
    </dialog>`;
  }

  get found() {
    const words = this.text.toLowerCase().split(/\s+/);
    const place = ({ title }) => title.toLowerCase().indexOf(this.text.toLowerCase()) + 1 || 100;
    return this.commands
      .filter(({ title, group }) => words.every((word) => `${title} ${group}`.toLowerCase().includes(word)))
      .sort((one, other) => place(one) - place(other));
  }

  #list() {
    const { found } = this;
    const id = (index) => `command-${index}`;
    return html`
      <input type="text" role="combobox" aria-expanded="true" aria-controls="commands" aria-label="Command" placeholder="What to do…" autocomplete="off" spellcheck="false"
        aria-activedescendant=${found.length ? id(this.chosen) : ""} .value=${this.text} @input=${this.#type} @keydown=${this.#keys}>
      <div id="commands" class="commands scroll" role="listbox" aria-label="Commands" tabindex="-1">
        ${found.map((command, index) => html`
          <div id=${id(index)} class="command" role="option" aria-selected=${index === this.chosen ? "true" : "false"} @click=${() => this.#run(command)}>
            <span>${command.title}</span><span class="aside">${command.group}</span>
            <span class="keys">${command.keys.map((key) => html`<kbd>${shown(key)}</kbd>`)}</span>
          </div>`)}
        ${found.length ? nothing : html`<p class="command aside">Nothing is called that.</p>`}
      </div>`;
  }

  #help() {
    const groups = Map.groupBy(this.commands.filter(({ keys }) => keys.length), ({ group }) => group);
    return html`<header class="dialog-head"><h2>Keys</h2><button @click=${() => this.dialog.close()}>Close</button></header>
      <div class="help">
        ${[...groups].map(([group, commands]) => html`<section><h3>${group}</h3><dl>
          ${commands.map(({ title, keys }) => html`<div><dt>${keys.map((key) => html`<kbd>${shown(key)}</kbd> `)}</dt><dd>${title}</dd></div>`)}
        </dl></section>`)}
      </div>`;
  }

  #goTo() {
    const bad = this.text && !place(this.text);
    return html`<form class="go" @submit=${this.#gone}>
      <label for="place">Go to a frame or a time</label>
      <input id="place" type="text" autocomplete="off" placeholder="120, or 0:04.8" .value=${this.text} aria-invalid=${bad ? "true" : "false"} aria-describedby="place-help" @input=${this.#type}>
      <button class="main">Go</button>
      <p id="place-help" class=${bad ? "fault" : "aside"}>A frame's number, or a time as in 1:02.5 or 4.8 s.</p>
    </form>`;
  }

  #type(event) {
    [this.text, this.chosen] = [event.target.value, 0];
  }

  #keys(event) {
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const { found } = this;
    if (move && found.length) {
      event.preventDefault();
      this.chosen = (this.chosen + move + found.length) % found.length;
      this.updateComplete.then(() => this.querySelector("[aria-selected='true']")?.scrollIntoView({ block: "nearest" }));
    } else if (event.key === "Enter" && found[this.chosen]) {
      event.preventDefault();
      this.#run(found[this.chosen]);
    }
  }

  #run(command) {
    this.dialog.close();
    command.run();
  }

  #gone(event) {
    event.preventDefault();
    const where = place(this.text);
    if (!where) return;
    this.dialog.close();
    this.go?.(where);
  }

  #outside(event) {
    if (event.target === this.dialog) this.dialog.close();
  }
}

customElements.define("command-palette", CommandPalette);
