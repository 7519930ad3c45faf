// Controls of an open card: rows that are added and removed, cases, rows or expression, settings that hide others, inserting data.
(() => {
  // Rows.
  const templateOf = (list) => [...list.children].find((child) => child.matches("template"));
  document.addEventListener("click", (event) => {
    const add = event.target.closest("[data-row-add]");
    if (add) {
      const owner = add.closest("[data-rows], [data-cases]");
      const template = templateOf(owner);
      if (!template) return;
      const row = template.content.cloneNode(true).firstElementChild;
      if (owner.matches("[data-cases]")) {
        const taken = [...owner.querySelectorAll("[name]")].map((input) => Number(/__(\d+)__/.exec(input.name)?.[1] ?? -1));
        const number = String(Math.max(-1, ...taken) + 1);
        const rename = (root) => {
          for (const input of root.querySelectorAll("[name], [data-rows]")) {
            if (input.name) input.name = input.name.replace("NUMBER", number);
            if (input.dataset.rows) input.dataset.rows = input.dataset.rows.replace("NUMBER", number);
          }
          for (const inner of root.querySelectorAll("template")) rename(inner.content);
        };
        rename(row);
      }
      template.before(row);
      row.querySelector("input:not([type=hidden]), textarea, select")?.focus();
      return;
    }
    const remove = event.target.closest("[data-row-remove]");
    if (remove) {
      const row = remove.closest("[data-row]");
      const next = row.nextElementSibling?.querySelector?.("input:not([type=hidden])") ?? row.parentElement.querySelector("[data-row-add]");
      const field = row.closest("[data-field]");
      const keeper = field.querySelector("input, select, textarea") ?? field;
      row.remove();
      next?.focus();
      stepwell.changed(keeper.isConnected ? keeper : field);
    }
  });

  // Rows or an expression.
  document.addEventListener("change", (event) => {
    const mode = event.target.closest("[data-condition-mode]");
    if (!mode) return;
    const condition = mode.closest("[data-condition]");
    for (const part of condition.querySelectorAll("[data-condition-rows]")) part.hidden = mode.value !== "rows";
    condition.querySelector("[data-condition-expression]").hidden = mode.value !== "expression";
  });

  // Settings that make sense only with a certain value of another.
  document.addEventListener("change", (event) => {
    const owner = event.target.form;
    if (!owner?.matches("[data-autosave]")) return;
    for (const field of owner.querySelectorAll("[data-shown-when]")) {
      const [name, values] = field.dataset.shownWhen.split("=");
      const control = owner.elements.namedItem(name);
      if (!control) continue;
      const value = control.type === "checkbox" ? String(control.checked) : control.value;
      field.hidden = !values.split("|").includes(value);
    }
  });

  // Data: a press in the panel writes it where the cursor was.
  let last = null;
  document.addEventListener("focusin", (event) => {
    if (event.target.matches("[data-data]")) last = event.target;
  });
  const insert = (path) => {
    const target = last?.isConnected ? last : document.querySelector(".step.is-open .step__body [data-data]");
    if (!target) return;
    const kind = target.dataset.data;
    const steps = /^steps\.(?<label>[^.]+)\.(?<rest>.+)$/.exec(path);
    const plain = kind === "expression" && steps && !/^[A-Za-z_]\w*$/.test(steps.groups.label) ? `steps["${steps.groups.label}"].${steps.groups.rest}` : path;
    const text = kind ? plain : `{{${path}}}`;
    target.focus();
    if (kind === "path") {
      target.value = text;
    } else {
      const start = target.selectionStart ?? target.value.length;
      const before = target.value.slice(0, start);
      const open = !kind && /\{\{\s*$/.exec(before);
      target.setRangeText(open ? text.slice(2) : text, start, target.selectionEnd ?? start, "end");
    }
    target.dispatchEvent(new Event("input", { bubbles: true }));
    stepwell.announce(`${path} written`);
  };
  document.addEventListener("click", (event) => {
    const reference = event.target.closest("[data-reference]");
    if (reference) {
      insert(reference.dataset.reference);
      if (matchMedia("(max-width: 1080px)").matches) document.querySelector("[data-panel-close]")?.click();
      last?.focus();
      return;
    }
    const button = event.target.closest("[data-insert]");
    if (!button) return;
    last = document.getElementById(button.dataset.insert);
    document.getElementById("tab-data")?.click();
    // By keys the data is the next thing to press; Escape leads back to the step.
    if (event.detail === 0) document.querySelector("#tabpanel-data [data-reference]")?.focus();
  });
  // The button that opens the panel on narrow screens gives its place back.
  stepwell.enliven("[data-insert]", (button) => button.setAttribute("data-panel-open", ""));

  // Tokens before data: four characters are about one.
  const count = (area) => {
    const words = document.querySelector(`[data-tokens-of="${CSS.escape(area.id)}"]`);
    if (!words) return;
    const tokens = Math.ceil(area.value.replace(/\{\{[^}]*\}\}/g, "").trim().length / 4);
    words.textContent = tokens ? `about ${tokens.toLocaleString("en")} tokens before data` : "";
  };
  document.addEventListener("input", (event) => event.target.matches("textarea") && count(event.target));
  stepwell.enliven("[data-tokens-of]", (words) => {
    const area = document.getElementById(words.dataset.tokensOf);
    if (area) count(area);
  });
})();
