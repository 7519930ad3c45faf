// Undo and redo of the builder: ⌘Z and ⇧⌘Z (Ctrl on other systems) press the buttons. While somebody types, the field's own
// undo comes first; what it has typed since is saved before anything is taken back.
(() => {
  const press = (name) => {
    const button = [...document.querySelectorAll(`[data-${name}]`)].find((one) => one.offsetParent);
    if (button?.disabled) stepwell.toast(name === "undo" ? "There is nothing to undo." : "There is nothing to redo.", {});
    else button?.click();
  };
  // A field that holds what was typed since it was saved has an undo of its own.
  const ownUndo = (element) => element?.matches?.("textarea, input:not([type=checkbox], [type=radio])") && stepwell.typing({ target: element }) && element.dataset.typed === "yes";
  document.addEventListener("input", (event) => {
    if (event.target.matches?.("#steps textarea, #steps input, .canvaspanel textarea, .canvaspanel input")) event.target.dataset.typed = "yes";
  });
  document.addEventListener("focusout", (event) => {
    if (event.target.dataset?.typed) delete event.target.dataset.typed;
  });
  document.addEventListener("keydown", (event) => {
    if (!(event.metaKey || event.ctrlKey) || event.altKey || document.querySelector("dialog[open]")) return;
    const key = event.key.toLowerCase();
    const redo = (key === "z" && event.shiftKey) || (key === "y" && event.ctrlKey && !event.metaKey);
    if (!redo && !(key === "z" && !event.shiftKey)) return;
    if (ownUndo(event.target)) return;
    event.preventDefault();
    press(redo ? "redo" : "undo");
  });
})();
