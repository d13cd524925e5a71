import { buffer } from "./api.js";

const CHUNK = 10;
const FADE = 0.004;

/** Sound of one run in chunks of ten seconds, played by Web Audio on the run's own clock. */
export class Sound {
  #chunks = new Map();
  #context = null;
  #heard = null;

  /** @param {string} base - the run's path, as in `runs/ID` */
  constructor(base) {
    this.base = base;
  }

  /** To be called from a key or a click: browsers make no sound before one. */
  get context() {
    this.#context ??= new AudioContext();
    if (this.#context.state === "suspended") this.#context.resume();
    return this.#context;
  }

  /** A stretch of time, faded at both ends; what was heard before stops. */
  async span(kind, from, to) {
    this.stop();
    const mine = (this.#heard = { nodes: [] });
    const index = Math.floor(from / CHUNK);
    const chunk = await this.#chunk(kind, index).catch(() => null);
    if (chunk && mine === this.#heard) mine.nodes.push(this.#node(chunk, 0, from - index * CHUNK, to - from));
  }

  /** Plays on from a time until `stop`; `now()` is the time that is heard. */
  play(kind, from, rate = 1) {
    this.stop();
    const context = this.context;
    const mine = (this.#heard = { nodes: [] });
    const began = context.currentTime + 0.06;
    const feed = async () => {
      for (let index = Math.floor(from / CHUNK); mine === this.#heard; index += 1) {
        const at = Math.max(from, index * CHUNK);
        const chunk = await this.#chunk(kind, index).catch(() => null);
        if (!chunk || mine !== this.#heard) return;
        const starts = began + (at - from) / rate;
        mine.nodes.push(this.#node(chunk, starts, at - index * CHUNK, chunk.duration, rate));
        while (mine === this.#heard && context.currentTime < starts) {
          await new Promise((resolve) => setTimeout(resolve, 500));
        }
      }
    };
    feed();
    return { now: () => from + Math.max(0, context.currentTime - began) * rate };
  }

  stop() {
    for (const node of this.#heard?.nodes ?? []) node.stop();
    this.#heard = null;
  }

  close() {
    this.stop();
    this.#context?.close();
    this.#context = null;
  }

  #node(chunk, at, offset, duration, rate = 1) {
    const context = this.context;
    const gain = context.createGain();
    const node = new AudioBufferSourceNode(context, { buffer: chunk, playbackRate: rate });
    const starts = Math.max(at, context.currentTime);
    const late = at ? (starts - at) * rate : 0;
    const lasts = Math.max(0, Math.min(duration, chunk.duration - offset) - late) / rate;
    if (!at) {
      gain.gain.setValueAtTime(0, starts);
      gain.gain.linearRampToValueAtTime(1, starts + FADE);
      gain.gain.setValueAtTime(1, Math.max(starts + FADE, starts + lasts - FADE));
      gain.gain.linearRampToValueAtTime(0, starts + lasts);
    }
    node.connect(gain).connect(context.destination);
    node.start(starts, offset + late);
    node.stop(starts + lasts);
    return node;
  }

  #chunk(kind, index) {
    const name = `${kind}/${index}`;
    if (!this.#chunks.has(name)) {
      const where = `${this.base}/sound/${kind}?from=${index * CHUNK}&to=${(index + 1) * CHUNK}`;
      const chunk = buffer(where).then((bytes) => this.context.decodeAudioData(bytes));
      chunk.catch(() => this.#chunks.delete(name));
      this.#chunks.set(name, chunk);
      if (this.#chunks.size > 12) this.#chunks.delete(this.#chunks.keys().next().value);
    }
    return this.#chunks.get(name);
  }
}
