import { html, nothing } from "lit";
import { get } from "./api.js";
import { Overlays, write } from "./overlays.js";
import { Part, settled } from "./part.js";

const AHEAD = 16;
const GAP = 4;
const WIDTHS = [192, 256, 384, 512, 768, 1024, 1536, 2048];

/** Exact frames side by side, wiped or subtracted, with layers drawn over them; one zoom for all. */
export class StageView extends Part {
  static properties = { model: { attribute: false } };

  #overlays = new Overlays();
  #zoom = 1;
  #centre = [0.5, 0.5];
  #last = 0;
  #direction = 1;
  #due = 0;
  #drag = null;
  #painted = [];
  #settle = settled(() => this.isConnected && this.#ask(), 200);

  connectedCallback() {
    super.connectedCallback();
    const { model } = this;
    this.watch(model, ["change"], () => this.#all());
    this.watch(model.cursor, ["row"], (event) => this.#moved(event.detail));
    this.watch(model.frames, ["picture"], () => this.#draw());
    this.watch(model.player, ["change"], () => this.#draw());
    this.watch(model.player, ["shown"], () => this.#paint());
    this.watch(this.#overlays, ["shapes"], () => this.#draw());
    this.resizing = new ResizeObserver(() => this.#all());
    this.resizing.observe(this);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.resizing.disconnect();
    cancelAnimationFrame(this.#due);
  }

  firstUpdated() {
    this.canvas = this.querySelector("canvas");
    this.canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.querySelector(".films").append(this.model.player.video);
    this.model.pictured.then(() => this.model.player.prepare(false));
    this.#all();
  }

  render() {
    const { model } = this;
    const { panes, layout } = model;
    const two = panes.length > 1;
    const side = two && layout === "side";
    const pressed = (name) => (layout === name ? "true" : "false");
    return html`
      <div class="stage-head" role="toolbar" aria-label="Picture">
        <select aria-label="What is shown" @change=${(event) => model.setPair(event.target.value)}>
          ${this.#pairs().map(([value, title]) => html`<option value=${value} .selected=${model.pair === value}>${title}</option>`)}
        </select>
        <span class="group" role="group" aria-label="How two pictures are compared">
          <button aria-pressed=${pressed("side")} ?disabled=${!two} title="Side by side" @click=${() => model.setLayout("side")}>Side</button>
          <button aria-pressed=${pressed("wipe")} ?disabled=${!two} aria-keyshortcuts="w" @click=${() => model.setLayout("wipe")}>Wipe</button>
          <button aria-pressed=${pressed("difference")} ?disabled=${!two} aria-keyshortcuts="d" @click=${() => model.setLayout("difference")}>Difference</button>
        </span>
        ${two ? this.#adjust() : nothing}
        <span class="layers" role="group" aria-label="Layers">
          ${model.layers.map(({ name, title, on }, index) => html`
            <button class="layer layer-${index}" aria-pressed=${on ? "true" : "false"} aria-keyshortcuts=${index + 1} title="${title} (key ${index + 1})" @click=${() => model.toggleLayer(index)}>
              <kbd aria-hidden="true">${index + 1}</kbd><span>${word(name)}</span>
            </button>`)}
        </span>
        <span class="group end" role="group" aria-label="Zoom">
          <button class="icon" aria-label="Smaller" @click=${() => this.zoom(0.5)}>−</button>
          <button class="number zoom" aria-label="Whole picture" @click=${() => this.whole()}>${Math.round(this.#zoom * 100)} %</button>
          <button class="icon" aria-label="Larger" @click=${() => this.zoom(2)}>+</button>
        </span>
      </div>
      <div class="films ${side ? "two" : "one"}">
        <canvas role="img" aria-label=${panes.map(({ title }) => title).join(" and ")}
          @pointerdown=${this.#press} @pointermove=${this.#move} @pointerup=${this.#release} @dblclick=${() => this.whole()}></canvas>
        ${panes.map((pane, index) => this.#label(pane, index, side))}
      </div>`;
  }

  /** Where the wipe stands, or how much of a difference is seen. */
  #adjust() {
    const { model } = this;
    const number = (set) => (event) => set(Number(event.target.value));
    if (model.layout === "wipe") {
      return html`<input type="range" min="0" max="1" step="0.005" aria-label="Place of the wipe"
        .value=${String(model.wipe)} @input=${number((wipe) => model.setWipe(wipe))}>`;
    }
    if (model.layout !== "difference") return nothing;
    return html`<select aria-label="Gain of the difference" @change=${number((gain) => model.setGain(gain))}>
      ${[1, 4, 16].map((gain) => html`<option value=${gain} .selected=${model.gain === gain}>× ${gain}</option>`)}
    </select>`;
  }

  #label({ title, row, model, video }, index, side) {
    const painted = this.model.player.playing ? this.#painted[index] ?? row : row;
    const file = video === "source" ? model.sourceFrames?.[painted] : painted;
    const place = side ? (index ? (this.#upright ? "at-lower" : "at-half") : "at-left") : index ? "at-right" : "at-left";
    return html`<span class="pane ${place}">${title}
      <span class="number">${row === null ? "not in this dub" : html`${video === "source" ? "frame" : "row"} ${file ?? "…"}`}</span></span>`;
  }

  #pairs() {
    const { model } = this;
    if (!model.facts.videos.dub) return [["source", "Source"]];
    const pairs = [["dub", "Source | dub"], ["source", "Source alone"], ["only", "Dub alone"]];
    return model.other ? [...pairs, ["ab", "A | B"]] : pairs;
  }

  /** Larger by a factor, about a point of the picture (0 to 1). */
  zoom(factor, [x, y] = this.#centre) {
    const zoom = Math.min(16, Math.max(1, this.#zoom * factor));
    const share = this.#zoom / zoom;
    this.#centre = zoom === 1 ? [0.5, 0.5] : [x + (this.#centre[0] - x) * share, y + (this.#centre[1] - y) * share];
    this.#zoom = zoom;
    this.#all();
  }

  whole() {
    [this.#zoom, this.#centre] = [1, [0.5, 0.5]];
    this.#all();
  }

  /** Zooms to what the mouth's layer marks in this frame. */
  async toMouth() {
    const { model } = this;
    const name = ["mouth", "crop"].find((wanted) => model.layers.some((layer) => layer.name === wanted));
    const shapes = name ? (await get(`${model.base}/overlays/${name}/${model.cursor.row}`)).shapes : [];
    const xy = shapes.flatMap((shape) => (shape.xy ?? []).flat());
    if (!xy.length) return;
    const { width, height } = model.facts.videos.source;
    const [xs, ys] = [xy.filter((_, i) => i % 2 === 0), xy.filter((_, i) => i % 2 === 1)];
    const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    this.#centre = [(x0 + x1) / 2 / width, (y0 + y1) / 2 / height];
    this.#zoom = Math.min(16, Math.max(1, 0.45 / Math.max((x1 - x0) / width, (y1 - y0) / height)));
    this.#all();
  }

  #all() {
    this.requestUpdate();
    this.#ask();
    this.#draw();
  }

  #moved(why) {
    const { row } = this.model.cursor;
    if (row !== this.#last) this.#direction = Math.sign(row - this.#last);
    this.#last = row;
    this.#ask(why === "seek" ? 1 : AHEAD);
    this.#settle();
    this.requestUpdate();
    if (why !== "play" || !this.model.player.byVideo) this.#draw();
  }

  /** Requests this row, then the next sixteen in the direction of travel. */
  #ask(most = AHEAD) {
    if (!this.canvas) return;
    const { model } = this;
    const { player } = model;
    const stride = player.playing ? Math.max(1, Math.abs(player.speed)) : 1;
    const asks = new Map();
    for (let ahead = 0; ahead <= most; ahead += 1) {
      const row = model.cursor.row + ahead * stride * this.#direction;
      if (row < 0 || row >= model.cursor.rows) break;
      for (const pane of model.panes) {
        const there = pane.model === model ? row : model.otherRow(row);
        if (there === null || this.#filmed(pane)) continue;
        const list = asks.get(pane.model) ?? asks.set(pane.model, []).get(pane.model);
        list.push(this.#need(pane, there));
      }
    }
    for (const [run, list] of asks) run.frames.want(list, list.filter(({ row }) => row === list[0].row).length);
    this.#overlays.want(model, model.cursor.row);
  }

  #filmed({ model, video }) {
    return model === this.model && model.player.byVideo && (video === "dub" || !model.facts.videos.dub);
  }

  #need(pane, row = pane.row) {
    const { width } = pane.model.facts.videos[pane.video];
    const shown = this.#fit(pane, this.#rectangles()[0]).scale * width * devicePixelRatio;
    const exact = this.model.layout === "difference" && !this.model.player.playing;
    const enough = WIDTHS.find((size) => size >= shown && size < width) ?? width;
    return { video: pane.video, row, width: enough, format: exact ? "png" : "jpeg" };
  }

  #rectangles() {
    const { clientWidth: wide, clientHeight: high } = this.canvas;
    if (this.model.panes.length < 2 || this.model.layout !== "side") return [[0, 0, wide, high]];
    if (this.#upright) {
      const half = (high - GAP) / 2;
      return [[0, 0, wide, half], [0, half + GAP, wide, half]];
    }
    const half = (wide - GAP) / 2;
    return [[0, 0, half, high], [half + GAP, 0, half, high]];
  }

  /** Two pictures stand one over the other where there is no width for them. */
  get #upright() {
    return this.canvas ? this.canvas.clientWidth < this.canvas.clientHeight : false;
  }

  #fit(pane, [x, y, wide, high]) {
    const { width, height } = pane.model.facts.videos[pane.video];
    const scale = Math.min(wide / width, high / height) * this.#zoom;
    const within = (centre, size, room) => (size <= room ? 0.5 : Math.min(1 - room / 2 / size, Math.max(room / 2 / size, centre)));
    const cx = within(this.#centre[0], width * scale, wide);
    const cy = within(this.#centre[1], height * scale, high);
    const [left, top] = [x + wide / 2 - cx * width * scale, y + high / 2 - cy * height * scale];
    return { scale, left, top, width: width * scale, height: height * scale, centre: [cx, cy] };
  }

  #draw() {
    cancelAnimationFrame(this.#due);
    this.#due = requestAnimationFrame(() => this.#paint());
  }

  #paint() {
    const { canvas, model } = this;
    if (!canvas?.clientWidth) return;
    const ratio = devicePixelRatio;
    const [wide, high] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(wide * ratio) || canvas.height !== Math.round(high * ratio)) {
      [canvas.width, canvas.height] = [Math.round(wide * ratio), Math.round(high * ratio)];
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const rectangles = this.#rectangles();
    const films = model.panes.map((pane) => [pane, ...this.#film(pane)]);
    const drawn = films.every(([{ row }, film]) => film || row === null);
    const there = films.every(([{ row }, film, painted]) => row === null || (film && painted === row));
    if (!drawn && this.dataset.shown) return; // the last picture stays until the next is there
    this.#painted = films.map(([, , painted]) => painted);
    context.clearRect(0, 0, wide, high);
    const sides = rectangles.length > 1;
    films.forEach(([pane, film], index) => {
      const rectangle = rectangles[sides ? index : 0];
      const [x, y, w, h] = rectangle;
      context.save();
      context.beginPath();
      context.rect(x, y, w, h);
      if (!sides && index && model.layout !== "difference") {
        context.clip();
        context.beginPath();
        context.rect(x + w * model.wipe, y, w, h);
      }
      context.clip();
      const fit = this.#fit(pane, rectangle);
      context.imageSmoothingEnabled = fit.scale < 3;
      if (film) {
        if (index && model.layout === "difference" && !sides) context.globalCompositeOperation = "difference";
        context.drawImage(film, fit.left, fit.top, fit.width, fit.height);
        context.globalCompositeOperation = "source-over";
      }
      const last = index === films.length - 1;
      if (last && model.layout === "difference" && !sides && films.length > 1) this.#brighten(context);
      context.restore();
      if (sides || last) this.#shapes(context, pane, rectangle, last);
    });
    if (!sides && films.length > 1 && model.layout === "wipe") {
      context.fillStyle = "#fffc";
      context.fillRect(wide * model.wipe - 1, 0, 2, high);
    }
    if (there) this.#tellShown();
  }

  /** The pane's picture and its row; while playing, the newest that is there. */
  #film(pane) {
    const { player, cursor } = this.model;
    if (pane.row === null) return [null, null];
    if (this.#filmed(pane)) return [player.video.readyState >= 2 ? player.video : null, pane.row];
    const need = this.#need(pane);
    const late = player.playing ? AHEAD : 0;
    for (let behind = 0; behind <= late; behind += 1) {
      const row = pane.row - behind * Math.sign(player.speed);
      const picture = row >= 0 && row < cursor.rows && pane.model.frames.picture({ ...need, row });
      if (picture) return [picture, row];
    }
    return [null, null];
  }

  #brighten(context) {
    context.globalCompositeOperation = "lighter";
    const { canvas } = this;
    for (let gain = 1; gain < this.model.gain; gain *= 2) {
      context.drawImage(canvas, 0, 0, canvas.clientWidth, canvas.clientHeight);
    }
  }

  #shapes(context, pane, rectangle, last) {
    if (pane.model !== this.model) return;
    const [x, y, wide, high] = rectangle;
    const fit = this.#fit(pane, rectangle);
    const share = fit.width / this.model.facts.videos.source.width;
    context.save();
    context.beginPath();
    context.rect(x, y, wide, high);
    context.clip();
    const to = (px, py) => [fit.left + px * share, fit.top + py * share];
    const labels = [];
    let right = x + wide - 8;
    for (const [index, shapes] of this.#overlays.at(this.model, this.model.cursor.row)) {
      for (const { picture, label } of this.#overlays.draw(context, index, shapes, to, labels)) {
        if (last) right = inset(context, picture, label, right, y + high - 8, Math.min(112, wide * 0.19));
      }
    }
    write(context, labels);
    context.restore();
  }

  /** `data-shown` is the row whose exact picture is on the screen. */
  #tellShown() {
    this.model.firstPicture();
    const { row } = this.model.cursor;
    if (this.dataset.shown === String(row)) return;
    this.dataset.shown = String(row);
    this.dispatchEvent(new CustomEvent("shown", { detail: row }));
  }

  #wheel(event) {
    event.preventDefault();
    const [pane] = this.model.panes;
    const rectangle = this.#rectangles().find(([x, y, w, h]) => event.offsetX >= x && event.offsetX < x + w && event.offsetY >= y && event.offsetY < y + h);
    if (!rectangle) return;
    const fit = this.#fit(pane, rectangle);
    this.zoom(2 ** (-event.deltaY / 240), [(event.offsetX - fit.left) / fit.width, (event.offsetY - fit.top) / fit.height]);
  }

  #press(event) {
    const { model, canvas } = this;
    const wiping = model.layout === "wipe" && model.panes.length > 1;
    this.#drag = { wiping, x: event.offsetX, y: event.offsetY };
    canvas.setPointerCapture(event.pointerId);
    if (wiping && this.#zoom === 1) model.setWipe(event.offsetX / canvas.clientWidth);
  }

  #move(event) {
    if (!this.#drag) return;
    const { model, canvas } = this;
    if (this.#drag.wiping) return model.setWipe(event.offsetX / canvas.clientWidth);
    if (this.#zoom === 1) return;
    const fit = this.#fit(model.panes[0], this.#rectangles()[0]);
    const [x, y] = fit.centre;
    this.#centre = [x - (event.offsetX - this.#drag.x) / fit.width, y - (event.offsetY - this.#drag.y) / fit.height];
    [this.#drag.x, this.#drag.y] = [event.offsetX, event.offsetY];
    this.#draw();
  }

  #release() {
    this.#drag = null;
  }
}

const word = (name) => name[0].toUpperCase() + name.slice(1);

/** A small picture with its label, at the right of what is free; what is free then. */
function inset(context, picture, label, right, bottom, wide) {
  const tall = picture ? Math.round((wide * picture.naturalHeight) / picture.naturalWidth) : 40;
  const [left, top] = [right - wide, bottom - tall];
  const lines = (label ?? "").split(", ");
  context.fillStyle = "#000c";
  context.fillRect(left - 2, top - 14 * lines.length - 4, wide + 4, tall + 14 * lines.length + 6);
  if (picture) context.drawImage(picture, left, top, wide, tall);
  context.fillStyle = "#eef1f4";
  context.font = "11px system-ui, sans-serif";
  lines.forEach((line, index) => context.fillText(line, left + 2, top - 4 - 14 * (lines.length - 1 - index), wide - 4));
  return left - 8;
}

customElements.define("stage-view", StageView);
