import { blob } from "./api.js";

// The server finishes what it began, so a request is never given up once sent: few are sent ahead,
// and the row at the cursor always finds a free place.
const AHEAD_AT_ONCE = 2;
const AT_ONCE = 5;
const MOST_PIXELS = 80e6;

/**
 * Exact frames of one run, decoded and kept. Whoever shows some says all that it wants, most urgent
 * first; what was asked for before and is not yet sent is forgotten. Events: `picture`, `fault`.
 */
export class Frames extends EventTarget {
  #kept = new Map();
  #running = new Set();
  #queue = [];
  #urgent = new Set();
  #pixels = 0;

  /** @param {string} base - the run's path, as in `runs/ID` */
  constructor(base) {
    super();
    this.base = base;
  }

  /**
   * The row's picture if it is there, of whatever size.
   * @param {{video: string, row: number, width: number, format?: string}} ask
   * @returns {ImageBitmap | null}
   */
  picture(ask) {
    const kept = this.#kept.get(key(ask));
    if (!kept) return null;
    this.#kept.delete(key(ask));
    this.#kept.set(key(ask), kept);
    return kept.bitmap;
  }

  /** @param {number} urgent - how many of the first are looked at now */
  want(asks, urgent = 1) {
    this.#urgent = new Set(asks.slice(0, urgent).map(key));
    this.#queue = asks.filter((ask) => {
      const kept = this.#kept.get(key(ask));
      return !this.#running.has(key(ask)) && (!kept || kept.width < ask.width);
    });
    this.#pump();
  }

  close() {
    this.want([]);
    for (const { bitmap } of this.#kept.values()) bitmap.close();
    this.#kept.clear();
  }

  #pump() {
    const free = () => this.#running.size < (this.#urgent.has(key(this.#queue[0])) ? AT_ONCE : AHEAD_AT_ONCE);
    while (this.#queue.length && free()) this.#fetch(this.#queue.shift());
  }

  async #fetch(ask) {
    const name = key(ask);
    this.#running.add(name);
    try {
      const { video, row, width, format = "jpeg" } = ask;
      const where = `${this.base}/frames/${video}/${row}?width=${width}&format=${format}`;
      this.#keep(name, await createImageBitmap(await blob(where)), width);
      this.dispatchEvent(new CustomEvent("picture"));
    } catch (fault) {
      this.dispatchEvent(new CustomEvent("fault", { detail: fault }));
    } finally {
      this.#running.delete(name);
      this.#pump();
    }
  }

  #keep(name, bitmap, width) {
    this.#drop(name);
    this.#kept.set(name, { bitmap, width });
    this.#pixels += bitmap.width * bitmap.height;
    for (const oldest of this.#kept.keys()) {
      if (this.#pixels <= MOST_PIXELS || this.#kept.size < 48) break;
      this.#drop(oldest);
    }
  }

  #drop(name) {
    const kept = this.#kept.get(name);
    if (!kept) return;
    this.#kept.delete(name);
    this.#pixels -= kept.bitmap.width * kept.bitmap.height;
    kept.bitmap.close();
  }
}

const key = ({ video, row, format = "jpeg" }) => `${video}/${row}/${format}`;
