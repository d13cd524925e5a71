import { LitElement } from "lit";

/** A Lit element without a shadow root, so that two style sheets serve the whole page. */
export class Part extends LitElement {
  #watched = [];

  createRenderRoot() {
    return this;
  }

  /** Calls (or redraws) at each of the target's events, as long as the element is in the page. */
  watch(target, events, call = () => this.requestUpdate()) {
    for (const event of events) {
      target.addEventListener(event, call);
      this.#watched.push(() => target.removeEventListener(event, call));
    }
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    for (const end of this.#watched.splice(0)) end();
  }
}

/** Tells of something that the app does for every part: a fault's line, or a new place. */
export const tell = (element, name, detail) =>
  element.dispatchEvent(new CustomEvent(name, { detail, bubbles: true }));

/** Calls once, `wait` ms after the last of many requests. */
export function settled(call, wait) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...given), wait);
  };
}
