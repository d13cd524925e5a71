import { html, nothing } from "lit";
import { clock } from "./format.js";
import { icon } from "./icons.js";
import { Part, settled, tell } from "./part.js";

const SOUNDS = { speech: "New speech", own: "Source's sound", off: "No sound" };

/** Play, step, time and frame, what is heard, and the marked span. */
export class TransportBar extends Part {
  static properties = { model: { attribute: false }, said: { state: true } };

  #say = settled(() => {
    const { cursor } = this.model;
    this.said = `frame ${cursor.row}, ${clock(cursor.seconds)}`;
  }, 200);

  connectedCallback() {
    super.connectedCallback();
    const { model } = this;
    this.watch(model, ["change"]);
    this.watch(model.player, ["change"]);
    this.watch(model.cursor, ["span"]);
    this.watch(model.cursor, ["row"], ({ detail }) => {
      this.requestUpdate();
      if (detail !== "play") this.#say();
    });
  }

  render() {
    const { model } = this;
    const { cursor, player, facts } = model;
    const source = model.sourceFrames?.[cursor.row];
    const button = (name, sign, keys, call) => html`<button class="icon plain" aria-label=${name} title="${name} (${keys})" aria-keyshortcuts=${keys} @click=${call}>${icon(sign)}</button>`;
    return html`
      <div class="transport" role="toolbar" aria-label="Playing">
        ${button("Previous suspect", "before", ",", () => model.nextSuspect(-1))}
        ${button("One frame back", "back", "ArrowLeft", () => player.step(-1))}
        ${button(player.playing ? "Pause" : "Play", player.playing ? "pause" : "play", "Space", () => player.toggle())}
        ${button("One frame on", "forth", "ArrowRight", () => player.step(1))}
        ${button("Next suspect", "after", ".", () => model.nextSuspect(1))}
        <button class="plain when" title="Go to a frame or a time (G)" aria-keyshortcuts="g" @click=${() => tell(this, "command", "go")}>
          <span class="heard">Go to a frame or a time; now </span><span class="number clock">${clock(cursor.seconds)}</span>
          <span class="number">frame ${cursor.row}<span class="aside of"> / ${cursor.rows - 1}</span></span>
          ${source !== undefined && source !== cursor.row ? html`<span class="number aside">source ${source}</span>` : nothing}
        </button>
        ${player.playing && player.speed !== 1 ? html`<span class="number speed">× ${player.speed}</span>` : nothing}
        ${player.preparing !== null ? html`<span class="aside preparing">preparing to play <progress max="1" .value=${player.preparing} aria-label="Preparing to play"></progress></span>` : nothing}
        <span class="end spans">
          ${this.#span("Loop", cursor.loop)} ${this.#span("Mark", cursor.mark)}
          ${cursor.mark || cursor.loop ? html`<button class="icon plain" aria-label="Clear loop and mark" title="Clear loop and mark (Escape)" @click=${() => cursor.clear()}>${icon("close")}</button>` : nothing}
          <button title="Mark a span: once where it begins, once where it ends (M)" aria-keyshortcuts="m" @click=${() => cursor.markHere()}>${cursor.open === null ? "Mark" : "End mark"}</button>
          <button title="Dub the marked span again (R)" aria-keyshortcuts="r" @click=${() => tell(this, "command", "redo")}>Redo…</button>
          <select aria-label="What is heard" @change=${(event) => player.hear(event.target.value)}>
            ${[...facts.sounds, "off"].map((kind) => html`<option value=${kind} .selected=${player.heard === kind}>${SOUNDS[kind] ?? kind}</option>`)}
          </select>
        </span>
        <div class="heard" role="status" aria-live="polite">${this.said}</div>
      </div>`;
  }

  #span(name, rows) {
    if (!rows) return nothing;
    const [from, to] = rows;
    const seconds = this.model.cursor.times[to] - this.model.cursor.times[from];
    return html`<span class="span ${name.toLowerCase()}">${name} <span class="number">${from}–${to - 1}<span class="seconds"> · ${seconds.toFixed(2)} s</span></span></span>`;
  }
}

customElements.define("transport-bar", TransportBar);
