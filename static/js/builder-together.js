// Several people in one draft: says who is here, draws what others change, and keeps fields shut in which others type.
// What this page has not saved yet stays in its field; its save then names the revision that it was written on.
(() => {
  const ALONE = 4000;
  const TOGETHER = 1200;
  const TYPED = 3000;
  const tab = crypto.randomUUID?.().slice(0, 12) ?? String(Math.random()).slice(2, 14);
  const steps = () => document.getElementById("steps");
  const place = () => document.getElementById("here");
  const known = () => Number(steps()?.dataset.revision ?? 0);
  const knows = (revision) => {
    if (steps() && revision > known()) steps().dataset.revision = revision;
  };
  let typedAt = 0;
  let people = [];
  let timer;
  let asking = false;

  document.addEventListener("htmx:config:request", (event) => {
    event.detail.ctx.request.headers["Stepwell-Revision"] = String(known());
  });
  // A list that was drawn anew shows everything; a saved field only itself.
  document.addEventListener("builder:changed", (event) => knows(event.detail.revision ?? 0));
  document.addEventListener("builder:saved", (event) => {
    const { revision } = event.detail;
    if (revision <= known() + 1) knows(revision);
    else catchUp();
  });

  // --- what this person does ---
  const doing = () => {
    const field = document.activeElement?.closest?.("#steps [data-field], #steps input[data-field]");
    const card = document.activeElement?.closest?.("#steps [data-card]") ?? document.querySelector("#steps .step.is-open[data-card]");
    return { key: card?.dataset.card ?? "", field: field?.dataset.field ?? "", typing: Date.now() - typedAt < TYPED && Boolean(field) };
  };
  document.addEventListener("input", (event) => {
    if (!event.target.closest?.("#steps [data-field], #steps input[data-field]")) return;
    const first = Date.now() - typedAt > TYPED;
    typedAt = Date.now();
    if (first && people.length) tick();
  });

  // --- the others ---
  const draw = () => {
    const box = place();
    if (!box) return;
    const others = [...new Map(people.map((one) => [one.id + one.name, one])).values()];
    const shown = others.slice(0, 4);
    const look = JSON.stringify(others.map((one) => [one.name, one.initials]));
    if (box.dataset.look !== look) {
      if (box.dataset.look !== undefined || others.length) {
        const before = new Set((box.dataset.names ?? "").split("|").filter(Boolean));
        for (const one of others) if (!before.has(one.name)) stepwell.announce(`${one.name} is here.`);
      }
      box.dataset.look = look;
      box.dataset.names = others.map((one) => one.name).join("|");
      box.title = others.length ? `Also here: ${others.map((one) => one.name).join(", ")}` : "";
      box.replaceChildren(
        ...shown.map((one) => {
          const face = document.createElement("span");
          face.className = "av";
          face.dataset.h = one.hue;
          face.textContent = one.initials;
          face.setAttribute("role", "img");
          face.setAttribute("aria-label", `${one.name} is here`);
          return face;
        }),
      );
      if (others.length > 4) box.append(Object.assign(document.createElement("span"), { className: "count", textContent: `+${others.length - 4}` }));
    }
    const by = new Map(people.filter((one) => one.key).map((one) => [one.key, one]));
    for (const card of document.querySelectorAll("#steps [data-card]")) {
      const who = by.get(card.dataset.card);
      const head = card.querySelector(":scope > .step__head .step__name");
      let mark = card.querySelector(":scope > .step__head [data-who]");
      if (!who) mark?.remove();
      else if (head) {
        mark ??= head.appendChild(Object.assign(document.createElement("span"), { className: "av av--who" }));
        mark.dataset.who = who.id;
        mark.dataset.h = who.hue;
        mark.textContent = who.initials;
        mark.title = `${who.name} ${who.typing ? "is typing here" : "has this open"}`;
      }
    }
    const shut = new Map(people.filter((one) => one.typing && one.field).map((one) => [`${one.key} ${one.field}`, one]));
    for (const field of document.querySelectorAll("#steps .is-open [data-field]")) {
      const key = (field.form ?? field.closest("form"))?.dataset.autosave;
      const who = shut.get(`${key} ${field.dataset.field}`);
      const mine = field.contains(document.activeElement) && Date.now() - typedAt < TYPED;
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

  // --- what they changed ---
  const pulse = (touched) => {
    for (const [key, { name, initials, hue }] of Object.entries(touched)) {
      if (!name) continue;
      const card = document.getElementById(`step-${key}`);
      if (!card) continue;
      card.classList.remove("is-pulsing");
      void card.offsetWidth;
      card.classList.add("is-pulsing");
      card.dataset.changedBy = initials;
      card.dataset.changedHue = hue;
      setTimeout(() => {
        card.classList.remove("is-pulsing");
        delete card.dataset.changedBy;
      }, 4000);
    }
    const named = Object.entries(touched).filter(([, one]) => one.name);
    if (named.length === 1) {
      const [key, { name }] = named[0];
      stepwell.announce(`${name} changed ${document.getElementById(`step-${key}`)?.dataset.name ?? "a step"}.`);
    } else if (named.length) stepwell.announce(`${named[0][1].name} changed ${named.length} steps.`);
  };
  const controlsOf = (field) => (field.matches("input, textarea, select") ? [field] : [...field.querySelectorAll("input, textarea, select")]);
  const valueOf = (control) => (control.matches("[type=checkbox], [type=radio]") ? control.checked : control.value);
  const setValue = (control, value) => {
    if (control.matches("[type=checkbox], [type=radio]")) control.checked = value;
    else if (control.value !== value) control.value = value;
  };
  const drawnValue = (control) => {
    if (control.matches("[type=checkbox], [type=radio]")) return control.defaultChecked;
    if (control.matches("select")) return [...control.options].find((option) => option.defaultSelected)?.value ?? control.options[0]?.value ?? "";
    return control.defaultValue;
  };
  const formOf = (field) => field.form ?? field.closest("form");
  let catching = null;
  const catchUp = () => {
    catching ??= go().finally(() => (catching = null));
    return catching;
  };
  const go = async () => {
    const kept = new Set(stepwell.unsaved?.() ?? []);
    const focused = document.activeElement?.closest?.("#steps [data-field]");
    if (focused && Date.now() - typedAt < TYPED) kept.add(focused);
    const notes = [...kept].map((field) => {
      const form = formOf(field);
      return {
        form: form?.id,
        name: field.dataset.field,
        known: field.dataset.known ?? form?.querySelector("[name=revision]")?.value,
        values: controlsOf(field).map(valueOf),
      };
    });
    const opening = document.activeElement;
    const range = opening?.matches?.("textarea, input[type=text], input:not([type])") ? [opening.selectionStart, opening.selectionEnd] : null;
    let told = null;
    const hear = (event) => (told = event.detail);
    document.addEventListener("builder:caught-up", hear);
    try {
      await htmx.ajax("GET", `${place().dataset.changes}?since=${known()}`, { source: steps(), target: "#steps", swap: "none" });
    } finally {
      document.removeEventListener("builder:caught-up", hear);
    }
    if (!told) return;
    const touched = told.touched ?? {};
    const keeps = new Map(notes.map((note) => [`${note.form} ${note.name}`, note]));
    for (const field of document.querySelectorAll("#steps .is-open [data-field]")) {
      const form = formOf(field);
      const note = keeps.get(`${form?.id} ${field.dataset.field}`);
      const controls = controlsOf(field);
      if (note) {
        controls.forEach((control, index) => index < note.values.length && setValue(control, note.values[index]));
        if (form.querySelector("[name=revision]")?.value !== note.known && note.known) field.dataset.known = note.known;
      } else if (touched[form?.dataset.autosave]) {
        for (const control of controls) {
          setValue(control, drawnValue(control));
          if (control.matches("[data-autogrow]")) control.dispatchEvent(new Event("grow"));
        }
      }
    }
    if (opening?.isConnected && document.activeElement !== opening && opening.closest("#steps")) opening.focus({ preventScroll: true });
    if (range && document.activeElement === opening) opening.setSelectionRange?.(...range);
    knows(told.revision);
    draw();
    pulse(touched);
  };

  // --- the round ---
  const tick = async () => {
    clearTimeout(timer);
    const box = place();
    if (!box || asking) return;
    if (document.hidden && !people.length) {
      timer = setTimeout(tick, ALONE);
      return;
    }
    asking = true;
    try {
      if (!steps()?.hasAttribute("data-editable")) {
        if (!document.hidden) await catchUp();
        return;
      }
      const { key, field, typing } = doing();
      const body = new URLSearchParams({ tab, key, field });
      if (typing) body.set("typing", "1");
      const token = JSON.parse(document.body.getAttribute("hx-headers:inherited") ?? "{}")["X-CSRFToken"] ?? "";
      const answer = await fetch(box.dataset.here, { method: "POST", body, headers: { "X-CSRFToken": token, "HX-Request": "true" } });
      if (answer.ok && !answer.redirected) {
        const said = await answer.json();
        people = said.people;
        draw();
        // In the middle of a drag or of an own save the list is left alone.
        if (said.revision > known() && !document.querySelector("#steps.is-moving") && !stepwell.saving?.()) await catchUp();
      }
    } catch {
      // No connection: the next round asks again.
    } finally {
      asking = false;
      timer = setTimeout(tick, people.length ? TOGETHER : ALONE);
    }
  };
  document.addEventListener("visibilitychange", () => !document.hidden && tick());
  document.addEventListener("htmx:after:swap", () => people.length && draw());
  addEventListener("pagehide", () => {
    const box = place();
    if (!box || !steps()?.hasAttribute("data-editable")) return;
    const token = JSON.parse(document.body.getAttribute("hx-headers:inherited") ?? "{}")["X-CSRFToken"] ?? "";
    fetch(box.dataset.here, { method: "POST", keepalive: true, body: new URLSearchParams({ tab, leaves: "1" }), headers: { "X-CSRFToken": token } }).catch(() => {});
  });
  stepwell.enliven("#here", () => tick());
})();
