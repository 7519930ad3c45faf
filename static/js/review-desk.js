// The inbox beside its gate: J K and links change the pane in place, the next one opens after a decision, news wait
// behind "2 new", and a gate that somebody else decides says so while one's own words stay.
stepwell.enliven("[data-desk]", (desk) => {
  const LOOK_MS = 5000;
  const pane = desk.querySelector("[data-desk-pane]");
  const query = desk.dataset.deskQuery ?? "";
  const wide = () => getComputedStyle(pane).display !== "none" && !desk.classList.contains("inbox--alone");
  const list = () => desk.querySelector("[data-desk-list]");
  const rows = () => [...list().querySelectorAll("[data-desk-item]")];
  const current = () => pane.querySelector(".gate")?.id.replace("gate-", "") ?? rows().find((row) => row.ariaCurrent === "true")?.dataset.deskItem;
  const withPart = (url, part) => `${url}${url.includes("?") ? "&" : "?"}part=${part}`;
  let turn = 0;
  let asked = null;

  const mark = (id) => {
    for (const row of rows()) {
      if (row.dataset.deskItem === id) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
    rows().find((row) => row.dataset.deskItem === id)?.scrollIntoView({ block: "nearest" });
  };
  const open = async (url, id, { focus = true } = {}) => {
    const mine = ++turn;
    mark(id);
    try {
      const answer = await fetch(withPart(url, "pane"), { headers: { "HX-Request": "true" } });
      if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
      const html = await answer.text();
      if (mine !== turn) return;
      pane.innerHTML = html;
      globalThis.htmx?.process?.(pane);
      window.scrollTo({ top: 0 });
      if (focus) pane.focus({ preventScroll: true });
      const title = pane.querySelector("h2")?.textContent.trim();
      if (title) stepwell.announce(title);
    } catch {
      location.assign(url);
    }
  };
  const drop = (id) => {
    const row = rows().find((one) => one.dataset.deskItem === id);
    if (!row) return;
    const group = row.closest("ul")?.previousElementSibling;
    const count = group?.querySelector(".count");
    if (count) count.textContent = Math.max(0, Number(count.textContent) - 1);
    for (const total of document.querySelectorAll("[data-desk-count]")) total.textContent = Math.max(0, Number(total.textContent) - 1);
    row.closest("li").remove();
  };

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-desk-item]");
    if (!link || !desk.contains(link) || event.ctrlKey || event.metaKey || event.shiftKey || event.button || !wide()) return;
    event.preventDefault();
    open(link.getAttribute("href"), link.dataset.deskItem);
  });

  desk.addEventListener("gate:decided", (event) => {
    const id = event.target.closest(".gate").id.replace("gate-", "");
    const all = rows();
    const at = all.findIndex((row) => row.dataset.deskItem === id);
    const after = all[at + 1] ?? all.find((row) => row.dataset.deskItem !== id);
    drop(id);
    asked = null;
    if (!wide()) {
      const next = event.target.elements.next?.value;
      location.assign(next ? new URL(`../${next}/`, new URL(event.target.action).href.replace(/decide\/$/, "")) : desk.dataset.deskIndex);
    } else if (after) open(after.getAttribute("href"), after.dataset.deskItem);
    else location.assign(desk.dataset.deskIndex + query);
  });

  // Somebody else was first: their decision is shown, and one's own words stay beneath it.
  const taken = async (id) => {
    const gate = pane.querySelector(`#gate-${id}`);
    if (!gate || gate.querySelector("[data-sent]")) return;
    const comment = gate.querySelector("[data-gate-comment]")?.value ?? "";
    const text = gate.querySelector("[data-gate-text]");
    const edited = text && text.value !== text.defaultValue ? text.value : "";
    const link = rows().find((row) => row.dataset.deskItem === id)?.getAttribute("href") ?? `${desk.dataset.deskIndex}${id}/`;
    const answer = await fetch(withPart(link, "pane"), { headers: { "HX-Request": "true" } });
    if (!answer.ok) return;
    const fresh = document.createElement("template");
    fresh.innerHTML = await answer.text();
    if (fresh.content.querySelector(".gate form") || !gate.isConnected) return;
    pane.replaceChildren(fresh.content);
    for (const [label, words] of [
      ["Your comment", comment],
      ["Your version", edited],
    ]) {
      if (!words) continue;
      const field = document.createElement("label");
      field.className = "field";
      const name = document.createElement("span");
      name.textContent = `${label}, kept so that you can copy it`;
      const area = document.createElement("textarea");
      area.className = "input";
      area.readOnly = true;
      area.rows = 4;
      area.value = words;
      field.append(name, area);
      pane.append(field);
    }
    stepwell.announce("Somebody else has decided this review.");
    drop(id);
  };

  const news = list().querySelector("[data-desk-new]");
  const look = async () => {
    if (document.hidden || !desk.isConnected) return;
    let open;
    try {
      const answer = await fetch(desk.dataset.deskNews + query, { headers: { "HX-Request": "true" } });
      if (!answer.ok || answer.redirected) return;
      ({ open } = await answer.json());
    } catch {
      return;
    }
    const waiting = new Set(open);
    const now = current();
    if (asked) {
      const fresh = open.filter((id) => !asked.has(id)).length;
      const button = list().querySelector("[data-desk-new]");
      if (button) {
        button.hidden = !fresh;
        const words = `${fresh} new`;
        if (fresh && button.textContent !== words) {
          button.textContent = words;
          stepwell.announce(`${words} ${fresh === 1 ? "review waits" : "reviews wait"}.`);
        }
      }
    } else asked = new Set([...waiting, ...rows().map((row) => row.dataset.deskItem)]);
    for (const row of rows()) if (!waiting.has(row.dataset.deskItem) && row.dataset.deskItem !== now) drop(row.dataset.deskItem);
    if (now && !waiting.has(now)) await taken(now);
  };
  desk.addEventListener("click", async (event) => {
    if (!event.target.closest("[data-desk-new]")) return;
    const answer = await fetch(withPart(desk.dataset.deskIndex + query, "list"), { headers: { "HX-Request": "true" } });
    if (!answer.ok) return location.reload();
    const fresh = document.createElement("template");
    fresh.innerHTML = await answer.text();
    const now = current();
    list().replaceWith(fresh.content.querySelector("[data-desk-list]"));
    asked = new Set(rows().map((row) => row.dataset.deskItem));
    if (now) mark(now);
  });
  if (news) {
    const timer = setInterval(() => (desk.isConnected ? look() : clearInterval(timer)), LOOK_MS);
    look();
    document.addEventListener("visibilitychange", look);
  }
});

// An empty inbox fills itself.
stepwell.enliven("[data-desk-empty]", (page) => {
  const timer = setInterval(async () => {
    if (!page.isConnected) return clearInterval(timer);
    if (document.hidden) return;
    try {
      const answer = await fetch("/reviews/news/");
      if (answer.ok && !answer.redirected && (await answer.json()).open.length) location.reload();
    } catch {
      /* no connection: looked again later */
    }
  }, 10000);
});
