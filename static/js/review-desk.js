// The inbox beside its gate: J K and links change the pane in place, the next one opens after a decision, news wait
// behind "2 new", and a gate that somebody else decides says so while one's own words stay.
stepwell.enliven("[data-desk]", (desk) => {
  const LOOK_MS = 5000;
  const pane = desk.querySelector("[data-desk-pane]");
  const query = desk.dataset.deskQuery ?? "";
  // A gate at its own address (phones, links of mails) keeps that address in step with what is shown.
  const alone = desk.classList.contains("inbox--alone");
  const inPlace = () => getComputedStyle(pane).display !== "none";
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
  const name = (url, title) => {
    const heading = document.querySelector(".crumbs h1");
    if (url !== location.pathname + location.search) history.pushState(null, "", url);
    if (!heading || !title) return;
    document.title = document.title.replace(heading.textContent, () => title);
    heading.textContent = title;
  };
  if (alone) window.addEventListener("popstate", () => location.reload());
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
      const title = pane.querySelector("h2")?.firstChild?.textContent.trim() ?? "";
      if (alone) name(url, title);
      window.scrollTo({ top: 0 });
      if (focus) pane.focus({ preventScroll: true });
      if (title) stepwell.announce(title);
    } catch {
      location.assign(url);
    }
  };
  const show = (counts) => {
    for (const [which, number] of Object.entries(counts))
      for (const place of document.querySelectorAll(`[data-desk-n="${which}"]`)) {
        place.textContent = number;
        // A badge of nothing is none; the filters say their zero.
        if (place.classList.contains("count")) place.hidden = !number;
      }
    if (counts.mine !== undefined) stepwell.countReviews(counts.mine);
  };
  const drop = (id) => {
    const row = rows().find((one) => one.dataset.deskItem === id);
    if (!row) return;
    const group = row.closest("ul")?.previousElementSibling;
    const gone = ["all", ...(group?.querySelector('[data-desk-n="listed"]') ? ["mine", "listed"] : []), ...(row.querySelector(".tag--bad") ? ["overdue"] : [])];
    // Shown at once; what the server counts comes with the next look.
    show(Object.fromEntries(gone.map((one) => [one, Math.max(0, Number(document.querySelector(`[data-desk-n="${one}"]`)?.textContent) - 1)])));
    const others = group?.querySelector("[data-desk-others]");
    if (others) others.textContent = Math.max(0, Number(others.textContent) - 1);
    row.closest("li").remove();
  };
  // The list as it is now, in place of the one that is shown; false where it could not be had.
  const refill = async () => {
    const answer = await fetch(withPart(desk.dataset.deskIndex + query, "list"), { headers: { "HX-Request": "true" } }).catch(() => null);
    if (!answer?.ok || answer.redirected) return false;
    const fresh = document.createElement("template");
    fresh.innerHTML = await answer.text();
    const found = fresh.content.querySelector("[data-desk-list]");
    if (!found) return false;
    list().replaceWith(found);
    asked = new Set([...(asked ?? []), ...rows().map((row) => row.dataset.deskItem)]);
    return true;
  };
  // Everything that was listed is decided: what has come meanwhile, or the page that says that nothing waits.
  const onwards = async () => {
    const first = (await refill()) && rows().find((row) => "deskMine" in row.dataset);
    if (first) return open(first.getAttribute("href"), first.dataset.deskItem);
    if (alone) return location.assign(desk.dataset.deskIndex + query);
    if (rows().length || query) {
      mark("");
      pane.replaceChildren(desk.querySelector("[data-desk-done]").content.cloneNode(true));
      pane.focus({ preventScroll: true });
      return stepwell.announce(pane.querySelector("h2").textContent);
    }
    const answer = await fetch(desk.dataset.deskIndex).catch(() => null);
    const fresh = answer?.ok ? new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-desk-empty]") : null;
    if (!fresh) return location.assign(desk.dataset.deskIndex + query);
    desk.replaceWith(fresh);
    const heading = fresh.querySelector("h2");
    heading.tabIndex = -1;
    heading.focus();
    stepwell.announce(heading.textContent);
  };

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-desk-item]");
    if (!link || !desk.contains(link) || event.ctrlKey || event.metaKey || event.shiftKey || event.button || !inPlace()) return;
    event.preventDefault();
    open(link.getAttribute("href"), link.dataset.deskItem);
  });

  desk.addEventListener("gate:decided", (event) => {
    const id = event.target.closest(".gate").id.replace("gate-", "");
    const all = rows();
    const at = all.findIndex((row) => row.dataset.deskItem === id);
    // What waits for others is looked at, not come to: the morning ends before it.
    const left = all.filter((row) => row.dataset.deskItem !== id && "deskMine" in row.dataset);
    const after = left.find((row) => all.indexOf(row) > at) ?? left[0];
    drop(id);
    asked?.add(id);
    if (after) open(after.getAttribute("href"), after.dataset.deskItem);
    else onwards();
  });

  // Somebody else was first: their decision is shown, and one's own words stay beneath it.
  const taken = async (id) => {
    const gate = pane.querySelector(`#gate-${id}`);
    // A refused decision says who was first already, with one's own words.
    if (gate?.classList.contains("gate--late")) return drop(id);
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
    let open, counts;
    try {
      const answer = await fetch(desk.dataset.deskNews + query, { headers: { "HX-Request": "true" } });
      if (!answer.ok || answer.redirected) return;
      ({ open, counts } = await answer.json());
    } catch {
      return;
    }
    show(counts);
    const waiting = new Set(open);
    const now = current();
    if (asked) {
      const fresh = open.filter((id) => !asked.has(id)).length;
      const button = list().querySelector("[data-desk-new]");
      if (button) {
        button.hidden = !fresh;
        const words = `${fresh} new`;
        const said = button.querySelector("span");
        if (fresh && said.textContent !== words) {
          said.textContent = words;
          stepwell.announce(`${words} ${fresh === 1 ? "review waits" : "reviews wait"}.`);
        }
      }
    } else asked = new Set([...waiting, ...rows().map((row) => row.dataset.deskItem)]);
    for (const row of rows()) if (!waiting.has(row.dataset.deskItem) && row.dataset.deskItem !== now) drop(row.dataset.deskItem);
    if (now && !waiting.has(now)) await taken(now);
  };
  desk.addEventListener("click", async (event) => {
    if (!event.target.closest("[data-desk-new]")) return;
    const now = current();
    if (!(await refill())) return location.reload();
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
