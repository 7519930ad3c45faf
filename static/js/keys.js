// Keyboard shortcuts. data-key="n" or data-key="g w" on a link or button presses it; / goes to [data-search]; ? lists them;
// J and K move through [data-list] > [data-item], Enter opens the item's first link. Silent while somebody types.
(() => {
  const KEY = "stepwell-single-keys";
  const places = { w: "workflows", r: "runs", v: "reviews", t: "templates", d: "dashboard" };
  const stored = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null;
    }
  };
  const on = () => (stored() ?? document.body.dataset.singleKeys ?? "on") !== "off";

  stepwell.singleKeys = on;

  stepwell.enliven("[data-keys-switch]", (box) => {
    box.checked = on();
    box.addEventListener("change", () => {
      try {
        localStorage.setItem(KEY, box.checked ? "on" : "off");
      } catch {
        document.body.dataset.singleKeys = box.checked ? "on" : "off";
      }
    });
  });

  // The dialog also lists what this page offers, by the names of the elements themselves.
  const here = (list) => {
    const seen = new Set();
    const rows = [...document.querySelectorAll("[data-key]")].filter(
      (element) => element.offsetParent && !seen.has(element.dataset.key) && seen.add(element.dataset.key),
    );
    list.replaceChildren(
      ...rows.flatMap((element) => {
        const [keys, name] = [document.createElement("dt"), document.createElement("dd")];
        for (const part of element.dataset.key.split(" ")) {
          const key = document.createElement("kbd");
          key.textContent = part.toUpperCase();
          keys.append(key, " ");
        }
        const words = element.cloneNode(true);
        for (const key of words.querySelectorAll("kbd")) key.remove();
        const label = element.matches("input, select, textarea") ? element.labels?.[0] : words;
        name.textContent = element.getAttribute("aria-label") ?? label?.textContent.trim() ?? "";
        return [keys, name];
      }),
    );
    list.hidden = !rows.length;
  };
  // "toggle" fires however the dialog was opened.
  stepwell.enliven("#keys", (dialog) =>
    dialog.addEventListener("toggle", (event) => event.newState === "open" && here(dialog.querySelector("[data-keys-here]"))),
  );

  const move = (step) => {
    const items = [...document.querySelectorAll("[data-list] [data-item]")].filter((item) => item.offsetParent);
    if (!items.length) return false;
    const now = items.findIndex((item) => item.contains(document.activeElement));
    const next = items[Math.max(0, Math.min(items.length - 1, now < 0 ? (step > 0 ? 0 : items.length - 1) : now + step))];
    next.querySelector("a, button")?.focus();
    next.scrollIntoView({ block: "nearest" });
    return true;
  };

  let first = "";
  let timer;
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (!on() || stepwell.typing(event) || document.querySelector("dialog[open]")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const press = first ? `${first} ${key}` : key;
    clearTimeout(timer);
    first = "";
    const marked = [...document.querySelectorAll(`[data-key="${CSS.escape(press)}"]`)].find((element) => element.offsetParent && !element.disabled);
    let done = false;
    if (marked) {
      if (marked.matches("input, select, textarea")) marked.focus();
      else marked.click();
      done = true;
    } else if (press === "/") {
      const search = document.querySelector("[data-search]");
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
