// Keys of the step list (design README §7): A adds after the step that has the focus, T tests it, E turns it on or off, Option and
// arrows move it, F2 renames it, Escape leads from a field to the step's head and closes it. The palette offers the same as words.
// Ctrl ↵ (⌘ ↵) starts a test run, here and on the canvas; in a dialog it presses what the dialog is about.
(() => {
  const steps = () => document.getElementById("steps");
  const editable = () => steps()?.hasAttribute("data-editable");
  const focusedCard = (element = document.activeElement) => element?.closest?.("#steps .step[data-card], #step-start");
  // The step that is meant: the one with the focus, else the only one that is open.
  const meant = (element) => {
    const card = focusedCard(element);
    if (card) return card;
    const open = document.querySelectorAll("#steps .step.is-open[data-card]");
    return open.length === 1 ? open[0] : null;
  };
  const headOf = (card) => card.querySelector(":scope > .step__head") ?? card;
  const toggleOf = (card) => headOf(card).querySelector("[data-toggle]");

  const addAfter = (card) => {
    if (card?.dataset.after) return stepwell.pick(toggleOf(card) ?? card, JSON.parse(card.dataset.after));
    // After the start, or where no step is meant: the first place, or the last.
    const places = [...document.querySelectorAll("#flow > li > .railcell > [data-add], #gap-end [data-add]")];
    const from = card ? places[0] : places.at(-1);
    from?.focus({ preventScroll: true });
    from?.click();
  };
  const test = (card) => headOf(card).querySelector("[data-test-step]")?.click();
  const turn = (card) => headOf(card).querySelector("[role=switch]")?.click();
  const move = (card, direction) => stepwell.moveCard(card.dataset.card, { direction });
  const asking = (card, what) => async () => {
    await stepwell.flush();
    await htmx.ajax("GET", `${location.pathname}steps/${encodeURIComponent(card.dataset.card)}/${what}/`, { source: steps(), target: "#dialogs", swap: "innerHTML settle:0" });
  };
  const isStep = (card) => card && card.id !== "step-start" && card.dataset.card !== "start";

  document.addEventListener("keydown", (event) => {
    if (!steps()) return;
    const card = focusedCard(event.target);
    if (event.altKey && !event.ctrlKey && !event.metaKey && ["ArrowUp", "ArrowDown"].includes(event.key)) {
      if (!isStep(card) || !editable() || stepwell.typing(event) || document.querySelector("dialog[open], [popover]:popover-open")) return;
      event.preventDefault();
      move(card, event.key === "ArrowUp" ? "up" : "down");
      return;
    }
    // From the panel beside the list back to the step that it is about.
    if (event.key === "Escape" && !event.defaultPrevented && event.target.closest?.("#panel:not(.is-open)") && !document.querySelector("dialog[open], [popover]:popover-open")) {
      const back = meant() ?? document.querySelector("#steps .step.is-open") ?? document.getElementById("step-start");
      if (back) event.preventDefault();
      if (back) toggleOf(back)?.focus();
      return;
    }
    if (event.key === "F2" && editable() && !event.defaultPrevented && !document.querySelector("dialog[open], [popover]:popover-open")) {
      const about = meant(event.target);
      if (!isStep(about)) return;
      event.preventDefault();
      stepwell.openCard(about.dataset.card, { field: "label" }).then(() => document.getElementById(`label-${about.dataset.card}`)?.select());
      return;
    }
    if (event.key === "Escape" && card) {
      if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open], [popover]:popover-open")) return;
      // A drawer is above the list: it closes itself.
      if (document.querySelector(".bench__side.is-open")) return;
      const toggle = toggleOf(card);
      const isOpen = toggle?.getAttribute("aria-expanded") === "true";
      if (!isOpen) return;
      event.preventDefault();
      if (event.target === toggle) toggle.click();
      else toggle.focus();
      return;
    }
    // Delete asks about the step whose head has the focus; what is selected is deleted by builder-select.js.
    if ((event.key === "Delete" || event.key === "Backspace") && isStep(card) && editable() && !event.defaultPrevented && !stepwell.selectedSteps().length) {
      if (stepwell.typing(event) || !headOf(card).contains(event.target) || document.querySelector("dialog[open], [popover]:popover-open")) return;
      event.preventDefault();
      asking(card, "delete")();
      return;
    }
    const key = stepwell.singleKey(event);
    if (!key || !editable()) return;
    const about = meant(event.target);
    if (key === "a") addAfter(about);
    else if (key === "t" && isStep(about)) test(about);
    else if (key === "e" && isStep(card)) turn(card);
    else return;
    event.preventDefault();
  });

  // --- test run ---
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.metaKey || event.ctrlKey) || event.altKey || event.shiftKey || event.isComposing || event.defaultPrevented) return;
    const dialog = document.querySelector("#dialogs dialog[open], dialog[open]");
    if (dialog) {
      const go = dialog.querySelector("footer .btn--primary:not([type=button])");
      if (!go || go.disabled) return;
      event.preventDefault();
      go.click();
      return;
    }
    if (event.target.matches?.("[data-step-search]")) return;
    const run = [...document.querySelectorAll("[data-test-run]")].find((one) => one.offsetParent);
    if (!run) return;
    event.preventDefault();
    for (const menu of document.querySelectorAll("[popover]:popover-open")) menu.hidePopover();
    run.click();
  });

  // --- what the palette offers about the step ---
  stepwell.hereActions = (from) => {
    const card = meant(from);
    if (!editable() || !card) return [];
    const { name } = card.dataset;
    const found = [{ label: name ? `Add a step after ${name}` : "Add a step after the start", key: "a", act: () => addAfter(card) }];
    if (!isStep(card)) return found;
    const ask = (what) => asking(card, what);
    found.push({ label: `Test ${name}`, key: "t", act: () => test(card) });
    if (card.dataset.canDisable === "yes") found.push({ label: `Turn ${name} ${card.dataset.enabled === "yes" ? "off" : "on"}`, key: "e", act: () => turn(card) });
    found.push(
      { label: `Move ${name} to…`, act: ask("move") },
      ...(card.dataset.after ? [{ label: `Connect ${name} to…`, act: ask("connect") }] : []),
      { label: `Delete ${name}…`, act: ask("delete") },
    );
    return found;
  };
})();
