// Asks before what cannot be undone or costs money: data-confirm (the question), data-confirm-text, data-confirm-verb,
// data-confirm-danger, on a form or a button. Without script the form sends at once.
(() => {
  const agreed = new WeakSet();
  let waiting = null;

  const build = () => {
    const dialog = document.createElement("dialog");
    dialog.id = "confirm";
    dialog.dataset.dialog = "";
    dialog.setAttribute("aria-labelledby", "confirm-title");
    dialog.setAttribute("aria-describedby", "confirm-text");
    dialog.innerHTML =
      '<header><h2 id="confirm-title"></h2></header><div class="body"><p id="confirm-text"></p></div>' +
      '<footer><button class="btn" type="button" data-dialog-close autofocus></button><button class="btn" type="button" data-confirm-go></button></footer>';
    dialog.addEventListener("close", () => (waiting = null));
    dialog.querySelector("[data-confirm-go]").addEventListener("click", () => {
      const go = waiting;
      dialog.close();
      go?.();
    });
    document.body.append(dialog);
    return dialog;
  };

  const ask = (source, go) => {
    const dialog = document.getElementById("confirm") ?? build();
    const { confirm, confirmText, confirmVerb, confirmKeep } = source.dataset;
    dialog.querySelector("h2").textContent = confirm;
    const text = dialog.querySelector("p");
    text.textContent = confirmText ?? "";
    text.parentElement.hidden = !confirmText;
    dialog.querySelector("[data-dialog-close]").textContent = confirmKeep || "Keep it";
    const verb = dialog.querySelector("[data-confirm-go]");
    verb.textContent = confirmVerb || "Continue";
    verb.className = `btn ${"confirmDanger" in source.dataset ? "btn--danger" : "btn--primary"}`;
    waiting = go;
    for (const menu of document.querySelectorAll(":popover-open")) menu.hidePopover();
    dialog.showModal();
  };

  const hold = (event) => {
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  // The capture phase comes before htmx's own listeners.
  document.addEventListener(
    "submit",
    (event) => {
      const form = event.target;
      const { submitter } = event;
      const source = submitter?.dataset.confirm !== undefined ? submitter : form.dataset.confirm !== undefined ? form : null;
      if (!source || agreed.delete(source)) return;
      hold(event);
      ask(source, () => {
        agreed.add(source);
        form.requestSubmit(submitter);
      });
    },
    { capture: true },
  );
  document.addEventListener(
    "click",
    (event) => {
      const button = event.target.closest?.("[data-confirm]");
      // A button that sends a form is asked when the form is sent.
      if (!button || button.matches("form") || (button.form && button.type === "submit")) return;
      if (agreed.delete(button)) return;
      hold(event);
      ask(button, () => {
        agreed.add(button);
        button.click();
      });
    },
    { capture: true },
  );
})();
