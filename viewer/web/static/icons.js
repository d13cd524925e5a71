import { html } from "lit";

const PATHS = {
  play: "M4 2.5v11l9-5.5z",
  pause: "M4 2.5h3v11H4zM9 2.5h3v11H9z",
  back: "M11 3v10L5 8zM3 3h1.5v10H3z",
  forth: "M5 3v10l6-5zM11.5 3H13v10h-1.5z",
  before: "M8 3v10L2 8zM14 3v10L8 8z",
  after: "M8 3v10l6-5zM2 3v10l6-5z",
  close: "M3.5 2.4 8 6.9l4.5-4.5 1.1 1.1L9.1 8l4.5 4.5-1.1 1.1L8 9.1l-4.5 4.5-1.1-1.1L6.9 8 2.4 3.5z",
  dark: "M6 1.5a6.5 6.5 0 1 0 8.5 8.2A5.5 5.5 0 0 1 6 1.5z",
  light: "M8 5a3 3 0 1 1 0 6 3 3 0 0 1 0-6zM7.3 1h1.4v2.2H7.3zm0 11.8h1.4V15H7.3zM1 7.3h2.2v1.4H1zm11.8 0H15v1.4h-2.2zM2.6 3.6l1-1 1.5 1.5-1 1zm8.3 8.3 1-1 1.5 1.5-1 1zm0-7.8 1.5-1.5 1 1-1.5 1.5zm-8.3 8.3 1.5-1.5 1 1-1.5 1.5z",
};

/** A drawn sign of 16 px; its button carries the name. @param {keyof typeof PATHS} name */
export const icon = (name) => html`<svg viewBox="0 0 16 16" aria-hidden="true"><path d=${PATHS[name]}></path></svg>`;
