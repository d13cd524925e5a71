import { pause } from "./api.js";
import { Sound } from "./sound.js";

const PROXIES = [
  ["mp4", 'video/mp4; codecs="avc1.42E01E, mp4a.40.2"'],
  ["webm", 'video/webm; codecs="vp9, opus"'],
];
const SHARE = 1e-3; // containers round times; a frame lasts longer than this [s]

/**
 * Moves the cursor while playing. `<video>` plays the dub where the browser can; until it is ready,
 * backwards, and with the source's own sound, frames come from the server on the clock of the sound.
 * Event: `change`.
 */
export class Player extends EventTarget {
  #tick = 0;
  #asked = false;

  /** @param {import("./run-model.js").RunModel} model */
  constructor(model) {
    super();
    this.model = model;
    this.sound = new Sound(model.base);
    this.video = document.createElement("video");
    this.video.preload = "metadata";
    this.video.playsInline = true;
    this.video.addEventListener("ended", () => this.pause());
    this.playing = false;
    this.speed = 1;
    /** What is heard: a sound of the run, or "off". */
    this.heard = model.facts.sounds[0] ?? "off";
    this.ready = false;
    /** How far the copy for playing is, 0 to 1, or null. */
    this.preparing = null;
    this.byVideo = false;
  }

  get cursor() {
    return this.model.cursor;
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play(1);
  }

  /** J and L: twice as fast at each press, up to eight times. */
  shuttle(direction) {
    const same = this.playing && Math.sign(this.speed) === direction;
    this.play(same ? Math.sign(this.speed) * Math.min(8, Math.abs(this.speed) * 2) : direction);
  }

  play(speed = 1) {
    this.#halt();
    this.prepare();
    const { cursor } = this;
    const [from, to] = cursor.loop ?? [0, cursor.rows];
    if (speed > 0 && (cursor.row >= to - 1 || cursor.row < from)) cursor.go(from, "play");
    [this.playing, this.speed] = [true, speed];
    const ownSound = this.heard === (this.model.facts.sounds[0] ?? "off") || this.heard === "off";
    this.byVideo = this.ready && speed > 0 && ownSound;
    if (this.byVideo) this.#playVideo();
    else this.#playFrames();
    this.#changed();
  }

  pause() {
    if (!this.playing) return;
    this.#halt();
    this.cursor.dispatchEvent(new CustomEvent("row", { detail: "pause" }));
    this.#changed();
  }

  /** One frame, or ten; what sounds meanwhile is heard. */
  step(rows) {
    if (this.playing) this.pause();
    const { cursor } = this;
    cursor.go(cursor.row + rows, "step");
    if (this.heard === "off") return;
    const [from, to] = [cursor.times[cursor.row], cursor.times[cursor.row + 1]];
    this.sound.span(this.heard, from, to);
  }

  hear(kind) {
    this.heard = kind;
    this.sound.stop();
    if (this.playing) this.play(this.speed);
    this.#changed();
  }

  close() {
    this.#halt();
    this.#asked = "closed";
    this.video.removeAttribute("src");
    this.sound.close();
  }

  /**
   * Asks once for what `<video>` can play.
   * @param {boolean} made - also if the server has to make it first
   */
  async prepare(made = true) {
    const which = this.model.facts.videos.dub ? "dub" : "source";
    const own = this.model.facts.videos[which].playable?.type;
    const can = (type) => type && this.video.canPlayType(type) !== "";
    if (this.#asked || !(made || can(own))) return;
    this.#asked = true;
    const proxy = PROXIES.find(([, type]) => can(type))?.[0];
    if (!can(own) && !proxy) return;
    const address = `/api/${this.model.base}/play/${which}${can(own) ? "" : `?type=${proxy}`}`;
    for (;;) {
      const answer = await fetch(address, { headers: { Range: "bytes=0-0" } }).catch(() => null);
      if (!answer?.ok || this.#asked === "closed") return this.#prepared(null);
      if (answer.status !== 202) break;
      this.#prepared((await answer.json()).progress);
      await pause(300);
    }
    const loaded = new Promise((resolve) => {
      this.video.addEventListener("loadeddata", () => resolve(true), { once: true });
      this.video.addEventListener("error", () => resolve(false), { once: true });
    });
    this.video.src = address;
    this.ready = await loaded;
    this.#prepared(null);
  }

  #prepared(progress) {
    this.preparing = progress;
    this.#changed();
  }

  #playVideo() {
    const { video, cursor } = this;
    const mine = ++this.#tick;
    video.playbackRate = this.speed;
    video.muted = this.heard === "off";
    video.currentTime = cursor.seconds + SHARE;
    const shown = (_, { mediaTime }) => {
      if (mine !== this.#tick) return;
      const row = cursor.at(mediaTime + SHARE);
      if (this.#looped(row)) return;
      cursor.go(row, "play");
      this.dispatchEvent(new CustomEvent("shown", { detail: row }));
      video.requestVideoFrameCallback(shown);
    };
    video.requestVideoFrameCallback(shown);
    video.play().catch(() => mine === this.#tick && this.pause());
  }

  #playFrames() {
    const { cursor, sound } = this;
    const mine = ++this.#tick;
    const from = this.speed > 0 ? cursor.seconds : cursor.times[cursor.row + 1] - SHARE;
    const began = performance.now();
    const heard = this.heard !== "off" && this.speed > 0 ? sound.play(this.heard, from, this.speed) : null;
    const now = heard ? heard.now : () => from + ((performance.now() - began) / 1000) * this.speed;
    const advance = () => {
      if (mine !== this.#tick) return;
      const seconds = now();
      if (seconds >= cursor.end || seconds < cursor.start) {
        if (!cursor.loop) return this.pause();
      }
      const row = cursor.at(seconds);
      if (this.#looped(seconds >= cursor.end ? cursor.rows : row)) return;
      cursor.go(row, "play");
      requestAnimationFrame(advance);
    };
    requestAnimationFrame(advance);
  }

  #looped(row) {
    const { loop } = this.cursor;
    if (!loop) return false;
    const [from, to] = loop;
    if (row < to && (this.speed > 0 || row >= from)) return false;
    this.cursor.go(this.speed > 0 ? from : to - 1, "play");
    this.play(this.speed);
    return true;
  }

  #halt() {
    this.#tick += 1;
    this.playing = false;
    this.byVideo = false;
    this.video.pause();
    this.sound.stop();
  }

  #changed() {
    this.dispatchEvent(new CustomEvent("change"));
  }
}
