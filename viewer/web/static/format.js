/** h:mm:ss.mmm of seconds. */
export function clock(seconds) {
  const ms = Math.max(0, Math.round(seconds * 1000));
  const pad = (value, digits) => String(value).padStart(digits, "0");
  const [h, m, s] = [Math.floor(ms / 3600000), Math.floor(ms / 60000) % 60, Math.floor(ms / 1000) % 60];
  return `${h}:${pad(m, 2)}:${pad(s, 2)}.${pad(ms % 1000, 3)}`;
}

/** m:ss, with as many decimals as steps of `step` seconds need. */
export function tick(seconds, step) {
  const digits = step >= 1 ? 0 : step >= 0.1 ? 1 : step >= 0.01 ? 2 : 3;
  const whole = Number(seconds.toFixed(digits));
  const [h, m] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const s = (whole % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return h ? `${h}:${String(m).padStart(2, "0")}:${s}` : `${m}:${s}`;
}

export function bytes(count) {
  if (count === null || count === undefined) return "";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) [count, unit] = [count / 1000, unit + 1];
  return `${unit && count < 100 ? count.toFixed(1) : Math.round(count)} ${units[unit]}`;
}

export function lasting(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const [m, s] = [Math.floor(seconds / 60), Math.round(seconds % 60)];
  return m < 60 ? `${m} min ${s} s` : `${Math.floor(m / 60)} h ${m % 60} min`;
}

export const figure = (value) =>
  value === null || value === undefined || Number.isNaN(value) ? "–"
  : Number.isInteger(value) ? String(value)
  : Math.abs(value) >= 100 ? value.toFixed(1)
  : Math.abs(value) >= 0.0005 ? value.toFixed(3)
  : value.toExponential(1);

export const when = (stamp) =>
  stamp ? new Date(typeof stamp === "number" ? stamp * 1000 : stamp).toLocaleString() : "";

/** A frame's number ("120"), or a time ("1:02.5", "2.5", "3 s"). @returns {{row?: number, seconds?: number} | null} */
export function place(text) {
  const said = text.trim().replace(",", ".");
  if (/^\d+$/.test(said)) return { row: Number(said) };
  const time = said.replace(/\s*s$/, "");
  if (!/^(\d+:){0,2}(\d+\.?\d*|\.\d+)$/.test(time)) return null;
  return { seconds: time.split(":").reduce((sum, part) => sum * 60 + Number(part), 0) };
}
