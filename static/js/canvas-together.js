// The canvas keeps up with the draft: what the list in another tab or somebody else changes is drawn at once, who is here is said.
// Asks as the list does (builder-together.js); a gesture or unsaved typing here is never drawn over.
(() => {
  const ALONE = 2000;
  const TOGETHER = 1000;
  const tab = crypto.randomUUID?.().slice(0, 12) ?? String(Math.random()).slice(2, 14);

  stepwell.enliven("[data-canvas]", (canvas) => {
    const shared = stepwell.canvas;
    const place = () => document.getElementById("here");
    const known = () => Number(canvas.dataset.revision ?? 0);
    const knows = (revision) => revision > known() && (canvas.dataset.revision = revision);
    const token = () => JSON.parse(document.body.getAttribute("hx-headers:inherited") ?? "{}")["X-CSRFToken"] ?? "";
    let timer;
    let typedAt = 0;
    let others = 0;

    document.addEventListener("htmx:config:request", (event) => {
      event.detail.ctx.request.headers["Stepwell-Revision"] = String(known());
    });
    document.addEventListener("builder:changed", (event) => knows(event.detail.revision ?? 0));
    document.addEventListener("builder:saved", (event) => event.detail.revision <= known() + 1 && knows(event.detail.revision));
    document.addEventListener("input", (event) => event.target.closest?.("#panel") && (typedAt = Date.now()));

    const busy = () => shared.held() || stepwell.saving?.() || (stepwell.unsaved?.() ?? []).length > 0;
    const catchUp = async () => {
      const typing = Date.now() - typedAt < 3000;
      await htmx.ajax("GET", `${shared.base}canvas/world/${typing ? "?drawing=1" : ""}`, { source: canvas, target: "#world", swap: "none" });
    };
    document.addEventListener("canvas:caught-up", (event) => {
      knows(event.detail.revision);
      shared.remark();
    });
    const faces = (people) => {
      const seen = [...new Map(people.map((one) => [one.id + one.name, one])).values()];
      others = seen.length;
      const look = JSON.stringify(seen.map((one) => one.name));
      const box = place();
      if (box.dataset.look === look) return;
      const before = new Set(JSON.parse(box.dataset.look ?? "[]"));
      for (const one of seen) if (!before.has(one.name)) stepwell.announce(`${one.name} is here.`);
      box.dataset.look = look;
      box.title = seen.length ? `Also here: ${seen.map((one) => one.name).join(", ")}` : "";
      box.replaceChildren(
        ...seen.slice(0, 4).map((one) => {
          const face = Object.assign(document.createElement("span"), { className: "av", textContent: one.initials });
          face.dataset.h = one.hue;
          face.setAttribute("role", "img");
          face.setAttribute("aria-label", `${one.name} is here`);
          return face;
        }),
      );
    };
    const tick = async () => {
      clearTimeout(timer);
      try {
        if (document.hidden) return;
        if (!shared.editable) return void (await catchUp());
        const body = new URLSearchParams({ tab, key: shared.chosenKey(), field: "" });
        const answer = await fetch(place().dataset.here, { method: "POST", body, headers: { "X-CSRFToken": token(), "HX-Request": "true" } });
        if (!answer.ok || answer.redirected) return;
        const said = await answer.json();
        faces(said.people);
        if (said.revision > known() && !busy()) await catchUp();
      } catch {
        // No connection: the next round asks again.
      } finally {
        timer = setTimeout(tick, others ? TOGETHER : ALONE);
      }
    };
    document.addEventListener("visibilitychange", () => !document.hidden && tick());
    addEventListener("pagehide", () => {
      if (!shared.editable || !place()) return;
      fetch(place().dataset.here, { method: "POST", keepalive: true, body: new URLSearchParams({ tab, leaves: "1" }), headers: { "X-CSRFToken": token() } }).catch(() => {});
    });
    if (place()) tick();
  });
})();
