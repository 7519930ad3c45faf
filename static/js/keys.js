// Keyboard shortcuts. data-key="n" or data-key="g w" on a link or button presses it; / goes to [data-search]; ? lists them;
// J and K move through [data-list] > [data-item], Enter opens the item's first link ([data-item-focus] where it has one).
// Single keys are silent while somebody types or a menu is open, and where the person has switched them off (their profile).
// stepwell: singleKeys(), singleKey(event) ("" where it is none), apple.
(() => {
  const places = { w: "workflows", r: "runs", v: "reviews", t: "templates", d: "dashboard" };
  const on = () => document.body.dataset.singleKeys !== "off";
  stepwell.singleKeys = on;
  stepwell.singleKey = (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return "";
    if (!on() || stepwell.typing(event) || document.querySelector("dialog[open], [popover]:popover-open")) return "";
    return event.key.length === 1 ? event.key.toLowerCase() : event.key;
  };

  // Keys are called as the machine calls them: ⌘ and ⌥ on Apple's, Ctrl and Alt elsewhere (what the pages say without script).
  stepwell.apple = /mac|iphone|ipad/i.test(navigator.userAgentData?.platform ?? navigator.platform);
  const NAMES = { Ctrl: "⌘", Alt: "⌥", Shift: "⇧", "Ctrl K": "⌘K" };
  stepwell.enliven("kbd[data-mod]", (key) => {
    if (stepwell.apple) key.textContent = NAMES[key.textContent] ?? key.textContent;
  });

  // The switch in the list of keys is the same as that of the profile: kept with the person.
  stepwell.enliven("[data-keys-switch]", (box) => {
    const show = () => {
      box.checked = on();
      for (const part of document.querySelectorAll("[data-keys-single]")) part.toggleAttribute("data-off", !on());
      for (const note of document.querySelectorAll("[data-keys-off]")) note.hidden = on();
    };
    show();
    box.addEventListener("change", async () => {
      const { form } = box;
      const before = document.body.dataset.singleKeys;
      document.body.dataset.singleKeys = box.checked ? "on" : "off";
      show();
      const answer = await fetch(form.action, { method: "POST", body: new FormData(form), headers: { "HX-Request": "true" } }).catch(() => null);
      if (answer?.ok && !answer.redirected) return;
      document.body.dataset.singleKeys = before;
      show();
      stepwell.toast("This could not be kept. Try again in a moment.", { kind: "bad" });
    });
  });

  // The dialog lists what this page offers: groups that fit it, and the elements with a key by their own names.
  const here = (list) => {
    const seen = new Set();
    const keyOf = (element) => element.dataset.key ?? element.dataset.itemKey;
    const rows = [...document.querySelectorAll("[data-key], [data-item-key]")].filter(
      (element) => (element.offsetParent || element.dataset.itemKey) && !seen.has(keyOf(element)) && seen.add(keyOf(element)),
    );
    list.replaceChildren(
      ...rows.flatMap((element) => {
        const [keys, name] = [document.createElement("dt"), document.createElement("dd")];
        for (const part of keyOf(element).split(" ")) {
          const key = document.createElement("kbd");
          key.textContent = part.toUpperCase();
          keys.append(key, " ");
        }
        const words = element.cloneNode(true);
        for (const key of words.querySelectorAll("kbd")) key.remove();
          const label = element.matches("input, select, textarea") ? element.labels?.[0] : words;
          const said = element.getAttribute("aria-label") ?? label?.textContent.trim() ?? "";
          name.textContent = element.dataset.itemKey ? `${said} (the one that has the focus)` : said;
        return [keys, name];
      }),
    );
    list.closest("[data-keys-group]").hidden = !rows.length;
  };
  const fitting = (dialog) => {
    here(dialog.querySelector("[data-keys-here]"));
    for (const group of dialog.querySelectorAll("[data-keys-for]")) group.hidden = !document.querySelector(group.dataset.keysFor);
    dialog.querySelector("[data-keys-lists]").hidden = Boolean(document.querySelector("[data-flow]")) || !itemsOf().length;
  };
  // "toggle" fires however the dialog was opened.
  stepwell.enliven("#keys", (dialog) => dialog.addEventListener("toggle", (event) => event.newState === "open" && fitting(dialog)));

  // Pages mark their list with data-list; where none does, its only table, rows or cards are it.
  const PLAIN = ".main :is(.table > tbody > tr, .rows > li, .gallery > article):has(a[href], button)";
  const itemsOf = () => {
    for (const selector of ["[data-list] [data-item]", PLAIN]) {
      const items = [...document.querySelectorAll(selector)].filter((item) => item.offsetParent);
      if (items.length) return items;
    }
    return [];
  };
  const move = (step) => {
    const items = itemsOf();
    if (!items.length) return false;
    // The innermost: an item may hold a list of its own.
    const now = items.findLastIndex((item) => item.contains(document.activeElement));
    const next = items[Math.max(0, Math.min(items.length - 1, now < 0 ? (step > 0 ? 0 : items.length - 1) : now + step))];
    const stop = next.matches("[data-item-focus]") ? next : (next.querySelector("[data-item-focus]") ?? next.querySelector("a, button"));
    stop?.focus({ preventScroll: true });
    // Of a tall item its head counts, which scroll margins keep clear of what sticks.
    (stop ?? next).scrollIntoView({ block: "nearest" });
    return true;
  };

  let first = "";
  let timer;
  document.addEventListener("keydown", (event) => {
    const key = stepwell.singleKey(event);
    if (!key) return;
    const press = first ? `${first} ${key}` : key;
    clearTimeout(timer);
    first = "";
    const marked = [...document.querySelectorAll(`[data-key="${CSS.escape(press)}"]`)].find((element) => element.offsetParent && !element.disabled);
    // In a list a key may belong to the item that has the focus: R runs the workflow of the row.
    const own = document.activeElement?.closest?.("[data-item]")?.querySelector(`[data-item-key="${CSS.escape(press)}"]`);
    let done = false;
    if (own) {
      own.click();
      done = true;
    } else if (marked) {
      if (marked.matches("input, select, textarea")) marked.focus();
      else marked.click();
      done = true;
    } else if (press === "/") {
      const search = [...document.querySelectorAll("[data-search], .main input[type=search]")].find((field) => field.offsetParent && !field.closest("[popover]"));
      search?.focus();
      search?.select?.();
      done = Boolean(search);
    } else if (press === "?") {
      document.getElementById("keys")?.showModal();
      done = true;
    } else if (press === "j" || press === "k") {
      done = move(press === "j" ? 1 : -1);
    } else if (press.startsWith("g ")) {
      const link = document.querySelector(`[data-place="${places[key]}"]`);
      link?.click();
      done = Boolean(link);
    } else if (press === "g") {
      first = "g";
      timer = setTimeout(() => (first = ""), 1200);
    }
    if (done) event.preventDefault();
  });
})();
