// The live page of a run: [data-run] opens a socket, puts fragments in their places and appends text as it is written.
// What a person types, chose, opened or focused stays. stepwell.liveText(attempt) gives a text so far.
(() => {
  const FIRST_PAUSE = 500;
  const LONGEST_PAUSE = 10000;
  const LOST_AFTER = 3000;
  const RELOAD_AFTER = 60000;
  const QUIET = 25000;
  const SUMMARY_EVERY = 10000;
  const BOX_KEEPS = 4000;
  const COUNT_EVERY = 250;
  const FLASH = 1300;

  // --- text ---------------------------------------------------------------------------------------
  const texts = new Map();
  const waiting = new Map();
  let frame = 0;
  stepwell.liveText = (attempt) => texts.get(attempt)?.text ?? "";

  const lengthOf = (text) => {
    let count = 0;
    for (const _ of text) count += 1;
    return count;
  };
  const nodeOf = (element) => {
    if (!(element.firstChild instanceof Text) || element.childNodes.length > 1) element.replaceChildren(new Text(""));
    return element.firstChild;
  };
  const flush = () => {
    frame = 0;
    for (const [attempt, added] of waiting) {
      for (const words of document.querySelectorAll(`[data-live-text="${attempt}"] [data-live-words]`)) {
        const node = nodeOf(words);
        node.appendData(added);
        // The box shows three lines; the panel holds everything.
        if (node.length > BOX_KEEPS) node.deleteData(0, node.length - BOX_KEEPS / 2);
      }
      const whole = texts.get(attempt).text;
      for (const full of document.querySelectorAll(`[data-live-full="${attempt}"]`)) {
        const node = nodeOf(full);
        // A panel that came with a part of the text already gets the whole of it, not the same words twice.
        if (node.length + added.length === whole.length) node.appendData(added);
        else node.data = whole;
      }
    }
    waiting.clear();
    counting ||= setTimeout(count, COUNT_EVERY);
  };
  // How far a text is, in words, at most four times a second.
  let counting = 0;
  const wordsOf = (text) => text.trim().split(/\s+/).filter(Boolean).length;
  const tell = (place) => {
    const words = wordsOf(stepwell.liveText(place.dataset.liveCount));
    const said = words ? `${words.toLocaleString("en")} word${words > 1 ? "s" : ""}` : "";
    if (place.textContent !== said) place.textContent = said;
  };
  const count = () => {
    counting = 0;
    document.querySelectorAll("[data-live-count]").forEach(tell);
  };
  stepwell.enliven("[data-live-count]", tell);
  const addText = ({ a: attempt, o: offset, d: delta }) => {
    const known = texts.get(attempt) ?? { text: "", length: 0, told: 0 };
    texts.set(attempt, known);
    const added = offset < known.length ? [...delta].slice(known.length - offset).join("") : delta;
    if (offset > known.length || !added) return;
    known.text += added;
    known.length += lengthOf(added);
    waiting.set(attempt, (waiting.get(attempt) ?? "") + added);
    frame ||= requestAnimationFrame(flush);
  };
  // A box or panel that has just arrived begins with what is known.
  stepwell.enliven("[data-live-text]", (box) => {
    const words = box.querySelector("[data-live-words]");
    if (words && !words.textContent) {
      waiting.delete(box.dataset.liveText);
      nodeOf(words).data = stepwell.liveText(box.dataset.liveText).slice(-BOX_KEEPS / 2);
    }
  });
  // The texts of items come only to a page that shows them.
  let tellWatched = () => {};
  stepwell.enliven("[data-live-full]", (full) => {
    tellWatched();
    const text = stepwell.liveText(full.dataset.liveFull);
    if (text.length >= full.textContent.length) nodeOf(full).data = text;
  });

  // --- fragments ------------------------------------------------------------------------------------
  const token = () => {
    try {
      return JSON.parse(document.body.getAttribute("hx-headers:inherited"))["X-CSRFToken"];
    } catch {
      return "";
    }
  };
  const parse = (html) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content.firstElementChild;
  };
  const placeOf = (element, root) => {
    if (element.id && element !== root) return `#${CSS.escape(element.id)}`;
    if (element.dataset?.stepLink) return `[data-step-link="${CSS.escape(element.dataset.stepLink)}"]`;
    if (element.name) return `[name="${CSS.escape(element.name)}"]`;
    return element.matches?.("button, summary, a") ? element.tagName.toLowerCase() : null;
  };
  // A button that is there before and after stays the same element: a dialog may be asking about it right now.
  const keepForms = (old, fresh) => {
    for (const form of old.querySelectorAll("form[data-run-form]")) {
      const twin = [...fresh.querySelectorAll("form[data-run-form]")].find((other) => other.getAttribute("action") === form.getAttribute("action") && other.className === form.className);
      const button = twin?.querySelector("button");
      if (!button || button.textContent !== form.querySelector("button")?.textContent) continue;
      for (const { name, value } of twin.attributes) form.setAttribute(name, value);
      twin.replaceWith(form);
    }
  };
  const keep = (old, fresh) => {
    for (const box of old.querySelectorAll("[data-live-text]")) {
      const twin = fresh.querySelector(`[data-live-text="${box.dataset.liveText}"]`);
      twin?.replaceWith(box);
    }
    old.querySelectorAll("details").forEach((one, n) => {
      const twin = fresh.querySelectorAll("details")[n];
      if (twin) twin.open = one.open;
    });
    keepForms(old, fresh);
    if (old.querySelector(".fan.is-all")) fresh.querySelector(".fan")?.classList.add("is-all");
    // A table of items that somebody filters, pages or types in stays; run-items.js reads it anew.
    for (const table of old.querySelectorAll("[data-items]")) {
      const search = table.querySelector("input[type=search]");
      if (!table.hasAttribute("data-items-chosen") && !table.contains(document.activeElement) && search?.value === search?.defaultValue) continue;
      fresh.querySelector(`[data-items="${CSS.escape(table.dataset.items)}"]`)?.replaceWith(table);
    }
    for (const link of old.querySelectorAll("[data-step-link][aria-current]")) {
      fresh.querySelector(`[data-step-link="${CSS.escape(link.dataset.stepLink)}"]`)?.setAttribute("aria-current", "true");
    }
    for (const field of old.querySelectorAll("input[id], textarea[id]")) {
      const twin = fresh.querySelector(`#${CSS.escape(field.id)}`);
      if (twin && field.value !== field.defaultValue) twin.value = field.value;
    }
  };
  const gatesOf = (root) => [...root.querySelectorAll("[data-gate]")];
  const sameGates = (old, fresh) => {
    const [before, after] = [old, fresh].map((root) => gatesOf(root).map((gate) => gate.dataset.gate + gate.querySelectorAll("footer").length));
    return before.length > 0 && before.join() === after.join();
  };
  const keepGates = (old, fresh) => {
    for (const gate of gatesOf(old)) {
      const twin = fresh.querySelector(`#${CSS.escape(gate.id)}`);
      // The same question: whatever is written in it stays as it is.
      if (twin && twin.dataset.gate === gate.dataset.gate) twin.replaceWith(gate);
      else if (!twin) {
        const said = gate.querySelector("[data-gate-comment]")?.value.trim();
        const sent = gate.querySelector("form")?.hasAttribute("data-sent");
        if (said && !sent) fresh.append(late(gate, said));
      }
    }
  };
  const late = (gate, said) => {
    const note = document.createElement("div");
    note.className = "note note--human";
    note.setAttribute("role", "alert");
    const words = document.createElement("div");
    const headline = document.createElement("p");
    const bold = document.createElement("b");
    bold.textContent = `${gate.querySelector("h2")?.textContent ?? "This review"} was decided by somebody else.`;
    headline.append(bold);
    const comment = document.createElement("p");
    comment.textContent = `Your comment was not sent: “${said}”`;
    words.append(headline, comment);
    const copy = document.createElement("button");
    copy.type = "button";
    copy.className = "btn btn--sm";
    copy.dataset.copyText = said;
    copy.textContent = "Copy it";
    note.append(words, copy);
    return note;
  };

  const put = ({ id, html }, flash) => {
    const old = document.getElementById(id);
    const fresh = parse(html);
    if (!old || !fresh) return;
    for (const field of fresh.querySelectorAll('input[name="csrfmiddlewaretoken"]')) field.value = token();
    if (id === "run-gate" && sameGates(old, fresh)) return;
    const active = old.contains(document.activeElement) ? document.activeElement : null;
    const focused = active ? placeOf(active, old) : null;
    const caret = focused && "selectionStart" in active ? active.selectionStart : null;
    if (id === "run-gate") keepGates(old, fresh);
    else keep(old, fresh);
    const before = old.querySelector(".runstep")?.dataset.s;
    const step = fresh.querySelector(".runstep");
    if (old.querySelector(".runstep.is-selected")) step?.classList.add("is-selected");
    if (flash && step && step.dataset.s !== before) {
      step.classList.add("is-changed");
      setTimeout(() => step.classList.remove("is-changed"), FLASH);
    }
    old.replaceWith(fresh);
    // What htmx acts on in it has to be shown to htmx: it came by another way.
    window.htmx?.process(fresh);
    // An element that was carried over has lost the focus on its way.
    if (active?.isConnected) active.focus({ preventScroll: true });
    else if (focused && !fresh.contains(document.activeElement)) {
      const target = fresh.querySelector(focused);
      target?.focus({ preventScroll: true });
      if (caret !== null && target?.setSelectionRange && target.type !== "email") target.setSelectionRange(caret, caret);
    }
  };

  // --- the line -------------------------------------------------------------------------------------
  stepwell.enliven("[data-run]", (page) => {
    let socket;
    let pause = FIRST_PAUSE;
    let lostAt = 0;
    let timers = [];
    let heard = Date.now();
    let first = true;
    let watched = "";
    tellWatched = () => {
      const shown = [...document.querySelectorAll("[data-live-full]")].map((full) => full.dataset.liveFull).filter((attempt) => !document.querySelector(`[data-live-text="${attempt}"]`));
      if (socket?.readyState !== WebSocket.OPEN || shown.join() === watched) return;
      watched = shown.join();
      socket.send(JSON.stringify({ watch: shown }));
    };
    const pill = () => document.querySelector("[data-live-pill]");
    const lostNote = page.querySelector("[data-live-lost]");

    const show = (live) => {
      const element = pill();
      if (element) {
        element.hidden = false;
        element.toggleAttribute("data-lost", !live);
        element.querySelector("[data-live-word]").textContent = live ? "Live" : "Reconnecting";
      }
      lostNote.hidden = live;
      if (live) lostNote.querySelector("[data-live-reload]").hidden = true;
    };
    const found = () => {
      timers.forEach(clearTimeout);
      timers = [];
      lostAt = 0;
      pause = FIRST_PAUSE;
      show(true);
    };
    const lost = () => {
      if (lostAt) return;
      lostAt = Date.now();
      timers.push(setTimeout(() => show(false), LOST_AFTER));
      timers.push(setTimeout(() => (lostNote.querySelector("[data-live-reload]").hidden = false), RELOAD_AFTER));
    };
    lostNote.querySelector("[data-live-reload]").addEventListener("click", () => location.reload());

    const receive = (message) => {
      if (message.a) return addText(message);
      if (message.type !== "parts") return;
      for (const part of message.parts) put(part, !first);
      first = false;
      page.dataset.runStamp = message.stamp;
      page.dataset.runOver = message.over ? "yes" : "no";
      document.title = `${message.title} · Stepwell`;
      if (!lostAt) show(true);
      if ("reviews" in message) stepwell.countReviews(message.reviews);
      if (message.say.length) stepwell.announce(message.say.join(". "));
      document.dispatchEvent(new CustomEvent("run:changed"));
    };
    const open = () => {
      const address = new URL(`/ws/runs/${page.dataset.run}/`, location.href);
      address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
      address.searchParams.set("stamp", page.dataset.runStamp);
      socket = new WebSocket(address);
      socket.addEventListener("open", () => {
        heard = Date.now();
        watched = "";
        tellWatched();
        found();
      });
      socket.addEventListener("message", (event) => {
        heard = Date.now();
        receive(JSON.parse(event.data));
      });
      socket.addEventListener("close", (event) => {
        // Shown out: reloading says why, on a page of its own.
        if (event.code === 4403) return location.reload();
        lost();
        setTimeout(open, pause * (0.75 + Math.random() / 2));
        pause = Math.min(pause * 2, LONGEST_PAUSE);
      });
    };
    // A line can be dead without anybody being told (sleep, a lost network): ask, and hang up when nothing comes.
    setInterval(() => {
      if (socket?.readyState !== WebSocket.OPEN) return;
      if (Date.now() - heard > 2 * QUIET) socket.close();
      else if (Date.now() - heard > QUIET) socket.send("ping");
    }, QUIET / 5);
    // Listeners hear how far texts and items are, not their words: one summary, and only what has moved.
    const nameOf = (box) => box.closest("[data-row]")?.querySelector(".step__name")?.textContent.trim();
    const toldItems = new Map();
    setInterval(() => {
      const summary = [];
      for (const box of document.querySelectorAll("[data-live-text]")) {
        const known = texts.get(box.dataset.liveText);
        const name = nameOf(box);
        if (!known || !name || known.told === known.length) continue;
        known.told = known.length;
        summary.push(`${name} is writing, ${wordsOf(known.text)} words so far`);
      }
      for (const fan of document.querySelectorAll('.runstep[data-s="running"] .fan[data-fan]')) {
        const done = fan.querySelector(".fan__top b")?.textContent.trim();
        if (!done || toldItems.get(fan.dataset.fan) === done) continue;
        toldItems.set(fan.dataset.fan, done);
        summary.push(`${nameOf(fan)}: ${done}`);
      }
      if (summary.length) stepwell.announce(summary.join(". "));
    }, SUMMARY_EVERY);
    open();
  });
})();
