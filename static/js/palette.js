// The command palette: ⌘K (Ctrl K) or [data-cmdk] opens it. First what this page offers ([data-key], the buttons and menus of its
// top bar), then the places, then what the server finds. Arrows choose, Enter does it, Escape closes.
(() => {
  const box = () => document.getElementById("cmdk");
  const list = () => document.getElementById("cmdk-list");
  const field = () => box().querySelector("[data-cmdk-in]");
  let found = [];
  let timer;
  let asked = 0;
  let opener = null;

  const wordsOf = (element) => {
    if (element.getAttribute("aria-label")) return element.getAttribute("aria-label");
    const copy = element.cloneNode(true);
    for (const part of copy.querySelectorAll("kbd, .vh, .count, small")) part.remove();
    return copy.textContent.replace(/\s+/g, " ").trim();
  };
  const usable = (element) => !element.disabled && !element.closest("dialog, template, noscript") && (element.offsetParent || element.closest("[popover]"));
  const here = () => {
    const seen = new Set();
    const inMenus = document.querySelectorAll(".topbar [popover] .menu__item");
    const shown = document.querySelectorAll("#main [data-key], .topbar__end > :is(a, button).btn, .topbar__end form > button, [data-undo], [data-redo]");
    return [...[...shown].filter((element) => !element.closest("[popover]")), ...inMenus]
      .filter((element) => usable(element) && !element.hasAttribute("data-menu-button") && !element.matches("input"))
      .map((element) => ({ kind: "here", label: wordsOf(element), key: element.dataset.key, element }))
      .filter(({ label }) => label && !seen.has(label) && seen.add(label));
  };
  // The account's own pages and the list of keys are places too.
  const places = () =>
    [...document.querySelectorAll('.sidebar__nav a[data-place], #user-menu a.menu__item')].map((link) => ({
      kind: "place",
      label: link.title || wordsOf(link),
      note: "",
      icon: link.querySelector("svg"),
      url: link.href,
    })).concat([...document.querySelectorAll('#user-menu [data-dialog-open="keys"]')].map((button) => ({ kind: "here", label: "Keyboard shortcuts", key: "?", act: () => button.click() })));
  const fits = (label, words) => words.every((word) => label.toLowerCase().includes(word));

  const option = (item, number) => {
    const row = document.createElement("div");
    row.className = "menu__item";
    row.setAttribute("role", "option");
    row.id = `cmdk-${number}`;
    const picture = item.icon ?? item.element?.querySelector("svg") ?? box().querySelector("template").content.querySelector(`[data-for="${item.kind}"] svg`);
    if (picture) row.append(picture.cloneNode(true));
    row.append(Object.assign(document.createElement("span"), { className: "trunc", textContent: item.label }));
    const end = Object.assign(document.createElement("span"), { className: "end sub" });
    if (item.key)
      for (const part of item.key.split(" ")) end.append(Object.assign(document.createElement("kbd"), { textContent: part.toUpperCase() }));
    else end.textContent = item.note ?? "";
    row.append(end);
    row.addEventListener("click", () => run(item));
    row.addEventListener("pointermove", () => choose(row));
    return row;
  };
  const choose = (row) => {
    for (const other of list().querySelectorAll("[role=option]")) other.setAttribute("aria-selected", String(other === row));
    if (row) field().setAttribute("aria-activedescendant", row.id);
    else field().removeAttribute("aria-activedescendant");
    row?.scrollIntoView({ block: "nearest" });
  };
  const draw = () => {
    const words = field().value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const groups = [
      ["Here", [...(stepwell.hereActions?.(opener) ?? []).map((item) => ({ ...item, kind: "here" })), ...here()].filter(({ label }) => fits(label, words)).slice(0, words.length ? 12 : 10)],
      ["Go to", places().filter(({ label }) => fits(label, words))],
      ["Found", found],
    ];
    let number = 0;
    list().replaceChildren(
      ...groups.flatMap(([name, items]) =>
        items.length
          ? [
              Object.assign(document.createElement("div"), { className: "menu__label", textContent: name, role: "presentation" }),
              ...items.map((item) => option(item, (number += 1))),
            ]
          : [],
      ),
    );
    if (!number) list().append(Object.assign(document.createElement("p"), { className: "sub cmdk__none", textContent: "Nothing found. Try fewer letters." }));
    choose(list().querySelector("[role=option]"));
  };
  const ask = async () => {
    const words = field().value.trim();
    asked += 1;
    const mine = asked;
    if (!words) {
      found = [];
      return draw();
    }
    const answer = await fetch(`${box().dataset.find}?q=${encodeURIComponent(words)}`).catch(() => null);
    if (mine !== asked) return;
    found = answer?.ok && !answer.redirected ? (await answer.json()).found : [];
    draw();
  };
  const run = (item) => {
    box().close();
    if (item.url) location.assign(item.url);
    else if (item.act) item.act();
    else if (item.element?.isConnected) {
      opener = null;
      // A menu's own item is pressed where it is: its menu need not be open for that.
      item.element.focus?.({ preventScroll: true });
      item.element.click();
    }
  };
  const open = () => {
    if (!box() || box().open || document.querySelector("dialog[open]")) return;
    opener = document.activeElement;
    for (const menu of document.querySelectorAll("[popover]:popover-open")) menu.hidePopover();
    found = [];
    field().value = "";
    draw();
    box().showModal();
    field().focus();
  };
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-cmdk]")) open();
    else if (event.target === box()) box().close();
  });
  document.addEventListener("keydown", (event) => {
    if ((event.metaKey || event.ctrlKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "k" && box()) {
      event.preventDefault();
      if (box().open) box().close();
      else open();
      return;
    }
    if (!box()?.open || !box().contains(event.target)) return;
    const rows = [...list().querySelectorAll("[role=option]")];
    const at = rows.findIndex((row) => row.getAttribute("aria-selected") === "true");
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: Math.min(at + 8, rows.length - 1), PageUp: Math.max(at - 8, 0) }[event.key];
    if (to !== undefined && rows.length) {
      event.preventDefault();
      choose(rows[(to + rows.length) % rows.length]);
    } else if (event.key === "Enter" && at >= 0) {
      event.preventDefault();
      rows[at].click();
    }
  });
  document.addEventListener("input", (event) => {
    if (!event.target.matches?.("[data-cmdk-in]")) return;
    draw();
    clearTimeout(timer);
    timer = setTimeout(ask, 150);
  });
  stepwell.enliven("#cmdk", (dialog) => dialog.addEventListener("close", () => opener?.isConnected && opener.focus({ preventScroll: true })));
})();
