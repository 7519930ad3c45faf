// A gate's drafts, changes and keys: what is written is kept in this browser, Changes shows it word by word, R asks why.
stepwell.enliven("[data-gate-form]", (form) => {
  const id = form.closest(".gate")?.id;
  const text = form.querySelector("[data-gate-text]");
  const comment = form.querySelector("[data-gate-comment]");
  const kept = form.querySelector("[data-gate-kept]");
  const original = text?.defaultValue;
  const place = `draft:${id}`;

  const forget = () => {
    try {
      localStorage.removeItem(place);
    } catch {
      /* storage is off: nothing was kept */
    }
  };
  const keep = () => {
    const draft = { text: text && text.value !== original ? text.value : null, comment: comment?.value || "", at: Date.now() };
    if (draft.text === null && !draft.comment) {
      forget();
      if (kept) kept.hidden = true;
      return;
    }
    try {
      localStorage.setItem(place, JSON.stringify(draft));
      if (kept) kept.hidden = false;
    } catch {
      /* storage is off or full: the page itself still holds it */
    }
  };
  try {
    const draft = JSON.parse(localStorage.getItem(place) ?? "null");
    if (draft) {
      if (text && draft.text !== null && text.value === original) text.value = draft.text;
      if (comment && !comment.value) comment.value = draft.comment;
      if (kept) kept.hidden = false;
      text?.dispatchEvent(new Event("input", { bubbles: true }));
    }
  } catch {
    forget();
  }
  let timer;
  form.addEventListener("input", (event) => {
    if (event.target !== text && event.target !== comment) return;
    clearTimeout(timer);
    timer = setTimeout(keep, 400);
  });
  form.addEventListener("gate:decided", () => {
    clearTimeout(timer);
    forget();
  });
  form.addEventListener("submit", () => {
    clearTimeout(timer);
    if (!document.querySelector("[data-run], [data-desk]")) forget();
  });

  // Changes
  const panel = form.querySelector("[data-gate-changes]");
  const diff = panel?.querySelector("[data-gate-diff]");
  const number = form.querySelector("[data-gate-changed]");
  panel?.querySelector("[data-gate-compare]")?.setAttribute("hidden", "");
  const compare = async () => {
    if (!diff) return;
    const body = new FormData();
    body.set("edited", text.value);
    body.set("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
    try {
      const answer = await fetch(panel.dataset.gateChanges, { method: "POST", body, headers: { "HX-Request": "true" } });
      if (!answer.ok) throw new Error(String(answer.status));
      diff.innerHTML = await answer.text();
      const places = [...diff.querySelectorAll("ins, del")].filter((mark) => mark.tagName === "INS" || mark.nextElementSibling?.tagName !== "INS" || mark.nextSibling !== mark.nextElementSibling);
      if (number) number.textContent = places.length ? ` ${places.length}` : "";
    } catch {
      diff.textContent = "The changes could not be read. What you wrote is still here.";
    }
  };
  form.addEventListener("change", (event) => {
    if (event.target.matches('[name="view"][value="changes"]')) compare();
  });

  // Choosing Edit goes straight to the text, also when it is chosen already.
  form.addEventListener("click", (event) => {
    if (event.target.matches('[name="view"][value="edit"]')) text?.focus();
  });

  // R opens the reason. Esc closes what is open, else leaves the field, so that the next key decides; ⌘↵ decides from it.
  for (const details of form.querySelectorAll(".gate__choice"))
    details.addEventListener("toggle", () => {
      if (!details.open) return;
      for (const other of form.querySelectorAll(".gate__choice[open]")) if (other !== details) other.open = false;
      details.querySelector("textarea, select")?.focus();
    });
  form.addEventListener("keydown", (event) => {
    const details = event.target.closest(".gate__choice[open]");
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      (details ? details.querySelector(".gate__sheet button:not([type=button])") : form.querySelector("[data-gate-approve]"))?.click();
    } else if (event.key === "Escape" && (details || stepwell.typing(event))) {
      event.preventDefault();
      event.stopPropagation();
      if (details) {
        details.open = false;
        details.querySelector("summary").focus();
      } else (form.closest("[data-desk-pane]") ?? form.closest(".gate")).focus({ preventScroll: true });
    }
  });
});
