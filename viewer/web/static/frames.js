import { blob } from "./api.js";

const AT_ONCE = 4;
const MOST_PIXELS = 80e6;

/**
 * Exact frames of one run, decoded and kept. Whoever shows some says all that it wants, most urgent
 * first; requests for others are stopped. Event: `picture` (detail: key).
 */
export class Frames extends EventTarget {
  #kept = new Map();
  #running = new Map();
  #queue = [];
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

  want(asks) {
    const names = new Set(asks.map(key));
    for (const [name, stop] of this.#running) if (!names.has(name)) stop.abort();
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
    while (this.#running.size < AT_ONCE && this.#queue.length) this.#fetch(this.#queue.shift());
  }

  async #fetch(ask) {
    const name = key(ask);
    const stop = new AbortController();
    this.#running.set(name, stop);
    try {
      const { video, row, width, format = "webp" } = ask;
      const where = `${this.base}/frames/${video}/${row}?width=${width}&format=${format}`;
      this.#keep(name, await createImageBitmap(await blob(where, stop.signal)), width);
      this.dispatchEvent(new CustomEvent("picture", { detail: name }));
    } catch (fault) {
      if (fault.name !== "AbortError") this.dispatchEvent(new CustomEvent("fault", { detail: fault }));
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

const key = ({ video, row, format = "webp" }) => `${video}/${row}/${format}`;
