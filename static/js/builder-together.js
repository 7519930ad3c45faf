// Several people in one draft: says who is here, draws what others change, and keeps fields shut in which others type.
// What this page has not saved yet stays in its field; its save then names the revision that it was written on.
(() => {
  const ALONE = 4000;
  const TOGETHER = 1200;
  const shared = stepwell.people;
  const steps = () => document.getElementById("steps");
  const { place } = shared;
  const known = () => Number(steps()?.dataset.revision ?? 0);
  const knows = (revision) => {
    if (steps() && revision > known()) steps().dataset.revision = revision;
  };
  let people = [];
  let timer;
  let asking = false;

  document.addEventListener("htmx:config:request", (event) => {
    event.detail.ctx.request.headers["Stepwell-Revision"] = String(known());
  });
  // A list that was drawn anew shows everything; a saved field only itself.
  document.addEventListener("builder:changed", (event) => knows(event.detail.revision ?? 0));
  document.addEventListener("builder:saved", (event) => {
    const { revision } = event.detail;
    if (revision <= known() + 1) knows(revision);
    else catchUp();
  });

  // --- what this person does ---
  const FIELDS = "#steps [data-field], #steps input[data-field]";
  const doing = () => {
    const field = document.activeElement?.closest?.(FIELDS);
    const card = document.activeElement?.closest?.("#steps [data-card]") ?? document.querySelector("#steps .step.is-open[data-card]");
    return { key: card?.dataset.card ?? "", field: field?.dataset.field ?? "", typing: shared.typing() && Boolean(field) };
  };
  document.addEventListener("input", (event) => {
    if (!event.target.closest?.(FIELDS)) return;
    const first = !shared.typing();
    shared.typed();
    if (first && people.length) tick();
  });

  // --- the others ---
  const fields = () => [...document.querySelectorAll("#steps .is-open [data-field]")];
  const draw = () => {
    shared.faces(people);
    shared.marks(
      people,
      [...document.querySelectorAll("#steps [data-card]")].map((card) => [card.dataset.card, card.querySelector(":scope > .step__head .step__name")]),
    );
    shared.shut(people, fields());
  };

  // --- what they changed ---
  let catching = null;
  const catchUp = () => {
    catching ??= go().finally(() => (catching = null));
    return catching;
  };
  const go = async () => {
    const restore = shared.keeping(fields);
    const told = await shared.news(`${place().dataset.changes}?since=${known()}`, "builder:caught-up", "#steps", () => stepwell.openCards?.().join());
    if (!told) return restore(null);
    const touched = told.touched ?? {};
    restore(touched);
    knows(told.revision);
    draw();
    shared.pulse(
      touched,
      (key) => document.getElementById(`step-${key}`),
      (key) => document.getElementById(`step-${key}`)?.dataset.name,
    );
  };

  // --- the round ---
  const tick = async () => {
    clearTimeout(timer);
    const box = place();
    if (!box || asking) return;
    if (document.hidden && !people.length) {
      timer = setTimeout(tick, ALONE);
      return;
    }
    asking = true;
    try {
      if (!steps()?.hasAttribute("data-editable")) {
        if (!document.hidden) await catchUp();
        return;
      }
      const said = await shared.ask(doing());
      if (said) {
        people = said.people;
        draw();
        // In the middle of a drag or of an own save the list is left alone.
        if (said.revision > known() && !document.querySelector("#steps.is-moving") && !stepwell.saving?.() && !shared.writing()) await catchUp();
      }
    } catch {
      // No connection: the next round asks again.
    } finally {
      asking = false;
      timer = setTimeout(tick, people.length ? TOGETHER : ALONE);
    }
  };
  document.addEventListener("visibilitychange", () => !document.hidden && tick());
  document.addEventListener("htmx:after:swap", () => people.length && draw());
  addEventListener("pagehide", () => place() && steps()?.hasAttribute("data-editable") && shared.leave());
  stepwell.enliven("#here", () => tick());
})();
