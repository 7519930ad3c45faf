// What list and canvas share when several people are in one draft: who is here, their initials on steps, fields shut while
// somebody else types in them, and what this page has typed kept through an answer. stepwell.people.
(() => {
  const TYPED = 3000;
  const tab = crypto.randomUUID?.().slice(0, 12) ?? String(Math.random()).slice(2, 14);
  const place = () => document.getElementById("here");
  let typedAt = 0;
  const typing = () => Date.now() - typedAt < TYPED;

  const say = (body) => {
    const headers = { "X-CSRFToken": JSON.parse(document.body.getAttribute("hx-headers:inherited") ?? "{}")["X-CSRFToken"] ?? "", "HX-Request": "true" };
    return fetch(place().dataset.here, { method: "POST", keepalive: body.has("leaves"), body, headers });
  };
  // The draft's revision and the others, from the server; null when it could not be asked.
  const ask = async ({ key, field = "", typing: now = false }) => {
    const body = new URLSearchParams({ tab, key, field });
    if (now) body.set("typing", "1");
    const answer = await say(body);
    return answer.ok && !answer.redirected ? answer.json() : null;
  };
  const leave = () => void say(new URLSearchParams({ tab, leaves: "1" })).catch(() => {});

  // --- in the top bar ---
  const faces = (people) => {
    const box = place();
    if (!box) return;
    const others = [...new Map(people.map((one) => [one.id + one.name, one])).values()];
    const look = JSON.stringify(others.map((one) => [one.name, one.initials]));
    if (box.dataset.look === look) return;
    const before = new Set((box.dataset.names ?? "").split("|").filter(Boolean));
    for (const one of others) if (!before.has(one.name)) stepwell.announce(`${one.name} is here.`);
    box.dataset.look = look;
    box.dataset.names = others.map((one) => one.name).join("|");
    box.title = others.length ? `Also here: ${others.map((one) => one.name).join(", ")}` : "";
    box.replaceChildren(
      ...others.slice(0, 4).map((one) => {
        const face = Object.assign(document.createElement("span"), { className: "av", textContent: one.initials });
        face.dataset.h = one.hue;
        face.setAttribute("role", "img");
        face.setAttribute("aria-label", `${one.name} is here`);
        return face;
      }),
    );
    if (others.length > 4) box.append(Object.assign(document.createElement("span"), { className: "count", textContent: `+${others.length - 4}` }));
  };

  // --- on steps: `places` are [key, the element that gets the initials] ---
  const marks = (people, places) => {
    const by = new Map(people.filter((one) => one.key).map((one) => [one.key, one]));
    for (const [key, head] of places) {
      const who = by.get(key);
      let mark = head?.querySelector(":scope > [data-who]");
      if (!who) mark?.remove();
      else if (head) {
        mark ??= head.appendChild(Object.assign(document.createElement("span"), { className: "av av--who" }));
        mark.dataset.who = who.id;
        mark.dataset.h = who.hue;
        if (mark.textContent !== who.initials) mark.textContent = who.initials;
        mark.title = `${who.name} ${who.typing ? "is typing here" : "has this open"}`;
      }
    }
  };

  // --- fields that somebody else types in ---
  const formOf = (field) => field.form ?? field.closest("form");
  const shut = (people, fields) => {
    const by = new Map(people.filter((one) => one.typing && one.field).map((one) => [`${one.key} ${one.field}`, one]));
    for (const field of fields) {
      const who = by.get(`${formOf(field)?.dataset.autosave} ${field.dataset.field}`);
      const mine = field.contains(document.activeElement) && typing();
      if (Boolean(who) === (field.dataset.shut !== undefined) || (who && mine)) continue;
      for (const control of field.matches("input, textarea, select") ? [field] : field.querySelectorAll("input, textarea, select, button")) {
        if (who) {
          if (control.matches("textarea, input:not([type=checkbox], [type=radio], [type=hidden])")) {
            if (!control.readOnly) control.dataset.shutHere = "readonly";
            control.readOnly = true;
          } else if (!control.matches("[type=hidden]") && !control.disabled) {
            control.dataset.shutHere = "disabled";
            control.disabled = true;
          }
        } else if (control.dataset.shutHere) {
          if (control.dataset.shutHere === "readonly") control.readOnly = false;
          else control.disabled = false;
          delete control.dataset.shutHere;
        }
      }
      if (who) {
        field.dataset.shut = who.name;
        field.title = `${who.name} is typing here`;
      } else {
        delete field.dataset.shut;
        field.removeAttribute("title");
      }
    }
  };

  // --- what is typed here stays through an answer that draws the fields anew ---
  const controlsOf = (field) => (field.matches("input, textarea, select") ? [field] : [...field.querySelectorAll("input, textarea, select")]);
  const ticked = (control) => control.matches("[type=checkbox], [type=radio]");
  const valueOf = (control) => (ticked(control) ? control.checked : control.value);
  const setValue = (control, value) => {
    if (ticked(control)) control.checked = value;
    else if (control.value !== value) control.value = value;
  };
  const drawnValue = (control) => {
    if (ticked(control)) return control.defaultChecked;
    if (control.matches("select")) return [...control.options].find((option) => option.defaultSelected)?.value ?? control.options[0]?.value ?? "";
    return control.defaultValue;
  };
  // `fields()` gives the page's fields, before and after. The answer of the returned function: what others touched shows
  // what they wrote, what is unsaved or being typed here stays and knows what it was written on. What is here is noted right
  // before an answer is drawn, not when it was asked for: people type and move on while it is under way.
  const keeping = (fields) => {
    let notes;
    let focused;
    let range;
    let drawnBy = null;
    const note = (event) => {
      const ctx = event?.detail.ctx ?? null;
      // An answer may have several parts: the first tells what was there before it.
      if (ctx && ctx === drawnBy) return;
      drawnBy = ctx;
      const unsaved = new Set(stepwell.unsaved?.() ?? []);
      const kept = fields().filter((field) => unsaved.has(field) || (typing() && field.contains(document.activeElement)));
      notes = new Map(
        kept.map((field) => {
          const form = formOf(field);
          const known = field.dataset.known ?? form?.querySelector("[name=revision]")?.value;
          return [`${form?.id} ${field.dataset.field}`, { known, values: controlsOf(field).map(valueOf) }];
        }),
      );
      focused = document.activeElement;
      range = focused?.matches?.("textarea, input[type=text], input:not([type])") ? [focused.selectionStart, focused.selectionEnd] : null;
    };
    note();
    document.addEventListener("htmx:before:swap", note);
    return (touched) => {
      document.removeEventListener("htmx:before:swap", note);
      if (!touched) return;
      for (const field of fields()) {
        const form = formOf(field);
        const noted = notes.get(`${form?.id} ${field.dataset.field}`);
        const controls = controlsOf(field);
        if (noted) {
          controls.forEach((control, index) => index < noted.values.length && setValue(control, noted.values[index]));
          if (noted.known && form.querySelector("[name=revision]")?.value !== noted.known) field.dataset.known = noted.known;
        } else if (touched[form?.dataset.autosave]) {
          for (const control of controls) {
            setValue(control, drawnValue(control));
            if (control.matches("[data-autogrow]")) control.dispatchEvent(new Event("grow"));
          }
        }
      }
      if (focused?.isConnected && document.activeElement !== focused && focused !== document.body) focused.focus({ preventScroll: true });
      if (range && document.activeElement === focused) focused.setSelectionRange?.(...range);
    };
  };

  // --- what somebody else changed: the step's edge pulses once and carries their initials for a moment ---
  const pulse = (touched, elementOf, nameOf) => {
    const theirs = Object.entries(touched).filter(([, one]) => one.name);
    for (const [key, { initials, hue }] of theirs) {
      const step = elementOf(key);
      if (!step) continue;
      step.classList.remove("is-pulsing");
      void step.offsetWidth;
      step.classList.add("is-pulsing");
      step.dataset.changedBy = initials;
      step.dataset.changedHue = hue;
      setTimeout(() => {
        step.classList.remove("is-pulsing");
        delete step.dataset.changedBy;
      }, 4000);
    }
    if (!theirs.length) return;
    const [[key, { name }]] = theirs;
    stepwell.announce(theirs.length === 1 ? `${name} changed ${nameOf(key) ?? "a step"}.` : `${name} changed ${theirs.length} steps.`);
  };

  // --- an answer that was asked for before something was done here shows what is over: it is dropped, and asked for again ---
  let posts = 0;
  const open = new Set();
  const writes = ({ request }) => request.method !== "GET";
  document.addEventListener("htmx:before:request", ({ detail: { ctx } }) => {
    if (!writes(ctx)) return;
    posts += 1;
    open.add(ctx);
  });
  document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => open.delete(ctx));
  const writing = () => open.size > 0;
  // Gets `address` as fragments; the detail of the event `name` that comes with them, null when there was no news or it was
  // dropped. `about()` says what the page is about (its open steps): a change of it drops the answer as well.
  const news = async (address, name, target, about) => {
    const [before, was] = [posts, about()];
    let told = null;
    const hear = (event) => (told = event.detail);
    const check = (event) => {
      const { ctx } = event.detail;
      if (ctx.sourceElement !== place() || (posts === before && about() === was)) return;
      ctx.hx.trigger = null;
      event.preventDefault();
    };
    document.addEventListener(name, hear);
    document.addEventListener("htmx:after:request", check);
    try {
      await htmx.ajax("GET", address, { source: place(), target, swap: "none" });
    } finally {
      document.removeEventListener(name, hear);
      document.removeEventListener("htmx:after:request", check);
    }
    return told;
  };

  stepwell.people = { TYPED, writing, news, place, typing, typed: () => (typedAt = Date.now()), ask, leave, faces, marks, shut, keeping, pulse };
})();
