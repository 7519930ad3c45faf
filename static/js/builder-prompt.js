// The prompt field: a highlighted copy behind the textarea, and the list of data that `{{` opens. The textarea stays plain text.
(() => {
  const REFERENCE = /\{\{([^{}]*)\}\}/g;
  const lists = new Map(); // address -> {revision, promise, answer}
  const revision = () => document.querySelector("#steps, #canvas")?.dataset.revision ?? "";
  const formOf = (area) => area.form ?? area.closest("form");

  const dataOf = (area) => {
    const address = formOf(area)?.dataset.reads;
    if (!address) return null;
    const known = lists.get(address);
    if (known && known.revision === revision()) return known;
    const entry = { revision: revision(), answer: known?.answer ?? null };
    entry.promise = fetch(address, { headers: { Accept: "application/json" } })
      .then((answer) => (answer.ok ? answer.json() : null))
      .catch(() => null)
      .then((answer) => {
        entry.answer = answer ?? entry.answer;
        if (!answer) lists.delete(address);
        else paintAll(address);
        return entry.answer;
      });
    lists.set(address, entry);
    return entry;
  };

  // --- which paths are known ---
  const norm = (text) => text.normalize("NFC").trim().toLowerCase();
  const itemsOf = (answer) => answer.groups.flatMap((group) => group.items.map((item) => ({ ...item, title: group.title })));
  const mapped = (area) => [...(formOf(area)?.querySelectorAll('[name="input_mapping__name"]') ?? [])].map((input) => norm(input.value));
  const isKnown = (area, answer, written) => {
    const path = norm(written.split("|")[0]);
    if (!path) return true;
    const root = /^[^\W\d]\w*/u.exec(path)?.[0] ?? "";
    const first = (prefix) => /^\.([^.[\]]+)/.exec(path.slice(prefix.length))?.[1]?.trim();
    const paths = itemsOf(answer).map((item) => norm(item.path));
    if (["run", "trigger", "project"].includes(root)) return true;
    if (["item", "index", "loop"].includes(root)) return answer.inside;
    if (root === "previous") return paths.some((one) => one.startsWith("previous")) || !answer.after;
    if (root === "input") return answer.anyInput || path === root || paths.some((one) => one === `input.${first("input")}`);
    if (root === "vars") return path === root || paths.includes(`vars.${first("vars")}`) || answer.vars.some((name) => norm(name) === first("vars"));
    if (root === "inputs") return path === root || paths.includes(`inputs.${first("inputs")}`) || mapped(area).includes(first("inputs"));
    if (root === "steps") return paths.some((one) => one.startsWith("steps.") && (path === one.slice(0, one.indexOf(".", 6)) || path.startsWith(`${one.slice(0, one.indexOf(".", 6))}.`) || path.startsWith(`${one.slice(0, one.indexOf(".", 6))}[`)));
    return false;
  };
  const distance = (one, other) => {
    let row = [...Array(other.length + 1).keys()];
    for (let at = 1; at <= one.length; at++) {
      const next = [at];
      for (let to = 1; to <= other.length; to++) next[to] = Math.min(next[to - 1] + 1, row[to] + 1, row[to - 1] + (one[at - 1] === other[to - 1] ? 0 : 1));
      row = next;
    }
    return row[other.length];
  };
  const nearest = (answer, written) => {
    const path = norm(written.split("|")[0]);
    let best = "";
    let least = Math.max(2, path.length * 0.4);
    for (const { path: other } of itemsOf(answer).slice(0, 400)) {
      if (Math.abs(other.length - path.length) >= least) continue;
      const far = distance(path, norm(other));
      if (far < least) [best, least] = [other, far];
    }
    return best;
  };

  // --- the copy ---
  const inkOf = (area) => area.parentElement.querySelector(":scope > .prompt__ink");
  const paint = (area) => {
    const ink = inkOf(area);
    if (!ink) return;
    const answer = dataOf(area)?.answer;
    const pieces = [];
    const unknown = [];
    let at = 0;
    for (const found of area.value.matchAll(REFERENCE)) {
      pieces.push(document.createTextNode(area.value.slice(at, found.index)));
      const chip = document.createElement("span");
      const bad = answer && !isKnown(area, answer, found[1]);
      chip.className = bad ? "ink ink--bad" : "ink";
      chip.textContent = found[0];
      if (bad) unknown.push(found[1]);
      pieces.push(chip);
      at = found.index + found[0].length;
    }
    // A last line break needs something behind it to take up room.
    pieces.push(document.createTextNode(`${area.value.slice(at)}\u200b`));
    ink.replaceChildren(...pieces);
    ink.scrollTop = area.scrollTop;
    area.closest(".prompt").classList.add("is-inked");
    say(area, answer, unknown);
  };
  const say = (area, answer, unknown) => {
    const place = area.closest(".prompt").querySelector("[data-prompt-fix]");
    if (!place) return;
    const wanted = JSON.stringify(unknown.map((path) => [path, nearest(answer, path)]));
    if (place.dataset.says === wanted && place.childElementCount === unknown.length) return;
    place.dataset.says = wanted;
    place.replaceChildren(
      ...[...new Set(unknown)].slice(0, 4).map((path) => {
        const line = document.createElement("p");
        line.className = "field__error";
        const words = document.createElement("span");
        words.textContent = `There is no “${path.split("|")[0].trim()}” here.`;
        line.append(words);
        const meant = nearest(answer, path);
        if (meant) {
          const button = document.createElement("button");
          button.type = "button";
          button.className = "btn btn--sm";
          button.textContent = `Write ${meant}`;
          button.addEventListener("click", () => {
            const [, ...rest] = path.split("|");
            area.value = area.value.replaceAll(`{{${path}}}`, `{{${[meant, ...rest].join(" |")}}}`);
            area.focus();
            area.dispatchEvent(new Event("input", { bubbles: true }));
          });
          line.append(button);
        }
        return line;
      }),
    );
  };
  const inked = () => [...document.querySelectorAll(".prompt__ink")].map((ink) => ink.parentElement.querySelector("textarea")).filter(Boolean);
  const paintAll = (address) => {
    for (const area of inked()) if (!address || formOf(area)?.dataset.reads === address) paint(area);
    fillPanel();
  };
  let due = 0;
  const later = () => {
    cancelAnimationFrame(due);
    due = requestAnimationFrame(() => paintAll());
  };
  stepwell.enliven(".prompt__ink", (ink) => {
    const area = ink.parentElement.querySelector("textarea");
    paint(area);
    area.addEventListener("scroll", () => (inkOf(area).scrollTop = area.scrollTop));
    new ResizeObserver(() => paint(area)).observe(area);
  });
  document.addEventListener("htmx:finally:request", later);
  for (const name of ["builder:changed", "builder:saved"]) document.addEventListener(name, later);

  // Real values beside the data in the panel.
  const fillPanel = () => {
    const panel = document.querySelector("[data-values-of]");
    const answer = panel && lists.get(panel.dataset.valuesOf)?.answer;
    if (!answer) return;
    const values = new Map(itemsOf(answer).map((item) => [item.path, item.value]));
    for (const button of panel.querySelectorAll("[data-reference]")) {
      const value = values.get(button.dataset.reference);
      const place = button.querySelector(".end");
      if (value && place && place.textContent !== value) place.textContent = value;
    }
  };
  stepwell.enliven("[data-values-of]", fillPanel);

  // --- the list ---
  let open = null; // {area, start, box, shown, at}
  const close = () => {
    if (!open) return;
    open.box.remove();
    for (const name of ["aria-controls", "aria-activedescendant", "aria-haspopup"]) open.area.removeAttribute(name);
    open = null;
  };
  const caret = (area, index) => {
    const ink = inkOf(area);
    const host = area.closest(".prompt") ?? area.closest(".field");
    const box = host.getBoundingClientRect();
    if (!ink) {
      const own = area.getBoundingClientRect();
      return { left: own.left - box.left, top: own.bottom - box.top };
    }
    const walker = document.createTreeWalker(ink, NodeFilter.SHOW_TEXT);
    let left = index;
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (left <= node.length) {
        const range = document.createRange();
        range.setStart(node, Math.max(0, left - 1));
        range.setEnd(node, Math.min(node.length, Math.max(left, 1)));
        const rect = range.getBoundingClientRect();
        return { left: rect.left - box.left, top: Math.min(rect.bottom, box.bottom) - box.top };
      }
      left -= node.length;
    }
    return { left: 0, top: box.height };
  };
  const typed = (area) => {
    const before = area.value.slice(0, area.selectionStart);
    const start = before.lastIndexOf("{{");
    if (start < 0 || area.selectionStart !== area.selectionEnd) return null;
    const inside = before.slice(start + 2);
    return /[{}|\n]/.test(inside) ? null : { start, wanted: norm(inside) };
  };
  const matching = (answer, wanted) => {
    const words = wanted.split(/[\s.]+/).filter(Boolean);
    return itemsOf(answer)
      .filter((item) => words.every((word) => norm(item.path).includes(word)))
      .slice(0, 60);
  };
  const choose = (number) => {
    if (!open?.shown.length) return;
    open.at = (number + open.shown.length) % open.shown.length;
    for (const [place, option] of [...open.box.querySelectorAll("[role=option]")].entries()) {
      option.setAttribute("aria-selected", String(place === open.at));
      if (place === open.at) {
        option.scrollIntoView({ block: "nearest" });
        open.area.setAttribute("aria-activedescendant", option.id);
      }
    }
  };
  const draw = (area, found, answer) => {
    const shown = matching(answer, found.wanted);
    if (!shown.length) return close();
    const before = open?.box;
    const box = document.createElement("div");
    box.className = "datapick";
    box.id = "datapick";
    box.setAttribute("role", "listbox");
    box.setAttribute("aria-label", "Data");
    let title = "";
    let group = box;
    for (const [place, item] of shown.entries()) {
      if (item.title !== title) {
        title = item.title;
        group = document.createElement("div");
        group.setAttribute("role", "group");
        group.setAttribute("aria-label", title);
        const head = document.createElement("div");
        head.className = "datapick__title";
        head.setAttribute("aria-hidden", "true");
        head.textContent = title;
        group.append(head);
        box.append(group);
      }
      const option = document.createElement("div");
      option.className = "datapick__one";
      option.id = `datapick-${place}`;
      option.setAttribute("role", "option");
      const path = document.createElement("span");
      path.className = "mono";
      path.textContent = item.path;
      const value = document.createElement("span");
      value.className = "sub";
      value.textContent = item.value || item.note;
      option.append(path, value);
      option.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        take(place);
      });
      group.append(option);
    }
    before?.remove();
    const host = area.closest(".prompt") ?? area.closest(".field");
    host.append(box);
    const { left, top } = caret(area, area.selectionStart);
    const room = host.clientWidth - box.offsetWidth;
    box.style.left = `${Math.max(0, Math.min(left, room))}px`;
    box.style.top = `${top + 4}px`;
    const first = !open;
    open = { area, start: found.start, box, shown, at: 0 };
    area.setAttribute("aria-haspopup", "listbox");
    area.setAttribute("aria-controls", "datapick");
    choose(0);
    stepwell.announce(`${shown.length} ${shown.length === 1 ? "entry" : "entries"} of data${first ? ", arrow keys choose, Enter inserts" : ""}. ${shown[0].path}`);
  };
  const take = (place) => {
    const { area, start, shown } = open;
    const { path } = shown[place];
    const behind = /^[^{}\n]*?\}\}/.exec(area.value.slice(area.selectionStart));
    const end = area.selectionStart + (behind && !/\s/.test(behind[0]) ? behind[0].length : 0);
    close();
    area.setRangeText(`{{${path}}}`, start, end, "end");
    area.dispatchEvent(new Event("input", { bubbles: true }));
    stepwell.announce(`${path} written`);
  };
  const isField = (target) => target.matches?.('textarea[data-data=""]');
  const look = async (area) => {
    const found = typed(area);
    if (!found) return close();
    const entry = dataOf(area);
    const answer = entry?.answer ?? (await entry?.promise);
    const still = typed(area);
    if (answer && still && document.activeElement === area) draw(area, still, answer);
  };
  document.addEventListener("input", (event) => {
    if (!isField(event.target)) return;
    if (inkOf(event.target)) paint(event.target);
    look(event.target);
  });
  document.addEventListener("focusin", (event) => isField(event.target) && dataOf(event.target));
  document.addEventListener("focusout", (event) => open?.area === event.target && close());
  document.addEventListener(
    "keydown",
    (event) => {
      if (!open || event.target !== open.area || event.isComposing) return;
      const to = { ArrowDown: open.at + 1, ArrowUp: open.at - 1 }[event.key];
      if (to !== undefined) choose(to);
      else if (event.key === "Enter" || event.key === "Tab") take(open.at);
      else if (event.key === "Escape") close();
      else return;
      event.preventDefault();
      event.stopImmediatePropagation();
    },
    { capture: true },
  );
  document.addEventListener("keyup", (event) => {
    if (open && event.target === open.area && ["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) look(event.target);
  });

  // --- testing: the button of a card opens its panel at Test ---
  const showTest = () => document.getElementById("tab-test")?.click();
  // The test comes after the panel: its first field gets the focus when it is there, unless the person has gone on by then.
  stepwell.focusTest = () => {
    const over = new AbortController();
    const field = () => document.getElementById("steptest-source");
    const arrived = () => {
      if (!field() && document.getElementById("steptest-wait")) return;
      over.abort();
      field()?.focus();
    };
    for (const name of ["keydown", "pointerdown"]) document.addEventListener(name, () => over.abort(), { signal: over.signal, capture: true });
    document.addEventListener("htmx:after:swap", arrived, { signal: over.signal });
    arrived();
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-test-step]");
    if (!button || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    const key = button.dataset.testStep;
    await stepwell.openCard?.(key, { focus: false });
    showTest();
    // The card was drawn anew, and with it the button that focus goes back to.
    stepwell.openPanel?.(document.querySelector(`[data-test-step="${CSS.escape(key)}"]`));
    stepwell.focusTest();
  });
  // A pin is an edit of the draft: the mark of the card comes with it.
  document.addEventListener("builder:pinned", (event) => {
    const { key, revision: now, pinned } = event.detail;
    const place = document.querySelector("#steps, #canvas");
    if (place && now) place.dataset.revision = now;
    const badge = document.querySelector(`#badge-${CSS.escape(key)}`);
    const mark = badge?.querySelector("[data-pinned]");
    if (!pinned) mark?.remove();
    else if (badge && !mark) badge.insertAdjacentHTML("beforeend", '<span class="tag tag--accent" data-pinned>Pinned</span>');
    stepwell.toast(pinned ? "The output is pinned. Test runs take it." : "The output is not pinned any more.");
  });
})();
