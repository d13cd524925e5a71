/**
 * One table of what can be done, for the keys, the palette and the help.
 * @typedef {{id: string, title: string, keys: string[], group: string, run: () => void, hidden?: boolean}} Command
 */

const SHOWN = { " ": "Space", ArrowLeft: "←", ArrowRight: "→", "Shift+ArrowLeft": "Shift ←", "Shift+ArrowRight": "Shift →", "Control+k": "Ctrl K", Escape: "Esc" };

/** A key's name as people read it. */
export const shown = (key) => SHOWN[key] ?? (key.length === 1 ? key.toUpperCase() : key);

/** Whether Ctrl or ⌘ is held; AltGr, which types [ and ] on many keyboards, is neither. */
const held = (event) => (event.ctrlKey || event.metaKey) && !event.getModifierState("AltGraph");

/** A key press as the table names it, as in `Shift+ArrowLeft`. */
function named(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const control = held(event) ? "Control+" : "";
  return control + (event.shiftKey && key.length > 1 ? "Shift+" : "") + key;
}

/** Whether keys belong to what has the focus: a field takes letters, a button takes Space. */
function taken(event) {
  const focus = event.target;
  if (!(focus instanceof HTMLElement)) return false;
  if ((event.altKey && !event.getModifierState("AltGraph")) || focus.closest("dialog[open]")) return true;
  const typed = focus.matches("textarea, select, input:not([type='range'], [type='checkbox'])");
  if (typed) return !held(event) && event.key !== "Escape";
  if (focus.matches("input[type='range'], [role='slider'], [role='separator']")) return event.key.startsWith("Arrow");
  return event.key === " " && focus.matches("button, a, summary, input");
}

/** Runs a command at its key. @param {() => Command[]} commands @returns {() => void} what ends it */
export function listen(commands) {
  const press = (event) => {
    if (event.defaultPrevented || taken(event)) return;
    const name = named(event);
    const command = commands().find(({ keys }) => keys.includes(name));
    if (!command) return;
    event.preventDefault();
    command.run();
  };
  document.addEventListener("keydown", press);
  return () => document.removeEventListener("keydown", press);
}
