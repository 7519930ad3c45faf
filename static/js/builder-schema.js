// Answer as fields: a table of fields beside the JSON Schema's text. Both are one value, the textarea's; without script it is the text.
(() => {
  const TYPES = { string: "Text", number: "Number", integer: "Whole number", boolean: "Yes or no", array: "List", object: "Group of fields" };
  const KNOWN = new Set(["type", "properties", "required", "additionalProperties", "title", "description", "$schema"]);
  const read = (text) => {
    if (!text.trim()) return { type: "object", properties: {} };
    try {
      const found = JSON.parse(text);
      return found && typeof found === "object" && !Array.isArray(found) && (found.type ?? "object") === "object" ? found : null;
    } catch {
      return null;
    }
  };
  // What the table does not show (limits, formats, …) stays as it is in the text.
  const make = (tag, attributes = {}, ...inside) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) if (value !== false && value !== undefined) element.setAttribute(name, value === true ? "" : value);
    element.append(...inside);
    return element;
  };
  const typeOf = (part) => (Array.isArray(part?.type) ? part.type.find((one) => one !== "null") : part?.type) ?? "string";

  const watching = new WeakMap();
  const start = (box) => {
    const area = document.getElementById(box.dataset.schemaOf);
    if (!area || area.disabled || area.closest("fieldset:disabled")) return;
    let written = null;
    let focusAt = "";

    const write = (schema) => {
      const empty = !Object.keys(schema.properties ?? {}).length && [...Object.keys(schema)].every((key) => KNOWN.has(key));
      area.value = empty ? "" : JSON.stringify(schema, null, 2);
      written = area.value;
      area.dispatchEvent(new Event("input", { bubbles: true }));
    };
    // `change` gets the object that holds the fields: the schema, or one group of it.
    const edit = (path, change, again = true) => {
      const schema = read(area.value);
      if (!schema) return draw();
      let at = schema;
      for (const { name } of path) {
        const part = at.properties?.[name];
        at = part?.type === "array" ? part.items : part;
        if (!at) return draw();
      }
      at.type ??= "object";
      at.properties ??= {};
      const made = change(at);
      if (at.required && !at.required.length) delete at.required;
      write(schema);
      if (again) draw();
      return made;
    };
    const renamed = (at, before, after) => {
      at.properties = Object.fromEntries(Object.entries(at.properties).map(([name, part]) => [name === before ? after : name, part]));
      if (at.required) at.required = at.required.map((name) => (name === before ? after : name));
    };

    // A row knows its field by `own`, whose name changes in place: drawing it anew while the pointer is on its way to the
    // next control would take that from under it.
    const row = (own, part, path, needed, deep) => {
      const name = own.name;
      const called = () => [...path, own].map((one) => one.name).join(".");
      const said = called();
      const id = (what) => `${area.id}-f-${called()}-${what}`.replace(/[^\w-]/g, "_");
      const type = typeOf(part);
      const field = make("input", { class: "input mono", id: id("name"), value: name, "aria-label": `Name of field ${said}`, autocomplete: "off", spellcheck: "false", placeholder: "name" });
      field.addEventListener("change", () => {
        const wanted = field.value.trim();
        const free = edit(path, (at) => {
          if (!wanted || wanted === own.name || wanted in at.properties) return false;
          renamed(at, own.name, wanted);
          return true;
        }, false);
        if (!free) return void (field.value = own.name);
        own.name = wanted;
        for (const labelled of [line, ...line.querySelectorAll("[aria-label]")]) labelled.setAttribute("aria-label", labelled.getAttribute("aria-label").replace(said.split(".").at(-1), wanted));
      });
      const kind = make("select", { class: "select", id: id("type"), "aria-label": `Kind of ${said}` });
      for (const [value, label] of Object.entries(TYPES)) if (value !== "object" || !deep || type === "object") kind.append(make("option", { value, selected: value === type }, label));
      if (!(type in TYPES)) kind.append(make("option", { value: type, selected: true }, type));
      kind.addEventListener("change", () => {
        focusAt = id("type");
        edit(path, (at) => {
          const { description } = at.properties[own.name];
          const made = { type: kind.value, ...(description ? { description } : {}) };
          if (kind.value === "object") made.properties = {};
          if (kind.value === "array") made.items = { type: "string" };
          at.properties[own.name] = made;
        });
      });
      const must = make("input", { type: "checkbox", id: id("must"), checked: needed });
      must.addEventListener("change", () => {
        focusAt = id("must");
        edit(path, (at) => {
          const others = (at.required ?? []).filter((one) => one !== own.name);
          at.required = must.checked ? [...others, own.name] : others;
        });
      });
      const words = make("input", { class: "input", id: id("words"), value: part.description ?? "", "aria-label": `What ${said} is`, placeholder: "What it is", autocomplete: "off" });
      words.addEventListener("change", () =>
        edit(path, (at) => {
          if (words.value.trim()) at.properties[own.name].description = words.value.trim();
          else delete at.properties[own.name].description;
        }, false),
      );
      const remove = make("button", { class: "btn btn--quiet btn--sm", type: "button", "aria-label": `Remove field ${said}` }, "Remove");
      remove.addEventListener("click", () => {
        focusAt = `${area.id}-f-add`;
        edit(path, (at) => {
          delete at.properties[own.name];
          if (at.required) at.required = at.required.filter((one) => one !== own.name);
        });
      });
      const line = make("div", { class: "schemarow", role: "group", "aria-label": `Field ${said}` }, field, kind, make("label", { class: "check", for: id("must") }, must, make("span", {}, "Always")), words, remove);
      if (type === "string") {
        const options = make("input", { class: "input schemarow__more", id: id("enum"), value: (part.enum ?? []).join(", "), "aria-label": `Allowed values of ${said}, with commas`, placeholder: "Any text, or the allowed values with commas", autocomplete: "off" });
        options.addEventListener("change", () =>
          edit(path, (at) => {
            const values = [...new Set(options.value.split(",").map((one) => one.trim()).filter(Boolean))];
            if (values.length) at.properties[own.name].enum = values;
            else delete at.properties[own.name].enum;
          }, false),
        );
        line.append(options);
      }
      if (type === "array") {
        const of = make("select", { class: "select schemarow__more", id: id("of"), "aria-label": `What the list ${said} holds` });
        for (const [value, label] of Object.entries({ string: "of texts", number: "of numbers", object: "of groups of fields" })) if (value !== "object" || !deep || typeOf(part.items) === "object") of.append(make("option", { value, selected: value === typeOf(part.items) }, label));
        of.addEventListener("change", () => {
          focusAt = id("of");
          edit(path, (at) => (at.properties[own.name].items = of.value === "object" ? { type: "object", properties: {} } : { type: of.value }));
        });
        line.append(of);
      }
      const inner = type === "object" ? part : type === "array" && typeOf(part.items) === "object" ? part.items : null;
      if (inner && !deep) line.append(make("div", { class: "schemarow__inner" }, ...list(inner, [...path, own], true)));
      return line;
    };
    const list = (schema, path, deep) => {
      const rows = Object.entries(schema.properties ?? {}).map(([name, part]) => row({ name }, part ?? {}, path, (schema.required ?? []).includes(name), deep));
      const add = make("button", { class: "btn btn--sm", type: "button", id: deep ? false : `${area.id}-f-add` }, deep ? `Add a field in ${path.at(-1).name}` : "Add a field");
      add.addEventListener("click", () => {
        edit(path, (at) => {
          let number = Object.keys(at.properties).length + 1;
          while (`field_${number}` in at.properties) number++;
          at.properties[`field_${number}`] = { type: "string" };
          at.required = [...(at.required ?? []), `field_${number}`];
          focusAt = `${area.id}-f-${[...path.map((one) => one.name), `field_${number}`].join(".")}-name`.replace(/[^\w-]/g, "_");
        });
      });
      return [...rows, make("div", {}, add)];
    };
    const draw = () => {
      const schema = read(area.value);
      written = area.value;
      if (!schema) {
        box.replaceChildren(make("p", { class: "hint" }, "The text below is no JSON Schema of an object, so it is changed as text."));
        return;
      }
      box.replaceChildren(...list(schema, [], false));
      if (focusAt) {
        const element = document.getElementById(focusAt);
        element?.focus();
        element?.select?.();
        focusAt = "";
      }
    };
    // A table that is made again for the same text takes its place: the one before would draw over it.
    watching.get(area)?.abort();
    const watch = new AbortController();
    watching.set(area, watch);
    area.addEventListener("input", () => area.value !== written && draw(), { signal: watch.signal });
    draw();
  };
  stepwell.enliven("[data-schema-of]", start);
  // A list that is drawn anew empties the table: it is made again from the text.
  document.addEventListener("htmx:finally:request", () =>
    requestAnimationFrame(() => {
      for (const box of document.querySelectorAll("[data-schema-of]")) if (!box.childElementCount) start(box);
    }),
  );
})();
