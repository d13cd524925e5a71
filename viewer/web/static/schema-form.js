import { html, nothing } from "lit";

/*
 * Fields from a JSON Schema as Pydantic writes it. Values are nested as the settings are; `changes`
 * holds changed leaves only, by their dotted path.
 */

/** A schema with its reference followed and its "or nothing" taken apart. */
export function resolved(schema, root) {
  let found = schema;
  while (found.$ref) found = { ...found, ...at(root, found.$ref), $ref: at(root, found.$ref).$ref };
  if (found.allOf?.length === 1) found = { ...resolved(found.allOf[0], root), ...found, allOf: undefined };
  const options = (found.anyOf ?? found.oneOf ?? []).map((one) => resolved(one, root));
  if (!options.length) return found;
  const some = options.filter(({ type }) => type !== "null");
  const optional = some.length < options.length;
  const [only] = some;
  return some.length === 1 ? { ...only, ...found, anyOf: undefined, optional, type: only.type } : { ...found, options: some, optional };
}

const at = (root, reference) => reference.slice(2).split("/").reduce((node, part) => node[part], root);

/** "0 to 1 px" and the like, or "". The unit stands in the description's brackets. */
function bounds(schema) {
  const low = schema.minimum ?? schema.exclusiveMinimum;
  const high = schema.maximum ?? schema.exclusiveMaximum;
  if (low === undefined && high === undefined) return "";
  if (high === undefined) return `${schema.minimum === undefined ? "above" : "from"} ${low}`;
  if (low === undefined) return `${schema.maximum === undefined ? "below" : "up to"} ${high}`;
  return `${low} to ${high}`;
}

/** Changed leaves as one nested object. @param {Map<string, unknown>} changes */
export function nested(changes) {
  const whole = {};
  for (const [dotted, value] of changes) {
    const parts = dotted.split(".");
    const last = parts.pop();
    parts.reduce((node, part) => (node[part] ??= {}), whole)[last] = value;
  }
  return whole;
}

/**
 * Fields of every property, groups folded.
 * @param {object} form - `{root, changes: Map, set(path, value), skip: Set}`
 */
export function fields(schema, values, form, trail = []) {
  const properties = Object.entries(schema.properties ?? {});
  return properties.map(([name, plain]) => {
    const where = [...trail, name];
    const dotted = where.join(".");
    if (form.skip.has(dotted)) return nothing;
    const found = resolved(plain, form.root);
    const value = values?.[name];
    if (found.type === "object" && found.properties) {
      const count = [...form.changes.keys()].filter((key) => key.startsWith(`${dotted}.`)).length;
      return html`<details class="fields" ?open=${trail.length === 0 && form.open?.has(name)}>
        <summary>${words(name)}${count ? html` <span class="count">${count} changed</span>` : nothing}</summary>
        ${found.description ? html`<p class="aside">${found.description.split("\n\n")[0]}</p>` : nothing}
        ${fields(found, value ?? {}, form, where)}</details>`;
    }
    return field(name, found, value, dotted, form);
  });
}

function field(name, schema, value, dotted, form) {
  const changed = form.changes.has(dotted);
  const now = changed ? form.changes.get(dotted) : value;
  const id = `field-${dotted.replaceAll(".", "-")}`;
  const help = [schema.description, bounds(schema), schema.optional ? "empty: none" : ""].filter(Boolean).join("; ");
  const set = (next) => form.set(dotted, JSON.stringify(next) === JSON.stringify(value ?? null) ? undefined : next);
  return html`<div class="field ${changed ? "changed" : ""}">
    <label for=${id}>${words(name)}</label>
    ${control(id, schema, now, set)}
    ${changed ? html`<button class="plain reset" aria-label="Back to ${value ?? "none"}: ${words(name)}" @click=${() => form.set(dotted, undefined)}>was ${value ?? "none"}</button>` : nothing}
    ${help ? html`<p class="hint aside" id="${id}-help">${help}</p>` : nothing}
  </div>`;
}

function control(id, schema, value, set) {
  const described = `${id}-help`;
  const choices = schema.enum ?? (schema.const !== undefined ? [schema.const] : null);
  if (schema.type === "boolean") {
    return html`<input type="checkbox" id=${id} aria-describedby=${described} .checked=${value === true} @change=${(event) => set(event.target.checked)}>`;
  }
  if (choices) {
    return html`<select id=${id} aria-describedby=${described} @change=${(event) => set(event.target.value === "" ? null : choices.find((one) => String(one) === event.target.value))}>
      ${schema.optional ? html`<option value="" .selected=${value === null}>none</option>` : nothing}
      ${choices.map((one) => html`<option value=${one} .selected=${one === value}>${one}</option>`)}</select>`;
  }
  if (schema.type === "number" || schema.type === "integer") {
    const step = schema.type === "integer" ? 1 : "any";
    const read = (text) => (text === "" ? null : Number(text));
    return html`<input type="number" id=${id} aria-describedby=${described} step=${step} min=${schema.minimum ?? schema.exclusiveMinimum ?? nothing}
      max=${schema.maximum ?? schema.exclusiveMaximum ?? nothing} .value=${value === null || value === undefined ? "" : String(value)} @change=${(event) => set(read(event.target.value))}>`;
  }
  const plain = schema.type === "string";
  const told = value === null || value === undefined ? "" : plain ? String(value) : JSON.stringify(value);
  return html`<input type="text" id=${id} aria-describedby=${described} .value=${told} @change=${(event) => set(parsed(event.target.value, plain))}>`;
}

function parsed(text, plain) {
  if (text === "") return null;
  if (plain) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const words = (name) => name.replaceAll("_", " ").replace(/^./, (first) => first.toUpperCase());
