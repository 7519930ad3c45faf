// The step list of the builder: opening and closing cards, the menu of a card, and what follows an answer (focus, address).
(() => {
  const steps = () => document.getElementById("steps");
  const base = () => location.pathname;
  const openKeys = () => [...document.querySelectorAll("#steps .step.is-open[data-card]")].map((card) => card.dataset.card);
  stepwell.openCards = openKeys;
  const foldedKeys = () => [...document.querySelectorAll("#steps [data-nest]:not([open])")].map((nest) => nest.dataset.nest);

  // Every answer draws the same cards open as the page has, or is about to have.
  const turning = new Set();
  const willBeOpen = () => {
    let keys = openKeys();
    for (const { key, how } of turning) keys = how === "alone" ? [key] : how === "close" ? keys.filter((one) => one !== key) : [...new Set([...keys, key])];
    return keys;
  };
  document.addEventListener("htmx:config:request", (event) => {
    const { request } = event.detail.ctx;
    // What turns a card says what is open now: the answer closes what has to close.
    request.headers["Stepwell-Open"] = ((request.method ?? "GET").toUpperCase() === "GET" ? openKeys() : willBeOpen()).join(",");
    event.detail.ctx.request.headers["Stepwell-Folded"] = foldedKeys().join(",");
  });

  const remember = () => {
    const keys = openKeys();
    const address = keys.length ? `${base()}?open=${keys.map(encodeURIComponent).join(",")}` : base();
    history.replaceState(history.state, "", address);
    try {
      const place = `stepwell-open-${steps().dataset.builder}`;
      if (keys.length) localStorage.setItem(place, keys.join(","));
      else localStorage.removeItem(place);
    } catch {
      // Without storage the address still says it.
    }
  };

  // An edit that is under way draws the cards open that were so when it was sent: a card that turns waits for its answer.
  const edits = new Set();
  document.addEventListener("htmx:before:request", ({ detail: { ctx } }) => (ctx.request?.method ?? "GET").toUpperCase() !== "GET" && edits.add(ctx));
  document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => edits.delete(ctx));
  const answered = async () => {
    while (edits.size) await new Promise((resolve) => document.addEventListener("htmx:finally:request", () => setTimeout(resolve), { once: true }));
  };

  const load = async (key, how) => {
    const turn = { key, how };
    turning.add(turn);
    try {
      await stepwell.flush();
      await answered();
      await htmx.ajax("GET", `${base()}steps/${encodeURIComponent(key)}/${how ? `?${how}=1` : ""}`, { source: steps(), target: "#steps", swap: "none" });
    } finally {
      turning.delete(turn);
    }
    remember();
  };
  const open = async (key, { beside = false, field = "", focus = true } = {}) => {
    if (!document.querySelector(`#step-${CSS.escape(key)}.is-open`)) await load(key, beside ? "" : "alone");
    const card = document.getElementById(`step-${key}`);
    if (!card) return;
    const first = field ? card.querySelector(`[data-field="${CSS.escape(field.split(/[.[]/)[0])}"]`) : null;
    const control = first?.matches("input") ? first : first?.querySelector("textarea, input:not([type=hidden]), select");
    first?.closest("details")?.setAttribute("open", "");
    if (control) control.focus();
    else if (focus) card.querySelector("[data-toggle]")?.focus({ preventScroll: true });
    const { top, bottom } = card.getBoundingClientRect();
    if (top < 60 || (bottom > innerHeight && top > innerHeight / 2)) card.scrollIntoView({ block: "start" });
  };
  stepwell.openCard = open;
  stepwell.drawCard = async (key) => {
    await load(key, "");
    document.querySelector(`#step-${CSS.escape(key)} [data-toggle]`)?.focus({ preventScroll: true });
  };

  document.addEventListener("click", async (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    const toggle = event.target.closest("[data-toggle]");
    if (toggle) {
      event.preventDefault();
      const key = toggle.dataset.toggle;
      if (toggle.getAttribute("aria-expanded") === "true") {
        const from = document.activeElement;
        await load(key, "close");
        // Who has gone on meanwhile stays there.
        if (document.activeElement === from || document.activeElement === document.body) document.querySelector(`[data-toggle="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
      } else await open(key, { beside: event.altKey });
      return;
    }
    const show = event.target.closest("[data-open-card]");
    if (show) {
      event.preventDefault();
      const start = document.querySelector(`#steps [data-step="${CSS.escape(show.dataset.openCard)}"]`) ? show.dataset.openCard : "start";
      await open(start, { field: show.dataset.openField });
      return;
    }
    if (event.target.closest("[data-close-cards]")) for (const key of openKeys()) await load(key, "close");
  });
  // A role of button is pressed by Space too.
  document.addEventListener("keydown", (event) => {
    if (event.key !== " " || !event.target.matches?.("a[role=button]")) return;
    event.preventDefault();
    event.target.click();
  });

  // What follows an edit: the address, closing what asked, and focus where the work goes on.
  document.addEventListener("builder:changed", (event) => {
    const { focus, key } = event.detail;
    // An answer closes what its question was asked in; what was opened meanwhile stays.
    const from = event.target;
    const asked = (box) => !from.isConnected || from === document || from === document.body || box.contains(from);
    for (const dialog of document.querySelectorAll("#dialogs dialog[open]")) if (asked(dialog)) dialog.close();
    for (const menu of document.querySelectorAll("#picker:popover-open, #step-menu:popover-open")) if (asked(menu)) menu.hidePopover();
    remember();
    // A switch that was pressed keeps its own state through a morph: it says what the card says.
    for (const box of document.querySelectorAll("#steps [role=switch]")) box.checked = box.closest("[data-card]").dataset.enabled === "yes";
    if (!focus) return;
    requestAnimationFrame(() => {
      const card = key ? document.getElementById(`step-${key}`) : null;
      let target;
      if (focus === "first" && card)
        target =
          card.querySelector("[data-to-fill] textarea, [data-to-fill] input:not([type=hidden]), [data-to-fill] select") ??
          card.querySelector(".step__body textarea, .step__body select, .step__body input:not([type=hidden])") ??
          card.querySelector("[data-toggle]");
      else if (focus === "name" && card) target = card.querySelector("[data-field=label]");
      else target = document.querySelector(focus);
      target?.focus();
      if (focus === "name") target?.select?.();
      (card ?? target?.closest(".step"))?.scrollIntoView({ block: "nearest" });
    });
  });
  // Focus is never lost: what an answer took away is followed by what stands in its place.
  let last = null;
  document.addEventListener("focusin", ({ target }) => {
    if (!target.closest("#steps, #panel, #selection, .topbar")) return;
    const rows = [...document.querySelectorAll("#steps [data-step]")];
    // What is beside the list is about the step that is open.
    const of = target.closest("#steps") ? target : document.querySelector("#steps .step.is-open");
    const at = rows.findLastIndex((row) => row.contains(of));
    last = { inPanel: Boolean(target.closest("#panel")), id: target.id, name: target.getAttribute("name"), keys: at < 0 ? [] : [rows[at], rows[at - 1], rows[at + 1]].filter(Boolean).map((row) => row.dataset.step) };
  });
  const isLost = () => document.activeElement === document.body || !document.activeElement;
  const refind = () => {
    if (!isLost() || !last || document.querySelector("dialog[open], [popover]:popover-open")) return;
    const same = last.id ? document.getElementById(last.id) : null;
    const inCard = !same && last.name ? document.querySelector(`#step-${CSS.escape(last.keys[0] ?? "")} [name="${CSS.escape(last.name)}"]`) : null;
    const toggle = last.keys.map((key) => document.querySelector(`#step-${CSS.escape(key)} [data-toggle]`)).find(Boolean);
    const tab = last.inPanel ? document.querySelector("#panel [role=tab][aria-selected=true]") : null;
    for (const target of [same, inCard, tab, toggle, document.querySelector("#steps [data-toggle]"), document.querySelector("#gap-end [data-add]"), document.getElementById("main")]) {
      target?.focus({ preventScroll: true });
      if (!isLost()) return;
    }
  };
  for (const name of ["builder:changed", "builder:refused", "htmx:after:swap"]) document.addEventListener(name, () => requestAnimationFrame(() => requestAnimationFrame(refind)));
  document.addEventListener("close", () => requestAnimationFrame(refind), { capture: true });
  // A refused press shows again what is so.
  document.addEventListener("builder:refused", () => {
    for (const box of document.querySelectorAll("#steps [role=switch]")) box.checked = box.closest("[data-card]").dataset.enabled === "yes";
    stepwell.dropRefused?.();
  });

  // The one menu of all cards.
  const menu = () => document.getElementById("step-menu");
  let about = "";
  const place = (button) => {
    const at = button.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = menu();
    const top = at.bottom + 6 + height <= innerHeight ? at.bottom + 6 : Math.max(8, at.top - 6 - height);
    menu().style.top = `${top}px`;
    menu().style.left = `${Math.max(8, Math.min(at.right - width, innerWidth - width - 8))}px`;
  };
  const facts = (card) => ({
    "not-first": card.dataset.first !== "yes",
    "not-last": card.dataset.last !== "yes",
    "can-branch": card.dataset.canBranch === "yes",
    "can-connect": card.hasAttribute("data-after"),
    "can-into": Boolean(card.dataset.into),
    "can-out": Boolean(card.dataset.outOf),
    "can-disable": card.dataset.canDisable === "yes",
  });
  const menuItems = () => [...menu().querySelectorAll(".menu__item")].filter((item) => item.offsetParent);
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-step-menu]");
    if (button) {
      event.preventDefault();
      about = button.dataset.stepMenu;
      const card = document.getElementById(`step-${about}`);
      const known = facts(card);
      const box = menu();
      box.setAttribute("aria-label", `Actions for ${card.dataset.name}`);
      for (const element of box.querySelectorAll("[data-when]")) element.hidden = !known[element.dataset.when];
      for (const form of box.querySelectorAll("[data-act]")) {
        const address = `${box.dataset.base}${about}/${form.dataset.act}`;
        form.setAttribute("action", address);
        form.setAttribute("hx-post", address);
      }
      const on = card.dataset.enabled === "yes";
      box.querySelector("[data-on]").disabled = on;
      box.querySelector("[data-on-word]").textContent = on ? "Turn off" : "Turn on";
      box.querySelector("button[data-into]").value = card.dataset.into ?? "";
      box.querySelector("[data-into-word]").textContent = card.dataset.intoName ?? "";
      box.querySelector("[data-out-word]").textContent = card.dataset.outOf ?? "";
      htmx.process(box);
      box.showPopover();
      place(button);
      menuItems()[0]?.focus({ preventScroll: true });
      return;
    }
    const box = event.target.closest("#step-menu");
    if (!box) return;
    const question = event.target.closest("[data-ask]");
    const card = document.getElementById(`step-${about}`);
    if (question) {
      box.hidePopover();
      await stepwell.flush();
      await htmx.ajax("GET", `${box.dataset.base}${about}/${question.dataset.ask}`, { source: steps(), target: "#dialogs", swap: "innerHTML settle:0" });
    } else if (event.target.closest("[data-branch]")) {
      box.hidePopover();
      stepwell.pick(document.getElementById(`more-${about}`), [{ place: `after:${about}`, label: `on a new branch of ${card.dataset.name}` }]);
    } else if (event.target.closest("[data-test-this]")) {
      box.hidePopover();
      card.querySelector("[data-test-step]")?.click();
    } else if (event.target.closest("[data-note]")) {
      box.hidePopover();
      await open(about, { field: "note" });
    }
  });
  document.addEventListener("keydown", (event) => {
    if (!event.target.closest?.("#step-menu")) return;
    const all = menuItems();
    const now = all.indexOf(document.activeElement);
    const to = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    all[(to + all.length) % all.length]?.focus();
  });
  // Escape gives the focus back to the card it was about.
  stepwell.enliven("#step-menu", (box) =>
    box.addEventListener("toggle", (event) => {
      if (event.newState === "closed" && (box.contains(document.activeElement) || document.activeElement === document.body))
        document.getElementById(`more-${about}`)?.focus({ preventScroll: true });
    }),
  );

  // Lists that were folded last time stay folded.
  stepwell.enliven("[data-builder]", (list) => {
    const place = `stepwell-folded-${list.dataset.builder}`;
    try {
      const folded = new Set((localStorage.getItem(place) ?? "").split(",").filter(Boolean));
      for (const nest of list.querySelectorAll("[data-nest]")) if (folded.has(nest.dataset.nest)) nest.open = false;
    } catch {
      // Without storage every list is open.
    }
    list.addEventListener(
      "toggle",
      (event) => {
        if (!event.target.matches("[data-nest]")) return;
        try {
          localStorage.setItem(place, foldedKeys().join(","));
        } catch {
          // It is forgotten with the page.
        }
      },
      { capture: true },
    );
  });
  // The card that was open last time, where the address does not say.
  stepwell.enliven("[data-builder]", (list) => {
    if (new URLSearchParams(location.search).has("open")) return;
    let kept = "";
    try {
      kept = localStorage.getItem(`stepwell-open-${list.dataset.builder}`) ?? "";
    } catch {
      return;
    }
    const key = kept.split(",")[0];
    if (key && document.getElementById(`step-${key}`)) open(key, { focus: false });
  });
  // The name in the top bar is saved with Enter.
  document.addEventListener("submit", (event) => {
    if (event.target.matches("form.rename")) {
      event.preventDefault();
      event.target.querySelector("input[name=name]").blur();
    }
  });
})();
