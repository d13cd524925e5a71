/**
 * The one time cursor: a row of the dub, the stretch of time that the lanes show, the marked span and
 * the loop. Times are the file's own; none is ever computed from a rate.
 * Events: `row` (detail: why), `window`, `span`.
 */
export class Cursor extends EventTarget {
  /** @param {Float64Array} times - when each row is shown, and the end [s] */
  constructor(times) {
    super();
    this.times = times;
    this.rows = times.length - 1;
    this.row = 0;
    this.window = [this.start, this.end];
    /** @type {[number, number] | null} rows [a, b) */
    this.mark = null;
    this.loop = null;
    this.open = null;
  }

  get start() {
    return this.times[0];
  }

  get end() {
    return this.times[this.rows];
  }

  get seconds() {
    return this.times[this.row];
  }

  /** The row that is shown at a time: the last one that began. */
  at(seconds) {
    let [low, high] = [0, this.rows];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.times[middle] <= seconds) low = middle;
      else high = middle;
    }
    return low;
  }

  /** @param {"step" | "seek" | "play"} why */
  go(row, why = "seek") {
    const bounded = Math.min(Math.max(Math.round(row), 0), this.rows - 1);
    if (bounded === this.row) return;
    this.row = bounded;
    this.#follow(why);
    this.#tell("row", why);
  }

  seek(seconds) {
    this.go(this.at(seconds));
  }

  show(from, to) {
    const whole = this.end - this.start;
    const shortest = Math.min(whole, (8 * whole) / this.rows);
    const length = Math.min(Math.max(to - from, shortest), whole);
    const first = Math.min(Math.max(from, this.start), this.end - length);
    if (this.window[0] === first && this.window[1] === first + length) return;
    this.window = [first, first + length];
    this.#tell("window");
  }

  zoom(factor, about = this.seconds) {
    const [from, to] = this.window;
    this.show(about - (about - from) * factor, about + (to - about) * factor);
  }

  pan(seconds) {
    this.show(this.window[0] + seconds, this.window[1] + seconds);
  }

  /** M: the span begins here; M again: it ends with this row. */
  markHere() {
    if (this.open === null) {
      [this.open, this.mark] = [this.row, [this.row, this.row + 1]];
    } else {
      this.mark = [Math.min(this.open, this.row), Math.max(this.open, this.row) + 1];
      this.open = null;
    }
    this.#tell("span");
  }

  setMark(span) {
    [this.mark, this.open] = [span, null];
    this.#tell("span");
  }

  /** [ and ]: the loop's first and last row. */
  loopHere(side) {
    const [from, to] = this.loop ?? [0, this.rows];
    const row = this.row;
    this.loop = side === "[" ? [row, to > row ? to : this.rows] : [from <= row ? from : 0, row + 1];
    this.#tell("span");
  }

  clear() {
    [this.mark, this.loop, this.open] = [null, null, null];
    this.#tell("span");
  }

  #follow(why) {
    const [from, to] = this.window;
    const now = this.seconds;
    if (now >= from && now < to) return;
    const length = to - from;
    const first = why === "play" ? now : now - length / 2;
    this.show(first, first + length);
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
