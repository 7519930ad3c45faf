// Several steps at once: checkboxes on the cards (Shift for a row of them, Ctrl or ⌘ on a card, X with the keyboard), the bar of
// what can be done, copy and paste as text, and the search in steps. The selection outlives every new drawing of the list.
(() => {
  const steps = () => document.getElementById("steps");
  const bar = () => document.getElementById("selection");
  const chosen = new Set();
  let last = "";
  const boxes = () => [...document.querySelectorAll("#steps [data-pick]")];
  const draw = () => {
    const known = new Set(boxes().map((box) => box.value));
    for (const key of [...chosen]) if (!known.has(key)) chosen.delete(key);
    for (const box of boxes()) box.checked = chosen.has(box.value);
    steps()?.classList.toggle("is-selecting", chosen.size > 0);
    if (!bar()) return;
    bar().hidden = !chosen.size;
    bar().querySelector("[data-selected-count]").textContent = chosen.size;
  };
  const choose = (key, on, { range = false } = {}) => {
    const all = boxes().map((box) => box.value);
    const [from, to] = [all.indexOf(last), all.indexOf(key)].sort((a, b) => a - b);
    for (const one of range && from >= 0 ? all.slice(from, to + 1) : [key]) {
      if (on) chosen.add(one);
      else chosen.delete(one);
    }
    last = key;
    draw();
    stepwell.announce(`${chosen.size} selected`);
  };
  stepwell.selectedSteps = () => boxes().map((box) => box.value).filter((key) => chosen.has(key));

  let shift = false;
  document.addEventListener("click", (event) => (shift = event.shiftKey), { capture: true });
  document.addEventListener("change", (event) => {
    const box = event.target.closest?.("[data-pick]");
    if (!box) return;
    event.stopPropagation();
    choose(box.value, box.checked, { range: shift });
  });
  document.addEventListener(
    "click",
    (event) => {
      const head = event.target.closest?.("#steps .step__head");
      if (!head || !(event.metaKey || event.ctrlKey || event.shiftKey) || event.target.closest("[data-pick], .stepsel, input, textarea, select, form")) return;
      const box = head.querySelector("[data-pick]");
      if (!box) return;
      event.preventDefault();
      event.stopPropagation();
      getSelection()?.removeAllRanges();
      choose(box.value, event.shiftKey || !chosen.has(box.value), { range: event.shiftKey });
    },
    { capture: true },
  );
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-select-none]")) {
      chosen.clear();
      draw();
    } else if (event.target.closest("[data-copy-steps]")) copy();
    else if (event.target.closest("#step-menu [data-select-this]")) {
      const key = /steps\/([^/]+)\//.exec(document.querySelector("#step-menu [data-act]")?.getAttribute("action") ?? "")?.[1];
      document.getElementById("step-menu").hidePopover();
      if (key) choose(decodeURIComponent(key), true);
    }
  });
  document.addEventListener("htmx:after:swap", draw);
  document.addEventListener("builder:changed", () => requestAnimationFrame(draw));

  // --- copy and paste as text ---
  const copy = async () => {
    const keys = stepwell.selectedSteps();
    if (!keys.length || !bar()) return;
    await stepwell.flush?.();
    const answer = await fetch(`${bar().dataset.copyFrom}?keys=${encodeURIComponent(keys.join(","))}`);
    if (!answer.ok) return stepwell.toast("These steps could not be copied.", { kind: "bad" });
    try {
      await navigator.clipboard.writeText(await answer.text());
      stepwell.toast(keys.length === 1 ? "Copied. Paste it here or in another workflow." : `${keys.length} steps copied. Paste them here or in another workflow.`);
    } catch {
      stepwell.toast("The browser does not let this page write to the clipboard.", { kind: "bad" });
    }
  };
  const after = () => document.activeElement?.closest?.("#steps [data-card]")?.dataset.card ?? stepwell.selectedSteps().at(-1) ?? "";
  document.addEventListener("copy", (event) => {
    if (!chosen.size || stepwell.typing(event) || String(getSelection())) return;
    event.preventDefault();
    copy();
  });
  document.addEventListener("paste", (event) => {
    if (!bar() || stepwell.typing(event) || document.querySelector("dialog[open]")) return;
    const text = event.clipboardData?.getData("text/plain") ?? "";
    if (!/(^|\n)\s*"?(stepwell|nodes|workflows|definition)"?\s*:/.test(text)) return;
    event.preventDefault();
    const key = after();
    stepwell.flush().then(() =>
      htmx.ajax("POST", bar().dataset.pasteTo, { source: steps(), values: { text, after: key === "start" ? "" : key }, target: "#dialogs", swap: "innerHTML settle:0" }),
    );
  });

  // --- keys ---
  document.addEventListener("keydown", (event) => {
    if (!steps()?.hasAttribute("data-editable") || document.querySelector("dialog[open]") || event.defaultPrevented) return;
    const card = event.target.closest?.("#steps .step[data-card]");
    const plain = !event.metaKey && !event.ctrlKey && !event.altKey;
    if (stepwell.typing(event) || document.querySelector("[popover]:popover-open")) return;
    if (event.key === "Escape" && chosen.size) {
      chosen.clear();
      draw();
      event.preventDefault();
    } else if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "a" && chosen.size) {
      for (const box of boxes()) chosen.add(box.value);
      draw();
      event.preventDefault();
    } else if (plain && event.key.toLowerCase() === "x" && card && stepwell.singleKeys() && card.querySelector("[data-pick]")) {
      choose(card.dataset.card, !chosen.has(card.dataset.card), { range: event.shiftKey });
      event.preventDefault();
    } else if (plain && (event.key === "Delete" || event.key === "Backspace") && chosen.size && !event.target.closest?.("[data-rows]")) {
      bar().querySelector("[value=delete]").click();
      event.preventDefault();
    }
  });

  // --- search in steps ---
  let hits = [];
  let at = -1;
  let timer;
  const field = () => document.querySelector("[data-step-search]");
  const mark = () => {
    for (const card of document.querySelectorAll("#steps .is-hit")) card.classList.remove("is-hit");
    for (const { key } of hits) document.getElementById(`step-${key}`)?.classList.add("is-hit");
  };
  const jump = (by) => {
    if (!hits.length) return;
    at = (at + by + hits.length) % hits.length;
    const card = document.getElementById(`step-${hits[at].key}`);
    card?.closest("details")?.setAttribute("open", "");
    card?.scrollIntoView({ block: "center" });
    say();
  };
  const say = () => {
    const place = document.querySelector("[data-step-hits]");
    if (place) place.textContent = !field()?.value.trim() ? "" : hits.length ? `${at < 0 ? "" : `${at + 1} of `}${hits.length} found${at >= 0 ? `: ${hits[at].label}` : ". Enter goes to the next"}` : "Nothing found";
  };
  document.addEventListener("input", (event) => {
    if (!event.target.matches?.("[data-step-search]")) return;
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const words = field().value.trim();
      const answer = words ? await fetch(`${field().dataset.stepSearch}?q=${encodeURIComponent(words)}`).catch(() => null) : null;
      hits = answer?.ok ? (await answer.json()).steps : [];
      at = -1;
      mark();
      say();
    }, 200);
  });
  document.addEventListener("keydown", (event) => {
    if (!event.target.matches?.("[data-step-search]")) return;
    if (event.key === "Enter") {
      event.preventDefault();
      jump(event.shiftKey ? -1 : 1);
      if (event.metaKey || event.ctrlKey) stepwell.openCard?.(hits[at]?.key);
    } else if (event.key === "Escape" && field().value) {
      field().value = "";
      hits = [];
      mark();
      say();
    }
  });
  document.addEventListener("htmx:after:swap", () => hits.length && mark());
})();
