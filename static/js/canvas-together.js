// The canvas keeps up with the draft: what the list in another tab or somebody else changes is drawn at once, who is here is
// said in the bar and on the steps they have open. Asks as the list does; a gesture or an own save is never drawn over.
(() => {
  const ALONE = 2000;
  const TOGETHER = 1000;

  stepwell.enliven("[data-canvas]", (canvas) => {
    const shared = stepwell.canvas;
    const together = stepwell.people;
    const place = () => document.getElementById("here");
    const known = () => Number(canvas.dataset.revision ?? 0);
    const knows = (revision) => revision > known() && (canvas.dataset.revision = revision);
    let people = [];
    let timer;
    let asking = false;

    document.addEventListener("htmx:config:request", (event) => {
      event.detail.ctx.request.headers["Stepwell-Revision"] = String(known());
    });
    document.addEventListener("builder:changed", (event) => knows(event.detail.revision ?? 0));
    document.addEventListener("builder:saved", (event) => event.detail.revision <= known() + 1 && knows(event.detail.revision));
    document.addEventListener("input", (event) => {
      if (!event.target.closest?.("#panel [data-field]")) return;
      const first = !together.typing();
      together.typed();
      if (first && people.length) tick();
    });

    const fields = () => [...document.querySelectorAll("#panel [data-open] [data-field]")];
    const draw = () => {
      together.faces(people);
      together.marks(
        people,
        shared.nodes().map((node) => [node.key, node.element]),
      );
      together.shut(people, fields());
    };
    canvas.addEventListener("canvas:drawn", () => people.length && draw());

    const busy = () => shared.held() || stepwell.saving?.() || together.writing();
    const catchUp = async () => {
      const restore = together.keeping(fields);
      const chosen = shared.chosenKey();
      const told = await together.news(`${shared.base}canvas/world/`, "canvas:caught-up", "#world", () => `${shared.chosenKey()} ${shared.held()}`);
      if (!told) return restore(null);
      restore(told.touched);
      knows(told.revision);
      if (chosen && !shared.node(chosen)) stepwell.toast("The step that you had open was deleted by somebody else.", {});
      shared.remark();
      draw();
      together.pulse(
        told.touched,
        (key) => shared.node(key)?.element,
        (key) => shared.node(key)?.label,
      );
    };
    const doing = () => {
      const field = document.activeElement?.closest?.("#panel [data-open] [data-field]");
      return { key: shared.chosenKey(), field: field?.dataset.field ?? "", typing: together.typing() && Boolean(field) };
    };
    const tick = async () => {
      clearTimeout(timer);
      if (asking || !place()) return;
      asking = true;
      try {
        if (document.hidden && !people.length) return;
        if (!shared.editable) return void (document.hidden || (await catchUp()));
        const said = await together.ask(doing());
        if (!said) return;
        people = said.people;
        draw();
        if (said.revision > known() && !busy()) await catchUp();
      } catch {
        // No connection: the next round asks again.
      } finally {
        asking = false;
        timer = setTimeout(tick, people.length ? TOGETHER : ALONE);
      }
    };
    document.addEventListener("visibilitychange", () => !document.hidden && tick());
    addEventListener("pagehide", () => shared.editable && place() && together.leave());
    tick();
  });
})();
