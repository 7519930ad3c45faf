// Autosave of the builder: each field is sent 600 ms after the last change, one after the other for each card. What could not
// be saved stays on the page and is said beside its field. stepwell.flush() sends what still waits and tells when it is saved.
(() => {
  const WAIT = 600;
  const waiting = new Map(); // form -> Map(field name -> timer)
  const sending = new Map(); // form -> promise of what is under way
  const failed = new Set(); // fields that the last try could not save, as "form field"

  const form = (element) => element.form ?? element.closest("form");
  const fieldOf = (element) => element.closest("[data-field]");
  const inputsOf = (owner, name) => {
    const found = owner.querySelectorAll(`[data-field="${CSS.escape(name)}"]`);
    const outside = document.querySelectorAll(`[data-field="${CSS.escape(name)}"][form="${CSS.escape(owner.id)}"]`);
    return [...found, ...outside].flatMap((field) => (field.name ? [field] : [...field.querySelectorAll("[name]")]));
  };
  const say = (text, icon) => {
    const state = document.querySelector("[data-save-state] span");
    if (state) state.textContent = text;
    document.querySelector("[data-save-state]")?.toggleAttribute("data-bad", icon === "bad");
  };
  const foot = (owner, text) => {
    const key = owner.dataset.autosave;
    const place = document.getElementById(`saved-${key}`) ?? owner.closest(".step")?.querySelector("[data-saved]");
    if (place) place.textContent = text;
  };

  // An answer closed the card while somebody typed in it: what was typed is sent all the same.
  const sendLeft = async (owner, name) => {
    const names = new Set(inputsOf(owner, name).map((input) => input.name));
    const body = new URLSearchParams(new FormData(owner));
    if (!owner.hasAttribute("data-whole"))
      for (const key of [...body.keys()]) if (!names.has(key) && key !== "revision" && key !== "csrfmiddlewaretoken") body.delete(key);
    body.set("field", name);
    const headers = { "HX-Request": "true", "X-CSRFToken": body.get("csrfmiddlewaretoken") };
    const answer = await fetch(owner.getAttribute("action"), { method: "POST", body, headers }).catch(() => null);
    if (answer?.ok) say("Saved");
    else stepwell.toast("The last change in the card that closed was not saved. Open it and make it again.", { kind: "bad" });
  };
  const send = async (owner, name) => {
    if (!owner.isConnected) return sendLeft(owner, name);
    const mark = `${owner.id} ${name}`;
    const names = owner.hasAttribute("data-whole") ? null : new Set(inputsOf(owner, name).map((input) => input.name));
    let status = 0;
    const narrow = (event) => {
      const { ctx } = event.detail;
      if (ctx.sourceElement !== owner) return;
      const { body } = ctx.request;
      // A field that could not take over what others wrote is saved on what it was written on.
      const known = ctx.sourceElement.querySelector(`[data-field="${CSS.escape(name)}"]`)?.dataset.known;
      if (known) body.set("revision", known);
      if (names) for (const key of [...body.keys()]) if (!names.has(key) && key !== "revision" && key !== "csrfmiddlewaretoken") body.delete(key);
      body.set("field", name);
    };
    const done = (event) => {
      if (event.detail.ctx.sourceElement === owner) status = event.detail.ctx.response?.status ?? 0;
    };
    document.addEventListener("htmx:config:request", narrow);
    document.addEventListener("htmx:finally:request", done);
    foot(owner, "Saving");
    say("Saving");
    try {
      await htmx.ajax("POST", owner.getAttribute("action"), { source: owner, swap: "none" });
    } finally {
      document.removeEventListener("htmx:config:request", narrow);
      document.removeEventListener("htmx:finally:request", done);
    }
    if (status >= 200 && status < 300) {
      failed.delete(mark);
      for (const field of document.querySelectorAll(`[data-field="${CSS.escape(name)}"][data-known]`)) if ((field.form ?? field.closest("form")) === owner) delete field.dataset.known;
      if (!failed.size) say("Saved");
    } else {
      failed.add(mark);
      say("Not saved", "bad");
      if (!status || status >= 500) foot(owner, "Not saved. It is tried again with your next change.");
    }
  };

  // Fields of a card are sent in order, so that each knows the revision that the one before it made.
  const enqueue = (owner, name) => {
    const next = (sending.get(owner) ?? Promise.resolve()).then(() => send(owner, name));
    const settled = next.catch(() => {});
    sending.set(owner, settled);
    settled.then(() => sending.get(owner) === settled && sending.delete(owner));
    return next;
  };

  const due = (owner, name) => {
    const fields = waiting.get(owner);
    if (!fields?.has(name)) return;
    clearTimeout(fields.get(name));
    fields.delete(name);
    if (!fields.size) waiting.delete(owner);
    // What failed for want of a connection goes along.
    for (const mark of [...failed]) {
      const [id, other] = mark.split(" ");
      if (id === owner.id && other !== name) enqueue(owner, other);
    }
    return enqueue(owner, name);
  };

  const changed = (element, at) => {
    const owner = form(element);
    const field = fieldOf(element);
    if (!owner?.matches("[data-autosave]") || !field) return;
    const name = field.dataset.field;
    const fields = waiting.get(owner) ?? new Map();
    clearTimeout(fields.get(name));
    fields.set(name, setTimeout(() => due(owner, name), at));
    waiting.set(owner, fields);
    say("Not saved yet");
  };
  stepwell.changed = (element) => changed(element, 0);

  document.addEventListener("input", (event) => changed(event.target, WAIT));
  document.addEventListener("change", (event) => changed(event.target, event.target.matches("select, [type=checkbox]") ? 0 : WAIT));

  const dirty = () => waiting.size > 0 || sending.size > 0;
  stepwell.saving = () => sending.size > 0;
  stepwell.flush = async () => {
    for (const [owner, fields] of [...waiting]) for (const name of [...fields.keys()]) due(owner, name);
    while (sending.size) await Promise.all([...sending.values()]);
  };

  // What changes more than a field waits until the fields are saved; the capture phase comes before htmx.
  const passed = new WeakSet();
  const hold = (event, element, again) => {
    if (passed.delete(element) || !dirty()) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    stepwell.flush().then(() => {
      passed.add(element);
      again();
    });
  };
  document.addEventListener(
    "submit",
    (event) => {
      const owner = event.target;
      if (owner.matches("form[data-flush]")) hold(event, owner, () => owner.requestSubmit(event.submitter));
      // Enter in a field of the card: save it now.
      else if (owner.matches("[data-autosave]")) {
        event.preventDefault();
        event.stopImmediatePropagation();
        stepwell.flush();
      }
    },
    { capture: true },
  );
  document.addEventListener(
    "click",
    (event) => {
      const link = event.target.closest?.("a[data-flush]");
      if (link) hold(event, link, () => link.click());
    },
    { capture: true },
  );

  // The other version was shown beside the field: keep what was typed here.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-keep-mine]");
    if (!button) return;
    const owner = document.getElementById(`form-${button.dataset.keepMine}`);
    const revision = owner?.querySelector("[name=revision]");
    if (!revision) return;
    revision.value = button.dataset.revision;
    for (const field of owner.querySelectorAll("[data-known]")) delete field.dataset.known;
    enqueue(owner, button.dataset.ofField);
  });
  // Take theirs: the field forgets what was typed, then the card is drawn as it is.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-take-theirs]");
    if (!link) return;
    const owner = document.getElementById(`form-${link.dataset.takeTheirs}`);
    if (!owner) return;
    event.preventDefault();
    const name = link.dataset.ofField;
    const fields = waiting.get(owner);
    clearTimeout(fields?.get(name));
    fields?.delete(name);
    if (fields && !fields.size) waiting.delete(owner);
    failed.delete(`${owner.id} ${name}`);
    say("Saved");
    stepwell.drawCard?.(link.dataset.takeTheirs);
  });
  // Fields that hold what is not saved yet, as elements that carry data-field.
  stepwell.unsaved = () => {
    const marks = [...waiting].flatMap(([owner, fields]) => [...fields.keys()].map((name) => [owner, name]));
    for (const mark of failed) marks.push([document.getElementById(mark.split(" ")[0]), mark.split(" ")[1]]);
    return marks.flatMap(([owner, name]) => (owner ? inputsOf(owner, name).map(fieldOf) : [])).filter(Boolean);
  };

  addEventListener("online", () => {
    for (const mark of [...failed]) {
      const [id, name] = mark.split(" ");
      const owner = document.getElementById(id);
      if (owner) enqueue(owner, name);
    }
  });
  addEventListener("beforeunload", (event) => {
    if (dirty() || failed.size) event.preventDefault();
  });
})();
